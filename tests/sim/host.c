/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/host.h"

#include "api/command.pb-c.h"
#include "tests/sim/backing.h"
#include "tests/sim/memory.h"
#include "tests/sim/sim.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const sim_usec NEVER = ~(sim_usec)0;
/* Longer than any run: as good as never, and safe to calculate with. */
static const raft_usec DEADLINE_FAR_US = 3600000000;

/* ---- Clocks --------------------------------------------------------------------------------------------------------
 */

static raft_usec clock_of(const struct host *host, sim_usec at) {
	sim_usec up = at - host->clock_since;
	return host->clock_base + up + (sim_usec)((int64_t)up * host->drift_ppm / 1000000);
}

/* The first true time at which the host's clock shows `reading` or more. */
static sim_usec time_of(const struct host *host, raft_usec reading) {
	if (reading <= host->clock_base)
		return host->clock_since;
	uint64_t at =
		host->clock_since + (reading - host->clock_base) * 1000000 / (uint64_t)(1000000 + host->drift_ppm);
	while (clock_of(host, at) < reading)
		at++;
	return at;
}

struct raft_clocks host_clocks(const struct host *host, sim_usec at) {
	raft_usec reading = clock_of(host, at);
	return (struct raft_clocks){.mono = reading - host->asleep, .boot = reading};
}

/* The monotonic clock goes on from what it showed at the beginning of the suspension. */
static void end_suspension(struct host *host, sim_usec now) {
	if (host->suspended_until > now)
		host->asleep -= clock_of(host, host->suspended_until) - clock_of(host, now);
	host->suspended_until = 0;
}

/* ---- Planning steps ------------------------------------------------------------------------------------------------
 */

struct wake {
	uint32_t id;
	sim_usec at;
};

static void step(struct sim *sim, struct host *host);

static void woken(struct sim *sim, void *item) {
	const struct wake *wake = item;
	struct host *host = sim_host(sim, wake->id);
	if (host->step_at == wake->at && host->up)
		step(sim, host);
}

static void plan_step(struct sim *sim, struct host *host, sim_usec at) {
	if (at < host->paused_until)
		at = host->paused_until;
	if (at < host->suspended_until)
		at = host->suspended_until;
	if (at < sim->now)
		at = sim->now;
	if (host->step_at <= at)
		return;
	struct wake *wake = memory_new(sizeof(*wake));
	*wake = (struct wake){host->id, at};
	host->step_at = at;
	queue_push(&sim->queue, at, woken, wake);
}

static void post(struct sim *sim, struct host *host, const struct node_event *event, void *body) {
	host->inbox = memory_fit(host->inbox, &host->inbox_size, host->n_inbox + 1, sizeof(*host->inbox));
	host->inbox[host->n_inbox++] = (struct host_mail){.event = *event, .body = body};
	plan_step(sim, host,
		  sim->now + (sim->plan.batch_delay ? prng_range(&host->prng, 0, sim->plan.batch_delay) : 0));
}

void host_post(struct sim *sim, uint32_t id, const struct node_event *event) {
	struct host *host = sim_host(sim, id);
	if (host->up)
		post(sim, host, event, NULL);
}

void host_post_body(struct sim *sim, uint32_t id, const struct node_event *event, const void *body, size_t n) {
	struct host *host = sim_host(sim, id);
	if (!host->up)
		return;
	struct node_event copy = *event;
	void *bytes = memory_copy(body, n);
	copy.body = bytes;
	copy.body_bytes = n;
	post(sim, host, &copy, bytes);
}

void host_post_peer(struct sim *sim, uint32_t id, const struct node_event *event, const void *body, size_t n,
		    bool of_leader) {
	struct host *host = sim_host(sim, id);
	if (!host->up)
		return;
	host_post_body(sim, id, event, body, n);
	host->inbox[host->n_inbox - 1].of_leader = of_leader;
}

void host_report_backup(struct sim *sim, uint32_t id, const struct node_backup_report *report) {
	struct node_backup_report *copy = memory_new(sizeof(*copy) + report->n);
	*copy = *report;
	if (report->n > 0)
		copy->data = memcpy(copy + 1, report->data, report->n);
	post(sim, sim_host(sim, id), &(struct node_event){.kind = NODE_BACKUP_DONE, .backup = copy}, copy);
}

/* ---- Effects -------------------------------------------------------------------------------------------------------
 */

static void stage_drop(struct host *host) {
	free(host->stage.bytes);
	free(host->stage.rows);
	host->stage.bytes = NULL;
	host->stage.rows = NULL;
}

static void trace_effects(const struct host *host, const struct node_effects *effects) {
	for (size_t i = 0; i < effects->n_traces; i++)
		verdict_trace_line("n%u %s", host->id, effects->traces[i].text);
	for (size_t i = 0; i < effects->n_saves; i++) {
		const struct node_save *save = &effects->saves[i];
		verdict_trace_line("n%u save seq=%" PRIu64 "%s term=%" PRIu64 " vote=%u truncate=%" PRIu64
				   " entries=%zu@%" PRIu64 " trim=%" PRIu64 "%s base=%" PRIu64,
				   host->id, save->seq, save->hard ? " hard" : "", save->term, save->vote,
				   save->truncate_from, save->n_entries, save->n_entries ? save->entries[0].index : 0,
				   save->trim_to, save->install ? " install" : "", save->base);
	}
}

static void execute_frames(struct sim *sim, struct host *host, const struct node_effects *effects) {
	for (size_t i = 0; i < effects->n_peer_frames; i++) {
		bool of_leader = checker_raft_frame(sim, host->id, &effects->peer_frames[i]);
		network_send_peer(sim, host->id, &effects->peer_frames[i], of_leader);
	}
	for (size_t i = 0; i < effects->n_client_frames; i++) {
		checker_lock_frame(sim, host->id, &effects->client_frames[i]);
		network_node_to_client(sim, host->id, &effects->client_frames[i]);
	}
}

static void execute(struct sim *sim, struct host *host, const struct node_effects *effects) {
	if (verdict_is_tracing())
		trace_effects(host, effects);
	if (effects->fatal)
		verdict_fail(VERDICT_SAFETY, "P13 fatal", "node %u: %s", host->id, effects->fatal);
	if (effects->staged_done)
		stage_drop(host);
	for (size_t i = 0; i < effects->n_saves; i++) {
		checker_raft_save(sim, host->id, &effects->saves[i]);
		disk_submit(sim, host->id, &effects->saves[i]);
	}
	execute_frames(sim, host, effects);
	if (effects->checkpoint)
		disk_start_checkpoint(sim, host->id, effects->checkpoint);
	for (size_t i = 0; i < effects->n_snapshots; i++)
		network_send_snapshot(sim, host->id, &effects->snapshots[i]);
	for (size_t i = 0; i < effects->n_backups; i++)
		backup_files_execute(sim, host->id, &effects->backups[i]);
}

/* A driver is late by a little, always. */
static void plan_next(struct sim *sim, struct host *host, raft_usec deadline) {
	if (host->n_inbox > 0)
		plan_step(sim, host, sim->now + 1);
	if (deadline > clock_of(host, sim->now) + DEADLINE_FAR_US)
		return;
	sim_usec at = time_of(host, deadline + host->asleep) + prng_range(&host->prng, 0, 300);
	plan_step(sim, host, at > sim->now ? at : sim->now + 20);
}

/* It may have become leader and have stepped down within one step: its disk was full behind its own vote. */
static bool has_led(const struct node_effects *effects) {
	static const char elected[] = "event=role role=leader";
	for (size_t i = 0; i < effects->n_traces; i++) {
		if (strncmp(effects->traces[i].text, elected, sizeof(elected) - 1) == 0)
			return true;
	}
	return false;
}

static void step(struct sim *sim, struct host *host) {
	size_t n = host->n_inbox < sim->plan.batch_max ? host->n_inbox : sim->plan.batch_max;
	struct node_effects effects = {0};
	struct raft_clocks clocks = host_clocks(host, sim->now);

	host->events = memory_fit(host->events, &host->events_size, n, sizeof(*host->events));
	for (size_t i = 0; i < n; i++) {
		host->events[i] = host->inbox[i].event;
		if (host->inbox[i].of_leader || host_leads(host))
			host->heard_leader_at = sim->now;
	}
	host->step_at = NEVER;
	sim->totals.steps++;
	for (size_t i = 0; i < n; i++)
		old_copy_hear(sim, host->id, &host->events[i]);
	node_step(host->node, &clocks, host->events, n, &effects);
	if (has_led(&effects))
		host->heard_leader_at = sim->now;
	/* It may have become leader by a vote that came in front of them. */
	for (size_t i = 0; i < n && host_leads(host); i++)
		checker_session_event(sim, host->id, &host->events[i]);
	for (size_t i = 0; i < n; i++)
		free(host->inbox[i].body);
	host->n_inbox -= n;
	if (host->n_inbox > 0)
		memmove(host->inbox, host->inbox + n, host->n_inbox * sizeof(*host->inbox));

	checker_raft_step(sim, host->id);
	checker_lock_step(sim, host->id);
	execute(sim, host, &effects);
	if (effects.stopped && host->stopping) {
		backing_stop(sim, host->id);
		host_crash(sim, host->id);
		return;
	}
	plan_next(sim, host, effects.deadline);
}

void host_drop_frames(struct host *host, uint32_t peer) {
	size_t n = 0;
	for (size_t i = 0; i < host->n_inbox; i++) {
		const struct host_mail *mail = &host->inbox[i];
		if (mail->event.kind == NODE_PEER_FRAME && mail->event.peer == peer)
			free(mail->body);
		else
			host->inbox[n++] = *mail;
	}
	host->n_inbox = n;
}

bool host_stage(struct sim *sim, uint32_t id, const struct host_snapshot *snapshot) {
	struct host *host = sim_host(sim, id);
	if (host->stage.bytes)
		return false;
	size_t bytes = snapshot->header_bytes;
	const uint8_t *at = snapshot->rows;
	for (size_t i = 0, n; i < snapshot->n_rows; i++, at += sizeof(n) + n, bytes += sizeof(n) + n)
		memcpy(&n, at, sizeof(n));

	host->stage.bytes = memory_copy(snapshot->header, bytes); /* the rows follow the header */
	host->stage.rows = memory_new(snapshot->n_rows * sizeof(*host->stage.rows));
	uint8_t *row = host->stage.bytes + snapshot->header_bytes;
	for (size_t i = 0, n; i < snapshot->n_rows; i++, row += sizeof(n) + n) {
		memcpy(&n, row, sizeof(n));
		host->stage.rows[i] = (struct node_bytes){row + sizeof(n), n};
	}
	host_post(sim, id,
		  &(struct node_event){.kind = NODE_SNAPSHOT_STAGED,
				       .peer = snapshot->peer,
				       .group = snapshot->group,
				       .term = snapshot->term,
				       .header = host->stage.bytes,
				       .header_bytes = snapshot->header_bytes,
				       .rows = host->stage.rows,
				       .n_rows = snapshot->n_rows});
	return true;
}

/* ---- Life ----------------------------------------------------------------------------------------------------------
 */

static void draw_store(struct host *host) {
	for (size_t i = 0; i < sizeof(host->store.bytes); i++)
		host->store.bytes[i] = (uint8_t)prng_next(&host->prng);
}

void host_init(struct sim *sim, uint32_t id, struct prng prng) {
	struct host *host = sim_host(sim, id);
	uint32_t drift = sim->plan.drift_ppm_real;

	*host = (struct host){.id = id, .prng = prng, .step_at = NEVER};
	draw_store(host);
	host->drift_ppm = (int32_t)prng_range(&host->prng, 0, 2 * drift) - (int32_t)drift;
	host->clock_base = prng_range(&host->prng, 1, 1000000000);
}

static void drop_process(struct host *host) {
	for (size_t i = 0; i < host->n_inbox; i++)
		free(host->inbox[i].body);
	host->n_inbox = 0;
	stage_drop(host);
	if (host->node)
		host->node = node_free(host->node);
	host->up = host->stopping = false;
	host->step_at = NEVER;
}

void host_deinit(struct host *host) {
	drop_process(host);
	free(host->inbox);
	free(host->events);
}

static const struct node_address ADDRESSES[SIM_NODES_MAX] = {
	{1, "n1:7001", "n1:7000"}, {2, "n2:7001", "n2:7000"}, {3, "n3:7001", "n3:7000"}, {4, "n4:7001", "n4:7000"},
	{5, "n5:7001", "n5:7000"}, {6, "n6:7001", "n6:7000"}, {7, "n7:7001", "n7:7000"}, {8, "n8:7001", "n8:7000"}};

/* A configuration file names the founders and the node itself. */
static size_t configured_addresses(const struct sim *sim, uint32_t id, struct node_address ret[SIM_NODES_MAX]) {
	size_t n = plan_founders(&sim->plan);
	memcpy(ret, ADDRESSES, n * sizeof(*ret));
	if (id > n)
		ret[n++] = ADDRESSES[id - 1];
	return n;
}

/* Programs are replaced while they are down, on one machine after the other. */
static uint32_t known_version(const struct sim *sim, const struct host *host) {
	bool old = !host->installed_anew && host->boot < sim->plan.old_boots[host->id - 1];
	return old ? 1 : STATE_MACHINE_VERSION_MAX;
}

void host_boot(struct sim *sim, uint32_t id) {
	struct host *host = sim_host(sim, id);
	struct node_address addresses[SIM_NODES_MAX];
	struct node_config config = {
		.node = id,
		.store = host->store,
		.seed = prng_next(&host->prng),
		.timing = sim->plan.timing,
		.addresses = addresses,
		.n_addresses = configured_addresses(sim, id, addresses),
		.version = "simulated",
		.checkpoint_log_entries = sim->plan.checkpoint_entries,
		.trailing_log_entries = sim->plan.trailing_entries,
		.pending_requests_max = sim->plan.pending_requests,
		.checkpoint_rows_per_turn = sim->plan.checkpoint_rows,
		.append_entries_max = sim->plan.append_entries,
		.leader_lease = sim->plan.leader_lease,
		.machine_version_max = known_version(sim, host),
		.state_hash_interval = sim->plan.state_hash_interval,
		.past_incarnation = host->past_incarnation,
		.repairs = host->repairs,
		.damage = host->repairs > 0 ? "damaged by the simulator" : NULL,
	};
	assert(!host->up);
	/* Sometimes the whole machine has come up again, and its clock with it. */
	if (prng_chance(&host->prng, 300000)) {
		host->clock_since = sim->now;
		host->clock_base = prng_range(&host->prng, 1, 3000000);
		host->asleep = 0;
	}
	struct raft_clocks clocks = host_clocks(host, sim->now);

	if (node_new(&config, &host->node) < 0)
		verdict_fail(VERDICT_CRASH, "S8 node-refused", "node %u cannot be made", id);
	disk_restore(sim_disk(sim, id), host->node);
	if (node_start(host->node, &clocks) < 0)
		verdict_fail(VERDICT_SAFETY, "S8 start-refused", "node %u: %s", id, node_error(host->node));
	host->up = true;
	host->boot++;
	node_get_memory(host->node, &host->memory);
	host->memory.boot = host->boot;
	host->memory.boot_count = ++sim_disk(sim, id)->boot_count;
	host->paused_until = 0;
	TRACE("n%u boot %" PRIu64 " base=%" PRIu64 " last=%" PRIu64, id, host->boot, sim_disk(sim, id)->base,
	      disk_last(sim_disk(sim, id)));
	backing_boot(sim, id, &config, &clocks);
	checker_raft_boot(sim, id);
	checker_lock_boot(sim, id);
	plan_step(sim, host, sim->now);
	disk_boot(sim, id);
}

void host_crash(struct sim *sim, uint32_t id) {
	struct host *host = sim_host(sim, id);
	if (!host->up)
		return;
	TRACE("n%u down", id);
	end_suspension(host, sim->now);
	network_crash(sim, id);
	disk_crash(sim, id);
	backup_files_crash(&sim->backup_files[id - 1]);
	drop_process(host);
	checker_raft_crash(sim, id);
}

void host_pause(struct sim *sim, uint32_t id, sim_usec until) {
	struct host *host = sim_host(sim, id);
	if (!host->up)
		return;
	TRACE("n%u paused until %.6f", id, (double)until / 1e6);
	host->paused_until = until;
	host->step_at = NEVER; /* what is planned comes too early */
	plan_step(sim, host, until);
}

void host_suspend(struct sim *sim, uint32_t id, sim_usec until) {
	struct host *host = sim_host(sim, id);
	if (!host->up || host->suspended_until > sim->now)
		return;
	TRACE("n%u suspended until %.6f", id, (double)until / 1e6);
	host->asleep += clock_of(host, until) - clock_of(host, sim->now);
	host->suspended_until = until;
	host->step_at = NEVER;
	plan_step(sim, host, until);
}

void host_wake(struct sim *sim, uint32_t id) {
	struct host *host = sim_host(sim, id);
	if (!host->up || (host->paused_until <= sim->now && host->suspended_until <= sim->now))
		return;
	TRACE("n%u wakes", id);
	end_suspension(host, sim->now);
	host->paused_until = 0;
	host->step_at = NEVER;
	plan_step(sim, host, sim->now);
}

static struct raft_status status_of(const struct host *host) {
	const struct raft *raft = host->up ? node_raft(host->node, SIM_GROUP) : NULL;
	struct raft_status status = {0};
	if (raft)
		raft_get_status(raft, &status);
	return status;
}

bool host_leads(const struct host *host) {
	return status_of(host).role == RAFT_LEADER;
}

raft_term host_term(const struct host *host) {
	return status_of(host).term;
}

/* An empty disk under another uuid. */
static void begin_anew(struct sim *sim, struct host *host) {
	struct disk *disk = sim_disk(sim, host->id);
	uint64_t boot = disk->boot;
	disk_deinit(disk);
	disk_init(disk, prng_fork(&host->prng));
	disk->boot = boot + 1; /* writes of the old one are void */
	draw_store(host);
}

void host_wipe(struct sim *sim, uint32_t id) {
	struct host *host = sim_host(sim, id);
	host_crash(sim, id);
	TRACE("n%u installed anew", id);
	begin_anew(sim, host);
	host->installed_anew = true;
	host->n_past = host->repairs = 0;
	host->past_incarnation = (struct node_uuid){0};
	checker_raft_wipe(sim, id);
}

/* As lockd/io does it: who was let in has taken its place already, and of too many the one that was a member stays. */
static void remember_store(struct sim *sim, struct host *host) {
	const struct disk *disk = sim_disk(sim, host->id);
	if (disk->has_identity)
		host->n_past = 0;
	if (host->n_past == LIMIT_PAST_STORES_MAX)
		host->past[--host->n_past - 1] = host->past[LIMIT_PAST_STORES_MAX - 1];
	memmove(host->past + 1, host->past, host->n_past * sizeof(*host->past));
	host->past[0] = host->store;
	host->n_past++;
	if (disk->has_identity)
		host->past_incarnation = disk->incarnation;
	host->repairs++;
}

void host_damage(struct sim *sim, uint32_t id) {
	struct host *host = sim_host(sim, id);
	host_crash(sim, id);
	TRACE("n%u finds its data folder damaged", id);
	struct backing *aside = backing_damage(sim, id);
	remember_store(sim, host);
	checker_raft_lose(sim, id);
	begin_anew(sim, host);
	sim_disk(sim, id)->backing = aside;
}

static void meet(struct sim *sim, struct host *host, uint32_t caller, const struct node_uuid *store,
		 const struct node_uuid *replaces, size_t n) {
	struct node_met *met = memory_new(sizeof(*met) + n * sizeof(*replaces));
	*met = (struct node_met){.node = caller,
				 .store = *store,
				 .peer_address = ADDRESSES[caller - 1].peer_address,
				 .client_address = ADDRESSES[caller - 1].client_address,
				 .replaces = (struct node_uuid *)(met + 1),
				 .n_replaces = n};
	if (n > 0)
		memcpy(met + 1, replaces, n * sizeof(*replaces));
	post(sim, host, &(struct node_event){.kind = NODE_PEER_MET, .met = met}, met);
}

void host_meet(struct sim *sim, uint32_t id, uint32_t caller) {
	const struct host *from = sim_host(sim, caller);
	meet(sim, sim_host(sim, id), caller, &from->store, from->past, from->n_past);
}

void host_meet_falsely(struct sim *sim, uint32_t id, uint32_t node, const struct node_uuid *store) {
	meet(sim, sim_host(sim, id), node, store, &sim_host(sim, node)->store, 1);
}

/* ---- Founding ------------------------------------------------------------------------------------------------------
 */

void host_found(struct sim *sim, uint32_t id) {
	Command__Member members[SIM_NODES_MAX], *list[SIM_NODES_MAX];
	Command__Configuration configuration = COMMAND__CONFIGURATION__INIT;
	struct node_uuid *incarnation = &sim->incarnation;

	for (uint32_t i = 0; i < plan_founders(&sim->plan); i++) {
		const struct node_address *address = &ADDRESSES[i];
		command__member__init(&members[i]);
		members[i].node = i + 1;
		members[i].store = (ProtobufCBinaryData){16, sim_host(sim, i + 1)->store.bytes};
		members[i].roles = RAFT_ROLE_VOTER;
		members[i].priority = sim->plan.priorities ? i % 3 : 0;
		members[i].peer_address =
			(ProtobufCBinaryData){strlen(address->peer_address), (uint8_t *)address->peer_address};
		members[i].client_address =
			(ProtobufCBinaryData){strlen(address->client_address), (uint8_t *)address->client_address};
		list[i] = &members[i];
	}
	configuration.promise_ms = sim->plan.promise_ms;
	configuration.drift_ppm = sim->plan.drift_ppm;
	configuration.n_members = plan_founders(&sim->plan);
	configuration.members = list;

	uint8_t packed[1024];
	size_t n = command__configuration__pack(&configuration, packed);
	host_post_body(sim, id,
		       &(struct node_event){.kind = NODE_FOUND, .incarnation = incarnation, .epoch = sim->epoch},
		       packed, n);
}

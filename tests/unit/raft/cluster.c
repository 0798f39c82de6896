/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"
#include "witness.h"

#include <stdlib.h>
#include <string.h>

uint64_t cluster_random(struct cluster *cluster, uint64_t below) {
	uint64_t z = (cluster->random += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (z ^ (z >> 31)) % below;
}

static raft_usec random_between(struct cluster *cluster, raft_usec min, raft_usec max) {
	return min + cluster_random(cluster, max - min + 1);
}

struct cluster_node *cluster_node(struct cluster *cluster, uint32_t node) {
	REQUIRE(node >= 1 && node <= cluster->n, "node %u", node);
	return &cluster->nodes[node - 1];
}

static struct raft_uuid store_of(uint32_t node) {
	return (struct raft_uuid){.bytes = {(uint8_t)node, 0xee}};
}

struct raft_clocks cluster_clocks(const struct cluster *cluster, const struct cluster_node *node) {
	raft_usec local = node->offset + cluster->now * node->ppm / 1000000;

	return (struct raft_clocks){.mono = local - node->slept, .boot = local};
}

/* ---- Disk ------------------------------------------------------------------------------------------------------- */

static void keep_entries(struct cluster_node *node, const struct raft_event *event, struct cluster *cluster,
			 const struct cluster_message *received) {
	const struct raft_save *save = &node->fx.save;
	struct raft_status status;

	raft_get_status(node->raft, &status);
	if (save->truncate_from > 0)
		node->last = save->truncate_from - 1;
	for (uint32_t i = 0; i < save->n; i++) {
		struct cluster_entry *entry = &node->log[save->first + i];

		REQUIRE(save->first + i == node->last + 1, "append at %lu behind %lu", save->first + i, node->last);
		REQUIRE(save->first + i < CLUSTER_LOG_MAX, "log full");
		if (received && received->message.type == RAFT_APPEND)
			*entry = received->entries[save->entries_at + i];
		else if (event->kind == RAFT_PROPOSE || event->kind == RAFT_FOUND)
			*entry = (struct cluster_entry){.term = status.term,
							.type = event->entries->type,
							.id = event->kind == RAFT_FOUND ? 1 : cluster->next_id++,
							.configuration = event->entries->configuration};
		else
			*entry = (struct cluster_entry){
				.term = status.term, .type = RAFT_ENTRY_NOOP, .id = cluster->next_id++};
		node->last++;
	}
}

static void enqueue_save(struct cluster *cluster, struct cluster_node *node, const struct raft_event *event,
			 const struct cluster_message *received) {
	struct cluster_save *slot;
	raft_usec due;

	if (node->fx.save.seq == 0)
		return;
	keep_entries(node, event, cluster, received);
	REQUIRE(node->n_saves < CLUSTER_SAVES_MAX, "saves full");
	due = cluster->now + random_between(cluster, cluster->disk_min, cluster->disk_max);
	if (node->n_saves > 0 && due < node->saves[node->n_saves - 1].due)
		due = node->saves[node->n_saves - 1].due;
	slot = &node->saves[node->n_saves++];
	*slot = (struct cluster_save){.save = node->fx.save, .due = due, .snapshot = node->staged};
	slot->entries = calloc(slot->save.n + 1, sizeof(*slot->entries));
	memcpy(slot->entries, &node->log[slot->save.first], slot->save.n * sizeof(*slot->entries));
}

/* The oldest outstanding save reaches the platter. */
static void execute_save(const struct cluster *cluster, struct cluster_node *node) {
	struct cluster_save *slot = &node->saves[0];

	if (slot->save.hard) {
		node->disk_term = slot->save.term;
		node->disk_vote = slot->save.vote;
	}
	if (slot->save.install) {
		if (!slot->save.keep_suffix)
			node->disk_last = slot->snapshot.index;
		node->base = slot->snapshot;
		memcpy(node->disk, cluster->committed, (node->base.index + 1) * sizeof(*node->disk));
	}
	if (slot->save.truncate_from > 0)
		node->disk_last = slot->save.truncate_from - 1;
	for (uint32_t i = 0; i < slot->save.n; i++) {
		node->disk[slot->save.first + i] = slot->entries[i];
		node->disk_last = slot->save.first + i;
	}
	node->saved_seq = slot->save.seq;
	free(slot->entries);
	memmove(node->saves, node->saves + 1, --node->n_saves * sizeof(*node->saves));
}

static void report_saved(struct cluster *cluster, uint32_t n) {
	cluster_step(cluster, n, &(struct raft_event){.kind = RAFT_SAVED, .seq = cluster_node(cluster, n)->saved_seq});
}

void cluster_flush(struct cluster *cluster, uint32_t n) {
	struct cluster_node *node = cluster_node(cluster, n);

	while (node->n_saves > 0)
		execute_save(cluster, node);
	report_saved(cluster, n);
}

/* ---- Network ---------------------------------------------------------------------------------------------------- */

static void post_once(struct cluster *cluster, const struct cluster_message *message) {
	REQUIRE(cluster->n_messages < CLUSTER_MESSAGES_MAX, "network full");
	cluster->messages[cluster->n_messages] = *message;
	cluster->messages[cluster->n_messages++].due =
		cluster->now + random_between(cluster, cluster->latency_min, cluster->latency_max);
}

static void post(struct cluster *cluster, const struct cluster_message *message) {
	if (cluster->cut[message->message.from][message->message.to] ||
	    cluster->mute[message->message.from][message->message.to])
		return;
	if (cluster_random(cluster, 1000) < cluster->lose_per_mille)
		return;
	post_once(cluster, message);
	if (cluster_random(cluster, 1000) >= cluster->repeat_per_mille)
		return;
	post_once(cluster, message);
	cluster->messages[cluster->n_messages - 1].due += random_between(cluster, 0, cluster->straggle_max);
}

static void leave(struct cluster *cluster, struct cluster_node *node, const struct cluster_message *message) {
	if (message->message.type != RAFT_PREVOTE && message->message.type != RAFT_PREVOTE_REPLY)
		REQUIRE(message->message.term <= node->disk_term, "%u speaks of term %lu, durable is %lu",
			message->message.from, message->message.term, node->disk_term);
	witness_vote(cluster, &message->message);
	post(cluster, message);
}

static void send_messages(struct cluster *cluster, struct cluster_node *node) {
	for (uint32_t i = 0; i < node->fx.n_messages; i++) {
		const struct raft_out *out = &node->fx.messages[i];
		struct cluster_message message = {.message = out->message, .after_seq = out->after_seq};

		if (out->message.type == RAFT_APPEND_REPLY && (out->message.flags & RAFT_FLAG_REJECT))
			cluster->refusals[out->message.from]++;
		if (out->message.type == RAFT_APPEND)
			memcpy(message.entries, &node->log[out->message.index + 1],
			       out->message.n * sizeof(*message.entries));
		if (out->after_seq <= node->saved_seq) {
			leave(cluster, node, &message);
		} else {
			REQUIRE(node->n_held < CLUSTER_HELD_MAX, "held full");
			node->held[node->n_held++] = message;
		}
	}
}

static void release_messages(struct cluster *cluster, struct cluster_node *node) {
	uint32_t kept = 0;

	for (uint32_t i = 0; i < node->n_held; i++) {
		if (node->held[i].after_seq <= node->saved_seq)
			leave(cluster, node, &node->held[i]);
		else
			node->held[kept++] = node->held[i];
	}
	node->n_held = kept;
}

/* ---- Driving ---------------------------------------------------------------------------------------------------- */

static void start_transfers(struct cluster *cluster, uint32_t n) {
	struct cluster_node *node = cluster_node(cluster, n);
	raft_index unused;
	const struct raft_configuration *members = raft_members(node->raft, &unused);
	struct raft_status status = cluster_status(cluster, n);

	for (uint32_t i = 0; node->fx.need_snapshot >> i; i++) {
		uint32_t peer = members->members[i].node;
		struct cluster_message message = {.is_snapshot = true, .snapshot = node->base};

		if (!(node->fx.need_snapshot >> i & 1) || node->transfers >> peer & 1)
			continue;
		node->transfers |= 1u << peer;
		message.message = (struct raft_message){.from = n, .to = peer, .term = status.term};
		post_once(cluster, &message);
	}
}

static int step_once(struct cluster *cluster, uint32_t n, const struct raft_event *event,
		     const struct cluster_message *received) {
	struct cluster_node *node = cluster_node(cluster, n);
	struct raft_clocks clocks = cluster_clocks(cluster, node);
	struct raft_status status;
	int r;

	REQUIRE(node->up, "step of a crashed node %u", n);
	r = raft_step(node->raft, &clocks, event, &node->fx);
	raft_check(node->raft);
	raft_get_status(node->raft, &status);
	enqueue_save(cluster, node, event, received);
	if (node->fx.installed) {
		memcpy(node->log, cluster->committed, (node->base.index + 1) * sizeof(*node->log));
		node->last = status.last;
		node->applied = node->base.index;
		node->promise_ms = node->base.configuration.promise_ms;
	}
	REQUIRE(node->last == status.last, "node %u: %lu entries, core says %lu", n, node->last, status.last);
	witness_applied(cluster, n);
	witness_lease(cluster, n, &status);
	witness_read(cluster, n);
	send_messages(cluster, node);
	if (event->kind == RAFT_SAVED)
		release_messages(cluster, node);
	if (status.role == RAFT_LEADER)
		witness_elected(cluster, n, status.term);
	return r;
}

static void replicate(struct cluster *cluster, uint32_t n) {
	struct cluster_node *node = cluster_node(cluster, n);
	raft_index unused;

	for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
		while (node->fx.replicate >> i & 1) {
			uint32_t peer = raft_members(node->raft, &unused)->members[i].node;
			raft_index next = raft_next(node->raft, peer);
			uint32_t count = (uint32_t)(node->last - next + 1);

			if (count > CLUSTER_APPEND_MAX)
				count = CLUSTER_APPEND_MAX;
			step_once(cluster, n,
				  &(struct raft_event){
					  .kind = RAFT_REPLICATE, .peer = peer, .n = count, .bytes = count * 100},
				  NULL);
		}
	}
}

static int step(struct cluster *cluster, uint32_t n, const struct raft_event *event,
		const struct cluster_message *received) {
	struct cluster_node *node = cluster_node(cluster, n);
	int r = step_once(cluster, n, event, received);

	replicate(cluster, n);
	start_transfers(cluster, n);
	if (cluster_status(cluster, n).role != RAFT_LEADER)
		node->transfers = 0;
	/* What an embedder must do when terms or configurations fill the core: make a checkpoint. */
	if (r == RAFT_E_FULL)
		cluster_compact(cluster, n, node->applied);
	return r;
}

int cluster_step(struct cluster *cluster, uint32_t n, const struct raft_event *event) {
	return step(cluster, n, event, NULL);
}

static void deliver_snapshot(struct cluster *cluster, const struct cluster_message *message) {
	const struct cluster_snapshot *snapshot = &message->snapshot;
	struct cluster_node *leader = cluster_node(cluster, message->message.from);
	bool arrived = cluster_node(cluster, message->message.to)->up &&
		       !cluster->cut[message->message.from][message->message.to];

	if (arrived) {
		cluster_node(cluster, message->message.to)->staged = *snapshot;
		arrived = cluster_step(cluster, message->message.to,
				       &(struct raft_event){.kind = RAFT_SNAPSHOT_STAGED,
							    .peer = message->message.from,
							    .term = message->message.term,
							    .index = snapshot->index,
							    .index_term = snapshot->index_term,
							    .configuration = &snapshot->configuration,
							    .configuration_index = snapshot->configuration_index}) == 0;
	}
	leader->transfers &= ~(1u << message->message.to);
	if (leader->up)
		cluster_step(cluster, message->message.from,
			     &(struct raft_event){.kind = RAFT_SNAPSHOT_SENT,
						  .peer = message->message.to,
						  .index = snapshot->index,
						  .ok = arrived});
}

static void deliver(struct cluster *cluster, const struct cluster_message *message) {
	struct raft_entry entries[CLUSTER_APPEND_MAX];

	if (message->is_snapshot) {
		deliver_snapshot(cluster, message);
		return;
	}
	if (cluster->cut[message->message.from][message->message.to] || !cluster_node(cluster, message->message.to)->up)
		return;
	for (uint32_t i = 0; message->message.type == RAFT_APPEND && i < message->message.n; i++)
		entries[i] = (struct raft_entry){.term = message->entries[i].term,
						 .type = message->entries[i].type,
						 .configuration = message->entries[i].configuration};
	step(cluster, message->message.to,
	     &(struct raft_event){.kind = RAFT_RECV, .message = &message->message, .entries = entries}, message);
}

/* The global time at which a monotonic clock will have reached `mono`, if its machine stays awake. */
static raft_usec global_time(const struct cluster *cluster, const struct cluster_node *node, raft_usec mono) {
	raft_usec local, at;

	if (mono == UINT64_MAX)
		return UINT64_MAX;
	local = mono + node->slept;
	at = local <= node->offset ? 0 : ((local - node->offset) * 1000000 + node->ppm - 1) / node->ppm;
	return at > cluster->now ? at : cluster->now;
}

static raft_usec next_due(const struct cluster *cluster) {
	raft_usec due = UINT64_MAX;

	for (uint32_t i = 0; i < cluster->n_messages; i++)
		if (cluster->messages[i].due < due)
			due = cluster->messages[i].due;
	for (uint32_t i = 0; i < cluster->n; i++) {
		const struct cluster_node *node = &cluster->nodes[i];
		raft_usec at;

		if (node->asleep && node->wakes_at < due)
			due = node->wakes_at;
		if (!node->up)
			continue;
		at = global_time(cluster, node, raft_deadline(node->raft));
		if (at < due)
			due = at;
		if (!cluster->manual_disk && node->n_saves > 0 && node->saves[0].due < due)
			due = node->saves[0].due;
	}
	return due;
}

static void run_due(struct cluster *cluster) {
	for (uint32_t n = 1; n <= cluster->n; n++)
		if (cluster_node(cluster, n)->asleep && cluster_node(cluster, n)->wakes_at <= cluster->now)
			cluster_wake(cluster, n);
	for (uint32_t i = 0; i < cluster->n_messages; i++) {
		struct cluster_message message = cluster->messages[i];

		if (message.due > cluster->now)
			continue;
		if (cluster_node(cluster, message.message.to)->asleep) {
			cluster->messages[i].due = cluster_node(cluster, message.message.to)->wakes_at;
			continue;
		}
		memmove(cluster->messages + i, cluster->messages + i + 1,
			(--cluster->n_messages - i) * sizeof(*cluster->messages));
		deliver(cluster, &message);
		return;
	}
	for (uint32_t n = 1; n <= cluster->n; n++) {
		struct cluster_node *node = cluster_node(cluster, n);

		if (!node->up)
			continue;
		if (!cluster->manual_disk && node->n_saves > 0 && node->saves[0].due <= cluster->now) {
			execute_save(cluster, node);
			report_saved(cluster, n);
			return;
		}
		if (global_time(cluster, node, raft_deadline(node->raft)) <= cluster->now) {
			cluster_step(cluster, n, &(struct raft_event){.kind = RAFT_TIME});
			return;
		}
	}
}

void cluster_run(struct cluster *cluster, raft_usec duration) {
	raft_usec end = cluster->now + duration;

	for (;;) {
		raft_usec due = next_due(cluster);

		if (due > end)
			break;
		if (due > cluster->now)
			cluster->now = due;
		run_due(cluster);
	}
	cluster->now = end;
}

/* ---- Life ------------------------------------------------------------------------------------------------------- */

static void boot(struct cluster *cluster, uint32_t n) {
	struct cluster_node *node = cluster_node(cluster, n);
	struct raft_clocks clocks = cluster_clocks(cluster, node);
	struct raft_boot boot = {
		.group = 1,
		.node = n,
		.store = store_of(n),
		.term = node->disk_term,
		.vote = node->disk_vote,
		.base = node->base.index,
		.base_term = node->base.index_term,
		.base_configuration = node->base.index > 0 ? &node->base.configuration : NULL,
		.base_configuration_index = node->base.configuration_index,
		.promise_ms = node->promise_ms,
		.leader_lease = true,
		.seed = cluster_random(cluster, UINT64_MAX),
		.timing = cluster->timing,
		.limits = cluster->limits,
	};

	node->raft = raft_init(malloc(raft_size(&cluster->limits)), &boot);
	for (raft_index i = node->base.index + 1; i <= node->disk_last; i++) {
		struct raft_entry entry = {.term = node->disk[i].term,
					   .type = node->disk[i].type,
					   .configuration = node->disk[i].configuration};
		int r = raft_restore(node->raft, &entry);

		REQUIRE(r == 0, "restore: %d", r);
	}
	memcpy(node->log, node->disk, (node->disk_last + 1) * sizeof(*node->log));
	node->last = node->disk_last;
	node->applied = node->base.index;
	node->saved_seq = 0;
	node->n_saves = node->n_held = 0;
	node->transfers = 0;
	node->lease_until = 0;
	raft_start(node->raft, &clocks);
	node->up = true;
}

void cluster_crash(struct cluster *cluster, uint32_t n) {
	struct cluster_node *node = cluster_node(cluster, n);

	for (uint32_t i = 0; i < node->n_saves; i++)
		free(node->saves[i].entries);
	node->n_saves = 0;
	free(node->raft);
	node->raft = NULL;
	node->up = node->asleep = false;
}

void cluster_restart(struct cluster *cluster, uint32_t n) {
	boot(cluster, n);
}

static raft_usec local_time(const struct cluster *cluster, const struct cluster_node *node) {
	return cluster_clocks(cluster, node).boot;
}

void cluster_sleep(struct cluster *cluster, uint32_t n, raft_usec duration) {
	struct cluster_node *node = cluster_node(cluster, n);

	REQUIRE(node->up, "node %u is not up", n);
	node->up = false;
	node->asleep = true;
	node->asleep_since = local_time(cluster, node);
	node->wakes_at = cluster->now + duration;
}

void cluster_wake(struct cluster *cluster, uint32_t n) {
	struct cluster_node *node = cluster_node(cluster, n);

	REQUIRE(node->asleep, "node %u is awake", n);
	node->slept += local_time(cluster, node) - node->asleep_since;
	node->asleep = false;
	node->up = true;
}

void cluster_rewrite(struct cluster *cluster, uint32_t n, raft_term term, const char *terms) {
	struct cluster_node *node = cluster_node(cluster, n);

	cluster_crash(cluster, n);
	node->disk_term = term;
	node->disk_vote = 0;
	node->disk_last = 1;
	for (; *terms; terms++) {
		raft_index index = ++node->disk_last;

		node->disk[index] = (struct cluster_entry){.term = (raft_term)(*terms - '0'),
							   .type = RAFT_ENTRY_COMMANDS,
							   .id = (uint64_t)*terms << 32 | index};
	}
	cluster_restart(cluster, n);
}

struct raft_configuration cluster_configuration(const struct cluster *cluster, uint32_t voters, uint32_t outgoing,
						uint32_t learners) {
	struct raft_configuration configuration = {.promise_ms = cluster->promise_ms, .drift_ppm = cluster->drift_ppm};

	for (uint32_t node = 1; node <= cluster->n; node++) {
		uint8_t roles = (uint8_t)((voters >> node & 1 ? RAFT_ROLE_VOTER : 0) |
					  (outgoing >> node & 1 ? RAFT_ROLE_VOTER_OUTGOING : 0) |
					  (learners >> node & 1 ? RAFT_ROLE_LEARNER : 0));

		if (roles != 0)
			configuration.members[configuration.n++] =
				(struct raft_member){.node = node, .store = store_of(node), .roles = roles};
	}
	return configuration;
}

struct cluster *cluster_new(uint32_t n, uint64_t seed) {
	return cluster_new_with(n, n, seed);
}

struct cluster *cluster_new_with(uint32_t n, uint32_t voters, uint64_t seed) {
	struct cluster *cluster = calloc(1, sizeof(*cluster));

	cluster->n = n;
	cluster->random = seed;
	cluster->now = 1000 * MS;
	cluster->next_id = 2;
	cluster->promise_ms = 200;
	cluster->drift_ppm = 100000;
	cluster->timing = (struct raft_timing){.heartbeat = 50 * MS,
					       .election_min = 400 * MS,
					       .election_max = 800 * MS,
					       .check_quorum = 300 * MS,
					       .stagger = 10 * MS};
	cluster->limits = (struct raft_limits){
		.term_runs = 64, .saves = 32, .configurations = 8, .inflight = 8, .inflight_bytes = 1 << 16};
	cluster->latency_min = 100;
	cluster->latency_max = 1 * MS;
	cluster->disk_min = 100;
	cluster->disk_max = 2 * MS;
	cluster->messages = calloc(CLUSTER_MESSAGES_MAX, sizeof(*cluster->messages));
	cluster->founding = cluster_configuration(cluster, (1u << (voters + 1)) - 2, 0, 0);
	for (uint32_t i = 1; i <= n; i++) {
		struct cluster_node *node = cluster_node(cluster, i);

		node->held = calloc(CLUSTER_HELD_MAX, sizeof(*node->held));
		node->offset = cluster_random(cluster, 1000000000);
		node->ppm = 1000000;
		node->disk_term = 1;
		node->disk_last = 1;
		node->disk[1] = (struct cluster_entry){
			.term = 1, .type = RAFT_ENTRY_CONFIGURATION, .id = 1, .configuration = &cluster->founding};
		boot(cluster, i);
		node->promise_ms = cluster->promise_ms;
	}
	return cluster;
}

void cluster_free(struct cluster *cluster) {
	for (uint32_t i = 1; i <= cluster->n; i++) {
		if (cluster_node(cluster, i)->raft)
			cluster_crash(cluster, i);
		free(cluster_node(cluster, i)->held);
	}
	free(cluster->messages);
	free(cluster);
}

/* ---- Asking and acting ------------------------------------------------------------------------------------------ */

struct raft_status cluster_status(struct cluster *cluster, uint32_t n) {
	struct raft_status status;

	raft_get_status(cluster_node(cluster, n)->raft, &status);
	return status;
}

uint32_t cluster_leader(struct cluster *cluster) {
	uint32_t leader = 0;
	raft_term term = 0;

	for (uint32_t n = 1; n <= cluster->n; n++) {
		struct raft_status status;

		if (!cluster_node(cluster, n)->up)
			continue;
		status = cluster_status(cluster, n);
		if (status.role == RAFT_LEADER && status.term > term) {
			leader = n;
			term = status.term;
		}
	}
	return leader;
}

uint32_t cluster_elect(struct cluster *cluster, raft_usec limit) {
	raft_usec end = cluster->now + limit;

	while (cluster->now < end) {
		uint32_t leader = cluster_leader(cluster);

		if (leader != 0 && cluster_status(cluster, leader).commit >= cluster_status(cluster, leader).term_start)
			return leader;
		cluster_run(cluster, 5 * MS);
	}
	REQUIRE(false, "no leader within %lu ms", limit / MS);
	return 0;
}

int cluster_propose(struct cluster *cluster, uint32_t n, const struct raft_configuration *configuration) {
	struct raft_entry entry = {.type = configuration ? RAFT_ENTRY_CONFIGURATION : RAFT_ENTRY_COMMANDS,
				   .configuration = configuration};

	return cluster_step(cluster, n, &(struct raft_event){.kind = RAFT_PROPOSE, .entries = &entry});
}

int cluster_ask(struct cluster *cluster, uint32_t n) {
	raft_index committed = cluster->n_committed;
	struct cluster_node *node = cluster_node(cluster, n);
	int r = cluster_step(cluster, n, &(struct raft_event){.kind = RAFT_READ_INDEX});

	if (r == 0)
		node->questions[node->fx.round % CLUSTER_QUESTIONS_MAX] =
			(struct cluster_question){.number = node->fx.round, .committed = committed};
	return r;
}

void cluster_cut(struct cluster *cluster, uint32_t a, uint32_t b) {
	cluster->cut[a][b] = cluster->cut[b][a] = true;
}

void cluster_isolate(struct cluster *cluster, uint32_t n) {
	for (uint32_t other = 1; other <= cluster->n; other++)
		if (other != n)
			cluster_cut(cluster, n, other);
}

void cluster_heal(struct cluster *cluster) {
	memset(cluster->cut, 0, sizeof(cluster->cut));
}

void cluster_compact(struct cluster *cluster, uint32_t n, raft_index index) {
	struct cluster_node *node = cluster_node(cluster, n);
	raft_index configuration_index;

	if (index > node->applied)
		index = node->applied;
	if (index <= node->base.index)
		return;
	node->base.index_term = raft_term_at(node->raft, index);
	node->base.configuration = *raft_configuration_at(node->raft, index, &configuration_index);
	node->base.configuration_index = configuration_index;
	node->base.index = index;
	cluster_step(cluster, n, &(struct raft_event){.kind = RAFT_COMPACTED, .index = index});
}

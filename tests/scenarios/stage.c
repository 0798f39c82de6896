/* SPDX-License-Identifier: Apache-2.0 */
/* Life, saves, steps and time of a stage. */
#include "tests/scenarios/stage.h"

#include "raft/src/core.h"
#include "tests/sim/memory.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stage_node *stage_node(struct stage *stage, uint32_t node) {
	assert(node >= 1 && node <= stage->n);
	return &stage->nodes[node - 1];
}

static struct raft_clocks clocks_of(const struct stage *stage, const struct stage_node *node) {
	raft_usec local = node->offset + stage->now * node->ppm / 1000000;
	return (struct raft_clocks){.mono = local, .boot = local};
}

raft_usec stage_clock(struct stage *stage, uint32_t n) {
	return clocks_of(stage, stage_node(stage, n)).boot;
}

bool stage_has_lease(struct stage *stage, uint32_t n) {
	return stage_node(stage, n)->raft && stage_clock(stage, n) < stage_node(stage, n)->status.lease_until;
}

/* The true time at which a local clock will have reached `local`. */
static raft_usec true_time(const struct stage *stage, const struct stage_node *node, raft_usec local) {
	raft_usec at;

	if (local == UINT64_MAX)
		return UINT64_MAX;
	at = local <= node->offset ? 0 : ((local - node->offset) * 1000000 + node->ppm - 1) / node->ppm;
	return at > stage->now ? at : stage->now;
}

static struct stage_entry *log_at(struct stage_log *log, raft_index index) {
	log->entries = memory_fit(log->entries, &log->size, (size_t)index + 1, sizeof(*log->entries));
	return &log->entries[index];
}

static void log_copy(struct stage_log *to, const struct stage_log *from) {
	if (from->last > 0) {
		(void)log_at(to, from->last);
		memcpy(to->entries + 1, from->entries + 1, from->last * sizeof(*to->entries));
	}
	to->last = from->last;
}

static void observe(struct stage *stage, uint32_t n) {
	if (stage->watch && !stage->over)
		stage->watch(stage, n);
}

/* ---- Saves ---------------------------------------------------------------------------------------------------------
 */

static void put_entry(struct stage *stage, uint32_t n, const struct raft_event *event,
		      const struct stage_message *received, uint32_t i) {
	struct stage_node *node = stage_node(stage, n);
	const struct raft_save *save = &node->fx.save;
	struct stage_entry *entry = log_at(&node->log, save->first + i);

	assert(save->first + i == node->log.last + 1);
	if (received && received->message.type == RAFT_APPEND) {
		*entry = received->entries[save->entries_at + i];
	} else {
		*entry = (struct stage_entry){.term = node->status.term, .type = RAFT_ENTRY_NOOP, .text = "no-op"};
		if (event->kind == RAFT_PROPOSE) {
			entry->type = event->entries->type;
			entry->configuration = event->entries->configuration;
			snprintf(entry->text, sizeof(entry->text), "%" PRIu64, save->first + i);
		}
	}
	node->log.last++;
	invariants_entry(stage, n, save->first + i);
}

static void enqueue_save(struct stage *stage, uint32_t n, const struct raft_event *event,
			 const struct stage_message *received) {
	struct stage_node *node = stage_node(stage, n);
	const struct raft_save *save = &node->fx.save;
	struct stage_save *slot;

	if (save->seq == 0)
		return;
	if (save->truncate_from > 0) {
		invariants_truncate(stage, n, save->truncate_from);
		node->log.last = save->truncate_from - 1;
	}
	for (uint32_t i = 0; i < save->n; i++)
		put_entry(stage, n, event, received, i);

	assert(node->n_saves < STAGE_SAVES_MAX);
	slot = &node->saves[node->n_saves];
	*slot = (struct stage_save){.save = *save, .due = UINT64_MAX};
	if (node->disk_delay != UINT64_MAX) {
		slot->due = stage->now + node->disk_delay;
		if (stage->jitter > 0)
			slot->due += prng_range(&stage->prng, 0, stage->jitter);
		if (node->n_saves > 0 && slot->due < node->saves[node->n_saves - 1].due)
			slot->due = node->saves[node->n_saves - 1].due;
	}
	if (save->n > 0)
		slot->entries = memory_copy(&node->log.entries[save->first], save->n * sizeof(*slot->entries));
	node->n_saves++;
}

/* The oldest outstanding save reaches the platter. */
static void execute_save(struct stage *stage, uint32_t n) {
	struct stage_node *node = stage_node(stage, n);
	struct stage_save *slot = &node->saves[0];

	if (slot->save.hard) {
		node->disk_term = slot->save.term;
		node->disk_vote = slot->save.vote;
	}
	if (slot->save.truncate_from > 0)
		node->disk.last = slot->save.truncate_from - 1;
	for (uint32_t i = 0; i < slot->save.n; i++) {
		*log_at(&node->disk, slot->save.first + i) = slot->entries[i];
		node->disk.last = slot->save.first + i;
	}
	node->saved_seq = slot->save.seq;
	free(slot->entries);
	memmove(node->saves, node->saves + 1, --node->n_saves * sizeof(*node->saves));
	invariants_durable(stage, n);
	observe(stage, n);
}

static void report_saved(struct stage *stage, uint32_t n) {
	if (!stage_node(stage, n)->raft)
		return;
	stage_step(stage, n, &(struct raft_event){.kind = RAFT_SAVED, .seq = stage_node(stage, n)->saved_seq});
}

void stage_flush(struct stage *stage, uint32_t n) {
	struct stage_node *node = stage_node(stage, n);

	if (node->n_saves == 0)
		return;
	while (node->n_saves > 0)
		execute_save(stage, n);
	report_saved(stage, n);
}

void stage_freeze_disk(struct stage *stage, uint32_t n) {
	struct stage_node *node = stage_node(stage, n);

	stage_tell(stage, STAGE_TELL_DEEDS, "from here on the disk of S%u makes nothing durable", n);
	node->disk_delay = UINT64_MAX;
	for (uint32_t i = 0; i < node->n_saves; i++)
		node->saves[i].due = UINT64_MAX;
}

void stage_thaw_disk(struct stage *stage, uint32_t n) {
	stage_tell(stage, STAGE_TELL_DEEDS, "the disk of S%u works again", n);
	stage_node(stage, n)->disk_delay = 1 * MS;
	stage_flush(stage, n);
}

/* ---- Proposals -----------------------------------------------------------------------------------------------------
 */

static void settle(struct stage *stage, uint32_t n, raft_index applied) {
	const struct stage_node *node = stage_node(stage, n);
	for (uint32_t i = 0; i < stage->n_proposals; i++) {
		struct stage_proposal *proposal = &stage->proposals[i];
		if (proposal->node == n && proposal->index == applied && proposal->outcome == STAGE_PENDING)
			proposal->outcome = proposal->term == node->log.entries[applied].term ? STAGE_OK : STAGE_LOST;
	}
}

static void leave_unsettled(struct stage *stage, uint32_t n) {
	for (uint32_t i = 0; i < stage->n_proposals; i++) {
		struct stage_proposal *proposal = &stage->proposals[i];
		if (proposal->node == n && proposal->outcome == STAGE_PENDING)
			proposal->outcome = STAGE_UNKNOWN;
	}
}

static int propose(struct stage *stage, uint32_t n, const struct raft_entry *entry, int *ret) {
	struct stage_node *node = stage_node(stage, n);
	int r = stage_step(stage, n, &(struct raft_event){.kind = RAFT_PROPOSE, .entries = entry});

	if (ret)
		*ret = r;
	if (r != 0 || stage->over || !node->raft)
		return -1;
	assert(stage->n_proposals < STAGE_PROPOSALS_MAX);
	stage->proposals[stage->n_proposals] = (struct stage_proposal){
		.node = n, .term = node->status.term, .index = node->status.last, .outcome = STAGE_PENDING};
	return (int)stage->n_proposals++;
}

int stage_propose(struct stage *stage, uint32_t n, int *ret) {
	int number = propose(stage, n, &(struct raft_entry){.type = RAFT_ENTRY_COMMANDS}, ret);

	if (number >= 0)
		stage_tell(stage, STAGE_TELL_MESSAGES, "S%u is asked to write, and appends entry %" PRIu64, n,
			   stage->proposals[number].index);
	return number;
}

static struct raft_configuration *new_configuration(struct stage *stage, uint32_t voters, uint32_t outgoing) {
	struct raft_configuration *made = memory_new(sizeof(*made));

	stage->configurations = memory_fit(stage->configurations, &stage->configurations_size,
					   stage->n_configurations + 1, sizeof(*stage->configurations));
	stage->configurations[stage->n_configurations++] = made;
	made->promise_ms = stage->promise_ms;
	made->drift_ppm = stage->drift_ppm;
	for (uint32_t node = 1; node <= stage->n; node++) {
		uint8_t roles = (uint8_t)((voters >> node & 1 ? RAFT_ROLE_VOTER : 0) |
					  (outgoing >> node & 1 ? RAFT_ROLE_VOTER_OUTGOING : 0));
		if (roles == 0 && stage->learners >> node & 1)
			roles = RAFT_ROLE_LEARNER;
		if (roles != 0)
			made->members[made->n++] = (struct raft_member){
				.node = node, .store = {.bytes = {(uint8_t)node, 0xee}}, .roles = roles};
	}
	return made;
}

int stage_change(struct stage *stage, uint32_t n, uint32_t voters, uint32_t outgoing, int *ret) {
	const struct raft_configuration *configuration = new_configuration(stage, voters, outgoing);
	int number = propose(
		stage, n, &(struct raft_entry){.type = RAFT_ENTRY_CONFIGURATION, .configuration = configuration}, ret);

	if (number >= 0)
		stage_tell_change(stage, n, voters, outgoing);
	return number;
}

/* ---- Steps ---------------------------------------------------------------------------------------------------------
 */

static void send_one(struct stage *stage, uint32_t n, const struct stage_message *message) {
	struct stage_node *node = stage_node(stage, n);

	if (message->after_seq > node->saved_seq) {
		node->held = memory_fit(node->held, &node->held_size, node->n_held + 1, sizeof(*node->held));
		node->held[node->n_held++] = *message;
		return;
	}
	invariants_leave(stage, n, &message->message);
	stage_post(stage, message);
	observe(stage, n);
}

static void send_messages(struct stage *stage, uint32_t n) {
	struct stage_node *node = stage_node(stage, n);

	for (uint32_t i = 0; i < node->fx.n_messages; i++) {
		const struct raft_out *out = &node->fx.messages[i];
		struct stage_message message = {.message = out->message, .after_seq = out->after_seq};

		if (out->message.type == RAFT_APPEND_REPLY && out->message.flags & RAFT_FLAG_REJECT)
			node->refusals++;
		for (uint32_t k = 0; out->message.type == RAFT_APPEND && k < out->message.n; k++)
			message.entries[k] = node->log.entries[out->message.index + 1 + k];
		send_one(stage, n, &message);
	}
}

static void release_held(struct stage *stage, uint32_t n) {
	struct stage_node *node = stage_node(stage, n);
	size_t held = node->n_held;
	struct stage_message *messages = node->held;

	node->held = NULL;
	node->n_held = node->held_size = 0;
	for (size_t i = 0; i < held && node->raft; i++)
		send_one(stage, n, &messages[i]);
	free(messages);
}

static void apply(struct stage *stage, uint32_t n) {
	struct stage_node *node = stage_node(stage, n);
	while (node->applied < node->fx.apply_to) {
		node->applied++;
		invariants_applied(stage, n, node->applied);
		settle(stage, n, node->applied);
	}
}

static int step_once(struct stage *stage, uint32_t n, const struct raft_event *event,
		     const struct stage_message *received) {
	struct stage_node *node = stage_node(stage, n);
	struct raft_status before = node->status;
	raft_index last_before = node->log.last;
	struct raft_clocks clocks = clocks_of(stage, node);
	int r;

	if (stage->over)
		return 0;
	assert(node->raft);
	stage->steps++;
	if (stage->promises_ignored)
		node->raft->promise_until = 0;
	r = raft_step(node->raft, &clocks, event, &node->fx);
	if (!stage->unchecked)
		raft_check(node->raft);
	raft_get_status(node->raft, &node->status);
	enqueue_save(stage, n, event, received);
	assert(node->log.last == node->status.last);
	stage_tell_step(stage, n, &before, last_before);
	if (before.role != RAFT_LEADER && node->status.role == RAFT_LEADER)
		node->elections_won++;
	/* What is committed must be known before somebody applies it. */
	raft_index applied = node->applied;
	invariants_step(stage, n);
	apply(stage, n);
	if (applied != node->applied)
		invariants_step(stage, n);
	send_messages(stage, n);
	if (event->kind == RAFT_SAVED)
		release_held(stage, n);
	if (node->raft)
		observe(stage, n);
	return r;
}

static void replicate(struct stage *stage, uint32_t n) {
	struct stage_node *node = stage_node(stage, n);

	for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
		while (!stage->over && node->fx.replicate >> i & 1) {
			uint32_t peer = raft_members(node->raft, NULL)->members[i].node;
			raft_index next = raft_next(node->raft, peer);
			uint32_t count = stage->append_max;

			if (count > node->log.last - next + 1)
				count = (uint32_t)(node->log.last - next + 1);
			step_once(stage, n,
				  &(struct raft_event){
					  .kind = RAFT_REPLICATE, .peer = peer, .n = count, .bytes = count * 100},
				  NULL);
		}
	}
}

static int step(struct stage *stage, uint32_t n, const struct raft_event *event, const struct stage_message *received) {
	int r = step_once(stage, n, event, received);

	replicate(stage, n);
	return r;
}

int stage_step(struct stage *stage, uint32_t n, const struct raft_event *event) {
	return step(stage, n, event, NULL);
}

void stage_campaign(struct stage *stage, uint32_t n) {
	stage_step(stage, n, &(struct raft_event){.kind = RAFT_CAMPAIGN});
}

static void deliver(struct stage *stage, const struct stage_message *message) {
	struct raft_entry entries[STAGE_APPEND_MAX];
	uint32_t to = message->message.to;

	if (!stage_node(stage, to)->raft)
		return;
	for (uint32_t i = 0; message->message.type == RAFT_APPEND && i < message->message.n; i++)
		entries[i] = (struct raft_entry){.term = message->entries[i].term,
						 .type = message->entries[i].type,
						 .configuration = message->entries[i].configuration};
	stage_tell_message(stage, message);
	step(stage, to, &(struct raft_event){.kind = RAFT_RECV, .message = &message->message, .entries = entries},
	     message);
}

void stage_deliver(struct stage *stage, const struct raft_message *message) {
	assert(message->type != RAFT_APPEND || message->n == 0);
	deliver(stage, &(struct stage_message){.message = *message});
}

/* ---- Time ----------------------------------------------------------------------------------------------------------
 */

static bool awake(const struct stage *stage, const struct stage_node *node) {
	return node->raft && !(stage->patient && node->status.role == RAFT_FOLLOWER);
}

static raft_usec node_due(const struct stage *stage, const struct stage_node *node) {
	raft_usec due = awake(stage, node) ? true_time(stage, node, raft_deadline(node->raft)) : UINT64_MAX;

	return node->n_saves > 0 && node->saves[0].due < due ? node->saves[0].due : due;
}

static raft_usec next_due(const struct stage *stage) {
	raft_usec due = stage_network_due(stage);

	for (uint32_t i = 0; i < stage->n; i++) {
		raft_usec at = node_due(stage, &stage->nodes[i]);
		if (at < due)
			due = at;
	}
	return due;
}

/* One thing that is due: messages first, then disks, then clocks, since time-outs are judged after what has arrived. */
static void run_due(struct stage *stage) {
	struct stage_message message;

	if (stage_take(stage, &message)) {
		deliver(stage, &message);
		return;
	}
	for (uint32_t n = 1; n <= stage->n; n++) {
		struct stage_node *node = stage_node(stage, n);

		if (node_due(stage, node) > stage->now)
			continue;
		if (node->n_saves > 0 && node->saves[0].due <= stage->now) {
			execute_save(stage, n);
			report_saved(stage, n);
		} else {
			stage_step(stage, n, &(struct raft_event){.kind = RAFT_TIME});
		}
		return;
	}
}

bool stage_run_until(struct stage *stage, bool (*done)(struct stage *stage), raft_usec limit) {
	raft_usec end = stage->now + limit;
	bool reached = done && done(stage);

	while (!reached && !stage->over) {
		raft_usec due = next_due(stage);

		if (due > end)
			break;
		if (due > stage->now)
			stage->now = due;
		run_due(stage);
		reached = done && done(stage);
	}
	if (!reached && !stage->over)
		stage->now = end;
	stage_tell_heartbeats(stage);
	return reached;
}

void stage_run(struct stage *stage, raft_usec duration) {
	(void)stage_run_until(stage, NULL, duration);
}

static bool settled_leader(struct stage *stage) {
	uint32_t leader = stage_leader(stage);
	const struct raft_status *status = leader ? &stage_node(stage, leader)->status : NULL;
	return status && status->commit >= status->term_start;
}

uint32_t stage_await_leader(struct stage *stage, raft_usec limit) {
	return stage_run_until(stage, settled_leader, limit) ? stage_leader(stage) : 0;
}

/* A refusal may have taught it a higher term; then it asks again. */
void stage_stand(struct stage *stage, uint32_t n) {
	const struct stage_node *node = stage_node(stage, n);

	for (raft_usec end = stage->now + 3 * stage->timing.election_max; stage->now < end && !stage->over;) {
		if (node->status.role == RAFT_LEADER)
			return;
		if (node->status.role == RAFT_FOLLOWER)
			stage_campaign(stage, n);
		stage_run(stage, 1 * MS);
	}
	stage_expect(stage, stage->over, "election", "S%u does not come to lead", n);
}

void stage_elect(struct stage *stage, uint32_t n) {
	stage_stand(stage, n);
	stage_expect(stage, stage_run_until(stage, settled_leader, 200 * MS) && stage_leader(stage) == n, "settled",
		     "S%u does not commit its first entry", n);
}

/* ---- Life ----------------------------------------------------------------------------------------------------------
 */

static void boot(struct stage *stage, uint32_t n, uint32_t promise_ms) {
	struct stage_node *node = stage_node(stage, n);
	struct raft_clocks clocks = clocks_of(stage, node);
	struct raft_boot boot = {
		.group = 1,
		.node = n,
		.store = {.bytes = {(uint8_t)n, 0xee}},
		.term = node->disk_term,
		.vote = node->disk_vote,
		.promise_ms = promise_ms,
		.leader_lease = stage->leader_lease,
		.seed = node->seed++,
		.timing = stage->timing,
		.limits = stage->limits,
	};

	node->raft = raft_init(memory_new(raft_size(&stage->limits)), &boot);
	for (raft_index i = 1; i <= node->disk.last; i++) {
		const struct stage_entry *entry = &node->disk.entries[i];
		int r = raft_restore(node->raft, &(struct raft_entry){.term = entry->term,
								      .type = entry->type,
								      .configuration = entry->configuration});
		assert(r == 0);
	}
	log_copy(&node->log, &node->disk);
	node->applied = 0;
	node->saved_seq = 0;
	raft_start(node->raft, &clocks);
	raft_get_status(node->raft, &node->status);
	invariants_boot(stage, n);
}

static void stop(struct stage *stage, uint32_t n) {
	struct stage_node *node = stage_node(stage, n);

	for (uint32_t i = 0; i < node->n_saves; i++)
		free(node->saves[i].entries);
	node->n_saves = 0;
	node->n_held = 0;
	free(node->raft);
	node->raft = NULL;
	memset(&node->status, 0, sizeof(node->status));
	memset(&node->fx, 0, sizeof(node->fx));
}

void stage_crash(struct stage *stage, uint32_t n) {
	stage_tell(stage, STAGE_TELL_DEEDS, "S%u crashes", n);
	leave_unsettled(stage, n);
	stop(stage, n);
}

void stage_restart(struct stage *stage, uint32_t n) {
	stage_tell(stage, STAGE_TELL_DEEDS, "S%u restarts", n);
	assert(!stage_node(stage, n)->raft);
	boot(stage, n, stage->promise_ms);
}

static void found(struct stage *stage, struct stage_node *node) {
	node->disk_term = 1;
	node->disk_vote = 0;
	node->disk.last = 1;
	*log_at(&node->disk, 1) = (struct stage_entry){
		.term = 1, .type = RAFT_ENTRY_CONFIGURATION, .text = "founding", .configuration = stage->founding};
}

void stage_rewrite(struct stage *stage, uint32_t n, raft_term term, uint32_t vote, const char *terms) {
	struct stage_node *node = stage_node(stage, n);

	stop(stage, n);
	found(stage, node);
	node->disk_term = term;
	node->disk_vote = vote;
	for (; *terms; terms++) {
		raft_index index = ++node->disk.last;
		struct stage_entry *entry = log_at(&node->disk, index);

		*entry = (struct stage_entry){.term = (raft_term)(*terms - '0'), .type = RAFT_ENTRY_COMMANDS};
		snprintf(entry->text, sizeof(entry->text), "%" PRIu64, index);
	}
	boot(stage, n, 0);
}

struct stage *stage_new(const struct stage_setup *setup) {
	struct stage *stage = memory_new(sizeof(*stage));

	assert(setup->nodes <= STAGE_NODES_MAX);
	stage->n = setup->nodes;
	prng_init(&stage->prng, setup->seed);
	stage->tell = setup->tell;
	stage->patient = setup->patient;
	stage->latency = setup->latency ? setup->latency : 1 * MS;
	stage->append_max = STAGE_APPEND_MAX;
	stage->promise_ms = setup->promise_ms ? setup->promise_ms : 200;
	stage->drift_ppm = 100000;
	stage->leader_lease = setup->leader_lease;
	stage->timing = (struct raft_timing){.heartbeat = 50 * MS,
					     .election_min = 400 * MS,
					     .election_max = 800 * MS,
					     .check_quorum = 300 * MS,
					     .stagger = 10 * MS};
	stage->limits = (struct raft_limits){.term_runs = 256,
					     .saves = STAGE_SAVES_MAX,
					     .configurations = 64,
					     .inflight = 8,
					     .inflight_bytes = 1 << 16};
	stage->founding = new_configuration(stage, setup->voters ? setup->voters : (2u << setup->nodes) - 2, 0);
	for (uint32_t n = 1; n <= stage->n; n++) {
		struct stage_node *node = stage_node(stage, n);

		node->offset = n * 1000000;
		node->ppm = 1000000;
		node->disk_delay = setup->disk ? setup->disk : 1 * MS;
		node->seed = setup->seed * 1000 + n * 100;
		found(stage, node);
		boot(stage, n, 0);
	}
	return stage;
}

void stage_free(struct stage *stage) {
	for (uint32_t n = 1; n <= stage->n; n++) {
		struct stage_node *node = stage_node(stage, n);

		stop(stage, n);
		free(node->held);
		free(node->log.entries);
		free(node->disk.entries);
	}
	invariants_deinit(stage);
	for (size_t i = 0; i < stage->n_configurations; i++)
		free(stage->configurations[i]);
	free(stage->configurations);
	free(stage->queue);
	free(stage->kept);
	free(stage);
}

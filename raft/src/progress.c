/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include "invariant.h"

void raft__progress_init(struct raft__progress *progress, const struct raft_member *member, raft_index next) {
	struct raft__inflight *inflight = progress->inflight;

	*progress = (struct raft__progress){
		.node = member->node, .store = member->store, .next = next, .inflight = inflight};
}

static void empty_inflight(struct raft__progress *progress) {
	progress->head = progress->n = 0;
	progress->bytes = 0;
}

/* A member whose next entry is compacted waits for a snapshot. The entry before next must be known to the log (its term
 * is sent along), hence next > base suffices. */
static void probe_from(struct raft__progress *progress, raft_index next, raft_index base) {
	progress->next = next;
	progress->state = next > base ? RAFT__PROBE : RAFT__SNAPSHOT;
	progress->probing = false;
	empty_inflight(progress);
}

bool raft__progress_ready(const struct raft__progress *progress, const struct raft_limits *limits, raft_index last) {
	if (progress->next > last || progress->next <= progress->match)
		return false;
	switch (progress->state) {
	case RAFT__PROBE: return !progress->probing;
	case RAFT__REPLICATE: return progress->n < limits->inflight && progress->bytes < limits->inflight_bytes;
	case RAFT__SNAPSHOT: return false;
	}
	return false;
}

void raft__progress_sent(struct raft__progress *progress, const struct raft_limits *limits, uint32_t n, uint32_t bytes,
			 uint64_t round) {
	if (progress->state == RAFT__PROBE) {
		progress->probing = true;
		progress->probe_round = round;
		return;
	}
	RAFT_ASSERT(progress->state == RAFT__REPLICATE);
	RAFT_ASSERT(progress->n < limits->inflight);

	progress->next += n;
	progress->bytes += bytes;
	progress->inflight[(progress->head + progress->n++) % limits->inflight] =
		(struct raft__inflight){.last = progress->next - 1, .round = round, .bytes = bytes};
}

void raft__progress_matched(struct raft__progress *progress, const struct raft_limits *limits, raft_index index,
			    raft_index base) {
	if (index > progress->match)
		progress->match = index;
	if (progress->state != RAFT__REPLICATE) {
		probe_from(progress, progress->match + 1, base);
		if (progress->state == RAFT__PROBE)
			progress->state = RAFT__REPLICATE;
		return;
	}
	while (progress->n > 0 && progress->inflight[progress->head].last <= progress->match) {
		progress->bytes -= progress->inflight[progress->head].bytes;
		progress->head = (uint16_t)((progress->head + 1) % limits->inflight);
		progress->n--;
	}
	if (progress->next <= progress->match)
		progress->next = progress->match + 1;
}

/* Answers may be late or repeated. While probing only the position asked for counts; in the pipeline everything at or
 * below match is old news, and next need not go below it. */
void raft__progress_rejected(struct raft__progress *progress, raft_index index, raft_index agree, raft_index base) {
	raft_index next;

	if (index <= progress->match || progress->state == RAFT__SNAPSHOT)
		return;
	if (progress->state == RAFT__PROBE && index != progress->next - 1)
		return;
	if (index >= progress->next)
		return;
	next = agree < index ? agree + 1 : index;
	probe_from(progress, next > progress->match ? next : progress->match + 1, base);
}

void raft__progress_heard(struct raft__progress *progress, uint64_t round, raft_index held, raft_index base) {
	const struct raft__inflight *oldest = &progress->inflight[progress->head];

	if (round > progress->round)
		progress->round = round;
	if (progress->state == RAFT__PROBE && progress->probing && round > progress->probe_round)
		progress->probing = false;
	/* An append that is held but not acknowledged waits for the member's disk; sending it again would not help. */
	if (progress->state == RAFT__REPLICATE && progress->n > 0 && round > oldest->round && held < oldest->last)
		probe_from(progress, progress->match + 1, base);
}

void raft__progress_heal(struct raft__progress *progress, raft_index base, raft_index last) {
	if (progress->next <= progress->match || progress->next > last + 1)
		probe_from(progress, progress->match + 1, base);
}

void raft__progress_transferred(struct raft__progress *progress, raft_index index, raft_index base) {
	if (progress->state == RAFT__SNAPSHOT && index >= base)
		probe_from(progress, index + 1, base);
}

void raft__progress_compacted(struct raft__progress *progress, raft_index base) {
	if (progress->next <= base)
		probe_from(progress, progress->next, base);
}

void raft__progress_catch_up(struct raft__progress *progress, raft_index last, raft_usec now, raft_usec quick) {
	if (progress->goal != 0 && progress->match >= progress->goal) {
		progress->goals += progress->goals < UINT32_MAX;
		progress->quick = now - progress->goal_since <= quick;
		progress->goal = 0;
	}
	if (progress->goal == 0 && progress->match < last) {
		progress->goal = last;
		progress->goal_since = now;
	}
	/* The next round would be one of nothing, which takes no time; in a log that rests it never begins. */
	if (progress->goal == 0)
		progress->quick = true;
}

bool raft__progress_caught_up(const struct raft__progress *progress, raft_usec now, raft_usec quick) {
	return progress->quick && (progress->goal == 0 || now - progress->goal_since <= quick);
}

void raft__progress_check(const struct raft__progress *progress, const struct raft_limits *limits, raft_index base,
			  raft_index last) {
	uint64_t bytes = 0;
	raft_index before = progress->match;

	RAFT_ASSERT(progress->match < progress->next);
	RAFT_ASSERT(progress->next <= last + 1);
	RAFT_ASSERT((progress->state == RAFT__SNAPSHOT) == (progress->next <= base));
	RAFT_ASSERT(progress->state == RAFT__REPLICATE || progress->n == 0);
	RAFT_ASSERT(progress->n <= limits->inflight);
	for (uint16_t i = 0; i < progress->n; i++) {
		const struct raft__inflight *sent = &progress->inflight[(progress->head + i) % limits->inflight];

		RAFT_ASSERT(sent->last > before);
		RAFT_ASSERT(sent->last < progress->next);
		before = sent->last;
		bytes += sent->bytes;
	}
	RAFT_ASSERT(bytes == progress->bytes);
	RAFT_ASSERT(progress->goal <= last);
	RAFT_ASSERT(progress->questions[0].number != 0 || progress->questions[1].number == 0);
	RAFT_ASSERT(progress->questions[1].number == 0 || progress->questions[0].round <= progress->questions[1].round);
}

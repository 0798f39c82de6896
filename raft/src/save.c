/* SPDX-License-Identifier: Apache-2.0 */
#include "save.h"

#include "invariant.h"

void raft__saves_init(struct raft__saves *saves, struct raft__save_slot *ring, uint16_t max) {
	RAFT_ASSERT(max > 0);
	*saves = (struct raft__saves){.ring = ring, .max = max};
}

bool raft__saves_full(const struct raft__saves *saves) {
	return saves->last_seq - saves->saved_seq == saves->max;
}

void raft__saves_push(struct raft__saves *saves, const struct raft_save *save, raft_index last) {
	RAFT_ASSERT(!raft__saves_full(saves));
	RAFT_ASSERT(save->seq == saves->last_seq + 1);

	saves->last_seq = save->seq;
	if (save->hard)
		saves->hard_seq = save->seq;
	if (last > 0)
		saves->log_seq = save->seq;
	saves->ring[save->seq % saves->max] =
		(struct raft__save_slot){.last = last, .hard = save->hard, .term = save->term, .vote = save->vote};
}

void raft__saves_clamp(struct raft__saves *saves, raft_index from) {
	RAFT_ASSERT(from > 0);

	if (saves->durable >= from)
		saves->durable = from - 1;
	for (uint64_t seq = saves->saved_seq + 1; seq <= saves->last_seq; seq++) {
		struct raft__save_slot *slot = &saves->ring[seq % saves->max];

		if (slot->last >= from)
			slot->last = from - 1;
	}
}

void raft__saves_done(struct raft__saves *saves, uint64_t seq) {
	RAFT_ASSERT(seq <= saves->last_seq);

	while (saves->saved_seq < seq) {
		const struct raft__save_slot *slot = &saves->ring[++saves->saved_seq % saves->max];

		if (slot->last > saves->durable)
			saves->durable = slot->last;
		if (slot->hard) {
			RAFT_ASSERT(slot->term >= saves->term);
			RAFT_ASSERT(slot->term > saves->term || saves->vote == 0 || saves->vote == slot->vote);
			saves->term = slot->term;
			saves->vote = slot->vote;
		}
	}
}

uint64_t raft__saves_after_hard(const struct raft__saves *saves) {
	return saves->hard_seq > saves->saved_seq ? saves->hard_seq : 0;
}

/* Not before the hard state either: the term of the reply must be as durable as the entries it speaks of. */
uint64_t raft__saves_after_log(const struct raft__saves *saves) {
	uint64_t seq = saves->log_seq > saves->hard_seq ? saves->log_seq : saves->hard_seq;

	return seq > saves->saved_seq ? seq : 0;
}

void raft__saves_check(const struct raft__saves *saves, raft_index last) {
	RAFT_ASSERT(saves->saved_seq <= saves->last_seq);
	RAFT_ASSERT(saves->last_seq - saves->saved_seq <= saves->max);
	RAFT_ASSERT(saves->durable <= last);
	for (uint64_t seq = saves->saved_seq + 1; seq <= saves->last_seq; seq++)
		RAFT_ASSERT(saves->ring[seq % saves->max].last <= last);
}

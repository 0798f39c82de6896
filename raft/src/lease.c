/* SPDX-License-Identifier: Apache-2.0 */
/* The leader lease (dissertation §6.4.1): until when no other leader commits anything.
 *
 * A voter that answers round r heard us after r was sent, and promises from then on to elect nobody else for P of its
 * own clock. A clock may be off by ρ: P lasts at least P/(1+ρ) of real time there, and what we measure as D has lasted
 * at most D/(1−ρ). Hence the answer is good until sent(r) + P·(1−ρ)/(1+ρ) on our clock — counted from when the round
 * was sent, never from when the answer came. The lease ends where the promises of a majority do.
 *
 * It is measured on the clock that goes on while the machine sleeps, since the others' promises run out meanwhile. */
#include "core.h"
#include "invariant.h"

static raft_usec promise_worth(const struct raft *raft) {
	const struct raft_configuration *members = raft__members(raft);
	uint64_t one = 1000000, drift = members->drift_ppm;

	return drift < one ? (raft_usec)members->promise_ms * 1000 * (one - drift) / (one + drift) : 0;
}

/* Rounds may be started in every step. One that follows closely on another may be left out, since an answer to it is as
 * good as one to the round before; so the ring always reaches back for two promises, and an older answer is worth
 * nothing. */
void raft__lease_sent(struct raft *raft) {
	const struct raft__round *last = &raft->rounds[(raft->n_rounds + RAFT__ROUNDS_MAX - 1) % RAFT__ROUNDS_MAX];
	raft_usec worth = promise_worth(raft);

	if (raft->n_rounds > 0 && last->worth == worth && raft->boot - last->boot < worth * 2 / RAFT__ROUNDS_MAX)
		return;
	raft->rounds[raft->n_rounds++ % RAFT__ROUNDS_MAX] =
		(struct raft__round){.number = raft->round, .mono = raft->now, .boot = raft->boot, .worth = worth};
}

/* The latest round on record that is not after `number`. */
static const struct raft__round *round_sent(const struct raft *raft, uint64_t number) {
	uint64_t oldest = raft->n_rounds > RAFT__ROUNDS_MAX ? raft->n_rounds - RAFT__ROUNDS_MAX : 0;

	for (uint64_t i = raft->n_rounds; i > oldest; i--)
		if (raft->rounds[(i - 1) % RAFT__ROUNDS_MAX].number <= number)
			return &raft->rounds[(i - 1) % RAFT__ROUNDS_MAX];
	return NULL;
}

/* Weight 1/8, as TCP smooths it (RFC 6298). 0 means not known. */
static void measure(struct raft__progress *progress, raft_usec rtt) {
	if (rtt == 0)
		rtt = 1;
	progress->rtt = progress->rtt == 0 ? rtt : progress->rtt - progress->rtt / 8 + rtt / 8;
	if (progress->rtt == 0)
		progress->rtt = 1;
}

void raft__lease_answered(struct raft *raft, struct raft__progress *progress, uint64_t number) {
	const struct raft__round *sent = round_sent(raft, number);

	if (!sent)
		return;
	if (sent->number == number && number > progress->round)
		measure(progress, raft->now - sent->mono);
	if (raft__later(sent->boot, sent->worth) > progress->lease_end)
		progress->lease_end = raft__later(sent->boot, sent->worth);
}

/* A new leader waits for its no-op: before that it does not know what is committed. While leadership is handed over,
 * votes are cast in spite of the promises; after an attempt that failed such votes may still be under way, until the
 * log that they are asked for with is outdated by an entry that is committed behind it. */
raft_usec raft__lease_until(const struct raft *raft) {
	if (!raft->leader_lease || raft->role != RAFT_LEADER || raft->commit < raft->lease_from)
		return 0;
	return raft__lease_end(raft);
}

bool raft__lease_valid(const struct raft *raft) {
	return raft->boot < raft__lease_until(raft);
}

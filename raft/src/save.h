/* SPDX-License-Identifier: Apache-2.0 */
/* Outstanding saves and what is durable. Saves are numbered without gaps and executed in order; a report of durability
 * names the highest number.
 *
 * The ring remembers up to which index each outstanding save would make the log durable. When the log is truncated,
 * every outstanding save is clamped to what remains: otherwise its report would vouch for entries that were appended
 * again with other contents and are still on their way to the disk (the ABA race). */
#ifndef RAFT_SAVE_H
#define RAFT_SAVE_H

#include <raft/raft.h>

struct raft__save_slot {
	raft_index last; /* durable up to here once this save is; 0: it appends nothing */
	bool hard;
	raft_term term;
	uint32_t vote;
};

struct raft__saves {
	uint64_t last_seq, saved_seq; /* saved_seq ≤ last_seq; between them are the outstanding ones */
	uint64_t hard_seq;            /* of the last save with a hard state */
	uint64_t log_seq;             /* of the last save that appends */
	raft_index durable;           /* entries up to here are on disk as the log has them */
	raft_term term;               /* the durable hard state */
	uint32_t vote;
	uint16_t max;
	struct raft__save_slot *ring; /* number seq lives in ring[seq % max] */
};

void raft__saves_init(struct raft__saves *saves, struct raft__save_slot *ring, uint16_t max);

bool raft__saves_full(const struct raft__saves *saves);

/* Registers the next save; its number is last_seq + 1. `last` is the end of the log if it appends, else 0. */
void raft__saves_push(struct raft__saves *saves, const struct raft_save *save, raft_index last);

/* The log was cut from `from` on. */
void raft__saves_clamp(struct raft__saves *saves, raft_index from);

/* All saves up to `seq` are durable. */
void raft__saves_done(struct raft__saves *saves, uint64_t seq);

/* What a message must wait for: 0 if there is nothing to wait for. */
uint64_t raft__saves_after_hard(const struct raft__saves *saves);
uint64_t raft__saves_after_log(const struct raft__saves *saves);

void raft__saves_check(const struct raft__saves *saves, raft_index last);

#endif

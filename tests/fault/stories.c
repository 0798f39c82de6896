/* SPDX-License-Identifier: Apache-2.0 */
#include "stories.h"

enum { RESERVE_BYTES = 64 << 10 };

#define ONE(...) run_write(run, &(struct node_save){__VA_ARGS__}, 1)
#define MANY(...)                                                                                                      \
	run_write(run, (const struct node_save[]){__VA_ARGS__},                                                        \
		  sizeof((const struct node_save[]){__VA_ARGS__}) / sizeof(struct node_save))
#define ROWS(...)                                                                                                      \
	(const struct run_row[]){__VA_ARGS__}, sizeof((const struct run_row[]){__VA_ARGS__}) / sizeof(struct run_row)

static void reopen(struct run *run) {
	run_crash(run);
	run_open(run);
}

/* ---- Beginnings ---------------------------------------------------------------------------------------------------
 */

static void founded(struct run *run) {
	run_open(run);
	ONE(.group = 1, .identity = true, .incarnation = {{0xa1}}, .epoch = 1, .hard = true, .term = 1, .vote = 1);
	run_append(run, 1, 3, 1);
}

/* Nine entries, a checkpoint at 4, terms 1 and 2. */
static void grown(struct run *run) {
	founded(run);
	run_append(run, 1, 3, 1);
	run_checkpoint(run, 1, 4, 1, ROWS({1, 1}, {2, 1}, {5, 1}, {9, 1}));
	ONE(.group = 1, .hard = true, .term = 2, .vote = 2, .promise_ms = 50);
	run_append(run, 1, 3, 2);
}

/* A WAL that the next idle moment copies back. */
static void written_much(struct run *run) {
	founded(run);
	for (int i = 0; i < 26; i++)
		run_append(run, 1, 24, 1);
}

/* A WAL that even a busy moment copies back. */
static void written_very_much(struct run *run) {
	founded(run);
	for (int i = 0; i < 470; i++)
		run_append(run, 1, 2, 1);
}

/* ---- Stories ------------------------------------------------------------------------------------------------------
 */

static void first_start(struct run *run) {
	run_open(run);
	run_stop(run);
	run_open(run);
	ONE(.group = 1, .identity = true, .incarnation = {{0xa1}}, .epoch = 1, .hard = true, .term = 1, .vote = 1);
	reopen(run);
}

static void commits(struct run *run) {
	run_open(run);
	run_append(run, 1, 1, 1);
	run_append(run, 1, 2, 1);
	ONE(.group = 1, .hard = true, .term = 2, .vote = 3, .promise_ms = 100);
	MANY({.group = 1, .entries = run_entries(1, 7, 2, 2), .n_entries = 2},
	     {.group = 2, .hard = true, .term = 4, .vote = 2, .entries = run_entries(2, 1, 3, 4), .n_entries = 3},
	     {.group = 1, .hard = true, .term = 3, .entries = run_entries(1, 9, 1, 3), .n_entries = 1});
	run_append(run, 1, 1, 3);
	ONE(.group = 1, .hard = true, .term = 3, .vote = 1, .promise_ms = 150);
	run_append(run, 1, 1, 3);
	reopen(run);
	run_append(run, 2, 1, 4);
	reopen(run);
}

/* Nothing is written behind them, the count of a start least of all. */
static void last_commits(struct run *run) {
	run_open(run);
	run_append(run, 1, 1, 1);
	run_append(run, 1, 2, 1);
	ONE(.group = 1, .hard = true, .term = 2, .vote = 3);
	run_append(run, 1, 1, 2);
	run_append(run, 1, 1, 2);
}

static void rewriting(struct run *run) {
	run_open(run);
	ONE(.group = 1, .hard = true, .term = 3, .truncate_from = 6, .entries = run_entries(1, 6, 5, 3),
	    .n_entries = 5);
	ONE(.group = 1, .truncate_from = 8);
	ONE(.group = 1, .hard = true, .term = 4, .truncate_from = 6, .entries = run_entries(1, 6, 1, 4),
	    .n_entries = 1);
	run_append(run, 1, 2, 4);
	reopen(run);
	MANY({.group = 1, .hard = true, .term = 5, .vote = 1},
	     {.group = 1, .truncate_from = 7, .entries = run_entries(1, 7, 1, 5), .n_entries = 1},
	     {.group = 1, .hard = true, .term = 6},
	     {.group = 1, .truncate_from = 7, .entries = run_entries(1, 7, 3, 6), .n_entries = 3});
	reopen(run);
}

static void votes(struct run *run) {
	run_open(run);
	for (raft_term term = 3; term < 7; term++) {
		ONE(.group = 1, .hard = true, .term = term);
		ONE(.group = 1, .hard = true, .term = term, .vote = (uint32_t)term % 3 + 1);
	}
	reopen(run);
	MANY({.group = 1, .hard = true, .term = 7}, {.group = 2, .hard = true, .term = 2, .vote = 2},
	     {.group = 1, .hard = true, .term = 7, .vote = 3, .promise_ms = 70});
	reopen(run);
}

static void checkpoints(struct run *run) {
	run_open(run);
	run_checkpoint(run, 1, 6, 2, ROWS({1, 2}, {2, 0}, {5, 2}, {7, 1}));
	ONE(.group = 1, .trim_to = 4, .trim_term = 1);
	run_append(run, 1, 2, 2);
	run_checkpoint(run, 1, 8, 3, ROWS({9, 0}, {13, 3}, {5, 0}));
	run_checkpoint(run, 1, 9, 4, ROWS({1, 3}));
	ONE(.group = 1, .entries = run_entries(1, 12, 1, 2), .n_entries = 1, .trim_to = 9, .trim_term = 2);
	reopen(run);
	run_idle(run);
	run_append(run, 1, 1, 2);
	reopen(run);
}

/* The WAL starts over, and its frames are written over by those of the next round. */
static void wal_idle(struct run *run) {
	run_open(run);
	run_idle(run);
	run_append(run, 1, 2, 1);
	ONE(.group = 1, .hard = true, .term = 2, .vote = 1);
	run_append(run, 1, 2, 2);
	reopen(run);
}

static void wal_busy(struct run *run) {
	run_open(run);
	run_append(run, 1, 2, 1);
	run_append(run, 1, 2, 1);
	reopen(run);
}

static void sending(struct run *run) {
	run_open(run);
	run_send_snapshot(run, 1);
	run_checkpoint(run, 1, 6, 2, ROWS({1, 2}, {5, 0}, {13, 2}));
	run_send_snapshot(run, 1);
	run_append(run, 1, 1, 2);
	reopen(run);
}

static void install_restart(struct run *run) {
	struct node_save save = run_installs(1, 40, 3, 5, ROWS({2, 5}, {3, 5}, {13, 5}));

	run_open(run);
	save.hard = true;
	save.term = 3;
	save.promise_ms = 60;
	run_write(run, &save, 1);
	run_append(run, 1, 2, 3);
	reopen(run);
	run_checkpoint(run, 1, 41, 6, ROWS({2, 6}, {3, 0}));
	reopen(run);
}

/* The snapshot ends within the log, but with another history there. */
static void install_shorter(struct run *run) {
	struct node_save save = run_installs(1, 7, 3, 5, ROWS({2, 5}, {5, 5}));

	run_open(run);
	run_write(run, &save, 1);
	run_append(run, 1, 1, 3);
	reopen(run);
}

static void install_suffix(struct run *run) {
	struct node_save save = run_installs(1, 7, 2, 5, ROWS({2, 5}, {5, 5}, {21, 5}));

	run_open(run);
	save.keep_suffix = true;
	run_write(run, &save, 1);
	run_append(run, 1, 1, 2);
	reopen(run);
	save = run_installs(2, 3, 1, 7, ROWS({2, 7}));
	run_write(run, &save, 1);
	reopen(run);
}

static void recovery(struct run *run) {
	struct node_save save = run_installs(1, 10, 3, 8, ROWS({1, 8}, {5, 8}));

	run_open(run);
	save.identity = true;
	save.incarnation = (struct node_uuid){{0xb2}};
	save.epoch = 2;
	save.hard = true;
	save.term = 3;
	save.promise_ms = 50;
	run_write(run, &save, 1);
	run_stop(run);
	run_open(run);
	run_append(run, 1, 1, 3);
	reopen(run);
}

static void stopping(struct run *run) {
	run_open(run);
	run_stop(run);
	run_open(run);
	run_append(run, 1, 1, 2);
	run_stop(run);
	run_open(run);
	run_crash(run);
	run_open(run);
	run_stop(run);
	run_open(run);
}

static void condemned(struct run *run) {
	run_open(run);
	run_append(run, 1, 1, 2);
	run_condemn(run);
}

/* The log is damaged; a blank store takes its place, and is damaged in its turn. */
static void set_aside(struct run *run) {
	run_open(run);
	run_crash(run);
	run_turn_bit(run, "raft.db-wal", 9000);
	run_set_aside(run);
	run_open(run);
	run_append(run, 1, 2, 5);
	reopen(run);
	run_crash(run);
	run_turn_bit(run, "raft.db-wal", 9000);
	run_set_aside(run);
	run_open(run);
	run_append(run, 1, 1, 6);
	reopen(run);
}

static void reserved(struct run *run) {
	run->reserve = RESERVE_BYTES;
	run_open(run);
	run_append(run, 1, 1, 2);
	run_give_up_reserve(run);
	run_append(run, 1, 2, 2);
	run_refill_reserve(run);
	run_append(run, 1, 1, 2);
	run_stop(run);
	run_open(run);
}

const struct story stories[] = {
	{.name = "first-start", .tell = first_start},
	{.name = "commits", .prelude = founded, .tell = commits},
	{.name = "last-commits", .prelude = founded, .tell = last_commits},
	{.name = "rewriting", .prelude = grown, .tell = rewriting},
	{.name = "votes", .prelude = grown, .tell = votes},
	{.name = "checkpoints", .prelude = grown, .tell = checkpoints},
	{.name = "wal-idle", .prelude = written_much, .tell = wal_idle, .large = true},
	{.name = "wal-busy", .prelude = written_very_much, .tell = wal_busy, .large = true},
	{.name = "sending", .prelude = grown, .tell = sending},
	{.name = "install-restart", .prelude = grown, .tell = install_restart},
	{.name = "install-shorter", .prelude = grown, .tell = install_shorter},
	{.name = "install-suffix", .prelude = grown, .tell = install_suffix},
	{.name = "recovery", .prelude = grown, .tell = recovery},
	{.name = "stopping", .prelude = grown, .tell = stopping},
	{.name = "condemned", .prelude = grown, .tell = condemned},
	{.name = "set-aside", .prelude = grown, .tell = set_aside},
	{.name = "reserved", .prelude = grown, .tell = reserved},
};
const size_t n_stories = sizeof stories / sizeof *stories;

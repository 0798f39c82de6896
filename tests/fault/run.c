/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

#include "api/bytes.h"
#include "api/checksum.h"
#include "judge.h"
#include "mount.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

/* ---- Life ---------------------------------------------------------------------------------------------------------
 */

static void run_begin_life(struct run *run, const struct story *story, const struct check *check, void *context,
			   struct medium *medium) {
	*run = (struct run){.story = story, .check = check, .context = context, .medium = medium};
	run->past = calloc(RUN_STEPS, sizeof *run->past);
	run->logged = calloc(RUN_STEPS, sizeof *run->logged);
	assert(run->past && run->logged);
	mount_add(RUN_PATH, medium);
}

/* A prelude meets no faults. */
static void prelude_called(struct run *run, int r) {
	if (r != 0)
		run_violation(run, "%s returns %d: %s", run->call, r, run->error.text);
}

static bool prelude_never(struct run *run) {
	(void)run;
	return false;
}

static bool prelude_loads_other(struct run *run, const struct ledger *loaded) {
	(void)run;
	(void)loaded;
	return false;
}

static const struct check prelude_check = {
	.name = "prelude",
	.called = prelude_called,
	.finds_full = prelude_never,
	.loads_other = prelude_loads_other,
};

void run_prepare(struct run *run, const struct story *story) {
	run_begin_life(run, story, &prelude_check, NULL, medium_new());
	if (story->prelude)
		story->prelude(run);
	run_abandon(run);
	mount_remove(run->medium);
}

void run_init(struct run *run, const struct run *prepared, const struct check *check, void *context) {
	run_begin_life(run, prepared->story, check, context, medium_copy(prepared->medium));
	run->now = prepared->now;
	run->steps = prepared->steps;
	run->reserve = prepared->reserve;
	memcpy(run->past, prepared->past, RUN_STEPS * sizeof *run->past);
	memcpy(run->logged, prepared->logged, RUN_STEPS * sizeof *run->logged);
}

void run_deinit(struct run *run) {
	run_abandon(run);
	mount_remove(run->medium);
	medium_free(run->medium);
	free(run->past);
	free(run->logged);
}

void run_abandon(struct run *run) {
	run->store = store_close(run->store, false);
}

void run_violation(struct run *run, const char *format, ...) {
	va_list arguments;

	if (run->violations++ > 0)
		return;
	va_start(arguments, format);
	(void)vsnprintf(run->why, sizeof run->why, format, arguments);
	va_end(arguments);
}

/* ---- Calls --------------------------------------------------------------------------------------------------------
 */

/* What the call may leave: for now, everything as it is. */
static struct expectation *run_begin(struct run *run, const char *call) {
	mount_seed(run->steps + 1); /* whatever was looked at in between, the story draws the same */
	run->call = call;
	run->may_begin = false;
	run->expected[0] = run->now;
	run->n_expected = 1;
	return run->expected;
}

static struct expectation *run_may_leave(struct run *run) {
	assert(run->n_expected < RUN_EXPECTED);
	run->expected[run->n_expected] = run->now;
	return &run->expected[run->n_expected++];
}

static void run_end(struct run *run, int r) {
	if (r == 0)
		run->now = run->expected[run->n_expected - 1];
	if (run->check == &prelude_check)
		run->steps = 0; /* as a whole it is the first step */
	assert(run->steps < RUN_STEPS);
	run->past[run->steps++] = run->now.ledger;
	run->check->called(run, r);
	if (r != 0 || run->over) {
		run->over = true;
		run_abandon(run);
	}
}

static bool run_again(struct run *run, int r) {
	return r == STORE_FULL && run->check->finds_full(run);
}

static void run_is_open(struct run *run, const struct node *node) {
	struct expectation *opened = run_may_leave(run);
	const char *difference = ledger_differ(&node->ledger, &run->now.ledger);

	if (node->alien[0] || difference) {
		run->over = !run->check->loads_other(run, node->alien[0] ? NULL : &node->ledger);
		if (run->over)
			run_violation(run, "store_load feeds what was not stored: %s",
				      node->alien[0] ? node->alien : difference);
		opened->ledger = node->ledger;
	}
	opened->created = true;
	store_get_uuid(run->store, &opened->uuid);
	opened->boot_count = store_get_boot_count(run->store);
	store_get_past(run->store, &opened->past);
}

void run_open(struct run *run) {
	static struct node node;
	int r;

	if (run->over)
		return;
	run_begin(run, "store_open");
	r = judge_open(RUN_FOLDER, run->reserve, &run->store, &node, &run->error);
	if (r == 0)
		run_is_open(run, &node);
	run_end(run, r);
}

void run_stop(struct run *run) {
	if (run->over)
		return;
	run_begin(run, "store_close");
	run->store = store_close(run->store, true);
	run_end(run, 0);
}

void run_crash(struct run *run) {
	if (!run->over)
		run_abandon(run);
}

void run_write(struct run *run, const struct node_save *saves, size_t n) {
	struct expectation *first, *all;
	int r;

	if (run->over)
		return;
	run_begin(run, "store_write");
	run->may_begin = saves->install; /* which the next start completes */
	first = run_may_leave(run);
	ledger_save_first(&first->ledger, saves, n);
	if (saves->identity && run->now.ledger.incarnation) {
		first->kind = EXPECT_HALF;
		first->ledger.incarnation = run->now.ledger.incarnation;
		first->ledger.epoch = run->now.ledger.epoch;
	}
	all = run_may_leave(run);
	ledger_save(&all->ledger, saves, n);
	run->logged[run->steps] = 1;
	do
		r = store_write(run->store, saves, n, &run->error);
	while (run_again(run, r));
	run_end(run, r);
}

void run_append(struct run *run, uint32_t group, size_t n, raft_term term) {
	run_write(run,
		  &(struct node_save){.group = group,
				      .entries = run_entries(group, run_last(run, group) + 1, n, term),
				      .n_entries = n},
		  1);
}

raft_index run_last(const struct run *run, uint32_t group) {
	return run->now.ledger.groups[group].last;
}

void run_checkpoint(struct run *run, uint32_t group, raft_index index, uint8_t version, const struct run_row *rows,
		    size_t n) {
	struct node_save save = run_installs(group, index, 0, version, rows, n);
	struct node_checkpoint checkpoint = {
		.group = group,
		.index = index,
		.header = save.header,
		.header_bytes = save.header_bytes,
		.row_ids = save.row_ids,
		.rows = save.rows,
		.n_rows = n,
	};
	int r;

	if (run->over)
		return;
	run_begin(run, "store_checkpoint");
	ledger_checkpoint(&run_may_leave(run)->ledger, &checkpoint);
	do
		r = store_checkpoint(run->store, &checkpoint, &run->error);
	while (run_again(run, r));
	run_end(run, r);
}

void run_idle(struct run *run) {
	if (run->over)
		return;
	run_begin(run, "store_idle");
	run_end(run, store_idle(run->store, &run->error));
}

void run_condemn(struct run *run) {
	int r;

	if (run->over)
		return;
	run_begin(run, "store_condemn");
	run->may_begin = true;
	run_may_leave(run)->kind = EXPECT_CONDEMNED;
	do
		r = store_condemn(run->store, "node 2 has heard more from it", &run->error);
	while (run_again(run, r));
	run_end(run, r);
	run_crash(run);
}

void run_turn_bit(struct run *run, const char *file, uint64_t offset) {
	int found = medium_find(run->medium, MEDIUM_ROOT, "data"), at;

	if (run->over)
		return;
	assert(!run->store && found >= 0);
	at = medium_find(run->medium, found, file);
	assert(at >= 0);
	medium_rot(run->medium, at, offset, 4);
	run->now.kind = EXPECT_DAMAGED;
}

void expect_aside(struct expectation *expected) {
	struct store_past *past = &expected->past;

	if (past->n < STORE_PAST_MAX)
		past->n++;
	memmove(past->stores + 1, past->stores, (past->n - 1) * sizeof *past->stores);
	past->stores[0] = expected->uuid;
	if (expected->ledger.incarnation) { /* a blank one was still bound to the cluster of the one before */
		past->incarnation = (struct node_uuid){{expected->ledger.incarnation}};
		past->epoch = expected->ledger.epoch;
	}
	past->repairs++;
	expected->kind = EXPECT_LEDGER;
	expected->created = false;
	expected->ledger = (struct ledger){0};
}

void run_set_aside(struct run *run) {
	int r;

	if (run->over)
		return;
	run_begin(run, "store_set_aside");
	run->may_begin = true;
	expect_aside(run_may_leave(run));
	do
		r = store_set_aside(RUN_FOLDER, "a bit had turned", &run->error);
	while (run_again(run, r));
	run_end(run, r);
}

void run_give_up_reserve(struct run *run) {
	int r;

	if (run->over)
		return;
	run_begin(run, "store_give_up_reserve");
	do
		r = store_give_up_reserve(run->store, &run->error);
	while (run_again(run, r));
	run_end(run, r);
}

void run_refill_reserve(struct run *run) {
	int r;

	if (run->over)
		return;
	run_begin(run, "store_refill_reserve");
	do
		r = store_refill_reserve(run->store, &run->error);
	while (run_again(run, r));
	run_end(run, r);
}

/* ---- Snapshots ----------------------------------------------------------------------------------------------------
 */

static bool snapshot_has_row(const struct ledger_group *group, uint64_t id, int fd, off_t *at, XXH3_state_t *digest) {
	uint8_t wanted[LEDGER_BYTES_MAX + 4], found[LEDGER_BYTES_MAX + 4];
	size_t n = ledger_row(id, group->rows[id], wanted + 4) + 4;

	bytes_put_u32(wanted, (uint32_t)n - 4);
	if (pread(fd, found, n, *at) != (ssize_t)n || memcmp(found, wanted, n) != 0)
		return false;
	*at += (off_t)n;
	(void)XXH3_128bits_update(digest, found, n);
	return true;
}

static bool snapshot_is_whole(const struct ledger_group *group, const struct store_snapshot *snapshot) {
	XXH3_state_t *digest = XXH3_createState();
	XXH128_canonical_t canonical;
	uint8_t header[LEDGER_BYTES_MAX];
	size_t n = ledger_header(group->checkpoint, group->version, header);
	off_t at = 0;
	bool whole = snapshot->header_bytes == n && memcmp(snapshot->header, header, n) == 0 &&
		     snapshot->index == group->checkpoint;

	assert(digest);
	(void)XXH3_128bits_reset(digest);
	(void)XXH3_128bits_update(digest, header, n);
	for (uint64_t id = 0; whole && id < LEDGER_ROWS; id++)
		if (group->rows[id])
			whole = snapshot_has_row(group, id, snapshot->fd, &at, digest);
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(digest));
	XXH3_freeState(digest);
	return whole && snapshot->bytes == (uint64_t)at &&
	       memcmp(canonical.digest, snapshot->digest, sizeof snapshot->digest) == 0;
}

void run_send_snapshot(struct run *run, uint32_t group) {
	struct store_snapshot snapshot;
	int r;

	if (run->over)
		return;
	run_begin(run, "store_snapshot");
	do
		r = store_snapshot(run->store, group, &snapshot, &run->error);
	while (run_again(run, r));
	if (r == 0) {
		medium_set_harmless(run->medium, true);
		if (!snapshot_is_whole(&run->now.ledger.groups[group], &snapshot) &&
		    !run->check->loads_other(run, NULL))
			run_violation(run, "the snapshot is not the checkpoint that was stored");
		medium_set_harmless(run->medium, false);
		close(snapshot.fd);
		free(snapshot.header);
	}
	run_end(run, r);
}

/* ---- Contents -----------------------------------------------------------------------------------------------------
 */

enum { ENTRIES_AT_ONCE = 64, ROWS_AT_ONCE = 16 };

const struct node_entry *run_entries(uint32_t group, raft_index first, size_t n, raft_term term) {
	static struct node_entry entries[ENTRIES_AT_ONCE];
	static uint8_t bytes[ENTRIES_AT_ONCE][LEDGER_BYTES_MAX];
	static size_t used;
	size_t start;

	assert(n <= ENTRIES_AT_ONCE / 2);
	if (used + n > ENTRIES_AT_ONCE)
		used = 0;
	start = used;
	for (size_t i = 0; i < n; i++, used++) {
		raft_index index = first + i;
		size_t length = ledger_entry(index, term, bytes[used]);

		entries[used] = (struct node_entry){
			.index = index,
			.term = term,
			.type = RAFT_ENTRY_COMMANDS,
			.checksum = checksum_entry(group, index, term, RAFT_ENTRY_COMMANDS, bytes[used], length),
			.data = bytes[used],
			.n = length,
		};
	}
	return entries + start;
}

struct node_save run_installs(uint32_t group, raft_index base, raft_term term, uint8_t version,
			      const struct run_row *rows, size_t n) {
	static uint8_t header[LEDGER_BYTES_MAX], records[ROWS_AT_ONCE][LEDGER_BYTES_MAX];
	static struct node_bytes bytes[ROWS_AT_ONCE];
	static uint64_t ids[ROWS_AT_ONCE];

	assert(n <= ROWS_AT_ONCE);
	for (size_t i = 0; i < n; i++) {
		ids[i] = rows[i].id;
		bytes[i] = (struct node_bytes){0};
		if (rows[i].version)
			bytes[i] = (struct node_bytes){.bytes = records[i],
						       .n = ledger_row(rows[i].id, rows[i].version, records[i])};
	}
	return (struct node_save){
		.group = group,
		.install = true,
		.base = base,
		.base_term = term,
		.header = header,
		.header_bytes = ledger_header(base, version, header),
		.row_ids = ids,
		.rows = bytes,
		.n_rows = n,
	};
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The storage thread against a store that this test plays: what is queued is copied, written in order, reported once.
 */
#include "lockd/io/storage.h"

#include "lockd/io/clock.h"
#include "lockd/io/fatal.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct inbox inbox;
static pthread_mutex_t state_db = PTHREAD_MUTEX_INITIALIZER;
static struct inbox_list pending;

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
/* Written by the storage thread, read by the test behind a report or the end of the thread. */
static struct {
	int failure;   /* of every write; 0: none */
	int full_left; /* so many writes find the disk full … */
	int freed;     /* … fewer by this once the reserve is given up */
	bool reserved; /* it is of more than 0 bytes … */
	bool given_up; /* … which others have … */
	bool room;     /* … until there is room for it; protected by the gate */
	int given_up_times;
	int transactions, largest, reports, pauses;
	bool installed_alone;
	char bytes[64];
	size_t n;
} disk;

static int *noted; /* shared with the process that ends */

void store_note_failure(const struct store *store, int r, const struct store_error *failure) {
	(void)store;
	*noted = r;
	assert_string_equal(failure->text, "as the test wants it");
}

int store_write(struct store *store, const struct node_save *saves, size_t n, struct store_error *error) {
	(void)store;
	snprintf(error->text, sizeof error->text, "as the test wants it");
	pthread_mutex_lock(&gate);
	pthread_mutex_unlock(&gate);
	if (disk.failure < 0)
		return disk.failure;
	if (disk.full_left > 0) {
		disk.full_left--;
		return STORE_FULL;
	}
	disk.transactions++;
	disk.reports++;
	if ((int)n > disk.largest)
		disk.largest = (int)n;
	for (size_t i = 0; i < n; i++) {
		if (saves[i].install)
			disk.installed_alone = n == 1 && pthread_mutex_trylock(&state_db) != 0;
		for (size_t e = 0; e < saves[i].n_entries; e++) {
			memcpy(disk.bytes + disk.n, saves[i].entries[e].data, saves[i].entries[e].n);
			disk.n += saves[i].entries[e].n;
		}
	}
	return 0;
}

bool store_has_reserve(const struct store *store) {
	(void)store;
	return !disk.given_up;
}

int store_give_up_reserve(struct store *store, struct store_error *error) {
	(void)store;
	(void)error;
	disk.given_up_times++;
	disk.given_up = disk.reserved;
	disk.full_left -= disk.freed;
	return 0;
}

int store_refill_reserve(struct store *store, struct store_error *error) {
	bool room;

	(void)store;
	(void)error;
	pthread_mutex_lock(&gate);
	room = disk.room || !disk.reserved;
	pthread_mutex_unlock(&gate);
	if (room)
		disk.given_up = false;
	return room ? 0 : STORE_FULL;
}

int store_idle(struct store *store, struct store_error *error) {
	(void)store;
	(void)error;
	disk.pauses++;
	return 0;
}

static struct storage_report *next_report(void) {
	struct inbox_item *item;
	bool overfull;

	if (STAILQ_EMPTY(&pending)) {
		inbox_wait(&inbox, clock_mono() + 10000000);
		inbox_take(&inbox, &pending, &overfull);
	}
	item = STAILQ_FIRST(&pending);
	assert_non_null(item);
	STAILQ_REMOVE_HEAD(&pending, next);
	return storage_report_of(item);
}

static void expect_saved(uint32_t group, uint64_t seq) {
	uint64_t seen = 0;

	while (seen < seq) {
		struct storage_report *report = next_report();

		assert_int_equal(report->outcome, STORAGE_SAVED);
		for (uint32_t i = 0; i < report->n; i++) {
			if (report->durable[i].group == group) {
				assert_true(report->durable[i].seq > seen);
				seen = report->durable[i].seq;
			}
		}
		free(report);
	}
	assert_int_equal(seen, seq);
}

static void expect_outcome(enum storage_outcome outcome) {
	struct storage_report *report = next_report();

	assert_int_equal(report->outcome, outcome);
	free(report);
}

/* For as long as it takes to look for space a few times. */
static void expect_silence(void) {
	bool overfull;

	assert_true(STAILQ_EMPTY(&pending));
	inbox_wait(&inbox, clock_mono() + 3 * STORAGE_RETRY_MS * 1000);
	inbox_take(&inbox, &pending, &overfull);
	assert_true(STAILQ_EMPTY(&pending));
}

static void make_room(void) {
	pthread_mutex_lock(&gate);
	disk.room = true;
	pthread_mutex_unlock(&gate);
}

static void put(struct storage *storage, uint32_t group, uint64_t seq, const char *text) {
	char copy[16];
	struct node_entry entry = {.index = seq, .term = 1, .data = (uint8_t *)copy, .n = strlen(text)};
	struct node_save save = {.group = group, .seq = seq, .entries = &entry, .n_entries = 1};

	strncpy(copy, text, sizeof copy);
	storage_save(storage, &save, NULL, 0, clock_mono());
	memset(copy, '?', sizeof copy); /* the caller's bytes may go at once */
}

static int set_up(void **state) {
	(void)state;
	inbox_init(&inbox, 1 << 20);
	STAILQ_INIT(&pending);
	memset(&disk, 0, sizeof disk);
	return 0;
}

static int tear_down(void **state) {
	(void)state;
	inbox_deinit(&inbox);
	return 0;
}

static void test_storage__retries_the_same_save_while_the_disk_is_full(void **state) {
	struct storage *storage;

	(void)state;
	disk.full_left = 2;
	storage = storage_start(NULL, &inbox, &state_db);
	put(storage, 1, 1, "first");
	expect_outcome(STORAGE_BLOCKED);
	expect_saved(1, 1);
	expect_outcome(STORAGE_UNBLOCKED);
	put(storage, 1, 2, "second");
	expect_saved(1, 2);
	assert_true(storage_stop(storage));
	assert_memory_equal(disk.bytes, "firstsecond", 11);
}

static void test_storage__lets_nothing_overtake_what_met_a_full_disk(void **state) {
	struct storage *storage;

	(void)state;
	disk.full_left = 2;
	storage = storage_start(NULL, &inbox, &state_db);
	put(storage, 1, 1, "first");
	expect_outcome(STORAGE_BLOCKED);
	put(storage, 1, 2, "second");
	expect_saved(1, 1);
	expect_outcome(STORAGE_UNBLOCKED);
	expect_saved(1, 2);
	assert_true(storage_stop(storage));
	assert_memory_equal(disk.bytes, "firstsecond", 11);
}

/* What met the full disk is durable and reported before the node steps down for it. */
static void test_storage__spends_the_reserve_on_what_met_a_full_disk(void **state) {
	struct storage *storage;

	(void)state;
	disk.reserved = true;
	disk.full_left = disk.freed = 1;
	storage = storage_start(NULL, &inbox, &state_db);
	put(storage, 1, 1, "first");
	expect_saved(1, 1);
	expect_outcome(STORAGE_BLOCKED);
	put(storage, 1, 2, "second");
	expect_saved(1, 2);
	expect_silence();
	make_room();
	expect_outcome(STORAGE_UNBLOCKED);
	put(storage, 1, 3, "third");
	expect_saved(1, 3);
	assert_true(storage_stop(storage));
	assert_int_equal(disk.given_up_times, 1);
	assert_memory_equal(disk.bytes, "firstsecondthird", 16);
}

static void test_storage__waits_when_the_reserve_is_not_enough(void **state) {
	struct storage *storage;

	(void)state;
	disk.reserved = true;
	disk.full_left = 3;
	disk.freed = 1;
	storage = storage_start(NULL, &inbox, &state_db);
	put(storage, 1, 1, "x");
	expect_outcome(STORAGE_BLOCKED);
	expect_saved(1, 1);
	expect_silence();
	make_room();
	expect_outcome(STORAGE_UNBLOCKED);
	assert_true(storage_stop(storage));
	assert_int_equal(disk.given_up_times, 1);
}

static void test_storage__is_blocked_from_the_start_without_a_whole_reserve(void **state) {
	struct storage *storage;

	(void)state;
	disk.reserved = disk.given_up = true;
	storage = storage_start(NULL, &inbox, &state_db);
	put(storage, 1, 1, "x");
	expect_outcome(STORAGE_BLOCKED);
	expect_saved(1, 1);
	make_room();
	expect_outcome(STORAGE_UNBLOCKED);
	assert_true(storage_stop(storage));
	assert_int_equal(disk.given_up_times, 0);
}

static void test_storage__gives_the_reserve_to_a_checkpoint(void **state) {
	struct storage *storage;

	(void)state;
	disk.reserved = true;
	storage = storage_start(NULL, &inbox, &state_db);
	storage_note_checkpoint(storage, true);
	expect_outcome(STORAGE_BLOCKED);
	make_room();
	expect_silence(); /* the checkpoint would be short of what the reserve takes */
	storage_note_checkpoint(storage, false);
	expect_outcome(STORAGE_UNBLOCKED);
	assert_true(storage_stop(storage));
	assert_int_equal(disk.given_up_times, 1);
}

static void test_storage__is_blocked_by_a_checkpoint_without_any_reserve(void **state) {
	struct storage *storage = storage_start(NULL, &inbox, &state_db);

	(void)state;
	storage_note_checkpoint(storage, true);
	expect_outcome(STORAGE_BLOCKED);
	expect_silence();
	storage_note_checkpoint(storage, false);
	expect_outcome(STORAGE_UNBLOCKED);
	assert_true(storage_stop(storage));
}

/* It has replaced what the checkpoint was of. */
static void test_storage__waits_for_no_checkpoint_behind_an_install(void **state) {
	struct storage *storage = storage_start(NULL, &inbox, &state_db);
	struct node_save install = {.group = 1, .seq = 1, .install = true};

	(void)state;
	storage_note_checkpoint(storage, true);
	expect_outcome(STORAGE_BLOCKED);
	storage_save(storage, &install, NULL, 0, clock_mono());
	expect_saved(1, 1);
	expect_outcome(STORAGE_UNBLOCKED);
	assert_true(storage_stop(storage));
}

/* The watchdog ends a node whose disk does not answer; a full one does. */
static void test_storage__is_not_stuck_while_the_disk_is_full(void **state) {
	raft_usec began = clock_mono();
	struct storage *storage;

	(void)state;
	disk.full_left = 2;
	pthread_mutex_lock(&gate);
	storage = storage_start(NULL, &inbox, &state_db);
	put(storage, 1, 1, "x");
	assert_in_range(storage_waits_since(storage), began, clock_mono());
	began = clock_mono();
	pthread_mutex_unlock(&gate);
	expect_outcome(STORAGE_BLOCKED);
	assert_true(storage_waits_since(storage) >= began);
	expect_saved(1, 1);
	expect_outcome(STORAGE_UNBLOCKED);
	assert_true(storage_stop(storage));
}

/* In a process of its own, and not before the store has been told why. */
static void test_storage__ends_the_process_when_the_log_is_damaged(void **state) {
	pid_t child;
	int status;

	(void)state;
	noted = mmap(NULL, sizeof *noted, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(noted, MAP_FAILED);
	child = fork();
	if (child == 0) {
		disk.failure = -EBADMSG;
		put(storage_start(NULL, &inbox, &state_db), 1, 1, "x");
		free(next_report());
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), FATAL_EXIT_STATUS);
	assert_int_equal(*noted, -EBADMSG);
	munmap(noted, sizeof *noted);
}

static void test_storage__tells_at_the_stop_that_saves_are_lost(void **state) {
	struct storage *storage;

	(void)state;
	disk.full_left = 1000000;
	storage = storage_start(NULL, &inbox, &state_db);
	put(storage, 1, 1, "x");
	expect_outcome(STORAGE_BLOCKED);
	assert_false(storage_stop(storage));
	assert_int_equal(disk.transactions, 0);
}

static void test_storage__writes_what_gathered_in_one_transaction(void **state) {
	struct storage *storage = storage_start(NULL, &inbox, &state_db);

	(void)state;
	pthread_mutex_lock(&gate);
	put(storage, 1, 1, "a");
	put(storage, 2, 1, "b");
	put(storage, 1, 2, "c");
	put(storage, 2, 2, "d");
	pthread_mutex_unlock(&gate);
	assert_true(storage_stop(storage));
	assert_memory_equal(disk.bytes, "abcd", 4);
	assert_in_range(disk.transactions, 1, 2); /* the first may have been taken alone */
	assert_true(disk.largest >= 3);
	assert_in_range(disk.pauses, 1, 2); /* only when nothing waits is there time for what may be put off */
	while (disk.reports-- > 0)
		free(next_report());
}

static void test_storage__installs_a_snapshot_alone(void **state) {
	struct storage *storage = storage_start(NULL, &inbox, &state_db);
	uint64_t id = 1;
	struct node_bytes row = {.bytes = (const uint8_t *)"row", .n = 3};
	struct node_save install = {.group = 1, .seq = 2, .install = true, .row_ids = &id, .rows = &row, .n_rows = 1};

	(void)state;
	pthread_mutex_lock(&gate);
	put(storage, 1, 1, "a");
	storage_save(storage, &install, row.bytes, row.n, clock_mono());
	put(storage, 1, 3, "b");
	pthread_mutex_unlock(&gate);
	expect_saved(1, 3);
	assert_true(storage_stop(storage));
	assert_true(disk.installed_alone);
	assert_int_equal(disk.transactions, 3);
	assert_memory_equal(disk.bytes, "ab", 2);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		/* First, while there are no threads: it forks. */
		cmocka_unit_test_setup_teardown(test_storage__ends_the_process_when_the_log_is_damaged, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_storage__retries_the_same_save_while_the_disk_is_full, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_storage__lets_nothing_overtake_what_met_a_full_disk, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_storage__spends_the_reserve_on_what_met_a_full_disk, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_storage__waits_when_the_reserve_is_not_enough, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_storage__is_blocked_from_the_start_without_a_whole_reserve, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_storage__gives_the_reserve_to_a_checkpoint, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_storage__is_blocked_by_a_checkpoint_without_any_reserve, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_storage__waits_for_no_checkpoint_behind_an_install, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_storage__is_not_stuck_while_the_disk_is_full, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_storage__tells_at_the_stop_that_saves_are_lost, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_storage__writes_what_gathered_in_one_transaction, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_storage__installs_a_snapshot_alone, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The checkpoint thread against a store that this test plays. */
#include "lockd/io/checkpointer.h"

#include "lockd/io/clock.h"
#include "lockd/io/fatal.h"
#include "lockd/io/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct inbox inbox;
static struct inbox_list pending;
static pthread_mutex_t state_db = PTHREAD_MUTEX_INITIALIZER;
static struct checkpointer *checkpointer;

/* Written by the thread, read by the test behind a job that came back. */
static struct {
	int result; /* of the next call … */
	bool slow;  /* … which takes a while */
	bool locked;
	raft_index index;
	uint32_t group;
	bool full;         /* as the storage thread was told … */
	bool told_in_time; /* … before an install could begin */
} disk;

static int answer(void) {
	struct timespec pause = {.tv_nsec = 200000000};

	disk.locked = pthread_mutex_trylock(&state_db) == EBUSY;
	if (disk.slow)
		nanosleep(&pause, NULL);
	return disk.result;
}

void storage_note_checkpoint(struct storage *storage, bool full) {
	(void)storage;
	disk.full = full;
	disk.told_in_time = pthread_mutex_trylock(&state_db) == EBUSY;
}

static int *noted; /* shared with the process that ends */

void store_note_failure(const struct store *store, int r, const struct store_error *failure) {
	(void)store;
	*noted = r;
	assert_true(failure->text[0]);
}

int store_checkpoint(struct store *store, const struct node_checkpoint *checkpoint, struct store_error *error) {
	(void)store;
	snprintf(error->text, sizeof error->text, "as the test wants it");
	disk.index = checkpoint->index;
	return answer();
}

raft_index store_get_checkpoint_index(const struct store *store, uint32_t group) {
	(void)store;
	return group == 1 ? 42 : 0;
}

int store_snapshot(struct store *store, uint32_t group, struct store_snapshot *ret, struct store_error *error) {
	(void)store;
	snprintf(error->text, sizeof error->text, "as the test wants it");
	disk.group = group;
	*ret = (struct store_snapshot){.fd = 3, .bytes = 7};
	return answer();
}

/* Without a thread, so that the process may fork. */
static int set_up_alone(void **state) {
	(void)state;
	memset(&disk, 0, sizeof disk);
	inbox_init(&inbox, 1 << 20);
	STAILQ_INIT(&pending);
	checkpointer = NULL;
	return 0;
}

static int set_up(void **state) {
	(void)set_up_alone(state);
	checkpointer = checkpointer_start(NULL, NULL, &inbox, &state_db);
	return 0;
}

static int tear_down(void **state) {
	(void)state;
	if (checkpointer)
		checkpointer_stop(checkpointer);
	inbox_deinit(&inbox);
	return 0;
}

static struct checkpointer_job *job_new(enum inbox_kind kind) {
	struct checkpointer_job *job = calloc(1, sizeof *job);

	job->item.kind = kind;
	return job;
}

static struct checkpointer_job *await(void) {
	struct inbox_item *item;
	bool overfull;

	if (STAILQ_EMPTY(&pending)) {
		inbox_wait(&inbox, clock_mono() + 10000000);
		inbox_take(&inbox, &pending, &overfull);
	}
	item = STAILQ_FIRST(&pending);
	assert_non_null(item);
	STAILQ_REMOVE_HEAD(&pending, next);
	return checkpointer_job_of(item);
}

static struct checkpointer_job *make(struct checkpointer_job *job) {
	checkpointer_add(checkpointer, job);
	assert_ptr_equal(await(), job);
	return job;
}

/* In a process of its own: ends with FATAL_EXIT_STATUS, and not before the store has been told why. */
static void expect_fatal(enum inbox_kind kind, int result) {
	pid_t child;
	int status;

	noted = mmap(NULL, sizeof *noted, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(noted, MAP_FAILED);
	child = fork();
	if (child == 0) {
		disk.result = result;
		checkpointer = checkpointer_start(NULL, NULL, &inbox, &state_db);
		checkpointer_add(checkpointer, job_new(kind));
		(void)await();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), FATAL_EXIT_STATUS);
	assert_int_equal(*noted, result);
	munmap(noted, sizeof *noted);
}

static void test_checkpointer__ends_the_process_when_a_checkpoint_fails(void **state) {
	(void)state;
	expect_fatal(INBOX_CHECKPOINTED, -EIO);
}

/* Told later, the storage thread would wait for a checkpoint that an install has replaced, and that nobody makes again.
 */
static void test_checkpointer__tells_of_a_full_disk_before_the_next_install(void **state) {
	(void)state;
	for (int result = STORE_FULL; result >= 0; result--) {
		struct checkpointer_job *job = job_new(INBOX_CHECKPOINTED);

		disk.result = result;
		disk.full = result == 0;
		disk.told_in_time = false;
		free(make(job));
		assert_int_equal(disk.full, result == STORE_FULL);
		assert_true(disk.told_in_time);
	}
}

static void test_checkpointer__ends_the_process_when_the_checkpoint_on_disk_is_damaged(void **state) {
	(void)state;
	expect_fatal(INBOX_SNAPSHOT_CUT, -EBADMSG);
}

static void test_checkpointer__survives_a_full_disk_and_a_want_of_descriptors(void **state) {
	struct checkpointer_job *job;

	(void)state;
	disk.result = STORE_FULL;
	job = make(job_new(INBOX_CHECKPOINTED));
	assert_int_equal(job->result, STORE_FULL);
	free(job);
	job = make(job_new(INBOX_SNAPSHOT_CUT));
	assert_int_equal(job->result, STORE_FULL);
	free(job);
	disk.result = -EMFILE;
	job = make(job_new(INBOX_SNAPSHOT_CUT));
	assert_int_equal(job->result, -EMFILE);
	free(job);
}

static void test_checkpointer__refuses_to_read_behind_the_end(void **state) {
	struct checkpointer_job *job = job_new(INBOX_SNAPSHOT_READ);
	uint8_t bytes[8];

	(void)state;
	job->fd = open("/dev/null", O_RDONLY);
	job->bytes = bytes;
	job->n = sizeof bytes;
	make(job);
	assert_int_equal(job->result, -EIO);
	close(job->fd);
	free(job);
}

static void test_checkpointer__holds_the_lock_of_state_db(void **state) {
	struct checkpointer_job *job = job_new(INBOX_CHECKPOINTED);

	(void)state;
	job->checkpoint.index = 12;
	free(make(job));
	assert_true(disk.locked);
	assert_int_equal(disk.index, 12);

	disk.locked = false;
	job = job_new(INBOX_SNAPSHOT_CUT);
	job->group = 5;
	make(job);
	assert_true(disk.locked);
	assert_int_equal(disk.group, 5);
	assert_int_equal(job->snapshot.bytes, 7);
	free(job);
}

static void test_checkpointer__does_not_cut_again_what_is_the_same(void **state) {
	struct checkpointer_job *job = job_new(INBOX_SNAPSHOT_CUT);

	(void)state;
	job->group = 1;
	job->have = 42;
	make(job);
	assert_int_equal(job->result, 0);
	assert_true(job->unchanged);
	assert_int_equal(disk.group, 0);
	job->have = 41;
	make(job);
	assert_false(job->unchanged);
	assert_int_equal(disk.group, 1);
	free(job);
}

static void test_checkpointer__gives_back_undone_what_it_had_not_begun(void **state) {
	struct checkpointer_job *first = job_new(INBOX_CHECKPOINTED), *second = job_new(INBOX_SNAPSHOT_CUT);

	(void)state;
	disk.slow = true;
	checkpointer_add(checkpointer, first);
	checkpointer_add(checkpointer, second);
	checkpointer_stop(checkpointer);
	checkpointer = NULL;
	assert_ptr_equal(await(), first);
	assert_ptr_equal(await(), second);
	assert_int_equal(second->result, -ECANCELED);
	assert_int_equal(disk.group, 0);
	free(first);
	free(second);
}

#define test_alone(name) cmocka_unit_test_setup_teardown(test_checkpointer__##name, set_up_alone, tear_down)
#define test(name) cmocka_unit_test_setup_teardown(test_checkpointer__##name, set_up, tear_down)

int main(void) {
	const struct CMUnitTest tests[] = {
		test_alone(ends_the_process_when_a_checkpoint_fails),
		test_alone(ends_the_process_when_the_checkpoint_on_disk_is_damaged),
		test(survives_a_full_disk_and_a_want_of_descriptors),
		test(refuses_to_read_behind_the_end),
		test(holds_the_lock_of_state_db),
		test(tells_of_a_full_disk_before_the_next_install),
		test(does_not_cut_again_what_is_the_same),
		test(gives_back_undone_what_it_had_not_begun),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

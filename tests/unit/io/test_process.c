/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says of the process, held against what the test knows of itself. */
#include "lockd/io/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static raft_usec boot_now(void) {
	struct timespec t;

	assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &t), 0);
	return (raft_usec)t.tv_sec * 1000000 + (raft_usec)t.tv_nsec / 1000;
}

static void test_process__counts_descriptors(void **state) {
	struct process before, with, after;
	struct rlimit limit;
	int fds[2];

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	process_read(&before);
	assert_int_equal(pipe(fds), 0);
	process_read(&with);
	close(fds[0]);
	close(fds[1]);
	process_read(&after);
	assert_true(before.descriptors >= 3);
	assert_int_equal(with.descriptors, before.descriptors + 2);
	assert_int_equal(after.descriptors, before.descriptors);
	assert_int_equal(with.descriptors_max, limit.rlim_cur);
}

static void test_process__sees_memory_that_is_touched(void **state) {
	const size_t bytes = 32 << 20;
	struct process before, with;
	char *memory;

	(void)state;
	process_read(&before);
	memory = malloc(bytes);
	assert_non_null(memory);
	memset(memory, 1, bytes);
	process_read(&with);
	assert_true(memory[bytes - 1] == 1);
	free(memory);
	assert_true(before.resident_bytes > 0);
	assert_true(with.resident_bytes >= before.resident_bytes + bytes / 2);
	assert_true(with.virtual_bytes >= with.resident_bytes);
}

static void test_process__adds_up_processor_time(void **state) {
	struct process before, after;

	(void)state;
	process_read(&before);
	do
		process_read(&after);
	while (after.cpu == before.cpu); /* reading costs time, too */
	assert_true(after.cpu > before.cpu);
	assert_true(after.cpu < 120ull * 1000000);
}

/* The name of the program is set by whoever started it. */
static void test_process__is_not_confused_by_its_name(void **state) {
	struct process plain, odd;

	(void)state;
	process_read(&plain);
	assert_int_equal(prctl(PR_SET_NAME, "a) S 1 2 (3"), 0);
	process_read(&odd);
	assert_true(plain.started > 0);
	assert_int_equal(odd.started, plain.started);
	assert_true(odd.started <= boot_now());
	assert_true(odd.started + 300ull * 1000000 > boot_now());
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_process__counts_descriptors),
		cmocka_unit_test(test_process__sees_memory_that_is_touched),
		cmocka_unit_test(test_process__adds_up_processor_time),
		cmocka_unit_test(test_process__is_not_confused_by_its_name),
	};

	return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* raft_panic() of the unit tests: a failed test, unless a panic is what the test expects. */
#ifndef TESTS_UNIT_RAFT_PANIC_H
#define TESTS_UNIT_RAFT_PANIC_H

#include <setjmp.h>
#include <stdbool.h>

extern jmp_buf panic_jump;
extern bool panic_expected;

#define assert_panics(statement)                                                                                       \
	do {                                                                                                           \
		panic_expected = true;                                                                                 \
		if (setjmp(panic_jump) == 0) {                                                                         \
			statement;                                                                                     \
			panic_expected = false;                                                                        \
			fail_msg("no panic: %s", #statement);                                                          \
		}                                                                                                      \
	} while (0)

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "panic.h"

#include <raft/raft.h>
#include <stdio.h>
#include <stdlib.h>

jmp_buf panic_jump;
bool panic_expected;

void raft_panic(const char *file, int line, const char *what) {
	if (panic_expected) {
		panic_expected = false;
		longjmp(panic_jump, 1);
	}
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

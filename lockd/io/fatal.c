/* SPDX-License-Identifier: Apache-2.0 */
#include "fatal.h"

#include "log.h"

#include <raft/raft.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void fatal_stop(const char *format, ...) {
	char pairs[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(pairs, sizeof pairs, format, args);
	va_end(args);
	log_error("stopping at once: %s", pairs);
	_exit(FATAL_EXIT_STATUS);
}

void raft_panic(const char *file, int line, const char *what) {
	log_error("stopping at once: reason=\"broken invariant of raft\" at=%s:%d what=\"%s\"", file, line, what);
	abort();
}

void *fatal_alloc(size_t bytes) {
	void *p = calloc(1, bytes ? bytes : 1);

	if (!p)
		fatal_stop("reason=\"out of memory\" bytes=%zu", bytes);
	return p;
}

void *fatal_realloc(void *p, size_t bytes) {
	p = realloc(p, bytes ? bytes : 1);
	if (!p)
		fatal_stop("reason=\"out of memory\" bytes=%zu", bytes);
	return p;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "allocation.h"

#include <stddef.h>

/* Names that `ld --wrap` gives to the callers' side and to the real thing. */
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *old, size_t bytes);

static uint64_t count;

void *__wrap_malloc(size_t bytes) {
	count++;
	return __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes) {
	count++;
	return __real_calloc(n, bytes);
}

void *__wrap_realloc(void *old, size_t bytes) {
	count++;
	return __real_realloc(old, bytes);
}

uint64_t allocation_get_count(void) {
	return count;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation for the simulator: there is nothing to do without memory, so these never return NULL. */
#ifndef TESTS_SIM_MEMORY_H
#define TESTS_SIM_MEMORY_H

#include <stddef.h>

/* Zeroed. */
void *memory_new(size_t bytes);
/* A copy of n bytes; n may be 0. */
void *memory_copy(const void *bytes, size_t n);
/* Makes room for `n` elements of `bytes` each in a growing array; *size is its capacity. New room is zeroed. */
void *memory_fit(void *array, size_t *size, size_t n, size_t bytes);

#endif

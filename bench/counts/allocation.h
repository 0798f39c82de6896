/* SPDX-License-Identifier: Apache-2.0 */
/* Counts what the program allocates: the linker sends its calls of malloc(), calloc() and realloc() through here. */
#ifndef BENCH_COUNTS_ALLOCATION_H
#define BENCH_COUNTS_ALLOCATION_H

#include <stdint.h>

/* Calls so far that asked for memory. */
uint64_t allocation_get_count(void);

#endif

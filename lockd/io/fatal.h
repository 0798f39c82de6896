/* SPDX-License-Identifier: Apache-2.0 */
/* The end of the process on a failure it must not outlive: a store that failed a write, an entry that cannot be
 * applied, no memory for the replica. Nothing is flushed or closed: what was acknowledged is durable already, and a
 * restart reads the disk again instead of trusting memory. */
#ifndef LOCKD_IO_FATAL_H
#define LOCKD_IO_FATAL_H

#include <stddef.h>

enum { FATAL_EXIT_STATUS = 70 };

/* Writes one log line with the key=value pairs of the format, then ends the process with FATAL_EXIT_STATUS. Any thread.
 */
_Noreturn void fatal_stop(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Memory that the process cannot go on without; zeroed, never NULL. */
void *fatal_alloc(size_t bytes);
void *fatal_realloc(void *p, size_t bytes);

#endif

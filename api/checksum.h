/* SPDX-License-Identifier: Apache-2.0 */
/* The leader's checksum of a log entry. It is made once, travels with the entry and is verified before the entry is
 * appended anywhere; the log chains it from row to row. */
#ifndef API_CHECKSUM_H
#define API_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

uint64_t checksum_entry(uint32_t group, uint64_t index, uint64_t term, uint32_t type, const void *data, size_t bytes);

/* Chain value of a log row: over the chain value of the row before it and the entry's checksum. */
uint64_t checksum_chain(uint64_t previous, uint64_t checksum);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of the nodes, read where they show them: what only they can know is taken from them. */
#ifndef BENCH_LOAD_SCRAPE_H
#define BENCH_LOAD_SCRAPE_H

#include <stddef.h>
#include <stdint.h>

/* Adds up one series ("name", or "name{label=\"value\"}") over all `addresses` ("HOST:PORT,…"). 0; or -1, with a
 * sentence in `why`, when one does not answer or does not show it. */
int scrape_sum(const char *addresses, const char *series, char *why, size_t why_bytes, uint64_t *ret);

#endif

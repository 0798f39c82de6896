/* SPDX-License-Identifier: Apache-2.0 */
/* What store_load() feeds, taken down byte by byte. The program is linked with --wrap for each node_restore_*(), so the store
 * is the one that lockd has. */
#ifndef TESTS_FAULT_FEED_H
#define TESTS_FAULT_FEED_H

#include "lockd/io/store.h"
#include "tests/sim/disk.h"

/* Loads into `node`, or into nobody if it is NULL. What was fed is in *ret in any case; free it with disk_deinit(). */
int feed_load(struct store *store, struct node *node, struct disk *ret, struct store_error *error);

/* NULL: the same; otherwise what differs. Borrowed until the next call. */
const char *feed_differ(const struct disk *wanted, const struct disk *fed);
/* It holds all that was wanted, only the checkpoint, or the base of the log, is one of before. */
bool feed_lags(const struct disk *wanted, const struct disk *fed);

#endif

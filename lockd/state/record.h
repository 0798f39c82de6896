/* SPDX-License-Identifier: Apache-2.0 */
/* Rows as record.Record: for the state hash, checkpoints and snapshots. */
#ifndef LOCKD_STATE_RECORD_H
#define LOCKD_STATE_RECORD_H

#include "machine.h"

#include "api/limits.h"

enum {
	/* A lock is the longest row: name, value and five numbers; the rest is room for tags and lengths. */
	RECORD_BYTES_MAX = LIMIT_NAME_BYTES_MAX + LIMIT_VALUE_BYTES_MAX + 256,
};

/* Packs the row into `out` of RECORD_BYTES_MAX bytes; returns the number of bytes, > 0. */
size_t record_pack(const struct row *row, uint8_t *out);

#endif

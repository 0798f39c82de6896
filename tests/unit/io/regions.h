/* SPDX-License-Identifier: Apache-2.0 */
/* What a byte of a data folder's file belongs to, so that damage can be counted by what it hits. */
#ifndef TESTS_UNIT_IO_REGIONS_H
#define TESTS_UNIT_IO_REGIONS_H

#include <stddef.h>
#include <stdint.h>

enum region {
	REGION_SLOT_NEW,
	REGION_SLOT_OLD,
	REGION_MARK_NEW,
	REGION_MARK_OLD,
	REGION_MARK_UNUSED,
	REGION_DATABASE_HEADER,
	REGION_LEAF,
	REGION_INTERIOR,
	REGION_OVERFLOW,
	REGION_FREE,
	REGION_WAL_HEADER,
	REGION_FRAME_HEADER,
	REGION_FRAME,
	REGION_STALE, /* frames of an earlier round */
	REGION_PAST,
	N_REGIONS
};

const char *region_name(enum region region);

/* One region per byte of a file with that name and content; malloc'd. */
uint8_t *region_map(const char *name, const uint8_t *bytes, size_t n);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "regions.h"

#include "api/bytes.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 4096, SLOT = 4096, SECTOR = 512, MARKS = 8192, MARKS_BYTES = 32768, WAL_HEADER = 32, FRAME_HEADER = 24 };

const char *region_name(enum region region) {
	static const char *const names[N_REGIONS] = {
		[REGION_SLOT_NEW] = "superblock: newest slot",
		[REGION_SLOT_OLD] = "superblock: older slot",
		[REGION_MARK_NEW] = "superblock: newest mark",
		[REGION_MARK_OLD] = "superblock: older mark",
		[REGION_MARK_UNUSED] = "superblock: unused mark",
		[REGION_DATABASE_HEADER] = "database: header",
		[REGION_LEAF] = "database: leaf page",
		[REGION_INTERIOR] = "database: interior page",
		[REGION_OVERFLOW] = "database: overflow page",
		[REGION_FREE] = "database: free page",
		[REGION_WAL_HEADER] = "WAL: header",
		[REGION_FRAME_HEADER] = "WAL: frame header",
		[REGION_FRAME] = "WAL: frame payload",
		[REGION_STALE] = "WAL: stale tail",
		[REGION_PAST] = "past",
	};
	return names[region];
}

static void paint(uint8_t *map, size_t n, size_t at, size_t bytes, enum region region) {
	for (size_t i = at; i < at + bytes && i < n; i++)
		map[i] = (uint8_t)region;
}

static uint64_t generation_at(const uint8_t *bytes, size_t offset) {
	return bytes_get_u64(bytes + offset);
}

static void map_superblock(uint8_t *map, const uint8_t *bytes, size_t n) {
	int newest = generation_at(bytes, SLOT + 16) > generation_at(bytes, 16);

	assert(n == MARKS + 2 * MARKS_BYTES);
	paint(map, n, 0, SLOT, newest == 0 ? REGION_SLOT_NEW : REGION_SLOT_OLD);
	paint(map, n, SLOT, SLOT, newest == 1 ? REGION_SLOT_NEW : REGION_SLOT_OLD);
	for (size_t at = MARKS; at < MARKS + MARKS_BYTES; at += SECTOR) {
		uint64_t first = generation_at(bytes, at + 8), second = generation_at(bytes, at + MARKS_BYTES + 8);
		bool used = first + second > 0;

		paint(map, n, at, SECTOR,
		      !used            ? REGION_MARK_UNUSED
		      : first > second ? REGION_MARK_NEW
				       : REGION_MARK_OLD);
		paint(map, n, at + MARKS_BYTES, SECTOR,
		      !used            ? REGION_MARK_UNUSED
		      : second > first ? REGION_MARK_NEW
				       : REGION_MARK_OLD);
	}
}

static uint32_t big(const uint8_t *in) {
	return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

static enum region region_of_page(const uint8_t *page, bool first) {
	switch (page[first ? 100 : 0]) {
	case 0x02:
	case 0x05: return REGION_INTERIOR;
	case 0x0a:
	case 0x0d: return REGION_LEAF;
	default: return REGION_OVERFLOW;
	}
}

static void map_database(uint8_t *map, const uint8_t *bytes, size_t n) {
	for (size_t at = 0; at < n; at += PAGE)
		paint(map, n, at, PAGE, region_of_page(bytes + at, at == 0));
	if (n < PAGE)
		return;
	for (uint32_t trunk = big(bytes + 32); trunk > 0 && trunk <= n / PAGE;) {
		const uint8_t *page = bytes + (size_t)(trunk - 1) * PAGE;

		paint(map, n, (size_t)(trunk - 1) * PAGE, PAGE, REGION_FREE);
		for (uint32_t i = 0; i < big(page + 4); i++)
			paint(map, n, (size_t)(big(page + 8 + 4 * i) - 1) * PAGE, PAGE, REGION_FREE);
		trunk = big(page);
	}
	paint(map, n, 0, 100, REGION_DATABASE_HEADER);
}

static void map_wal(uint8_t *map, const uint8_t *bytes, size_t n) {
	paint(map, n, 0, WAL_HEADER, REGION_WAL_HEADER);
	for (size_t at = WAL_HEADER; at < n; at += FRAME_HEADER + PAGE) {
		bool ours = at + 16 <= n && memcmp(bytes + at + 8, bytes + 16, 8) == 0;

		paint(map, n, at, FRAME_HEADER, ours ? REGION_FRAME_HEADER : REGION_STALE);
		paint(map, n, at + FRAME_HEADER, PAGE, ours ? REGION_FRAME : REGION_STALE);
	}
}

uint8_t *region_map(const char *name, const uint8_t *bytes, size_t n) {
	uint8_t *map = malloc(n + 1);

	assert(map);
	memset(map, REGION_PAST, n);
	if (strcmp(name, "superblock") == 0)
		map_superblock(map, bytes, n);
	else if (strstr(name, "-wal"))
		map_wal(map, bytes, n);
	else if (strstr(name, ".db"))
		map_database(map, bytes, n);
	return map;
}

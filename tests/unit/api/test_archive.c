/* SPDX-License-Identifier: Apache-2.0 */
/* A backup as a file of hostile bytes: whatever is cut off, turned, added or announced, it is refused, in pieces of any
 * size, and nothing is believed or allocated that the file does not bear out. */
#include "api/archive.h"
#include "api/bytes.h"
#include "api/limits.h"
#include "api/record.pb-c.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include <cmocka.h>

enum {
	ROWS = 3,
	FILE_BYTES_MAX = 4096,
	MADE_MS = 1763769600,
};

/* A file and what it is made of, for tests that change one part and seal the rest anew. */
struct backup {
	struct archive_lead lead;
	uint8_t header[512], run[512];
	uint8_t file[FILE_BYTES_MAX];
	size_t n;
};

static void digest(const struct backup *backup, uint8_t out[ARCHIVE_DIGEST_BYTES]) {
	XXH3_state_t *hash = XXH3_createState();
	XXH128_canonical_t canonical;

	assert_non_null(hash);
	(void)XXH3_128bits_reset(hash);
	(void)XXH3_128bits_update(hash, backup->header, backup->lead.header_bytes);
	(void)XXH3_128bits_update(hash, backup->run, backup->lead.bytes);
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(hash));
	memcpy(out, canonical.digest, ARCHIVE_DIGEST_BYTES);
	(void)XXH3_freeState(hash);
}

/* Checksum and digest are right, whatever the parts say. */
static void seal(struct backup *backup) {
	uint8_t *at = backup->file;

	archive_pack_lead(&backup->lead, at);
	at += ARCHIVE_LEAD_BYTES;
	memcpy(at, backup->header, backup->lead.header_bytes);
	at += backup->lead.header_bytes;
	memcpy(at, backup->run, backup->lead.bytes);
	at += backup->lead.bytes;
	digest(backup, at);
	backup->n = (size_t)(at + ARCHIVE_DIGEST_BYTES - backup->file);
}

static Record__Header sound_header(void) {
	static uint8_t incarnation[16] = {0xab}, hash[16] = {0xcd};
	Record__Header header = RECORD__HEADER__INIT;

	header.format = 1;
	header.incarnation = (ProtobufCBinaryData){.len = sizeof incarnation, .data = incarnation};
	header.hash = (ProtobufCBinaryData){.len = sizeof hash, .data = hash};
	header.epoch = 7;
	header.group = 1;
	header.index = 1000;
	header.term = 9;
	header.machine_version = 3;
	header.rows = ROWS;
	return header;
}

static void put_header(struct backup *backup, const Record__Header *header) {
	assert_true(record__header__get_packed_size(header) <= sizeof backup->header);
	backup->lead.header_bytes = (uint32_t)record__header__pack(header, backup->header);
}

static void make(struct backup *backup) {
	Record__Header header = sound_header();
	uint8_t *at = backup->run;

	*backup = (struct backup){.lead = {.rows = ROWS, .made_ms = MADE_MS}};
	for (uint32_t row = 1; row <= ROWS; row++) {
		bytes_put_u32(at, 10 * row);
		memset(at + 4, (int)row, 10 * (size_t)row);
		at += 4 + 10 * row;
	}
	backup->lead.bytes = (uint64_t)(at - backup->run);
	put_header(backup, &header);
	seal(backup);
}

/* In pieces of that size; the bytes are copied so that reading behind them is noticed. */
static int read_pieces(struct archive *archive, const uint8_t *file, size_t n, size_t piece) {
	int r = 0;

	for (size_t at = 0, take; r == 0 && at < n; at += take) {
		uint8_t *copy;

		take = n - at < piece ? n - at : piece;
		copy = malloc(take);
		assert_non_null(copy);
		memcpy(copy, file + at, take);
		r = archive_read(archive, copy, take);
		free(copy);
	}
	return r == 0 ? archive_end(archive) : r;
}

static int judge_bytes(const uint8_t *file, size_t n, size_t piece, const char **ret_fault) {
	struct archive archive;
	int r;

	assert_int_equal(archive_init(&archive), 0);
	r = read_pieces(&archive, file, n, piece);
	assert_true((r == 0) == (archive.fault == NULL));
	*ret_fault = archive.fault;
	archive_deinit(&archive);
	return r;
}

static void expect_refusal(const struct backup *backup, const char *words) {
	const size_t pieces[] = {1, 7, FILE_BYTES_MAX};
	const char *fault;

	for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
		assert_int_equal(judge_bytes(backup->file, backup->n, pieces[i], &fault), -EBADMSG);
		assert_non_null(strstr(fault, words));
	}
}

/* ---- Refused ------------------------------------------------------------------------------------------------------
 */

static void test_archive__refuses_every_flipped_bit(void **state) {
	struct backup backup;
	const char *fault;

	(void)state;
	make(&backup);
	for (size_t bit = 0; bit < 8 * backup.n; bit++) {
		backup.file[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(judge_bytes(backup.file, backup.n, FILE_BYTES_MAX, &fault), -EBADMSG);
		backup.file[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(judge_bytes(backup.file, backup.n, FILE_BYTES_MAX, &fault), 0);
}

static void test_archive__refuses_every_length_but_its_own(void **state) {
	struct backup backup;
	const char *fault;

	(void)state;
	make(&backup);
	for (size_t n = 0; n < backup.n; n++) {
		assert_int_equal(judge_bytes(backup.file, n, 5, &fault), -EBADMSG);
		assert_string_equal(fault, n < 8 ? "it is no backup of lockd" : "it ends too early");
	}
	backup.n++;
	expect_refusal(&backup, "something stands behind its end");
}

static void test_archive__refuses_what_is_no_backup(void **state) {
	struct backup backup = {.n = sizeof backup.file};

	(void)state;
	for (size_t i = 0; i < backup.n; i++)
		backup.file[i] = (uint8_t)(i * 37 + 1);
	expect_refusal(&backup, "it is no backup of lockd");
}

static void test_archive__refuses_a_layout_of_the_future(void **state) {
	struct backup backup;

	(void)state;
	make(&backup);
	bytes_put_u32(backup.file + 8, ARCHIVE_VERSION + 1);
	bytes_put_u64(backup.file + 40, XXH3_64bits(backup.file, 40));
	expect_refusal(&backup, "a layout that this version does not know");
}

/* All of them are sealed well: nothing is allocated by what they say. */
static void test_archive__refuses_sizes_beyond_its_bounds(void **state) {
	static const struct archive_lead leads[] = {
		{.header_bytes = 0, .rows = 1, .bytes = 8},
		{.header_bytes = ARCHIVE_HEADER_BYTES_MAX + 1, .rows = 1, .bytes = 8},
		{.header_bytes = UINT32_MAX, .rows = 1, .bytes = 8},
		{.header_bytes = 1, .rows = 1, .bytes = (uint64_t)LIMIT_SNAPSHOT_BYTES_MAX + 1},
		{.header_bytes = 1, .rows = 1, .bytes = UINT64_MAX},
		{.header_bytes = 1, .rows = 3, .bytes = 11},
		{.header_bytes = 1, .rows = 1, .bytes = 0},
		{.header_bytes = 1, .rows = UINT64_MAX, .bytes = 8},
	};
	struct backup backup;

	(void)state;
	make(&backup);
	for (size_t i = 0; i < sizeof leads / sizeof *leads; i++) {
		archive_pack_lead(&leads[i], backup.file);
		expect_refusal(&backup, "sizes that no backup has");
	}
}

static void test_archive__refuses_headers_that_lack_or_contradict_something(void **state) {
	static uint8_t long_field[17];
	const ProtobufCBinaryData wrong = {.len = sizeof long_field, .data = long_field};
	struct backup backup;

	(void)state;
	for (int fault = 0; fault < 9; fault++) {
		Record__Header header = sound_header();

		make(&backup);
		switch (fault) {
		case 0: header.format = 2; break;
		case 1: header.incarnation = wrong; break;
		case 2: header.hash = wrong; break;
		case 3: header.incarnation.len = 0; break;
		case 4: header.index = 0; break;
		case 5: header.term = 0; break;
		case 6: header.machine_version = 0; break;
		case 7: header.index = (UINT64_MAX >> 16) + 1; break; /* it is shifted to make revisions */
		default: header.rows = ROWS + 1; break;
		}
		put_header(&backup, &header);
		seal(&backup);
		expect_refusal(&backup, "its header is not one of a checkpoint");
	}
}

/* Lengths that make a parser read, allocate or go on beyond what is there. */
static void test_archive__refuses_headers_that_do_not_decode(void **state) {
	static const uint8_t headers[][8] = {
		{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f}, /* a field of 4 GiB */
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		{0x0a, 0x7f},
		{0x07},
	};
	struct backup backup;

	(void)state;
	for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
		make(&backup);
		memcpy(backup.header, headers[i], sizeof headers[i]);
		backup.lead.header_bytes = sizeof headers[i];
		seal(&backup);
		expect_refusal(&backup, "its header is not one of a checkpoint");
	}
}

static void test_archive__refuses_rows_that_do_not_add_up(void **state) {
	static const uint32_t lengths[] = {0, 9, 11, 500, UINT32_MAX};
	struct backup backup;

	(void)state;
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		make(&backup);
		bytes_put_u32(backup.run, lengths[i]); /* was 10 */
		seal(&backup);
		expect_refusal(&backup, "its rows do not add up");
	}
	make(&backup);
	backup.lead.bytes += 3; /* the beginning of a length */
	seal(&backup);
	expect_refusal(&backup, "its rows do not add up");
	make(&backup);
	backup.lead.bytes -= 34; /* one row fewer than announced */
	seal(&backup);
	expect_refusal(&backup, "its rows do not add up");
}

static void test_archive__stays_refused(void **state) {
	struct archive archive;
	struct backup backup;

	(void)state;
	make(&backup);
	assert_int_equal(archive_init(&archive), 0);
	assert_int_equal(archive_read(&archive, "no lockd backup, but bytes enough to be one, or nearly", 54),
			 -EBADMSG);
	assert_int_equal(archive_read(&archive, backup.file, backup.n), -EBADMSG);
	assert_int_equal(archive_end(&archive), -EBADMSG);
	archive_deinit(&archive);
}

/* ---- Taken --------------------------------------------------------------------------------------------------------
 */

static void test_archive__takes_a_backup_in_pieces_of_any_size(void **state) {
	struct archive archive;
	struct backup backup;
	uint8_t expected[ARCHIVE_DIGEST_BYTES], got[ARCHIVE_DIGEST_BYTES];

	(void)state;
	make(&backup);
	digest(&backup, expected);
	for (size_t piece = 1; piece <= backup.n; piece++) {
		assert_int_equal(archive_init(&archive), 0);
		assert_int_equal(read_pieces(&archive, backup.file, backup.n, piece), 0);
		assert_int_equal(archive.stage, ARCHIVE_END);
		assert_int_equal(archive.lead.made_ms, MADE_MS);
		assert_int_equal(archive.info.index, 1000);
		assert_int_equal(archive.info.term, 9);
		assert_int_equal(archive.info.epoch, 7);
		assert_int_equal(archive.info.incarnation[0], 0xab);
		assert_int_equal(archive.info.hash[0], 0xcd);
		assert_memory_equal(archive.header, backup.header, backup.lead.header_bytes);
		archive_get_digest(&archive, got);
		assert_memory_equal(got, expected, sizeof got);
		archive_deinit(&archive);
	}
}

static void test_archive__takes_a_state_without_rows(void **state) {
	Record__Header header = sound_header();
	struct backup backup;
	const char *fault;

	(void)state;
	make(&backup);
	header.rows = backup.lead.rows = backup.lead.bytes = 0;
	put_header(&backup, &header);
	seal(&backup);
	assert_int_equal(judge_bytes(backup.file, backup.n, 3, &fault), 0);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_archive__refuses_every_flipped_bit),
		cmocka_unit_test(test_archive__refuses_every_length_but_its_own),
		cmocka_unit_test(test_archive__refuses_what_is_no_backup),
		cmocka_unit_test(test_archive__refuses_a_layout_of_the_future),
		cmocka_unit_test(test_archive__refuses_sizes_beyond_its_bounds),
		cmocka_unit_test(test_archive__refuses_headers_that_lack_or_contradict_something),
		cmocka_unit_test(test_archive__refuses_headers_that_do_not_decode),
		cmocka_unit_test(test_archive__refuses_rows_that_do_not_add_up),
		cmocka_unit_test(test_archive__stays_refused),
		cmocka_unit_test(test_archive__takes_a_backup_in_pieces_of_any_size),
		cmocka_unit_test(test_archive__takes_a_state_without_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

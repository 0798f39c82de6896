/* SPDX-License-Identifier: Apache-2.0 */
/* A backup as a file. Little-endian:
 *
 *	offset  bytes
 *	     0      8  "lockdbak"
 *	     8      4  version of this layout, 1
 *	    12      4  bytes of the header
 *	    16      8  records in the run
 *	    24      8  bytes of the run
 *	    32      8  when it was made: ms since 1970, UTC, by the clock of whoever wrote the file
 *	    40      8  XXH3-64 of all that stands before
 *	    48         header: a packed record.Header (api/proto/record.proto)
 *	               run: for each row its length, 4 bytes, and a packed record.Record, in order of kind
 *	  last     16  XXH3-128 of header and run, canonical form
 *
 * It is what a node sends to one that lags, so a backup is read by every version that reads such a snapshot. Nothing of
 * it is believed before the end has been seen: a byte that differs, is missing or too many makes it no backup. */
#ifndef API_ARCHIVE_H
#define API_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	ARCHIVE_VERSION = 1,
	ARCHIVE_LEAD_BYTES = 48,
	ARCHIVE_DIGEST_BYTES = 16,
	ARCHIVE_HEADER_BYTES_MAX = 1 << 20, /* configuration and founding entry are a few hundred bytes per member */
};

struct archive_lead {
	uint32_t header_bytes;
	uint64_t rows, bytes, made_ms;
};
void archive_pack_lead(const struct archive_lead *lead, uint8_t out[ARCHIVE_LEAD_BYTES]);

/* What the header says. */
struct archive_info {
	uint8_t incarnation[16], hash[16];
	uint32_t epoch, group, machine_version;
	uint64_t index, term;
};

enum archive_stage { ARCHIVE_LEAD, ARCHIVE_HEADER, ARCHIVE_RUN, ARCHIVE_DIGEST, ARCHIVE_END };

/* Reads such a file in pieces of any size. */
struct archive {
	enum archive_stage stage;
	const char *fault; /* what is wrong; NULL: nothing so far */
	struct archive_lead lead;
	uint8_t *header; /* header_bytes, once the stage is beyond it */
	struct archive_info info;
	uint8_t piece[ARCHIVE_LEAD_BYTES]; /* of what is gathered: lead, length of a record, digest */
	size_t n_piece, n_header;
	uint64_t n_run, n_rows;
	uint32_t record_left; /* of the record at hand; 0: a length comes next */
	void *hash;           /* XXH3 state */
};

/* 0 or -ENOMEM. */
int archive_init(struct archive *archive);
void archive_deinit(struct archive *archive);
/* 0, -EBADMSG with archive->fault, or -ENOMEM. */
int archive_read(struct archive *archive, const void *bytes, size_t n);
/* Nothing more comes: 0 if it was whole and sound, else -EBADMSG with archive->fault. */
int archive_end(struct archive *archive);
/* The digest of header and run, once the run is over. */
void archive_get_digest(const struct archive *archive, uint8_t out[ARCHIVE_DIGEST_BYTES]);

#endif

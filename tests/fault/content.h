/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a file. Copies share what neither side has changed since, so that a copy costs a pointer per 4 KiB. */
#ifndef TESTS_FAULT_CONTENT_H
#define TESTS_FAULT_CONTENT_H

#include <stddef.h>
#include <stdint.h>

struct content_chunk;

/* A zeroed struct is an empty file. */
struct content {
	struct content_chunk **chunks; /* NULL: zeros */
	size_t n;                      /* behind it: zeros */
	uint64_t bytes;
};

void content_deinit(struct content *content);
void content_copy(const struct content *content, struct content *ret);

/* Zeros behind the end. */
void content_read(const struct content *content, void *ret, size_t n, uint64_t offset);
/* Grows the file if need be; a gap reads as zeros. */
void content_write(struct content *content, const void *bytes, size_t n, uint64_t offset);
void content_resize(struct content *content, uint64_t bytes);
uint64_t content_hash(const struct content *content, uint64_t seed);

#endif

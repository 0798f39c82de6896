/* SPDX-License-Identifier: Apache-2.0 */
/* Durations as people write and read them. */
#ifndef CLI_DURATION_H
#define CLI_DURATION_H

#include <stddef.h>
#include <stdint.h>

/* What duration_parse() accepts, for messages. */
#define DURATION_FORM "a number with unit ms, s, m or h (plain: seconds), as in 10s, 500ms or 1m"

/* "10s", "500ms", "1m", "2h"; a plain number is seconds. 0, or -EINVAL when malformed, negative or above INT_MAX ms. */
int duration_parse(const char *text, int *ret_ms);

/* "850ms", "4.2s", "3m12s", "5h03m", "2d04h": two units, never more than 8 characters below a thousand years. */
void duration_format(uint64_t ms, char *text, size_t n);

/* The shortest form that duration_parse() reads back: "24h", "3333ms". */
void duration_format_exactly(int ms, char *text, size_t n);

#endif

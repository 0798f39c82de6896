/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/duration.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *suffix;
	unsigned long ms;
} units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 60 * 60 * 1000}};

int duration_parse(const char *text, int *ret_ms) {
	unsigned long number;
	char *end;

	/* strtoul() would take blanks and signs. */
	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	number = strtoul(text, &end, 10);
	if (errno)
		return -EINVAL;

	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		if (strcmp(end, units[i].suffix))
			continue;
		if (number > INT_MAX / units[i].ms)
			return -EINVAL;
		*ret_ms = (int)(number * units[i].ms);
		return 0;
	}
	return -EINVAL;
}

void duration_format(uint64_t ms, char *text, size_t n) {
	uint64_t s = ms / 1000, m = s / 60, h = m / 60, d = h / 24;

	if (s == 0)
		(void)snprintf(text, n, "%" PRIu64 "ms", ms);
	else if (m == 0)
		(void)snprintf(text, n, "%" PRIu64 ".%" PRIu64 "s", s, ms % 1000 / 100);
	else if (h == 0)
		(void)snprintf(text, n, "%" PRIu64 "m%02" PRIu64 "s", m, s % 60);
	else if (d == 0)
		(void)snprintf(text, n, "%" PRIu64 "h%02" PRIu64 "m", h, m % 60);
	else
		(void)snprintf(text, n, "%" PRIu64 "d%02" PRIu64 "h", d, h % 24);
}

void duration_format_exactly(int ms, char *text, size_t n) {
	size_t i = sizeof units / sizeof *units - 1;

	if (ms == 0) {
		(void)snprintf(text, n, "0s");
		return;
	}
	while ((unsigned long)ms % units[i].ms != 0)
		i--;
	(void)snprintf(text, n, "%lu%s", (unsigned long)ms / units[i].ms, units[i].suffix);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/totals.h"

#include <inttypes.h>
#include <stdio.h>

void totals_add(struct totals *sum, const struct totals *more) {
#define TOTALS_ADD(name, text) sum->name += more->name;
	TOTALS_MAP(TOTALS_ADD)
	TOTALS_STORE_MAP(TOTALS_ADD)
#undef TOTALS_ADD
	sum->seeds += more->seeds;
	sum->virtual_us += more->virtual_us;
}

void totals_print(const struct totals *totals) {
#define TOTALS_PRINT(name, text) printf("  %12" PRIu64 "  %s\n", totals->name, text);
	TOTALS_MAP(TOTALS_PRINT)
	if (totals->store_boots) {
		printf("  on the store:\n");
		TOTALS_STORE_MAP(TOTALS_PRINT)
	}
#undef TOTALS_PRINT
}

const char *totals_find_zero(const struct totals *totals) {
#define TOTALS_ZERO(name, text)                                                                                        \
	if (totals->name == 0)                                                                                         \
		return text;
	TOTALS_MAP(TOTALS_ZERO)
#undef TOTALS_ZERO
	return NULL;
}

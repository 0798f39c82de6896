/* SPDX-License-Identifier: Apache-2.0 */
/* The power fails at every point of a story: whatever was acknowledged is there, what was under way is there whole, or not at
 * all, or in the one part that may come first; the folder is never refused. */
#ifndef TESTS_FAULT_CUTS_H
#define TESTS_FAULT_CUTS_H

#include "report.h"

/* One row per policy. */
enum { CUTS_ROWS = MEDIUM_POLICIES };
void cuts_try(const struct run *prepared, const struct selection *selection, struct report_row rows[CUTS_ROWS]);

#endif

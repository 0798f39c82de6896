/* SPDX-License-Identifier: Apache-2.0 */
/* The device does something else than it says, at every operation of a story: afterwards the folder is refused, or holds
 * exactly what was stored. What docs/adr/0003 and 0008 admit is counted apart. */
#ifndef TESTS_FAULT_DAMAGE_H
#define TESTS_FAULT_DAMAGE_H

#include "report.h"

/* Two rows per kind of damage: the process alone is started again, and the power was cut. */
enum { DAMAGE_KINDS = 7, DAMAGE_ROWS = 2 * DAMAGE_KINDS };
void damage_try(const struct run *prepared, const struct selection *selection, struct report_row rows[DAMAGE_ROWS]);

#endif

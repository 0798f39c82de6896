/* SPDX-License-Identifier: Apache-2.0 */
/* Every operation of a story fails, once or from then on: a call that reports success has made its content durable; one
 * that finds the disk full has changed nothing and succeeds when there is room; after any other failure the process ends,
 * and the folder holds what was acknowledged, with or without what was under way. */
#ifndef TESTS_FAULT_ERRORS_H
#define TESTS_FAULT_ERRORS_H

#include "report.h"

enum { ERRORS_ROWS = 6 };
void errors_try(const struct run *prepared, const struct selection *selection, struct report_row rows[ERRORS_ROWS]);

#endif

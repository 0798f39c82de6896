/* SPDX-License-Identifier: Apache-2.0 */
/* One lock, asked for and printed: what `show` and `leader` have in common. */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include "cli/arguments.h"

#include <lockd/lockd.h>

/* Prints the lock that the first operand names, a list of one. `nobody` says what it is when nobody holds it, `verb`
 * stands in front of messages. Returns the exit status: that of `print`, EXIT_NOTHING, or as report_status() has it. */
int show_lock(const struct arguments *arguments, const char *verb, const char *nobody,
	      int (*print)(const struct lockd_lock_list *list));

#endif

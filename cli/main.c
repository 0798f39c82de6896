/* SPDX-License-Identifier: Apache-2.0 */
/* lockctl: locks, sessions, elections and members of a lockd cluster on the command line. It uses nothing of the project but the
 * public client library. */
#include "cli/arguments.h"
#include "cli/report.h"

#include <locale.h>
#include <stdio.h>

int main(int argc, char **argv) {
	struct arguments arguments;
	int r;

	(void)setlocale(LC_ALL, ""); /* tables are aligned by what the terminal shows */
	r = arguments_parse(argc, argv, &arguments);
	if (r)
		return r;

	if (arguments_given(&arguments, OPTION_VERSION)) {
		puts("lockctl " LOCKCTL_VERSION);
	} else if (!arguments_given(&arguments, OPTION_HELP)) {
		r = arguments.verb->run(&arguments);
	} else if (arguments.verb) {
		verb_print_help(arguments.verb);
	} else {
		verb_print_overview();
	}
	return r ? r : report_stdout();
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/hold.h"
#include "cli/verb.h"

#include <stddef.h>

int verb_lock(const struct arguments *arguments) {
	return hold_run(arguments, NULL);
}

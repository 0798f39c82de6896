/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a data folder that was found damaged at the start (docs/adr/0010): it is set aside when the other
 * nodes can restore this one, and left alone when nobody could. */
#ifndef LOCKD_IO_REPAIR_H
#define LOCKD_IO_REPAIR_H

#include "lockd/io/loop.h"

/* The folder is closed; `found` says what is wrong with it. 0: the store that takes its place is open. -1: nothing was
 * moved, or it cannot be opened; the sentence says what to do. */
int repair_folder(const struct loop_config *config, const char *found, struct store **ret, struct loop_error *error);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Holding a lock for as long as a command runs or until interrupted: what `lock` and `campaign` do. */
#ifndef CLI_HOLD_H
#define CLI_HOLD_H

struct arguments;

/* `value` is carried by the lock; NULL: none. Returns the exit status of the process. */
int hold_run(const struct arguments *arguments, const char *value);

#endif

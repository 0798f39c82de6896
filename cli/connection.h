/* SPDX-License-Identifier: Apache-2.0 */
/* The client handle of this process, opened as the command line, the environment and the files say. */
#ifndef CLI_CONNECTION_H
#define CLI_CONNECTION_H

#include <lockd/lockd.h>

struct arguments;

/* 0, or an exit status after a message. lockd_close() ends it. */
int connection_open(const struct arguments *arguments, struct lockd_client **ret);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the service manager is told (sd_notify). Built without libsystemd, or started by something else, it does
 * nothing. */
#ifndef LOCKD_IO_NOTIFY_H
#define LOCKD_IO_NOTIFY_H

#include <raft/raft.h>

/* How often notify_alive() is due, half of what the manager allows; 0: no watchdog. */
raft_usec notify_watchdog(void);
void notify_ready(void);
void notify_stopping(void);
void notify_alive(void);

#endif

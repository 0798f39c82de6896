/* SPDX-License-Identifier: Apache-2.0 */
#include "notify.h"

#if LOCKD_HAVE_SYSTEMD
#include <systemd/sd-daemon.h>

/* A manager that cannot be told is no reason to stop serving: the results are ignored. */
static void tell(const char *state) {
	(void)sd_notify(0, state);
}

raft_usec notify_watchdog(void) {
	uint64_t allowed;

	return sd_watchdog_enabled(0, &allowed) > 0 ? allowed / 2 : 0;
}
#else
static void tell(const char *state) {
	(void)state;
}

raft_usec notify_watchdog(void) {
	return 0;
}
#endif

void notify_ready(void) {
	tell("READY=1");
}
void notify_stopping(void) {
	tell("STOPPING=1");
}
void notify_alive(void) {
	tell("WATCHDOG=1");
}

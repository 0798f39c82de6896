/* SPDX-License-Identifier: Apache-2.0 */
/* When to warn, to stop and to kill the command that runs under a lease. The ladder is laid backwards from the end of
 * the lease: SIGTERM goes out when only `kill_after_ms` are left of it, SIGKILL when it ends, so that the command has
 * stopped before the cluster may grant the lock to anybody else. Where the lease ends without notice, as after the
 * machine slept or when the cluster ended the session, SIGTERM goes out at once and SIGKILL kill_after_ms later.
 *
 * The ladder looks at what is left of the lease, not at single keep-alives: a leader election of the cluster must not
 * stop anybody's work. A lease that is being renewed has always more than a third of the TTL left, the most that
 * kill_after_ms may be. */
#ifndef CLI_LADDER_H
#define CLI_LADDER_H

#include <lockd/lockd.h>
#include <stdbool.h>

enum ladder_action {
	LADDER_NONE,
	LADDER_WARN, /* in jeopardy: tell the user */
	LADDER_SAFE, /* the lease is renewed again after a warning */
	LADDER_TERM,
	LADDER_KILL,
};

struct ladder {
	int64_t kill_after_ms;
	bool warned;
	bool stopping;      /* TERM was returned: there is no way back */
	int64_t kill_at_ms; /* while stopping */
	bool killed;
};

enum { LADDER_NO_WAKE = -1 };

/* `now_ms` is of the clock that does not stop during suspend. At most one action per call: call again until NONE.
 * *ret_wake_ms: call again after that many milliseconds at the latest. */
enum ladder_action ladder_step(struct ladder *ladder, enum lockd_session_state state, int64_t remaining_ms,
			       int64_t now_ms, int64_t *ret_wake_ms);

#endif

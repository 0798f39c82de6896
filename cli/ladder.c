/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ladder.h"

static enum ladder_action step_stopping(struct ladder *ladder, int64_t now_ms, int64_t *ret_wake_ms) {
	if (ladder->killed) {
		*ret_wake_ms = LADDER_NO_WAKE;
		return LADDER_NONE;
	}
	if (now_ms < ladder->kill_at_ms) {
		*ret_wake_ms = ladder->kill_at_ms - now_ms;
		return LADDER_NONE;
	}
	ladder->killed = true;
	*ret_wake_ms = LADDER_NO_WAKE;
	return LADDER_KILL;
}

enum ladder_action ladder_step(struct ladder *ladder, enum lockd_session_state state, int64_t remaining_ms,
			       int64_t now_ms, int64_t *ret_wake_ms) {
	/* The lease counts as lost by the clock alone, whether or not the library has come to say so. */
	bool lost = state == LOCKD_EXPIRED || remaining_ms <= 0;

	if (ladder->stopping)
		return step_stopping(ladder, now_ms, ret_wake_ms);

	if (lost || remaining_ms <= ladder->kill_after_ms) {
		ladder->stopping = true;
		ladder->kill_at_ms = now_ms + (lost ? ladder->kill_after_ms : remaining_ms);
		*ret_wake_ms = ladder->kill_at_ms - now_ms;
		return LADDER_TERM;
	}

	*ret_wake_ms = remaining_ms - ladder->kill_after_ms;
	if (ladder->warned == (state == LOCKD_JEOPARDY))
		return LADDER_NONE;
	ladder->warned = !ladder->warned;
	return ladder->warned ? LADDER_WARN : LADDER_SAFE;
}

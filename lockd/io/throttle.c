/* SPDX-License-Identifier: Apache-2.0 */
#include "throttle.h"

bool throttle_pass(struct throttle *throttle, raft_usec now, unsigned *ret_held) {
	if (now - throttle->since >= 1000000) {
		throttle->since = now;
		throttle->passed = 0;
	}
	if (throttle->passed == THROTTLE_PER_SECOND) {
		throttle->held++;
		return false;
	}
	throttle->passed++;
	*ret_held = throttle->held;
	throttle->held = 0;
	return true;
}

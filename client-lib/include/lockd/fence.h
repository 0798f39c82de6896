/* SPDX-License-Identifier: Apache-2.0 */
/* The other half of a lock: the check that the protected resource makes.
 *
 * Keep one struct lockd_fence per resource, stored with it and changed in the same transaction as the resource itself.
 * A holder that was paused past its deadline comes with a token that is smaller than one the resource has already seen.
 */
#ifndef LOCKD_FENCE_H
#define LOCKD_FENCE_H

#include <stdint.h>

struct lockd_fence {
	uint64_t token_max; /* greatest token accepted so far; 0 at first */
};

/* 1: the token is not older than any seen before, and is remembered: go on. 0: refuse the operation. The caller
 * excludes concurrent calls on the same fence. */
static inline int lockd_fence_admit(struct lockd_fence *fence, uint64_t token) {
	if (token < fence->token_max)
		return 0;
	fence->token_max = token;
	return 1;
}

#endif

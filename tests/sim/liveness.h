/* SPDX-License-Identifier: Apache-2.0 */
/* P12 and P5. After the chaos everything is mended and all nodes run. Within the budget there must be one leader, every
 * request answered, every queue empty, every session closed or expired, every observer up to date, and all replicas at
 * the same index with the same state. */
#ifndef TESTS_SIM_LIVENESS_H
#define TESTS_SIM_LIVENESS_H

#include "tests/sim/queue.h"

#include <stdbool.h>

struct liveness {
	sim_usec healed_at, looked_at;
};

/* True when the run is over. Heals when the chaos has lasted long enough; a budget overrun does not return. */
bool liveness_is_reached(struct sim *sim);

#endif

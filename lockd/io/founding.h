/* SPDX-License-Identifier: Apache-2.0 */
/* Who founds the cluster, and when. The founder is the lowest id that the configuration file lists. It waits until
 * every listed node has shown itself, blank, with its store, and then writes the first entry. It never founds once a
 * listed node has told that it belongs to a cluster already, or did before its data folder was damaged: then this node waits
 * to be let in. If all have lost theirs, they wait for an operator: an empty cluster would grant every lock again. */
#ifndef LOCKD_IO_FOUNDING_H
#define LOCKD_IO_FOUNDING_H

#include "lockd/io/peers.h"

struct founding {
	uint32_t promise_ms, drift_ppm;
	bool done;           /* the event is out */
	bool waits, refuses, orphaned; /* each is reported once */
	struct node_uuid incarnation;
	uint8_t *configuration; /* packed, borrowed by the event */
};

void founding_init(struct founding *founding, uint32_t promise_ms, uint32_t drift_ppm);
void founding_deinit(struct founding *founding);

/* Once per turn, behind the inbox: adds NODE_FOUND when it is time. */
void founding_tick(struct founding *founding, struct peers *peers, struct events *events);

#endif

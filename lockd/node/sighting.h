/* SPDX-License-Identifier: Apache-2.0 */
/* When this process saw an index applied, roughly: what "held since" shows to people. Nothing else may use it. */
#ifndef LOCKD_NODE_SIGHTING_H
#define LOCKD_NODE_SIGHTING_H

#include <raft/raft.h>

enum {
	/* Marks kept. When they are full every second one goes and the grain doubles. */
	SIGHTING_MARKS_MAX = 1024,
	SIGHTING_GRAIN_US = 100 * 1000,
};

struct sightings {
	struct sighting {
		raft_index index;
		raft_usec at; /* mono */
	} marks[SIGHTING_MARKS_MAX];
	uint32_t n;
	raft_usec grain;
};

/* `index` is applied at that time. */
void sightings_add(struct sightings *sightings, raft_index index, raft_usec at);
/* When `index` was seen applied, never earlier than it was: the mark at or behind it. `now` when there is none. */
raft_usec sightings_find(const struct sightings *sightings, raft_index index, raft_usec now);

#endif

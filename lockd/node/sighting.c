/* SPDX-License-Identifier: Apache-2.0 */
#include "sighting.h"

static void sightings_thin(struct sightings *sightings) {
	for (uint32_t i = 0; i < SIGHTING_MARKS_MAX / 2; i++)
		sightings->marks[i] = sightings->marks[2 * i];
	sightings->n = SIGHTING_MARKS_MAX / 2;
	sightings->grain *= 2;
}

void sightings_add(struct sightings *sightings, raft_index index, raft_usec at) {
	struct sighting *last = &sightings->marks[sightings->n > 0 ? sightings->n - 1 : 0];

	if (sightings->grain == 0)
		sightings->grain = SIGHTING_GRAIN_US;
	/* Within a grain the mark moves on to the latest index. */
	if (sightings->n > 0 && at - last->at < sightings->grain) {
		last->index = index;
		return;
	}
	if (sightings->n == SIGHTING_MARKS_MAX)
		sightings_thin(sightings);
	sightings->marks[sightings->n++] = (struct sighting){.index = index, .at = at};
}

raft_usec sightings_find(const struct sightings *sightings, raft_index index, raft_usec now) {
	uint32_t low = 0, high = sightings->n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (sightings->marks[middle].index < index)
			low = middle + 1;
		else
			high = middle;
	}
	return low < sightings->n ? sightings->marks[low].at : now;
}

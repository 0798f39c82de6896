/* SPDX-License-Identifier: Apache-2.0 */
/* Linear probing. The ids stand in the table beside the sessions, so that neither a probe nor growing reads a session.
 * A removal closes its gap: what stands behind it and began before it moves up, and no search ever passes a grave. */
#include "roster.h"

#include "memory.h"

enum { ROSTER_MAX_FIRST = 64 };

/* Where a search begins. Ids count up in steps; the upper bits of the product spread them (Knuth, 6.4). */
static uint32_t roster_home(const struct roster *roster, state_session_id id) {
	return (uint32_t)((id * 0x9e3779b97f4a7c15u) >> 32) & (roster->max - 1);
}

static uint32_t roster_next(const struct roster *roster, uint32_t at) {
	return (at + 1) & (roster->max - 1);
}

/* Where the id stands, or the free place where it belongs. */
static struct roster_place *roster_seek(const struct roster *roster, state_session_id id) {
	uint32_t at = roster_home(roster, id);

	while (roster->places[at].session && roster->places[at].id != id)
		at = roster_next(roster, at);
	return &roster->places[at];
}

void roster_deinit(struct roster *roster) {
	free(roster->places);
	*roster = (struct roster){0};
}

struct session *roster_find(const struct roster *roster, state_session_id id) {
	return roster->max ? roster_seek(roster, id)->session : NULL;
}

static void roster_grow(struct roster *roster) {
	struct roster old = *roster;

	roster->max = old.max ? 2 * old.max : ROSTER_MAX_FIRST;
	roster->places = memory_new(roster->max * sizeof(*roster->places));
	for (uint32_t i = 0; i < old.max; i++)
		if (old.places[i].session)
			*roster_seek(roster, old.places[i].id) = old.places[i];
	free(old.places);
}

void roster_add(struct roster *roster, state_session_id id, struct session *session) {
	struct roster_place *place;

	/* A quarter stays free: searches for nobody end there. */
	if (roster->n >= roster->max - roster->max / 4)
		roster_grow(roster);
	place = roster_seek(roster, id);
	assert(!place->session);
	*place = (struct roster_place){.id = id, .session = session};
	roster->n++;
}

/* The place `from` may move up into the gap unless its search begins behind the gap. */
static bool roster_may_move(const struct roster *roster, uint32_t from, uint32_t gap) {
	uint32_t home = roster_home(roster, roster->places[from].id);

	return ((from - home) & (roster->max - 1)) >= ((from - gap) & (roster->max - 1));
}

void roster_remove(struct roster *roster, state_session_id id) {
	struct roster_place *place = roster->max ? roster_seek(roster, id) : NULL;
	uint32_t gap, at;

	assert(place && place->session);
	gap = (uint32_t)(place - roster->places);
	for (at = roster_next(roster, gap); roster->places[at].session; at = roster_next(roster, at)) {
		if (!roster_may_move(roster, at, gap))
			continue;
		roster->places[gap] = roster->places[at];
		gap = at;
	}
	roster->places[gap] = (struct roster_place){0};
	roster->n--;
}

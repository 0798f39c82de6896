/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"
#include "clock.h"

#include "api/limits.h"

#include <errno.h>
#include <stdlib.h>

enum {
	PLACES_FIRST = 4,
	/* Moving up costs about as much as a call. */
	GONE_SHARE = 4,
};

static int reserve(struct lockd__roll *roll) {
	uint32_t n_max = roll->n_max ? 2 * roll->n_max : PLACES_FIRST;
	struct lockd__place *places;

	if (roll->n < roll->n_max)
		return 0;
	places = realloc(roll->places, n_max * sizeof *places);
	if (!places)
		return -ENOMEM;
	roll->places = places;
	roll->n_max = n_max;
	return 0;
}

static struct lockd__roll *new_roll(struct lockd_client *client, const struct lockd_session *session) {
	struct lockd__roll *roll = calloc(1, sizeof *roll);

	if (!roll)
		return NULL;
	roll->epoch = session->epoch;
	roll->group = session->group;
	roll->due_us = LOCKD__NEVER;
	TAILQ_INSERT_TAIL(&client->rolls, roll, link);
	return roll;
}

/* The last one has room most often. */
static struct lockd__roll *find_roll(struct lockd_client *client, const struct lockd_session *session) {
	struct lockd__roll *roll;

	TAILQ_FOREACH_REVERSE(roll, &client->rolls, lockd__rolls, link) {
		if (roll->epoch != session->epoch || roll->group != session->group)
			continue;
		if (roll->n == LIMIT_SESSIONS_PER_KEEP_ALIVE)
			lockd__roll_close_ranks(roll);
		if (roll->n < LIMIT_SESSIONS_PER_KEEP_ALIVE)
			return roll;
	}
	return NULL;
}

static void free_if_empty(struct lockd_client *client, struct lockd__roll *roll) {
	if (roll->gone < roll->n || roll->calls > 0)
		return;
	TAILQ_REMOVE(&client->rolls, roll, link);
	free(roll->places);
	free(roll);
}

int lockd__roll_join(struct lockd_client *client, struct lockd_session *session) {
	struct lockd__roll *roll = find_roll(client, session);

	if (!roll)
		roll = new_roll(client, session);
	if (!roll)
		return -ENOMEM;
	if (reserve(roll) < 0) {
		free_if_empty(client, roll);
		return -ENOMEM;
	}
	session->roll = roll;
	session->place = roll->n;
	roll->places[roll->n++] = (struct lockd__place){
		.session = session,
		.opened = session->opened,
		.ttl_ms = session->ttl_ms,
	};
	return 0;
}

void lockd__roll_strike(struct lockd_session *session) {
	if (session->roll)
		session->roll->places[session->place].opened = 0;
}

void lockd__roll_leave(struct lockd_client *client, struct lockd_session *session) {
	struct lockd__roll *roll = session->roll;

	roll->places[session->place] = (struct lockd__place){0};
	roll->gone++;
	session->roll = NULL;
	free_if_empty(client, roll);
}

void lockd__roll_begin_call(struct lockd__roll *roll) {
	roll->calls++;
}

void lockd__roll_end_call(struct lockd_client *client, struct lockd__roll *roll) {
	roll->calls--;
	free_if_empty(client, roll);
}

void lockd__roll_close_ranks(struct lockd__roll *roll) {
	uint32_t n = 0;

	if (roll->calls > 0 || roll->gone * GONE_SHARE < roll->n)
		return;
	for (uint32_t i = 0; i < roll->n; i++) {
		if (!roll->places[i].session)
			continue;
		roll->places[i].session->place = n;
		roll->places[n++] = roll->places[i];
	}
	roll->n = n;
	roll->gone = 0;
}

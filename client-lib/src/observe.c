/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"
#include "clock.h"

#include "api/frame.h"
#include "api/text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { RETRY_US = 50 * 1000 };

static struct lockd_observation *find(struct lockd_client *client, uint64_t frame_id) {
	struct lockd_observation *observation;

	TAILQ_FOREACH (observation, &client->observations, link)
		if (observation->connection && observation->frame_id == frame_id)
			return observation;
	return NULL;
}

/* ---- Subscriptions ---------------------------------------------------------------------------------------------- */

static void subscribe(struct lockd_client *client, struct lockd_observation *observation,
		      struct lockd__connection *leader) {
	Client__Observe observe = CLIENT__OBSERVE__INIT;
	Client__Request request = CLIENT__REQUEST__INIT;

	observe.name = (ProtobufCBinaryData){.len = strlen(observation->name), .data = (uint8_t *)observation->name};
	observe.after = observation->after;
	request.body_case = CLIENT__REQUEST__BODY_OBSERVE;
	request.observe = &observe;
	observation->connection = leader;
	observation->frame_id = client->next_frame_id++;
	lockd__connection_send(leader, FRAME_REQUEST, observation->frame_id, &request.base);
}

/* Nobody waits for the answer: events that come nevertheless belong to no observation. */
static void unsubscribe(struct lockd_client *client, struct lockd_observation *observation) {
	Client__Unobserve unobserve = CLIENT__UNOBSERVE__INIT;
	Client__Request request = CLIENT__REQUEST__INIT;

	if (!observation->connection)
		return;
	if (!observation->connection->dead) {
		unobserve.observation = observation->frame_id;
		request.body_case = CLIENT__REQUEST__BODY_UNOBSERVE;
		request.unobserve = &unobserve;
		lockd__connection_send(observation->connection, FRAME_REQUEST, client->next_frame_id++, &request.base);
	}
	observation->connection = NULL;
}

int64_t lockd__observe_flush(struct lockd_client *client, int64_t now_us) {
	struct lockd__connection *leader = lockd__leader_connection(client);
	struct lockd_observation *observation;
	int64_t next_us = LOCKD__NEVER;

	TAILQ_FOREACH (observation, &client->observations, link) {
		if (observation->connection || observation->n_events > LOCKD__EVENTS_MAX / 2)
			continue;
		if (observation->retry_us > now_us) {
			if (observation->retry_us < next_us)
				next_us = observation->retry_us;
		} else if (leader) {
			subscribe(client, observation, leader);
		}
	}
	return next_us;
}

void lockd__observe_put_back(struct lockd_client *client, const struct lockd__connection *connection) {
	struct lockd_observation *observation;

	TAILQ_FOREACH (observation, &client->observations, link)
		if (observation->connection && (!connection || observation->connection == connection))
			unsubscribe(client, observation);
}

bool lockd__observe_answered(struct lockd_client *client, struct lockd__connection *connection, uint64_t frame_id,
			     const Client__Reply *reply) {
	struct lockd_observation *observation = find(client, frame_id);

	if (!observation || observation->connection != connection)
		return false;
	if (reply->status == LOCKD_OK)
		return true;
	observation->connection = NULL;
	if (reply->status == LOCKD_NOT_LEADER || reply->status == LOCKD_LEADER_CHANGED)
		lockd__leader_refused(client, connection, reply);
	else
		observation->retry_us = lockd__clock_us() + RETRY_US + lockd__client_jitter_us(client, RETRY_US);
	lockd__client_kick(client);
	return true;
}

/* ---- Events ----------------------------------------------------------------------------------------------------- */

static char *put_text(char **at, const ProtobufCBinaryData *text) {
	char *copy = *at;

	if (text && text->len)
		memcpy(copy, text->data, text->len);
	copy[text ? text->len : 0] = '\0';
	*at += (text ? text->len : 0) + 1;
	return copy;
}

static struct lockd__event *event_new(const Client__Event *event) {
	const Client__Session *holder = event->holder;
	size_t bytes = event->value.len + (holder ? holder->owner.len + holder->host.len : 0) + 3;
	struct lockd__event *copy = malloc(sizeof *copy + bytes);
	char *at;

	if (!copy)
		return NULL;
	at = copy->text;
	copy->event = (struct lockd_event){
		.kind = (enum lockd_event_kind)event->kind,
		.revision = event->revision,
		.token = event->token,
		.value = put_text(&at, &event->value),
		.owner = put_text(&at, holder ? &holder->owner : NULL),
		.host = put_text(&at, holder ? &holder->host : NULL),
		.pid = holder ? holder->pid : 0,
	};
	return copy;
}

_Static_assert((int)LOCKD_EVENT_LEADER == (int)CLIENT__EVENT__KIND__LEADER, "event kinds are those of the wire");
_Static_assert((int)LOCKD_EVENT_VACANT == (int)CLIENT__EVENT__KIND__VACANT, "event kinds are those of the wire");
_Static_assert((int)LOCKD_EVENT_GAP == (int)CLIENT__EVENT__KIND__GAP, "event kinds are those of the wire");

/* A subscription that was taken up again may repeat what came before. Behind a gap the state of affairs comes with the
 * revision of its own change, which may lie below the gap's. */
static bool is_repeated(const struct lockd_observation *observation, const Client__Event *event) {
	return observation->begun && !observation->after_gap && event->revision <= observation->after;
}

void lockd__observe_event(struct lockd_client *client, uint64_t frame_id, const Client__Event *event) {
	struct lockd_observation *observation = find(client, frame_id);
	struct lockd__event *copy;

	if (!observation || is_repeated(observation, event))
		return;
	copy = observation->n_events < LOCKD__EVENTS_MAX ? event_new(event) : NULL;
	if (!copy) {
		observation->retry_us = lockd__clock_us() + RETRY_US;
		unsubscribe(client, observation);
		return;
	}
	observation->begun = true;
	observation->after_gap = event->kind == CLIENT__EVENT__KIND__GAP;
	if (event->revision > observation->after)
		observation->after = event->revision;
	if (observation->n_events++ == 0)
		TAILQ_INSERT_TAIL(&client->eventful, observation, eventful);
	STAILQ_INSERT_TAIL(&observation->events, copy, link);
	lockd__client_due(client);
}

struct lockd__event *lockd__observe_take(struct lockd_client *client, struct lockd_observation **ret_observation) {
	struct lockd_observation *observation = TAILQ_FIRST(&client->eventful);
	struct lockd__event *event;

	if (!observation)
		return NULL;
	event = STAILQ_FIRST(&observation->events);
	STAILQ_REMOVE_HEAD(&observation->events, link);
	TAILQ_REMOVE(&client->eventful, observation, eventful);
	if (--observation->n_events > 0)
		TAILQ_INSERT_TAIL(&client->eventful, observation, eventful);
	*ret_observation = observation;
	return event;
}

/* ---- Calls ------------------------------------------------------------------------------------------------------ */

static struct lockd_observation *observation_new(struct lockd_client *client, const char *name) {
	struct lockd_observation *observation = calloc(1, sizeof *observation);

	if (!observation)
		return NULL;
	observation->client = client;
	STAILQ_INIT(&observation->events);
	observation->name = strdup(name);
	if (!observation->name) {
		free(observation);
		return NULL;
	}
	return observation;
}

void lockd__observe_free(struct lockd_observation *observation) {
	struct lockd_client *client = observation->client;
	struct lockd__event *event;

	if (observation->n_events > 0)
		TAILQ_REMOVE(&client->eventful, observation, eventful);
	while ((event = STAILQ_FIRST(&observation->events))) {
		STAILQ_REMOVE_HEAD(&observation->events, link);
		free(event);
	}
	TAILQ_REMOVE(&client->observations, observation, link);
	free(observation->name);
	free(observation);
}

enum lockd_status lockd_observe(struct lockd_client *client, const char *election, uint64_t after_revision,
				lockd_event_fn *on_event, void *user, struct lockd_observation **ret) {
	struct lockd_observation *observation;
	size_t n = election ? strlen(election) : 0;
	enum lockd_status status;

	if (!client || n == 0 || n > LIMIT_NAME_BYTES_MAX || !text_is_valid(election, n) || !on_event || !ret)
		return LOCKD_MISUSE;
	status = lockd__client_enter(client);
	if (status != LOCKD_OK)
		return status;
	observation = observation_new(client, election);
	if (observation) {
		observation->on_event = on_event;
		observation->user = user;
		observation->after = after_revision;
		observation->begun = after_revision > 0;
		TAILQ_INSERT_TAIL(&client->observations, observation, link);
		*ret = observation;
		lockd__client_kick(client);
	}
	lockd__client_leave(client);
	return observation ? LOCKD_OK : LOCKD_NO_MEMORY;
}

void lockd_observe_stop(struct lockd_observation *observation) {
	struct lockd_client *client = observation ? observation->client : NULL;

	if (!observation || lockd__client_enter(client) != LOCKD_OK)
		return;
	client->callers++;
	unsubscribe(client, observation);
	while (client->running == observation && !lockd__client_is_caller(client))
		pthread_cond_wait(&client->left, &client->mutex);
	lockd__observe_free(observation);
	lockd__client_leave_blocking(client);
}

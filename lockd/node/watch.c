/* SPDX-License-Identifier: Apache-2.0 */
#include "watch.h"

#include "api/limits.h"
#include "memory.h"
#include "read.h"
#include "replica.h"

#include <lockd/status.h>

static int watch_compare_id(const struct watch *a, const struct watch *b) {
	if (a->connection != b->connection)
		return a->connection < b->connection ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

static int watch_compare_name(const struct watch *a, const struct watch *b) {
	size_t n = a->n < b->n ? a->n : b->n;
	int order = n > 0 ? memcmp(a->name, b->name, n) : 0;

	if (order != 0)
		return order;
	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	return watch_compare_id(a, b);
}

RB_GENERATE_INTERNAL(watches_by_name, watch, by_name, watch_compare_name, __attribute__((unused)) static)
RB_GENERATE_INTERNAL(watches_by_id, watch, by_id, watch_compare_id, __attribute__((unused)) static)

/* ---- Which there are ----------------------------------------------------------------------------------------------
 */

static void watch_new(struct replica *replica, const struct asker *asker, const Client__Observe *observe) {
	struct watch *watch = memory_new(sizeof *watch + observe->name.len);

	watch->connection = asker->connection;
	watch->id = asker->id;
	watch->n = observe->name.len;
	watch->name = (uint8_t *)(watch + 1);
	memcpy(watch->name, observe->name.data, observe->name.len);
	RB_INSERT(watches_by_name, &replica->watches.by_name, watch);
	RB_INSERT(watches_by_id, &replica->watches.by_id, watch);
	replica->watches.n++;
}

static void watch_free(struct watches *watches, struct watch *watch) {
	RB_REMOVE(watches_by_name, &watches->by_name, watch);
	RB_REMOVE(watches_by_id, &watches->by_id, watch);
	watches->n--;
	free(watch);
}

static struct watch *watch_find(struct watches *watches, node_connection connection, uint64_t id) {
	struct watch key = {.connection = connection, .id = id};

	return RB_FIND(watches_by_id, &watches->by_id, &key);
}

static bool watch_exists(struct replica *replica, node_connection connection, uint64_t id) {
	return watch_find(&replica->watches, connection, id) != NULL;
}

bool watch_unobserve(struct replica *replica, node_connection connection, uint64_t id) {
	struct watch *watch = watch_find(&replica->watches, connection, id);

	if (!watch)
		return false;
	watch_free(&replica->watches, watch);
	return true;
}

void watches_forget_connection(struct replica *replica, node_connection connection) {
	struct watch key = {.connection = connection}, *watch;

	while ((watch = RB_NFIND(watches_by_id, &replica->watches.by_id, &key)) && watch->connection == connection)
		watch_free(&replica->watches, watch);
}

void watches_clear(struct watches *watches) {
	while (!RB_EMPTY(&watches->by_id))
		watch_free(watches, RB_ROOT(&watches->by_id));
}

void watches_resign(struct replica *replica) {
	struct watch *watch;

	RB_FOREACH (watch, watches_by_id, &replica->watches.by_id)
		client_redirect(replica, watch->connection, watch->id, NULL);
	watches_clear(&replica->watches);
}

/* ---- What they see ------------------------------------------------------------------------------------------------
 */

static struct node_bytes watch_pack(struct replica *replica, const Client__Event *event) {
	size_t n = client__event__get_packed_size(event);
	uint8_t *bytes = turn_alloc(&replica->node->turn, n);

	(void)client__event__pack(event, bytes);
	return (struct node_bytes){.bytes = bytes, .n = n};
}

static struct node_bytes watch_pack_change(struct replica *replica, const struct state_change *change) {
	Client__Event event = CLIENT__EVENT__INIT;
	struct read_session holder;

	event.kind = change->token > 0 ? CLIENT__EVENT__KIND__LEADER : CLIENT__EVENT__KIND__VACANT;
	event.revision = change->revision;
	event.token = change->token;
	if (change->token > 0) {
		event.value = read_text(change->value);
		event.holder = read_fill_session(replica, change->holder, &holder);
	}
	return watch_pack(replica, &event);
}

static void watch_tell(struct replica *replica, const struct asker *asker, const struct state_change *change) {
	struct node_bytes body = watch_pack_change(replica, change);

	client_event(replica->node, asker->connection, asker->id, &body);
}

/* Who holds the lock, as one event. */
static struct state_change watch_affairs(struct replica *replica, const Client__Observe *observe) {
	struct state_lock lock;

	if (!state_get_lock(replica->state, observe->name.data, observe->name.len, &lock))
		return (struct state_change){.revision = replica_revision(replica)};
	return (struct state_change){
		.revision = lock.granted, .value = lock.value, .token = lock.token, .holder = lock.holder};
}

/* The history does not reach back to `after`. If the holder was granted the lock before, nothing has changed since. */
static void watch_gap(struct replica *replica, const struct asker *asker, const Client__Observe *observe) {
	struct state_change affairs = watch_affairs(replica, observe);
	Client__Event gap = CLIENT__EVENT__INIT;
	struct node_bytes body;

	if (affairs.token > 0 && affairs.revision <= observe->after)
		return;
	gap.kind = CLIENT__EVENT__KIND__GAP;
	gap.revision = affairs.revision;
	body = watch_pack(replica, &gap);
	client_event(replica->node, asker->connection, asker->id, &body);
	watch_tell(replica, asker, &affairs);
}

static void watch_replay(struct replica *replica, const struct asker *asker, const Client__Observe *observe) {
	struct state_change change = {.revision = observe->after};
	int r = state_next_change(replica->state, observe->name.data, observe->name.len, change.revision, &change,
				  NULL);

	if (r == 2) {
		watch_gap(replica, asker, observe);
		return;
	}
	while (r == 0) {
		watch_tell(replica, asker, &change);
		r = state_next_change(replica->state, observe->name.data, observe->name.len, change.revision, &change,
				      NULL);
	}
}

/* Replies and returns true when the observation cannot begin. */
static bool watch_is_refused(struct replica *replica, const struct asker *asker) {
	if (watch_exists(replica, asker->connection, asker->id)) {
		client_reply_status(replica->node, asker->connection, asker->id, LOCKD_INVALID,
				    "the frame id names an observation already");
		return true;
	}
	if (replica->watches.n >= LIMIT_OBSERVERS_MAX) {
		client_reply_status(replica->node, asker->connection, asker->id, LOCKD_BUSY, NULL);
		return true;
	}
	return !client_find(replica->node, asker->connection);
}

void watch_observe(struct replica *replica, const struct asker *asker, const Client__Observe *observe) {
	Client__Reply reply = CLIENT__REPLY__INIT;

	if (watch_is_refused(replica, asker))
		return;

	reply.status = LOCKD_OK;
	reply.revision = replica_revision(replica);
	client_reply(replica->node, asker->connection, asker->id, &reply);

	if (observe->after == 0) {
		struct state_change affairs = watch_affairs(replica, observe);

		watch_tell(replica, asker, &affairs);
	} else {
		watch_replay(replica, asker, observe);
	}
	watch_new(replica, asker, observe);
}

static bool watch_is_of(const struct watch *watch, struct state_text name) {
	return watch->n == name.n && memcmp(watch->name, name.bytes, name.n) == 0;
}

void watches_push(struct replica *replica, const struct state_outcome *outcome) {
	struct state_change change = {.revision = outcome->revision,
				      .value = outcome->value,
				      .token = outcome->token,
				      .holder = outcome->session};
	struct watch key = {.n = outcome->name.n, .name = (uint8_t *)outcome->name.bytes};
	struct watch *watch = RB_NFIND(watches_by_name, &replica->watches.by_name, &key);
	struct node_bytes body;

	if (!watch || !watch_is_of(watch, outcome->name))
		return;
	/* A crowd that watches one lock shares one body. */
	body = watch_pack_change(replica, &change);
	for (; watch && watch_is_of(watch, outcome->name);
	     watch = RB_NEXT(watches_by_name, &replica->watches.by_name, watch))
		client_event(replica->node, watch->connection, watch->id, &body);
}

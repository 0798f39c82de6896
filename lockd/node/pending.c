/* SPDX-License-Identifier: Apache-2.0 */
#include "pending.h"

#include "api/limits.h"
#include "keepalive.h"
#include "memory.h"
#include "replica.h"
#include "seat.h"

#include <assert.h>
#include <lockd/status.h>

void pendings_init(struct pendings *pendings) {
	STAILQ_INIT(&pendings->queued);
	STAILQ_INIT(&pendings->proposed);
}

static void pending_free_first(struct pending_list *list) {
	struct pending *pending = STAILQ_FIRST(list);

	STAILQ_REMOVE_HEAD(list, link);
	free(pending);
}

void pendings_deinit(struct replica *replica) {
	while (!STAILQ_EMPTY(&replica->pendings.queued))
		pending_free_first(&replica->pendings.queued);
	while (!STAILQ_EMPTY(&replica->pendings.proposed))
		pending_free_first(&replica->pendings.proposed);
}

/* ---- In -----------------------------------------------------------------------------------------------------------
 */

static Command__Batch pending_batch(Command__Command **command) {
	Command__Batch batch = COMMAND__BATCH__INIT;

	batch.n_commands = 1;
	batch.commands = command;
	return batch;
}

size_t pending_pack(const Command__Command *command, uint8_t out[PENDING_REQUEST_BYTES_MAX]) {
	Command__Command *list[] = {(Command__Command *)command};
	Command__Batch batch = pending_batch(list);
	size_t n = command__batch__pack(&batch, out);

	assert(n <= PENDING_REQUEST_BYTES_MAX);
	return n;
}

static struct pending *pending_push(struct replica *replica, enum pending_kind kind, size_t n, size_t name_n) {
	struct pending *pending = memory_have(malloc(sizeof *pending + n + name_n));

	assert(n <= LIMIT_ENTRY_BYTES_MAX);

	*pending = (struct pending){.kind = kind,
				    .ticket = ++replica->pendings.issued,
				    .arrived = leases_clock(replica),
				    .n = n,
				    .name_n = name_n};
	STAILQ_INSERT_TAIL(&replica->pendings.queued, pending, link);
	return pending;
}

void pending_push_request(struct replica *replica, enum pending_kind kind, const struct asker *asker,
			  struct node_bytes batch, struct node_bytes lock) {
	struct pending *pending = pending_push(replica, kind, batch.n, lock.n);

	pending->asker = *asker;
	memcpy(pending->batch, batch.bytes, batch.n);
	if (lock.n > 0) {
		memcpy(pending->batch + batch.n, lock.bytes, lock.n);
		pending->patient_to = replica->node->clocks.mono + PENDING_PATIENCE_US;
	}
}

uint64_t pending_push_own(struct replica *replica, const Command__Command *command) {
	Command__Command *list[] = {(Command__Command *)command};
	Command__Batch batch = pending_batch(list);
	struct pending *pending = pending_push(replica, PENDING_OWN, command__batch__get_packed_size(&batch), 0);

	(void)command__batch__pack(&batch, pending->batch);
	return pending->ticket;
}

/* ---- Into the log -------------------------------------------------------------------------------------------------
 */

/* How many queued commands fit into one entry, and their bytes. */
static uint32_t pendings_measure(const struct pendings *pendings, size_t *ret_bytes) {
	const struct pending *pending;
	uint32_t n = 0;
	size_t bytes = 0;

	STAILQ_FOREACH (pending, &pendings->queued, link) {
		if (n == LIMIT_COMMANDS_PER_ENTRY_MAX || pending->n > LIMIT_ENTRY_BYTES_MAX - bytes)
			break;
		n++;
		bytes += pending->n;
	}
	*ret_bytes = bytes;
	return n;
}

static const uint8_t *pendings_join(struct replica *replica, uint32_t n, size_t bytes) {
	uint8_t *batch = turn_alloc(&replica->node->turn, bytes), *end = batch;
	const struct pending *pending = STAILQ_FIRST(&replica->pendings.queued);

	for (uint32_t i = 0; i < n; i++, pending = STAILQ_NEXT(pending, link)) {
		memcpy(end, pending->batch, pending->n);
		end += pending->n;
	}
	return batch;
}

/* The first n queued commands stand at `index`. */
static void pendings_place(struct replica *replica, uint32_t n, raft_index index) {
	struct pendings *pendings = &replica->pendings;

	for (uint32_t position = 0; position < n; position++) {
		struct pending *pending = STAILQ_FIRST(&pendings->queued);

		STAILQ_REMOVE_HEAD(&pendings->queued, link);
		pending->index = index;
		pending->term = replica->status.term;
		pending->position = position;
		STAILQ_INSERT_TAIL(&pendings->proposed, pending, link);
	}
}

static int pendings_propose_entry(struct replica *replica) {
	struct raft_entry entry = {.type = RAFT_ENTRY_COMMANDS};
	struct raft_event event = {.kind = RAFT_PROPOSE, .entries = &entry, .n = 1};
	struct node_entry incoming = {.type = RAFT_ENTRY_COMMANDS};
	uint32_t n = pendings_measure(&replica->pendings, &incoming.n);
	int r;

	incoming.data = pendings_join(replica, n, incoming.n);
	r = replica_raft(replica, &event, &incoming);
	if (r == 0)
		pendings_place(replica, n, replica->effects.appended);
	return r;
}

static bool pending_is_patient(const struct replica *replica, const struct pending *pending) {
	struct state_lock lock;

	return pending->patient_to > replica->node->clocks.mono &&
	       state_get_lock(replica->state, pending->batch + pending->n, pending->name_n, &lock);
}

static bool pendings_are_patient(const struct replica *replica) {
	const struct pending *pending;
	uint32_t n = 0;

	STAILQ_FOREACH (pending, &replica->pendings.queued, link) {
		if (n++ == PENDING_PATIENT_MAX || !pending_is_patient(replica, pending))
			return false;
	}
	return true;
}

void pendings_get_deadline(const struct replica *replica, raft_usec *deadline) {
	if (replica->pendings.patient_to > 0 && replica->pendings.patient_to < *deadline)
		*deadline = replica->pendings.patient_to;
}

void pendings_propose(struct replica *replica) {
	const struct pending *first = STAILQ_FIRST(&replica->pendings.queued);

	replica->pendings.patient_to = 0;
	if (!first || !replica->leading || replica->last_seq > replica->saved_seq)
		return;
	if (pendings_are_patient(replica)) {
		replica->pendings.patient_to = first->patient_to;
		return;
	}
	/* A full save ring or too many terms: what is queued waits for the next report of the disk. */
	while (!STAILQ_EMPTY(&replica->pendings.queued)) {
		if (pendings_propose_entry(replica) != 0)
			return;
	}
}

/* ---- Out of the log -----------------------------------------------------------------------------------------------
 */

static void pending_reply(struct replica *replica, const struct pending *pending, const struct state_outcome *outcome) {
	switch (outcome->status) {
	case LOCKD_QUEUED: seat_wait(replica, &pending->asker, outcome); break;
	case LOCKD_OK:
		if (pending->kind == PENDING_OPEN) {
			keepalive_opened(replica, pending, outcome->session);
			break;
		}
		/* fall through */
	default: client_reply_outcome(replica->node, &pending->asker, outcome); break;
	}
}

/* Takes the first proposed command out, answered or not. */
static void pending_settle(struct replica *replica, const struct state_outcome *outcome, int status) {
	struct pendings *pendings = &replica->pendings;
	struct pending *pending = STAILQ_FIRST(&pendings->proposed);

	pendings->applied = pending->ticket;
	if (pending->kind != PENDING_OWN) {
		asker_settle(replica->node, &pending->asker);
		if (outcome)
			pending_reply(replica, pending, outcome);
		else
			client_reply_status(replica->node, pending->asker.connection, pending->asker.id, status, NULL);
	}
	pending_free_first(&pendings->proposed);
}

/* The first proposed command, if it stands in that entry. */
static const struct pending *pending_in(const struct replica *replica, const struct node_entry *entry) {
	const struct pending *pending = STAILQ_FIRST(&replica->pendings.proposed);

	if (!pending || pending->index != entry->index)
		return NULL;
	assert(pending->term == entry->term);
	return pending;
}

void pending_answer(struct replica *replica, const struct node_entry *entry, const struct state_outcome *outcome) {
	const struct pending *pending;

	while ((pending = pending_in(replica, entry)) && pending->position <= outcome->position) {
		if (pending->position == outcome->position) {
			pending_settle(replica, outcome, 0);
			return;
		}
		/* Only the leader's own commands have no answer. */
		assert(pending->kind == PENDING_OWN);
		pending_settle(replica, NULL, 0);
	}
}

void pendings_pass(struct replica *replica, const struct node_entry *entry) {
	const struct pending *pending;

	while ((pending = pending_in(replica, entry))) {
		assert(pending->kind == PENDING_OWN);
		pending_settle(replica, NULL, 0);
	}
}

void pendings_resign(struct replica *replica) {
	struct pendings *pendings = &replica->pendings;
	struct pending *pending;

	while (!STAILQ_EMPTY(&pendings->proposed))
		pending_settle(replica, NULL, LOCKD_LEADER_CHANGED);
	while ((pending = STAILQ_FIRST(&pendings->queued))) {
		if (pending->kind != PENDING_OWN) {
			asker_settle(replica->node, &pending->asker);
			client_redirect(replica, pending->asker.connection, pending->asker.id, NULL);
		}
		pending_free_first(&pendings->queued);
	}
	pendings->applied = pendings->issued;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "pending.h"

#include "api/limits.h"
#include "backlog.h"
#include "keepalive.h"
#include "memory.h"
#include "replica.h"
#include "seat.h"

#include <assert.h>
#include <lockd/status.h>

void pendings_init(struct pendings *pendings) {
	STAILQ_INIT(&pendings->backlog.own);
	STAILQ_INIT(&pendings->backlog.flows);
	STAILQ_INIT(&pendings->chosen);
	STAILQ_INIT(&pendings->proposed);
}

static void pending_free_first(struct pending_list *list) {
	struct pending *pending = STAILQ_FIRST(list);

	STAILQ_REMOVE_HEAD(list, link);
	free(pending);
}

/* NULL: nothing waits to be proposed. */
static struct pending *pendings_take_unproposed(struct pendings *pendings) {
	struct pending *pending = STAILQ_FIRST(&pendings->chosen);

	if (!pending)
		return backlog_next(&pendings->backlog) ? backlog_take(&pendings->backlog) : NULL;
	STAILQ_REMOVE_HEAD(&pendings->chosen, link);
	pendings->n_chosen--;
	pendings->chosen_bytes -= pending->n;
	return pending;
}

void pendings_deinit(struct replica *replica) {
	struct pending *pending;

	while ((pending = pendings_take_unproposed(&replica->pendings)))
		free(pending);
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

static struct pending *pending_new(const struct replica *replica, enum pending_kind kind, size_t n, size_t name_n) {
	struct pending *pending = memory_have(malloc(sizeof *pending + n + name_n));

	assert(n <= LIMIT_ENTRY_BYTES_MAX);

	*pending = (struct pending){.kind = kind, .arrived = leases_clock(replica), .n = n, .name_n = name_n};
	return pending;
}

void pending_push_request(struct replica *replica, enum pending_kind kind, const struct asker *asker,
			  struct node_bytes batch, struct node_bytes lock) {
	struct pending *pending = pending_new(replica, kind, batch.n, lock.n);

	pending->asker = *asker;
	memcpy(pending->batch, batch.bytes, batch.n);
	if (lock.n > 0) {
		memcpy(pending->batch + batch.n, lock.bytes, lock.n);
		pending->patient_to = replica->node->clocks.mono + PENDING_PATIENCE_US;
	}
	backlog_add(&replica->pendings.backlog, pending);
}

uint64_t pending_push_own(struct replica *replica, const Command__Command *command) {
	Command__Command *list[] = {(Command__Command *)command};
	Command__Batch batch = pending_batch(list);
	struct pending *pending = pending_new(replica, PENDING_OWN, command__batch__get_packed_size(&batch), 0);

	(void)command__batch__pack(&batch, pending->batch);
	pending->ticket = ++replica->pendings.issued;
	backlog_add(&replica->pendings.backlog, pending);
	return pending->ticket;
}

/* ---- Into the log -------------------------------------------------------------------------------------------------
 */

/* As many as fit into one entry; what was chosen before and not proposed stays. */
static void pendings_choose(struct pendings *pendings) {
	uint32_t n_max = PENDING_AHEAD_MAX - pendings->n_proposed;
	struct pending *pending;

	while (pendings->n_chosen < n_max && (pending = backlog_next(&pendings->backlog)) &&
	       pending->n <= LIMIT_ENTRY_BYTES_MAX - pendings->chosen_bytes) {
		pending = backlog_take(&pendings->backlog);
		STAILQ_INSERT_TAIL(&pendings->chosen, pending, link);
		pendings->n_chosen++;
		pendings->chosen_bytes += pending->n;
	}
}

static const uint8_t *pendings_join(struct replica *replica) {
	const struct pendings *pendings = &replica->pendings;
	uint8_t *batch = turn_alloc(&replica->node->turn, pendings->chosen_bytes), *end = batch;
	const struct pending *pending;

	STAILQ_FOREACH (pending, &pendings->chosen, link) {
		memcpy(end, pending->batch, pending->n);
		end += pending->n;
	}
	return batch;
}

/* What was chosen stands at `index`. */
static void pendings_place(struct replica *replica, raft_index index) {
	struct pendings *pendings = &replica->pendings;
	struct pending *pending;
	uint32_t position = 0;

	STAILQ_FOREACH (pending, &pendings->chosen, link) {
		pending->proposed = replica->node->clocks.mono;
		pending->index = index;
		pending->term = replica->status.term;
		pending->position = position++;
	}
	STAILQ_CONCAT(&pendings->proposed, &pendings->chosen);
	pendings->n_proposed += pendings->n_chosen;
	pendings->n_chosen = 0;
	pendings->chosen_bytes = 0;
}

/* A full save ring or too many terms: what was chosen waits for the next report of the disk. */
static void pendings_propose_chosen(struct replica *replica) {
	struct raft_entry entry = {.type = RAFT_ENTRY_COMMANDS};
	struct raft_event event = {.kind = RAFT_PROPOSE, .entries = &entry, .n = 1};
	struct node_entry incoming = {.type = RAFT_ENTRY_COMMANDS, .n = replica->pendings.chosen_bytes};

	incoming.data = pendings_join(replica);
	if (replica_raft(replica, &event, &incoming) == 0)
		pendings_place(replica, replica->effects.appended);
}

static bool pending_is_patient(const struct replica *replica, const struct pending *pending) {
	struct state_lock lock;

	return pending->patient_to > replica->node->clocks.mono &&
	       state_get_lock(replica->state, pending->batch + pending->n, pending->name_n, &lock);
}

static bool pendings_are_patient(const struct replica *replica) {
	const struct pending *pending;

	if (replica->pendings.n_chosen > PENDING_PATIENT_MAX)
		return false;
	STAILQ_FOREACH (pending, &replica->pendings.chosen, link) {
		if (!pending_is_patient(replica, pending))
			return false;
	}
	return true;
}

void pendings_get_deadline(const struct replica *replica, raft_usec *deadline) {
	if (replica->pendings.patient_to > 0 && replica->pendings.patient_to < *deadline)
		*deadline = replica->pendings.patient_to;
}

static bool pendings_must_wait(const struct replica *replica) {
	const struct pendings *pendings = &replica->pendings;

	if (!replica->leading || replica->last_seq > replica->saved_seq)
		return true;
	return pendings->n_proposed > 0 &&
	       (pendings->took <= PENDING_NEAR_US_MAX || pendings->n_proposed == PENDING_AHEAD_MAX);
}

void pendings_propose(struct replica *replica) {
	struct pendings *pendings = &replica->pendings;

	pendings->patient_to = 0;
	if (pendings_must_wait(replica))
		return;
	pendings_choose(pendings);
	if (pendings->n_chosen == 0)
		return;
	if (pendings_are_patient(replica))
		pendings->patient_to = STAILQ_FIRST(&pendings->chosen)->patient_to;
	else
		pendings_propose_chosen(replica);
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

	pendings->took = replica->node->clocks.mono - pending->proposed;
	if (pending->kind == PENDING_OWN) {
		pendings->applied = pending->ticket;
	} else {
		asker_settle(replica->node, &pending->asker);
		if (outcome)
			pending_reply(replica, pending, outcome);
		else
			client_reply_status(replica->node, pending->asker.connection, pending->asker.id, status, NULL);
	}
	pending_free_first(&pendings->proposed);
	pendings->n_proposed--;
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
	while ((pending = pendings_take_unproposed(pendings))) {
		if (pending->kind != PENDING_OWN) {
			asker_settle(replica->node, &pending->asker);
			client_redirect(replica, pending->asker.connection, pending->asker.id, NULL);
		}
		free(pending);
	}
	pendings->applied = pendings->issued;
}

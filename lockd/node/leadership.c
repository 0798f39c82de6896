/* SPDX-License-Identifier: Apache-2.0 */
#include "leadership.h"

#include "configuration.h"
#include "members.h"
#include "membership.h"
#include "memory.h"
#include "replica.h"

#include <assert.h>
#include <lockd/status.h>

static int leadership_transfer(struct replica *replica, uint32_t to, const char *reason) {
	struct raft_event event = {.kind = RAFT_TRANSFER, .peer = to};
	int r = replica_raft(replica, &event, NULL);

	if (r == 0)
		TURN_TRACE(&replica->node->turn, replica->group, "event=transfer to=%u reason=%s",
			   replica->status.transfer_to, reason);
	return r;
}

/* ---- On request ---------------------------------------------------------------------------------------------------
 */

void leadership_ask(struct replica *replica, const struct asker *asker, uint32_t target) {
	struct leadership *leadership = &replica->leadership;

	assert(!leadership_is_asked(replica));
	leadership->ask = LEADERSHIP_ASK_WAITING;
	leadership->asker = *asker;
	leadership->target = target;
}

bool leadership_is_asked(const struct replica *replica) {
	return replica->leadership.ask != LEADERSHIP_ASK_NONE;
}

static void leadership_answer(struct replica *replica, int status, const char *text) {
	struct leadership *leadership = &replica->leadership;

	leadership->ask = LEADERSHIP_ASK_NONE;
	asker_settle(replica->node, &leadership->asker);
	if (status == LOCKD_NOT_LEADER)
		client_redirect(replica, leadership->asker.connection, leadership->asker.id, NULL);
	else
		client_reply_status(replica->node, leadership->asker.connection, leadership->asker.id, status, text);
}

static void leadership_begin_asked(struct replica *replica) {
	struct leadership *leadership = &replica->leadership;

	if (leadership->ask != LEADERSHIP_ASK_WAITING || !replica->ready)
		return;
	if (leadership->target == replica->node->id) {
		leadership_answer(replica, LOCKD_OK, NULL);
		return;
	}
	leadership->term = replica->status.term;
	switch (leadership_transfer(replica, leadership->target, "asked")) {
	case 0: leadership->ask = LEADERSHIP_ASK_RUNNING; break;
	case RAFT_E_UNSETTLED: leadership_answer(replica, LOCKD_UNSETTLED, NULL); break;
	case RAFT_E_MISFIT:
		leadership_answer(replica, LOCKD_NOT_READY,
				  leadership->target > 0 ? "that node is no voter, or says that it could not lead"
							 : "no other voter could lead");
		break;
	default: assert(!"an outcome that a leader does not get");
	}
}

static void leadership_end_asked(struct replica *replica) {
	if (replica->leadership.ask == LEADERSHIP_ASK_RUNNING && replica->status.transfer_to == 0)
		leadership_answer(replica, LOCKD_NOT_READY, "it did not take over in time");
}

void leadership_resign(struct replica *replica) {
	struct leadership *leadership = &replica->leadership;

	leadership->gave_up = false;
	memset(leadership->health, 0, sizeof leadership->health);
	if (leadership->ask == LEADERSHIP_ASK_WAITING)
		leadership_answer(replica, LOCKD_NOT_LEADER, NULL);
	if (leadership->ask != LEADERSHIP_ASK_RUNNING)
		return;
	leadership->ask = LEADERSHIP_ASK_ENDED;
	leadership->ended = replica->node->clocks.mono;
}

static raft_usec leadership_answer_due(const struct replica *replica) {
	return replica->leadership.ended + LEADERSHIP_ANSWER_ELECTIONS * replica->node->timing.election_max;
}

/* That this term is over says nothing yet: another node may have been elected, or nobody. */
static void leadership_tell_successor(struct replica *replica) {
	const struct leadership *leadership = &replica->leadership;
	const struct raft_status *status = &replica->status;

	if (leadership->ask != LEADERSHIP_ASK_ENDED)
		return;
	if (status->leader > 0 && status->term > leadership->term) {
		if (status->leader == leadership->target ||
		    (leadership->target == 0 && status->leader != replica->node->id))
			leadership_answer(replica, LOCKD_OK, NULL);
		else
			leadership_answer(replica, LOCKD_NOT_READY,
					  leadership->target > 0 ? "another node was elected"
								 : "this node was elected again");
	} else if (replica->node->stopping || replica->node->clocks.mono >= leadership_answer_due(replica)) {
		leadership_answer(replica, LOCKD_LEADER_CHANGED, NULL);
	}
}

/* ---- Fitness ------------------------------------------------------------------------------------------------------
 */

static bool leadership_disk_is_busy(const struct replica *replica) {
	return replica->last_seq > replica->saved_seq;
}

void leadership_note_save(struct replica *replica) {
	if (!leadership_disk_is_busy(replica))
		replica->leadership.disk_quiet = replica->node->clocks.mono;
}

/* What else is outstanding was queued behind what has just become durable: a busy disk is not a stalled one. */
void leadership_note_saved(struct replica *replica) {
	replica->leadership.disk_quiet = replica->node->clocks.mono;
}

static bool leadership_disk_is_silent(const struct replica *replica, raft_usec longer_than) {
	return leadership_disk_is_busy(replica) &&
	       replica->node->clocks.mono - replica->leadership.disk_quiet > longer_than;
}

static bool leadership_is_stalled(const struct replica *replica) {
	return leadership_disk_is_silent(replica, replica->node->stall);
}

bool leadership_disk_is_late(const struct replica *replica) {
	return leadership_disk_is_silent(replica, 2 * replica->node->timing.heartbeat);
}

bool leadership_is_fit(const struct replica *replica) {
	return !node_is_refusing(replica->node) && !leadership_is_stalled(replica);
}

void leadership_tell_fitness(struct replica *replica) {
	bool fit = leadership_is_fit(replica);
	struct raft_event event = {.kind = RAFT_FITNESS, .ok = fit};

	if (replica->leadership.unfit == !fit)
		return;
	replica->leadership.unfit = !fit;
	(void)replica_raft(replica, &event, NULL);
	if (leadership_is_stalled(replica))
		TURN_TRACE(&replica->node->turn, replica->group, "event=disk-stalled seq=%llu",
			   (unsigned long long)replica->saved_seq + 1);
}

void leadership_get_deadline(const struct replica *replica, raft_usec *deadline) {
	raft_usec stalled = replica->leadership.disk_quiet + replica->node->stall + 1;

	if (leadership_disk_is_busy(replica) && stalled > replica->node->clocks.mono && stalled < *deadline)
		*deadline = stalled;
	if (replica->leadership.ask == LEADERSHIP_ASK_ENDED && leadership_answer_due(replica) < *deadline)
		*deadline = leadership_answer_due(replica);
}

/* ---- Giving up ----------------------------------------------------------------------------------------------------
 */

static bool leadership_is_alone(const struct replica *replica) {
	const struct raft_configuration *members = raft_members(replica->raft, NULL);

	for (uint16_t i = 0; i < members->n; i++) {
		const struct raft_member *member = &members->members[i];

		if (member->node != replica->node->id && (member->roles & (RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING)))
			return false;
	}
	return true;
}

/* Hands over, and steps down if nobody took it. A sole voter whose disk stalls stays: nobody could replace it. */
static void leadership_give_up(struct replica *replica) {
	struct leadership *leadership = &replica->leadership;
	struct raft_event step_down = {.kind = RAFT_STEP_DOWN};
	bool alone = leadership_is_alone(replica);

	if (!replica->node->stopping && (alone || !leadership_is_stalled(replica))) {
		leadership->gave_up = false;
		return;
	}
	if (replica->status.transfer_to > 0)
		return;
	if (!alone && !leadership->gave_up &&
	    leadership_transfer(replica, 0, replica->node->stopping ? "stop" : "stalled") == 0) {
		leadership->gave_up = true;
		return;
	}
	(void)replica_raft(replica, &step_down, NULL);
}

/* ---- Preference ---------------------------------------------------------------------------------------------------
 */

static bool leadership_is_healthy(const struct replica *replica, const struct raft_member *member) {
	raft_usec now = replica->node->clocks.mono;
	struct raft_peer peer;

	return (member->roles & RAFT_ROLE_VOTER) && raft_get_peer(replica->raft, member->node, &peer) &&
	       peer.contact > 0 &&
	       now - peer.contact <= LEADERSHIP_CONTACT_HEARTBEATS * replica->node->timing.heartbeat && !peer.unfit &&
	       peer.caught_up && peer.match + LEADERSHIP_LAG_ENTRIES_MAX >= replica->status.last;
}

static void leadership_watch_health(struct replica *replica) {
	const struct raft_configuration *members = raft_members(replica->raft, NULL);

	for (uint16_t i = 0; i < members->n; i++) {
		struct leadership_health *health = &replica->leadership.health[i];
		const struct raft_member *member = &members->members[i];

		if (health->node != member->node || !leadership_is_healthy(replica, member))
			*health = (struct leadership_health){.node = member->node};
		if (health->since == 0 && leadership_is_healthy(replica, member))
			health->since = replica->node->clocks.mono;
	}
}

/* The healthy voter with the highest priority above our own; 0: none. */
static uint32_t leadership_find_preferred(const struct replica *replica) {
	const struct raft_configuration *members = raft_members(replica->raft, NULL);
	const struct raft_member *own = configuration_find(members, replica->node->id);
	raft_usec healthy = LEADERSHIP_HEALTHY_ELECTIONS * replica->node->timing.election_max;
	uint8_t priority = own ? own->priority : 0;
	uint32_t preferred = 0;

	for (uint16_t i = 0; i < members->n; i++) {
		const struct leadership_health *health = &replica->leadership.health[i];

		if (members->members[i].priority <= priority || health->since == 0 ||
		    replica->node->clocks.mono - health->since < healthy)
			continue;
		priority = members->members[i].priority;
		preferred = health->node;
	}
	return preferred;
}

static void leadership_prefer(struct replica *replica) {
	struct leadership *leadership = &replica->leadership;
	raft_usec now = replica->node->clocks.mono;
	uint32_t preferred;

	leadership_watch_health(replica);
	if (!members_are_settled(replica) || membership_is_busy(replica) || replica->status.transfer_to > 0 ||
	    raft_configuration_is_joint(raft_members(replica->raft, NULL)))
		return;
	if (leadership->preferred > 0 &&
	    now - leadership->preferred < LEADERSHIP_RETRY_ELECTIONS * replica->node->timing.election_max)
		return;
	preferred = leadership_find_preferred(replica);
	if (preferred == 0)
		return;
	leadership->preferred = now;
	(void)leadership_transfer(replica, preferred, "preferred");
}

void leadership_advance(struct replica *replica) {
	leadership_tell_successor(replica);
	if (replica->leading)
		leadership_end_asked(replica);
	if (replica->leading)
		leadership_give_up(replica);
	if (replica->leading)
		leadership_begin_asked(replica);
	if (replica->leading)
		leadership_prefer(replica);
}

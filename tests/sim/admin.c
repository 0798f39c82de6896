/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/admin.h"

#include "tests/sim/memory.h"
#include "tests/sim/sim.h"

#include <assert.h>
#include <inttypes.h>
#include <lockd/status.h>
#include <stdio.h>

enum {
	TICK_US = 60000,
	AGAIN_US = 200000,
	REPAIR_US = 300000,
	WIPE_PPM = 10000,               /* of ticks, for each machine that was removed */
	REMOVAL_OF_DAMAGED_PPM = 50000, /* of ticks, while a member has lost its store */
	VOTERS_MIN = 2,                 /* that a wish leaves, where there are so many */
	VOTERS_MAX = 5,
};

static struct prng *prng_of(struct sim *sim) {
	return &sim->admin.caller.prng;
}

/* ---- Wishes --------------------------------------------------------------------------------------------------------
 */

static uint8_t roles_of(const struct sim *sim, uint32_t node) {
	const struct raft_configuration *members = &sim->checker_raft.members;
	for (uint16_t i = 0; i < members->n; i++) {
		if (members->members[i].node == node)
			return members->members[i].roles;
	}
	return 0;
}

static bool is_named(const struct admin *admin, uint32_t node) {
	for (uint32_t i = 0; i < admin->n_changes; i++) {
		if (admin->changes[i].node == node)
			return true;
	}
	return false;
}

/* Of those with that role, 0: of those that are no members. 0: there is none. */
static uint32_t pick(struct sim *sim, uint8_t role) {
	uint32_t first = (uint32_t)prng_range(prng_of(sim), 0, sim->plan.nodes - 1);
	for (uint32_t i = 0; i < sim->plan.nodes; i++) {
		uint32_t node = 1 + (first + i) % sim->plan.nodes;
		uint8_t roles = roles_of(sim, node);
		if ((role ? (roles & role) != 0 : roles == 0) && !is_named(&sim->admin, node))
			return node;
	}
	return 0;
}

static void wish(struct sim *sim, uint32_t node, Client__MemberChange__Kind kind) {
	struct admin *admin = &sim->admin;
	if (!node)
		return;
	admin->changes[admin->n_changes++] = (struct admin_change){
		.kind = kind,
		.node = node,
		.set_priority = kind == CLIENT__MEMBER_CHANGE__KIND__SAME || prng_chance(prng_of(sim), 200000),
		.priority = (uint32_t)prng_range(prng_of(sim), 0, 3),
	};
}

static uint32_t count_voters(const struct sim *sim) {
	const struct raft_configuration *members = &sim->checker_raft.members;
	uint32_t n = 0;
	for (uint16_t i = 0; i < members->n; i++)
		n += (members->members[i].roles & RAFT_ROLE_VOTER) != 0;
	return n;
}

/* {1,2,3} becomes {3,4,5}, or as much of that as there are machines for. */
static void wish_exchange(struct sim *sim, uint32_t n) {
	for (uint32_t i = 0; i < n; i++) {
		uint32_t out = pick(sim, RAFT_ROLE_VOTER), in = pick(sim, 0);
		if (!out || !in)
			return;
		wish(sim, out, CLIENT__MEMBER_CHANGE__KIND__ABSENT);
		wish(sim, in, CLIENT__MEMBER_CHANGE__KIND__VOTER);
	}
}

static void wish_addition(struct sim *sim) {
	bool voter = count_voters(sim) < VOTERS_MAX && prng_chance(prng_of(sim), 600000);
	wish(sim, pick(sim, 0), voter ? CLIENT__MEMBER_CHANGE__KIND__VOTER : CLIENT__MEMBER_CHANGE__KIND__LEARNER);
}

static uint32_t leading(struct sim *sim) {
	for (uint32_t node = 1; node <= sim->plan.nodes; node++) {
		if (host_leads(sim_host(sim, node)))
			return node;
	}
	return 0;
}

static void wish_removal(struct sim *sim) {
	uint32_t learner = pick(sim, RAFT_ROLE_LEARNER), leader = leading(sim);

	if (learner && prng_chance(prng_of(sim), 400000))
		wish(sim, learner, CLIENT__MEMBER_CHANGE__KIND__ABSENT);
	else if (count_voters(sim) > VOTERS_MIN && leader && prng_chance(prng_of(sim), 400000))
		wish(sim, leader, CLIENT__MEMBER_CHANGE__KIND__ABSENT);
	else if (count_voters(sim) > VOTERS_MIN)
		wish(sim, pick(sim, RAFT_ROLE_VOTER), CLIENT__MEMBER_CHANGE__KIND__ABSENT);
}

static void wish_rank(struct sim *sim) {
	uint32_t learner = pick(sim, RAFT_ROLE_LEARNER);

	if (learner && count_voters(sim) < VOTERS_MAX && prng_chance(prng_of(sim), 600000))
		wish(sim, learner, CLIENT__MEMBER_CHANGE__KIND__VOTER);
	else if (count_voters(sim) > VOTERS_MIN)
		wish(sim, pick(sim, RAFT_ROLE_VOTER), CLIENT__MEMBER_CHANGE__KIND__LEARNER);
}

static void trace_wish(const struct sim *sim) {
	static const char kinds[] = {'v', 'l', '-', '='};
	char text[8 * SIM_NODES_MAX + 1] = "";
	size_t n = 0;
	for (uint32_t i = 0; i < sim->admin.n_changes; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, " %u%c", sim->admin.changes[i].node,
				      kinds[sim->admin.changes[i].kind]);
	TRACE("admin wishes%s", text);
}

static void draw_change(struct sim *sim) {
	struct admin *admin = &sim->admin;

	admin->n_changes = admin->sends = 0;
	switch (prng_range(prng_of(sim), 0, 7)) {
	case 0:
	case 1: wish_addition(sim); break;
	case 2: wish_removal(sim); break;
	case 3: wish_exchange(sim, 1); break;
	case 4:
	case 5: wish_exchange(sim, 2); break;
	case 6: wish_rank(sim); break;
	default: wish(sim, pick(sim, RAFT_ROLE_VOTER | RAFT_ROLE_LEARNER), CLIENT__MEMBER_CHANGE__KIND__SAME);
	}
	if (admin->n_changes == 0)
		return;
	admin->wish = ADMIN_CHANGE;
	admin->patience = prng_range(prng_of(sim), 300000, 8000000);
	if (verdict_is_tracing())
		trace_wish(sim);
}

static void draw_transfer(struct sim *sim) {
	struct admin *admin = &sim->admin;
	admin->wish = ADMIN_TRANSFER;
	admin->sends = 0;
	admin->patience = CALLER_PATIENCE_US;
	admin->transfer_to = prng_chance(prng_of(sim), 300000) ? 0 : pick(sim, RAFT_ROLE_VOTER);
	TRACE("admin wishes n%u to lead", admin->transfer_to);
}

/* Removes the node, then adds it with its new store, once that has called. */
static void draw_repair(struct sim *sim) {
	struct admin *admin = &sim->admin;

	if (sim->now < admin->change_at)
		return;
	admin->change_at = sim->now + REPAIR_US;
	if (checker_raft_member(sim, admin->lost))
		admin->lost = 0;
	else
		wish(sim, admin->lost,
		     roles_of(sim, admin->lost) ? CLIENT__MEMBER_CHANGE__KIND__ABSENT
						: CLIENT__MEMBER_CHANGE__KIND__VOTER);
	if (admin->n_changes == 0)
		return;
	admin->wish = ADMIN_CHANGE;
	admin->sends = 0;
	admin->patience = CALLER_PATIENCE_US;
	if (verdict_is_tracing())
		trace_wish(sim);
}

/* The cluster takes it back by itself. Now and then somebody is faster; no other change is begun meanwhile, since it
 * may count on the store that is gone. */
static void draw_removal_of_damaged(struct sim *sim) {
	struct admin *admin = &sim->admin;
	const struct raft_configuration *members = &sim->checker_raft.members;

	if (!sim->plan.change_every || count_voters(sim) <= VOTERS_MIN ||
	    !prng_chance(prng_of(sim), REMOVAL_OF_DAMAGED_PPM))
		return;
	for (uint16_t i = 0; i < members->n; i++) {
		if (!checker_raft_member(sim, members->members[i].node) && admin->n_changes == 0)
			wish(sim, members->members[i].node, CLIENT__MEMBER_CHANGE__KIND__ABSENT);
	}
	admin->wish = ADMIN_CHANGE;
	admin->sends = 0;
	admin->patience = CALLER_PATIENCE_US;
	if (verdict_is_tracing())
		trace_wish(sim);
}

static void draw(struct sim *sim) {
	struct admin *admin = &sim->admin;
	const struct plan *plan = &sim->plan;

	admin->n_changes = 0;
	/* With a voter of three in doubt no other may go. */
	if (sim->old_copy.stage >= OLD_COPY_RETURNED)
		return;
	if (admin->lost) {
		draw_repair(sim);
	} else if (damage_is_open(sim)) {
		draw_removal_of_damaged(sim);
	} else if (plan->change_every && sim->now >= admin->change_at) {
		admin->change_at = sim->now + prng_exponential(prng_of(sim), plan->change_every);
		draw_change(sim);
	} else if (plan->transfer_every && sim->now >= admin->transfer_at) {
		admin->transfer_at = sim->now + prng_exponential(prng_of(sim), plan->transfer_every);
		draw_transfer(sim);
	}
}

/* ---- Asking --------------------------------------------------------------------------------------------------------
 */

static void ask_change(struct sim *sim) {
	struct admin *admin = &sim->admin;
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__ChangeMembers body = CLIENT__CHANGE_MEMBERS__INIT;
	Client__MemberChange changes[SIM_NODES_MAX], *list[SIM_NODES_MAX];

	for (uint32_t i = 0; i < admin->n_changes; i++) {
		client__member_change__init(&changes[i]);
		changes[i].kind = admin->changes[i].kind;
		changes[i].node = admin->changes[i].node;
		changes[i].set_priority = admin->changes[i].set_priority;
		changes[i].priority = admin->changes[i].priority;
		list[i] = &changes[i];
	}
	body.changes = list;
	body.n_changes = admin->n_changes;
	request.body_case = CLIENT__REQUEST__BODY_CHANGE_MEMBERS;
	request.change_members = &body;
	caller_ask(sim, &admin->caller, &request);
}

static void ask_transfer(struct sim *sim) {
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__TransferLeader body = CLIENT__TRANSFER_LEADER__INIT;

	body.node = sim->admin.transfer_to;
	request.body_case = CLIENT__REQUEST__BODY_TRANSFER_LEADER;
	request.transfer_leader = &body;
	caller_ask(sim, &sim->admin.caller, &request);
}

static void ask(struct sim *sim) {
	struct admin *admin = &sim->admin;
	TRACE("admin > n%u", admin->caller.node);
	sim->totals.wishes_repeated += admin->sends++ > 0;
	if (admin->wish == ADMIN_CHANGE)
		ask_change(sim);
	else
		ask_transfer(sim);
}

/* ---- Answers -------------------------------------------------------------------------------------------------------
 */

static bool is_fulfilled(struct sim *sim, const struct admin_change *change) {
	uint8_t roles = roles_of(sim, change->node);
	switch (change->kind) {
	case CLIENT__MEMBER_CHANGE__KIND__VOTER: return (roles & RAFT_ROLE_VOTER) != 0;
	case CLIENT__MEMBER_CHANGE__KIND__LEARNER: return roles == RAFT_ROLE_LEARNER;
	case CLIENT__MEMBER_CHANGE__KIND__ABSENT: return roles == 0;
	default: return roles != 0;
	}
}

static void change_done(struct sim *sim) {
	const struct admin *admin = &sim->admin;
	sim->totals.changes++;
	for (uint32_t i = 0; i < admin->n_changes; i++) {
		if (!is_fulfilled(sim, &admin->changes[i]))
			verdict_fail(VERDICT_SAFETY, "P9 change-not-made",
				     "n%u answers OK to a change of members, n%u has roles %u in what is committed",
				     admin->caller.node, admin->changes[i].node, roles_of(sim, admin->changes[i].node));
	}
}

static void refused(struct sim *sim) {
	struct admin *admin = &sim->admin;
	sim->totals.changes_refused += admin->wish == ADMIN_CHANGE;
	sim->totals.transfers_refused += admin->wish == ADMIN_TRANSFER;
	admin->wish = ADMIN_NOTHING;
}

void admin_answered(struct sim *sim, const Client__Reply *reply) {
	struct admin *admin = &sim->admin;
	TRACE("admin < n%u %s %.*s", admin->caller.node, lockd_status_name((int)reply->status), (int)reply->text.len,
	      (const char *)reply->text.data);
	switch (reply->status) {
	case LOCKD_OK:
		if (admin->wish == ADMIN_CHANGE)
			change_done(sim);
		sim->totals.transfers += admin->wish == ADMIN_TRANSFER;
		admin->wish = ADMIN_NOTHING;
		break;
	case LOCKD_NOT_LEADER:
	case LOCKD_LEADER_CHANGED:
	case LOCKD_BUSY:
	case LOCKD_DISK_FULL:
	case LOCKD_UNSETTLED:
		if (reply->status == LOCKD_NOT_LEADER)
			caller_hang_up(sim, &admin->caller);
		admin->again_at = sim->now + AGAIN_US;
		/* Whom to hand over to depends on who leads: another wish may suit better. */
		if (admin->wish == ADMIN_TRANSFER && admin->sends > 5)
			refused(sim);
		break;
	case LOCKD_NOT_READY:
	case LOCKD_LIMIT: refused(sim); break;
	default:
		verdict_fail(VERDICT_SAFETY, "P8 unexpected-status",
			     "n%u answers %s to a wish of the administrator: %.*s", admin->caller.node,
			     lockd_status_name((int)reply->status), (int)reply->text.len,
			     (const char *)reply->text.data);
	}
}

bool admin_is_idle(const struct admin *admin) {
	return admin->wish == ADMIN_NOTHING;
}

/* ---- Machines ------------------------------------------------------------------------------------------------------
 */

/* What is out for good is installed anew; others come back as they were, and must not disturb anybody. */
static void wipe_some(struct sim *sim) {
	for (uint32_t node = 1; node <= sim->plan.nodes; node++) {
		const struct host *host = sim_host(sim, node);
		if (!host->up || node_is_blank(host->node) || !checker_raft_is_out(sim, node) ||
		    !prng_chance(prng_of(sim), WIPE_PPM))
			continue;
		sim->totals.wipes++;
		host_wipe(sim, node);
		nemesis_restart(sim, node);
	}
}

static void tick(struct sim *sim, void *item) {
	struct admin *admin = &sim->admin;
	(void)item;

	if (!sim->healed && sim->nemesis.begun && sim->checker_raft.members.n > 0) {
		if (admin->wish == ADMIN_NOTHING)
			draw(sim);
		if (sim->plan.change_every)
			wipe_some(sim);
	}
	if (admin->wish != ADMIN_NOTHING && sim->now >= admin->again_at &&
	    caller_is_ready(sim, &admin->caller, admin->patience))
		ask(sim);
	queue_push(&sim->queue, sim->now + TICK_US, tick, NULL);
}

void admin_start(struct sim *sim, struct prng prng) {
	sim->admin.caller = (struct caller){.id = CALLER_ADMIN, .prng = prng};
	if (sim->plan.change_every || sim->plan.transfer_every || sim->plan.old_copy_every)
		tick(sim, NULL);
}

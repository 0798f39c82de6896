/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/old_copy.h"

#include "api/frame.h"
#include "api/peer.pb-c.h"
#include "tests/sim/memory.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	CALM_US = 1000000,  /* before the copy is put back: elections and changes under way come to an end */
	QUIET_US = 1500000, /* behind it: everybody is met within 150 ms, unless calls are refused */
	VOTERS_MIN = 3,     /* one of them is lost */
};

static void keep(struct sim *sim, void *item);

static void again(struct sim *sim) {
	queue_push(&sim->queue, sim->now + prng_exponential(&sim->old_copy.prng, sim->plan.old_copy_every), keep, NULL);
}

static void drop(struct sim *sim) {
	disk_deinit(&sim->old_copy.disk);
	sim->old_copy.stage = OLD_COPY_NONE;
	sim->old_copy.node = 0;
	again(sim);
}

/* ---- What was heard ------------------------------------------------------------------------------------------------
 */

static void hear(struct old_copy_heard *heard, const Peer__Message *message) {
	bool granted = !(message->flags & RAFT_FLAG_REJECT);
	bool acknowledged = message->type == RAFT_HEARTBEAT_REPLY || (message->type == RAFT_APPEND_REPLY && granted);

	if (message->type == RAFT_PREVOTE || (message->type == RAFT_PREVOTE_REPLY && granted))
		return;
	if (message->term > heard->term)
		heard->term = message->term;
	if (message->type == RAFT_VOTE_REPLY && granted)
		heard->vote_term = message->term;
	if (!acknowledged || message->term < heard->match_term)
		return;
	if (message->term > heard->match_term)
		heard->match = 0;
	heard->match_term = message->term;
	if (heard->match < message->index)
		heard->match = message->index;
}

void old_copy_hear(struct sim *sim, uint32_t host, const struct node_event *event) {
	struct old_copy *old_copy = &sim->old_copy;
	struct arena *arena = &sim->checker_raft.arena;

	if (old_copy->stage != OLD_COPY_KEPT || event->kind != NODE_PEER_FRAME || event->peer != old_copy->node ||
	    event->type != FRAME_PEER_MESSAGE)
		return;
	if (arena_reset(arena, event->body_bytes) < 0)
		abort();
	const Peer__Message *message = peer__message__unpack(&arena->allocator, event->body_bytes, event->body);
	if (message)
		hear(&old_copy->heard[host - 1], message);
}

/* NULL, or what somebody has heard that the copy does not hold. */
static const char *find_forgotten(const struct old_copy *old_copy, uint32_t host) {
	const struct old_copy_heard *heard = &old_copy->heard[host - 1];
	const struct node_hard *hard = &old_copy->disk.hard;

	if (hard->term < heard->term)
		return "a term";
	if (hard->term == heard->vote_term && hard->vote != host)
		return "a vote";
	if (hard->term == heard->match_term && disk_last(&old_copy->disk) < heard->match)
		return "entries";
	return NULL;
}

/* Somebody who was removed meanwhile remembers, but is asked no more. */
static bool is_forgotten(struct sim *sim, const char **ret_what, uint32_t *ret_host) {
	for (uint32_t host = 1; host <= sim->plan.nodes; host++) {
		if (!checker_raft_member(sim, host))
			continue;
		*ret_what = find_forgotten(&sim->old_copy, host);
		*ret_host = host;
		if (*ret_what)
			return true;
	}
	return false;
}

static bool is_lost(const struct sim *sim, const struct raft_member *member) {
	const struct old_copy *old_copy = &sim->old_copy;
	return old_copy->lost_last > 0 &&
	       memcmp(member->store.bytes, old_copy->lost.bytes, sizeof(member->store.bytes)) == 0;
}

bool old_copy_had(const struct sim *sim, const struct raft_member *member, raft_index index) {
	return is_lost(sim, member) && index <= sim->old_copy.lost_last;
}

bool old_copy_voted(const struct sim *sim, const struct raft_member *member, raft_term term, uint32_t candidate) {
	const struct node_hard *hard = &sim->old_copy.lost_hard;
	return is_lost(sim, member) && hard->term == term && hard->vote == candidate;
}

/* ---- Putting back --------------------------------------------------------------------------------------------------
 */

static bool same_store(const struct sim *sim) {
	const struct old_copy *old_copy = &sim->old_copy;
	return memcmp(&sim->hosts[old_copy->node - 1].store, &old_copy->store, sizeof(old_copy->store)) == 0;
}

/* All others run, and are the processes that they were when the copy was made. */
static bool others_live_on(struct sim *sim) {
	for (uint32_t node = 1; node <= sim->plan.nodes; node++) {
		const struct host *host = sim_host(sim, node);
		if (host->stopping)
			return false;
		if (node != sim->old_copy.node && (!host->up || host->boot != sim->old_copy.boots[node - 1]))
			return false;
	}
	return same_store(sim);
}

static bool can_be_spared(struct sim *sim) {
	const struct raft_configuration *members = &sim->checker_raft.members;
	uint32_t voters = 0;

	if (raft_configuration_is_joint(members) || !admin_is_idle(&sim->admin) || sim->admin.lost)
		return false;
	for (uint16_t i = 0; i < members->n; i++) {
		if (!checker_raft_member(sim, members->members[i].node))
			return false;
		voters += (members->members[i].roles & RAFT_ROLE_VOTER) != 0;
	}
	return voters >= VOTERS_MIN && checker_raft_member(sim, sim->old_copy.node);
}

static void settle(struct sim *sim, void *item) {
	struct old_copy *old_copy = &sim->old_copy;
	const char *what;
	uint32_t host;

	if (old_copy->stage != OLD_COPY_RETURNED || *(const uint64_t *)item != old_copy->returned)
		return;
	if (is_forgotten(sim, &what, &host))
		verdict_fail(
			VERDICT_SAFETY, "P10 old-copy-goes-on",
			"n%u was put back to an older copy and has forgotten %s that n%u has heard of; nobody tells it",
			old_copy->node, what, host);
	TRACE("n%u goes on from its copy: it has forgotten nothing that was heard", old_copy->node);
	old_copy->lost_last = 0;
	drop(sim);
}

static void put_back(struct sim *sim, void *item) {
	struct old_copy *old_copy = &sim->old_copy;
	const char *what;
	uint32_t host;
	(void)item;

	if (sim->healed || !others_live_on(sim) || !can_be_spared(sim)) {
		drop(sim);
		return;
	}
	host_crash(sim, old_copy->node);
	sim->totals.old_copies++;
	TRACE("n%u is put back to an older copy: term %" PRIu64 " log %" PRIu64, old_copy->node,
	      old_copy->disk.hard.term, disk_last(&old_copy->disk));
	old_copy->stage = OLD_COPY_RETURNED;
	old_copy->returned++;
	old_copy->lost = old_copy->store;
	old_copy->lost_last = disk_last(sim_disk(sim, old_copy->node));
	old_copy->lost_hard = sim_disk(sim, old_copy->node)->hard;
	disk_put_back(sim_disk(sim, old_copy->node), &old_copy->disk);
	checker_raft_put_back(sim, old_copy->node, is_forgotten(sim, &what, &host));
	host_boot(sim, old_copy->node);
	nemesis_rest(sim, sim->now + QUIET_US);
	queue_push(&sim->queue, sim->now + QUIET_US, settle,
		   memory_copy(&old_copy->returned, sizeof(old_copy->returned)));
}

static void calm(struct sim *sim, void *item) {
	(void)item;
	if (sim->healed || !others_live_on(sim)) {
		drop(sim);
		return;
	}
	nemesis_rest(sim, sim->now + CALM_US + QUIET_US);
	queue_push(&sim->queue, sim->now + CALM_US, put_back, NULL);
}

static void keep(struct sim *sim, void *item) {
	struct old_copy *old_copy = &sim->old_copy;
	uint32_t node = (uint32_t)prng_range(&old_copy->prng, 1, sim->plan.nodes);
	const struct disk *disk = sim_disk(sim, node);
	(void)item;

	if (sim->healed)
		return;
	if (!sim->nemesis.begun || !checker_raft_member(sim, node) || !disk->has_hard || disk->hard.vote == node) {
		again(sim);
		return;
	}
	disk_copy(disk, &old_copy->disk);
	old_copy->stage = OLD_COPY_KEPT;
	old_copy->node = node;
	old_copy->store = sim_host(sim, node)->store;
	memset(old_copy->heard, 0, sizeof(old_copy->heard));
	for (uint32_t host = 1; host <= sim->plan.nodes; host++)
		old_copy->boots[host - 1] = sim_host(sim, host)->boot;
	TRACE("n%u is copied: term %" PRIu64 " log %" PRIu64, node, disk->hard.term, disk_last(disk));
	queue_push(&sim->queue, sim->now + prng_range(&old_copy->prng, 100000, 4000000), calm, NULL);
}

/* ---- Being told ----------------------------------------------------------------------------------------------------
 */

static void stop(struct sim *sim, void *item) {
	struct old_copy *old_copy = &sim->old_copy;
	(void)item;

	host_wipe(sim, old_copy->node);
	if (sim->healed)
		host_boot(sim, old_copy->node);
	else
		nemesis_restart(sim, old_copy->node);
	sim->admin.lost = old_copy->node;
	drop(sim);
}

void old_copy_tell(struct sim *sim, uint32_t host, uint32_t node, const char *fault) {
	struct old_copy *old_copy = &sim->old_copy;

	TRACE("n%u says of n%u: %s", host, node, fault);
	if (node != old_copy->node || old_copy->stage < OLD_COPY_RETURNED)
		verdict_fail(VERDICT_LIVENESS, "P10 honest-disk-refused", "n%u says of n%u: %s", host, node, fault);
	if (old_copy->stage == OLD_COPY_FOUND)
		return;
	old_copy->stage = OLD_COPY_FOUND;
	sim->totals.old_copies_found++;
	queue_push(&sim->queue, sim->now + sim->plan.latency_min, stop, NULL);
}

void old_copy_start(struct sim *sim, struct prng prng) {
	sim->old_copy.prng = prng;
	if (sim->plan.old_copy_every)
		again(sim);
}

void old_copy_deinit(struct old_copy *old_copy) {
	disk_deinit(&old_copy->disk);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A data folder is found damaged, and the cluster takes the node back under an empty one, unasked (docs/adr/0010). */
#include "api/checksum.h"
#include "api/frame.h"
#include "api/peer.pb-c.h"
#include "tests/scenarios/scenario.h"
#include "tests/scenarios/service/world.h"
#include "tests/scenarios/story.h"

#include <lockd/status.h>
#include <stdio.h>
#include <string.h>

struct repair_tale {
	raft_index told; /* the configuration that was told of last */
};

static const char *repair_name_store(struct world *world, const struct raft_member *member) {
	const struct host *host = sim_host(world->sim, member->node);

	if (memcmp(member->store.bytes, host->store.bytes, sizeof(member->store.bytes)) != 0)
		return " with a store that is gone";
	if (member->roles & RAFT_ROLE_LOST)
		return " with its new store, which has no say in the old half";
	return host->repairs > 0 ? " with its new store" : "";
}

static void repair_tell_members(struct world *world, void *data) {
	const struct checker_raft *checker = &world->sim->checker_raft;
	struct repair_tale *tale = data;
	char text[256] = "";
	size_t n = 0;

	if (checker->members_index == tale->told)
		return;
	tale->told = checker->members_index;
	for (uint16_t i = 0; i < checker->members.n; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%sn%u%s", i > 0 ? ", " : "",
				      checker->members.members[i].node,
				      repair_name_store(world, &checker->members.members[i]));
	world_tell(world, WORLD_TELL_LEADERS, "committed, %s: %s",
		   raft_configuration_is_joint(&checker->members) ? "two halves" : "the members", text);
}

/* Everybody knows what a lost store is before the story begins. */
static struct world *repair_begin(struct repair_tale *tale, uint64_t seed) {
	struct world *world = world_new(&(struct world_setup){.nodes = 3, .programs = 1, .seed = seed});

	world_run(world, 1 * SECOND);
	program_begin(&world->programs[0]);
	tale->told = world->sim->checker_raft.members_index;
	world->watch = repair_tell_members;
	world->watch_data = tale;
	world->tell = WORLD_TELL_REQUESTS;
	return world;
}

static void repair_damage(struct world *world, uint32_t node) {
	world_crash(world, node, WORLD_WRITTEN);
	host_damage(world->sim, node);
	world_tell(world, WORLD_TELL_LEADERS, "n%u's folder is damaged; set aside, an empty one is there", node);
	world_restart(world, node);
}

static bool repair_is_done(struct world *world) {
	for (uint32_t node = 1; node <= world->sim->plan.nodes; node++) {
		if (!checker_raft_member(world->sim, node))
			return false;
	}
	return !raft_configuration_is_joint(&world->sim->checker_raft.members) && world_converged(world);
}

static void repair_await(struct world *world, sim_usec since) {
	world_expect(world_run_until(world, repair_is_done, 10 * SECOND), "the node is back", "it is not, 10 s later");
	world->tell = WORLD_TELL_NOTHING;
	story_say("The node is a voter again and has all that the others have, %u ms later.",
		  (unsigned)((world->sim->now - since) / 1000));
}

static void repair_acquire(struct program *program, uint32_t lock) {
	const struct program_answer *answer = program_settle(program, program_acquire(program, lock, 0), 2 * SECOND);

	world_expect(answer->status == LOCKD_OK, "OK", "the ACQUIRE is answered %s", lockd_status_name(answer->status));
}

static void q15_follower(void) {
	struct repair_tale tale;
	struct world *world;
	uint32_t leader, lost, other;
	sim_usec since;

	story_act("A follower finds its folder damaged when it starts. Nobody asks for anything.");
	world = repair_begin(&tale, 1);
	leader = world_leader(world);
	lost = leader % 3 + 1;
	other = lost % 3 + 1;
	since = world->sim->now;
	repair_damage(world, lost);
	repair_acquire(&world->programs[0], 0);
	repair_await(world, since);

	story_act("The third node is cut off now. What is written needs the one that has come back.");
	world->tell = WORLD_TELL_REQUESTS;
	world_isolate(world, other);
	repair_acquire(&world->programs[0], 1);
	world_free(world);
}

static void q15_leader(void) {
	struct repair_tale tale;
	struct world *world;
	uint32_t lost;
	sim_usec since;

	story_act("The same happens to the leader. Who is elected without it does the rest.");
	world = repair_begin(&tale, 2);
	lost = world_leader(world);
	since = world->sim->now;
	repair_damage(world, lost);
	repair_await(world, since);
	world_free(world);
}

static void q15_damaged_folder(void) {
	q15_follower();
	q15_leader();
	story_answer("its store never speaks again; an empty one takes its place by a joint configuration in whose old "
		     "half nobody speaks for it. So every majority that it was counted in is asked without it.");
}

/* ---- What an empty store may say -----------------------------------------------------------------------------------
 */

static uint32_t q15_lost, q15_other;

static void repair_cut_one_way(struct world *world, uint32_t from, uint32_t to) {
	world->sim->network.links[from - 1][to - 1].cut_until = UINT64_MAX / 2;
	world_tell(world, WORLD_TELL_LEADERS, "n%u hears n%u no more", to, from);
}

static bool repair_other_has_halves(struct world *world) {
	const struct raft_configuration *members =
		raft_members(node_raft(sim_host(world->sim, q15_other)->node, SIM_GROUP), NULL);

	return raft_configuration_is_joint(members);
}

static bool repair_lost_is_founded(struct world *world) {
	return !node_is_blank(sim_host(world->sim, q15_lost)->node);
}

static void repair_expect_founding_only(struct world *world) {
	raft_index last = world_status(world, q15_lost).last;

	world_expect(last == 1, "a store that has the founding entry alone", "n%u has %u entries", q15_lost,
		     (unsigned)last);
}

static void repair_expect_no_leader(struct world *world, uint32_t but) {
	uint64_t leaders = world->leaders;

	world_run(world, 5 * SECOND);
	world_expect(world->leaders == leaders && !world_leader_but(world, but), "no leader", "n%u leads",
		     world_leader_but(world, but));
}

/* The moment between: the swap is committed and the new store may vote, but nobody else knows that it is over. */
static void q15_swap_interrupted(void) {
	struct repair_tale tale;
	struct world *world;
	uint32_t leader;

	story_act("A follower's store is being swapped. The leader dies as soon as the new store can vote; the third "
		  "node has the two halves, and has not heard that they are left.");
	world = repair_begin(&tale, 1);
	leader = world_leader(world);
	q15_lost = leader % 3 + 1;
	q15_other = q15_lost % 3 + 1;
	repair_damage(world, q15_lost);
	world_expect(world_run_until(world, repair_other_has_halves, 5 * SECOND), "two halves", "n%u has none",
		     q15_other);
	repair_cut_one_way(world, leader, q15_other);
	world_expect(world_run_until(world, repair_lost_is_founded, 5 * SECOND), "a founding entry", "n%u is blank",
		     q15_lost);
	world_crash(world, leader, WORLD_WRITTEN);
	repair_expect_founding_only(world);
	repair_expect_no_leader(world, 0);
	story_say("n%u and n%u are a majority of the new half. Of the old one n%u is the only one that speaks: nobody "
		  "leads.",
		  q15_lost, q15_other, q15_other);

	story_act("The leader comes back.");
	world_heal(world);
	world_restart(world, leader);
	repair_await(world, world->sim->now);
	world_free(world);
}

/* What no founder sends, since it waits for the commit of the configuration that names the store (found.c). */
static void repair_bring_in_early(struct world *world, uint32_t from, uint32_t to) {
	uint8_t body[1024];
	Peer__Found found = PEER__FOUND__INIT;
	Peer__Entry entry = PEER__ENTRY__INIT;
	struct host *founder = sim_host(world->sim, from), *host = sim_host(world->sim, to);
	struct node_entry first;

	world_expect(node_get_entry(founder->node, SIM_GROUP, 1, &first), "entry 1", "n%u has trimmed it", from);
	entry.term = first.term;
	entry.type = first.type;
	entry.data = (ProtobufCBinaryData){.len = first.n, .data = (uint8_t *)first.data};
	entry.checksum = checksum_entry(SIM_GROUP, 1, first.term, first.type, first.data, first.n);
	found.incarnation = (ProtobufCBinaryData){LIMIT_UUID_BYTES, world->sim->incarnation.bytes};
	found.epoch = world->sim->epoch;
	found.store = (ProtobufCBinaryData){LIMIT_UUID_BYTES, host->store.bytes};
	found.entry = &entry;
	world_expect(peer__found__get_packed_size(&found) <= sizeof(body), "a short frame", "it is longer");
	world_tell(world, WORLD_TELL_LEADERS, "n%u gets the founding entry before its time", to);
	host_post_body(
		world->sim, to,
		&(struct node_event){
			.kind = NODE_PEER_FRAME, .peer = from, .store = founder->store, .type = FRAME_PEER_FOUND},
		body, peer__found__pack(&found, body));
}

static void q15_early_store(void) {
	struct repair_tale tale;
	struct world *world;
	uint32_t leader;

	story_act("The leader and a follower acknowledge a write that the third node lacks. The follower's folder is "
		  "damaged, the leader is cut off, and a founder that does not wait makes a voter of the empty store.");
	world = repair_begin(&tale, 1);
	leader = world_leader(world);
	q15_lost = leader % 3 + 1;
	q15_other = q15_lost % 3 + 1;
	world_isolate(world, q15_other);
	repair_acquire(&world->programs[0], 0);
	repair_damage(world, q15_lost);
	world_heal(world);
	world_isolate(world, leader);
	repair_bring_in_early(world, q15_other, q15_lost);
	world_expect(world_run_until(world, repair_lost_is_founded, SECOND), "a founding entry", "n%u is blank",
		     q15_lost);
	repair_expect_founding_only(world);
	repair_expect_no_leader(world, leader);
	story_say("n%u would vote for n%u, which lacks the write. But that one's configuration names the store that is "
		  "lost, and what another one grants is not counted for it.",
		  q15_lost, q15_other);

	story_act("The leader is heard again.");
	world_heal(world);
	world_expect(world_await_leader(world, 5 * SECOND) == leader, "the leader of before", "n%u leads",
		     world_leader(world));
	repair_acquire(&world->programs[0], 1);
	world_free(world);
}

static void q15_empty_store(void) {
	q15_swap_interrupted();
	q15_early_store();
	story_answer("only where a configuration names it, and never in the half in which the lost store had a vote.");
}

const struct scenario repair_scenarios[] = {
	{"q15_damaged_folder", "May a node whose data folder was damaged come back by itself?", q15_damaged_folder},
	{"q15_empty_store", "Where does the empty store of a damaged node count?", q15_empty_store},
	{0},
};

/* SPDX-License-Identifier: Apache-2.0 */
/* A data folder is found damaged, and the cluster takes the node back under an empty one, unasked (docs/adr/0010). */
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

const struct scenario repair_scenarios[] = {
	{"q15_damaged_folder", "May a node whose data folder was damaged come back by itself?", q15_damaged_folder},
	{0},
};

/* SPDX-License-Identifier: Apache-2.0 */
/* A follower that slept through a trim of the log gets a snapshot, and whatever dies meanwhile, it ends with the state
 * of the others and with the vote that it had given before. */
#include "tests/scenarios/scenario.h"
#include "tests/scenarios/service/world.h"
#include "tests/scenarios/story.h"

#include "lockd/state/state.h"

#include <inttypes.h>
#include <lockd/status.h>
#include <stdio.h>

enum { PAIRS_MISSED = 12, DOWN_US = 100 * MS };

/* What the story is about: n3 of three, or whoever does not lead, was cut off. */
struct laggard {
	uint32_t node, leader;
	uint32_t step; /* of the installation behind which it dies; UINT32_MAX: never */
	enum world_tear tear;
	bool sender_dies;
	/* Seen so far. */
	uint64_t snapshots;
	raft_index checkpoint;
	uint32_t steps;
	struct node_hard hard;
	sim_usec restart_at;
	uint32_t restart;
};

static void die_for_a_while(struct world *world, struct laggard *laggard, uint32_t node) {
	laggard->hard = sim_disk(world->sim, laggard->node)->hard;
	world_split(world, 1u << node);
	world_crash(world, node, laggard->tear);
	laggard->restart = node;
	laggard->restart_at = world->sim->now + DOWN_US;
}

/* Term and vote are no part of a snapshot. */
static void check_vote(struct world *world, const struct laggard *laggard) {
	const struct node_hard *now = &sim_disk(world->sim, laggard->node)->hard, *before = &laggard->hard;

	world_expect(now->term > before->term || (now->term == before->term && now->vote == before->vote),
		     "the vote it had given", "term %" PRIu64 " vote %u, before term %" PRIu64 " vote %u", now->term,
		     now->vote, before->term, before->vote);
}

static void watch_sender(struct world *world, struct laggard *laggard) {
	if (world->sim->totals.snapshots_sent == laggard->snapshots)
		return;
	laggard->snapshots = world->sim->totals.snapshots_sent;
	world_tell(world, WORLD_TELL_LEADERS, "n%u begins to send n%u a snapshot", world_leader(world), laggard->node);
	if (laggard->sender_dies && laggard->restart_at == 0 && laggard->snapshots == 1)
		die_for_a_while(world, laggard, world_leader(world));
}

/* An event between the beginning of the transfer and the moment at which the snapshot has replaced state and log is a
 * step. */
static void watch_receiver(struct world *world, struct laggard *laggard) {
	const struct disk *disk = sim_disk(world->sim, laggard->node);

	if (laggard->snapshots == 0 || laggard->checkpoint > 0)
		return;
	if (disk->checkpoint.index > 0) {
		laggard->checkpoint = disk->checkpoint.index;
		world_tell(world, WORLD_TELL_LEADERS, "n%u has installed it: its log goes on behind %" PRIu64,
			   laggard->node, disk->base);
	}
	if (sim_host(world->sim, laggard->node)->up && laggard->steps++ == laggard->step)
		die_for_a_while(world, laggard, laggard->node);
}

static void watch(struct world *world, void *data) {
	struct laggard *laggard = data;

	watch_sender(world, laggard);
	watch_receiver(world, laggard);
	if (laggard->restart_at && world->sim->now >= laggard->restart_at) {
		laggard->restart_at = 0;
		network_heal(world->sim);
		world_restart(world, laggard->restart);
		check_vote(world, laggard);
	}
}

static void work(struct program *c1, int pairs) {
	for (int i = 0; i < pairs; i++) {
		uint64_t token = program_settle(c1, program_acquire(c1, 0, 0), 5 * SECOND)->token;

		(void)program_settle(c1, program_release(c1, 0, token), 5 * SECOND);
	}
}

/* The number of steps that the installation takes. */
static uint32_t install(struct laggard laggard, enum world_tell tell) {
	struct world *world = world_new(&(struct world_setup){
		.nodes = 3, .programs = 1, .seed = 21, .tell = tell, .checkpoint_entries = 8, .trailing_entries = 2});
	struct program *c1 = &world->programs[0];

	laggard.leader = world_leader(world);
	laggard.node = laggard.leader % 3 + 1;
	program_begin(c1);
	world_isolate(world, laggard.node);
	work(c1, PAIRS_MISSED);
	world_tell(world, WORLD_TELL_LEADERS, "n%u's log begins behind %" PRIu64 ", n%u's ends at %" PRIu64,
		   laggard.leader, sim_disk(world->sim, laggard.leader)->base, laggard.node,
		   disk_last(sim_disk(world->sim, laggard.node)));
	laggard.hard = sim_disk(world->sim, laggard.node)->hard;
	world->watch = watch;
	world->watch_data = &laggard;
	world_heal(world);
	world_run(world, 1 * SECOND);
	work(c1, 2);
	world_expect(world_run_until(world, world_converged, 5 * SECOND), "equal states", "behind step %u",
		     laggard.step);
	world_expect(world->sim->totals.snapshots_installed > 0, "a snapshot", "none was installed");
	check_vote(world, &laggard);
	world_tell(world, WORLD_TELL_LEADERS, "all states have the hash %016" PRIx64,
		   state_get_hash(node_state(sim_host(world->sim, 1)->node, SIM_GROUP)).low);
	world_free(world);
	return laggard.steps;
}

static void q04_compact_install_resume(void) {
	const struct laggard calm = {.step = UINT32_MAX};
	struct laggard hurt = calm;
	uint32_t steps;

	story_act("One of three is cut off while c1 acquires and releases a lock %d times; the others make checkpoints "
		  "and "
		  "trim their logs beyond what it has. Then the cut heals.",
		  PAIRS_MISSED);
	steps = install(calm, WORLD_TELL_LEADERS);

	story_act("The same, and the receiver dies behind each of the %u events from the beginning of the transfer to "
		  "the "
		  "installed snapshot, its write lost, or leaving term and vote only, or whole.",
		  steps);
	for (hurt.step = 0; hurt.step < steps; hurt.step++) {
		for (int tear = 0; tear < WORLD_TEARS; tear++) {
			hurt.tear = (enum world_tear)tear;
			(void)install(hurt, WORLD_TELL_NOTHING);
		}
	}
	story_say("%u runs: it came back with the old state or the new one, never with a mixture; with the vote that "
		  "it had "
		  "given; and in the end with the hash of the others.",
		  steps * WORLD_TEARS);

	story_act("The same, and the sender dies while the snapshot is on its way.");
	hurt = calm;
	hurt.sender_dies = true;
	(void)install(hurt, WORLD_TELL_LEADERS);
	story_answer("a snapshot is the state at an index with the configuration of that index. It is staged apart, "
		     "checked, "
		     "and then replaces state and log in one write; whoever dies meanwhile finds the old or the new. "
		     "Term and "
		     "vote are not part of it.");
}

const struct scenario compaction_scenarios[] = {
	{"q04_compact_install_resume", "How does a follower get what the others have trimmed away?",
	 q04_compact_install_resume},
	{0},
};

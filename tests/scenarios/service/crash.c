/* SPDX-License-Identifier: Apache-2.0 */
/* The leader dies while it commits; nodes die at every step of their disks; all lose power at once. What was answered
 * stays, and what was not is asked again under its own sequence. */
#include "tests/scenarios/scenario.h"
#include "tests/scenarios/service/world.h"
#include "tests/scenarios/story.h"

#include <inttypes.h>
#include <lockd/status.h>
#include <stdio.h>

/* ---- q10: one ACQUIRE, the leader dies behind every event ----------------------------------------------------------
 */

enum { POINTS_MAX = 200, Q10_SEQUENCE = 7 };

struct q10_run {
	uint32_t nodes;
	uint32_t events; /* the leader dies behind so many */
	enum world_tear tear;
	bool silenced; /* what the leader has sent last dies with it */
	enum world_tell tell;
};

struct q10_outcome {
	uint32_t disks; /* that held the entry when the leader died */
	bool answered;  /* c1 had its answer by then */
	bool kept;      /* the next leader had the entry */
};

/* Six requests before, so that the one in question is the seventh. */
static struct world *q10_begin(const struct q10_run *run) {
	struct world *world = world_new(&(struct world_setup){.nodes = run->nodes, .programs = 1, .seed = run->nodes});
	struct program *c1 = &world->programs[0];

	program_begin(c1);
	for (int i = 0; i < 3; i++) {
		const struct program_answer *granted = program_settle(c1, program_acquire(c1, 1, 0), 1 * SECOND);

		(void)program_settle(c1, program_release(c1, 1, granted->token), 1 * SECOND);
	}
	world->tell = run->tell;
	return world;
}

static uint32_t disks_with(struct world *world, raft_index index, raft_term term) {
	uint32_t n = 0;

	for (uint32_t node = 1; node <= world->sim->plan.nodes; node++)
		n += disk_term_at(sim_disk(world->sim, node), index) == term;
	return n;
}

/* Until there is an answer, and then once more. */
static void q10_ask_again(struct world *world, uint64_t frame) {
	struct program *c1 = &world->programs[0];
	struct program_answer first = *program_settle(c1, frame, 5 * SECOND), second;

	(void)program_connect(c1, world_leader(world));
	second = *program_settle(c1, program_repeat(c1), 1 * SECOND);
	world_expect(first.status == LOCKD_OK, "OK", "the ACQUIRE is answered %s", lockd_status_name(first.status));
	world_expect(first.token == second.token, "the same token", "first %" PRIu64 ", then %" PRIu64, first.token,
		     second.token);
}

static struct q10_outcome q10_die(const struct q10_run *run) {
	struct world *world = q10_begin(run);
	struct program *c1 = &world->programs[0];
	uint32_t old = world_leader(world), next;
	struct raft_status before = world_status(world, old);
	uint64_t frame = program_acquire(c1, 0, 0);
	struct q10_outcome outcome = {0};

	for (uint32_t i = 0; i < run->events; i++)
		world_step(world);
	outcome.disks = disks_with(world, before.last + 1, before.term);
	outcome.answered = program_answer(c1, frame) != NULL;
	if (run->silenced)
		world_split(world, 1u << old);
	world_crash(world, old, run->tear);
	next = world_await_leader_but(world, old, 5 * SECOND);
	world_expect(next != 0, "a new leader", "behind event %u nobody leads", run->events);
	outcome.kept =
		raft_term_at(node_raft(sim_host(world->sim, next)->node, SIM_GROUP), before.last + 1) == before.term;
	world_expect(!outcome.answered || outcome.kept, "what was answered", "it is not in the log of n%u", next);

	network_heal(world->sim);
	q10_ask_again(world, frame);
	world_restart(world, old);
	world_expect(world_run_until(world, world_converged, 5 * SECOND), "equal states", "behind event %u",
		     run->events);
	world_expect(world->sim->model.locks[0].n_changes == 1, "one grant", "behind event %u there are %zu",
		     run->events, world->sim->model.locks[0].n_changes);
	world_free(world);
	return outcome;
}

struct q10_count {
	uint32_t runs, kept, answered;
};

static void q10_print(const struct q10_count *by, uint32_t nodes) {
	printf("    the entry was on   runs   the next leader had it   c1 had its answer\n");
	for (uint32_t disks = 0; disks <= nodes; disks++) {
		if (by[disks].runs > 0)
			printf("    %u of %u disks      %5u   %22u   %17u\n", disks, nodes, by[disks].runs,
			       by[disks].kept, by[disks].answered);
	}
}

/* Until c1 had its answer before the leader died. */
static void q10_cluster(uint32_t nodes) {
	struct q10_count by[SIM_NODES_MAX + 1] = {0};
	bool over = false;

	for (uint32_t events = 0; !over && events < POINTS_MAX; events++) {
		for (int which = 0; which < 2 * WORLD_TEARS; which++) {
			struct q10_outcome outcome = q10_die(&(struct q10_run){.nodes = nodes,
									       .events = events,
									       .tear = (enum world_tear)(which / 2),
									       .silenced = which % 2 == 1});

			by[outcome.disks].runs++;
			by[outcome.disks].kept += outcome.kept;
			by[outcome.disks].answered += outcome.answered;
			over = outcome.answered;
		}
	}
	world_expect(over, "an answer", "c1 has none behind %d events", POINTS_MAX);
	q10_print(by, nodes);
}

static void q10_crash_points(void) {
	struct q10_outcome outcome;

	story_act("c1 asks for lock-0 under sequence %d. The leader of three has it on its own disk and on its way to "
		  "the others when it dies, and its last frames die with it.",
		  Q10_SEQUENCE);
	outcome = q10_die(&(struct q10_run){
		.nodes = 3, .events = 3, .tear = WORLD_WRITTEN, .silenced = true, .tell = WORLD_TELL_REQUESTS});
	world_expect(outcome.disks == 1 && !outcome.kept, "an entry on the old leader only",
		     "it was on %u disks, and %s", outcome.disks,
		     outcome.kept ? "the next leader had it" : "the next leader had it not");
	story_say("The next leader had never heard of it, so the request ran there for the first time; repeated once "
		  "more it only got its answer again. The entry on the old leader's disk was overwritten.");
	story_act("The same, the leader dying behind every single event from the request to its answer; each with the "
		  "three "
		  "things that a power cut leaves of a write, and with its last frames arriving or not.");
	q10_cluster(3);
	q10_cluster(5);
	story_say("An entry that was on no disk yet lived where its append was on its way already: it leaves while the "
		  "leader's own disk works.");
	story_say("In every run the repeated request was granted once, and repeated again it gave the same token.");
	story_answer(
		"an entry on a minority may live or die, and both are right, since nobody was told. On a majority it "
		"lives: whoever wins has it, and commits it by its own no-op. The client cannot tell these apart and "
		"need not: under the same sequence the request runs once.");
}

/* ---- q22d: every step of a disk ------------------------------------------------------------------------------------
 */

enum { Q22D_PAIRS = 10, Q22D_DOWN_US = 150 * MS, Q22D_CHECKPOINT_ENTRIES = 8 };

/* What changes when a disk takes a step: a write begins, or something of it has become durable. */
struct disk_look {
	bool writing, checkpointing;
	raft_index base, last, checkpoint;
	raft_term term;
	uint32_t vote;
};

static bool same_look(const struct disk_look *a, const struct disk_look *b) {
	return a->writing == b->writing && a->checkpointing == b->checkpointing && a->base == b->base &&
	       a->last == b->last && a->checkpoint == b->checkpoint && a->term == b->term && a->vote == b->vote;
}

static struct disk_look look_at_disk(struct world *world, uint32_t node) {
	const struct disk *disk = sim_disk(world->sim, node);

	return (struct disk_look){.writing = disk->writing,
				  .checkpointing = disk->checkpointing != NULL,
				  .base = disk->base,
				  .last = disk_last(disk),
				  .checkpoint = disk->checkpoint.index,
				  .term = disk->hard.term,
				  .vote = disk->hard.vote};
}

/* Kills a node behind one step of its disk, and starts it again a little later. */
struct reaper {
	uint32_t victim;
	uint32_t step; /* behind which it dies; UINT32_MAX: never */
	enum world_tear tear;
	struct disk_look look;
	uint32_t steps; /* so far */
	sim_usec restart_at;
};

static void reap(struct world *world, void *data) {
	struct reaper *reaper = data;
	struct disk_look look = look_at_disk(world, reaper->victim);

	if (!same_look(&look, &reaper->look)) {
		reaper->look = look;
		if (reaper->steps++ == reaper->step) {
			world_crash(world, reaper->victim, reaper->tear);
			reaper->restart_at = world->sim->now + Q22D_DOWN_US;
		}
	}
	if (reaper->restart_at && world->sim->now >= reaper->restart_at) {
		reaper->restart_at = 0;
		world_restart(world, reaper->victim);
	}
}

/* The number of steps that the victim's disk takes while c1 acquires and releases. */
static uint32_t q22d_run(bool leader, uint32_t step, enum world_tear tear) {
	struct world *world = world_new(&(struct world_setup){.nodes = 3,
							      .programs = 1,
							      .seed = 4,
							      .checkpoint_entries = Q22D_CHECKPOINT_ENTRIES,
							      .trailing_entries = 2});
	struct program *c1 = &world->programs[0];
	struct reaper reaper = {.victim = world_leader(world), .step = step, .tear = tear};
	uint64_t token = 0;

	if (!leader)
		reaper.victim = reaper.victim % 3 + 1;
	reaper.look = look_at_disk(world, reaper.victim);
	world->watch = reap;
	world->watch_data = &reaper;
	program_begin(c1);
	for (int i = 0; i < Q22D_PAIRS; i++) {
		uint64_t granted = program_settle(c1, program_acquire(c1, 0, 0), 5 * SECOND)->token;

		world_expect(granted > token, "a greater token", "%" PRIu64 " behind %" PRIu64, granted, token);
		token = granted;
		(void)program_settle(c1, program_release(c1, 0, token), 5 * SECOND);
	}
	world_run(world, Q22D_DOWN_US + 1 * SECOND);
	world_expect(world_run_until(world, world_converged, 5 * SECOND), "equal states", "behind step %u", step);
	world_expect(world->sim->model.locks[0].n_changes == 2 * Q22D_PAIRS, "each once",
		     "%zu changes of the lock behind %d grants", world->sim->model.locks[0].n_changes, Q22D_PAIRS);
	world_free(world);
	return reaper.steps;
}

static void q22d_victim(bool leader) {
	uint32_t steps = q22d_run(leader, UINT32_MAX, WORLD_LOST);

	for (uint32_t step = 0; step < steps; step++) {
		for (int tear = 0; tear < WORLD_TEARS; tear++)
			(void)q22d_run(leader, step, (enum world_tear)tear);
	}
	story_say("The %s: its disk takes %u steps; %u runs.", leader ? "leader" : "follower", steps,
		  steps * WORLD_TEARS);
}

static void q22d_crash_everywhere(void) {
	story_act(
		"c1 acquires and releases a lock %d times, with a checkpoint and a trim of the log every %d entries. A "
		"step "
		"of a disk: a write begins; entries, term, vote, a checkpoint or a trim have become durable. The node "
		"dies behind each of them in turn, and restarts %d ms later. A write that was under way is lost, or "
		"leaves term and vote only, or is whole.",
		Q22D_PAIRS, Q22D_CHECKPOINT_ENTRIES, Q22D_DOWN_US / MS);
	q22d_victim(true);
	q22d_victim(false);
	story_say("Every answer came, every lock was granted exactly once under a growing token, and in the end the "
		  "states of "
		  "all three nodes had the same hash, which is also that of the model.");
	story_say(
		"(The steps are those of the simulated disk. The files of a real node are tortured in tests/unit/io.)");
	story_answer(
		"identity, term and vote first; then the checkpoint under its own index; then the log behind it. What "
		"is in the log is not taken for committed: that is for a leader to say.");
}

/* ---- q22e: all lose power at once ----------------------------------------------------------------------------------
 */

enum { Q22E_MIXES = 6 };

/* The first three: the same for all nodes; then one of each. */
static enum world_tear tear_of(int mix, uint32_t node) {
	return (enum world_tear)(mix < WORLD_TEARS ? (uint32_t)mix : (node + (uint32_t)mix) % WORLD_TEARS);
}

struct q22e_row {
	struct q10_count count;
	uint32_t disks; /* that hold the entry when the power fails, whatever a write under way leaves */
};

static bool q22e_run(uint32_t events, int mix, struct q22e_row *row) {
	struct world *world = world_new(&(struct world_setup){.nodes = 3, .programs = 1, .seed = 10});
	struct program *c1 = &world->programs[0];
	struct program_answer answer = {0};
	struct raft_status before;
	uint64_t frame;
	bool answered;

	program_begin(c1);
	before = world_status(world, world_leader(world));
	frame = program_acquire(c1, 0, 0);
	for (uint32_t i = 0; i < events; i++)
		world_step(world);
	row->disks = disks_with(world, before.last + 1, before.term);
	answered = program_answer(c1, frame) != NULL;
	if (answered)
		answer = *program_answer(c1, frame);
	for (uint32_t node = 1; node <= 3; node++)
		world_crash(world, node, tear_of(mix, node));
	for (uint32_t node = 1; node <= 3; node++)
		world_restart(world, node);
	world_expect(world_await_leader(world, 5 * SECOND) != 0, "a leader", "behind the power cut nobody leads");
	row->count.runs++;
	row->count.answered += answered;
	row->count.kept += world->sim->model.locks[0].holder != NULL;
	world_expect(!answered || world->sim->model.locks[0].token == answer.token, "what was answered",
		     "token %" PRIu64 " is lost", answer.token);
	q10_ask_again(world, frame);
	world_expect(world_run_until(world, world_converged, 5 * SECOND), "equal states", "behind event %u", events);
	world_free(world);
	return answered;
}

static void q22e_powerloss(void) {
	bool over = false, open = false;

	story_act("Three nodes; c1 asks for lock-0; behind each event of it all three lose power. What each disk "
		  "leaves of a write under way is nothing, or term and vote, or all of it, alike on all three or "
		  "another on each.");
	printf("    behind event   entry on disks   runs   the grant outlived it   c1 had its answer\n");
	for (uint32_t events = 0; !over && events < POINTS_MAX; events++) {
		struct q22e_row row = {0};

		for (int mix = 0; mix < Q22E_MIXES; mix++)
			over = q22e_run(events, mix, &row);
		open |= row.count.kept > 0 && row.count.kept < row.count.runs;
		world_expect(row.disks < 2 || row.count.kept == row.count.runs, "what a majority had",
			     "behind event %u it was lost in %u runs", events, row.count.runs - row.count.kept);
		printf("    %12u   %14u   %4u   %21u   %17u\n", events, row.disks, row.count.runs, row.count.kept,
		       row.count.answered);
	}
	world_expect(open, "a moment that may end either way", "there is none");
	world_expect(over, "an answer", "c1 has none behind %d events", POINTS_MAX);
	story_say("With the entry on fewer than two disks it depends on the writes under way, and on who is elected.");
	story_answer("an answer leaves when a majority has the entry on disk, so a power cut of all cannot take back "
		     "what was answered. What was not may be there or not, and is asked again.");
}

const struct scenario crash_scenarios[] = {
	{"q10_crash_points", "The leader dies while it commits: what becomes of the request?", q10_crash_points},
	{"q22d_crash_everywhere", "How does a node recover its data when it restarts?", q22d_crash_everywhere},
	{"q22e_powerloss", "Is what was answered still there when all nodes lose power?", q22e_powerloss},
	{0},
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Two leaders at once, and what is left of it when all can talk again. */
#include "tests/scenarios/scenario.h"
#include "tests/scenarios/service/world.h"
#include "tests/scenarios/story.h"

#include <inttypes.h>
#include <lockd/status.h>
#include <stdio.h>

/* ---- q21: the old leader, cut off with its client ------------------------------------------------------------------
 */

enum { ASK_US = 40 * MS };

/* c1 asks the node it is connected to, again and again: keep-alives and reads in turn. */
struct beggar {
	struct program *program;
	sim_usec ask_at;
	uint32_t asked;
	uint64_t frames[512];
};

static void beg(struct world *world, void *data) {
	struct beggar *beggar = data;

	if (world->sim->now < beggar->ask_at || !beggar->program->client->connection || beggar->asked == 512)
		return;
	beggar->ask_at = world->sim->now + ASK_US;
	beggar->frames[beggar->asked] =
		beggar->asked % 2 == 0 ? program_keep_alive(beggar->program) : program_show(beggar->program, 0);
	beggar->asked++;
}

/* When the last question was asked that the cut-off leader answered with OK. */
static sim_usec last_ok(struct beggar *beggar, uint32_t *ret_ok, uint32_t *ret_refused) {
	sim_usec last = 0;

	*ret_ok = *ret_refused = 0;
	for (uint32_t i = 0; i < beggar->asked; i++) {
		const struct program_answer *answer = program_answer(beggar->program, beggar->frames[i]);

		if (!answer)
			continue;
		if (answer->status != LOCKD_OK) {
			++*ret_refused;
			continue;
		}
		++*ret_ok;
		last = answer->asked > last ? answer->asked : last;
	}
	return last;
}

/* The others notice at once that the node is gone, and elect as soon as their promises have run out; the node itself
 * notices nothing, and leads until its check-quorum window is over. */
static void cut_loudly(struct world *world, uint32_t node) {
	world_tell(world, WORLD_TELL_LEADERS, "n%u is cut off, the others see their connections close", node);
	for (uint32_t other = 1; other <= world->sim->plan.nodes; other++) {
		if (other != node)
			network_sever(world->sim, node, other, UINT64_MAX / 2);
	}
}

static void q21_two_leaders(void) {
	struct world *world = world_new(&(struct world_setup){
		.nodes = 5, .programs = 2, .seed = 21, .ttl_ms = 3000, .tell = WORLD_TELL_LEADERS});
	struct program *c1 = &world->programs[0], *c2 = &world->programs[1];
	struct beggar beggar = {.program = c1};
	const struct program_answer *granted;
	uint32_t old = world_leader(world), next, ok, refused;
	sim_usec cut_at, proved_until, deadline;
	uint64_t first, frame;

	story_act("c1 holds lock-0 through the leader of five. Then that leader is cut off from the other nodes, and "
		  "c1 with "
		  "it: c1 asks it all the time, %d ms after each other, for a keep-alive or for who holds the lock.",
		  ASK_US / MS);
	program_begin(c1);
	first = program_settle(c1, program_acquire(c1, 0, 0), 1 * SECOND)->token;
	world_tell(world, WORLD_TELL_LEADERS, "c1 holds lock-0 under token %" PRIu64 ".%" PRIu64, first >> 40,
		   first & ((UINT64_C(1) << 40) - 1));
	cut_at = world->sim->now;
	cut_loudly(world, old);
	world->watch = beg;
	world->watch_data = &beggar;
	next = world_await_leader_but(world, old, 5 * SECOND);
	world_expect(next != 0, "a new leader", "nobody leads the others");
	world_expect(world_status(world, old).role == RAFT_LEADER, "two leaders", "n%u leads no more", old);

	story_act("c2 asks the new leader for the lock, and waits.");
	(void)program_connect(c2, next);
	(void)program_settle(c2, program_open(c2), 1 * SECOND);
	frame = program_acquire(c2, 0, UINT32_MAX);
	while (!program_answer(c2, frame) && world->sim->now < cut_at + 10 * SECOND) {
		if (world->sim->now % (500 * MS) < 1 * MS)
			(void)program_keep_alive(c2);
		world_run(world, 1 * MS);
	}
	granted = program_answer(c2, frame);
	world_expect(granted && granted->status == LOCKD_OK, "a grant", "c2 has none");
	world_tell(world, WORLD_TELL_LEADERS, "c2 holds lock-0 under token %" PRIu64 ".%" PRIu64, granted->token >> 40,
		   granted->token & ((UINT64_C(1) << 40) - 1));
	world_expect(granted->token > first, "a greater token", "%" PRIu64 " behind %" PRIu64, granted->token, first);

	proved_until = cut_at + world->sim->plan.promise_ms * MS;
	deadline = program_deadline(c1);
	world_expect(last_ok(&beggar, &ok, &refused) < proved_until, "no answer without proof",
		     "the old leader answered a question of %.3f ms, it was cut off at %.3f ms",
		     (double)last_ok(&beggar, &ok, &refused) / 1e3, (double)cut_at / 1e3);
	world_expect(deadline < granted->given, "no two believers", "c1 believes until %.3f ms, c2 holds from %.3f ms",
		     (double)deadline / 1e3, (double)granted->given / 1e3);
	story_say(
		"c1 asked its old leader %u times: %u answers were OK, none of them to a question asked later than the "
		"%u ms of the promise behind the cut; %u were refusals; the rest never came.",
		beggar.asked, ok, world->sim->plan.promise_ms, refused);
	story_say("c1 stopped believing %" PRIu64 " ms before c2 was granted the lock, in true time.",
		  (granted->given - deadline) / MS);

	story_act("The cut heals.");
	world->watch = NULL;
	world_heal(world);
	world_expect(world_run_until(world, world_converged, 4 * SECOND), "equal states", "after the cut has healed");
	story_answer("yes, through the newer of the two. The older one cannot commit, and answers nothing that it "
		     "cannot prove: "
		     "no read, no keep-alive, no expiry. Its client knows by its own clock when it must stop.");
	world_free(world);
}

/* ---- q22b: one survivor is made the cluster ------------------------------------------------------------------------
 */

enum { EPOCHS_LATER = 7 };

static void tell_token(struct world *world, const char *who, uint64_t token) {
	world_tell(world, WORLD_TELL_LEADERS, "%s holds lock-0 under token %" PRIu64 ".%" PRIu64, who, token >> 40,
		   token & ((UINT64_C(1) << 40) - 1));
}

static void lose_all_but(struct world *world, uint32_t a, uint32_t b) {
	for (uint32_t node = 1; node <= 5; node++) {
		if (node != a && node != b)
			world_crash(world, node, WORLD_LOST);
	}
}

/* Keeps its session alive while it waits. */
static const struct program_answer *wait_for_lock(struct program *program, uint32_t lock, sim_usec limit) {
	struct world *world = program->world;
	uint64_t frame = program_acquire(program, lock, UINT32_MAX);
	sim_usec until = world->sim->now + limit;

	for (int i = 0; !program_answer(program, frame) && world->sim->now < until; i++) {
		if (i % 50 == 0)
			(void)program_keep_alive(program);
		world_run(world, 10 * MS);
	}
	return program_answer(program, frame);
}

static void q22b_forced_recovery(void) {
	struct world *world = world_new(&(struct world_setup){
		.nodes = 5, .programs = 3, .seed = 222, .ttl_ms = 3000, .tell = WORLD_TELL_LEADERS});
	struct program *c1 = &world->programs[0], *c2 = &world->programs[1], *c3 = &world->programs[2];
	struct node_uuid before = world->sim->incarnation, after = {.bytes = {0x22, 0xb}};
	uint32_t leader = world_leader(world), survivor = leader % 5 + 1, other = survivor % 5 + 1;
	uint32_t epoch = world->sim->epoch;
	const struct program_answer *granted;
	uint64_t first, second, old;

	story_act("Five nodes, c1 holds lock-0. Three of them are lost, and held to be lost for good.");
	program_begin(c1);
	first = program_settle(c1, program_acquire(c1, 0, 0), 1 * SECOND)->token;
	tell_token(world, "c1", first);
	world_run(world, 100 * MS);
	lose_all_but(world, survivor, other);
	world_run(world, 2 * SECOND);
	world_expect(world_leader(world) == 0, "no leader", "n%u leads two of five", world_leader(world));

	story_act(
		"An operator stops n%u and makes it the only member of a new incarnation. c2 asks for the lock there.",
		survivor);
	world_crash(world, survivor, WORLD_WRITTEN);
	world_recover(world, survivor, &after, epoch + EPOCHS_LATER);
	world_restart(world, survivor);
	world_run(world, 1 * SECOND);
	world_expect(world_status(world, survivor).role == RAFT_LEADER, "a leader", "n%u does not lead", survivor);
	world->sim->epoch = epoch + EPOCHS_LATER;
	(void)program_connect(c2, survivor);
	(void)program_settle(c2, program_open(c2), 1 * SECOND);
	granted = wait_for_lock(c2, 0, 10 * SECOND);
	world_expect(granted && granted->status == LOCKD_OK, "a grant", "c2 has none");
	second = granted->token;
	tell_token(world, "c2", second);
	world_expect(second > first, "a greater token", "%" PRIu64 " behind %" PRIu64, second, first);
	world_expect(program_deadline(c1) < granted->given, "no two believers",
		     "c1 believes until %.3f ms, c2 holds from %.3f ms", (double)program_deadline(c1) / 1e3,
		     (double)granted->given / 1e3);
	story_say("c1's session was in the recovered state. Nobody could keep it alive there, so it ended after its "
		  "TTL.");

	story_act("The three come back. They and n%u know nothing of all this, are a majority of the old cluster, and "
		  "elect.",
		  other);
	for (uint32_t node = 1; node <= 5; node++) {
		if (!sim_host(world->sim, node)->up)
			world_restart(world, node);
	}
	world_run(world, 3 * SECOND);
	leader = world_leader_but(world, survivor);
	world_expect(leader != 0, "an old leader", "the old cluster has none");
	world_expect(world_status(world, survivor).role == RAFT_LEADER, "a leader", "n%u leads no more", survivor);
	world_expect(program_hello(c1, survivor, &before) == LOCKD_WRONG_CLUSTER, "WRONG_CLUSTER",
		     "n%u takes a client of the old cluster", survivor);
	world_expect(program_hello(c2, leader, &after) == LOCKD_WRONG_CLUSTER, "WRONG_CLUSTER",
		     "n%u takes a client of the new cluster", leader);
	story_say("None of them is let in at n%u, nor n%u at them: HELLO names the incarnation. Clients that know "
		  "theirs hear "
		  "WRONG_CLUSTER on the other side.",
		  survivor, survivor);
	world->sim->epoch = epoch;
	(void)program_connect(c3, leader);
	(void)program_settle(c3, program_open(c3), 1 * SECOND);
	granted = wait_for_lock(c3, 0, 10 * SECOND);
	world_expect(granted && granted->status == LOCKD_OK, "a grant", "c3 has none");
	old = granted->token;
	tell_token(world, "c3, of the old cluster,", old);
	world_expect(old < second, "a smaller token", "%" PRIu64 " and %" PRIu64, old, second);
	story_answer(
		"terms, majorities and one vote each prevent split brain; an operator can still make one. Then the "
		"incarnation keeps the two apart, and tokens tell whoever guards the resource which holder is of the "
		"old time: all tokens of the new epoch are greater.");
	world_free(world);
}

/* ---- q22c: a hundred cuts ------------------------------------------------------------------------------------------
 */

enum { CUTS = 100 };

static void q22c_heal_storm(void) {
	struct world *world =
		world_new(&(struct world_setup){.nodes = 5, .programs = 1, .seed = 22, .ttl_ms = 600 * 1000});
	struct program *c1 = &world->programs[0];
	struct prng prng;
	raft_term before = world_status(world, 1).term;
	sim_usec healed_at, limit = 10 * world->sim->plan.timing.election_min;
	uint32_t asked = 0;

	story_act("Five nodes; %d times the network splits at random for 0.1 to 1.5 seconds, heals for as long, and c1 "
		  "asks "
		  "whoever leads for a lock in the middle of it.",
		  CUTS);
	prng_init(&prng, 22);
	program_begin(c1);
	for (int i = 0; i < CUTS; i++) {
		uint32_t leader;

		world_split(world, (uint32_t)prng_next(&prng) & 0x3e);
		world_run(world, prng_range(&prng, 50, 750) * MS);
		leader = world_leader(world);
		if (leader && program_connect(c1, leader)) {
			(void)program_acquire(c1, (uint32_t)prng_range(&prng, 0, 5), 0);
			asked++;
		}
		world_run(world, prng_range(&prng, 50, 750) * MS);
		network_heal(world->sim);
		if (i + 1 < CUTS)
			world_run(world, prng_range(&prng, 100, 1500) * MS);
	}
	healed_at = world->sim->now;
	world_expect(world_run_until(world, world_converged, limit), "equal states", "10 E after the last cut");
	story_say("%u requests, %" PRIu64 " elections, %" PRIu64 " terms, %" PRIu64 " tails of logs overwritten.",
		  asked, world->leaders - 1, world_status(world, 1).term - before, world->sim->totals.truncations);
	story_say("All five had the same log and the same state %" PRIu64
		  " ms after the last cut had healed; 10 E are %" PRIu64 " ms.",
		  (world->sim->now - healed_at) / MS, limit / MS);
	story_answer(
		"the leader of the lower term follows the other, its own tail is overwritten, and whoever is behind is "
		"sent what it lacks. Nothing that was committed is touched, since only a majority commits.");
	world_free(world);
}

const struct scenario leader_scenarios[] = {
	{"q21_two_leaders", "With two leaders, can the cluster serve clients?", q21_two_leaders},
	{"q22b_forced_recovery", "How is split brain solved, when an operator makes it?", q22b_forced_recovery},
	{"q22c_heal_storm", "What happens when a partition heals?", q22c_heal_storm},
	{0},
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Who may answer a read: a leader in the moment it changes, a follower, a node that lags. */
#include "tests/scenarios/scenario.h"
#include "tests/scenarios/service/world.h"
#include "tests/scenarios/story.h"

#include <inttypes.h>
#include <lockd/status.h>
#include <stdio.h>

/* Reads lock-0 without pause, at the node it is connected to; the checker of P6 looks at every answer. */
struct poll {
	struct program *program;
	uint64_t frame; /* 0: nothing is asked */
	sim_usec asked_at, again_at;
	uint32_t answered, refused, silent;
};

enum { POLL_PATIENCE_US = 500 * MS, POLL_REFUSED_US = 20 * MS };

/* A free lock is NOT_FOUND. */
static bool is_answered(const struct program_answer *answer) {
	return answer && (answer->status == LOCKD_OK || answer->status == LOCKD_NOT_FOUND);
}

static void take_answer(struct world *world, struct poll *poll) {
	const struct program_answer *answer = program_answer(poll->program, poll->frame);

	if (!answer && world->sim->now < poll->asked_at + POLL_PATIENCE_US)
		return;
	if (is_answered(answer)) {
		poll->answered++;
		poll->again_at = world->sim->now;
	} else {
		poll->refused += answer != NULL;
		poll->silent += answer == NULL;
		poll->again_at = world->sim->now + POLL_REFUSED_US;
	}
	poll->frame = 0;
}

static void read_on(struct world *world, struct poll *poll) {
	if (!poll->program->client->connection)
		return;
	if (poll->frame)
		take_answer(world, poll);
	if (poll->frame || world->sim->now < poll->again_at)
		return;
	poll->frame = program_show(poll->program, 0);
	poll->asked_at = world->sim->now;
}

/* ---- q18: the moment in which the leader changes -------------------------------------------------------------------
 */

enum q18_kind { Q18_TRANSFER, Q18_PAUSE, Q18_CUT, Q18_KINDS };
static const char *const Q18_NAMES[Q18_KINDS] = {"handed over", "paused for 700 ms", "cut off"};

enum { Q18_EVENTS = 60, Q18_POLLS = 3 };

struct q18_run {
	enum q18_kind kind;
	uint32_t events, at; /* the change is forced behind so many events */
	uint32_t old;
	bool forced;
	struct poll polls[Q18_POLLS];
};

static void q18_force(struct world *world, struct q18_run *run) {
	run->forced = true;
	run->old = world_leader(world);
	switch (run->kind) {
	case Q18_TRANSFER: (void)program_transfer(&world->programs[4], 0); break;
	case Q18_PAUSE: host_pause(world->sim, run->old, world->sim->now + 700 * MS); break;
	default:
		for (uint32_t other = 1; other <= 3; other++) {
			if (other != run->old)
				network_sever(world->sim, run->old, other, world->sim->now + 900 * MS);
		}
		break;
	}
}

static void q18_watch(struct world *world, void *data) {
	struct q18_run *run = data;

	for (int i = 0; i < Q18_POLLS; i++)
		read_on(world, &run->polls[i]);
	if (!run->forced && run->events++ >= run->at)
		q18_force(world, run);
}

/* c1 acquires and releases while c2, c3 and c4 read, each at another node; c5 asks for the hand-over. */
static void q18_one(enum q18_kind kind, uint32_t at, struct poll *sum) {
	struct world *world = world_new(&(struct world_setup){.nodes = 3, .programs = 5, .seed = 18});
	struct program *c1 = &world->programs[0];
	struct q18_run run = {.kind = kind, .at = at};
	sim_usec until;

	program_begin(c1);
	for (uint32_t node = 1; node <= 3; node++) {
		run.polls[node - 1].program = &world->programs[node];
		(void)program_connect(&world->programs[node], node);
	}
	(void)program_connect(&world->programs[4], world_leader(world));
	world->watch = q18_watch;
	world->watch_data = &run;
	until = world->sim->now + 1500 * MS;
	while (world->sim->now < until) {
		uint64_t token = program_settle(c1, program_acquire(c1, 0, 0), 5 * SECOND)->token;

		(void)program_settle(c1, program_release(c1, 0, token), 5 * SECOND);
	}
	world_expect(world->leaders >= 2, "a change of leader", "%s behind event %u: none", Q18_NAMES[kind], at);
	for (int i = 0; i < Q18_POLLS; i++) {
		sum->answered += run.polls[i].answered;
		sum->refused += run.polls[i].refused;
		sum->silent += run.polls[i].silent;
	}
	world->watch = NULL;
	network_heal(world->sim);
	world_expect(world_run_until(world, world_converged, 5 * SECOND), "equal states", "behind event %u", at);
	world_free(world);
}

static void q18_handover_reads(void) {
	story_act("c1 acquires and releases lock-0 without pause; three others read it without pause, one at each of "
		  "three "
		  "nodes. Behind event 1, or 2, or 3 … of this the leader is made to change.");
	printf("    the leader is        runs   reads answered   refused   given up   stale\n");
	for (int kind = 0; kind < Q18_KINDS; kind++) {
		struct poll sum = {0};

		for (uint32_t at = 0; at < Q18_EVENTS; at++)
			q18_one((enum q18_kind)kind, at, &sum);
		printf("    %-18s  %5d   %14u   %7u   %8u       0\n", Q18_NAMES[kind], Q18_EVENTS, sum.answered,
		       sum.refused, sum.silent);
	}
	story_say("A stale read is one at a log index below one that anybody had been told of before the read was "
		  "asked: the "
		  "checker ends the run at the first.");
	story_answer("the old leader proves itself for every answer, by a lease or a round; the new one answers "
		     "nothing before "
		     "its own no-op is applied; a follower asks the leader. In between nobody answers, and clients ask "
		     "again.");
}

/* ---- q22j: a follower answers --------------------------------------------------------------------------------------
 */

static uint32_t follower_of(struct world *world, uint32_t leader) {
	return leader % world->sim->plan.nodes + 1;
}

/* c1 changes the lock through the leader, c2 reads it at the follower right behind the answer. The longest read. */
static sim_usec q22j_reads_see(struct world *world, int pairs) {
	struct program *c1 = &world->programs[0], *c2 = &world->programs[1];
	sim_usec longest = 0;

	for (int i = 0; i < pairs; i++) {
		uint64_t token = program_settle(c1, program_acquire(c1, 0, 0), 5 * SECOND)->token;
		const struct program_answer *read = program_await(c2, program_show(c2, 0), 1 * SECOND);

		world_expect(read && read->status == LOCKD_OK, "an answer", "the follower gives none");
		world_expect(read->seen_token == token, "the newest grant",
			     "the follower shows token %" PRIu64 ", %" PRIu64 " was granted", read->seen_token, token);
		if (longest < read->given - read->asked)
			longest = read->given - read->asked;
		(void)program_settle(c1, program_release(c1, 0, token), 5 * SECOND);
	}
	return longest;
}

static void q22j_follower_read(void) {
	struct world *world = world_new(&(struct world_setup){
		.nodes = 3, .programs = 2, .seed = 24, .ttl_ms = 30000, .tell = WORLD_TELL_LEADERS});
	struct program *c1 = &world->programs[0], *c2 = &world->programs[1];
	uint32_t leader = world_leader(world), follower = follower_of(world, leader), next;
	const struct program_answer *read;
	sim_usec longest;
	uint64_t token;

	story_act("c1 takes and gives back lock-0 through the leader, n%u; each time it has been granted, c2 asks n%u "
		  "who holds "
		  "it.",
		  leader, follower);
	program_begin(c1);
	(void)program_connect(c2, follower);
	longest = q22j_reads_see(world, 20);
	world_expect(longest < world->sim->plan.timing.heartbeat / 2, "no wait for a heartbeat", "a read took %.3f ms",
		     (double)longest / 1e3);
	story_say("20 of 20 reads showed the grant that c1 had just heard of. The longest took %.0f ms, where each way "
		  "of a "
		  "frame takes 1 ms: to the node, to the leader, and both back.",
		  (double)longest / 1e3);

	story_act("n%u is cut off, and c1 takes the lock. c2 asks n%u: linearizably, and for what it has.", follower,
		  follower);
	world_isolate(world, follower);
	token = program_settle(c1, program_acquire(c1, 0, 0), 5 * SECOND)->token;
	world_run(world, 1 * SECOND);
	read = program_await(c2, program_read(c2, 0, CLIENT__READ_LEVEL__STALE), 1 * SECOND);
	world_expect(is_answered(read) && read->seen_token != token, "an old answer", "the STALE read");
	world_tell(world, WORLD_TELL_LEADERS, "STALE: an answer without that grant, which says that it is %u ms old",
		   read->age_ms);
	read = program_await(c2, program_show(c2, 0), 1 * SECOND);
	world_expect(!is_answered(read), "no answer", "n%u cannot know, and answers", follower);
	world_tell(world, WORLD_TELL_LEADERS, "LINEARIZABLE: %s", read ? lockd_status_name(read->status) : "no answer");
	world_heal(world);
	world_run(world, 1 * SECOND);
	(void)program_settle(c1, program_release(c1, 0, token), 5 * SECOND);

	story_act("The leader is lost. As soon as another one leads, c2 asks again, at a node that follows it.");
	leader = world_leader(world);
	follower = follower_of(world, leader);
	(void)program_connect(c2, follower);
	world_crash(world, leader, WORLD_LOST);
	next = world_await_leader_but(world, leader, 5 * SECOND);
	world_expect(next != 0, "a new leader", "nobody leads");
	if (next == follower)
		(void)program_connect(c2, next % 3 + 1 == leader ? leader % 3 + 1 : next % 3 + 1);
	(void)q22j_reads_see(world, 20);
	story_say("20 of 20 again, through n%u.", c2->client->node);
	world_restart(world, leader);
	world_expect(world_run_until(world, world_converged, 5 * SECOND), "equal states", "in the end");
	story_answer("yes: a follower asks the leader up to where it must have applied, waits for that, and answers "
		     "from its own "
		     "state. Cut off from the leader it answers nothing but what is asked for as STALE.");
	world_free(world);
}

/* ---- q22l: the levels ----------------------------------------------------------------------------------------------
 */

static const char *const LEVELS[] = {"LINEARIZABLE", "SESSION", "STALE"};

/* What the level promises, nothing else. */
static void q22l_judge(const struct program_answer *read) {
	if (read->status != LOCKD_OK)
		return;
	if (read->level == CLIENT__READ_LEVEL__LINEARIZABLE)
		world_expect(read->revision >> 16 >= read->floor, "linearizable",
			     "read at %" PRIu64 ", %" PRIu64 " had been told", read->revision >> 16, read->floor);
	if (read->level == CLIENT__READ_LEVEL__SESSION)
		world_expect(read->revision >= read->at_least, "not back", "read at %" PRIx64 ", %" PRIx64 " was seen",
			     read->revision, read->at_least);
	world_expect(read->revision != 0, "a revision", "a read at level %s has none", LEVELS[read->level]);
}

struct q22l_row {
	uint32_t ok, other, behind; /* behind: at an index below what had been told */
};

static void q22l_read(struct program *program, Client__ReadLevel level, struct q22l_row *row) {
	const struct program_answer *read = program_await(program, program_read(program, 0, level), 300 * MS);

	if (!read || read->status != LOCKD_OK) {
		row->other++;
		return;
	}
	q22l_judge(read);
	row->ok++;
	row->behind += read->revision >> 16 < read->floor;
}

/* c2 goes from node to node and reads at all levels, while c1 changes the lock. */
static void q22l_round(struct world *world, int rounds, struct q22l_row rows[3][4]) {
	struct program *c1 = &world->programs[0], *c2 = &world->programs[1];

	for (int i = 0; i < rounds; i++) {
		uint64_t token = program_settle(c1, program_acquire(c1, 0, 0), 5 * SECOND)->token;

		for (uint32_t node = 1; node <= 3; node++) {
			(void)program_connect(c2, node);
			for (int level = 0; level < 3; level++)
				q22l_read(c2, (Client__ReadLevel)level, &rows[level][node]);
		}
		(void)program_settle(c1, program_release(c1, 0, token), 5 * SECOND);
	}
}

static void q22l_print(struct q22l_row rows[3][4], uint32_t lagging) {
	printf("    level          node            answered   not answered   older than what had been told\n");
	for (int level = 0; level < 3; level++) {
		for (uint32_t node = 1; node <= 3; node++)
			printf("    %-13s  n%u%-12s  %8u   %12u   %29u\n", LEVELS[level], node,
			       node == lagging ? ", cut off" : "", rows[level][node].ok, rows[level][node].other,
			       rows[level][node].behind);
	}
}

static void q22l_levels(void) {
	struct world *world = world_new(&(struct world_setup){.nodes = 3, .programs = 2, .seed = 25, .ttl_ms = 60000});
	struct q22l_row calm[3][4] = {0}, cut[3][4] = {0};
	uint32_t lagging;

	story_act("c1 changes lock-0 again and again. c2 goes from node to node and reads it at each level.");
	program_begin(&world->programs[0]);
	q22l_round(world, 10, calm);
	q22l_print(calm, 0);

	lagging = follower_of(world, world_leader(world));
	story_act("The same while n%u is cut off from the others.", lagging);
	world_split(world, 1u << lagging);
	q22l_round(world, 10, cut);
	q22l_print(cut, lagging);
	world_expect(cut[CLIENT__READ_LEVEL__LINEARIZABLE][lagging].ok == 0, "no linearizable answer", "n%u gives one",
		     lagging);
	world_expect(cut[CLIENT__READ_LEVEL__STALE][lagging].ok == 10, "stale answers", "n%u gives %u", lagging,
		     cut[CLIENT__READ_LEVEL__STALE][lagging].ok);
	world_expect(cut[CLIENT__READ_LEVEL__STALE][lagging].behind > 0, "old answers", "n%u gives none", lagging);
	network_heal(world->sim);
	world_expect(world_run_until(world, world_converged, 5 * SECOND), "equal states", "in the end");
	story_answer(
		"LINEARIZABLE sees all that was answered before it was asked; SESSION never goes back behind what the "
		"client has seen, at whichever node; STALE answers at once, and says how old it is.");
	world_free(world);
}

const struct scenario read_scenarios[] = {
	{"q18_handover_reads", "Is a read ever stale in the moment the leader changes?", q18_handover_reads},
	{"q22j_follower_read", "Can followers serve reads?", q22j_follower_read},
	{"q22l_levels", "Which consistency levels are there?", q22l_levels},
	{0},
};

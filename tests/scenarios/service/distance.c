/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes far from each other: which times suit them, and what a commit costs. */
#include "tests/scenarios/scenario.h"
#include "tests/scenarios/service/world.h"
#include "tests/scenarios/story.h"

#include <inttypes.h>
#include <lockd/status.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	LOSS_PPM = 10000,
	RESEND_US = 200 * MS, /* TCP's smallest retransmission time-out; a round trip comes on top */
	RESEND_DOUBLINGS_MAX = 4,
	OPERATION_EVERY_US = 2 * SECOND,
	OPERATIONS_MAX = 4096,
	NEAREST_QUORUM_RTT_US = 160 * MS, /* of n1: itself, n2, n3 */
};

/* One way, in milliseconds; clients stand 1 ms from their node. */
static const uint32_t DISTANCES_MS[5][5] = {
	{0, 40, 80, 150, 150},  {40, 0, 80, 150, 150},  {80, 80, 0, 150, 150},
	{150, 150, 150, 0, 80}, {150, 150, 150, 80, 0},
};

/* A lost frame is not simply missing: TCP holds back all that follows until it has been sent again, after a time-out
 * that doubles while the repetition is lost as well. So a lost frame silences its link for a while. */
struct lossy {
	struct prng prng;
	sim_usec every; /* a heartbeat goes out on each link */
	sim_usec at;
};

static void lose(struct world *world, void *data) {
	struct lossy *lossy = data;

	if (world->sim->now < lossy->at)
		return;
	lossy->at = world->sim->now + lossy->every;
	for (uint32_t a = 0; a < 5; a++) {
		for (uint32_t b = 0; b < 5; b++) {
			sim_usec wait = RESEND_US + 2 * DISTANCES_MS[a][b] * MS;

			/* The heartbeat, or the answer to the one that came the other way. */
			if (a == b || !prng_chance(&lossy->prng, 2 * LOSS_PPM))
				continue;
			for (int i = 0; i < RESEND_DOUBLINGS_MAX && prng_chance(&lossy->prng, LOSS_PPM); i++)
				wait *= 2;
			world->sim->network.links[a][b].cut_until = world->sim->now + wait;
		}
	}
}

static void spread(struct world *world) {
	for (uint32_t a = 0; a < 5; a++) {
		for (uint32_t b = 0; b < 5; b++)
			world->sim->network.distance[a][b] = (DISTANCES_MS[a][b] > 0 ? DISTANCES_MS[a][b] - 1 : 0) * MS;
	}
}

static int compare_times(const void *a, const void *b) {
	sim_usec left = *(const sim_usec *)a, right = *(const sim_usec *)b;

	return left < right ? -1 : left > right;
}

struct hour {
	const char *name;
	raft_usec heartbeat, election;
	uint32_t promise_ms;
	sim_usec length;
};

struct hour_outcome {
	uint64_t changes;
	uint32_t leader; /* in the end */
	sim_usec p50;
};

/* From the arrival of a request at the leader to the leaving of its answer. */
static sim_usec commit_time(const struct world *world, const struct program_answer *answer) {
	return answer->given - answer->asked - 2 * world->sim->plan.latency_min;
}

static struct hour_outcome spend(const struct hour *hour) {
	struct world *world = world_new(&(struct world_setup){.nodes = 5,
							      .programs = 1,
							      .seed = 14,
							      .ttl_ms = 12 * 3600 * 1000,
							      .latency = 1 * MS,
							      .heartbeat = hour->heartbeat,
							      .election = hour->election,
							      .promise_ms = hour->promise_ms});
	struct program *c1 = &world->programs[0];
	struct lossy lossy = {.every = hour->heartbeat};
	struct hour_outcome outcome;
	static sim_usec times[OPERATIONS_MAX];
	size_t n = 0;
	sim_usec until;
	uint64_t token = 0, leaders;

	spread(world);
	program_begin(c1);
	world_run(world, 2 * SECOND);
	prng_init(&lossy.prng, 14);
	world->watch = lose;
	world->watch_data = &lossy;
	leaders = world->leaders;
	until = world->sim->now + hour->length;
	for (; world->sim->now < until && n < OPERATIONS_MAX; n++) {
		const struct program_answer *answer = program_settle(
			c1, token == 0 ? program_acquire(c1, 0, 0) : program_release(c1, 0, token), 60 * SECOND);

		times[n] = commit_time(world, answer);
		token = token == 0 ? answer->token : 0;
		world_run(world, OPERATION_EVERY_US);
	}
	qsort(times, n, sizeof(times[0]), compare_times);
	outcome = (struct hour_outcome){
		.changes = world->leaders - leaders, .leader = world_leader(world), .p50 = times[n / 2]};
	printf("    %-9s %4" PRIu64 " ms  %5" PRIu64 " to %" PRIu64 " ms  %5u ms  %7" PRIu64 " min   %8" PRIu64
	       "   %6" PRIu64 " ms\n",
	       hour->name, hour->heartbeat / MS, hour->election / MS, 2 * hour->election / MS, hour->promise_ms,
	       hour->length / (60 * SECOND), outcome.changes, (outcome.p50 + MS / 2) / MS);
	world_free(world);
	return outcome;
}

static void q14_wan_profile(void) {
	struct hour_outcome lan, wan;

	story_act("Five nodes in five places: n1, n2 and n3 are 40 and 80 ms apart (one way), n4 and n5 80 ms from "
		  "each other and "
		  "150 ms from the rest. One frame in a hundred is lost, and holds back what follows on its link until "
		  "TCP has "
		  "sent it again, after 200 ms and a round trip, or twice that if the repetition is lost as well.");
	printf("    times     heartbeat  election         promise     length   changes of leader   p50 of a commit\n");
	lan = spend(&(struct hour){"LAN", 50 * MS, 400 * MS, 200, (sim_usec)600 * SECOND});
	wan = spend(&(struct hour){"WAN", 300 * MS, 3000 * MS, 900, (sim_usec)3600 * SECOND});
	world_expect(lan.changes >= 5, "churn", "LAN times: %" PRIu64 " changes of leader", lan.changes);
	world_expect(wan.changes == 0, "no churn", "WAN times: %" PRIu64 " changes of leader", wan.changes);
	world_expect(wan.leader == 1, "n1 leads", "WAN times: n%u leads", wan.leader);
	world_expect(wan.p50 >= NEAREST_QUORUM_RTT_US && wan.p50 <= NEAREST_QUORUM_RTT_US * 110 / 100,
		     "the round trip to the nearest majority", "p50 of a commit is %" PRIu64 " us", wan.p50);
	story_say("With n1 leading, the nearest majority is n1, n2 and n3, 160 ms there and back. The far ones are not "
		  "waited for.");
	story_answer(
		"no rule of safety changes. Heartbeats, promises and election time-outs must be long against round "
		"trips "
		"and retransmissions, and a commit costs the round trip to the nearest majority, wherever the others "
		"stand.");
}

const struct scenario distance_scenarios[] = {
	{"q14_wan_profile", "What must change when the nodes are far from each other?", q14_wan_profile},
	{0},
};

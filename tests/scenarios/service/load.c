/* SPDX-License-Identifier: Apache-2.0 */
/* What one leader and one order of entries cost. */
#include "tests/scenarios/scenario.h"
#include "tests/scenarios/service/world.h"
#include "tests/scenarios/story.h"

#include "api/frame.h"

#include <inttypes.h>
#include <lockd/status.h>
#include <stdio.h>
#include <string.h>

/* ---- q20: a large entry in front of a small one --------------------------------------------------------------------
 */

enum {
	LARGE_REQUESTS = 62, /* of the largest value each: together they just fit into one entry */
	LINK_KIB_US = 80,    /* 100 Mbit/s */
	DISK_KIB_US = 5,     /* 200 MB/s */
};

/* A try for lock-5 with the largest value, in one frame of its own. */
static void send_large(struct program *program, uint64_t sequence) {
	static uint8_t value[LIMIT_VALUE_BYTES_MAX], packed[LIMIT_VALUE_BYTES_MAX + 256];
	char name[16];
	struct client *client = program->client;
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__SessionId session = CLIENT__SESSION_ID__INIT;
	Client__Acquire acquire = CLIENT__ACQUIRE__INIT;

	memset(value, 'v', sizeof(value));
	session.epoch = program->world->sim->epoch;
	session.group = SIM_GROUP;
	session.opened = client->session;
	acquire.name = (ProtobufCBinaryData){model_name_of(5, name, sizeof(name)), (uint8_t *)name};
	acquire.value = (ProtobufCBinaryData){sizeof(value), value};
	request.session = &session;
	request.sequence = sequence;
	request.floor = 1;
	request.body_case = CLIENT__REQUEST__BODY_ACQUIRE;
	request.acquire = &acquire;
	network_client_to_node(program->world->sim, client->connection, FRAME_REQUEST, ++client->next_frame, packed,
			       client__request__pack(&request, packed));
}

static size_t largest_entry(struct world *world) {
	const struct disk *disk = sim_disk(world->sim, world_leader(world));
	size_t largest = 0;

	for (size_t i = 0; i < disk->n; i++)
		largest = disk->entries[i].n > largest ? disk->entries[i].n : largest;
	return largest;
}

/* From asking to hearing, in microseconds. */
static sim_usec small_request(struct program *program, uint32_t lock) {
	const struct program_answer *answer = program_await(program, program_acquire(program, lock, 0), 5 * SECOND);

	world_expect(answer && answer->status == LOCKD_OK, "a grant", "lock-%u", lock);
	return answer->given - answer->asked;
}

static void q20_hol(void) {
	struct world *world = world_new(&(struct world_setup){.nodes = 3, .programs = 2, .seed = 20});
	struct program *c1 = &world->programs[0], *c2 = &world->programs[1];
	sim_usec alone, behind;

	story_act("Three nodes, links of 100 Mbit/s, disks of 200 MB/s. c2 asks for a lock while nothing else happens; "
		  "then once "
		  "more, right behind an entry of the largest size that c1 has caused.");
	world->sim->network.kib_us = LINK_KIB_US;
	for (uint32_t node = 1; node <= 3; node++)
		sim_disk(world->sim, node)->kib_us = DISK_KIB_US;
	program_begin(c1);
	program_begin(c2);
	alone = small_request(c2, 0);
	for (uint64_t sequence = 1; sequence <= LARGE_REQUESTS; sequence++)
		send_large(c1, sequence);
	world_run(world, 1 * MS + 100);
	behind = small_request(c2, 1);
	world_expect(largest_entry(world) > 240 << 10, "a large entry", "the largest has %zu bytes",
		     largest_entry(world));
	story_say("alone: %.1f ms; behind an entry of %zu KiB: %.1f ms, of which the link takes %.1f ms and the disks "
		  "%.1f ms.",
		  (double)alone / 1e3, largest_entry(world) >> 10, (double)behind / 1e3,
		  (double)(largest_entry(world) >> 10) * LINK_KIB_US / 1e3,
		  (double)(largest_entry(world) >> 10) * DISK_KIB_US / 1e3);
	world_expect(behind > alone + 10 * MS, "a wait", "%" PRIu64 " us alone, %" PRIu64 " us behind", alone, behind);
	world_expect(behind < 100 * MS, "a bounded wait", "%" PRIu64 " us", behind);
	story_answer("one order of entries means that a small one waits for the large one in front of it. The size of "
		     "an entry "
		     "is bounded (256 KiB), and so is the wait: by what a link and a disk need for one entry.");
	world_free(world);
}

/* ---- q20: a disk that hangs ----------------------------------------------------------------------------------------
 */

enum { STALL_ELECTIONS = 10 };

static void q20_slow_disk(void) {
	struct world *world = world_new(&(struct world_setup){
		.nodes = 3, .programs = 1, .seed = 120, .ttl_ms = 30000, .tell = WORLD_TELL_REQUESTS});
	struct program *c1 = &world->programs[0];
	sim_usec election = world->sim->plan.timing.election_min, from;
	uint32_t old = world_leader(world), next;
	const struct program_answer *granted;
	uint64_t frame;

	story_act("The leader's fsync hangs for %d E, that is %" PRIu64
		  " ms. Its heartbeats do not need the disk and go on; so "
		  "nobody else would ever notice.",
		  STALL_ELECTIONS, STALL_ELECTIONS * election / MS);
	program_begin(c1);
	world_tell(world, WORLD_TELL_LEADERS, "n%u's disk hangs", old);
	from = world->sim->now;
	sim_disk(world->sim, old)->stalled_until = from + STALL_ELECTIONS * election;
	frame = program_acquire(c1, 0, 0);
	/* Noticed after the longest election time-out; what follows is a hand-over and no election. */
	next = world_await_leader_but(world, old, world->sim->plan.timing.election_max + election / 2);
	world_expect(next != 0, "a new leader", "nobody took over from n%u", old);
	world_expect(world_status(world, old).role != RAFT_LEADER, "one leader", "n%u leads still", old);

	story_act("c1 asks again, and the disk hangs still.");
	granted = program_settle(c1, frame, 3 * election);
	world_expect(granted->status == LOCKD_OK, "a grant", "c1 has none");
	world_expect(granted->given < from + STALL_ELECTIONS * election, "a grant before the disk is back",
		     "%" PRIu64 " ms", (granted->given - from) / MS);
	story_say("The lock was granted %" PRIu64 " ms after the disk had begun to hang, without it.",
		  (granted->given - from) / MS);
	world_expect(world_run_until(world, world_converged, STALL_ELECTIONS * election + 5 * SECOND), "equal states",
		     "when the disk is back");
	story_answer(
		"a leader measures its own disk. When a write takes longer than the longest election time-out it hands "
		"over to somebody whose disk works, and says so to those who might elect it.");
	world_free(world);
}

const struct scenario load_scenarios[] = {
	{"q20_slow_disk", "What happens when the leader's disk hangs?", q20_slow_disk},
	{"q20_hol", "What does an entry cost that stands behind a large one?", q20_hol},
	{0},
};

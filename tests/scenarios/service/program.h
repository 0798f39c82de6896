/* SPDX-License-Identifier: Apache-2.0 */
/* A client that does what the script says, in the bytes of the real protocol. It knows nothing of retries and
 * redirects: these are deeds of the script as well. */
#ifndef TESTS_SCENARIOS_SERVICE_PROGRAM_H
#define TESTS_SCENARIOS_SERVICE_PROGRAM_H

#include "api/client.pb-c.h"
#include "tests/sim/client.h"

struct world;

struct program_answer {
	uint64_t frame; /* of the question; 0: none yet */
	int status;
	uint64_t token, revision;
	uint64_t seen_token; /* SHOW: of the present grant; 0: the lock is free */
	uint32_t leader;     /* NOT_LEADER: where to go */
	uint32_t node;       /* that answered */
	uint32_t age_ms;
	sim_usec asked, given;
	/* A read at a level, asked for under this frame. */
	uint64_t expected;
	Client__ReadLevel level;
	uint64_t floor; /* highest log index that anybody had been told of when it was asked */
	uint64_t at_least;
};

enum { PROGRAM_ANSWERS_MAX = 1024 };

struct program {
	struct client_script script; /* first: the client knows the program by it */
	struct world *world;
	struct client *client;
	struct program_answer answers[PROGRAM_ANSWERS_MAX]; /* by frame, the latest ones */
	uint64_t answered;
	uint64_t revision; /* highest seen in an answer */
	int hello;         /* status of the last answer to a HELLO; −1: none yet */
};

void program_init(struct program *program, struct world *world, uint32_t id);

/* Leaves the node it was connected to, and says HELLO to another; the answer is waited for. false: that node is down.
 */
bool program_connect(struct program *program, uint32_t node);
void program_disconnect(struct program *program);
/* Says HELLO to the cluster of that incarnation; the status of the answer, −1 if none comes. */
int program_hello(struct program *program, uint32_t node, const struct node_uuid *incarnation);

/* Each sends one frame and gives its number. */
uint64_t program_open(struct program *program);
uint64_t program_keep_alive(struct program *program);
/* A new sequence; `wait_ms` 0: a try. */
uint64_t program_acquire(struct program *program, uint32_t lock, uint32_t wait_ms);
uint64_t program_release(struct program *program, uint32_t lock, uint64_t token);
uint64_t program_show(struct program *program, uint32_t lock);
/* A SHOW at a level; SESSION: not behind what this program has seen. Unlike that of program_show() its answer is not
 * judged by the simulator's checkers. */
uint64_t program_read(struct program *program, uint32_t lock, Client__ReadLevel level);
/* Asks the node to hand leadership over, 0: to whomever it likes. */
uint64_t program_transfer(struct program *program, uint32_t to);
/* The last acquire or release once more, under its own sequence. */
uint64_t program_repeat(struct program *program);

/* The answer to a frame; NULL: none (yet). QUEUED is no answer. */
const struct program_answer *program_answer(const struct program *program, uint64_t frame);
/* Waits for it; NULL: none within `limit`. */
const struct program_answer *program_await(struct program *program, uint64_t frame, sim_usec limit);

/* Asks node after node, as the library does, until the last request has a definite answer; fails the scenario after
 * `limit`. */
const struct program_answer *program_settle(struct program *program, uint64_t frame, sim_usec limit);
/* Connects to the leader and opens a session. */
void program_begin(struct program *program);

/* Point in true time until which the program believes that its session lives, by a perfect clock under ρ. */
sim_usec program_deadline(const struct program *program);

#endif

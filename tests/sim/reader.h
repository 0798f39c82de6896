/* SPDX-License-Identifier: Apache-2.0 */
/* A simulated program that only looks: at any node, at every level, and never at the same one for long. */
#ifndef TESTS_SIM_READER_H
#define TESTS_SIM_READER_H

#include "tests/sim/caller.h"

struct reader {
	struct caller caller;
	Client__ReadLevel level; /* of what is asked */
	bool list;
	uint32_t lock;
	uint64_t seen; /* highest revision that it has been shown; what SESSION must not fall behind */
};

void reader_start(struct sim *sim, uint32_t number, struct prng prng);
void reader_answered(struct sim *sim, struct reader *reader, const Client__Reply *reply);
/* Nothing is asked, and nothing will be. */
bool reader_is_idle(const struct reader *reader);
/* An answer leaves the node: what it says about the age of a STALE state is judged by this moment. */
void reader_frame(struct sim *sim, uint32_t node, const Client__Reply *reply);

#endif

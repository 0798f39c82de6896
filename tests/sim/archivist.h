/* SPDX-License-Identifier: Apache-2.0 */
/* A simulated program that takes backups, of any node: it begins one, reads its last bytes first and then all of it,
 * and goes elsewhere. What it gets must be whole, be a state that the cluster had at that index, and hold everything
 * that anybody was told of before it was begun (P9). */
#ifndef TESTS_SIM_ARCHIVIST_H
#define TESTS_SIM_ARCHIVIST_H

#include "api/archive.h"
#include "tests/sim/caller.h"

enum archivist_stage {
	ARCHIVIST_IDLE,
	ARCHIVIST_BEGUN, /* asked for, and not described yet */
	ARCHIVIST_END,   /* some of its last bytes are next */
	ARCHIVIST_WHOLE, /* all of it */
};

struct sim;

struct archivist {
	struct caller caller;
	enum archivist_stage stage;
	node_connection connection; /* that it was begun on */
	sim_usec again_at;
	uint64_t floor; /* highest log index acknowledged to anybody when it was begun */
	bool following; /* by a node that did not lead when it answered */
	uint64_t number, index;
	uint64_t offset; /* of the part that is asked for … */
	uint64_t end;    /* … and of the one that came first */
	struct archive_lead lead;
	uint8_t *header, *run; /* owned */
	uint8_t digest[ARCHIVE_DIGEST_BYTES];
};

void archivist_start(struct sim *sim, struct prng prng);
void archivist_deinit(struct archivist *archivist);
void archivist_answered(struct sim *sim, const Client__Reply *reply);
/* Its connection is gone, and the backup with it. */
void archivist_closed(struct sim *sim);
/* It waits for no answer. */
bool archivist_is_idle(const struct archivist *archivist);

#endif

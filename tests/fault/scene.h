/* SPDX-License-Identifier: Apache-2.0 */
/* A call on the store of a simulated node: what the power may leave if it fails at any of its points, and what it left. */
#ifndef TESTS_FAULT_SCENE_H
#define TESTS_FAULT_SCENE_H

#include "lockd/io/store.h"
#include "medium.h"
#include "tests/sim/disk.h"
#include "tests/sim/prng.h"

struct sim;

enum { SCENE_STATES_MAX = 6 };

/* One that a power cut may leave, as the model tells it. */
struct scene_state {
	struct disk disk;
	enum disk_outcome outcome;
	bool checkpoint; /* that was under way is durable */
};

struct scene {
	struct sim *sim;
	uint32_t node;
	const char *call;
	struct prng *prng;
	uint64_t stride; /* a copy is taken at every so many-th point, by chance, the last one included; 0: at none */
	struct medium **copies;
	size_t n, size;
	bool acknowledged; /* the last copy was taken when the call had returned */
	struct scene_state states[SCENE_STATES_MAX];
	size_t n_states;
};

/* `scene` says sim, node, call, prng and stride. */
void scene_begin(struct scene *scene, struct medium *medium);
void scene_end(struct scene *scene, struct medium *medium);
void scene_deinit(struct scene *scene);

/* One more state is admitted, of the disk as it is now; once the call has returned, only the last one. */
void scene_admit(struct scene *scene, enum disk_outcome outcome, bool checkpoint);

/* Cuts the power at every copy in every way, and opens what is left. */
void scene_judge(struct scene *scene, uint64_t *points);
/* A cut of some copy that leaves this; owned by the caller. What it comes across is judged. */
struct medium *scene_find(struct scene *scene, enum disk_outcome outcome, bool checkpoint);

/* Opens a copy of an image as a node would, and closes it. Results of store_open() and store_load(); *ret is to be freed by
 * disk_deinit() in any case. `node` may be NULL. */
int scene_look(const struct medium *image, struct node *node, struct disk *ret, struct store_error *error);

#endif

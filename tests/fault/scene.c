/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include "feed.h"
#include "mount.h"
#include "tests/sim/memory.h"
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

#define SCENE_PATH MOUNT_ROOT "look"
#define SCENE_FOLDER SCENE_PATH "/data"

enum { GUESSES = 4 };

static const char *const policies[MEDIUM_POLICIES] = {"nothing", "everything", "the first writes", "some writes",
						      "some sectors"};

/* ---- Copies -------------------------------------------------------------------------------------------------------
 */

static void scene_take(struct scene *scene, const struct medium *medium) {
	scene->copies = memory_fit(scene->copies, &scene->size, scene->n + 1, sizeof *scene->copies);
	scene->copies[scene->n++] = medium_copy(medium);
}

static void scene_watch(void *context, struct medium *medium, const struct medium_operation *operation) {
	struct scene *scene = context;

	if (operation->point && prng_range(scene->prng, 1, scene->stride) == 1)
		scene_take(scene, medium);
}

void scene_begin(struct scene *scene, struct medium *medium) {
	if (scene->stride)
		medium_set_watch(medium, scene_watch, scene);
}

void scene_end(struct scene *scene, struct medium *medium) {
	medium_set_watch(medium, NULL, NULL);
	if (!scene->stride || prng_range(scene->prng, 1, scene->stride) != 1)
		return;
	scene_take(scene, medium);
	scene->acknowledged = true;
}

void scene_deinit(struct scene *scene) {
	for (size_t i = 0; i < scene->n; i++)
		medium_free(scene->copies[i]);
	free(scene->copies);
	for (size_t i = 0; i < scene->n_states; i++)
		disk_deinit(&scene->states[i].disk);
}

void scene_admit(struct scene *scene, enum disk_outcome outcome, bool checkpoint) {
	struct scene_state *state = &scene->states[scene->n_states++];

	state->outcome = outcome;
	state->checkpoint = checkpoint;
	disk_foresee(sim_disk(scene->sim, scene->node), outcome, checkpoint, &state->disk);
}

/* ---- Looking ------------------------------------------------------------------------------------------------------
 */

int scene_look(const struct medium *image, struct node *node, struct disk *ret, struct store_error *error) {
	struct medium *copy = medium_copy(image);
	struct store *store;
	int r;

	*ret = (struct disk){0};
	mount_add(SCENE_PATH, copy);
	r = store_open(SCENE_FOLDER, &store, error);
	if (r == 0) {
		r = store_keep_reserve(store, 0, error);
		if (r == 0)
			r = feed_load(store, node, ret, error);
		store_close(store, false);
	}
	mount_remove(copy);
	medium_free(copy);
	return r;
}

static const char *of_state(const struct scene_state *state) {
	static const char *const names[] = {"before", "with term and vote alone", "after"};

	return names[state->outcome];
}

/* What is acknowledged is there. */
static size_t first_admitted(const struct scene *scene, size_t copy) {
	return scene->acknowledged && copy + 1 == scene->n ? scene->n_states - 1 : 0;
}

_Noreturn static void fail_to_match(const struct scene *scene, const struct disk *found, size_t copy,
				    enum medium_policy policy) {
	char text[400];
	size_t n = 0;

	for (size_t i = first_admitted(scene, copy); i < scene->n_states && n < sizeof text; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "; %s%s: %s", of_state(&scene->states[i]),
				      scene->states[i].checkpoint ? ", with the checkpoint" : "",
				      feed_differ(&scene->states[i].disk, found));
	verdict_fail(VERDICT_SAFETY, "S11 cut-leaves-other",
		     "n%u: the power fails in %s, at %zu of %zu copies, and %s is kept%s", scene->node, scene->call,
		     copy + 1, scene->n, policies[policy], text);
}

static size_t match(const struct scene *scene, const struct disk *found, size_t copy, enum medium_policy policy) {
	for (size_t i = first_admitted(scene, copy); i < scene->n_states; i++)
		if (!feed_differ(&scene->states[i].disk, found))
			return i;
	fail_to_match(scene, found, copy, policy);
}

static void count(struct scene *scene, const struct scene_state *state) {
	struct totals *totals = &scene->sim->totals;

	totals->images_before += state->outcome == DISK_NOTHING;
	totals->images_first += state->outcome == DISK_HARD;
	totals->images_after += state->outcome == DISK_ALL;
}

/* The first admitted state that the image holds. */
static const struct scene_state *examine(struct scene *scene, const struct medium *image, size_t copy,
					 enum medium_policy policy) {
	const struct scene_state *state;
	struct store_error error;
	struct disk found;
	int r = scene_look(image, NULL, &found, &error);

	scene->sim->totals.images++;
	if (r != 0)
		verdict_fail(VERDICT_SAFETY, "S12 cut-refused",
			     "n%u: the power fails in %s, at %zu of %zu copies, and %s is kept: %d %s", scene->node,
			     scene->call, copy + 1, scene->n, policies[policy], r, error.text);
	state = &scene->states[match(scene, &found, copy, policy)];
	count(scene, state);
	disk_deinit(&found);
	return state;
}

/* ---- All cuts -----------------------------------------------------------------------------------------------------
 */

static bool is_known(const uint64_t *hashes, size_t n, uint64_t hash) {
	for (size_t i = 0; i < n; i++)
		if (hashes[i] == hash)
			return true;
	return false;
}

void scene_judge(struct scene *scene, uint64_t *points) {
	uint64_t *hashes = memory_new((scene->n * MEDIUM_POLICIES + 1) * sizeof *hashes);
	size_t n = 0;

	*points += scene->n;
	for (size_t i = 0; i < scene->n; i++) {
		for (enum medium_policy policy = 0; policy < MEDIUM_POLICIES; policy++) {
			struct medium *image = medium_cut(scene->copies[i], policy, prng_next(scene->prng));
			uint64_t hash = medium_hash(image);

			if (!is_known(hashes, n, hash)) {
				hashes[n++] = hash;
				(void)examine(scene, image, i, policy);
			}
			medium_free(image);
		}
	}
	free(hashes);
}

/* ---- One cut ------------------------------------------------------------------------------------------------------
 */

static const struct scene_state *wanted_state(const struct scene *scene, enum disk_outcome outcome, bool checkpoint) {
	for (size_t i = 0; i < scene->n_states; i++)
		if (scene->states[i].outcome == outcome && scene->states[i].checkpoint == checkpoint)
			return &scene->states[i];
	return NULL;
}

static struct medium *try_cut(struct scene *scene, const struct scene_state *wanted, size_t copy,
			      enum medium_policy policy) {
	struct medium *image = medium_cut(scene->copies[copy], policy, prng_next(scene->prng));
	const struct scene_state *found = examine(scene, image, copy, policy);

	if (found == wanted || !feed_differ(&wanted->disk, &found->disk))
		return image;
	return medium_free(image);
}

struct medium *scene_find(struct scene *scene, enum disk_outcome outcome, bool checkpoint) {
	const struct scene_state *wanted = wanted_state(scene, outcome, checkpoint);
	struct medium *image = NULL;

	for (size_t i = 0; !image && i < GUESSES; i++) {
		size_t copy = prng_range(scene->prng, 0, scene->n - 1);
		image = try_cut(scene, wanted, copy,
				(enum medium_policy)prng_range(scene->prng, 0, MEDIUM_POLICIES - 1));
	}
	for (size_t i = 0; !image && i < scene->n; i++)
		image = try_cut(scene, wanted, outcome == DISK_ALL ? scene->n - 1 - i : i, MEDIUM_LOSE_ALL);
	for (size_t i = 0; !image && i < scene->n; i++)
		image = try_cut(scene, wanted, i, MEDIUM_KEEP_ALL);
	if (!image)
		verdict_fail(VERDICT_SAFETY, "S13 outcome-out-of-reach",
			     "n%u: no power cut in %s leaves the disk as it was %s", scene->node, scene->call,
			     of_state(wanted));
	return image;
}

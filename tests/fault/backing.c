/* SPDX-License-Identifier: Apache-2.0 */
/* lockd-sim-store: behind each disk of the simulator stands the store of lockd on a disk in memory.
 *
 * At every start what the store feeds is held against the model, and a second node that is loaded from it against the
 * node of the simulation. At every crash the calls under way are made, the power is cut at points drawn from the seed,
 * and each thing that is left must be one that the model admits; the one that the model has drawn is what the next
 * process finds. With --points the power is cut at the points of all other calls as well.
 *
 * Checkpoints and saves, which two threads write at the same time, are made one after the other here. */
#include "tests/sim/backing.h"

#include "api/bytes.h"
#include "feed.h"
#include "mount.h"
#include "scene.h"
#include "tests/sim/memory.h"
#include "tests/sim/sim.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

enum {
	FLIPS_TO_DAMAGE_MAX = 2000,
	SEEDS_FOR_STORE_TOTALS = 30,
	RARER = 16, /* than at other calls are the cuts at those that a node makes all the time */
};

const char backing_program[] = "lockd-sim-store";

struct backing {
	struct prng prng;
	struct medium *medium;
	struct store *store; /* NULL: closed, and the medium is mounted nowhere */
	char folder[40];
	struct node_uuid uuid; /* of the store as it was opened last */
	bool opened;
	bool aside; /* and set aside since: the next one stands in its place */
};

enum { FLIPS = 4 };
static struct { uint64_t points, flips; } options = {.flips = FLIPS};

/* ---- Options ------------------------------------------------------------------------------------------------------
 */

bool backing_parse(const char *name, const char *value) {
	uint64_t *option = strcmp(name, "--points") == 0  ? &options.points
			   : strcmp(name, "--flips") == 0 ? &options.flips
							  : NULL;
	char *end;
	unsigned long long number;

	if (!option)
		return false;
	errno = 0;
	number = strtoull(value, &end, 10);
	if (errno || end == value || *end || number > 1000000)
		return false;
	*option = number;
	return true;
}

void backing_usage(FILE *out) {
	fputs("  --points N        cut the power at every N-th point of the calls of the store, by chance, in every "
	      "way;\n"
	      "                    where nothing but entries is written, 16 times rarer; 0: only where the simulation\n"
	      "                    crashes a node (0)\n"
	      "  --flips N         turn so many bits at each crash, one at a time, in a copy of the folder (4)\n",
	      out);
}

void backing_print_options(FILE *out) {
	if (options.points)
		(void)fprintf(out, " --points %" PRIu64, options.points);
	if (options.flips != FLIPS)
		(void)fprintf(out, " --flips %" PRIu64, options.flips);
}

const char *backing_find_zero(const struct totals *totals) {
	if (totals->seeds < SEEDS_FOR_STORE_TOTALS)
		return NULL;
#define STORE_ZERO(name, text)                                                                                         \
	if (totals->name == 0 && (strncmp(#name, "points", 6) != 0 || options.points > 0) &&                           \
	    (strncmp(#name, "flips", 5) != 0 || options.flips > 0) && strcmp(#name, "flips_lagging") != 0)             \
		return text;
	TOTALS_STORE_MAP(STORE_ZERO)
#undef STORE_ZERO
	return NULL;
}

/* ---- Life ---------------------------------------------------------------------------------------------------------
 */

static struct backing *backing_of(struct sim *sim, uint32_t node) {
	return sim_disk(sim, node)->backing;
}

static struct backing *backing_new(struct sim *sim, uint32_t node) {
	struct backing *backing = memory_new(sizeof *backing);

	prng_init(&backing->prng, sim->seed * (SIM_NODES_MAX + 1) + node);
	backing->medium = medium_new();
	return backing;
}

/* As kill -9 would. */
static void backing_abandon(struct backing *backing) {
	backing->store = store_close(backing->store, false);
	mount_remove(backing->medium);
}

struct backing *backing_free(struct backing *backing) {
	if (!backing)
		return NULL;
	backing_abandon(backing);
	medium_free(backing->medium);
	free(backing);
	return NULL;
}

struct backing *backing_copy(const struct backing *backing) {
	struct backing *copy;

	if (!backing)
		return NULL;
	copy = memory_copy(backing, sizeof *backing);
	copy->store = NULL;
	copy->medium = medium_copy(backing->medium);
	return copy;
}

static void backing_mount(struct backing *backing, uint32_t node) {
	char path[24];

	(void)snprintf(path, sizeof path, MOUNT_ROOT "n%u", node);
	(void)snprintf(backing->folder, sizeof backing->folder, "%s/data", path);
	mount_add(path, backing->medium);
	mount_seed(prng_next(&backing->prng));
}

static void must(uint32_t node, int r, const char *what, const struct store_error *error) {
	if (r != 0)
		verdict_fail(VERDICT_SAFETY, "S14 store-fails", "n%u: %s: %d %s", node, what, r, error->text);
}

static struct scene scene_of(struct sim *sim, uint32_t node, const char *call, uint64_t stride) {
	return (struct scene){
		.sim = sim, .node = node, .call = call, .prng = &backing_of(sim, node)->prng, .stride = stride};
}

/* ---- Starting -----------------------------------------------------------------------------------------------------
 */

static bool is_same_uuid(const struct node_uuid *a, const struct node_uuid *b) {
	return memcmp(a, b, sizeof *a) == 0;
}

static void compare_past(struct sim *sim, uint32_t node, const struct backing *backing) {
	const struct host *host = sim_host(sim, node);
	struct store_past past;

	store_get_past(backing->store, &past);
	if (past.n != host->n_past || past.repairs != host->repairs)
		verdict_fail(VERDICT_SAFETY, "S10 store-differs",
			     "n%u: it stands in the place of %zu stores after %u repairs, not of %zu after %u", node,
			     past.n, past.repairs, (size_t)host->n_past, host->repairs);
	if (past.n > 0 && !is_same_uuid(&past.incarnation, &host->past_incarnation))
		verdict_fail(VERDICT_SAFETY, "S10 store-differs", "n%u: the store before was of another cluster", node);
	if (backing->aside && !is_same_uuid(&past.stores[0], &backing->uuid))
		verdict_fail(VERDICT_SAFETY, "S10 store-differs", "n%u: it stands in the place of another store", node);
}

static void compare_store(struct sim *sim, uint32_t node, struct backing *backing, const struct disk *fed) {
	const struct disk *disk = sim_disk(sim, node);
	struct disk wanted;
	struct node_uuid uuid;
	const char *difference;

	disk_foresee(disk, DISK_NOTHING, false, &wanted);
	difference = feed_differ(&wanted, fed);
	disk_deinit(&wanted);
	if (difference)
		verdict_fail(VERDICT_SAFETY, "S10 store-differs", "n%u: %s", node, difference);
	if (store_get_boot_count(backing->store) != disk->boot_count)
		verdict_fail(VERDICT_SAFETY, "S10 store-differs", "n%u: %" PRIu64 " starts instead of %" PRIu64, node,
			     store_get_boot_count(backing->store), disk->boot_count);
	compare_past(sim, node, backing);
	store_get_uuid(backing->store, &uuid);
	if (backing->opened && is_same_uuid(&uuid, &backing->uuid) == backing->aside)
		verdict_fail(VERDICT_SAFETY, "S10 store-differs", "n%u: its uuid is %s", node,
			     backing->aside ? "that of the store before" : "another one");
	backing->uuid = uuid;
	backing->opened = true;
	backing->aside = false;
	sim->totals.store_boots++;
}

/* Two nodes, one loaded by the model and one by the store, have come to the same. */
static void compare_nodes(struct sim *sim, uint32_t node, const struct node *twin) {
	const struct raft *raft = node_raft(sim_host(sim, node)->node, SIM_GROUP), *other = node_raft(twin, SIM_GROUP);
	const struct state *state = node_state(sim_host(sim, node)->node, SIM_GROUP);
	struct raft_status a = {0}, b = {0};
	struct state_hash hash, twin_hash;

	if (node_is_blank(twin) != node_is_blank(sim_host(sim, node)->node))
		verdict_fail(VERDICT_SAFETY, "S15 start-differs", "n%u: one is blank", node);
	if (!raft || !other || !state)
		return;
	raft_get_status(raft, &a);
	raft_get_status(other, &b);
	if (a.term != b.term || a.vote != b.vote || a.last != b.last || a.commit != b.commit)
		verdict_fail(VERDICT_SAFETY, "S15 start-differs",
			     "n%u: term %" PRIu64 " vote %" PRIu32 " last %" PRIu64 " commit %" PRIu64, node, b.term,
			     b.vote, b.last, b.commit);
	hash = state_get_hash(state);
	twin_hash = state_get_hash(node_state(twin, SIM_GROUP));
	if (hash.low != twin_hash.low || hash.high != twin_hash.high)
		verdict_fail(VERDICT_SAFETY, "S15 start-differs", "n%u: another state behind %" PRIu64, node,
			     state_applied(state));
	sim->totals.store_hashes++;
}

void backing_boot(struct sim *sim, uint32_t node, const struct node_config *config, const struct raft_clocks *clocks) {
	struct disk *disk = sim_disk(sim, node), fed;
	struct store_error error;
	struct node *twin;

	if (!disk->backing)
		disk->backing = backing_new(sim, node);
	struct backing *backing = disk->backing;
	struct scene scene = scene_of(sim, node, "store_open", options.points);
	if (node_new(config, &twin) < 0)
		verdict_fail(VERDICT_CRASH, "S8 node-refused", "node %u cannot be made", node);
	backing_mount(backing, node);
	scene_begin(&scene, backing->medium);
	must(node, store_open(backing->folder, &backing->store, &error), "store_open", &error);
	must(node, store_keep_reserve(backing->store, 0, &error), "store_keep_reserve", &error);
	must(node, feed_load(backing->store, twin, &fed, &error), "store_load", &error);
	scene_end(&scene, backing->medium);
	compare_store(sim, node, backing, &fed);
	disk_deinit(&fed);
	if (node_start(twin, clocks) < 0)
		verdict_fail(VERDICT_SAFETY, "S8 start-refused", "node %u: %s", node, node_error(twin));
	compare_nodes(sim, node, twin);
	node_free(twin);
	scene_admit(&scene, DISK_NOTHING, false);
	scene_judge(&scene, &sim->totals.points_opening);
	scene_deinit(&scene);
}

/* ---- Writing ------------------------------------------------------------------------------------------------------
 */

static uint64_t *points_of(struct totals *totals, const struct node_save *saves, size_t n) {
	bool truncates = false, votes = false, trims = false;

	for (size_t i = 0; i < n; i++) {
		truncates |= saves[i].truncate_from != 0;
		votes |= saves[i].hard;
		trims |= saves[i].trim_to != 0;
		if (saves[i].identity)
			return &totals->points_founding;
		if (saves[i].install)
			return saves[i].keep_suffix ? &totals->points_keeping : &totals->points_installing;
	}
	return truncates ? &totals->points_truncating
	       : votes   ? &totals->points_voting
	       : trims   ? &totals->points_trimming
			 : &totals->points_writing;
}

/* What a seed may not do at all is looked at wherever it happens. */
static uint64_t stride_of(const struct totals *totals, const uint64_t *points) {
	if (points == &totals->points_writing)
		return RARER * options.points;
	return points == &totals->points_keeping || points == &totals->points_truncating ? options.points > 0
											 : options.points;
}

/* The storage thread uses its pauses. */
static void idle(struct sim *sim, uint32_t node) {
	struct backing *backing = backing_of(sim, node);
	struct scene scene = scene_of(sim, node, "store_idle", RARER * options.points);
	struct store_error error;

	scene_begin(&scene, backing->medium);
	must(node, store_idle(backing->store, &error), "store_idle", &error);
	scene_end(&scene, backing->medium);
	if (scene.n > 0) {
		scene_admit(&scene, DISK_ALL, false);
		scene_judge(&scene, &sim->totals.points_idling);
	}
	scene_deinit(&scene);
}

static struct node_save *batch_of(const struct disk *disk) {
	struct node_save *saves = memory_new(disk->in_flight * sizeof *saves);

	for (size_t i = 0; i < disk->in_flight; i++)
		saves[i] = *disk_under_way(disk, i);
	return saves;
}

void backing_write(struct sim *sim, uint32_t node) {
	const struct disk *disk = sim_disk(sim, node);
	struct backing *backing = disk->backing;
	struct node_save *saves = batch_of(disk);
	uint64_t *points = points_of(&sim->totals, saves, disk->in_flight);
	struct scene scene = scene_of(sim, node, "store_write", stride_of(&sim->totals, points));
	struct store_error error;

	scene_begin(&scene, backing->medium);
	must(node, store_write(backing->store, saves, disk->in_flight, &error), "store_write", &error);
	scene_end(&scene, backing->medium);
	sim->totals.store_writes++;
	if (scene.n > 0) {
		scene_admit(&scene, DISK_NOTHING, false);
		scene_admit(&scene, DISK_HARD, false);
		scene_admit(&scene, DISK_ALL, false);
		scene_judge(&scene, points);
	}
	scene_deinit(&scene);
	free(saves);
	if (!disk_under_way(disk, disk->in_flight))
		idle(sim, node);
}

static void checkpoint_once(struct scene *scene, struct backing *backing) {
	const struct disk *disk = sim_disk(scene->sim, scene->node);
	struct store_error error;

	must(scene->node, store_checkpoint(backing->store, disk->checkpointing, &error), "store_checkpoint", &error);
}

void backing_checkpoint(struct sim *sim, uint32_t node) {
	struct backing *backing = backing_of(sim, node);
	struct scene scene = scene_of(sim, node, "store_checkpoint", options.points);

	scene_begin(&scene, backing->medium);
	checkpoint_once(&scene, backing);
	scene_end(&scene, backing->medium);
	sim->totals.store_checkpoints++;
	if (scene.n > 0) {
		scene_admit(&scene, DISK_NOTHING, false);
		scene_admit(&scene, DISK_NOTHING, true);
		scene_judge(&scene, &sim->totals.points_checkpointing);
	}
	scene_deinit(&scene);
}

/* ---- Snapshots ----------------------------------------------------------------------------------------------------
 */

static bool has_bytes(int fd, off_t *at, const void *bytes, size_t n, XXH3_state_t *digest) {
	uint8_t *found = memory_new(n + 1);
	bool same = pread(fd, found, n, *at) == (ssize_t)n && (n == 0 || memcmp(found, bytes, n) == 0);

	(void)XXH3_128bits_update(digest, found, n); /* fails only for NULL */
	*at += (off_t)n;
	free(found);
	return same;
}

static bool is_whole(const struct disk_checkpoint *checkpoint, const struct store_snapshot *snapshot) {
	XXH3_state_t *digest = XXH3_createState();
	XXH128_canonical_t canonical;
	bool whole = digest && snapshot->index == checkpoint->index && snapshot->rows == checkpoint->n &&
		     snapshot->header_bytes == checkpoint->header.n &&
		     memcmp(snapshot->header, checkpoint->header.bytes, snapshot->header_bytes) == 0;
	off_t at = 0;

	(void)XXH3_128bits_reset(digest);
	(void)XXH3_128bits_update(digest, snapshot->header, snapshot->header_bytes);
	for (size_t i = 0; whole && i < checkpoint->n; i++) {
		const struct node_bytes *record = &checkpoint->rows[i].record;
		uint8_t length[4];

		bytes_put_u32(length, (uint32_t)record->n);
		whole = has_bytes(snapshot->fd, &at, length, sizeof length, digest) &&
			has_bytes(snapshot->fd, &at, record->bytes, record->n, digest);
	}
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(digest));
	XXH3_freeState(digest);
	return whole && snapshot->bytes == (uint64_t)at &&
	       memcmp(canonical.digest, snapshot->digest, sizeof snapshot->digest) == 0;
}

void backing_send(struct sim *sim, uint32_t node) {
	struct backing *backing = backing_of(sim, node);
	struct scene scene = scene_of(sim, node, "store_snapshot", options.points);
	struct store_snapshot snapshot;
	struct store_error error;

	scene_begin(&scene, backing->medium);
	must(node, store_snapshot(backing->store, SIM_GROUP, &snapshot, &error), "store_snapshot", &error);
	scene_end(&scene, backing->medium);
	if (!is_whole(&sim_disk(sim, node)->checkpoint, &snapshot) ||
	    store_get_checkpoint_index(backing->store, SIM_GROUP) != snapshot.index)
		verdict_fail(VERDICT_SAFETY, "S16 snapshot-differs",
			     "n%u: the snapshot of %" PRIu64 " is not the checkpoint of %" PRIu64, node, snapshot.index,
			     sim_disk(sim, node)->checkpoint.index);
	sim->totals.store_snapshots++;
	scene_admit(&scene, DISK_NOTHING, false);
	scene_judge(&scene, &sim->totals.points_sending);
	scene_deinit(&scene);
	close(snapshot.fd);
	free(snapshot.header);
}

/* ---- Damage -------------------------------------------------------------------------------------------------------
 */

/* One bit of a file of the folder, the lock aside, in which nothing is stored. */
static void turn_bit(struct medium *medium, struct prng *prng, char ret_name[64]) {
	int folder = medium_find(medium, MEDIUM_ROOT, "data"), file;
	const char *name;
	size_t n = 0;

	while (medium_get_name(medium, folder, n))
		n++;
	do {
		name = medium_get_name(medium, folder, prng_range(prng, 0, n - 1));
		file = medium_find(medium, folder, name);
	} while (medium_is_folder(medium, file) || strcmp(name, "lock") == 0 || medium_get_bytes(medium, file) == 0);
	(void)snprintf(ret_name, 64, "%s", name);
	medium_rot(medium, file, prng_range(prng, 0, medium_get_bytes(medium, file) - 1),
		   (uint8_t)(1 << prng_range(prng, 0, 7)));
}

/* An older checkpoint is one that the cluster has had: whoever applied as much came to the same state. */
static bool is_of_cluster(struct sim *sim, uint32_t node, const struct medium *image) {
	const struct node_config config = {
		.node = node, .store = sim_host(sim, node)->store, .timing = sim->plan.timing, .version = "simulated"};
	const struct checker_place *place;
	const struct state *state;
	struct store_error error;
	struct state_hash hash;
	struct node *twin;
	struct disk found;
	bool same = false;

	if (node_new(&config, &twin) < 0)
		return false;
	if (scene_look(image, twin, &found, &error) == 0 && node_start(twin, &(struct raft_clocks){0}) == 0) {
		state = node_state(twin, SIM_GROUP);
		place = state && state_applied(state) < sim->checker_raft.places_size
				? &sim->checker_raft.places[state_applied(state)]
				: NULL;
		hash = state ? state_get_hash(state) : (struct state_hash){0};
		same = !place || !place->hashed || (place->hash.low == hash.low && place->hash.high == hash.high);
	}
	disk_deinit(&found);
	node_free(twin);
	return same;
}

static void judge_flip(struct sim *sim, uint32_t node, const struct medium *image, const struct disk *wanted,
		       const char *name) {
	struct totals *totals = &sim->totals;
	struct store_error error;
	struct disk found;
	int r = scene_look(image, NULL, &found, &error);
	const char *difference = r == 0 ? feed_differ(wanted, &found) : NULL;

	totals->flips++;
	if (r != 0 && r != -EBADMSG)
		verdict_fail(VERDICT_SAFETY, "S12 cut-refused", "n%u: a bit of %s has turned: %d %s", node, name, r,
			     error.text);
	if (r != 0)
		totals->flips_refused++;
	else if (!difference)
		totals->flips_harmless++;
	else if (feed_lags(wanted, &found) && is_of_cluster(sim, node, image))
		totals->flips_lagging++;
	else
		verdict_fail(VERDICT_SAFETY, "P10 damage-served", "n%u: a bit of %s has turned: %s", node, name,
			     difference);
	disk_deinit(&found);
}

/* The process has died and the page cache is whole: with the power gone as well, what was written last could be lost
 * twice, in the log and in the watermark (docs/adr/0003). */
static void turn_bits(struct sim *sim, uint32_t node, struct backing *backing) {
	struct disk wanted;
	char name[64];

	disk_foresee(sim_disk(sim, node), DISK_NOTHING, false, &wanted);
	for (uint64_t i = 0; i < options.flips; i++) {
		struct medium *image = medium_copy(backing->medium);

		turn_bit(image, &backing->prng, name);
		judge_flip(sim, node, image, &wanted, name);
		medium_free(image);
	}
	disk_deinit(&wanted);
}

static bool is_refused(const struct medium *image) {
	struct store_error error;
	struct disk found;
	int r = scene_look(image, NULL, &found, &error);

	disk_deinit(&found);
	return r == -EBADMSG;
}

/* A store that is blank in the place of another knows from the file `past` alone where it belongs; without that only an
 * operator can help (docs/adr/0010). */
static bool can_be_named(const struct disk *disk, const char *damaged) {
	return disk->has_identity || strcmp(damaged, "past") != 0;
}

static struct medium *damaged_copy(struct sim *sim, uint32_t node) {
	struct backing *backing = backing_of(sim, node);
	char name[64];

	for (int i = 0; i < FLIPS_TO_DAMAGE_MAX; i++) {
		struct medium *image = medium_copy(backing->medium);

		turn_bit(image, &backing->prng, name);
		if (can_be_named(sim_disk(sim, node), name) && is_refused(image))
			return image;
		medium_free(image);
	}
	verdict_fail(VERDICT_SAFETY, "P10 damage-unseen", "n%u: none of %d bits matters", node, FLIPS_TO_DAMAGE_MAX);
}

/* Before it has begun the folder is damaged, and from then on blank. */
static void judge_aside(struct sim *sim, uint32_t node, const struct scene *scene) {
	for (size_t i = 0; i < scene->n; i++) {
		for (enum medium_policy policy = 0; policy < MEDIUM_POLICIES; policy++) {
			struct medium *image = medium_cut(scene->copies[i], policy, prng_next(scene->prng));
			struct disk found, blank = {0};
			struct store_error error;
			int r = scene_look(image, NULL, &found, &error);

			if (r != -EBADMSG && (r != 0 || feed_differ(&blank, &found)))
				verdict_fail(VERDICT_SAFETY, "S12 cut-refused",
					     "n%u: the power fails while the folder is set aside: %d %s", node, r,
					     r ? error.text : feed_differ(&blank, &found));
			sim->totals.images++;
			disk_deinit(&found);
			medium_free(image);
		}
	}
	sim->totals.points_aside += scene->n;
}

struct backing *backing_damage(struct sim *sim, uint32_t node) {
	struct backing *backing = backing_of(sim, node), *aside = memory_copy(backing, sizeof *backing);
	struct scene scene = scene_of(sim, node, "store_set_aside", options.points);
	struct store_error error;

	aside->medium = damaged_copy(sim, node);
	aside->aside = true;
	backing_mount(aside, node);
	if (store_open(aside->folder, &aside->store, &error) == 0)
		aside->store = store_close(aside->store, false); /* what is damaged is read later */
	scene_begin(&scene, aside->medium);
	must(node, store_set_aside(aside->folder, "a bit has turned", &error), "store_set_aside", &error);
	scene_end(&scene, aside->medium);
	mount_remove(aside->medium);
	judge_aside(sim, node, &scene);
	scene_deinit(&scene);
	sim->totals.asides++;
	return aside;
}

/* ---- Ending -------------------------------------------------------------------------------------------------------
 */

void backing_stop(struct sim *sim, uint32_t node) {
	const struct disk *disk = sim_disk(sim, node);
	struct backing *backing = disk->backing;
	struct scene scene = scene_of(sim, node, "store_close", options.points);

	if (disk->writing || disk->checkpointing)
		return;
	scene_begin(&scene, backing->medium);
	backing->store = store_close(backing->store, true);
	scene_end(&scene, backing->medium);
	mount_remove(backing->medium);
	sim->totals.store_stops++;
	scene_admit(&scene, DISK_NOTHING, false);
	scene_judge(&scene, &sim->totals.points_closing);
	scene_deinit(&scene);
}

/* What is under way, whole; what is to be left whole comes first, so that the rest can be left out. */
static void finish(struct scene *scene, struct backing *backing, enum disk_outcome outcome, bool checkpoint) {
	const struct disk *disk = sim_disk(scene->sim, scene->node);
	struct node_save *saves = batch_of(disk);
	bool checkpoint_first = checkpoint && outcome != DISK_ALL;
	struct store_error error;

	scene_begin(scene, backing->medium);
	if (disk->checkpointing && checkpoint_first)
		checkpoint_once(scene, backing);
	if (disk->writing)
		must(scene->node, store_write(backing->store, saves, disk->in_flight, &error), "store_write", &error);
	if (disk->checkpointing && !checkpoint_first)
		checkpoint_once(scene, backing);
	scene_end(scene, backing->medium);
	free(saves);
}

static void admit_all(struct scene *scene) {
	const struct disk *disk = sim_disk(scene->sim, scene->node);

	for (int checkpoint = 0; checkpoint <= (disk->checkpointing != NULL); checkpoint++) {
		scene_admit(scene, DISK_NOTHING, checkpoint);
		if (!disk->writing)
			continue;
		scene_admit(scene, DISK_HARD, checkpoint);
		scene_admit(scene, DISK_ALL, checkpoint);
	}
}

void backing_crash(struct sim *sim, uint32_t node, enum disk_outcome outcome, bool checkpoint) {
	struct backing *backing = backing_of(sim, node);
	struct scene scene = scene_of(sim, node, "a crash", 1);
	struct medium *left;

	if (!backing->store)
		return;
	turn_bits(sim, node, backing);
	finish(&scene, backing, outcome, checkpoint);
	admit_all(&scene);
	left = scene_find(&scene, outcome, checkpoint);
	scene_deinit(&scene);
	backing_abandon(backing);
	medium_free(backing->medium);
	backing->medium = left;
	sim->totals.store_crashes++;
}

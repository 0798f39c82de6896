/* SPDX-License-Identifier: Apache-2.0 */
/* `lockd check` on folders that a real node has written: what it says agrees with what a node does, and nothing
 * changes. */
#include "lockd/io/examination.h"

#include "lockd/io/founding.h"
#include "lockd/io/recovery.h"
#include "lockd/io/twin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <cmocka.h>

static const struct raft_timing timing = {
	.heartbeat = 50000, .election_min = 400000, .election_max = 800000, .check_quorum = 400000, .stagger = 25000};
static char base[64], folder[96];
static struct examination found;
static struct store_error error;

/* ---- A folder -----------------------------------------------------------------------------------------------------
 */

static int load(struct store **ret_store, struct node **ret_node) {
	struct node_config config = {.node = 1, .timing = timing};
	struct raft_clocks clocks = {.mono = 1000000, .boot = 1000000};
	struct store *store;
	int r = store_open(folder, &store, &error);

	if (r != 0)
		return r;
	store_get_uuid(store, &config.store);
	assert_int_equal(node_new(&config, ret_node), 0);
	r = store_load(store, *ret_node, &error);
	if (r == 0)
		r = node_start(*ret_node, &clocks);
	if (r != 0) {
		*ret_node = node_free(*ret_node);
		store_close(store, false);
		return r;
	}
	*ret_store = store;
	return 0;
}

/* Of nodes 1 (this one), 2 and 3: the first entry. */
static void found_cluster(void) {
	struct peers peers = {.own = {.blank = true, .node = 1, .peer_address = "a:1", .client_address = "b:1"}};
	struct raft_clocks clocks = {.mono = 2000000, .boot = 2000000};
	struct founding founding;
	struct node_effects effects;
	struct events events = {0};
	struct store *store;
	struct node *node;

	assert_int_equal(load(&store, &node), 0);
	store_get_uuid(store, &peers.own.store);
	peer_table_init(&peers.table);
	for (uint32_t i = 2; i <= 3; i++) {
		struct peer *peer = peer_table_add(&peers.table, i, PEER_LISTED, "a:2", "b:2");

		peer->met = peer->hello.blank = true;
		peer->hello.store.bytes[0] = (uint8_t)i;
	}
	founding_init(&founding, 200, 100000);
	founding_tick(&founding, &peers, &events);
	events.all[0].epoch = 3;
	node_step(node, &clocks, events.all, events.n, &effects);
	assert_true(effects.n_saves > 0);
	assert_int_equal(store_write(store, effects.saves, effects.n_saves, &error), 0);
	founding_deinit(&founding);
	events_deinit(&events);
	peer_table_deinit(&peers.table);
	node_free(node);
	store_close(store, true);
}

/* Brings a checkpoint, and a log that begins behind it. */
static void recover(void) {
	struct recovery_config config = {.node = 1,
					 .data = folder,
					 .peer_address = "a:9",
					 .client_address = "b:9",
					 .timing = timing,
					 .confirmed = true};
	struct recovery_error recovery_error;
	char *said;
	size_t n;
	FILE *out = open_memstream(&said, &n);

	assert_int_equal(recovery_run(&config, out, &recovery_error), 0);
	fclose(out);
	free(said);
}

static int set_up(void **state) {
	(void)state;
	snprintf(base, sizeof base, "%s/lockd-check-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(base));
	snprintf(folder, sizeof folder, "%s/data", base);
	found_cluster();
	return 0;
}

static int tear_down(void **state) {
	char command[128];

	(void)state;
	examination_deinit(&found);
	snprintf(command, sizeof command, "rm -rf %s", base);
	return system(command);
}

static void path_of(const char *name, char out[160]) {
	snprintf(out, 160, "%s/%s", folder, name);
}

static size_t size_of(const char *name) {
	struct stat stat_buffer;
	char path[160];

	path_of(name, path);
	return stat(path, &stat_buffer) == 0 ? (size_t)stat_buffer.st_size : 0;
}

static void flip(const char *name, size_t at, uint8_t mask) {
	char path[160];
	uint8_t byte;
	int fd;

	path_of(name, path);
	fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
	byte ^= mask;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
	close(fd);
}

static void shell(const char *format, const char *name) {
	char command[512];

	(void)snprintf(command, sizeof command, "cd %s && ", base);
	(void)snprintf(command + strlen(command), sizeof command - strlen(command), "%s %s", format, name);
	assert_int_equal(system(command), 0);
}

/* Names, bytes and times of everything in the folder. */
static XXH64_hash_t fingerprint(void) {
	static uint8_t bytes[1 << 20];
	struct dirent **names;
	XXH64_hash_t sum = 0;
	int n = scandir(folder, &names, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		struct stat stat_buffer;
		char path[400];
		int fd;
		ssize_t got;

		(void)snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
		assert_int_equal(stat(path, &stat_buffer), 0);
		fd = open(path, O_RDONLY);
		got = S_ISREG(stat_buffer.st_mode) ? read(fd, bytes, sizeof bytes) : 0;
		close(fd);
		if (strcmp(names[i]->d_name, "..") != 0) {
			sum = XXH64(path, strlen(path), sum);
			sum = XXH64(&stat_buffer.st_mtim, sizeof stat_buffer.st_mtim, sum);
			sum = XXH64(bytes, (size_t)got, sum);
		}
		free(names[i]);
	}
	free(names);
	return sum;
}

static int examine(void) {
	XXH64_hash_t before = fingerprint(), after;
	int r;

	examination_deinit(&found);
	r = examination_run(folder, &found, &error);
	after = fingerprint();
	assert_int_equal(before, after);
	return r;
}

static bool has_finding(bool damage, const char *part, const char *text) {
	for (size_t i = 0; i < found.n_findings; i++)
		if (found.findings[i].damage == damage && strcmp(found.findings[i].part, part) == 0 &&
		    strstr(found.findings[i].sentence, text))
			return true;
	return false;
}

static void expect_finding(bool damage, const char *part, const char *text) {
	if (has_finding(damage, part, text))
		return;
	examination_print(&found, stderr);
	fail_msg("nothing of %s says '%s'", part, text);
}

/* ---- Tests --------------------------------------------------------------------------------------------------------
 */

static void test_examination__refuses_what_is_no_data_folder(void **state) {
	(void)state;
	snprintf(folder, sizeof folder, "%s/nowhere", base);
	assert_int_equal(examination_run(folder, &found, &error), -ENOENT);
	assert_int_equal(mkdir(folder, 0700), 0);
	assert_int_equal(examine(), -ENOENT);
	assert_non_null(strstr(error.text, "nowhere is no data folder of a node"));
	shell("touch", "file");
	snprintf(folder, sizeof folder, "%s/file", base);
	assert_int_equal(examination_run(folder, &found, &error), -ENOTDIR);
}

static void test_examination__refuses_a_folder_in_use(void **state) {
	struct store *store;
	struct node *node;
	char pid[32];

	(void)state;
	assert_int_equal(load(&store, &node), 0);
	(void)snprintf(pid, sizeof pid, "in use by process %d", (int)getpid());
	assert_int_equal(examination_run(folder, &found, &error), -EBUSY);
	assert_non_null(strstr(error.text, pid));
	node_free(node);
	store_close(store, true);
	assert_int_equal(examine(), 0);
}

static void test_examination__tells_what_a_sound_folder_holds(void **state) {
	(void)state;
	assert_int_equal(examine(), 0);
	assert_int_equal(found.n_damages, 0);
	assert_int_equal(found.verdict, EXAMINATION_STARTS);
	assert_int_equal(found.node, 1);
	assert_int_equal(found.n_members, 3);
	assert_string_equal(found.members[1].member.peer_address, "a:2");
	assert_int_equal(found.last, 1);
	assert_int_equal(found.n_log_groups, 1);
	assert_int_equal(found.n_state_groups, 0);

	recover();
	assert_int_equal(examine(), 0);
	assert_int_equal(found.n_damages, 0);
	assert_int_equal(found.n_members, 1);
	assert_int_equal(found.n_state_groups, 1);
	assert_int_equal(found.state_rows[0], found.state_groups[0].rows);
}

/* Flips a bit of the last occurrence. */
static void flip_text(const char *name, const char *text) {
	static char bytes[1 << 20];
	size_t n = strlen(text), found_at = 0, end;
	char path[160];
	int fd;

	path_of(name, path);
	fd = open(path, O_RDONLY);
	end = (size_t)read(fd, bytes, sizeof bytes);
	close(fd);
	for (size_t i = 0; i + n <= end; i++)
		if (memcmp(bytes + i, text, n) == 0)
			found_at = i;
	assert_true(found_at > 0);
	flip(name, found_at, 1);
}

static void test_examination__finds_all_that_is_damaged(void **state) {
	(void)state;
	recover();
	shell("cd data && rm raft.db-wal", "state.db-wal"); /* it was stopped cleanly, so nothing is in them */
	assert_int_equal(examine(), 0);
	assert_int_equal(found.n_damages, 0);

	flip("superblock", 300, 1);
	flip("superblock", 4096 + 300, 1);
	flip("superblock", 8192 + 3, 1);
	flip("superblock", 8192 + 32768 + 3, 1);
	flip_text("state.db", "b:9");
	flip_text("raft.db", "CREATE TABLE meta");
	assert_int_equal(examine(), 0);
	assert_int_equal(found.newest_slot, -1);
	expect_finding(true, "superblock", "neither of its slots has a valid checksum");
	expect_finding(true, "superblock", "watermark 0 has no valid checksum");
	expect_finding(true, "raft.db", "raft.db");
	expect_finding(true, "state.db", "in the checkpoint of group 1");
	assert_int_equal(found.verdict, EXAMINATION_REFUSED); /* nothing is left that says whose it was */
	assert_non_null(strstr(found.reason, "nothing that can be read in"));
}

static void test_examination__bears_one_bad_slot(void **state) {
	int older;

	(void)state;
	assert_int_equal(examine(), 0);
	older = 1 - found.newest_slot;
	flip("superblock", (size_t)older * 4096 + 300, 1);
	assert_int_equal(examine(), 0);
	assert_int_equal(found.n_damages, 0);
	expect_finding(false, "superblock", "has no valid checksum: a power cut may have left it so");
	assert_int_equal(found.verdict, EXAMINATION_STARTS);
}

static void test_examination__tells_lost_entries_from_what_was_acknowledged(void **state) {
	(void)state;
	shell("cd data && rm", "raft.db-wal");
	shell("cd data && truncate -s 0", "raft.db");
	assert_int_equal(examine(), 0);
	assert_int_equal(found.verdict, EXAMINATION_SET_ASIDE);
	assert_true(found.n_damages > 0);
}

static void test_examination__knows_an_old_copy(void **state) {
	(void)state;
	shell("echo node 1 was heard to say more > data/old-copy #", "");
	assert_int_equal(examine(), 0);
	assert_int_equal(found.verdict, EXAMINATION_REFUSED);
	assert_true(found.mark_of_old_copy);
	assert_int_equal(found.n_damages, 0);
	assert_non_null(strstr(found.reason, "node 1 was heard to say more"));
	assert_non_null(strstr(found.reason, folder));
}

static struct twin twin;
static bool interrupted, interrupted_early;

static void on_interrupt(int number) {
	(void)number;
	interrupted = true;
	interrupted_early = twin.path && access(twin.path, F_OK) == 0;
}

static void test_examination__cleans_up_before_it_is_interrupted(void **state) {
	(void)state;
	assert_true(signal(SIGINT, on_interrupt) != SIG_ERR);
	assert_int_equal(twin_open(&twin, folder, &error), 0);
	assert_int_equal(raise(SIGINT), 0);
	assert_false(interrupted);
	twin_close(&twin);
	assert_true(interrupted);
	assert_false(interrupted_early);
	assert_true(signal(SIGINT, SIG_DFL) != SIG_ERR);
}

static void test_examination__reads_what_was_set_aside(void **state) {
	(void)state;
	assert_int_equal(store_set_aside(folder, "a reason", &error), 0);
	assert_int_equal(examine(), 0);
	assert_int_equal(found.verdict, EXAMINATION_BLANK);
	assert_int_equal(found.past.repairs, 1);
	assert_string_equal(found.past.reason, "a reason");
	expect_finding(false, "folder", "damaged-1 holds files that were found damaged");

	snprintf(folder, sizeof folder, "%s/data/damaged-1", base);
	assert_int_equal(examine(), 0);
	assert_int_equal(found.n_members, 3);
	assert_int_equal(found.last, 1);
}

static void test_examination__knows_a_folder_that_was_being_created(void **state) {
	struct superblock superblock;
	struct folder place;

	(void)state;
	snprintf(folder, sizeof folder, "%s/half", base);
	assert_int_equal(folder_open(&place, folder, &error), 0);
	assert_int_equal(superblock_create(&superblock, &place, &error), 0);
	superblock_close(&superblock);
	folder_close(&place);
	assert_int_equal(examine(), 0);
	assert_int_equal(found.n_damages, 0);
	assert_int_equal(found.verdict, EXAMINATION_BLANK);
	expect_finding(false, "superblock", "was being created and holds nothing yet");
}

/* Only the next restore reads the mark; the rest may be anything. */
static void test_examination__knows_a_restore_that_was_interrupted(void **state) {
	struct store *store;
	struct folder place;
	char path[160];

	(void)state;
	snprintf(folder, sizeof folder, "%s/restoring", base);
	assert_int_equal(folder_open(&place, folder, &error), 0);
	assert_int_equal(folder_claim(&place, "restoring", &error), 0);
	folder_close(&place);
	assert_int_equal(examine(), 0);
	assert_int_equal(found.verdict, EXAMINATION_REFUSED);
	assert_non_null(strstr(found.reason, "run `lockd restore` again"));

	assert_int_equal(store_open_to_restore(folder, &store, &error), 0);
	store_close(store, false);
	path_of("raft.db", path);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(examine(), 0);
	assert_int_equal(found.verdict, EXAMINATION_REFUSED);
	assert_non_null(strstr(found.reason, "run `lockd restore` again"));
	assert_non_null(strstr(found.reason, folder));
	assert_int_equal(found.n_findings, 0);
}

static void test_examination__names_a_transaction_that_was_never_completed(void **state) {
	uint8_t frame[24 + 4096];
	struct store *store;
	struct node *node;
	char path[160];
	size_t end;
	int fd;

	(void)state;
	assert_int_equal(load(&store, &node), 0); /* a start is counted: one commit in a new round of the WAL */
	node_free(node);
	store_close(store, false);
	assert_int_equal(examine(), 0);
	end = 32 + found.log.wal.committed * sizeof frame;
	path_of("raft.db-wal", path);
	fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, frame, sizeof frame, (off_t)(end - sizeof frame)), sizeof frame);
	frame[100] ^= 1;
	assert_int_equal(pwrite(fd, frame, sizeof frame, (off_t)end), sizeof frame);
	close(fd);
	assert_int_equal(examine(), 0);
	assert_int_equal(found.n_damages, 0);
	assert_int_equal(found.verdict, EXAMINATION_STARTS);
	expect_finding(false, "raft.db-wal", "was not acknowledged, and the next start drops it");
}

/* The superblock has the identity of a recovery that got no further. */
static void test_examination__knows_a_recovery_that_was_interrupted(void **state) {
	struct superblock superblock;
	struct folder place;

	(void)state;
	assert_int_equal(folder_open(&place, folder, &error), 0);
	assert_int_equal(superblock_open(&superblock, &place, &error), 0);
	superblock_set_identity(&superblock, &(struct node_uuid){{0xcd}}, superblock.epoch + 1);
	assert_int_equal(superblock_write(&superblock, &error), 0);
	superblock_close(&superblock);
	folder_close(&place);
	assert_int_equal(examine(), 0);
	assert_int_equal(found.verdict, EXAMINATION_REFUSED);
	assert_int_equal(found.n_damages, 0);
	assert_non_null(strstr(found.reason, "a forced recovery of"));
	assert_non_null(strstr(found.reason, "run `lockd recover` again"));
}

static void test_examination__prints_for_programs(void **state) {
	json_t *object;
	char *text;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	(void)state;
	assert_int_equal(examine(), 0);
	assert_int_equal(examination_print_json(&found, out), 0);
	fclose(out);
	object = json_loads(text, 0, NULL);
	assert_non_null(object);
	assert_string_equal(json_string_value(json_object_get(object, "verdict")), "starts");
	assert_true(json_is_false(json_object_get(object, "damaged")));
	assert_int_equal(json_array_size(json_object_get(json_object_get(object, "content"), "members")), 3);
	assert_non_null(json_object_get(json_object_get(object, "superblock"), "slots"));
	json_decref(object);
	free(text);
}

/* Wherever a bit is flipped: damage is reported exactly where a node refuses the folder. */
static void agree_on(const char *name, size_t stride, unsigned *refused, unsigned *sound) {
	size_t bytes;

	shell("rm -rf data && cp -a whole", "data");
	bytes = size_of(name);
	for (size_t at = 0; at < bytes; at += stride) {
		struct store *store;
		struct node *node;
		int r;

		shell("rm -rf data && cp -a whole", "data");
		flip(name, at, (uint8_t)(1u << at % 8));
		assert_int_equal(examine(), 0);
		r = load(&store, &node);
		if (r == 0) {
			node_free(node);
			store_close(store, false);
		}
		++*(r == 0 ? sound : refused);
		if ((found.n_damages > 0) != (r != 0) || (found.verdict == EXAMINATION_STARTS) != (r == 0)) {
			examination_print(&found, stderr);
			fail_msg("byte %zu of %s: lockd says %d %s", at, name, r, r == 0 ? "" : error.text);
		}
	}
}

static void test_examination__agrees_with_a_node(void **state) {
	unsigned refused = 0, sound = 0;

	(void)state;
	recover();
	shell("cp -a data", "whole");
	agree_on("superblock", 1511, &refused, &sound);
	agree_on("raft.db", 397, &refused, &sound);
	agree_on("raft.db-wal", 1511, &refused, &sound);
	agree_on("state.db", 397, &refused, &sound);
	agree_on("state.db-wal", 1511, &refused, &sound);
	shell("rm whole/raft.db-wal", "whole/state.db-wal");
	agree_on("raft.db", 211, &refused, &sound);
	agree_on("state.db", 211, &refused, &sound);
	print_message("%u places refused, %u sound, and the same was said of each\n", refused, sound);
	assert_true(refused > 20);
	assert_true(sound > 20);
}

#define test(name) cmocka_unit_test_setup_teardown(test_examination__##name, set_up, tear_down)

int main(void) {
	const struct CMUnitTest tests[] = {
		test(refuses_what_is_no_data_folder),
		test(refuses_a_folder_in_use),
		test(finds_all_that_is_damaged),
		test(tells_lost_entries_from_what_was_acknowledged),
		test(knows_an_old_copy),
		test(cleans_up_before_it_is_interrupted),
		test(reads_what_was_set_aside),
		test(knows_a_folder_that_was_being_created),
		test(knows_a_recovery_that_was_interrupted),
		test(bears_one_bad_slot),
		test(knows_a_restore_that_was_interrupted),
		test(names_a_transaction_that_was_never_completed),
		test(tells_what_a_sound_folder_holds),
		test(prints_for_programs),
		test(agrees_with_a_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

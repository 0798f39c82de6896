/* SPDX-License-Identifier: Apache-2.0 */
/* Restores of a small backup: every way in which the file can be wrong, every place where the process can end, and what
 * is there afterwards. */
#include "lockd/io/restoration.h"

#include "api/archive.h"
#include "api/bytes.h"
#include "api/command.pb-c.h"
#include "api/record.pb-c.h"
#include "lockd/io/clock.h"
#include "lockd/io/peers.h"
#include "lockd/state/state.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>

enum { EPOCH = 3 };

static const struct raft_timing timing = {
	.heartbeat = 50000, .election_min = 400000, .election_max = 800000, .check_quorum = 400000, .stagger = 25000};
static char base[64], folder[96], file[96];
static struct recovery_config config;
static struct recovery_error error;
static char *said;
static uint8_t backup[8192];
static size_t backup_bytes;
static uint64_t last_token;

/* ---- A backup -----------------------------------------------------------------------------------------------------
 */

static void apply(struct state *state, const Command__Command *command) {
	Command__Command copy = *command, *commands[1] = {&copy};
	Command__Batch batch = COMMAND__BATCH__INIT;
	const struct state_outcome *outcomes;
	uint8_t packed[512];
	size_t n;

	batch.commands = commands;
	batch.n_commands = 1;
	n = command__batch__pack(&batch, packed);
	assert_int_equal(
		state_apply(state, state_applied(state) + 1, state_applied_term(state) + 1, packed, n, &outcomes, &n),
		0);
}

static uint64_t open_session(struct state *state, const char nonce[16]) {
	Command__Command command = COMMAND__COMMAND__INIT;
	Command__Open open = COMMAND__OPEN__INIT;
	struct state_session session = {0};
	uint64_t last = 0;

	open.nonce = (ProtobufCBinaryData){.len = 16, .data = (uint8_t *)nonce};
	open.ttl_ms = 10000;
	open.owner = (ProtobufCBinaryData){.len = 2, .data = (uint8_t *)"me"};
	command.body_case = COMMAND__COMMAND__BODY_OPEN;
	command.open = &open;
	apply(state, &command);
	while (state_next_session(state, session.id, &session))
		last = session.id;
	return last;
}

static void acquire(struct state *state, uint64_t opened) {
	Command__Command command = COMMAND__COMMAND__INIT;
	Command__SessionId session = COMMAND__SESSION_ID__INIT;
	Command__Acquire body = COMMAND__ACQUIRE__INIT;

	session.epoch = EPOCH;
	session.group = PEERS_GROUP;
	session.opened = opened;
	body.name = (ProtobufCBinaryData){.len = 4, .data = (uint8_t *)"lock"};
	body.wait_ms = 60000;
	command.session = &session;
	command.sequence = command.floor = 1;
	command.body_case = COMMAND__COMMAND__BODY_ACQUIRE;
	command.acquire = &body;
	apply(state, &command);
}

static size_t pack_configuration(uint8_t *out) {
	Command__Configuration configuration = COMMAND__CONFIGURATION__INIT;
	Command__Member member = COMMAND__MEMBER__INIT, *members[1] = {&member};

	member.node = 5;
	member.store = (ProtobufCBinaryData){.len = 16, .data = (uint8_t *)"store of another"};
	member.roles = RAFT_ROLE_VOTER;
	configuration.promise_ms = 200;
	configuration.drift_ppm = 100000;
	configuration.members = members;
	configuration.n_members = 1;
	return command__configuration__pack(&configuration, out);
}

static size_t pack_header(const struct state_cut *cut, uint8_t *out) {
	Record__Header header = RECORD__HEADER__INIT;
	uint8_t hash[16], configuration[256];

	bytes_put_u64(hash, cut->hash.low);
	bytes_put_u64(hash + 8, cut->hash.high);
	header.format = 1;
	header.incarnation = (ProtobufCBinaryData){.len = 16, .data = (uint8_t *)"the old cluster!"};
	header.epoch = EPOCH;
	header.group = PEERS_GROUP;
	header.index = cut->index;
	header.term = cut->term;
	header.configuration = (ProtobufCBinaryData){.len = pack_configuration(configuration), .data = configuration};
	header.configuration_index = 1;
	header.machine_version = cut->machine_version;
	header.rows = cut->rows;
	header.hash = (ProtobufCBinaryData){.len = sizeof hash, .data = hash};
	header.founding = header.configuration;
	return record__header__pack(&header, out);
}

static void finish_backup(const struct archive_lead *lead) {
	XXH128_canonical_t digest;
	size_t n = ARCHIVE_LEAD_BYTES + lead->header_bytes + lead->bytes;

	archive_pack_lead(lead, backup);
	XXH128_canonicalFromHash(&digest, XXH3_128bits(backup + ARCHIVE_LEAD_BYTES, n - ARCHIVE_LEAD_BYTES));
	memcpy(backup + n, digest.digest, sizeof digest.digest);
	backup_bytes = n + sizeof digest.digest;
}

/* Two sessions; the first holds `lock`, the second waits for it. */
static void make_backup(void) {
	struct state_config state_config = {.group = PEERS_GROUP, .epoch = EPOCH};
	struct state *state = state_new(&state_config);
	struct archive_lead lead = {.made_ms = clock_wall() / 1000};
	const struct state_row *rows;
	struct state_cut cut;
	struct state_lock lock;
	uint8_t *at;
	size_t n;

	state_skip(state, 1, 1);
	acquire(state, open_session(state, "nonce number one"));
	acquire(state, open_session(state, "nonce number two"));
	assert_true(state_get_lock(state, "lock", 4, &lock));
	last_token = lock.token;
	state_cut(state, &cut);
	while (!state_copy(state, SIZE_MAX))
		;
	rows = state_cut_rows(state, &n);
	lead.header_bytes = (uint32_t)pack_header(&cut, backup + ARCHIVE_LEAD_BYTES);
	at = backup + ARCHIVE_LEAD_BYTES + lead.header_bytes;
	for (size_t i = 0; i < n; i++) {
		bytes_put_u32(at, (uint32_t)rows[i].n);
		memcpy(at + 4, rows[i].record, rows[i].n);
		at += 4 + rows[i].n;
		lead.rows++;
	}
	lead.bytes = (uint64_t)(at - backup) - ARCHIVE_LEAD_BYTES - lead.header_bytes;
	finish_backup(&lead);
	state_free(state);
}

static void write_file(const void *bytes, size_t n) {
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, bytes, n), n);
	assert_int_equal(close(fd), 0);
}

/* ---- Stage --------------------------------------------------------------------------------------------------------
 */

static int set_up(void **state) {
	(void)state;
	snprintf(base, sizeof base, "%s/lockd-restore-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(base));
	snprintf(folder, sizeof folder, "%s/data", base);
	snprintf(file, sizeof file, "%s/backup", base);
	config = (struct recovery_config){.node = 1,
					  .data = folder,
					  .peer_address = "a:9",
					  .client_address = "b:9",
					  .timing = timing,
					  .confirmed = true};
	make_backup();
	write_file(backup, backup_bytes);
	return 0;
}

static int remove_folder(void) {
	char command[128];

	snprintf(command, sizeof command, "rm -rf %s", folder);
	return system(command);
}

static int tear_down(void **state) {
	char command[128];

	(void)state;
	free(said);
	said = NULL;
	snprintf(command, sizeof command, "rm -rf %s", base);
	return system(command);
}

static int run(void) {
	size_t n;
	FILE *out;
	int r;

	free(said);
	error.text[0] = '\0';
	out = open_memstream(&said, &n);
	r = restoration_run(&config, file, out, &error);
	assert_int_equal(fclose(out), 0);
	return r;
}

static void assert_refused(int status, const char *why) {
	int r = run();

	if (r != status || !strstr(error.text, why))
		fail_msg("%d '%s' instead of %d '%s'", r, error.text, status, why);
}

static void assert_nothing_there(void) {
	assert_int_equal(access(folder, F_OK), -1);
}

static struct node *load(struct store **ret_store) {
	struct node_config node_config = {.node = 1, .timing = timing};
	struct raft_clocks clocks = {.mono = 1000000, .boot = 1000000};
	struct store_error store_error;
	struct node *node;

	if (store_open(folder, ret_store, &store_error) != 0)
		fail_msg("%s", store_error.text);
	store_get_uuid(*ret_store, &node_config.store);
	assert_int_equal(node_new(&node_config, &node), 0);
	if (store_load(*ret_store, node, &store_error) != 0)
		fail_msg("%s", store_error.text);
	assert_int_equal(node_start(node, &clocks), 0);
	return node;
}

/* One voter, no session, no lock, counters above `token`; returns the smallest of them. */
static uint64_t check_folder(uint64_t token) {
	static const char other[16] = "the old cluster!";
	struct node_uuid incarnation, uuid;
	struct node_member member;
	struct state_counts counts;
	struct store *store;
	struct node *node = load(&store);
	struct state *state = (struct state *)node_state(node, PEERS_GROUP);
	struct state_lock lock;
	uint32_t epoch;

	state_check(state);
	counts = state_get_counts(state);
	assert_int_equal(counts.sessions + counts.locks + counts.seats, 0);
	assert_true(node_get_member(node, 0, &member));
	assert_int_equal(member.node, 1);
	store_get_uuid(store, &uuid);
	assert_memory_equal(&member.store, &uuid, sizeof uuid);
	assert_false(node_get_member(node, 1, &member));
	node_get_identity(node, &incarnation, &epoch);
	assert_memory_not_equal(&incarnation, other, sizeof other);
	assert_true(epoch > EPOCH);
	assert_true(state_applied(state) > 5); /* of the backup: revisions go on */

	/* What would be granted next: the session takes the lock of which the backup tells. */
	Command__Command command = COMMAND__COMMAND__INIT;
	Command__SessionId session = COMMAND__SESSION_ID__INIT;
	Command__Acquire body = COMMAND__ACQUIRE__INIT;

	session.opened = open_session(state, "nonce of a later");
	session.epoch = epoch;
	session.group = PEERS_GROUP;
	body.name = (ProtobufCBinaryData){.len = 4, .data = (uint8_t *)"lock"};
	command.session = &session;
	command.sequence = command.floor = 1;
	command.body_case = COMMAND__COMMAND__BODY_ACQUIRE;
	command.acquire = &body;
	apply(state, &command);
	assert_true(state_get_lock(state, "lock", 4, &lock));
	assert_true(lock.token > token);
	node_free(node);
	store_close(store, true);
	return lock.token;
}

/* ---- Files --------------------------------------------------------------------------------------------------------
 */

static void test_restoration__refuses_every_flipped_byte(void **unused) {
	(void)unused;
	for (size_t i = 0; i < backup_bytes; i++) {
		backup[i] ^= 1 << (i % 8);
		write_file(backup, backup_bytes);
		backup[i] ^= 1 << (i % 8);
		if (run() != EX_DATAERR)
			fail_msg("byte %zu of %zu is taken: %s", i, backup_bytes, error.text);
		assert_nothing_there();
	}
}

static void test_restoration__refuses_every_length_but_the_right_one(void **unused) {
	(void)unused;
	for (size_t n = 0; n < backup_bytes; n++) {
		write_file(backup, n);
		if (run() != EX_DATAERR)
			fail_msg("%zu of %zu bytes are taken: %s", n, backup_bytes, error.text);
	}
	backup[backup_bytes] = 0;
	write_file(backup, backup_bytes + 1);
	assert_refused(EX_DATAERR, "something stands behind its end");
	assert_nothing_there();
}

/* Sound by its sums, and no state all the same. */
static void test_restoration__refuses_what_contradicts_itself(void **unused) {
	struct archive_lead lead;
	size_t row;

	(void)unused;
	lead = (struct archive_lead){.header_bytes = bytes_get_u32(backup + 12),
				     .rows = bytes_get_u64(backup + 16),
				     .bytes = bytes_get_u64(backup + 24),
				     .made_ms = bytes_get_u64(backup + 32)};
	row = ARCHIVE_LEAD_BYTES + lead.header_bytes + lead.bytes - 1;
	backup[row] ^= 1;
	finish_backup(&lead);
	write_file(backup, backup_bytes);
	assert_refused(EX_DATAERR, "must not be used");
	backup[row] ^= 1;
	lead.rows--;
	finish_backup(&lead);
	write_file(backup, backup_bytes);
	assert_refused(EX_DATAERR, "header");
	lead.rows++;
	lead.bytes = (uint64_t)2 << 30;
	archive_pack_lead(&lead, backup);
	write_file(backup, backup_bytes);
	assert_refused(EX_DATAERR, "sizes");
	assert_nothing_there();
}

static void test_restoration__refuses_what_is_no_file(void **unused) {
	(void)unused;
	assert_int_equal(unlink(file), 0);
	assert_refused(EX_NOINPUT, "cannot open");
	assert_int_equal(mkfifo(file, 0600), 0);
	assert_refused(EX_NOINPUT, "is no file");
	assert_int_equal(unlink(file), 0);
	assert_int_equal(mkdir(file, 0700), 0);
	assert_refused(EX_NOINPUT, "is no file");
	assert_int_equal(rmdir(file), 0);
}

/* ---- Epochs and folders -------------------------------------------------------------------------------------------
 */

static void test_restoration__refuses_an_epoch_that_could_repeat_tokens(void **unused) {
	struct archive_lead lead;

	(void)unused;
	config.epoch = EPOCH;
	assert_refused(EX_USAGE, "must be at least");
	config.epoch = clock_epoch() - 1; /* above that of the backup, and maybe used by now */
	assert_refused(EX_USAGE, "must be at least");
	config.epoch = STATE_EPOCH_MAX + 1;
	assert_refused(EX_USAGE, "is above");
	config.epoch = 0;
	lead = (struct archive_lead){.header_bytes = bytes_get_u32(backup + 12),
				     .rows = bytes_get_u64(backup + 16),
				     .bytes = bytes_get_u64(backup + 24),
				     .made_ms = clock_wall() / 1000 + 3600 * 1000};
	archive_pack_lead(&lead, backup);
	write_file(backup, backup_bytes);
	assert_refused(EX_USAGE, "the clock of this machine is behind");
	config.epoch = clock_epoch() + 100;
	assert_int_equal(run(), 0);
	assert_true(check_folder((uint64_t)config.epoch << 40) > (uint64_t)config.epoch << 40);
}

static void test_restoration__touches_no_folder_that_holds_something(void **unused) {
	char path[128];

	(void)unused;
	assert_int_equal(mkdir(folder, 0700), 0);
	snprintf(path, sizeof path, "%s/precious", folder);
	assert_int_equal(close(open(path, O_WRONLY | O_CREAT, 0600)), 0);
	assert_refused(EX_CANTCREAT, "is not empty: it holds precious");
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(unlink(path), 0);
	config.confirmed = false;
	assert_refused(EX_USAGE, "nothing was changed: give --yes");
	assert_non_null(strstr(said, "sessions       2\nlocks          1\n"));
	assert_int_equal(rmdir(folder), 0); /* empty still */
	config.confirmed = true;
	config.peer_address = "a:0";
	assert_refused(EX_USAGE, "others cannot dial");
}

static void test_restoration__tokens_grow_with_time(void **unused) {
	const uint32_t epoch = 1000;
	const raft_usec begins = clock_epoch_begins(epoch);
	uint64_t before = 0;

	(void)unused;
	/* From several units before its own one until its end, in steps of a ms near the seams and of a second
	 * elsewhere. */
	for (raft_usec wall = begins - RESTORATION_AHEAD_MAX * (raft_usec)CLOCK_EPOCH_US;
	     wall < begins + CLOCK_EPOCH_US;) {
		uint64_t token = restoration_token(epoch, wall);
		raft_usec step = wall + 1000000 > begins && wall < begins + 1000000 ? 1000 : 1000000;

		assert_true(token >= (uint64_t)epoch << 40);
		assert_true(token < (uint64_t)(epoch + 1) << 40);
		if (before > 0)
			assert_true(token - before >= 1000 << 6); /* more than a slot grants in that time */
		before = token;
		wall += step;
	}
	/* The next unit has an epoch of its own. */
	assert_true(restoration_token(epoch + 1, clock_epoch_begins(epoch + 1)) > before + (UINT64_C(1) << 38));
	assert_int_equal(restoration_token(epoch, 0), (uint64_t)epoch << 40);
}

/* ---- Made ---------------------------------------------------------------------------------------------------------
 */

static void test_restoration__twice_gives_no_token_again(void **unused) {
	uint64_t first, second;

	(void)unused;
	assert_int_equal(run(), 0);
	assert_non_null(strstr(said, "Done."));
	first = check_folder(last_token);
	assert_int_equal(remove_folder(), 0);
	assert_int_equal(run(), 0);
	second = check_folder(last_token);
	assert_true(second > first + 1000); /* whatever the first has granted in the meantime */
}

/* A child that may write no file beyond `bytes` dies of the signal in the middle of it, or finds a write cut short.
 * false: it has come to its end. */
static bool stops(rlim_t bytes, unsigned *deaths) {
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct rlimit limit = {.rlim_cur = bytes, .rlim_max = bytes}, core = {0};
		FILE *out = fopen("/dev/null", "w");

		(void)setrlimit(RLIMIT_CORE, &core);
		(void)signal(SIGXFSZ, SIG_DFL);
		(void)setrlimit(RLIMIT_FSIZE, &limit);
		_exit(restoration_run(&config, file, out, &error) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGXFSZ);
		++*deaths;
		return true;
	}
	return WEXITSTATUS(status) != 0;
}

/* Whatever the place, either nothing opens the folder, or it is done; and the same call completes it. */
static void test_restoration__interrupted_is_refused_and_run_again(void **unused) {
	struct store_error store_error;
	struct store *store;
	unsigned deaths = 0, interrupted = 0;

	(void)unused;
	for (rlim_t bytes = 1; stops(bytes, &deaths); bytes += bytes < 16 ? 1 : 509, interrupted++) {
		if (access(folder, F_OK) == 0) {
			char path[128];

			snprintf(path, sizeof path, "%s/restoring", folder);
			if (access(path, F_OK) == 0) {
				assert_int_equal(store_open(folder, &store, &store_error), -ECANCELED);
				assert_non_null(strstr(store_error.text, "run `lockd restore` again"));
			}
		}
		assert_int_equal(run(), 0);
		(void)check_folder(last_token);
		assert_int_equal(remove_folder(), 0);
	}
	assert_true(deaths > 0);
	assert_true(interrupted > 50);
	(void)check_folder(last_token);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_restoration__refuses_every_flipped_byte, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_restoration__refuses_every_length_but_the_right_one, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_restoration__refuses_what_contradicts_itself, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_restoration__refuses_what_is_no_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_restoration__refuses_an_epoch_that_could_repeat_tokens, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_restoration__touches_no_folder_that_holds_something, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_restoration__tokens_grow_with_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_restoration__twice_gives_no_token_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_restoration__interrupted_is_refused_and_run_again, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "restoration.h"

#include "clock.h"
#include "lockd/state/state.h"
#include "peers.h"

#include "api/archive.h"
#include "api/bytes.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum {
	TOKEN_EPOCH_SHIFT = 40,
	/* What one slot may grant in a µs without meeting the tokens of the next restore: within the unit that the
	 * epoch stands for, and before it. One grant takes longer than that. */
	TOKEN_SHIFT_WITHIN = 10,
	TOKEN_SHIFT_BEFORE = 6,
	TOKEN_HALF_SHIFT = 38,
};

struct restoration {
	const struct recovery_config *config;
	const char *backup;
	FILE *out;
	struct recovery_error *error;
	uint8_t *file;
	size_t bytes;
	struct archive archive;
	uint32_t epoch;
	raft_usec wall; /* of this run */
};

/* ---- The file -----------------------------------------------------------------------------------------------------
 */

static int fail_file(struct restoration *restoration, const char *what) {
	return recovery_fail(restoration->error, EX_NOINPUT, "cannot %s %s: %s", what, restoration->backup,
			     strerror(errno));
}

static int read_bytes(struct restoration *restoration, int fd) {
	size_t done = 0;

	while (done < restoration->bytes) {
		ssize_t n = read(fd, restoration->file + done, restoration->bytes - done);

		if (n < 0 && errno != EINTR)
			return fail_file(restoration, "read");
		if (n == 0)
			break; /* shorter than it was: the check finds that */
		if (n > 0)
			done += (size_t)n;
	}
	restoration->bytes = done;
	return 0;
}

static int read_file(struct restoration *restoration) {
	/* A FIFO is refused, not waited for. */
	int fd = open(restoration->backup, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;
	struct stat stat;

	if (fd < 0)
		return fail_file(restoration, "open");
	if (fstat(fd, &stat) < 0) {
		r = fail_file(restoration, "read");
	} else if (!S_ISREG(stat.st_mode)) {
		r = recovery_fail(restoration->error, EX_NOINPUT, "%s is no file", restoration->backup);
	} else {
		restoration->bytes = (size_t)stat.st_size;
		restoration->file = malloc(restoration->bytes + 1);
		r = restoration->file ? read_bytes(restoration, fd)
				      : recovery_fail(restoration->error, EX_OSERR, "not enough memory");
	}
	close(fd);
	return r;
}

static int check_file(struct restoration *restoration) {
	struct archive *archive = &restoration->archive;
	int r = archive_read(archive, restoration->file, restoration->bytes);

	if (r == 0)
		r = archive_end(archive);
	if (r == -ENOMEM)
		return recovery_fail(restoration->error, EX_OSERR, "not enough memory");
	if (r < 0)
		return recovery_fail(restoration->error, EX_DATAERR, "%s must not be used: %s", restoration->backup,
				     archive->fault);
	return 0;
}

/* ---- Epoch and tokens ---------------------------------------------------------------------------------------------
 */

/* Larger with time for each epoch: the lower half of what it has for the time before its unit begins, as far back as
 * RESTORATION_AHEAD_MAX reaches, the upper half for the time within. */
uint64_t restoration_token(uint32_t epoch, raft_usec wall) {
	const uint64_t half = UINT64_C(1) << TOKEN_HALF_SHIFT, base = (uint64_t)epoch << TOKEN_EPOCH_SHIFT;
	raft_usec begins = clock_epoch_begins(epoch), ahead = begins > wall ? begins - wall : 0;

	if (ahead > half >> TOKEN_SHIFT_BEFORE)
		return base;
	if (ahead > 0)
		return base + half - (ahead << TOKEN_SHIFT_BEFORE);
	assert(wall - begins < CLOCK_EPOCH_US);
	return base + half + ((wall - begins) << TOKEN_SHIFT_WITHIN);
}

static int check_clock(struct restoration *restoration, uint32_t least, uint32_t now) {
	const struct archive_lead *lead = &restoration->archive.lead;

	if (restoration->wall + CLOCK_EPOCH_US < lead->made_ms * 1000)
		return recovery_fail(
			restoration->error, EX_USAGE,
			"the clock of this machine is behind the time at which %s was made, and new tokens "
			"are made larger than all old ones by it: set the clock, or give --epoch",
			restoration->backup);
	if (least > now + RESTORATION_AHEAD_MAX)
		return recovery_fail(
			restoration->error, EX_USAGE,
			"the epoch of %s, %u, is ahead of the clock, %u, by which a second restore would get "
			"larger tokens than the first: give --epoch, larger with each restore",
			restoration->backup, restoration->archive.info.epoch, now);
	return 0;
}

/* Tokens of the new cluster must be larger than all that were ever given, those given after the backup included: hence
 * the time. */
static int choose_epoch(struct restoration *restoration) {
	uint32_t given = restoration->config->epoch, old = restoration->archive.info.epoch, now, least;

	restoration->wall = clock_wall();
	now = clock_epoch_at(restoration->wall);
	if (old >= STATE_EPOCH_MAX)
		return recovery_fail(restoration->error, EX_DATAERR, "there is no epoch above that of %s, %u",
				     restoration->backup, old);
	least = old + 1 > now ? old + 1 : now;
	if (given > 0 && given < least)
		return recovery_fail(restoration->error, EX_USAGE,
				     "--epoch %u: must be at least %u: %s has %u, and the clock stands at %u", given,
				     least, restoration->backup, old, now);
	restoration->epoch = given > 0 ? given : least;
	return given > 0 ? 0 : check_clock(restoration, least, now);
}

/* ---- The node -----------------------------------------------------------------------------------------------------
 */

static int restore_rows(const struct restoration *restoration, struct node *node) {
	const struct archive *archive = &restoration->archive;
	const uint8_t *at = restoration->file + ARCHIVE_LEAD_BYTES + archive->lead.header_bytes;
	int r = 0;

	for (uint64_t i = 0; r == 0 && i < archive->lead.rows; i++) {
		size_t n = bytes_get_u32(at);

		r = node_restore_row(node, archive->info.group, 0, at + 4, n);
		at += 4 + n;
	}
	return r;
}

/* As if the store had held it: a checkpoint, and a log that ends there. */
static int feed_node(const struct restoration *restoration, struct node *node) {
	const struct archive_info *info = &restoration->archive.info;
	struct node_hard hard = {.group = info->group, .term = info->term};
	struct node_uuid incarnation;
	int r;

	memcpy(incarnation.bytes, info->incarnation, sizeof incarnation.bytes);
	r = node_restore_identity(node, &incarnation, info->epoch);
	if (r == 0)
		r = node_restore_hard(node, &hard);
	if (r == 0)
		r = node_restore_header(node, info->group, restoration->archive.header,
					restoration->archive.lead.header_bytes);
	if (r == 0)
		r = restore_rows(restoration, node);
	return r == 0 ? node_restore_base(node, info->group, info->index, info->term) : r;
}

static int recover_node(struct restoration *restoration, struct node *node, const struct node_save **ret) {
	struct node_recovery change = {.epoch = restoration->epoch,
				       .peer_address = restoration->config->peer_address,
				       .client_address = restoration->config->client_address,
				       .end_sessions = true,
				       .token = restoration_token(restoration->epoch, restoration->wall)};
	int r = recovery_draw(&change.incarnation, restoration->error);

	if (r != 0)
		return r;
	r = feed_node(restoration, node);
	if (r == 0)
		r = node_recover(node, &change, ret);
	if (r < 0)
		return recovery_fail(restoration->error, r == -EINVAL ? EX_USAGE : EX_DATAERR, "%s: %s",
				     restoration->backup, node_error(node));
	return 0;
}

/* ---- What there is, and what becomes of it ------------------------------------------------------------------------
 */

static void describe_backup(const struct restoration *restoration, const struct state_counts *counts) {
	const struct archive *archive = &restoration->archive;

	fprintf(restoration->out,
		"backup         %s\nlast entry     %llu\nterm           %llu\nepoch          %u\ncluster        ",
		restoration->backup, (unsigned long long)archive->info.index, (unsigned long long)archive->info.term,
		archive->info.epoch);
	for (size_t i = 0; i < sizeof archive->info.incarnation; i++)
		fprintf(restoration->out, "%02x", archive->info.incarnation[i]);
	fprintf(restoration->out, "\nsessions       %llu\nlocks          %llu\n", (unsigned long long)counts->sessions,
		(unsigned long long)counts->locks);
}

static void describe_plan(const struct restoration *restoration) {
	const struct recovery_config *config = restoration->config;

	fprintf(restoration->out,
		"\nNode %u alone becomes a new cluster in %s, with epoch %u, reached at %s by nodes and at %s by "
		"clients.\n"
		"Its sessions have ended and its locks are free; tokens are larger than all that were ever given.\n"
		"What was done after the backup is lost. Whoever may still hold a lock of the old cluster must be "
		"stopped,\n"
		"or be kept out by its token, which is smaller. The old nodes must not be started again with their "
		"old\n"
		"data folders: they would be another cluster beside this one, with the same locks.\n",
		config->node, config->data, restoration->epoch, config->peer_address, config->client_address);
}

/* Shows that node and state take the backup, before the folder is touched. */
static int rehearse(struct restoration *restoration) {
	const struct recovery_config *config = restoration->config;
	struct node_config node_config = {.node = config->node, .timing = config->timing};
	struct raft_clocks clocks = {0};
	struct state_counts counts;
	struct node *node;
	int r = 0;

	if (node_new(&node_config, &node) < 0)
		return recovery_fail(restoration->error, EX_OSERR, "not enough memory");
	if (feed_node(restoration, node) < 0 || node_start(node, &clocks) < 0)
		r = recovery_fail(restoration->error, EX_DATAERR, "%s must not be used: %s", restoration->backup,
				  node_error(node));
	if (r == 0) {
		counts = state_get_counts(node_state(node, PEERS_GROUP));
		describe_backup(restoration, &counts);
		describe_plan(restoration);
	}
	node_free(node);
	return r;
}

/* ---- The folder ---------------------------------------------------------------------------------------------------
 */

static int check_folder(struct restoration *restoration) {
	struct store_error error;
	int r = store_check_to_restore(restoration->config->data, &error);

	if (r == -EEXIST)
		return recovery_fail(restoration->error, EX_CANTCREAT, "%s", error.text);
	return r < 0 ? recovery_fail_store(restoration->error, r, &error) : 0;
}

static int fill_store(struct restoration *restoration, struct store *store) {
	const struct node_save *save;
	struct store_error error;
	struct node *node;
	int r = recovery_load_node(restoration->config, store, &node, restoration->error);

	if (r != 0)
		return r;
	r = recover_node(restoration, node, &save);
	if (r == 0)
		r = recovery_write(restoration->config, store, save, restoration->error);
	node_free(node);
	if (r != 0)
		return r;
	r = store_restored(store, &error);
	return r < 0 ? recovery_fail_store(restoration->error, r, &error) : 0;
}

/* The folder itself may be new. */
static int sync_parent(struct restoration *restoration) {
	char *copy = strdup(restoration->config->data);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1, r = 0;

	if (fd < 0 || fsync(fd) < 0)
		r = recovery_fail(restoration->error, EX_IOERR, "cannot sync the folder above %s: %s",
				  restoration->config->data, strerror(errno));
	if (fd >= 0)
		close(fd);
	free(copy);
	return r;
}

static int write_folder(struct restoration *restoration) {
	struct store_error error;
	struct store *store;
	int r = store_open_to_restore(restoration->config->data, &store, &error);

	if (r < 0)
		return recovery_fail_store(restoration->error, r, &error);
	r = sync_parent(restoration);
	if (r == 0)
		r = fill_store(restoration, store);
	store_close(store, r == 0);
	return r;
}

static int run(struct restoration *restoration) {
	int r = recovery_check_addresses(restoration->config, restoration->error);

	if (r == 0)
		r = read_file(restoration);
	if (r == 0)
		r = check_file(restoration);
	if (r == 0)
		r = choose_epoch(restoration);
	if (r == 0)
		r = check_folder(restoration);
	if (r == 0)
		r = rehearse(restoration);
	if (r == 0 && !restoration->config->confirmed)
		r = recovery_fail(restoration->error, EX_USAGE, "nothing was changed: give --yes to do it");
	return r == 0 ? write_folder(restoration) : r;
}

int restoration_run(const struct recovery_config *config, const char *backup, FILE *out,
		    struct recovery_error *ret_error) {
	struct restoration restoration = {.config = config, .backup = backup, .out = out, .error = ret_error};
	int r;

	if (archive_init(&restoration.archive) < 0)
		return recovery_fail(ret_error, EX_OSERR, "not enough memory");
	r = run(&restoration);
	archive_deinit(&restoration.archive);
	free(restoration.file);
	if (r == 0)
		fprintf(out, "\nDone. Start lockd with this folder, then add others: lockctl cluster add ID\n");
	return r;
}

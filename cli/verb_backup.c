/* SPDX-License-Identifier: Apache-2.0 */
/* backup: all that the cluster knows, into a file that is there whole or not at all; and a look at such a file. */
#include "cli/arguments.h"
#include "cli/connection.h"
#include "cli/document.h"
#include "cli/report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <lockd/admin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PROGRESS_AFTER_S = 1 };

/* Where the file goes: under its own name only once it is whole and durable. */
struct target {
	const char *path; /* NULL: standard output */
	char *partial;
	int fd;
	bool begun, failed; /* failed: told already */
	bool progress;      /* somebody looks at stderr, and … */
	time_t since;       /* … has done so since then (CLOCK_MONOTONIC) */
	bool shown;
};

static int fail(struct target *target, const char *what) {
	report("backup: cannot %s %s: %s", what, target->path ? target->path : "standard output", strerror(errno));
	target->failed = true;
	return EXIT_OTHER;
}

/* ---- Progress --------------------------------------------------------------------------------------------------- */

static time_t now_s(void) {
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static void show_progress(struct target *target, const struct lockd_backup_part *part) {
	uint64_t done = part->offset + part->n;

	if (!target->progress || now_s() < target->since + PROGRESS_AFTER_S)
		return;
	(void)fprintf(stderr, "\rbackup: %3" PRIu64 " %% of %" PRIu64 " KiB ", 100 * done / part->total,
		      (part->total + 1023) / 1024);
	target->shown = true;
}

static void end_progress(struct target *target) {
	if (target->shown)
		(void)fprintf(stderr, "\r%40s\r", "");
	target->shown = false;
}

/* ---- Writing ---------------------------------------------------------------------------------------------------- */

static bool has_its_name(const struct target *target) {
	struct stat file, named;

	return fstat(target->fd, &file) == 0 && lstat(target->partial, &named) == 0 && file.st_dev == named.st_dev &&
	       file.st_ino == named.st_ino;
}

/* Secrets of sessions are in it. What an earlier attempt has left is of no use; another one that still writes, or has
 * just given the file its name, must not find our bytes among its own. */
static int open_partial(struct target *target) {
	target->fd = open(target->partial, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (target->fd < 0)
		return fail(target, "create");
	if ((flock(target->fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) || !has_its_name(target)) {
		report("backup: another process is writing %s", target->partial);
		(void)close(target->fd);
		target->fd = -1; /* it is not ours to remove */
		return EXIT_OTHER;
	}
	return ftruncate(target->fd, 0) < 0 || fchmod(target->fd, 0600) < 0 ? fail(target, "empty") : 0;
}

static int open_target(const struct arguments *arguments, struct target *target) {
	const char *path = arguments->operands[0];

	*target = (struct target){.fd = STDOUT_FILENO, .progress = isatty(STDERR_FILENO), .since = now_s()};
	if (!strcmp(path, "-")) {
		if (!isatty(STDOUT_FILENO))
			return 0;
		report("backup: standard output is a terminal: give a file, or send it into one");
		return EXIT_USAGE;
	}
	target->path = path;
	if (!arguments_given(arguments, OPTION_FORCE) && access(path, F_OK) == 0) {
		report("backup: %s exists: give another name, or --force to replace it", path);
		return EXIT_USAGE;
	}
	if (asprintf(&target->partial, "%s.partial", path) < 0) {
		target->partial = NULL;
		return fail(target, "make room for the name of");
	}
	return open_partial(target);
}

/* The backup begins once more: what has been written is void. */
static int rewind_target(struct target *target) {
	if (!target->path) {
		report("backup: the backup broke off, and what went to standard output cannot be taken back");
		target->failed = true;
		return -1;
	}
	return ftruncate(target->fd, 0) < 0 || lseek(target->fd, 0, SEEK_SET) < 0 ? fail(target, "begin again with")
										  : 0;
}

static int write_part(void *user, const struct lockd_backup_part *part) {
	struct target *target = user;
	const char *bytes = part->bytes;
	size_t left = part->n;

	if (part->offset == 0 && target->begun && rewind_target(target))
		return -1;
	target->begun = true;
	while (left > 0) {
		ssize_t n = write(target->fd, bytes, left);

		if (n < 0 && errno != EINTR)
			return fail(target, "write");
		if (n > 0) {
			bytes += n;
			left -= (size_t)n;
		}
	}
	show_progress(target, part);
	return 0;
}

static int sync_folder(struct target *target) {
	char *copy = strdup(target->path);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int r = fd < 0 || fsync(fd) < 0 ? fail(target, "sync the folder of") : 0;

	if (fd >= 0)
		(void)close(fd);
	free(copy);
	return r;
}

static int rename_target(const struct arguments *arguments, struct target *target) {
	bool force = arguments_given(arguments, OPTION_FORCE);
	int r = renameat2(AT_FDCWD, target->partial, AT_FDCWD, target->path, force ? 0 : RENAME_NOREPLACE);

	/* Some file systems cannot refuse to replace; that the name was free has been seen. */
	if (r < 0 && (errno == EINVAL || errno == ENOSYS))
		r = rename(target->partial, target->path);
	return r < 0 ? fail(target, "give its name to") : 0;
}

static int finish_target(const struct arguments *arguments, struct target *target) {
	int r;

	if (!target->path)
		return 0;
	if (fsync(target->fd) < 0)
		return fail(target, "sync");
	r = rename_target(arguments, target);
	return r ? r : sync_folder(target);
}

static void close_target(struct target *target, int r) {
	if (target->path && target->fd >= 0)
		(void)close(target->fd);
	if (r && target->partial && target->fd >= 0)
		(void)unlink(target->partial);
	free(target->partial);
}

/* ---- Telling ---------------------------------------------------------------------------------------------------- */

static const char *time_text(uint64_t ms, char out[32]) {
	time_t s = (time_t)(ms / 1000);
	struct tm tm;

	if (!gmtime_r(&s, &tm) || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		(void)snprintf(out, 32, "unknown");
	return out;
}

static json_t *info_document(const char *file, const struct lockd_backup_info *info) {
	char made[32];

	return json_pack("{s:s, s:I, s:o, s:I, s:I, s:s, s:s, s:I, s:I, s:s, s:o}", "file", file, "index",
			 (json_int_t)info->index, "revision", document_id(info->revision), "rows",
			 (json_int_t)info->rows, "bytes", (json_int_t)info->bytes, "digest", info->digest, "cluster",
			 info->incarnation, "epoch", (json_int_t)info->epoch, "machine_version",
			 (json_int_t)info->machine_version, "made", time_text(info->made_ms, made), "node",
			 info->node ? json_integer(info->node) : json_null());
}

static int print_info(const struct arguments *arguments, const struct lockd_backup_info *info) {
	const char *file = arguments->operands[0];
	char made[32];

	if (arguments_given(arguments, OPTION_JSON))
		return document_print(info_document(file, info), DOCUMENT_INDENTED);
	printf("file      %s\nindex     %" PRIu64 "\nrevision  %" PRIu64 "\nrows      %" PRIu64 "\nbytes     %" PRIu64
	       "\ndigest    %s\ncluster   %s\nepoch     %" PRIu32 "\nmade      %s\n",
	       file, info->index, info->revision, info->rows, info->bytes, info->digest, info->incarnation, info->epoch,
	       time_text(info->made_ms, made));
	if (info->node)
		printf("node      %" PRIu32 "\n", info->node);
	return 0;
}

/* ---- The verb -----------------------------------------------------------------------------------------------------
 */

static int make(const struct arguments *arguments, struct target *target, struct lockd_backup_info *ret) {
	struct lockd_client *client;
	enum lockd_status status;
	char reason[512];
	int r = connection_open(arguments, &client);

	if (r)
		return r;
	status = lockd_backup(client, arguments->read.node, write_part, target, arguments->timeout_ms, ret);
	end_progress(target);
	lockd_last_error(client, reason, sizeof reason);
	if (target->failed)
		r = EXIT_OTHER;
	else if (status == LOCKD_DAMAGED || status == LOCKD_LIMIT || status == LOCKD_INVALID) {
		report("backup: %s", *reason ? reason : lockd_status_text((int)status));
		r = exit_status_of(status);
	} else if (status)
		r = report_status(client, "backup", status);
	lockd_close(client);
	return r;
}

static int verify(const struct arguments *arguments) {
	const char *path = arguments->operands[0], *fault;
	bool input = !strcmp(path, "-");
	int fd = input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	struct lockd_backup_info info;
	enum lockd_status status;

	if (fd < 0) {
		report("backup: cannot open %s: %s", path, strerror(errno));
		return EXIT_OTHER;
	}
	status = lockd_backup_check(fd, &info, &fault);
	if (!input)
		(void)close(fd);
	if (status == LOCKD_DAMAGED) {
		report("backup: %s must not be used: %s", path, fault);
		return exit_status_of(status);
	}
	return status ? report_status(NULL, "backup", status) : print_info(arguments, &info);
}

int verb_backup(const struct arguments *arguments) {
	struct lockd_backup_info info;
	struct target target;
	int r;

	if (arguments_given(arguments, OPTION_VERIFY))
		return verify(arguments);
	r = open_target(arguments, &target);
	if (r == 0)
		r = make(arguments, &target, &info);
	if (r == 0)
		r = finish_target(arguments, &target);
	close_target(&target, r);
	return r || !target.path ? r : print_info(arguments, &info);
}

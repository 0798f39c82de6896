/* SPDX-License-Identifier: Apache-2.0 */
/* Backups: asked for part by part over the connection on which they were begun, checked as they arrive, handed to the
 * caller as the bytes of a file (api/archive.h). The node forgets a backup with its connection, so what breaks off
 * begins again, with another node if need be. */
#include "client.h"
#include "clock.h"
#include "page.h"

#include "api/archive.h"

#include <errno.h>
#include <lockd/admin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	/* A node reads a part from its disk, behind a checkpoint at worst. One that takes longer hangs. */
	PART_US = 30 * 1000 * 1000,
	/* Between a backup that broke off and the next. */
	AGAIN_US = 200 * 1000,
	CHECK_BYTES = 256 << 10,
};

struct backup {
	struct lockd_client *client;
	lockd_backup_fn *write;
	void *user;
	int64_t deadline_us;
	struct archive archive;
	uint64_t number, offset, total; /* of the file, what was handed on and all */
	uint32_t node;
	uint8_t digest[ARCHIVE_DIGEST_BYTES]; /* as the node announced it */
	bool broken;                          /* it broke off: the next may do better */
};

static void hexadecimal(const uint8_t *bytes, size_t n, char *ret) {
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		ret[2 * i] = digits[bytes[i] >> 4];
		ret[2 * i + 1] = digits[bytes[i] & 15];
	}
	ret[2 * n] = '\0';
}

static void fill_info(const struct archive *archive, struct lockd_backup_info *ret) {
	uint8_t digest[ARCHIVE_DIGEST_BYTES];

	archive_get_digest(archive, digest);
	*ret = (struct lockd_backup_info){
		.index = archive->info.index,
		.revision = archive->info.index << 16 | 0xffff,
		.rows = archive->lead.rows,
		.bytes = ARCHIVE_LEAD_BYTES + archive->lead.header_bytes + archive->lead.bytes + ARCHIVE_DIGEST_BYTES,
		.made_ms = archive->lead.made_ms,
		.epoch = archive->info.epoch,
		.machine_version = archive->info.machine_version,
	};
	hexadecimal(archive->info.incarnation, sizeof archive->info.incarnation, ret->incarnation);
	hexadecimal(digest, sizeof digest, ret->digest);
}

/* ---- Handing on ---------------------------------------------------------------------------------------------------
 */

static enum lockd_status damaged(struct backup *backup) {
	struct lockd_client *client = backup->client;

	(void)snprintf(client->error, sizeof client->error, "node %u sends no sound backup: %s", backup->node,
		       backup->archive.fault);
	return LOCKD_DAMAGED;
}

/* The caller's function may take its time, and may call the library. */
static enum lockd_status hand_on(struct backup *backup, const void *bytes, size_t n) {
	struct lockd_backup_part part = {.offset = backup->offset, .total = backup->total, .bytes = bytes, .n = n};
	int r = archive_read(&backup->archive, bytes, n);

	if (r == -ENOMEM)
		return LOCKD_NO_MEMORY;
	if (r < 0)
		return damaged(backup);
	pthread_mutex_unlock(&backup->client->mutex);
	r = backup->write(backup->user, &part);
	pthread_mutex_lock(&backup->client->mutex);
	if (backup->client->closing)
		return LOCKD_CLOSED;
	backup->offset += n;
	return r == 0 ? LOCKD_OK : LOCKD_CANCELLED;
}

/* What the node says of the backup becomes the beginning of the file. */
static enum lockd_status hand_on_lead(struct backup *backup, const Client__BackupPart *part) {
	struct archive_lead lead = {.header_bytes = (uint32_t)part->header.len,
				    .rows = part->rows,
				    .bytes = part->bytes,
				    .made_ms = lockd__clock_wall_ms()};
	uint8_t bytes[ARCHIVE_LEAD_BYTES];
	enum lockd_status status;

	memcpy(backup->digest, part->digest.data, sizeof backup->digest);
	backup->number = part->backup;
	backup->offset = 0;
	backup->total = ARCHIVE_LEAD_BYTES + part->header.len + part->bytes + ARCHIVE_DIGEST_BYTES;
	archive_pack_lead(&lead, bytes);
	status = hand_on(backup, bytes, sizeof bytes);
	return status == LOCKD_OK ? hand_on(backup, part->header.data, part->header.len) : status;
}

/* ---- Asking -------------------------------------------------------------------------------------------------------
 */

static enum lockd_status begin(struct backup *backup, uint32_t node, struct lockd__page *page) {
	struct lockd_client *client = backup->client;
	struct lockd__request *request = lockd__request_new(client, NULL, LOCKD__BACKUP, NULL, NULL);
	const Client__BackupPart *part;
	enum lockd_status status;

	*page = (struct lockd__page){0};
	if (!request)
		return LOCKD_NO_MEMORY;
	if (node > 0 && !(request->endpoint = lockd__endpoint_await(client, node, backup->deadline_us))) {
		lockd__request_free(request);
		return client->closing ? LOCKD_CLOSED : LOCKD_UNREACHABLE;
	}
	status = lockd__page_fetch(client, request, backup->deadline_us, page);
	if (status != LOCKD_OK)
		return status;
	part = page->reply->backup;
	backup->node = page->reply->node_id;
	if (part && part->backup > 0 && part->digest.len == sizeof backup->digest &&
	    part->bytes <= LIMIT_SNAPSHOT_BYTES_MAX)
		return hand_on_lead(backup, part);
	backup->archive.fault = "it does not say what it is";
	return damaged(backup);
}

/* One that has forgotten it, or does not answer, is no reason to give up. */
static enum lockd_status note_break(struct backup *backup, enum lockd_status status) {
	backup->broken = status == LOCKD_NOT_FOUND || status == LOCKD_UNREACHABLE || status == LOCKD_DEADLINE;
	return status;
}

static enum lockd_status fetch_part(struct backup *backup, uint64_t offset, struct lockd__page *page) {
	struct lockd_client *client = backup->client;
	int64_t until_us = lockd__clock_us() + PART_US;
	struct lockd__request *request;

	*page = (struct lockd__page){0};
	request = lockd__request_new(client, NULL, LOCKD__BACKUP, NULL, NULL);
	if (!request)
		return LOCKD_NO_MEMORY;
	request->backup = backup->number;
	request->offset = offset;
	request->endpoint = lockd__endpoint_of_node(client, backup->node);
	if (!request->endpoint) {
		lockd__request_free(request);
		return note_break(backup, LOCKD_UNREACHABLE);
	}
	if (until_us > backup->deadline_us)
		until_us = backup->deadline_us;
	return note_break(backup, lockd__page_fetch(client, request, until_us, page));
}

static enum lockd_status run_parts(struct backup *backup) {
	uint64_t bytes = backup->archive.lead.bytes, at = 0;
	enum lockd_status status = LOCKD_OK;
	const Client__BackupPart *part;
	struct lockd__page page;

	while (status == LOCKD_OK && at < bytes) {
		status = fetch_part(backup, at, &page);
		part = status == LOCKD_OK ? page.reply->backup : NULL;
		if (part && part->data.len > 0 && part->data.len <= bytes - at) {
			at += part->data.len;
			status = hand_on(backup, part->data.data, part->data.len);
		} else if (status == LOCKD_OK) {
			backup->archive.fault = "a part of it is missing or too long";
			status = damaged(backup);
		}
		lockd__page_deinit(&page);
	}
	return status;
}

static enum lockd_status run_once(struct backup *backup, uint32_t node) {
	struct lockd__page page;
	enum lockd_status status;

	backup->broken = false;
	if (archive_init(&backup->archive) < 0)
		return LOCKD_NO_MEMORY;
	status = begin(backup, node, &page);
	lockd__page_deinit(&page);
	if (status == LOCKD_OK)
		status = run_parts(backup);
	if (status == LOCKD_OK)
		status = hand_on(backup, backup->digest, sizeof backup->digest);
	return status == LOCKD_OK && archive_end(&backup->archive) < 0 ? damaged(backup) : status;
}

static bool is_worth_another(const struct backup *backup) {
	return backup->broken && !backup->client->closing && lockd__clock_us() + AGAIN_US < backup->deadline_us;
}

static void pause_before_another(struct backup *backup) {
	int64_t until_us = lockd__clock_us() + AGAIN_US;

	while (!backup->client->closing && lockd__clock_us() < until_us)
		lockd__clock_wait(&backup->client->left, &backup->client->mutex, until_us);
}

enum lockd_status lockd_backup(struct lockd_client *client, uint32_t node, lockd_backup_fn *write, void *user,
			       int timeout_ms, struct lockd_backup_info *ret) {
	struct backup backup = {.client = client, .write = write, .user = user};
	enum lockd_status status;

	if (!client || !write || !ret || timeout_ms < LOCKD_FOREVER)
		return LOCKD_MISUSE;
	backup.deadline_us = lockd__clock_deadline_us(lockd__clock_us(), timeout_ms);
	status = lockd__client_enter_blocking(client);
	if (status != LOCKD_OK)
		return status;
	client->error[0] = '\0';
	while ((status = run_once(&backup, node)) != LOCKD_OK && is_worth_another(&backup)) {
		archive_deinit(&backup.archive);
		pause_before_another(&backup);
	}
	if (status == LOCKD_NOT_FOUND) /* of a backup, not of a lock: it broke off too often */
		status = LOCKD_DEADLINE;
	if (status == LOCKD_OK) {
		fill_info(&backup.archive, ret);
		ret->node = backup.node;
	}
	archive_deinit(&backup.archive);
	lockd__client_leave_blocking(client);
	return status;
}

/* ---- Checking -----------------------------------------------------------------------------------------------------
 */

/* Feeds the file to the reader. 0, -EBADMSG, -ENOMEM, or another negative errno from the file. */
static int read_all(struct archive *archive, int fd) {
	uint8_t *buffer = malloc(CHECK_BYTES);
	int r = buffer ? 0 : -ENOMEM;
	ssize_t n = 1;

	while (r == 0 && n != 0) {
		n = read(fd, buffer, CHECK_BYTES);
		if (n < 0 && errno != EINTR)
			r = -errno;
		else if (n > 0)
			r = archive_read(archive, buffer, (size_t)n);
	}
	free(buffer);
	return r == 0 ? archive_end(archive) : r;
}

enum lockd_status lockd_backup_check(int fd, struct lockd_backup_info *ret, const char **ret_fault) {
	struct archive archive;
	int r;

	if (fd < 0 || !ret || !ret_fault)
		return LOCKD_MISUSE;
	if (archive_init(&archive) < 0)
		return LOCKD_NO_MEMORY;
	r = read_all(&archive, fd);
	if (r == 0)
		fill_info(&archive, ret);
	else if (r != -ENOMEM)
		*ret_fault = r == -EBADMSG ? archive.fault : "it cannot be read";
	archive_deinit(&archive);
	if (r == -ENOMEM)
		return LOCKD_NO_MEMORY;
	return r == 0 ? LOCKD_OK : LOCKD_DAMAGED;
}

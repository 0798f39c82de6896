/* SPDX-License-Identifier: Apache-2.0 */
#include "backup.h"

#include "replica.h"

#include <assert.h>
#include <lockd/status.h>

static struct node_backup *backup_ask_driver(const struct backup *backup, enum node_backup_kind kind) {
	struct node_backup *out = turn_backup(&backup->replica->node->turn);

	out->kind = kind;
	out->number = backup->number;
	out->group = backup->replica->group;
	return out;
}

static void backup_answer(const struct backup *backup, int status, const char *text) {
	if (status == LOCKD_NOT_LEADER)
		client_redirect(backup->replica, backup->connection, backup->id, text);
	else
		client_reply_status(backup->replica->node, backup->connection, backup->id, status, text);
}

static void backup_drop(struct backup *backup) {
	(void)backup_ask_driver(backup, NODE_BACKUP_DROP);
	backup->phase = BACKUP_NONE;
}

/* Nobody will ask for it again. */
static void backup_give_up(struct backup *backup) {
	if (backup->phase == BACKUP_READY)
		backup_drop(backup);
	else if (backup->phase == BACKUP_CHECKPOINT)
		backup->phase = BACKUP_NONE;
	else
		backup->given_up = true;
}

static bool backup_belongs_to(const struct backup *backup, node_connection connection) {
	return backup->phase != BACKUP_NONE && !backup->given_up && backup->connection == connection;
}

static struct backup *backup_find_phase(struct node *node, enum backup_phase phase) {
	for (struct backup *backup = node->backups.items; backup < node->backups.items + LIMIT_BACKUPS_MAX; backup++) {
		if (backup->phase == phase)
			return backup;
	}
	return NULL;
}

/* ---- Beginning ----------------------------------------------------------------------------------------------------
 */

/* A connection has one at a time: the request that still waits for the one before is told so. */
static void backup_replace(struct node *node, node_connection connection) {
	for (struct backup *backup = node->backups.items; backup < node->backups.items + LIMIT_BACKUPS_MAX; backup++) {
		if (!backup_belongs_to(backup, connection))
			continue;
		if (backup->phase != BACKUP_READY)
			backup_answer(backup, LOCKD_CANCELLED, "another backup was begun on this connection");
		backup_give_up(backup);
	}
}

/* It holds what a read would be answered from now. The index of the proof is no measure: a leader that has begun its
 * round before its no-op is committed did not know yet what others had committed. */
void backup_begin(struct replica *replica, const struct query *query) {
	struct node *node = replica->node;
	struct backup *backup;

	backup_replace(node, query->asker.connection);
	backup = backup_find_phase(node, BACKUP_NONE);
	if (!backup) {
		client_reply_status(node, query->asker.connection, query->asker.id, LOCKD_BUSY,
				    "as many backups as a node makes at a time are being made");
		return;
	}
	*backup = (struct backup){
		.phase = BACKUP_CHECKPOINT,
		.number = ++node->backups.number,
		.replica = replica,
		.connection = query->asker.connection,
		.id = query->asker.id,
		.index = state_applied(replica->state),
	};
}

/* ---- The driver's work --------------------------------------------------------------------------------------------
 */

static const char *backup_find_failure(enum node_backup_result result, int *ret_status) {
	if (result == NODE_BACKUP_FULL) {
		*ret_status = LOCKD_DISK_FULL;
		return NULL;
	}
	/* Another node can do it, or this one later; its log says what is wrong. */
	*ret_status = LOCKD_BUSY;
	return "the node could not write or read the file of a backup";
}

static void backup_describe(const struct backup *backup, const struct node_backup_report *report) {
	struct node *node = backup->replica->node;
	Client__Reply reply = CLIENT__REPLY__INIT;
	Client__BackupPart part = CLIENT__BACKUP_PART__INIT;

	part.backup = backup->number;
	part.index = backup->index;
	part.header = (ProtobufCBinaryData){.len = report->header_bytes, .data = (uint8_t *)report->header};
	part.rows = report->rows;
	part.bytes = report->bytes;
	part.digest = (ProtobufCBinaryData){.len = sizeof report->digest, .data = (uint8_t *)report->digest};
	reply.revision = backup->index << 16 | 0xffff;
	reply.node_id = node->id;
	reply.backup = &part;
	client_reply(node, backup->connection, backup->id, &reply);
}

static void backup_take_cut(struct backup *backup, const struct node_backup_report *report) {
	assert(report->index >= backup->index);
	backup->index = report->index;
	backup->bytes = report->bytes;
	if (report->bytes > LIMIT_SNAPSHOT_BYTES_MAX) {
		backup_answer(backup, LOCKD_LIMIT, "the state is larger than what a node takes back");
		backup_drop(backup);
		return;
	}
	backup->phase = BACKUP_READY;
	backup_describe(backup, report);
	TURN_TRACE(&backup->replica->node->turn, backup->replica->group,
		   "event=backup number=%llu index=%llu rows=%llu bytes=%llu", (unsigned long long)backup->number,
		   (unsigned long long)backup->index, (unsigned long long)report->rows,
		   (unsigned long long)report->bytes);
}

static void backup_take_part(struct backup *backup, const struct node_backup_report *report) {
	struct node *node = backup->replica->node;
	Client__Reply reply = CLIENT__REPLY__INIT;
	Client__BackupPart part = CLIENT__BACKUP_PART__INIT;

	part.backup = backup->number;
	part.index = backup->index;
	part.data = (ProtobufCBinaryData){.len = report->n, .data = (uint8_t *)report->data};
	reply.node_id = node->id;
	reply.backup = &part;
	backup->phase = BACKUP_READY;
	client_reply(node, backup->connection, backup->id, &reply);
}

static void backup_take_failure(struct backup *backup, enum node_backup_result result) {
	int status;
	const char *text = backup_find_failure(result, &status);

	if (!backup->given_up)
		backup_answer(backup, status, text);
	/* Of a cut that was not made the driver has nothing. */
	if (backup->phase == BACKUP_CUTTING)
		backup->phase = BACKUP_NONE;
	else
		backup_drop(backup);
}

void backup_done(struct node *node, const struct node_backup_report *report) {
	struct backup *backup = node->backups.items;

	while (backup < node->backups.items + LIMIT_BACKUPS_MAX && backup->number != report->number)
		backup++;
	assert(backup < node->backups.items + LIMIT_BACKUPS_MAX);
	assert(backup->phase == BACKUP_CUTTING || backup->phase == BACKUP_READING);

	backup->used_at = node->clocks.mono;
	if (report->result != NODE_BACKUP_OK)
		backup_take_failure(backup, report->result);
	else if (backup->given_up)
		backup_drop(backup);
	else if (backup->phase == BACKUP_CUTTING)
		backup_take_cut(backup, report);
	else
		backup_take_part(backup, report);
}

/* ---- Parts --------------------------------------------------------------------------------------------------------
 */

static struct backup *backup_find(struct node *node, node_connection connection, uint64_t number) {
	for (struct backup *backup = node->backups.items; backup < node->backups.items + LIMIT_BACKUPS_MAX; backup++) {
		if (backup_belongs_to(backup, connection) && backup->number == number)
			return backup;
	}
	return NULL;
}

void backup_read(struct node *node, const struct client *client, uint64_t id, const Client__Backup *part) {
	struct backup *backup = backup_find(node, client->connection, part->backup);
	struct node_backup *out;
	uint64_t left;

	if (!backup || backup->phase == BACKUP_CHECKPOINT || backup->phase == BACKUP_CUTTING) {
		client_reply_status(node, client->connection, id, LOCKD_NOT_FOUND,
				    "the backup is not known on this connection: begin another one");
		return;
	}
	if (backup->phase == BACKUP_READING) {
		client_reply_status(node, client->connection, id, LOCKD_BUSY, "a part of it is being read");
		return;
	}
	if (part->offset >= backup->bytes) {
		client_reply_status(node, client->connection, id, LOCKD_INVALID, "offset: behind the last part");
		return;
	}
	left = backup->bytes - part->offset;
	backup->id = id;
	backup->phase = BACKUP_READING;
	out = backup_ask_driver(backup, NODE_BACKUP_READ);
	out->offset = part->offset;
	out->n = left < LIMIT_BACKUP_PART_BYTES ? (size_t)left : LIMIT_BACKUP_PART_BYTES;
}

/* ---- In each turn -------------------------------------------------------------------------------------------------
 */

void backups_fail(struct replica *replica) {
	struct backup *items = replica->node->backups.items;

	for (struct backup *backup = items; backup < items + LIMIT_BACKUPS_MAX; backup++) {
		if (backup->phase != BACKUP_CHECKPOINT || backup->replica != replica)
			continue;
		backup_answer(backup, LOCKD_DISK_FULL, NULL);
		backup->phase = BACKUP_NONE;
	}
}

static raft_usec backup_expires(const struct backup *backup) {
	return backup->used_at + LIMIT_BACKUP_IDLE_MS * UINT64_C(1000);
}

/* One that is being made may reach far enough. */
static void backup_await_checkpoint(struct checkpoint *checkpoint, raft_index index) {
	if (checkpoint->phase == CHECKPOINT_IDLE || checkpoint->cut.index < index)
		checkpoint->wanted = true;
}

/* The driver cuts the last checkpoint that is durable by then: it can only be later than this one. */
static void backup_advance(struct replica *replica, struct backup *backup) {
	if (backup->phase == BACKUP_READY && backup_expires(backup) <= replica->node->clocks.mono) {
		backup_drop(backup);
	} else if (backup->phase == BACKUP_CHECKPOINT && replica->node->stopping) {
		backup_answer(backup, LOCKD_NOT_LEADER, "the node stops");
		backup->phase = BACKUP_NONE;
	} else if (backup->phase == BACKUP_CHECKPOINT && replica->checkpoint.durable < backup->index) {
		backup_await_checkpoint(&replica->checkpoint, backup->index);
	} else if (backup->phase == BACKUP_CHECKPOINT) {
		backup->phase = BACKUP_CUTTING;
		(void)backup_ask_driver(backup, NODE_BACKUP_CUT);
	}
}

void backups_advance(struct replica *replica) {
	struct backup *items = replica->node->backups.items;

	for (struct backup *backup = items; backup < items + LIMIT_BACKUPS_MAX; backup++) {
		if (backup->replica == replica)
			backup_advance(replica, backup);
	}
}

void backups_get_deadline(const struct node *node, raft_usec *deadline) {
	const struct backup *items = node->backups.items;

	for (const struct backup *backup = items; backup < items + LIMIT_BACKUPS_MAX; backup++) {
		if (backup->phase == BACKUP_READY && backup_expires(backup) < *deadline)
			*deadline = backup_expires(backup);
	}
}

void backups_forget_connection(struct node *node, node_connection connection) {
	for (struct backup *backup = node->backups.items; backup < node->backups.items + LIMIT_BACKUPS_MAX; backup++) {
		if (backup_belongs_to(backup, connection))
			backup_give_up(backup);
	}
}

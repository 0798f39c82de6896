/* SPDX-License-Identifier: Apache-2.0 */
/* Backups while serving. Any member makes one: it proves like a read that it knows all that was answered before, makes
 * a checkpoint unless the last one reaches that far, has the driver cut it into a file, and hands the file out part by
 * part to the connection that began it.
 *
 * A backup costs the disk as much as a snapshot, so there are few at a time, one per connection, and none stays that
 * nobody asks for. One that is given up while the driver works keeps its place until the driver is done: otherwise
 * whoever begins one after the other would make cuts without end. */
#ifndef LOCKD_NODE_BACKUP_H
#define LOCKD_NODE_BACKUP_H

#include "api/limits.h"
#include "client.h"
#include "lockd/node/node.h"

struct query;
struct replica;

enum backup_phase {
	BACKUP_NONE,
	BACKUP_CHECKPOINT, /* waits for one that reaches `index` */
	BACKUP_CUTTING,    /* the driver works: a request waits, or it was given up … */
	BACKUP_READING,    /* … likewise */
	BACKUP_READY,
};

struct backup {
	enum backup_phase phase;
	uint64_t number;
	struct replica *replica;
	node_connection connection;
	uint64_t id;       /* of the request that waits, unless READY */
	bool given_up;     /* nobody wants to know what the driver reports */
	raft_index index;  /* it holds all entries up to here */
	uint64_t bytes;    /* from READING on */
	raft_usec used_at; /* mono, when READY: the last answer */
};

struct backups {
	struct backup items[LIMIT_BACKUPS_MAX];
	uint64_t number; /* of the last one; never given twice by a process */
};

/* The query that began it has its proof. */
void backup_begin(struct replica *replica, const struct query *query);
/* The next part is asked for. */
void backup_read(struct node *node, const struct client *client, uint64_t id, const Client__Backup *part);
/* What the driver was asked to do is done. */
void backup_done(struct node *node, const struct node_backup_report *report);
/* A checkpoint of the replica could not be written. */
void backups_fail(struct replica *replica);
/* Asks for the checkpoint that is missing, cuts what is there, forgets what nobody asks for. */
void backups_advance(struct replica *replica);
/* Pulls *deadline forward to the next one that is to be forgotten. */
void backups_get_deadline(const struct node *node, raft_usec *deadline);
void backups_forget_connection(struct node *node, node_connection connection);

#endif

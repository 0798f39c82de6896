/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints: when enough log has gathered, the state is cut between two entries, the frozen rows are copied a few per
 * turn, and the rows that changed go to the disk with a header. The log is trimmed only behind a durable checkpoint,
 * and keeps a tail for followers that lag. */
#ifndef LOCKD_NODE_CHECKPOINT_H
#define LOCKD_NODE_CHECKPOINT_H

#include "api/record.pb-c.h"
#include "lockd/node/node.h"
#include "lockd/state/state.h"

struct node;
struct replica;

enum {
	CHECKPOINT_FORMAT = 1,
	/* A full disk is asked again after this long. */
	CHECKPOINT_RETRY_US = 1000 * 1000,
};

enum checkpoint_phase {
	CHECKPOINT_IDLE,
	CHECKPOINT_COPYING,
	CHECKPOINT_WRITING,
	CHECKPOINT_VOID, /* being written while a snapshot has replaced the state: its answer is only waited for */
};

struct checkpoint {
	enum checkpoint_phase phase;
	bool wanted; /* a peer needs a snapshot and there is no checkpoint yet */
	struct state_cut cut;
	raft_index durable; /* index of the last durable one; 0: none */
	raft_term durable_term;
	size_t log_bytes, log_entries; /* applied since the last cut */
	raft_usec retry_at;            /* mono; 0: at once */
	struct node_checkpoint out;    /* while WRITING; owns header, row_ids and rows */
	bool fresh;                    /* `out` was made in this turn */
	struct state *replaced;        /* while VOID: the state that the rows of `out` stand in */
};

void checkpoint_deinit(struct checkpoint *checkpoint);

/* An entry of that size has been applied. */
void checkpoint_count(struct checkpoint *checkpoint, size_t bytes);
/* Begins, goes on, hands out. */
void checkpoint_advance(struct replica *replica);
/* The disk's answer. */
void checkpoint_written(struct replica *replica, bool ok);
/* A snapshot at (index, term) was installed, `replaced` is the state before it, owned by this call: whatever was being
 * made is void. */
void checkpoint_replace(struct replica *replica, raft_index index, raft_term term, struct state *replaced);
/* Drops log that neither the next boot nor a follower in reach needs. */
void checkpoint_trim(struct replica *replica);
/* Pulls *deadline forward while there are rows to copy. */
void checkpoint_get_deadline(const struct replica *replica, raft_usec *deadline);

/* A header's fields, checked. */
struct checkpoint_header {
	struct node_uuid incarnation;
	uint32_t epoch, group;
	struct state_cut cut;
	raft_index configuration_index;
	struct raft_configuration configuration;
	/* Borrowed from the node's arena: the configuration as it stands in the log, and the founding one. */
	struct node_bytes configuration_bytes, founding;
};
/* Of the cut, on the heap. */
const uint8_t *checkpoint_pack_header(struct replica *replica, size_t *ret_n);
/* 0, or with *ret_fault saying why: -EBADMSG; -ENOTSUP: what cannot be read comes from a later program. Its machine version
 * may be one that this node does not know. */
int checkpoint_unpack_header(struct node *node, const uint8_t *bytes, size_t n, struct checkpoint_header *ret,
			     const char **ret_fault);

#endif

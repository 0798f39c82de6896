/* SPDX-License-Identifier: Apache-2.0 */
/* `lockd check`: what a stopped node's folder holds, all that is wrong with it, and what a node would do with it.
 *
 * Everything happens on a twin (twin.h), so not one byte of the folder changes. Every part is read with the functions that a
 * node reads it with, under an audit (audit.h): they pass over what is damaged and read on. What a node would do is then
 * not worked out but tried: store_open(), store_load() and, should they refuse, store_set_aside(). */
#ifndef LOCKD_IO_EXAMINATION_H
#define LOCKD_IO_EXAMINATION_H

#include "lockd/io/logdb.h"
#include "lockd/io/statedb.h"
#include "lockd/io/superblock.h"
#include "lockd/io/wal.h"

#include <stdio.h>

enum examination_verdict {
	EXAMINATION_STARTS,    /* a node starts with it */
	EXAMINATION_BLANK,     /* likewise, as one that belongs to no cluster yet */
	EXAMINATION_SET_ASIDE, /* damaged: a node moves it aside and asks its peers to be let in anew */
	EXAMINATION_REFUSED,   /* a node refuses it and changes nothing */
};

struct examination_finding {
	bool damage; /* otherwise a crash may have left it so, and nothing is lost by it */
	const char *part;
	char *sentence;
};

struct examination_database {
	bool exists, open;
	uint64_t bytes;
	struct wal_facts wal;
};

struct examination_member {
	struct node_member member; /* its addresses are malloc'd */
	bool self;
};

struct examination {
	char *folder;

	bool has_superblock;
	struct superblock_view superblock;
	int newest_slot; /* -1: neither can be believed */

	struct examination_database log, state;
	struct logdb_identity log_identity; /* zeroed if it cannot be believed */
	struct logdb_group log_groups[LIMIT_GROUPS_MAX];
	size_t n_log_groups;
	struct statedb_group state_groups[LIMIT_GROUPS_MAX];
	uint64_t state_rows[LIMIT_GROUPS_MAX]; /* that are whole */
	size_t n_state_groups;

	struct store_past past; /* n 0: the folder stands in nobody's place */
	uint64_t reserve_bytes;

	struct examination_finding *findings;
	size_t n_findings, n_damages;

	enum examination_verdict verdict;
	char reason[512];    /* why not, if it does not start; in its own words */
	bool mark_of_old_copy; /* it is refused as an older copy of itself */

	/* The content, if a node can load it. */
	bool loaded;
	uint32_t node; /* to which the folder belongs; 0: to no member */
	raft_term term;
	raft_index last, applied; /* the counts are as of `applied` */
	uint64_t sessions, locks;
	struct examination_member members[LIMIT_NODES_MAX];
	size_t n_members;
};

/* 0: examined, whatever was found. Negative errno with a sentence: -EBUSY a process has it, -ENOENT there is no data folder,
 * others: it cannot be read. */
int examination_run(const char *folder, struct examination *ret, struct store_error *error);
void examination_deinit(struct examination *examination);

/* For people, and for programs. */
void examination_print(const struct examination *examination, FILE *out);
int examination_print_json(const struct examination *examination, FILE *out);

/* The whole command: exit status 0, EX_DATAERR, EX_NOINPUT or EX_IOERR; a failure is said on stderr. */
int examination_main(const char *folder, bool json);

#endif

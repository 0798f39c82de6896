/* SPDX-License-Identifier: Apache-2.0 */
/* One row per verb: what it is called, what may stand behind it, what it does. The parser, the help and the test of the
 * manual page all read this table, so that none of them can know a verb that the others do not. */
#ifndef CLI_VERB_H
#define CLI_VERB_H

#include <stdbool.h>
#include <stddef.h>

struct arguments;

enum { OPERANDS_MAX = 2 };

struct verb {
	const char *name;                     /* one word, or two ("session ls") */
	const char *operands[OPERANDS_MAX];   /* names for messages and the synopsis */
	size_t operands_min;                  /* those behind are optional */
	bool operand_repeats;                 /* the only one, +ID or -ID, may be given again and again */
	bool takes_command;                   /* `-- COMMAND…` may follow */
	unsigned options;                     /* bit per enum option_id that the verb understands */
	int timeout_ms;                       /* default; 0: ARGUMENT_TIMEOUT_MS_DEFAULT */
	const char *summary;                  /* one line, no full stop */
	const char *description;              /* paragraphs and examples for --help */
	int (*run)(const struct arguments *); /* returns the exit status of the process */
};

extern const struct verb verbs[];
extern const size_t n_verbs;

/* The verb named by the first one or two of `words`; *ret_n says how many it took. NULL: no such verb. */
const struct verb *verb_find(const char *const *words, size_t n, size_t *ret_n);

size_t verb_operands_max(const struct verb *verb);
void verb_print_help(const struct verb *verb);
/* What `lockctl --help` says: every verb with its summary. */
void verb_print_overview(void);

int verb_lock(const struct arguments *arguments);
int verb_ls(const struct arguments *arguments);
int verb_show(const struct arguments *arguments);
int verb_session_ls(const struct arguments *arguments);
int verb_status(const struct arguments *arguments);
int verb_campaign(const struct arguments *arguments);
int verb_leader(const struct arguments *arguments);
int verb_observe(const struct arguments *arguments);
int verb_resign(const struct arguments *arguments);
int verb_backup(const struct arguments *arguments);
int verb_cluster_members(const struct arguments *arguments);
int verb_cluster_add(const struct arguments *arguments);
int verb_cluster_remove(const struct arguments *arguments);
int verb_cluster_promote(const struct arguments *arguments);
int verb_cluster_demote(const struct arguments *arguments);
int verb_cluster_replace(const struct arguments *arguments);
int verb_cluster_change(const struct arguments *arguments);
int verb_cluster_prefer(const struct arguments *arguments);
int verb_cluster_transfer(const struct arguments *arguments);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: which options exist, what they may hold, and the parsed result. */
#ifndef CLI_ARGUMENTS_H
#define CLI_ARGUMENTS_H

#include "cli/verb.h"

#include <lockd/admin.h>
#include <stdint.h>

/* What the cluster accepts, known here so that the message can name the argument. A test holds them to api/limits.h. */
enum {
	ARGUMENT_NAME_BYTES_MAX = 512,
	ARGUMENT_VALUE_BYTES_MAX = 4096,
	ARGUMENT_LABEL_BYTES_MAX = 256,
	ARGUMENT_TTL_MS_MIN = 3000,
	ARGUMENT_TTL_MS_MAX = 24 * 60 * 60 * 1000,
	ARGUMENT_CHANGES_MAX = 18,
	ARGUMENT_PRIORITY_MAX = 255,
	ARGUMENT_ADDRESS_BYTES_MAX = 127,
};

enum {
	ARGUMENT_TTL_MS_DEFAULT = 10000,
	ARGUMENT_TIMEOUT_MS_DEFAULT = 5000,
	/* A node that is added must catch up first. */
	ARGUMENT_TIMEOUT_MS_CHANGING = 60000,
	ARGUMENT_TIMEOUT_MS_BACKUP = 600000,
	ARGUMENT_KILL_AFTER_MS_DEFAULT = 5000,
};

enum option_id {
	OPTION_TTL,
	OPTION_TRY,
	OPTION_WAIT,
	OPTION_LABEL,
	OPTION_CONFLICT_EXIT_CODE,
	OPTION_KILL_AFTER,
	OPTION_SINCE,
	OPTION_COUNT,
	OPTION_LEARNER,
	OPTION_PRIORITY,
	OPTION_PEER_ADDRESS,
	OPTION_CLIENT_ADDRESS,
	OPTION_READ,
	OPTION_AT_LEAST,
	OPTION_NODE,
	OPTION_FORCE,
	OPTION_VERIFY,
	OPTION_JSON,
	OPTION_ENDPOINTS,
	OPTION_TIMEOUT,
	OPTION_HELP,
	OPTION_VERSION,
	N_OPTIONS,
};

#define OPTION_BIT(id) (1u << (id))

/* Understood by every verb. */
#define OPTIONS_COMMON (OPTION_BIT(OPTION_ENDPOINTS) | OPTION_BIT(OPTION_TIMEOUT) | OPTION_BIT(OPTION_HELP))

struct option_row {
	const char *name;     /* without the dashes */
	char letter;          /* 0: none */
	const char *argument; /* NULL: takes none */
	const char *help;
};

extern const struct option_row option_rows[N_OPTIONS];

struct arguments {
	const struct verb *verb;            /* NULL: only --help or --version was given */
	const char *operands[OPERANDS_MAX]; /* NULL where left out; they point into argv, as all strings here do */
	uint32_t numbers[OPERANDS_MAX];     /* of operands that are numbers; 0 where left out */
	struct lockd_member_change changes[ARGUMENT_CHANGES_MAX]; /* of the operands CHANGE */
	size_t n_changes;
	char **command; /* NULL: none */
	unsigned given; /* bit per enum option_id */
	int ttl_ms;
	int wait_ms; /* LOCKD_TRY, LOCKD_FOREVER or the --wait */
	int kill_after_ms;
	int timeout_ms;
	const char *label;     /* NULL: none */
	const char *endpoints; /* NULL: see endpoints.h */
	int conflict_exit_code;
	uint64_t since;
	uint64_t count; /* 0: no end */
	struct lockd_read read;
	const char *peer_address, *client_address; /* NULL: none */
	uint32_t priority;
};

/* Parses the command line. 0, or EXIT_USAGE after a message that names the offending argument; `ret` is untouched then.
 */
int arguments_parse(int argc, char **argv, struct arguments *ret);

/* Whether the command line says how to read. */
#define OPTIONS_READING (OPTION_BIT(OPTION_READ) | OPTION_BIT(OPTION_AT_LEAST) | OPTION_BIT(OPTION_NODE))

static inline bool arguments_given(const struct arguments *arguments, enum option_id id) {
	return arguments->given & OPTION_BIT(id);
}

#endif

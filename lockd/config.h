/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of a node: an INI file without sections and flags of the same names; a flag overrides the file.
 * Every key is one row of the table in config.c, which parsing, checking and --help share. */
#ifndef LOCKD_CONFIG_H
#define LOCKD_CONFIG_H

#include "api/limits.h"
#include "lockd/io/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CONFIG_TEXT_BYTES_MAX = 256 };

struct config_peer {
	uint32_t node;
	char peer_address[CONFIG_TEXT_BYTES_MAX], client_address[CONFIG_TEXT_BYTES_MAX];
};

enum config_profile { CONFIG_LAN, CONFIG_WAN };

struct config {
	uint32_t node;
	char data[CONFIG_TEXT_BYTES_MAX];
	char listen_peer[CONFIG_TEXT_BYTES_MAX], listen_client[CONFIG_TEXT_BYTES_MAX];
	char listen_metrics[CONFIG_TEXT_BYTES_MAX]; /* empty: off */
	struct config_peer peers[LIMIT_NODES_MAX]; /* the initial cluster, this node included; none: this node alone */
	uint32_t n_peers;
	uint32_t heartbeat_ms, election_ms_min, election_ms_max, check_quorum_ms, promise_ms, drift_ppm;
	uint32_t checkpoint_log_bytes, checkpoint_log_entries, trailing_log_bytes, trailing_log_entries;
	enum config_profile profile; /* has been applied to the times */
	uint32_t stall_ms;           /* 0: election_ms_max */
	uint32_t reserve_mib;
	bool leader_lease, repair;
	enum log_level log_level;
	/* Of the commands recover and restore alone. */
	uint32_t recovery_epoch; /* 0: not given */
	bool recovery_confirmed; /* --yes */
	const char *backup;      /* restore: the file; points into argv */
	/* Of the command check alone. */
	bool examination_json; /* --json */
};

/* One sentence that names file and line or the flag, the key, its value and what is allowed. */
struct config_error {
	char text[640];
};

enum {
	CONFIG_HELP = 1, /* --help was given */
	CONFIG_VERSION,  /* --version was given */
	CONFIG_CHECK,    /* --check-config was given, and there is nothing to complain about */
	CONFIG_RECOVER,  /* the first argument is the word recover */
	CONFIG_RESTORE,  /* the first argument is the word restore */
	CONFIG_EXAMINE,  /* the first argument is the word check: only data and what is its own are set */
};

/* 0, one of the outcomes above, or -1 with *ret_error filled in. */
int config_parse(int argc, char *const argv[], struct config *ret, struct config_error *ret_error);

/* The text of --help. */
void config_print_help(void);

#endif

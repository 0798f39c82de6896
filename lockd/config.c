/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "lockd/io/address.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum key_kind { KEY_NUMBER, KEY_TEXT, KEY_ADDRESS, KEY_ADDRESS_OR_OFF, KEY_LEVEL, KEY_SWITCH, KEY_PROFILE, KEY_PEER };

struct key {
	const char *name;
	enum key_kind kind;
	size_t offset; /* of the field in struct config */
	uint32_t min, max, standard;
	const char *standard_text;
	const char *help;
};

static const char *const profile_names[] = {[CONFIG_LAN] = "lan", [CONFIG_WAN] = "wan"};

#define NUMBER(name, field, min, max, standard, help)                                                                  \
	{ name, KEY_NUMBER, offsetof(struct config, field), min, max, standard, NULL, help }

static const struct key keys[] = {
	NUMBER("node", node, 1, 65535, 1, "id of this node, unique in the cluster"),
	{"data", KEY_TEXT, offsetof(struct config, data), 0, 0, 0, "$STATE_DIRECTORY or ./lockd-data",
	 "folder for log and state"},
	{"listen-client", KEY_ADDRESS, offsetof(struct config, listen_client), 0, 0, 0,
	 "this node's entry in peer, or 127.0.0.1:7600", "host:port for clients; port 0 takes a free one"},
	{"listen-peer", KEY_ADDRESS, offsetof(struct config, listen_peer), 0, 0, 0,
	 "this node's entry in peer, or 127.0.0.1:7601", "host:port for the other nodes"},
	{"listen-metrics", KEY_ADDRESS_OR_OFF, offsetof(struct config, listen_metrics), 0, 0, 0, "off",
	 "host:port for GET /metrics, /healthz and /readyz, without authentication; or off"},
	{"peer", KEY_PEER, 0, 0, 0, 0, "none: a cluster of this node alone",
	 "\"ID PEER_ADDRESS CLIENT_ADDRESS\", once per node of the cluster, this one included"},
	{"profile", KEY_PROFILE, offsetof(struct config, profile), 0, 0, CONFIG_LAN, "lan",
	 "lan, or wan for round trips of 50 ms and more: defaults for the times below"},
	NUMBER("heartbeat-ms", heartbeat_ms, 1, 60000, 50, "how often a leader shows itself"),
	NUMBER("promise-ms", promise_ms, 2, 120000, 200,
	       "how long a voter stands by its leader; fixed when the cluster is founded"),
	NUMBER("check-quorum-ms", check_quorum_ms, 2, 120000, 400,
	       "a leader that hears no majority for so long steps down"),
	NUMBER("election-ms-min", election_ms_min, 2, 120000, 400, "shortest silence before an election"),
	NUMBER("election-ms-max", election_ms_max, 3, 240000, 800, "longest silence before an election"),
	NUMBER("stall-ms", stall_ms, 0, 240000, 0,
	       "a leader whose disk takes longer for one write hands over; 0: election-ms-max"),
	{"leader-lease", KEY_SWITCH, offsetof(struct config, leader_lease), 0, 0, true, "yes",
	 "yes or no: whether a leader answers reads by its lease, without asking a majority each time"},
	NUMBER("reserve-mib", reserve_mib, 0, 1024, 16,
	       "space kept in the data folder for the time when the disk is full; 0: none"),
	{"repair", KEY_SWITCH, offsetof(struct config, repair), 0, 0, true, "yes",
	 "yes or no: whether a node sets a damaged data folder aside and gets a new one from the others"},
	NUMBER("drift-ppm", drift_ppm, 0, 300000, 100000,
	       "by how much a clock may run fast or slow, in millionths; fixed when the cluster is founded"),
	NUMBER("checkpoint-log-bytes", checkpoint_log_bytes, 4096, LIMIT_RETAINED_LOG_BYTES_MAX / 2,
	       LIMIT_CHECKPOINT_LOG_BYTES, "a checkpoint is made after this much log"),
	NUMBER("checkpoint-log-entries", checkpoint_log_entries, 16, 1 << 20, LIMIT_CHECKPOINT_LOG_ENTRIES,
	       "or after so many entries"),
	NUMBER("trailing-log-bytes", trailing_log_bytes, 1, LIMIT_RETAINED_LOG_BYTES_MAX / 2, LIMIT_TRAILING_LOG_BYTES,
	       "log kept behind a checkpoint for nodes that lag"),
	NUMBER("trailing-log-entries", trailing_log_entries, 1, 1 << 20, LIMIT_TRAILING_LOG_ENTRIES,
	       "at most so many entries of it"),
	{"log-level", KEY_LEVEL, offsetof(struct config, log_level), 0, 0, LOG_LEVEL_INFO, "info",
	 "error, warning, info or debug"},
};

enum { N_KEYS = sizeof keys / sizeof *keys };

/* What the profile wan says instead of the table. */
static const struct {
	const char *name;
	uint32_t standard;
} wan[] = {
	{"heartbeat-ms", 250},     {"promise-ms", 1500},      {"check-quorum-ms", 3000},
	{"election-ms-min", 3000}, {"election-ms-max", 6000},
};

/* Where the value of a key came from, for messages. */
struct origin {
	unsigned line; /* of the file; 0: not from there */
	bool flag;
};

struct parse {
	struct config *config;
	struct config_error *error;
	bool failed; /* the first error stands */
	const char *file;
	FILE *stream;
	unsigned line;
	char *buffer; /* of getline */
	size_t buffer_bytes;
	bool flags;    /* the command line is being read */
	bool recovers; /* it begins with the word recover, or with … */
	bool restores; /* … the word restore, which takes a FILE */
	struct origin origins[N_KEYS];
};

/* ---- Errors -------------------------------------------------------------------------------------------------------
 */

static int fail(struct parse *parse, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int fail(struct parse *parse, const char *format, ...) {
	va_list args;

	if (parse->failed)
		return -1;
	parse->failed = true;
	va_start(args, format);
	vsnprintf(parse->error->text, sizeof parse->error->text, format, args);
	va_end(args);
	return -1;
}

/* "file:12: key = value" or "--key value", as it was given. */
static const char *where(const struct parse *parse, const struct key *key, const char *value, char out[512]) {
	const struct origin *origin = &parse->origins[key - keys];

	if (origin->flag)
		snprintf(out, 512, "--%s %s", key->name, value);
	else if (origin->line > 0)
		snprintf(out, 512, "%s:%u: %s = %s", parse->file, origin->line, key->name, value);
	else
		snprintf(out, 512, "%s = %s (the default%s)", key->name, value,
			 parse->config->profile == CONFIG_WAN ? " of the profile wan" : "");
	return out;
}

static int fail_value(struct parse *parse, const struct key *key, const char *value, const char *allowed) {
	char place[512];

	return fail(parse, "%s: %s", where(parse, key, value, place), allowed);
}

/* ---- Nearest key --------------------------------------------------------------------------------------------------
 */

static unsigned smallest(unsigned a, unsigned b, unsigned c) {
	return a < b ? (a < c ? a : c) : (b < c ? b : c);
}

/* Edits that turn one word into the other (Levenshtein). */
static unsigned distance(const char *a, const char *b) {
	unsigned row[64], n = (unsigned)strlen(b);

	if (strlen(a) >= 64 || n >= 63)
		return 64;
	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1]; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= n; j++) {
			unsigned above = row[j];

			row[j] = smallest(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[n];
}

static const char *nearest(const char *name) {
	const char *best = NULL;
	unsigned best_distance = 4;

	for (int i = 0; i < N_KEYS; i++) {
		unsigned d = distance(name, keys[i].name);

		if (d < best_distance) {
			best = keys[i].name;
			best_distance = d;
		}
	}
	return best;
}

/* ---- Values -------------------------------------------------------------------------------------------------------
 */

static bool parse_number(const char *text, uint32_t max, uint32_t *ret) {
	uint64_t n = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		n = n * 10 + (uint64_t)(*text - '0');
		if (n > max)
			return false;
	}
	*ret = (uint32_t)n;
	return true;
}

static void *field_of(struct config *config, const struct key *key) {
	return (char *)config + key->offset;
}

static int set_number(struct parse *parse, const struct key *key, const char *value) {
	char allowed[96];
	uint32_t n;

	if (!parse_number(value, key->max, &n) || n < key->min) {
		snprintf(allowed, sizeof allowed, "must be a whole number from %u to %u", key->min, key->max);
		return fail_value(parse, key, value, allowed);
	}
	memcpy(field_of(parse->config, key), &n, sizeof n);
	return 0;
}

static int set_text(struct parse *parse, const struct key *key, const char *value) {
	if (!*value || strlen(value) >= CONFIG_TEXT_BYTES_MAX)
		return fail_value(parse, key, value, "must have 1 to 255 bytes");
	if (key->kind == KEY_ADDRESS && !address_is_valid(value))
		return fail_value(parse, key, value, "must be host:port with a port from 0 to 65535");
	snprintf(field_of(parse->config, key), CONFIG_TEXT_BYTES_MAX, "%s", value);
	return 0;
}

static int set_address_or_off(struct parse *parse, const struct key *key, const char *value) {
	if (strcmp(value, "off") != 0 && !address_is_valid(value))
		return fail_value(parse, key, value, "must be off, or host:port with a port from 0 to 65535");
	snprintf(field_of(parse->config, key), CONFIG_TEXT_BYTES_MAX, "%s", strcmp(value, "off") == 0 ? "" : value);
	return 0;
}

static int set_level(struct parse *parse, const struct key *key, const char *value) {
	if (!log_level_parse(value, &parse->config->log_level))
		return fail_value(parse, key, value, "must be error, warning, info or debug");
	return 0;
}

static int set_switch(struct parse *parse, const struct key *key, const char *value) {
	bool yes = strcmp(value, "yes") == 0;

	if (!yes && strcmp(value, "no") != 0)
		return fail_value(parse, key, value, "must be yes or no");
	memcpy(field_of(parse->config, key), &yes, sizeof yes);
	return 0;
}

static int set_profile(struct parse *parse, const struct key *key, const char *value) {
	for (int i = CONFIG_LAN; i <= CONFIG_WAN; i++) {
		if (strcmp(value, profile_names[i]) == 0) {
			parse->config->profile = (enum config_profile)i;
			return 0;
		}
	}
	return fail_value(parse, key, value, "must be lan or wan");
}

/* Flags replace the file's list as a whole: half of each would be a third cluster. */
static void restart_list(struct parse *parse, const struct key *key) {
	struct origin *origin = &parse->origins[key - keys];

	if (parse->flags && !origin->flag)
		parse->config->n_peers = 0;
}

static int add_peer(struct parse *parse, const struct key *key, const char *value) {
	struct config *config = parse->config;
	struct config_peer peer;
	char id[16], rest[2];

	if (sscanf(value, "%15s %255s %255s %1s", id, peer.peer_address, peer.client_address, rest) != 3 ||
	    !parse_number(id, 65535, &peer.node) || peer.node == 0)
		return fail_value(parse, key, value,
				  "must be ID PEER_ADDRESS CLIENT_ADDRESS, such as 2 10.0.0.2:7601 10.0.0.2:7600");
	if (!address_is_valid(peer.peer_address) || !address_is_valid(peer.client_address))
		return fail_value(parse, key, value, "must have two addresses of the form host:port");
	for (uint32_t i = 0; i < config->n_peers; i++) {
		if (config->peers[i].node == peer.node)
			return fail_value(parse, key, value, "this id is listed twice");
		if (strcmp(config->peers[i].peer_address, peer.peer_address) == 0)
			return fail_value(parse, key, value, "this peer address is listed twice");
	}
	if (config->n_peers == LIMIT_NODES_MAX) {
		char allowed[64];

		snprintf(allowed, sizeof allowed, "a cluster has at most %d nodes", LIMIT_NODES_MAX);
		return fail_value(parse, key, value, allowed);
	}
	config->peers[config->n_peers++] = peer;
	return 0;
}

static int set(struct parse *parse, const struct key *key, const char *value) {
	struct origin *origin = &parse->origins[key - keys];
	bool repeated = parse->flags ? origin->flag : origin->line > 0;

	if (key->kind == KEY_PEER)
		restart_list(parse, key);
	*origin = (struct origin){.line = parse->line, .flag = parse->flags};
	if (repeated && key->kind != KEY_PEER)
		return fail_value(parse, key, value, "is given twice");

	switch (key->kind) {
	case KEY_NUMBER: return set_number(parse, key, value);
	case KEY_TEXT:
	case KEY_ADDRESS: return set_text(parse, key, value);
	case KEY_ADDRESS_OR_OFF: return set_address_or_off(parse, key, value);
	case KEY_LEVEL: return set_level(parse, key, value);
	case KEY_SWITCH: return set_switch(parse, key, value);
	case KEY_PROFILE: return set_profile(parse, key, value);
	case KEY_PEER: return add_peer(parse, key, value);
	}
	return 0;
}

static const struct key *find_key(const char *name) {
	for (int i = 0; i < N_KEYS; i++) {
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	}
	return NULL;
}

/* ---- File ---------------------------------------------------------------------------------------------------------
 */

/* inih splits a line that is longer than its buffer into two and miscounts from there on; so lines are read here, and
 * long ones are refused. Leading blanks go, since inih would take the line for a continuation. */
static char *read_line(char *out, int out_bytes, void *arg) {
	struct parse *parse = arg;
	ssize_t n = getline(&parse->buffer, &parse->buffer_bytes, parse->stream);
	const char *text = parse->buffer;

	if (n < 0 || parse->failed)
		return NULL;
	parse->line++;
	if (strlen(text) != (size_t)n) {
		fail(parse, "%s:%u: the line holds a zero byte", parse->file, parse->line);
		return NULL;
	}
	text += strspn(text, " \t");
	if (strlen(text) >= (size_t)out_bytes) {
		fail(parse, "%s:%u: the line is longer than %d bytes", parse->file, parse->line, out_bytes - 1);
		return NULL;
	}
	memcpy(out, text, strlen(text) + 1);
	return out;
}

static int on_pair(void *arg, const char *section, const char *name, const char *value) {
	struct parse *parse = arg;
	const struct key *key = find_key(name);
	const char *hint = nearest(name);

	if (*section)
		return fail(parse, "%s:%u: sections are not used, leave out [%s]", parse->file, parse->line, section) ==
		       0;
	if (!key)
		return fail(parse, "%s:%u: there is no key %s%s%s%s", parse->file, parse->line, name,
			    hint ? "; did you mean " : "", hint ? hint : "", hint ? "?" : "") == 0;
	return set(parse, key, value) == 0;
}

static int parse_file(struct parse *parse, const char *file) {
	int r;

	parse->file = file;
	parse->stream = fopen(file, "re");
	if (!parse->stream)
		return fail(parse, "%s: cannot be read: %s", file, strerror(errno));
	r = ini_parse_stream(read_line, parse, on_pair, parse);
	if (r != 0)
		fail(parse, "%s:%d: expected KEY = VALUE", file, r);
	if (ferror(parse->stream))
		fail(parse, "%s: cannot be read: %s", file, strerror(errno));
	fclose(parse->stream);
	free(parse->buffer);
	parse->line = 0;
	return parse->failed ? -1 : 0;
}

/* ---- Flags --------------------------------------------------------------------------------------------------------
 */

/* The value of the flag at argv[*i], "--key=value" or "--key value"; NULL: there is none. */
static const char *flag_value(int argc, char *const argv[], int *i, size_t name_bytes) {
	if (argv[*i][2 + name_bytes] == '=')
		return argv[*i] + 2 + name_bytes + 1;
	return *i + 1 < argc ? argv[++*i] : NULL;
}

struct flag {
	char name[64];
	const char *value;
};

static bool is_recovery_flag(const struct parse *parse, const char *name) {
	return parse->recovers && strcmp(name, "epoch") == 0;
}

static int check_flag(struct parse *parse, const char *name) {
	const char *hint = nearest(name);

	if (strcmp(name, "config") == 0 || is_recovery_flag(parse, name) || find_key(name))
		return 0;
	return fail(parse, "there is no flag --%s%s%s%s", name, hint ? "; did you mean --" : "", hint ? hint : "",
		    hint ? "?" : "");
}

static int next_flag(struct parse *parse, int argc, char *const argv[], int *i, struct flag *ret) {
	const char *arg = argv[*i];
	size_t n = strcspn(arg + (strncmp(arg, "--", 2) == 0 ? 2 : 0), "=");

	if (strncmp(arg, "--", 2) != 0 || n == 0 || n >= sizeof ret->name)
		return fail(parse, "%s: expected --KEY VALUE; --help lists the keys", arg);
	memcpy(ret->name, arg + 2, n);
	ret->name[n] = '\0';
	if (check_flag(parse, ret->name) < 0)
		return -1;
	ret->value = flag_value(argc, argv, i, n);
	if (!ret->value)
		return fail(parse, "--%s: needs a value", ret->name);
	return 0;
}

static int set_epoch(struct parse *parse, const char *value) {
	if (!parse_number(value, UINT32_MAX, &parse->config->recovery_epoch) || parse->config->recovery_epoch == 0)
		return fail(parse, "--epoch %s: must be a whole number from 1 to %u", value, UINT32_MAX);
	return 0;
}

static int set_flag(struct parse *parse, const struct flag *flag) {
	if (strcmp(flag->name, "config") == 0)
		return 0; /* has been read */
	return is_recovery_flag(parse, flag->name) ? set_epoch(parse, flag->value)
						   : set(parse, find_key(flag->name), flag->value);
}

/* Comes in both passes. */
static bool take_backup(struct parse *parse, const char *arg) {
	if (parse->config->backup && parse->config->backup != arg)
		fail(parse, "%s: one FILE is restored, and %s is named already", arg, parse->config->backup);
	parse->config->backup = arg;
	return true;
}

/* A flag that takes no value, or the FILE. */
static bool take_word(struct parse *parse, const char *arg, int *outcome) {
	if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
		*outcome = CONFIG_HELP;
	else if (strcmp(arg, "--version") == 0)
		*outcome = CONFIG_VERSION;
	else if (strcmp(arg, "--check-config") == 0)
		*outcome = CONFIG_CHECK;
	else if (parse->recovers && strcmp(arg, "--yes") == 0)
		parse->config->recovery_confirmed = true;
	else if (parse->restores && strncmp(arg, "--", 2) != 0)
		return take_backup(parse, arg);
	else
		return false;
	return true;
}

/* The file first, so that flags override it wherever --config stands. */
static int parse_arguments(struct parse *parse, int argc, char *const argv[], int *ret_outcome) {
	const char *file = NULL;
	struct flag flag;

	parse->restores = argc > 1 && strcmp(argv[1], "restore") == 0;
	parse->recovers = parse->restores || (argc > 1 && strcmp(argv[1], "recover") == 0);
	if (parse->recovers)
		*ret_outcome = parse->restores ? CONFIG_RESTORE : CONFIG_RECOVER;
	else
		*ret_outcome = 0;
	for (int pass = 0; pass < 2; pass++) {
		parse->flags = pass == 1;
		for (int i = parse->recovers ? 2 : 1; i < argc; i++) {
			if (take_word(parse, argv[i], ret_outcome)) {
				if (*ret_outcome == CONFIG_HELP || *ret_outcome == CONFIG_VERSION)
					return 0;
				continue;
			}
			if (next_flag(parse, argc, argv, &i, &flag) < 0 || (parse->flags && set_flag(parse, &flag) < 0))
				return -1;
			if (strcmp(flag.name, "config") == 0)
				file = flag.value;
		}
		if (pass == 0 && file && parse_file(parse, file) < 0)
			return -1;
	}
	if (*ret_outcome == CONFIG_RESTORE && !parse->config->backup)
		return fail(parse, "restore: expected restore FILE --data DIR [--node ID]");
	return parse->failed ? -1 : 0;
}

/* ---- Defaults and relations ---------------------------------------------------------------------------------------
 */

static void set_defaults(struct config *config) {
	const char *state = getenv("STATE_DIRECTORY");

	*config = (struct config){.log_level = LOG_LEVEL_INFO, .leader_lease = true, .repair = true};
	for (int i = 0; i < N_KEYS; i++) {
		if (keys[i].kind == KEY_NUMBER)
			memcpy(field_of(config, &keys[i]), &keys[i].standard, sizeof keys[i].standard);
	}
	/* systemd separates several directories by colons; the unit names one. */
	snprintf(config->data, sizeof config->data, "%s", state && *state ? state : "./lockd-data");
}

static void apply_profile(struct parse *parse) {
	if (parse->config->profile != CONFIG_WAN)
		return;
	for (size_t i = 0; i < sizeof wan / sizeof *wan; i++) {
		const struct key *key = find_key(wan[i].name);
		const struct origin *origin = &parse->origins[key - keys];

		if (!origin->flag && origin->line == 0)
			memcpy(field_of(parse->config, key), &wan[i].standard, sizeof wan[i].standard);
	}
}

/* "key = value" of a related key for a message, with where it stands if that was given. */
static int fail_relation(struct parse *parse, const char *name, const char *rule, const char *other) {
	const struct key *key = find_key(name), *other_key = find_key(other);
	char value[16], other_value[16], place[512], other_place[512];
	uint32_t n;

	memcpy(&n, field_of(parse->config, key), sizeof n);
	snprintf(value, sizeof value, "%u", n);
	memcpy(&n, field_of(parse->config, other_key), sizeof n);
	snprintf(other_value, sizeof other_value, "%u", n);
	return fail(parse, "%s: %s; compare %s", where(parse, key, value, place), rule,
		    where(parse, other_key, other_value, other_place));
}

/* The lease rests on these (struct raft_timing): a promise measured by a slow clock must have ended before a leader
 * with a fast one stops believing in its quorum. */
static int check_timing(struct parse *parse) {
	const struct config *config = parse->config;
	const uint64_t million = 1000000;

	if (2 * config->heartbeat_ms > config->promise_ms)
		return fail_relation(parse, "heartbeat-ms", "must be at most half of promise-ms", "promise-ms");
	if (config->promise_ms * (million + config->drift_ppm) >
	    config->check_quorum_ms * (million - config->drift_ppm))
		return fail_relation(parse, "promise-ms", "must be at most check-quorum-ms × (1 − drift) / (1 + drift)",
				     "check-quorum-ms");
	if (config->check_quorum_ms > config->election_ms_min)
		return fail_relation(parse, "check-quorum-ms", "must be at most election-ms-min", "election-ms-min");
	if (config->election_ms_min >= config->election_ms_max)
		return fail_relation(parse, "election-ms-min", "must be less than election-ms-max", "election-ms-max");
	/* A few heartbeats may be lost or late before anybody campaigns. */
	if (5 * config->heartbeat_ms > config->election_ms_min)
		return fail_relation(parse, "heartbeat-ms", "must be at most a fifth of election-ms-min",
				     "election-ms-min");
	return 0;
}

/* What this node listens on follows from its own entry, unless it is given. */
static int check_peers(struct parse *parse) {
	struct config *config = parse->config;
	const struct config_peer *self = NULL;
	char node[16];

	for (uint32_t i = 0; i < config->n_peers; i++) {
		if (config->peers[i].node == config->node)
			self = &config->peers[i];
	}
	if (config->n_peers > 0 && !self) {
		snprintf(node, sizeof node, "%u", config->node);
		return fail_value(parse, find_key("node"), node, "the list of peers does not name this node");
	}
	if (!*config->listen_client)
		snprintf(config->listen_client, CONFIG_TEXT_BYTES_MAX, "%s",
			 self ? self->client_address : "127.0.0.1:7600");
	if (!*config->listen_peer)
		snprintf(config->listen_peer, CONFIG_TEXT_BYTES_MAX, "%s",
			 self ? self->peer_address : "127.0.0.1:7601");
	return 0;
}

/* `lockd check DIR` asks for no configuration: the folder may be of any node, and lie anywhere. */
static int parse_examination(struct parse *parse, int argc, char *const argv[]) {
	struct config *config = parse->config;

	*config->data = '\0';
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return CONFIG_HELP;
		if (strcmp(argv[i], "--json") == 0)
			config->examination_json = true;
		else if (*argv[i] == '-')
			return fail(parse, "check: there is no flag %s; expected check [--json] DIR", argv[i]);
		else if (*config->data)
			return fail(parse, "check %s %s: expected one folder", config->data, argv[i]);
		else if (!*argv[i] || strlen(argv[i]) >= CONFIG_TEXT_BYTES_MAX)
			return fail(parse, "check: the name of the folder must have 1 to %d bytes",
				    CONFIG_TEXT_BYTES_MAX - 1);
		else
			snprintf(config->data, sizeof config->data, "%s", argv[i]);
	}
	return *config->data ? CONFIG_EXAMINE : fail(parse, "check: expected check [--json] DIR");
}

int config_parse(int argc, char *const argv[], struct config *ret, struct config_error *ret_error) {
	struct config config;
	struct parse parse = {.config = &config, .error = ret_error};
	int outcome;

	set_defaults(&config);
	if (argc > 1 && strcmp(argv[1], "check") == 0) {
		outcome = parse_examination(&parse, argc, argv);
		if (outcome == CONFIG_EXAMINE)
			*ret = config;
		return outcome;
	}
	if (parse_arguments(&parse, argc, argv, &outcome) < 0)
		return -1;
	if (outcome == CONFIG_HELP || outcome == CONFIG_VERSION)
		return outcome;
	apply_profile(&parse);
	if (check_timing(&parse) < 0 || check_peers(&parse) < 0)
		return -1;
	*ret = config;
	return outcome;
}

void config_print_help(void) {
	printf("lockd: a lock and lease service, replicated by Raft\n\n"
	       "usage: lockd [--config FILE] [--KEY VALUE]...\n"
	       "       lockd --check-config [...] | --version | --help\n"
	       "       lockd recover [--config FILE] [--KEY VALUE]... [--epoch E] --yes\n"
	       "       lockd restore BACKUP [--config FILE] [--KEY VALUE]... [--epoch E] --yes\n"
	       "       lockd check [--json] DIR\n\n"
	       "Without arguments: a cluster of one node on the loopback interface.\n"
	       "FILE has lines KEY = VALUE; lines that begin with # or ; are comments. A flag overrides the file.\n\n");
	for (int i = 0; i < N_KEYS; i++) {
		const struct key *key = &keys[i];

		printf("  --%-23s %s\n", key->name, key->help);
		if (key->kind == KEY_NUMBER)
			printf("  %25s %u to %u, default %u\n", "", key->min, key->max, key->standard);
		else
			printf("  %25s default: %s\n", "", key->standard_text);
	}
	printf("\nTogether: 2 × heartbeat-ms ≤ promise-ms; promise-ms/(1−drift) ≤ check-quorum-ms/(1+drift);\n"
	       "check-quorum-ms ≤ election-ms-min < election-ms-max; 5 × heartbeat-ms ≤ election-ms-min.\n"
	       "The profile wan: ");
	for (size_t i = 0; i < sizeof wan / sizeof *wan; i++)
		printf("%s%s %u", i > 0 ? ", " : "", wan[i].name, wan[i].standard);
	printf(".\n\n"
	       "Three nodes: the same file everywhere,\n"
	       "  peer = 1 10.0.0.1:7601 10.0.0.1:7600\n"
	       "  peer = 2 10.0.0.2:7601 10.0.0.2:7600\n"
	       "  peer = 3 10.0.0.3:7601 10.0.0.3:7600\n"
	       "and --node 1, 2 or 3. The node with the lowest id founds the cluster when it has met all others.\n"
	       "A node that joins later lists itself and some that are members; then: lockctl cluster add ID.\n"
	       "lockd recover makes this folder a cluster of one, after the majority is lost for good: see lockd(8).\n"
	       "lockd restore makes a new cluster of one in an empty folder, out of what lockctl backup has written.\n"
	       "lockd check examines the data folder of a stopped node and changes nothing in it.\n"
	       "SIGTERM and SIGINT stop the node gracefully.\n");
}

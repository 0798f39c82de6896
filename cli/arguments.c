/* SPDX-License-Identifier: Apache-2.0 */
/* getopt_long() runs in its "return in order" mode: options may stand anywhere before `--`, in front of the verb too,
 * and everything behind `--` is the command, untouched. Which options a verb understands is checked once the verb is
 * known. */
#include "cli/arguments.h"
#include "cli/duration.h"
#include "cli/report.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <limits.h>
#include <lockd/lockd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct option_row option_rows[N_OPTIONS] = {
	[OPTION_TTL] = {"ttl", 0, "DURATION", "lease of the session, 3s to 24h (default 10s)"},
	[OPTION_TRY] = {"try", 0, NULL, "do not wait: fail when the lock is held or waited for"},
	[OPTION_WAIT] = {"wait", 0, "DURATION", "wait at most this long for the lock (default: for ever)"},
	[OPTION_LABEL] = {"label", 0, "TEXT", "shown with the session (default: the command's name)"},
	[OPTION_CONFLICT_EXIT_CODE] = {"conflict-exit-code", 'E', "N", "exit status when not acquired (default 75)"},
	[OPTION_KILL_AFTER] = {"kill-after", 0, "DURATION",
			       "time from SIGTERM to SIGKILL when the lease runs out, at most a third of the TTL\n"
			       "(default: 5s or a fifth of the TTL, whichever is shorter)"},
	[OPTION_SINCE] = {"since", 0, "REVISION", "go on behind this revision (default: the state of affairs first)"},
	[OPTION_COUNT] = {"count", 0, "N", "exit after N lines"},
	[OPTION_LEARNER] = {"learner", 0, NULL, "it receives the log and does not vote"},
	[OPTION_PRIORITY] = {"priority", 0, "N", "whom the others would rather follow, 0 to 255 (default 0)"},
	[OPTION_PEER_ADDRESS] = {"peer-address", 0, "HOST:PORT",
				 "where the other nodes reach it (default: as it says itself)"},
	[OPTION_CLIENT_ADDRESS] = {"client-address", 0, "HOST:PORT",
				   "where clients reach it (default: as it says itself)"},
	[OPTION_READ] = {"read", 0, "LEVEL",
			 "linearizable: sees all that was answered before (default); session: at least what\n"
			 "--at-least says; stale: what a node has applied, however old"},
	[OPTION_AT_LEAST] = {"at-least", 0, "REVISION", "wait until this revision is applied; needs --read session"},
	[OPTION_NODE] = {"node", 0, "ID", "ask this node (default: the leader, or any for session and stale)"},
	[OPTION_FORCE] = {"force", 0, NULL, "replace FILE"},
	[OPTION_VERIFY] = {"verify", 0, NULL, "only check FILE, which was made before; no cluster is asked"},
	[OPTION_JSON] = {"json", 0, NULL, "print JSON; tokens and revisions are strings"},
	[OPTION_ENDPOINTS] = {"endpoints", 0, "LIST", "nodes to ask, HOST:PORT,HOST:PORT"},
	[OPTION_TIMEOUT] =
		{"timeout", 0, "DURATION",
		 "give up on the cluster after this long\n(default: 5s, where members or the leader change 60s,\nfor a backup 10m)"},
	[OPTION_HELP] = {"help", 'h', NULL, "this text"},
	[OPTION_VERSION] = {"version", 'V', NULL, "print the version"},
};

enum { WORDS_MAX = 2 + ARGUMENT_CHANGES_MAX };

struct parse {
	struct arguments arguments;
	const char *words[WORDS_MAX]; /* the verb and its operands */
	size_t n_words;
	const char *texts[N_OPTIONS]; /* what each option was given */
	const char *surplus;          /* the first word that found no place */
};

static int usage(const struct verb *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int usage(const struct verb *verb, const char *format, ...) {
	char text[768];
	va_list list;

	va_start(list, format);
	(void)vsnprintf(text, sizeof text, format, list);
	va_end(list);
	if (verb)
		report("%s: %s; try 'lockctl %s --help'", verb->name, text, verb->name);
	else
		report("%s; try 'lockctl --help'", text);
	return EXIT_USAGE;
}

/* Appends "--ttl, --try, …" for the options in `set`. */
static void list_options(unsigned set, char *text, size_t n) {
	size_t used = 0;

	*text = '\0';
	for (int id = 0; id < N_OPTIONS; id++)
		if (set & OPTION_BIT(id))
			used += (size_t)snprintf(text + used, n - used, "%s--%s", used ? ", " : "",
						 option_rows[id].name);
	assert(used < n);
}

/* The verb so far, for messages: an option may be refused before all words are seen. */
static const struct verb *verb_of(const struct parse *parse) {
	size_t used;

	if (parse->arguments.verb)
		return parse->arguments.verb;
	return verb_find(parse->words, parse->n_words, &used);
}

static int refuse_option(const struct parse *parse, const char *option) {
	const struct verb *verb = verb_of(parse);
	char allowed[512];

	list_options(verb ? verb->options : OPTIONS_COMMON | OPTION_BIT(OPTION_VERSION), allowed, sizeof allowed);
	return usage(verb, "unknown option '%s', allowed: %s", option, allowed);
}

/* Long options are known to getopt by their id, moved away from letters and from the 1 that stands for a word. */
enum { LONG_BASE = 256 };

/* getopt_long() reports what it met as '?' or ':' and leaves the details in optopt and argv. */
static int refuse_getopt(const struct parse *parse, int code, char **argv) {
	char letter[3] = {'-', (char)optopt, '\0'};

	if (code == ':')
		return usage(verb_of(parse), "%s needs a value", optopt >= LONG_BASE ? argv[optind - 1] : letter);
	if (optopt >= LONG_BASE)
		return usage(verb_of(parse), "--%s takes no value", option_rows[optopt - LONG_BASE].name);
	if (optopt > 0)
		return refuse_option(parse, letter);
	return refuse_option(parse, argv[optind - 1]);
}

/* `shorts` holds "-:" and up to two characters per option. */
static void prepare_getopt(struct option *longs, char *shorts) {
	*shorts++ = '-';
	*shorts++ = ':';
	for (int id = 0; id < N_OPTIONS; id++) {
		const struct option_row *row = &option_rows[id];

		longs[id] = (struct option){row->name, row->argument ? required_argument : no_argument, NULL,
					    LONG_BASE + id};
		if (row->letter) {
			*shorts++ = row->letter;
			if (row->argument)
				*shorts++ = ':';
		}
	}
	longs[N_OPTIONS] = (struct option){0};
	*shorts = '\0';
}

static int option_of(int code) {
	if (code >= LONG_BASE)
		return code - LONG_BASE;
	for (int id = 0; id < N_OPTIONS; id++)
		if (option_rows[id].letter == code)
			return id;
	abort(); /* getopt gives only what it was asked for */
}

static void take_word(struct parse *parse, const char *word) {
	if (parse->n_words < WORDS_MAX)
		parse->words[parse->n_words++] = word;
	else if (!parse->surplus)
		parse->surplus = word;
}

/* "-4" behind a verb that takes it is a word: nothing else begins like that. */
static bool is_negative(const struct parse *parse, const char *word) {
	const struct verb *verb = verb_of(parse);

	return verb && verb->operand_repeats && word && word[0] == '-' && word[1] >= '0' && word[1] <= '9';
}

/* Splits argv into words, options and the command. */
static int split(int argc, char **argv, struct parse *parse) {
	struct option longs[N_OPTIONS + 1];
	char shorts[2 + 2 * N_OPTIONS + 1];
	int code, id;

	prepare_getopt(longs, shorts);
	optind = 0; /* glibc: start afresh */
	opterr = 0;
	for (;;) {
		if (optind > 0 && optind < argc && is_negative(parse, argv[optind])) {
			take_word(parse, argv[optind++]);
			continue;
		}
		code = getopt_long(argc, argv, shorts, longs, NULL);
		if (code == -1)
			break;
		if (code == 1) {
			take_word(parse, optarg);
			continue;
		}
		if (code == '?' || code == ':')
			return refuse_getopt(parse, code, argv);
		id = option_of(code);
		parse->arguments.given |= OPTION_BIT(id);
		parse->texts[id] = optarg;
	}

	/* In this mode getopt stops early only at `--`. */
	if (optind < argc)
		parse->arguments.command = argv + optind;
	else if (!strcmp(argv[argc - 1], "--"))
		return usage(verb_of(parse), "no COMMAND behind --");
	return 0;
}

static bool is_utf8(const char *text) {
	json_t *string = json_string(text);
	bool valid = string != NULL;

	json_decref(string);
	return valid;
}

/* U+0080 to U+009F are controls, too. */
static bool has_control(const char *text) {
	for (const unsigned char *c = (const unsigned char *)text; *c; c++)
		if (*c < 0x20 || *c == 0x7f || (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0))
			return true;
	return false;
}

/* Names, values and labels go to the cluster, which refuses them; here the message can name the argument. */
static int check_text(const struct verb *verb, const char *what, const char *text, size_t bytes_max) {
	if (strlen(text) > bytes_max)
		return usage(verb, "%s has %zu bytes, at most %zu are allowed", what, strlen(text), bytes_max);
	if (!is_utf8(text))
		return usage(verb, "%s is not UTF-8", what);
	if (has_control(text))
		return usage(verb, "%s contains a control character", what);
	return 0;
}

/* "session ls, session rm" for the first word of verbs that have two. false: there is none. */
static bool list_verbs(const char *first, char *text, size_t n) {
	size_t n_first = strlen(first), used = 0;

	*text = '\0';
	for (size_t i = 0; i < n_verbs; i++)
		if (!strncmp(verbs[i].name, first, n_first) && verbs[i].name[n_first] == ' ')
			used += (size_t)snprintf(text + used, n - used, "%s%s", used ? ", " : "", verbs[i].name);
	assert(used < n);
	return used > 0;
}

static int find_verb(struct parse *parse) {
	const struct verb *verb;
	char allowed[256];
	size_t used;

	if (parse->n_words == 0)
		return usage(NULL, "no verb given");
	verb = verb_find(parse->words, parse->n_words, &used);
	if (!verb && list_verbs(parse->words[0], allowed, sizeof allowed))
		return usage(NULL, "unknown verb '%s%s%s', allowed: %s", parse->words[0], parse->n_words > 1 ? " " : "",
			     parse->n_words > 1 ? parse->words[1] : "", allowed);
	if (!verb)
		return usage(NULL, "unknown verb '%s'", parse->words[0]);

	parse->arguments.verb = verb;
	memmove(parse->words, parse->words + used, (WORDS_MAX - used) * sizeof *parse->words);
	parse->n_words -= used;
	return 0;
}

static bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret) {
	unsigned long long number;
	char *end;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || number < min || number > max)
		return false;
	*ret = number;
	return true;
}

/* +4: shall vote; -4: shall leave. */
static int take_change(struct parse *parse, const char *word) {
	struct arguments *arguments = &parse->arguments;
	struct lockd_member_change change = {.kind = *word == '-' ? LOCKD_MEMBER_ABSENT : LOCKD_MEMBER_VOTER};
	uint64_t node;

	if ((*word != '+' && *word != '-') || !parse_number(word + 1, 1, UINT32_MAX, &node))
		return usage(arguments->verb, "'%s': allowed are +ID and -ID", word);
	for (size_t i = 0; i < arguments->n_changes; i++)
		if (arguments->changes[i].node == node)
			return usage(arguments->verb, "node %llu stands there twice", (unsigned long long)node);
	change.node = (uint32_t)node;
	arguments->changes[arguments->n_changes++] = change;
	return 0;
}

static int take_changes(struct parse *parse) {
	const struct verb *verb = parse->arguments.verb;
	int r;

	if (parse->n_words < verb->operands_min)
		return usage(verb, "%s is missing", verb->operands[0]);
	if (parse->n_words > ARGUMENT_CHANGES_MAX || parse->surplus)
		return usage(verb, "more than %d changes", ARGUMENT_CHANGES_MAX);
	if (parse->arguments.command)
		return usage(verb, "no COMMAND is allowed, but '%s' was given", parse->arguments.command[0]);
	for (size_t i = 0; i < parse->n_words; i++) {
		r = take_change(parse, parse->words[i]);
		if (r)
			return r;
	}
	return 0;
}

/* Ids of nodes, and priorities. */
static int take_number_operand(struct parse *parse, size_t i) {
	const char *operand = parse->arguments.verb->operands[i];
	bool priority = !strcmp(operand, "PRIORITY");
	uint64_t number, min = priority ? 0 : 1, max = priority ? ARGUMENT_PRIORITY_MAX : UINT32_MAX;

	if (!priority && strcmp(operand, "ID") && strcmp(operand, "OLD") && strcmp(operand, "NEW"))
		return 0;
	if (!parse_number(parse->words[i], min, max, &number))
		return usage(parse->arguments.verb, "%s '%s': not a number from %llu to %llu", operand, parse->words[i],
			     (unsigned long long)min, (unsigned long long)max);
	parse->arguments.numbers[i] = (uint32_t)number;
	return 0;
}

static int take_operands(struct parse *parse) {
	const struct verb *verb = parse->arguments.verb;
	size_t max = verb_operands_max(verb);
	int r;

	if (verb->operand_repeats)
		return take_changes(parse);
	if (parse->n_words < verb->operands_min)
		return usage(verb, "%s is missing", verb->operands[parse->n_words]);
	if (parse->n_words > max)
		return usage(verb, "unexpected argument '%s'%s", parse->words[max],
			     verb->takes_command ? ", a command stands behind --" : "");
	if (parse->arguments.command && !verb->takes_command)
		return usage(verb, "no COMMAND is allowed, but '%s' was given", parse->arguments.command[0]);

	for (size_t i = 0; i < parse->n_words; i++) {
		const char *operand = verb->operands[i];

		if (!strcmp(operand, "FILE")) { /* the file system says what it takes */
			parse->arguments.operands[i] = parse->words[i];
			continue;
		}
		r = check_text(verb, operand, parse->words[i],
			       strcmp(operand, "VALUE") ? ARGUMENT_NAME_BYTES_MAX : ARGUMENT_VALUE_BYTES_MAX);
		if (r)
			return r;
		if (!strcmp(operand, "NAME") && !*parse->words[i])
			return usage(verb, "NAME is empty");
		r = take_number_operand(parse, i);
		if (r)
			return r;
		parse->arguments.operands[i] = parse->words[i];
	}
	return 0;
}

static int check_options_allowed(const struct parse *parse) {
	const struct verb *verb = parse->arguments.verb;

	for (int id = 0; id < N_OPTIONS; id++) {
		char option[64];

		if (!(parse->arguments.given & ~verb->options & OPTION_BIT(id)))
			continue;
		(void)snprintf(option, sizeof option, "--%s", option_rows[id].name);
		return refuse_option(parse, option);
	}
	return 0;
}

/* Leaves *ret_ms alone when the option was not given. */
static int take_duration(const struct parse *parse, enum option_id id, int ms_min, int ms_max, int *ret_ms) {
	const struct verb *verb = parse->arguments.verb;
	char min[16], max[16];
	int ms;

	if (!parse->texts[id])
		return 0;
	if (duration_parse(parse->texts[id], &ms) < 0)
		return usage(verb, "--%s '%s': not a duration; allowed is %s", option_rows[id].name, parse->texts[id],
			     DURATION_FORM);
	if (ms < ms_min || ms > ms_max) {
		duration_format_exactly(ms_min, min, sizeof min);
		duration_format_exactly(ms_max, max, sizeof max);
		return usage(verb, "--%s '%s': out of range; allowed are %s to %s", option_rows[id].name,
			     parse->texts[id], min, max);
	}
	*ret_ms = ms;
	return 0;
}

static int take_number(const struct parse *parse, enum option_id id, uint64_t min, uint64_t max, uint64_t *ret) {
	const char *text = parse->texts[id];

	if (text && !parse_number(text, min, max, ret))
		return usage(parse->arguments.verb, "--%s '%s': not a number from %llu to %llu", option_rows[id].name,
			     text, (unsigned long long)min, (unsigned long long)max);
	return 0;
}

/* The ladder must end before the lease does, and start only when keep-alives have gone unanswered for a third of the
 * TTL. */
static int take_kill_after(struct parse *parse) {
	int ms_max = parse->arguments.ttl_ms / 3;

	parse->arguments.kill_after_ms = parse->arguments.ttl_ms / 5;
	if (parse->arguments.kill_after_ms > ARGUMENT_KILL_AFTER_MS_DEFAULT)
		parse->arguments.kill_after_ms = ARGUMENT_KILL_AFTER_MS_DEFAULT;
	return take_duration(parse, OPTION_KILL_AFTER, 0, ms_max, &parse->arguments.kill_after_ms);
}

static int take_waiting(struct parse *parse) {
	struct arguments *arguments = &parse->arguments;

	if (arguments_given(arguments, OPTION_TRY) && arguments_given(arguments, OPTION_WAIT))
		return usage(arguments->verb, "--try and --wait exclude each other");
	if (arguments_given(arguments, OPTION_TRY))
		arguments->wait_ms = LOCKD_TRY;
	return take_duration(parse, OPTION_WAIT, 0, INT_MAX, &arguments->wait_ms);
}

static int take_level(struct parse *parse) {
	static const char *const names[] = {[LOCKD_READ_LINEARIZABLE] = "linearizable",
					    [LOCKD_READ_SESSION] = "session",
					    [LOCKD_READ_STALE] = "stale"};
	const char *text = parse->texts[OPTION_READ];

	if (!text)
		return 0;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(text, names[i])) {
			parse->arguments.read.level = (enum lockd_read_level)i;
			return 0;
		}
	return usage(parse->arguments.verb, "--read '%s': allowed are linearizable, session and stale", text);
}

static int take_read(struct parse *parse) {
	struct lockd_read *read = &parse->arguments.read;
	uint64_t node = 0;
	int r;

	if ((r = take_level(parse)) || (r = take_number(parse, OPTION_AT_LEAST, 0, UINT64_MAX, &read->at_least)) ||
	    (r = take_number(parse, OPTION_NODE, 1, UINT32_MAX, &node)))
		return r;
	read->node = (uint32_t)node;
	if (parse->texts[OPTION_AT_LEAST] && read->level != LOCKD_READ_SESSION)
		return usage(parse->arguments.verb, "--at-least needs --read session");
	return 0;
}

/* "host:port" or "[v6]:port", as nodes and clients dial it. */
static bool is_address(const char *text) {
	static const char host_bytes[] = "%:._-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	const char *colon = strrchr(text, ':');
	bool bracketed = *text == '[';
	uint64_t port;
	size_t n;

	if (!colon || !parse_number(colon + 1, 1, UINT16_MAX, &port))
		return false;
	n = strspn(text + bracketed, bracketed ? host_bytes : host_bytes + 2);
	return n > 0 && (!bracketed || text[1 + n] == ']') && text + n + (bracketed ? 2 : 0) == colon;
}

static int take_address(const struct parse *parse, enum option_id id, const char **ret) {
	const char *text = parse->texts[id], *name = option_rows[id].name;

	if (!text)
		return 0;
	if (strlen(text) > ARGUMENT_ADDRESS_BYTES_MAX)
		return usage(parse->arguments.verb, "--%s has %zu bytes, at most %d are allowed", name, strlen(text),
			     ARGUMENT_ADDRESS_BYTES_MAX);
	if (!is_address(text))
		return usage(
			parse->arguments.verb,
			"--%s '%s': not an address; allowed is HOST:PORT, as in node4.example:7601, 10.0.0.4:7601 or "
			"[fd00::4]:7601",
			name, text);
	*ret = text;
	return 0;
}

static int take_member(struct parse *parse) {
	struct arguments *arguments = &parse->arguments;
	uint64_t priority = 0;
	int r;

	if ((r = take_number(parse, OPTION_PRIORITY, 0, ARGUMENT_PRIORITY_MAX, &priority)) ||
	    (r = take_address(parse, OPTION_PEER_ADDRESS, &arguments->peer_address)) ||
	    (r = take_address(parse, OPTION_CLIENT_ADDRESS, &arguments->client_address)))
		return r;
	arguments->priority = (uint32_t)priority;
	return 0;
}

static int take_values(struct parse *parse) {
	struct arguments *arguments = &parse->arguments;
	uint64_t conflict = EXIT_NOT_ACQUIRED;
	int r;

	if (arguments->verb->timeout_ms)
		arguments->timeout_ms = arguments->verb->timeout_ms;

	if ((r = take_duration(parse, OPTION_TTL, ARGUMENT_TTL_MS_MIN, ARGUMENT_TTL_MS_MAX, &arguments->ttl_ms)) ||
	    (r = take_duration(parse, OPTION_TIMEOUT, 1, INT_MAX, &arguments->timeout_ms)) || (r = take_read(parse)) ||
	    (r = take_member(parse)) || (r = take_kill_after(parse)) || (r = take_waiting(parse)) ||
	    (r = take_number(parse, OPTION_CONFLICT_EXIT_CODE, 0, 255, &conflict)) ||
	    (r = take_number(parse, OPTION_SINCE, 0, UINT64_MAX, &arguments->since)) ||
	    (r = take_number(parse, OPTION_COUNT, 1, UINT64_MAX, &arguments->count)))
		return r;

	arguments->conflict_exit_code = (int)conflict;
	arguments->endpoints = parse->texts[OPTION_ENDPOINTS];
	arguments->label = parse->texts[OPTION_LABEL];
	if (arguments->label)
		return check_text(arguments->verb, "--label", arguments->label, ARGUMENT_LABEL_BYTES_MAX);
	return 0;
}

/* What one option, or the command, makes of another. */
static int check_combinations(const struct arguments *arguments) {
	if (arguments->command && arguments_given(arguments, OPTION_JSON))
		return usage(arguments->verb,
			     "--json and a COMMAND exclude each other: the output belongs to the command");
	if (arguments_given(arguments, OPTION_VERIFY) && arguments_given(arguments, OPTION_FORCE))
		return usage(arguments->verb, "--verify and --force exclude each other: nothing is written");
	if (!arguments->command && arguments_given(arguments, OPTION_KILL_AFTER))
		return usage(arguments->verb, "--kill-after needs a COMMAND");
	return 0;
}

int arguments_parse(int argc, char **argv, struct arguments *ret) {
	struct parse parse = {
		.arguments = {.ttl_ms = ARGUMENT_TTL_MS_DEFAULT,
			      .wait_ms = LOCKD_FOREVER,
			      .timeout_ms = ARGUMENT_TIMEOUT_MS_DEFAULT},
	};
	int r;

	if ((r = split(argc, argv, &parse)))
		return r;
	if (arguments_given(&parse.arguments, OPTION_VERSION) ||
	    (arguments_given(&parse.arguments, OPTION_HELP) && parse.n_words == 0)) {
		*ret = parse.arguments;
		return 0;
	}

	if ((r = find_verb(&parse)))
		return r;
	/* Help for a verb is given whatever else is missing. */
	if (!arguments_given(&parse.arguments, OPTION_HELP) &&
	    ((r = check_options_allowed(&parse)) || (r = take_operands(&parse)) || (r = take_values(&parse)) ||
	     (r = check_combinations(&parse.arguments))))
		return r;
	*ret = parse.arguments;
	return 0;
}

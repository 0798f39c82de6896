/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verb.h"
#include "cli/arguments.h"

#include <stdio.h>
#include <string.h>

#define OPTIONS_LOOKING (OPTIONS_COMMON | OPTION_BIT(OPTION_JSON))
#define OPTIONS_CHANGING OPTIONS_COMMON
#define OPTIONS_HOLDING                                                                                                \
	(OPTIONS_LOOKING | OPTION_BIT(OPTION_TTL) | OPTION_BIT(OPTION_TRY) | OPTION_BIT(OPTION_WAIT) |                 \
	 OPTION_BIT(OPTION_LABEL) | OPTION_BIT(OPTION_CONFLICT_EXIT_CODE) | OPTION_BIT(OPTION_KILL_AFTER))

const struct verb verbs[] = {
	{
		.name = "lock",
		.operands = {"NAME"},
		.operands_min = 1,
		.takes_command = true,
		.options = OPTIONS_HOLDING,
		.summary = "hold a lock, while a command runs or until interrupted",
		.description =
			"With COMMAND: acquires the lock, runs the command with LOCKD_LOCK, LOCKD_TOKEN and\n"
			"LOCKD_SESSION in its environment, releases the lock and exits as the command did\n"
			"(128+N when a signal N ended it). When the lease is about to run out because the\n"
			"cluster does not answer, the command gets SIGTERM, then SIGKILL, and the status is 79.\n"
			"Without: prints NAME and token and holds the lock until SIGINT, SIGTERM or SIGHUP.\n"
			"Not acquired (--try, --wait): exits 75.\n"
			"\n"
			"Examples:\n"
			"  lockctl lock nightly-backup --try -- backup.sh /srv\n"
			"  lockctl lock deploy --wait 30s --ttl 20s -- make deploy\n"
			"  lockctl lock maintenance\n",
		.run = verb_lock,
	},
	{
		.name = "ls",
		.operands = {"PREFIX"},
		.options = OPTIONS_LOOKING | OPTIONS_READING,
		.summary = "list the locks that are held",
		.description = "PREFIX: only those whose name begins with it.\n"
			       "\n"
			       "Examples:\n"
			       "  lockctl ls\n"
			       "  lockctl ls batch/ --json\n"
			       "  lockctl ls --read stale --node 2\n",
		.run = verb_ls,
	},
	{
		.name = "show",
		.operands = {"NAME"},
		.operands_min = 1,
		.options = OPTIONS_LOOKING | OPTIONS_READING,
		.summary = "show one lock, its holder and who waits for it",
		.description = "Exits 1 when nobody holds the lock.\n"
			       "\n"
			       "Example:\n"
			       "  lockctl show deploy\n",
		.run = verb_show,
	},
	{
		.name = "session ls",
		.options = OPTIONS_LOOKING | OPTIONS_READING,
		.summary = "list the sessions",
		.description = "Example:\n"
			       "  lockctl session ls --json\n",
		.run = verb_session_ls,
	},
	{
		.name = "status",
		.options = OPTIONS_LOOKING,
		.summary = "show every node as it sees itself",
		.description = "A node that does not answer has a row with the reason. Exits 69 when none answers.\n"
			       "Where a disk is full, or a data folder was found damaged, a column DISK says so.\n"
			       "\n"
			       "Example:\n"
			       "  lockctl status --endpoints 10.0.0.1,10.0.0.2,10.0.0.3\n",
		.run = verb_status,
	},
	{
		.name = "campaign",
		.operands = {"NAME", "VALUE"},
		.operands_min = 2,
		.takes_command = true,
		.options = OPTIONS_HOLDING,
		.summary = "become the leader of an election, while a command runs or until interrupted",
		.description =
			"An election is a lock that carries its holder's VALUE, an address for example; options,\n"
			"signals and exit status are those of 'lockctl lock'. The end of the command, or the\n"
			"interrupt, resigns.\n"
			"\n"
			"Examples:\n"
			"  lockctl campaign db/primary 10.0.0.1:5432 -- run-primary\n"
			"  lockctl campaign db/primary 10.0.0.1:5432\n",
		.run = verb_campaign,
	},
	{
		.name = "leader",
		.operands = {"NAME"},
		.operands_min = 1,
		.options = OPTIONS_LOOKING,
		.summary = "show who leads an election",
		.description = "Exits 1 when the seat is vacant.\n"
			       "\n"
			       "Example:\n"
			       "  lockctl leader db/primary --json\n",
		.run = verb_leader,
	},
	{
		.name = "observe",
		.operands = {"NAME"},
		.operands_min = 1,
		.options = OPTIONS_LOOKING | OPTION_BIT(OPTION_SINCE) | OPTION_BIT(OPTION_COUNT),
		.summary = "print a line for every change of an election's leader",
		.description =
			"A line is REVISION TOKEN VALUE, REVISION (vacant), or REVISION gap when changes up to that\n"
			"revision are lost. The first line is the state of affairs, unless --since is given.\n"
			"Runs until SIGINT, SIGTERM, SIGHUP or --count.\n"
			"\n"
			"Examples:\n"
			"  lockctl observe db/primary | while read -r revision token value; do …; done\n"
			"  lockctl observe db/primary --since 7208960 --json\n",
		.run = verb_observe,
	},
	{
		.name = "resign",
		.operands = {"NAME"},
		.operands_min = 1,
		.options = OPTIONS_COMMON,
		.summary = "make the lockctl on this host that leads an election give it up",
		.description =
			"Sends SIGTERM to that process and waits until it does not lead any more. A leader on another\n"
			"host, or one that is not lockctl, is named and left alone. Exits 1 when nobody leads.\n"
			"\n"
			"Example:\n"
			"  lockctl resign db/primary --timeout 30s\n",
		.run = verb_resign,
	},
	{
		.name = "backup",
		.operands = {"FILE"},
		.operands_min = 1,
		.options = OPTIONS_LOOKING | OPTION_BIT(OPTION_NODE) | OPTION_BIT(OPTION_FORCE) |
			   OPTION_BIT(OPTION_VERIFY),
		.timeout_ms = ARGUMENT_TIMEOUT_MS_BACKUP,
		.summary = "write all that the cluster knows into a file, while it serves",
		.description =
			"All that was answered before is in it. FILE appears once it is whole and durable, and is\n"
			"not replaced without --force; '-' is standard output. 'lockd restore' makes a new cluster\n"
			"of it. Exits 65 when the backup, or with --verify FILE, is damaged.\n"
			"\n"
			"Examples:\n"
			"  lockctl backup /srv/backup/lockd-$(date +%F)\n"
			"  lockctl backup --verify /srv/backup/lockd-2026-11-22\n",
		.run = verb_backup,
	},
	{
		.name = "cluster members",
		.options = OPTIONS_LOOKING,
		.summary = "show the members, how they follow, and who waits to be added",
		.description =
			"A row per member as the leader sees it: role (leader, voter, learner; joining and leaving\n"
			"while a change is under way), priority, addresses, entries it lags behind, round trip of\n"
			"heartbeats, time since its last answer, and whether it could lead. Below: nodes that have\n"
			"called and are no members. Exits 69 when no leader answers, with what a follower knows.\n"
			"\n"
			"Example:\n"
			"  lockctl cluster members --json\n",
		.run = verb_cluster_members,
	},
	{
		.name = "cluster add",
		.operands = {"ID"},
		.operands_min = 1,
		.options = OPTIONS_CHANGING | OPTION_BIT(OPTION_LEARNER) | OPTION_BIT(OPTION_PRIORITY) |
			   OPTION_BIT(OPTION_PEER_ADDRESS) | OPTION_BIT(OPTION_CLIENT_ADDRESS),
		.timeout_ms = ARGUMENT_TIMEOUT_MS_CHANGING,
		.summary = "make a node a member",
		.description =
			"The node must run, with an empty data folder and the --peer lines of this cluster and its\n"
			"own, and have called ('lockctl cluster members' lists it). It receives the log first and\n"
			"votes once it has caught up. Adding a member again changes what the options say.\n"
			"\n"
			"Examples:\n"
			"  lockctl cluster add 4\n"
			"  lockctl cluster add 5 --learner --priority 0\n",
		.run = verb_cluster_add,
	},
	{
		.name = "cluster remove",
		.operands = {"ID"},
		.operands_min = 1,
		.options = OPTIONS_CHANGING,
		.timeout_ms = ARGUMENT_TIMEOUT_MS_CHANGING,
		.summary = "make a node no member any more",
		.description =
			"A leader that is removed leads until the change is made, then another one does. Stop the\n"
			"node afterwards; its data folder cannot come back under the same id. Succeeds also where\n"
			"ID is no member.\n"
			"\n"
			"Example:\n"
			"  lockctl cluster remove 1\n",
		.run = verb_cluster_remove,
	},
	{
		.name = "cluster promote",
		.operands = {"ID"},
		.operands_min = 1,
		.options = OPTIONS_CHANGING,
		.timeout_ms = ARGUMENT_TIMEOUT_MS_CHANGING,
		.summary = "make a learner a voter, once it has caught up",
		.description = "A node that is no member is added, as with 'lockctl cluster add'.\n"
			       "\n"
			       "Example:\n"
			       "  lockctl cluster promote 5\n",
		.run = verb_cluster_promote,
	},
	{
		.name = "cluster demote",
		.operands = {"ID"},
		.operands_min = 1,
		.options = OPTIONS_CHANGING,
		.timeout_ms = ARGUMENT_TIMEOUT_MS_CHANGING,
		.summary = "make a voter a learner",
		.description =
			"It goes on to receive the log and does not count any more. A node that is no member is\n"
			"added, as with 'lockctl cluster add --learner'.\n"
			"\n"
			"Example:\n"
			"  lockctl cluster demote 2\n",
		.run = verb_cluster_demote,
	},
	{
		.name = "cluster replace",
		.operands = {"OLD", "NEW"},
		.operands_min = 2,
		.options = OPTIONS_CHANGING,
		.timeout_ms = ARGUMENT_TIMEOUT_MS_CHANGING,
		.summary = "put one node in the place of another, in one change",
		.description =
			"NEW is added as with 'lockctl cluster add', and votes from when OLD does not any more. It\n"
			"is added also where OLD is no member (any more).\n"
			"\n"
			"Example:\n"
			"  lockctl cluster replace 2 4\n",
		.run = verb_cluster_replace,
	},
	{
		.name = "cluster change",
		.operands = {"CHANGE"},
		.operands_min = 1,
		.operand_repeats = true,
		.options = OPTIONS_CHANGING,
		.timeout_ms = ARGUMENT_TIMEOUT_MS_CHANGING,
		.summary = "add and remove several nodes, in one change",
		.description = "+ID: shall vote. -ID: shall be no member. All take effect together.\n"
			       "\n"
			       "Example:\n"
			       "  lockctl cluster change +4 +5 -1 -2\n",
		.run = verb_cluster_change,
	},
	{
		.name = "cluster prefer",
		.operands = {"ID", "PRIORITY"},
		.operands_min = 2,
		.options = OPTIONS_CHANGING,
		.timeout_ms = ARGUMENT_TIMEOUT_MS_CHANGING,
		.summary = "say how much the other nodes would rather follow this one",
		.description = "PRIORITY is 0 to 255; the fit voter with the highest comes to lead.\n"
			       "\n"
			       "Example:\n"
			       "  lockctl cluster prefer 3 100\n",
		.run = verb_cluster_prefer,
	},
	{
		.name = "cluster transfer",
		.operands = {"ID"},
		.options = OPTIONS_CHANGING,
		.timeout_ms = ARGUMENT_TIMEOUT_MS_CHANGING,
		.summary = "hand leadership over to another node",
		.description =
			"Without ID: to the voter that is closest to taking over. Nothing is lost; requests wait for\n"
			"the few milliseconds that it takes.\n"
			"\n"
			"Examples:\n"
			"  lockctl cluster transfer\n"
			"  lockctl cluster transfer 3\n",
		.run = verb_cluster_transfer,
	},
};

const size_t n_verbs = sizeof verbs / sizeof *verbs;

const struct verb *verb_find(const char *const *words, size_t n, size_t *ret_n) {
	for (size_t i = 0; i < n_verbs; i++) {
		const char *name = verbs[i].name, *second = strchr(name, ' ');
		size_t first = second ? (size_t)(second - name) : strlen(name);

		if (n == 0 || strlen(words[0]) != first || strncmp(words[0], name, first))
			continue;
		if (second && (n < 2 || strcmp(words[1], second + 1)))
			continue;
		*ret_n = second ? 2 : 1;
		return &verbs[i];
	}
	return NULL;
}

size_t verb_operands_max(const struct verb *verb) {
	size_t n = 0;

	while (n < OPERANDS_MAX && verb->operands[n])
		n++;
	return n;
}

static void print_synopsis(const struct verb *verb) {
	printf("Usage: lockctl %s", verb->name);
	for (size_t i = 0; i < verb_operands_max(verb); i++)
		printf(i < verb->operands_min ? " %s%s" : " [%s%s]", verb->operands[i],
		       verb->operand_repeats ? "…" : "");
	printf(" [OPTION…]%s\n", verb->takes_command ? " [-- COMMAND…]" : "");
}

static void print_options(unsigned set) {
	enum { HELP_COLUMN = 34 };

	for (int id = 0; id < N_OPTIONS; id++) {
		const struct option_row *row = &option_rows[id];
		char left[HELP_COLUMN];

		if (!(set & OPTION_BIT(id)))
			continue;
		(void)snprintf(left, sizeof left, "%c%c%s--%s %s", row->letter ? '-' : ' ',
			       row->letter ? row->letter : ' ', row->letter ? ", " : "  ", row->name,
			       row->argument ? row->argument : "");
		printf("  %-*s", HELP_COLUMN, left);
		/* Help of several lines is indented to its column. */
		for (const char *c = row->help; *c; c++) {
			putchar(*c);
			if (*c == '\n')
				printf("%*s", HELP_COLUMN + 2, "");
		}
		putchar('\n');
	}
}

void verb_print_help(const struct verb *verb) {
	print_synopsis(verb);
	printf("\n%c%s.\n", verb->summary[0] - 'a' + 'A', verb->summary + 1);
	printf("%s\nOptions:\n", verb->description);
	print_options(verb->options);
	puts("\nThe manual: man lockctl");
}

void verb_print_overview(void) {
	puts("Usage: lockctl VERB [ARGUMENT…] [OPTION…]\n\n"
	     "Locks, sessions, elections and members of a lockd cluster.\n\nVerbs:");
	for (size_t i = 0; i < n_verbs; i++)
		printf("  %-17s%s\n", verbs[i].name, verbs[i].summary);
	puts("\nOptions of every verb:");
	print_options(OPTIONS_COMMON | OPTION_BIT(OPTION_VERSION));
	puts("\n'lockctl VERB --help' says more. Nodes come from --endpoints, LOCKD_ENDPOINTS,\n"
	     "~/.config/lockd/lockctl.conf or /etc/lockd/lockctl.conf, else 127.0.0.1:7600.");
}

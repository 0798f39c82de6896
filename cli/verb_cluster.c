/* SPDX-License-Identifier: Apache-2.0 */
/* cluster …: who the members are, and who leads; looking at both and changing them. */
#include "cli/arguments.h"
#include "cli/connection.h"
#include "cli/document.h"
#include "cli/machine.h"
#include "cli/report.h"
#include "cli/table.h"

#include <inttypes.h>
#include <lockd/admin.h>
#include <stdio.h>
#include <string.h>

/* ---- Looking ---------------------------------------------------------------------------------------------------- */

static const struct column member_columns[] = {
	{"NODE", "node", COLUMN_COUNT},
	{"ROLE", "role", COLUMN_TEXT},
	{"PRIORITY", "priority", COLUMN_COUNT},
	{"PEER ADDRESS", "peer_address", COLUMN_TEXT},
	{"CLIENT ADDRESS", "client_address", COLUMN_TEXT},
	{"LAG", "lag", COLUMN_COUNT},
	{"RTT", "rtt_us", COLUMN_LATENCY},
	{"CONTACT", "contact_ms", COLUMN_DURATION},
	{"FIT", "fit", COLUMN_BOOL},
	MACHINE_COLUMNS,
	/* In JSON only: too much for a line. */
	{"CAUGHT UP", "caught_up", COLUMN_BOOL},
	{"SNAPSHOT", "snapshot", COLUMN_BOOL},
	{"STORE", "store", COLUMN_TEXT},
};

enum { N_MEMBER_COLUMNS = sizeof member_columns / sizeof *member_columns, N_MEMBER_COLUMNS_SETTLED = 9 };

static const struct column candidate_columns[] = {
	{"WAITING TO BE ADDED", "node", COLUMN_COUNT},
	{"PEER ADDRESS", "peer_address", COLUMN_TEXT},
	{"CLIENT ADDRESS", "client_address", COLUMN_TEXT},
	{"CALLED", "age_ms", COLUMN_DURATION},
};

static bool leads(const struct lockd_node_info *node) {
	return node->status == LOCKD_OK && node->leader != 0 && node->node == node->leader;
}

/* The node that knows most: the leader, the one of the latest term if several say so; else who answered with the latest
 * term. NULL: nobody answered. */
static const struct lockd_node_info *best_view(const struct lockd_node_list *list) {
	const struct lockd_node_info *best = NULL;

	for (size_t i = 0; i < list->n; i++) {
		const struct lockd_node_info *node = &list->nodes[i];

		if (node->status != LOCKD_OK || node->n_peers == 0)
			continue;
		if (!best || leads(node) > leads(best) || (leads(node) == leads(best) && node->term > best->term))
			best = node;
	}
	return best;
}

static const char *role_of(const struct lockd_node_info *view, const struct lockd_peer_info *peer) {
	bool coming = view->joint && (peer->roles & LOCKD_ROLE_VOTER) && !(peer->roles & LOCKD_ROLE_OUTGOING);
	bool going = (peer->roles & LOCKD_ROLE_OUTGOING) && !(peer->roles & LOCKD_ROLE_VOTER);

	if (peer->node == view->leader)
		return going ? "leader, leaving" : "leader";
	if (going)
		return "leaving";
	if (coming)
		return "joining";
	if (peer->roles & LOCKD_ROLE_LOST)
		return "returning";
	return peer->voter ? "voter" : "learner";
}

/* What only a leader knows of the others, and what it does not measure of itself. */
static void put_following(struct table *table, const struct lockd_node_info *view, const struct lockd_peer_info *peer) {
	bool itself = peer->node == view->node, known = leads(view);

	if (known && (itself || peer->contact_ms >= 0))
		table_put_number(table, itself || peer->match > view->log_last ? 0 : view->log_last - peer->match);
	else
		table_put_text(table, NULL);
	if (known && !itself && peer->rtt_us)
		table_put_number(table, peer->rtt_us);
	else
		table_put_text(table, NULL);
	if (known && !itself && peer->contact_ms >= 0)
		table_put_number(table, (uint64_t)peer->contact_ms);
	else
		table_put_text(table, NULL);
	if (itself)
		table_put_bool(table, view->fit);
	else if (known && peer->contact_ms >= 0) /* of who is silent, what it said last does not hold any more */
		table_put_bool(table, !peer->unfit && peer->contact_ms <= view->election_ms_max);
	else
		table_put_text(table, NULL);
}

/* A node's own words; NULL: it has not answered. */
static const struct lockd_node_info *node_of(const struct lockd_node_list *list, uint32_t node) {
	for (size_t i = 0; i < list->n; i++)
		if (list->nodes[i].node == node && list->nodes[i].status == LOCKD_OK)
			return &list->nodes[i];
	return NULL;
}

static void put_member(struct table *table, const struct lockd_node_list *list, const struct lockd_node_info *view,
		       const struct lockd_peer_info *peer) {
	table_begin_line(table);
	table_put_number(table, peer->node);
	table_put_text(table, role_of(view, peer));
	table_put_number(table, peer->priority);
	table_put_text(table, peer->peer_address);
	table_put_text(table, peer->client_address);
	put_following(table, view, peer);
	if (table->n_columns > N_MEMBER_COLUMNS_SETTLED)
		machine_put(table, node_of(list, peer->node));
	if (!table->json)
		return;
	table_put_bool(table, peer->caught_up || peer->node == view->leader);
	table_put_bool(table, peer->snapshot);
	table_put_text(table, peer->store);
}

static json_t *candidates_document(const struct lockd_node_info *view) {
	json_t *candidates = json_array();

	for (size_t i = 0; i < view->n_candidates; i++) {
		const struct lockd_candidate_info *candidate = &view->candidates[i];

		(void)json_array_append_new(candidates,
					    json_pack("{s:I, s:o, s:o, s:o, s:I}", "node", (json_int_t)candidate->node,
						      "peer_address", document_text(candidate->peer_address),
						      "client_address", document_text(candidate->client_address),
						      "store", document_text(candidate->store), "age_ms",
						      (json_int_t)candidate->age_ms));
	}
	return candidates;
}

static json_t *view_document(const struct lockd_node_info *view) {
	return json_pack("{s:I, s:I, s:I, s:I, s:b, s:I, s:o}", "answered_by", (json_int_t)view->node, "leader",
			 (json_int_t)view->leader, "term", (json_int_t)view->term, "configuration_index",
			 (json_int_t)view->configuration_index, "joint", view->joint, "transfer_to",
			 (json_int_t)view->transfer_to, "candidates", candidates_document(view));
}

static int print_members(const struct lockd_node_list *list, const struct lockd_node_info *view, bool json) {
	size_t n = N_MEMBER_COLUMNS_SETTLED;
	struct table table;

	if (json)
		n = N_MEMBER_COLUMNS;
	else if (!machine_is_settled(list))
		n += N_MACHINE_COLUMNS;
	table_init(&table, "members", member_columns, n, json);
	for (size_t i = 0; i < view->n_peers; i++)
		put_member(&table, list, view, &view->peers[i]);
	if (json)
		table_set_rest(&table, view_document(view));
	return table_print(&table);
}

static int print_candidates(const struct lockd_node_info *view) {
	struct table table;

	if (view->n_candidates == 0)
		return 0;
	(void)putchar('\n');
	table_init(&table, "candidates", candidate_columns, sizeof candidate_columns / sizeof *candidate_columns,
		   false);
	for (size_t i = 0; i < view->n_candidates; i++) {
		table_begin_line(&table);
		table_put_number(&table, view->candidates[i].node);
		table_put_text(&table, view->candidates[i].peer_address);
		table_put_text(&table, view->candidates[i].client_address);
		table_put_number(&table, view->candidates[i].age_ms);
	}
	return table_print(&table);
}

static int print_view(const struct lockd_node_list *list, const struct lockd_node_info *view, bool json) {
	int r = print_members(list, view, json);

	if (r == 0 && !json)
		r = print_candidates(view);
	if (r)
		return r;
	if (!leads(view)) {
		report("cluster members: no leader answers; this is what node %" PRIu32 " knows", view->node);
		return EXIT_UNREACHABLE;
	}
	if (view->joint && !json)
		report("cluster members: a change of members is under way");
	return 0;
}

int verb_cluster_members(const struct arguments *arguments) {
	const struct lockd_node_info *view;
	struct lockd_client *client;
	struct lockd_node_list *list;
	enum lockd_status status;
	int r;

	r = connection_open(arguments, &client);
	if (r)
		return r;
	status = lockd_nodes(client, arguments->timeout_ms, &list);
	if (status) {
		r = report_status(client, "cluster members", status);
	} else {
		view = best_view(list);
		if (view) {
			r = print_view(list, view, arguments_given(arguments, OPTION_JSON));
		} else {
			report("cluster members: no node that answers is a member of a cluster");
			r = EXIT_UNREACHABLE;
		}
		lockd_node_list_free(list);
	}
	lockd_close(client);
	return r;
}

/* ---- Changing --------------------------------------------------------------------------------------------------- */

/* What was asked for cannot be, and the leader says what: no node of that number, for one. That the request is
 * malformed, as the status has it, would be misleading, since only the command line is. */
static int report_impossible(struct lockd_client *client, const struct arguments *arguments) {
	const char *status = lockd_status_text(LOCKD_INVALID);
	size_t n = strlen(status);
	char reason[512];

	lockd_last_error(client, reason, sizeof reason);
	if (!strncmp(reason, status, n) && !strncmp(reason + n, ": ", 2))
		report("%s: %s; see 'lockctl cluster members'", arguments->verb->name, reason + n + 2);
	else
		report("%s: %s", arguments->verb->name, *reason ? reason : status);
	return EXIT_USAGE;
}

/* The leader's own words, where it refused. */
static int report_refusal(struct lockd_client *client, const struct arguments *arguments, enum lockd_status status) {
	char reason[512];

	switch (status) {
	case LOCKD_INVALID: return report_impossible(client, arguments);
	case LOCKD_UNSETTLED:
	case LOCKD_NOT_READY:
	case LOCKD_LIMIT:
		lockd_last_error(client, reason, sizeof reason);
		report("%s: %s", arguments->verb->name, *reason ? reason : lockd_status_text(status));
		return exit_status_of(status);
	case LOCKD_DEADLINE:
		(void)report_status(client, arguments->verb->name, status);
		report("%s: it may be done all the same: see 'lockctl cluster members', or give the command again",
		       arguments->verb->name);
		return exit_status_of(status);
	default: return report_status(client, arguments->verb->name, status);
	}
}

static int change(const struct arguments *arguments, const struct lockd_member_change *changes, size_t n) {
	struct lockd_client *client;
	enum lockd_status status;
	int r;

	r = connection_open(arguments, &client);
	if (r)
		return r;
	status = lockd_change_members(client, changes, n, arguments->timeout_ms);
	if (status)
		r = report_refusal(client, arguments, status);
	lockd_close(client);
	return r;
}

static int change_one(const struct arguments *arguments, enum lockd_member_kind kind) {
	const struct lockd_member_change one = {
		.kind = kind,
		.node = arguments->numbers[0],
		.set_priority = arguments_given(arguments, OPTION_PRIORITY),
		.priority = arguments->priority,
		.peer_address = arguments->peer_address,
		.client_address = arguments->client_address,
	};

	return change(arguments, &one, 1);
}

int verb_cluster_add(const struct arguments *arguments) {
	return change_one(arguments,
			  arguments_given(arguments, OPTION_LEARNER) ? LOCKD_MEMBER_LEARNER : LOCKD_MEMBER_VOTER);
}

int verb_cluster_remove(const struct arguments *arguments) {
	return change_one(arguments, LOCKD_MEMBER_ABSENT);
}

int verb_cluster_promote(const struct arguments *arguments) {
	return change_one(arguments, LOCKD_MEMBER_VOTER);
}

int verb_cluster_demote(const struct arguments *arguments) {
	return change_one(arguments, LOCKD_MEMBER_LEARNER);
}

int verb_cluster_replace(const struct arguments *arguments) {
	const struct lockd_member_change both[] = {
		{.kind = LOCKD_MEMBER_ABSENT, .node = arguments->numbers[0]},
		{.kind = LOCKD_MEMBER_VOTER, .node = arguments->numbers[1]},
	};

	if (both[0].node == both[1].node) {
		report("cluster replace: OLD and NEW are both node %" PRIu32, both[0].node);
		return EXIT_USAGE;
	}
	return change(arguments, both, 2);
}

int verb_cluster_change(const struct arguments *arguments) {
	return change(arguments, arguments->changes, arguments->n_changes);
}

int verb_cluster_prefer(const struct arguments *arguments) {
	const struct lockd_member_change one = {
		.kind = LOCKD_MEMBER_SAME,
		.node = arguments->numbers[0],
		.set_priority = 1,
		.priority = arguments->numbers[1],
	};

	return change(arguments, &one, 1);
}

int verb_cluster_transfer(const struct arguments *arguments) {
	struct lockd_client *client;
	enum lockd_status status;
	int r;

	r = connection_open(arguments, &client);
	if (r)
		return r;
	status = lockd_transfer_leader(client, arguments->numbers[0], arguments->timeout_ms);
	if (status)
		r = report_refusal(client, arguments, status);
	lockd_close(client);
	return r;
}

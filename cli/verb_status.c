/* SPDX-License-Identifier: Apache-2.0 */
/* status: every node as it sees itself. */
#include "cli/arguments.h"
#include "cli/connection.h"
#include "cli/disk.h"
#include "cli/document.h"
#include "cli/machine.h"
#include "cli/report.h"
#include "cli/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct column columns[] = {
	{"ENDPOINT", "endpoint", COLUMN_TEXT},
	{"NODE", "node", COLUMN_COUNT},
	{"ROLE", "role", COLUMN_TEXT},
	{"TERM", "term", COLUMN_COUNT},
	{"LEADER", "leader", COLUMN_COUNT},
	{"LEASE", "lease_ms", COLUMN_DURATION},
	{"RTT", "rtt_us", COLUMN_LATENCY},
	{"COMMIT", "commit", COLUMN_COUNT},
	{"APPLIED", "applied", COLUMN_COUNT},
	{"LOG", "log", COLUMN_TEXT},
	{"CHECKPOINT", "checkpoint", COLUMN_COUNT},
	{"SESSIONS", "sessions", COLUMN_COUNT},
	{"LOCKS", "locks", COLUMN_COUNT},
	{"UPTIME", "uptime_ms", COLUMN_DURATION},
	{"VERSION", "version", COLUMN_TEXT},
};

static const struct column machine_columns[] = {MACHINE_COLUMNS};
static const struct column disk_column = DISK_COLUMN;
static const struct column reason_column = {"REASON", "reason", COLUMN_TEXT};

enum { N_COLUMNS = sizeof columns / sizeof *columns, N_COLUMNS_MAX = N_COLUMNS + N_MACHINE_COLUMNS + 2 };

/* Those of `columns`, and what the state of affairs calls for. */
struct view {
	struct column columns[N_COLUMNS_MAX];
	size_t n;
	bool has_machine, has_disk, has_reason;
};

/* First and last entry, and what they take in memory. */
static void put_log(struct table *table, const struct lockd_node_info *node) {
	char text[80];

	(void)snprintf(text, sizeof text, "%" PRIu64 "-%" PRIu64 " (%" PRIu64 " KiB)", node->log_first, node->log_last,
		       (node->log_bytes + 1023) / 1024);
	table_put_text(table, text);
}

static bool leads(const struct lockd_node_info *node) {
	return node->status == LOCKD_OK && node->leader != 0 && node->node == node->leader;
}

/* How long the leader's heartbeats to this node take there and back; 0: nobody knows. */
static uint32_t rtt_us(const struct lockd_node_list *list, uint32_t node) {
	for (size_t i = 0; i < list->n; i++)
		for (size_t j = 0; leads(&list->nodes[i]) && j < list->nodes[i].n_peers; j++)
			if (list->nodes[i].peers[j].node == node && list->nodes[i].node != node)
				return list->nodes[i].peers[j].rtt_us;
	return 0;
}

/* The leader's lease, the others' distance from it. */
static void put_nearness(struct table *table, const struct lockd_node_list *list, const struct lockd_node_info *node) {
	uint32_t rtt = rtt_us(list, node->node);

	if (!leads(node))
		table_put_text(table, NULL);
	else if (node->lease_ms == UINT32_MAX)
		table_put_text(table, "endless");
	else
		table_put_number(table, node->lease_ms);
	if (rtt)
		table_put_number(table, rtt);
	else
		table_put_text(table, NULL);
}

static void put_node(struct table *table, const struct lockd_node_list *list, const struct lockd_node_info *node) {
	table_put_number(table, node->node);
	table_put_text(table, node->role);
	table_put_number(table, node->term);
	if (node->leader)
		table_put_number(table, node->leader);
	else
		table_put_text(table, NULL);
	put_nearness(table, list, node);
	table_put_number(table, node->commit);
	table_put_number(table, node->applied);
	put_log(table, node);
	table_put_number(table, node->checkpoint);
	table_put_number(table, node->sessions);
	table_put_number(table, node->locks);
	table_put_number(table, node->uptime_ms);
	table_put_text(table, node->version);
}

static void put_silent_node(struct table *table, const struct view *view, const struct lockd_node_info *node) {
	if (node->node)
		table_put_number(table, node->node);
	else
		table_put_text(table, NULL);
	table_put_text(table, "unreachable");
	while (table->filled < view->n - 1)
		table_put_text(table, NULL);
	table_put_text(table, node->reason);
}

static bool all_answered(const struct lockd_node_list *list) {
	for (size_t i = 0; i < list->n; i++)
		if (list->nodes[i].status)
			return false;
	return true;
}

static void choose_columns(const struct lockd_node_list *list, struct view *ret) {
	*ret = (struct view){.n = N_COLUMNS,
			     .has_machine = !machine_is_settled(list),
			     .has_disk = !disk_is_plain(list),
			     .has_reason = !all_answered(list)};
	memcpy(ret->columns, columns, sizeof columns);
	if (ret->has_machine) {
		memcpy(&ret->columns[ret->n], machine_columns, sizeof machine_columns);
		ret->n += N_MACHINE_COLUMNS;
	}
	if (ret->has_disk)
		ret->columns[ret->n++] = disk_column;
	if (ret->has_reason)
		ret->columns[ret->n++] = reason_column;
}

static int print_nodes(const struct lockd_node_list *list) {
	struct table table;
	struct view view;

	choose_columns(list, &view);
	table_init(&table, "nodes", view.columns, view.n, false);
	for (size_t i = 0; i < list->n; i++) {
		const struct lockd_node_info *node = &list->nodes[i];

		table_begin_line(&table);
		table_put_text(&table, node->endpoint);
		if (node->status) {
			put_silent_node(&table, &view, node);
			continue;
		}
		put_node(&table, list, node);
		if (view.has_machine)
			machine_put(&table, node);
		if (view.has_disk)
			disk_put(&table, node);
		if (view.has_reason)
			table_put_text(&table, NULL);
	}
	return table_print(&table);
}

static json_t *peer_document(const struct lockd_peer_info *peer) {
	return json_pack("{s:I, s:o, s:o, s:o, s:b, s:I, s:I, s:I, s:o, s:I, s:b, s:b, s:b}", "node",
			 (json_int_t)peer->node, "peer_address", document_text(peer->peer_address), "client_address",
			 document_text(peer->client_address), "store", document_text(peer->store), "voter", peer->voter,
			 "roles", (json_int_t)peer->roles, "priority", (json_int_t)peer->priority, "match",
			 (json_int_t)peer->match, "contact_ms",
			 peer->contact_ms < 0 ? json_null() : json_integer(peer->contact_ms), "rtt_us",
			 (json_int_t)peer->rtt_us, "caught_up", peer->caught_up, "unfit", peer->unfit, "snapshot",
			 peer->snapshot);
}

static json_t *lease_document(const struct lockd_node_info *node) {
	return node->lease_ms == UINT32_MAX ? json_null() : json_integer(node->lease_ms);
}

static json_t *times_document(const struct lockd_node_info *node) {
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "heartbeat_ms", (json_int_t)node->heartbeat_ms, "promise_ms",
			 (json_int_t)node->promise_ms, "drift_ppm", (json_int_t)node->drift_ppm, "election_ms_min",
			 (json_int_t)node->election_ms_min, "election_ms_max", (json_int_t)node->election_ms_max,
			 "ttl_ms_min", (json_int_t)node->ttl_ms_min);
}

static json_t *node_document(const struct lockd_node_info *node) {
	json_t *document, *peers;

	document = json_pack("{s:o, s:s, s:o}", "endpoint", document_text(node->endpoint), "status",
			     lockd_status_name(node->status), "reason", document_text(node->reason));
	if (node->status)
		return document;

	peers = json_array();
	for (size_t i = 0; i < node->n_peers; i++)
		(void)json_array_append_new(peers, peer_document(&node->peers[i]));
	(void)json_object_update_new(
		document,
		json_pack("{s:I, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "node", (json_int_t)node->node,
			  "role", document_text(node->role), "term", (json_int_t)node->term, "leader",
			  (json_int_t)node->leader, "commit", (json_int_t)node->commit, "applied",
			  (json_int_t)node->applied, "log_first", (json_int_t)node->log_first, "log_last",
			  (json_int_t)node->log_last, "log_bytes", (json_int_t)node->log_bytes, "checkpoint",
			  (json_int_t)node->checkpoint, "uptime_ms", (json_int_t)node->uptime_ms));
	(void)json_object_update_new(
		document,
		json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "sessions", (json_int_t)node->sessions,
			  "locks", (json_int_t)node->locks, "seats", (json_int_t)node->seats, "pending",
			  (json_int_t)node->pending, "group", (json_int_t)node->group, "epoch", (json_int_t)node->epoch,
			  "version", document_text(node->version), "incarnation", document_text(node->incarnation),
			  "state_hash", document_text(node->state_hash), "peers", peers));
	(void)json_object_update_new(document,
				     json_pack("{s:I, s:b, s:I, s:o, s:b, s:o, s:o, s:o}", "configuration_index",
					       (json_int_t)node->configuration_index, "joint", node->joint,
					       "transfer_to", (json_int_t)node->transfer_to, "lease_ms",
					       lease_document(node), "fit", node->fit, "times", times_document(node),
					       "machine_version", machine_document(node->machine_version),
					       "machine_version_max", machine_document(node->machine_version_max)));
	(void)json_object_update_new(document, disk_document(node));
	return document;
}

static int print_nodes_document(const struct lockd_node_list *list) {
	json_t *nodes = json_array();

	for (size_t i = 0; i < list->n; i++)
		(void)json_array_append_new(nodes, node_document(&list->nodes[i]));
	return document_print(json_pack("{s:o}", "nodes", nodes), DOCUMENT_INDENTED);
}

int verb_status(const struct arguments *arguments) {
	struct lockd_client *client;
	struct lockd_node_list *list;
	enum lockd_status status;
	int r;

	r = connection_open(arguments, &client);
	if (r)
		return r;
	status = lockd_nodes(client, arguments->timeout_ms, &list);
	if (status) {
		r = report_status(client, "status", status);
	} else {
		r = arguments_given(arguments, OPTION_JSON) ? print_nodes_document(list) : print_nodes(list);
		lockd_node_list_free(list);
	}
	lockd_close(client);
	return r;
}

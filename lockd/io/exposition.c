/* SPDX-License-Identifier: Apache-2.0 */
#include "exposition.h"

#include "api/client.pb-c.h"
#include "api/frame.h"

#include <inttypes.h>
#include <lockd/status.h>

/* ---- Lines --------------------------------------------------------------------------------------------------------
 */

static void begin(FILE *out, const char *name, const char *type, const char *help) {
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_seconds(FILE *out, raft_usec duration) {
	fprintf(out, "%" PRIu64 ".%06" PRIu64 "\n", duration / 1000000, duration % 1000000);
}

static void write_one(FILE *out, const char *name, const char *type, const char *help, uint64_t value) {
	begin(out, name, type, help);
	fprintf(out, "%s %" PRIu64 "\n", name, value);
}

static void write_gauge(FILE *out, const char *name, const char *help, uint64_t value) {
	write_one(out, name, "gauge", help, value);
}

static void write_counter(FILE *out, const char *name, const char *help, uint64_t value) {
	write_one(out, name, "counter", help, value);
}

static void write_seconds(FILE *out, const char *name, const char *type, const char *help, raft_usec value) {
	begin(out, name, type, help);
	fprintf(out, "%s ", name);
	put_seconds(out, value);
}

/* Buckets of the text are cumulative, and the last one is the count: it is taken from the buckets, so that it fits them
 * whatever has been added while they were read. */
static void write_histogram(FILE *out, const char *name, const char *help, const struct metrics_distribution *from) {
	uint64_t count = 0;

	begin(out, name, "histogram", help);
	for (int i = 0; i < METRICS_BOUNDS; i++) {
		count += from->buckets[i];
		fprintf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, (double)metrics_bounds[i] / 1e6, count);
	}
	count += from->buckets[METRICS_BOUNDS];
	fprintf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum ", name, count, name);
	put_seconds(out, from->sum);
	fprintf(out, "%s_count %" PRIu64 "\n", name, count);
}

/* ---- The node -----------------------------------------------------------------------------------------------------
 */

static void write_build(const struct exposition *from, FILE *out) {
	begin(out, "lockd_build_info", "gauge", "Always 1; the labels say which program runs.");
	fprintf(out, "lockd_build_info{version=\"%s\"} 1\n", from->version);
	write_gauge(out, "lockd_node_id", "Id of this node.", from->survey.node);
	write_gauge(out, "lockd_ready", "1 while /readyz answers 200.",
		    !survey_why_not_ready(&from->survey, from->now));
}

static void write_raft(const struct survey *survey, FILE *out) {
	const struct raft_status *raft = &survey->raft;

	write_gauge(out, "lockd_raft_is_leader", "1 if this node leads.", raft->role == RAFT_LEADER);
	write_gauge(out, "lockd_raft_term", "Latest term that this node knows.", raft->term);
	write_gauge(out, "lockd_raft_leader_id", "Id of the leader in that term, 0 if none is known.", raft->leader);
	write_counter(out, "lockd_raft_leader_changes_total",
		      "Times that a leader became known: another one, or the same one in another term.",
		      survey->tally.leaders);
	write_gauge(out, "lockd_raft_commit_index", "Highest log index known to be committed.", raft->commit);
	write_gauge(out, "lockd_raft_applied_index", "Highest log index applied.", survey->applied);
	write_gauge(out, "lockd_raft_last_index", "Last index of the log, durable or not.", raft->last);
	write_gauge(out, "lockd_raft_log_memory_bytes", "Bytes of the retained log in memory.",
		    survey->tally.log_bytes);
}

/* ---- The others ---------------------------------------------------------------------------------------------------
 */

static void begin_peer(FILE *out, const char *name, uint32_t node) {
	fprintf(out, "%s{peer=\"%u\"} ", name, node);
}

static void write_connected(const struct survey *survey, FILE *out) {
	begin(out, "lockd_peer_connected", "gauge", "1 if both connections with that node stand, its and ours.");
	for (size_t i = 0; i < survey->n_peers; i++) {
		begin_peer(out, "lockd_peer_connected", survey->peers[i].node);
		fprintf(out, "%d\n", survey->peers[i].connected);
	}
}

static void write_lag(const struct survey *survey, FILE *out) {
	begin(out, "lockd_peer_lag_entries", "gauge",
	      "Leader only: log entries that are not known to be on that node's disk.");
	for (size_t i = 0; i < survey->n_peers; i++) {
		const struct survey_peer *peer = &survey->peers[i];

		if (!peer->followed)
			continue;
		begin_peer(out, "lockd_peer_lag_entries", peer->node);
		fprintf(out, "%" PRIu64 "\n", survey->raft.last - peer->progress.match);
	}
}

static void write_contact(const struct survey *survey, raft_usec now, FILE *out) {
	begin(out, "lockd_peer_contact_seconds", "gauge",
	      "Leader only: time since that node's last answer; absent if there was none in this term.");
	for (size_t i = 0; i < survey->n_peers; i++) {
		const struct survey_peer *peer = &survey->peers[i];

		if (!peer->followed || peer->progress.contact == 0)
			continue;
		begin_peer(out, "lockd_peer_contact_seconds", peer->node);
		put_seconds(out, now - peer->progress.contact);
	}
}

static void write_rtt(const struct survey *survey, FILE *out) {
	begin(out, "lockd_peer_rtt_seconds", "gauge",
	      "Leader only: round trip of heartbeats to that node, smoothed; absent until it is known.");
	for (size_t i = 0; i < survey->n_peers; i++) {
		const struct survey_peer *peer = &survey->peers[i];

		if (!peer->followed || peer->progress.rtt == 0)
			continue;
		begin_peer(out, "lockd_peer_rtt_seconds", peer->node);
		put_seconds(out, peer->progress.rtt);
	}
}

static void write_peers(const struct exposition *from, FILE *out) {
	write_connected(&from->survey, out);
	write_lag(&from->survey, out);
	write_contact(&from->survey, from->now, out);
	write_rtt(&from->survey, out);
}

/* ---- The service --------------------------------------------------------------------------------------------------
 */

/* Every verb that the schema has, so that a series does not begin with the first request. */
static void write_requests(const struct node_tally *tally, FILE *out) {
	const ProtobufCMessageDescriptor *schema = &client__request__descriptor;

	begin(out, "lockd_requests_total", "counter", "Requests of clients by verb, whatever became of them.");
	fprintf(out, "lockd_requests_total{verb=\"unknown\"} %" PRIu64 "\n", tally->requests[0]);
	for (unsigned i = 0; i < schema->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &schema->fields[i];

		if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
			fprintf(out, "lockd_requests_total{verb=\"%s\"} %" PRIu64 "\n", field->name,
				tally->requests[field->id]);
	}
}

static void write_replies(const struct node_tally *tally, FILE *out) {
	static const int statuses[] = {
#define NUMBER(name, number, outcome, text) (number),
		LOCKD_STATUS_MAP(NUMBER)
#undef NUMBER
	};

	begin(out, "lockd_replies_total", "counter", "Replies to clients by status.");
	for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
		if (statuses[i] < NODE_STATUSES_MAX)
			fprintf(out, "lockd_replies_total{status=\"%s\"} %" PRIu64 "\n", lockd_status_name(statuses[i]),
				tally->replies[statuses[i]]);
	}
}

static void write_service(const struct survey *survey, FILE *out) {
	write_gauge(out, "lockd_sessions", "Live sessions, as far as this node has applied the log.",
		    survey->counts.sessions);
	write_gauge(out, "lockd_locks", "Held locks, likewise.", survey->counts.locks);
	write_gauge(out, "lockd_waiters", "Seats in the queues of locks, likewise.", survey->counts.seats);
	write_gauge(out, "lockd_pending_requests", "Requests that were admitted here and wait for their reply.",
		    survey->tally.pending);
	write_gauge(out, "lockd_client_connections", "Connections of clients.", survey->connections);
	write_requests(&survey->tally, out);
	write_replies(&survey->tally, out);
	write_counter(
		out, "lockd_sessions_kept_alive_total",
		"Sessions that this node, as leader, kept alive, each as often as it was. One request may name many.",
		survey->tally.kept_alive);
	write_counter(out, "lockd_sessions_expired_total",
		      "Sessions that this node, as leader, gave up because nobody kept them alive.",
		      survey->tally.expired);
}

/* ---- Transport ----------------------------------------------------------------------------------------------------
 */

static void write_traffic(const struct metrics *metrics, const char *name, const char *help,
			  enum metrics_counter counter, FILE *out) {
	begin(out, name, "counter", help);
	fprintf(out, "%s{with=\"clients\"} %" PRIu64 "\n", name, metrics->counters[counter + FRAME_CLIENT]);
	fprintf(out, "%s{with=\"peers\"} %" PRIu64 "\n", name, metrics->counters[counter + FRAME_PEER]);
}

static void write_transport(const struct metrics *metrics, FILE *out) {
	write_traffic(metrics, "lockd_received_bytes_total", "Bytes received.", METRICS_BYTES_RECEIVED, out);
	write_traffic(metrics, "lockd_sent_bytes_total", "Bytes sent.", METRICS_BYTES_SENT, out);
	write_counter(out, "lockd_snapshots_sent_total", "Snapshots that nodes which lagged have taken from this one.",
		      metrics->counters[METRICS_SNAPSHOTS_SENT]);
	write_counter(out, "lockd_snapshots_received_total", "Snapshots that have come whole.",
		      metrics->counters[METRICS_SNAPSHOTS_RECEIVED]);
	write_counter(out, "lockd_old_copies_refused_total",
		      "Times that another node was refused since its data folder is an older copy of itself.",
		      metrics->counters[METRICS_OLD_COPIES]);
}

/* ---- Disk ---------------------------------------------------------------------------------------------------------
 */

static void write_store(const struct metrics *metrics, FILE *out) {
	write_histogram(out, "lockd_store_write_seconds",
			"Duration of a durable transaction of the log, fsync included.",
			&metrics->timings[METRICS_STORE_WRITE]);
	write_counter(out, "lockd_store_entries_total", "Log entries made durable.",
		      metrics->counters[METRICS_STORE_ENTRIES]);
	write_counter(out, "lockd_store_refused_total", "Transactions of the log that found the disk full.",
		      metrics->counters[METRICS_STORE_REFUSED]);
	write_histogram(out, "lockd_checkpoint_seconds", "Duration of the transaction that writes a checkpoint.",
			&metrics->timings[METRICS_CHECKPOINT]);
}

static raft_usec since(raft_usec then, raft_usec now) {
	return then < now ? now - then : 0;
}

static void write_disk(const struct exposition *from, FILE *out) {
	const struct survey *survey = &from->survey;

	write_seconds(out, "lockd_store_waiting_seconds", "gauge",
		      "For how long the log's disk has owed an answer; 0 if it owes none.",
		      since(survey->owed_since, from->now));
	write_gauge(out, "lockd_checkpoint_index", "Log index of the last durable checkpoint.",
		    survey->tally.checkpoint);
	write_gauge(out, "lockd_log_file_bytes", "Size of raft.db with its WAL.", from->sizes.log_bytes);
	write_gauge(out, "lockd_state_file_bytes", "Size of state.db with its WAL.", from->sizes.state_bytes);
	write_gauge(out, "lockd_disk_free_bytes", "Space that is left for the data folder.", from->disk_free_bytes);
	write_gauge(out, "lockd_disk_reserve_bytes", "Space kept for the end of a full disk; 0 while it is in use.",
		    from->sizes.reserve_bytes);
	write_gauge(out, "lockd_disk_full", "1 while the log waits for space: nothing is admitted.",
		    survey->full_since > 0);
	write_gauge(out, "lockd_restoring",
		    "1 after the data folder was found damaged, until the other nodes have caught this one up.",
		    survey->tally.restoring);
	write_counter(out, "lockd_repairs_total", "Times that the data folder was found damaged, restarts included.",
		      survey->tally.repairs);
}

/* ---- The process, by the names that exporters have agreed upon ----------------------------------------------------
 */

static void write_process(const struct exposition *from, FILE *out) {
	const struct process *process = &from->process;

	write_seconds(out, "process_cpu_seconds_total", "counter", "Processor time used, in user and kernel mode.",
		      process->cpu);
	write_gauge(out, "process_resident_memory_bytes", "Resident memory.", process->resident_bytes);
	write_gauge(out, "process_virtual_memory_bytes", "Virtual memory.", process->virtual_bytes);
	write_gauge(out, "process_open_fds", "Open file descriptors.", process->descriptors);
	write_gauge(out, "process_max_fds", "File descriptors that the process may open.", process->descriptors_max);
	write_seconds(out, "process_start_time_seconds", "gauge", "Start of the process since 1970, UTC.",
		      from->process_started);
}

void exposition_write(const struct exposition *exposition, FILE *out) {
	write_build(exposition, out);
	write_raft(&exposition->survey, out);
	write_peers(exposition, out);
	write_service(&exposition->survey, out);
	write_transport(&exposition->metrics, out);
	write_store(&exposition->metrics, out);
	write_disk(exposition, out);
	write_process(exposition, out);
}

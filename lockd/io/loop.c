/* SPDX-License-Identifier: Apache-2.0 */
#include "loop.h"

#include "api/limits.h"
#include "backup_files.h"
#include "checkpointer.h"
#include "client_connections.h"
#include "clock.h"
#include "fatal.h"
#include "founding.h"
#include "listener.h"
#include "log.h"
#include "notify.h"
#include "peers.h"
#include "repair.h"
#include "storage.h"
#include "survey.h"
#include "web.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

enum {
	/* For peers, databases, snapshots, nng itself, and those who read metrics. */
	DESCRIPTORS_RESERVED = 256 + 2 * WEB_CONNECTIONS_MAX,
	SURVEY_MS_MIN = 100,  /* between two surveys, while there is something to do … */
	SURVEY_MS_MAX = 1000, /* … and while there is not */
};

enum stage {
	STAGE_SERVING,
	STAGE_STOPPING, /* the node gives up leadership and answers what it admitted */
	STAGE_CLOSING,  /* connections send what they have and close */
};

struct loop {
	struct loop_config config;
	struct node_address alone; /* the only address of a cluster without a list */
	struct store *store;
	struct node *node;
	struct inbox inbox;
	struct listener peer_listener, client_listener;
	struct peers peers;
	struct client_connections clients;
	struct founding founding;
	struct backup_files backups;
	struct storage *storage;
	struct checkpointer *checkpointer;
	struct web *web; /* NULL: nobody may ask */
	pthread_mutex_t state_db;
	pthread_t thread;
	bool started;

	struct events events;
	struct inbox_list items; /* of this turn; freed behind the step */
	struct raft_clocks clocks;
	raft_usec deadline; /* of the next turn */
	enum stage stage;
	raft_usec stage_until;
	bool node_stopped;
	bool ready;
	bool restoring; /* the store stands in the place of a damaged one, and has not been caught up */
	raft_usec full_since;  /* 0: the log's disk has room */
	raft_usec surveyed_at; /* 0: not yet */
	raft_usec watchdog, alive_at; /* interval, 0: none; next report */
	struct inbox_item stop;
};

/* ---- Input --------------------------------------------------------------------------------------------------------
 */

static void on_accepted(struct loop *loop, struct listener_accept *accept) {
	if (accept->stream) {
		if (loop->stage == STAGE_CLOSING)
			nng_stream_free(accept->stream);
		else if (accept->listener == &loop->client_listener)
			client_connections_accept(&loop->clients, accept->stream);
		else
			peers_accept(&loop->peers, accept->stream);
	}
	listener_rearm(accept->listener, accept, loop->clocks.mono);
}

static void on_frames(struct loop *loop, struct connection_batch *batch) {
	connection_take_batch(batch);
	if (connection_kind(batch->connection) == FRAME_CLIENT)
		client_connections_frames(&loop->clients, batch, &loop->events);
	else
		peers_frames(&loop->peers, batch, &loop->events);
}

static void on_drained(struct loop *loop, struct connection *connection) {
	if (connection_kind(connection) == FRAME_CLIENT)
		client_connections_drained(&loop->clients, connection, &loop->events);
	else
		peers_drained(&loop->peers, connection);
}

static void on_closed(struct loop *loop, struct connection *connection) {
	if (connection_kind(connection) == FRAME_CLIENT)
		client_connections_closed(&loop->clients, connection, &loop->events);
	else
		peers_closed(&loop->peers, connection, &loop->events);
}

static void on_saved(struct loop *loop, struct storage_report *report) {
	if (report->outcome == STORAGE_BLOCKED) {
		events_add(&loop->events, NODE_SAVE_BLOCKED);
		loop->full_since = loop->clocks.mono;
	} else if (report->outcome == STORAGE_UNBLOCKED) {
		events_add(&loop->events, NODE_SAVE_UNBLOCKED);
		loop->full_since = 0;
	}
	for (uint32_t i = 0; i < report->n; i++) {
		struct node_event *event = events_add(&loop->events, NODE_SAVED);

		event->group = report->durable[i].group;
		event->seq = report->durable[i].seq;
	}
	free(report);
}

static void on_checkpointed(struct loop *loop, struct checkpointer_job *job) {
	struct node_event *event = events_add(&loop->events, NODE_CHECKPOINTED);

	event->group = job->checkpoint.group;
	event->index = job->checkpoint.index;
	event->ok = job->result == 0;
	free(job);
}

static void on_stop(struct loop *loop) {
	notify_stopping();
	events_add(&loop->events, NODE_STOP);
	loop->stage = STAGE_STOPPING;
	loop->stage_until = loop->clocks.mono + LOOP_STOP_MS_MAX * 1000;
}

/* Batches stay in the list: their bytes are borrowed by events. */
static void dispatch(struct loop *loop, struct inbox_list *taken) {
	struct inbox_item *item;

	while ((item = STAILQ_FIRST(taken))) {
		STAILQ_REMOVE_HEAD(taken, next);
		switch (item->kind) {
		case INBOX_ACCEPTED: on_accepted(loop, listener_accept_of(item)); break;
		case INBOX_DIALLED: peers_dialled(&loop->peers, dialler_of(item)); break;
		case INBOX_FRAMES:
			on_frames(loop, (struct connection_batch *)item);
			STAILQ_INSERT_TAIL(&loop->items, item, next);
			break;
		case INBOX_DRAINED: on_drained(loop, connection_of_drained(item)); break;
		case INBOX_CLOSED: on_closed(loop, connection_of_closed(item)); break;
		case INBOX_SAVED: on_saved(loop, storage_report_of(item)); break;
		case INBOX_CHECKPOINTED: on_checkpointed(loop, checkpointer_job_of(item)); break;
		case INBOX_SNAPSHOT_CUT:
		case INBOX_SNAPSHOT_READ: peers_snapshot_job(&loop->peers, checkpointer_job_of(item)); break;
		case INBOX_BACKUP_CUT:
		case INBOX_BACKUP_READ:
			backup_files_job(&loop->backups, checkpointer_job_of(item), &loop->events);
			break;
		case INBOX_STOP: on_stop(loop); break;
		}
	}
}

static void forget_turn(struct loop *loop) {
	struct inbox_item *item;

	while ((item = STAILQ_FIRST(&loop->items))) {
		STAILQ_REMOVE_HEAD(&loop->items, next);
		blocks_give(&loop->inbox.blocks, item);
	}
	backup_files_end_turn(&loop->backups);
	events_clear(&loop->events);
}

/* ---- What must fit --------------------------------------------------------------------------------------------------
 */

static int fail(struct loop_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int fail(struct loop_error *error, const char *format, ...) {
	va_list args;

	va_start(args, format);
	vsnprintf(error->text, sizeof error->text, format, args);
	va_end(args);
	return -1;
}

/* What the founder wrote holds for the life of the cluster; the timing of this node must fit it (struct raft_timing).
 */
static int check_timing(const struct loop *loop, struct loop_error *error) {
	const struct raft_timing *timing = &loop->config.timing;
	const struct raft_configuration *members;
	const uint64_t million = 1000000;
	raft_index index;
	uint64_t promise;

	if (node_is_blank(loop->node))
		return 0;
	members = raft_members(node_raft(loop->node, PEERS_GROUP), &index);
	promise = (uint64_t)members->promise_ms * 1000;
	if (2 * timing->heartbeat <= promise &&
	    promise * (million + members->drift_ppm) <= timing->check_quorum * (million - members->drift_ppm))
		return 0;
	return fail(
		error,
		"the cluster was founded with promise-ms = %u and drift-ppm = %u: heartbeat-ms must be at most %u and "
		"check-quorum-ms at least %llu",
		members->promise_ms, members->drift_ppm, members->promise_ms / 2,
		(unsigned long long)(members->promise_ms * (million + members->drift_ppm) /
					     (million - members->drift_ppm) +
				     1));
}

/* ---- Effects ------------------------------------------------------------------------------------------------------
 */

static void hand_to_storage(struct loop *loop, const struct node_effects *effects) {
	const struct snapshot_receive *staged = loop->peers.staged;

	for (size_t i = 0; i < effects->n_saves; i++)
		storage_save(loop->storage, &effects->saves[i], staged ? staged->bytes : NULL,
			     staged ? staged->n_max : 0, loop->clocks.mono);
}

static void hand_to_checkpointer(struct loop *loop, const struct node_effects *effects) {
	struct checkpointer_job *job;

	if (!effects->checkpoint)
		return;
	job = fatal_alloc(sizeof *job);
	job->item.kind = INBOX_CHECKPOINTED;
	job->checkpoint = *effects->checkpoint;
	checkpointer_add(loop->checkpointer, job);
}

/* A node that has just been let in learns the times of the cluster with its first entry. */
static void on_members(struct loop *loop) {
	struct loop_error error;

	if (check_timing(loop, &error) < 0)
		fatal_stop("reason=\"%s\"", error.text);
	peers_follow_members(&loop->peers);
}

/* Saves go first: our own disk works while the peers get the entries. Each connection is flushed once. */
static void execute(struct loop *loop, const struct node_effects *effects) {
	if (effects->fatal)
		fatal_stop("reason=\"%s\"", effects->fatal);

	if (effects->members_changed)
		on_members(loop);
	hand_to_storage(loop, effects);
	for (size_t i = 0; i < effects->n_peer_frames; i++)
		peers_send(&loop->peers, &effects->peer_frames[i]);
	peers_flush(&loop->peers);
	for (size_t i = 0; i < effects->n_client_frames; i++)
		client_connections_send(&loop->clients, &effects->client_frames[i]);
	client_connections_flush(&loop->clients);

	hand_to_checkpointer(loop, effects);
	for (size_t i = 0; i < effects->n_snapshots; i++)
		peers_send_snapshot(&loop->peers, &effects->snapshots[i]);
	for (size_t i = 0; i < effects->n_backups; i++)
		backup_files_execute(&loop->backups, &effects->backups[i]);
	if (effects->staged_done)
		peers_staged_done(&loop->peers);
	for (size_t i = 0; i < effects->n_traces; i++)
		log_info("%s", effects->traces[i].text);
	loop->node_stopped = loop->node_stopped || effects->stopped;
}

/* The folder is marked, since nobody who could say it again may be up at the next start. */
static void stop_as_old_copy(const struct loop *loop) {
	struct store_error error;

	if (store_condemn(loop->store, loop->peers.accusation, &error) != 0)
		log_error("the data folder could not be marked: reason=\"%s\"", error.text);
	fatal_stop("reason=\"%s; delete %s and add the node anew: lockctl cluster remove %u, then add\"",
		   loop->peers.accusation, loop->config.data, loop->config.node);
}

/* ---- Turn ---------------------------------------------------------------------------------------------------------
 */

static raft_usec earlier(raft_usec a, raft_usec b) {
	return a < b ? a : b;
}

/* The clocks are read behind the inbox: a clock read before it would start promises too early. */
static void turn(struct loop *loop) {
	struct node_effects effects;
	struct inbox_list taken;
	raft_usec deadline;
	bool overfull;

	inbox_take(&loop->inbox, &taken, &overfull);
	clock_read(&loop->clocks);
	peers_tick(&loop->peers, loop->clocks.mono, &loop->events);
	client_connections_tick(&loop->clients, loop->clocks.mono);
	dispatch(loop, &taken);
	client_connections_tell_stalled(&loop->clients, &loop->events);
	if (loop->peers.accusation[0])
		stop_as_old_copy(loop);
	founding_tick(&loop->founding, &loop->peers, &loop->events);

	node_step(loop->node, &loop->clocks, loop->events.all, loop->events.n, &effects);
	execute(loop, &effects);

	forget_turn(loop);
	if (overfull) {
		peers_resume(&loop->peers);
		client_connections_resume(&loop->clients);
	}
	deadline = earlier(effects.deadline, client_connections_deadline(&loop->clients));
	deadline = earlier(deadline, peers_deadline(&loop->peers));
	deadline = earlier(deadline, listener_tick(&loop->peer_listener, loop->clocks.mono));
	loop->deadline = earlier(deadline, listener_tick(&loop->client_listener, loop->clocks.mono));
}

static bool is_serving(const struct loop *loop) {
	struct raft_status status;

	if (loop->peers.table.n > 0)
		return true;
	if (node_is_blank(loop->node))
		return false;
	raft_get_status(node_raft(loop->node, PEERS_GROUP), &status);
	return status.role == RAFT_LEADER && status.commit >= status.term_start;
}

/* A node that needs others, to found a cluster, to be let in or to elect, is ready as soon as it listens; one that is
 * alone when it serves. */
static void tell_ready(struct loop *loop) {
	if (loop->ready || !is_serving(loop))
		return;
	loop->ready = true;
	notify_ready();
	log_info("ready: node=%u", loop->config.node);
}

/* NULL: as far as the log reaches the store is no member's. */
static const struct raft_member *find_self(const struct loop *loop, raft_index *ret_index) {
	const struct raft_configuration *members = raft_members(node_raft(loop->node, PEERS_GROUP), ret_index);
	struct node_uuid store;

	store_get_uuid(loop->store, &store);
	for (uint16_t i = 0; members && i < members->n; i++) {
		if (memcmp(members->members[i].store.bytes, store.bytes, sizeof store.bytes) == 0)
			return &members->members[i];
	}
	return NULL;
}

/* It has everything up to the entry that has put its store in the place of the damaged one. */
static void tell_restored(struct loop *loop) {
	struct raft_status status;
	raft_index admitted;

	if (!loop->restoring || node_is_blank(loop->node) || !find_self(loop, &admitted))
		return;
	raft_get_status(node_raft(loop->node, PEERS_GROUP), &status);
	if (status.leader == 0 || status.commit < admitted)
		return;
	loop->restoring = false;
	log_info("restored: caught up by node %u: node=%u commit=%llu", status.leader, loop->config.node,
		 (unsigned long long)status.commit);
}

/* A stuck disk must look dead to the watchdog although this thread runs; a full one answers and is waited for. */
static void tell_alive(struct loop *loop) {
	raft_usec now = loop->clocks.mono, since;

	if (loop->watchdog == 0)
		return;
	if (loop->alive_at <= now) {
		since = storage_waits_since(loop->storage);
		if (since == UINT64_MAX || since + loop->watchdog > now)
			notify_alive();
		loop->alive_at = now + loop->watchdog;
	}
	loop->deadline = earlier(loop->deadline, loop->alive_at);
}

static void publish_survey(struct loop *loop) {
	struct survey survey;

	survey_take(loop->config.node, loop->node, &loop->peers, &loop->clients, &survey);
	survey.stopping = loop->stage != STAGE_SERVING;
	survey.taken = loop->clocks.mono;
	survey.full_since = loop->full_since;
	survey.owed_since = storage_waits_since(loop->storage);
	web_publish(loop->web, &survey);
	loop->surveyed_at = loop->clocks.mono;
}

/* A turn that is left out is made up for, so that a node that falls silent does not look busy for ever. */
static void tell_watchers(struct loop *loop) {
	raft_usec due = loop->surveyed_at + SURVEY_MS_MIN * 1000;

	if (!loop->web)
		return;
	if (due <= loop->clocks.mono) {
		publish_survey(loop);
		due = loop->surveyed_at + SURVEY_MS_MAX * 1000;
	}
	loop->deadline = earlier(loop->deadline, due);
}

static void begin_closing(struct loop *loop) {
	if (!loop->node_stopped)
		log_warning("stopping although the node has work left: waited_ms=%d", LOOP_STOP_MS_MAX);
	loop->stage = STAGE_CLOSING;
	loop->stage_until = loop->clocks.mono + LOOP_STOP_MS_MAX * 1000;
	listener_close(&loop->peer_listener);
	listener_close(&loop->client_listener);
	client_connections_finish(&loop->clients);
	peers_finish(&loop->peers);
}

static bool is_closed(const struct loop *loop) {
	return loop->clients.n == 0 && peers_are_gone(&loop->peers) && listener_is_idle(&loop->peer_listener) &&
	       listener_is_idle(&loop->client_listener);
}

/* false: the loop ends. */
static bool advance_stop(struct loop *loop) {
	bool late = loop->stage_until <= loop->clocks.mono;

	if (loop->stage == STAGE_STOPPING && (loop->node_stopped || late)) {
		begin_closing(loop);
	} else if (loop->stage == STAGE_CLOSING && late) {
		/* Who has not read by now will not: the rest of its output is dropped. */
		client_connections_close(&loop->clients);
		peers_close(&loop->peers);
		loop->stage_until = UINT64_MAX;
	}
	loop->deadline = earlier(loop->deadline, loop->stage_until);
	return loop->stage != STAGE_CLOSING || !is_closed(loop);
}

static bool run_turn(void *arg, raft_usec *ret_deadline) {
	struct loop *loop = arg;
	bool going;

	turn(loop);
	tell_ready(loop);
	tell_restored(loop);
	tell_alive(loop);
	tell_watchers(loop);
	going = loop->stage == STAGE_SERVING || advance_stop(loop);
	*ret_deadline = loop->deadline;
	return going;
}

static void *run(void *arg) {
	struct loop *loop = arg;

	inbox_attend(&loop->inbox, run_turn, loop);
	return NULL;
}

/* ---- Life ---------------------------------------------------------------------------------------------------------
 */

static uint64_t random_seed(void) {
	uint64_t seed;

	if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
		fatal_stop("reason=\"no random numbers\"");
	return seed;
}

static int bind_port(struct listener *listener, const char *address, const char *key, struct inbox *inbox,
		     struct loop_error *error) {
	int r = listener_open(listener, address, inbox);
	const char *advice = "give an address of this machine as host:port";

	if (r == 0)
		return 0;
	if (r == NNG_EADDRINUSE)
		advice = "another process has it: stop that one or choose another port";
	return fail(error, "cannot listen on %s: %s; %s (%s)", address, nng_strerror(r), advice, key);
}

static int open_web(struct loop *loop, struct loop_error *error) {
	struct web_config web = {.address = loop->config.listen_metrics,
				 .version = loop->config.version,
				 .data = loop->config.data,
				 .store = loop->store};
	const char *why;

	if (!*web.address || web_open(&web, &loop->web, &why) == 0)
		return 0;
	return fail(error, "cannot listen on %s: %s; give a free address of this machine as host:port (listen-metrics)",
		    web.address, why);
}

static void start_web(struct loop *loop) {
	int r;

	if (!loop->web)
		return;
	publish_survey(loop);
	r = web_start(loop->web);
	if (r < 0)
		fatal_stop("reason=\"the metrics could not be served\" error=\"%s\"", strerror(-r));
	log_info("listening metrics=%s", web_address(loop->web));
}

/* A cluster without a list has one node, under the addresses it listens on. */
static void complete_addresses(struct loop *loop) {
	if (loop->config.n_addresses > 0)
		return;
	loop->alone = (struct node_address){.node = loop->config.node,
					    .peer_address = loop->peer_listener.address,
					    .client_address = loop->client_listener.address};
	loop->config.addresses = &loop->alone;
	loop->config.n_addresses = 1;
}

/* A node that has something to keep starts on a full disk, too, and follows; a new one must be able to write. */
static int check_room(const struct loop *loop, struct loop_error *error) {
	if (store_has_reserve(loop->store) || !node_is_blank(loop->node))
		return 0;
	return fail(error,
		    "the disk is full: a new node in %s needs %llu MiB for its reserve; make room there, or set a smaller "
		    "reserve-mib",
		    loop->config.data, (unsigned long long)loop->config.reserve_bytes >> 20);
}

static int open_store(struct loop *loop, struct loop_error *error) {
	struct store_error found;
	int r = store_open(loop->config.data, &loop->store, &found);

	if (r == -EBADMSG)
		return repair_folder(&loop->config, found.text, &loop->store, error);
	return r < 0 ? fail(error, "%s", found.text) : 0;
}

/* 0, or negative: -EBADMSG means that the folder is damaged. */
static int restore_node(struct loop *loop, struct loop_error *error) {
	const struct loop_config *config = &loop->config;
	struct node_config node_config = {.node = config->node,
					  .seed = random_seed(),
					  .timing = config->timing,
					  .addresses = config->addresses,
					  .n_addresses = config->n_addresses,
					  .version = config->version,
					  .checkpoint_log_bytes = config->checkpoint_log_bytes,
					  .checkpoint_log_entries = config->checkpoint_log_entries,
					  .trailing_log_bytes = config->trailing_log_bytes,
					  .trailing_log_entries = config->trailing_log_entries,
					  .leader_lease = config->leader_lease,
					  .stall = config->stall};
	struct store_error store_error;
	struct store_past past;
	int r;

	store_get_uuid(loop->store, &node_config.store);
	store_get_past(loop->store, &past);
	node_config.past_incarnation = past.incarnation;
	node_config.repairs = past.repairs;
	node_config.damage = past.n > 0 ? past.reason : NULL;
	if (node_new(&node_config, &loop->node) < 0)
		return fail(error, "not enough memory to start");
	r = store_keep_reserve(loop->store, config->reserve_bytes, &store_error);
	if (r == 0)
		r = store_load(loop->store, loop->node, &store_error);
	if (r < 0) {
		(void)fail(error, "%s", store_error.text);
		return r;
	}
	clock_read(&loop->clocks);
	r = node_start(loop->node, &loop->clocks);
	if (r < 0) {
		(void)fail(error, "data folder %s: %s", config->data, node_error(loop->node));
		return r;
	}
	loop->restoring = past.n > 0 && (node_is_blank(loop->node) || !find_self(loop, NULL));
	return check_room(loop, error);
}

static int restore(struct loop *loop, struct loop_error *error) {
	struct loop_error found;
	int r = restore_node(loop, error);

	if (r != -EBADMSG)
		return r;
	found = *error;
	loop->node = node_free(loop->node);
	loop->store = store_close(loop->store, false);
	r = repair_folder(&loop->config, found.text, &loop->store, error);
	return r == 0 ? restore_node(loop, error) : r;
}

/* The folder's uuid is a member of its cluster under one node id for ever. */
static int check_identity(struct loop *loop, struct loop_error *error) {
	const struct raft_configuration *members;
	struct node_uuid store;
	raft_index index;

	if (node_is_blank(loop->node))
		return 0;
	members = raft_members(node_raft(loop->node, PEERS_GROUP), &index);
	store_get_uuid(loop->store, &store);
	for (uint16_t i = 0; members && i < members->n; i++) {
		const struct raft_member *member = &members->members[i];

		if (memcmp(member->store.bytes, store.bytes, sizeof store.bytes) != 0)
			continue;
		if (member->node == loop->config.node)
			return 0;
		return fail(error,
			    "data folder %s belongs to node %u, but this is node %u: set `node = %u` or name another "
			    "folder",
			    loop->config.data, member->node, loop->config.node, member->node);
	}
	/* Either the leader tells what has happened since, or it lets this node in. */
	log_warning("this node is no member as far as its log reaches: it is being added, or was removed: node=%u",
		    loop->config.node);
	return 0;
}

/* Descriptors for clients, as many as the limits of the process leave. */
static uint32_t clients_max(void) {
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return LIMIT_CONNECTIONS_MAX;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* what is not granted is found by the next line */
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur >= LIMIT_CONNECTIONS_MAX + DESCRIPTORS_RESERVED)
		return LIMIT_CONNECTIONS_MAX;
	return limit.rlim_cur > 2 * DESCRIPTORS_RESERVED ? (uint32_t)limit.rlim_cur - DESCRIPTORS_RESERVED
							 : DESCRIPTORS_RESERVED;
}

int loop_open(const struct loop_config *config, struct loop **ret, struct loop_error *error) {
	struct loop *loop = fatal_alloc(sizeof *loop);
	struct store_sizes sizes;

	loop->config = *config;
	loop->stop.kind = INBOX_STOP;
	STAILQ_INIT(&loop->items);
	pthread_mutex_init(&loop->state_db, NULL);
	inbox_init(&loop->inbox, LIMIT_INBOX_BYTES_MAX);
	client_connections_init(&loop->clients, &loop->inbox, clients_max());
	founding_init(&loop->founding, config->promise_ms, config->drift_ppm);

	if (open_store(loop, error) < 0)
		goto fail;
	if (bind_port(&loop->peer_listener, config->listen_peer, "listen-peer", &loop->inbox, error) < 0)
		goto fail;
	if (bind_port(&loop->client_listener, config->listen_client, "listen-client", &loop->inbox, error) < 0)
		goto fail;
	complete_addresses(loop);
	if (restore(loop, error) < 0 || check_identity(loop, error) < 0 || check_timing(loop, error) < 0)
		goto fail;
	if (open_web(loop, error) < 0)
		goto fail;

	store_get_sizes(loop->store, &sizes);
	log_info("opened: node=%u data=%s boot=%llu log_bytes=%llu state_bytes=%llu", config->node, config->data,
		 (unsigned long long)store_get_boot_count(loop->store), (unsigned long long)sizes.log_bytes,
		 (unsigned long long)sizes.state_bytes);
	*ret = loop;
	return 0;
fail:
	loop_close(loop);
	return -1;
}

void loop_start(struct loop *loop) {
	struct peers_config peers_config = {.inbox = &loop->inbox,
					    .node = loop->node,
					    .self = loop->config.node,
					    .addresses = loop->config.addresses,
					    .n_addresses = loop->config.n_addresses};
	int r;

	loop->storage = storage_start(loop->store, &loop->inbox, &loop->state_db);
	loop->checkpointer = checkpointer_start(loop->store, loop->storage, &loop->inbox, &loop->state_db);
	backup_files_init(&loop->backups, loop->checkpointer);
	store_get_uuid(loop->store, &peers_config.store);
	store_get_past(loop->store, &peers_config.past);
	peers_config.boot_count = store_get_boot_count(loop->store);
	peers_config.checkpointer = loop->checkpointer;
	peers_init(&loop->peers, &peers_config);
	loop->watchdog = notify_watchdog();
	listener_start(&loop->peer_listener);
	listener_start(&loop->client_listener);
	log_info("listening client=%s peer=%s", loop->client_listener.address, loop->peer_listener.address);
	start_web(loop);

	r = pthread_create(&loop->thread, NULL, run, loop);
	if (r != 0)
		fatal_stop("reason=\"the loop thread could not be started\" error=\"%s\"", strerror(r));
	loop->started = true;
}

void loop_stop(struct loop *loop) {
	inbox_post(&loop->inbox, &loop->stop);
}

/* What the threads reported behind the last turn. */
static void drop_reports(struct loop *loop) {
	struct inbox_item *item;

	while ((item = STAILQ_FIRST(&loop->inbox.list))) {
		STAILQ_REMOVE_HEAD(&loop->inbox.list, next);
		if (item->kind == INBOX_SAVED)
			free(storage_report_of(item));
		else if (item->kind == INBOX_CHECKPOINTED)
			free(checkpointer_job_of(item));
		else if (item->kind == INBOX_BACKUP_CUT || item->kind == INBOX_BACKUP_READ)
			backup_files_drop(checkpointer_job_of(item));
	}
}

void loop_close(struct loop *loop) {
	bool clean = false;

	if (loop->started) {
		pthread_join(loop->thread, NULL);
		checkpointer_stop(loop->checkpointer);
		clean = storage_stop(loop->storage);
		drop_reports(loop);
		backup_files_deinit(&loop->backups);
		peers_deinit(&loop->peers);
	}
	if (loop->peer_listener.listener)
		listener_deinit(&loop->peer_listener);
	if (loop->client_listener.listener)
		listener_deinit(&loop->client_listener);
	nng_fini(); /* joins its threads: one may still be on its way out of inbox_serve() */
	web_close(loop->web);
	founding_deinit(&loop->founding);
	client_connections_deinit(&loop->clients);
	events_deinit(&loop->events);
	inbox_deinit(&loop->inbox);
	loop->node = loop->node ? node_free(loop->node) : NULL;
	if (loop->store)
		store_close(loop->store, clean);
	pthread_mutex_destroy(&loop->state_db);
	free(loop);
}

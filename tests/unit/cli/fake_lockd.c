/* SPDX-License-Identifier: Apache-2.0 */
/* A client library without a cluster: the public functions, each answering as the environment says, so that a test can
 * run the whole lockctl as a process of its own.
 *
 *   FAKE_<CALL>   the status that the call returns, by name (FAKE_ACQUIRE=HELD); OPEN, SESSION, ACQUIRE, CLOSE, LIST,
 * SHOW, SESSIONS, NODES, OBSERVE, CHANGE, TRANSFER, BACKUP, CHECK. FAKE_AGAIN: a backup breaks off once. PENDING leaves
 * an acquire without an answer. FAKE_ERROR    what lockd_last_error() says. FAKE_FIFO     a FIFO; each line written to
 * it changes the session: "SAFE", "JEOPARDY ms-left", "EXPIRED", "GRANT". FAKE_LOG      a file to which each call
 * appends a line with its arguments. FAKE_PID the pid of the holder of shown locks; FAKE_HOST its host. FAKE_EVENTS
 * events of an observation: "leader:REVISION:TOKEN:VALUE vacant:REVISION gap:REVISION" FAKE_EMPTY    lists are empty.
 * FAKE_LEADS    a file; while it exists the election has a leader, whose going is observed. FAKE_UPGRADE  node 1 runs a
 * later program than node 2. FAKE_RETURNING  node 6 is being given a new store. FAKE_DAMAGE  how often node 2 was
 * repaired; with it FAKE_RESTORING: it has not caught up, FAKE_DISK_FULL: node 1 has no space. */
#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lockd/admin.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

struct lockd_client {
	int unused;
};

struct lockd_session {
	struct lockd_session_options options;
	pthread_t thread;
	bool has_thread;
	int fifo, stop;

	pthread_mutex_t mutex;
	enum lockd_session_state state;
	int64_t deadline_ms;
	lockd_grant_fn *done; /* of an acquire without an answer */
	bool granted;         /* told before the acquire came */
	void *user;
};

struct lockd_observation {
	pthread_t thread;
	int stop;
	lockd_event_fn *on_event;
	void *user;
};

enum { TOKEN = 41, REVISION = 655360 };

static enum lockd_status answer(const char *call) {
	const char *name = getenv(call);

	if (!name)
		return LOCKD_OK;
#define CASE(status, number, outcome, text)                                                                            \
	if (!strcmp(name, #status))                                                                                    \
		return LOCKD_##status;
	LOCKD_STATUS_MAP(CASE)
#undef CASE
	fprintf(stderr, "%s=%s: no such status\n", call, name);
	abort();
}

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *format, ...) {
	const char *path = getenv("FAKE_LOG");
	va_list arguments;
	FILE *stream;

	if (!path)
		return;
	stream = fopen(path, "ae");
	assert(stream);
	va_start(arguments, format);
	vfprintf(stream, format, arguments);
	va_end(arguments);
	fputc('\n', stream);
	fclose(stream);
}

static int64_t now_ms(void) {
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void notify(int fd) {
	uint64_t one = 1;

	assert(write(fd, &one, sizeof one) == sizeof one);
}

static const char *or_null(const char *text) {
	return text ? text : "NULL";
}

/* ---- Client -------------------------------------------------------------------------------------------------------
 */

enum lockd_status lockd_open(const struct lockd_options *options, struct lockd_client **ret) {
	enum lockd_status status = answer("FAKE_OPEN");

	note("open %s", or_null(options->endpoints));
	if (status == LOCKD_OK)
		*ret = calloc(1, sizeof **ret);
	return status;
}

void lockd_close(struct lockd_client *client) {
	note("close");
	free(client);
}

void lockd_last_error(struct lockd_client *client, char *text, size_t n) {
	const char *error = getenv("FAKE_ERROR");

	(void)client;
	snprintf(text, n, "%s", error ? error : "");
}

/* ---- Sessions -----------------------------------------------------------------------------------------------------
 */

static void obey(struct lockd_session *session, const char *line) {
	struct lockd_grant grant = {.token = TOKEN, .revision = REVISION};
	lockd_grant_fn *done = NULL;
	long ms;

	pthread_mutex_lock(&session->mutex);
	if (!strcmp(line, "SAFE")) {
		session->state = LOCKD_SAFE;
		session->deadline_ms = now_ms() + session->options.ttl_ms;
	} else if (sscanf(line, "JEOPARDY %ld", &ms) == 1) {
		session->state = LOCKD_JEOPARDY;
		session->deadline_ms = now_ms() + ms;
	} else if (!strcmp(line, "EXPIRED")) {
		session->state = LOCKD_EXPIRED;
		session->deadline_ms = 0;
	} else {
		assert(!strcmp(line, "GRANT"));
		done = session->done;
		session->granted = !done;
		session->done = NULL;
	}
	pthread_mutex_unlock(&session->mutex);
	if (done)
		done(session->user, LOCKD_OK, &grant);
	else
		session->options.on_state(session->options.user, session, session->state);
}

static void *run_session(void *user) {
	struct lockd_session *session = user;
	struct pollfd fds[] = {{.fd = session->fifo, .events = POLLIN}, {.fd = session->stop, .events = POLLIN}};
	char text[256];
	size_t n = 0;

	while (poll(fds, 2, -1) > 0 && !fds[1].revents) {
		ssize_t got = read(session->fifo, text + n, sizeof text - 1 - n);
		char *line = text, *end;

		assert(got > 0);
		n += (size_t)got;
		text[n] = '\0';
		for (; (end = strchr(line, '\n')); line = end + 1) {
			*end = '\0';
			obey(session, line);
		}
		n = strlen(line);
		memmove(text, line, n);
	}
	return NULL;
}

enum lockd_status lockd_session_open(struct lockd_client *client, const struct lockd_session_options *options,
				     int timeout_ms, struct lockd_session **ret) {
	const char *fifo = getenv("FAKE_FIFO");
	enum lockd_status status = answer("FAKE_SESSION");
	struct lockd_session *session;

	assert(client && timeout_ms > 0);
	note("session ttl %" PRIu32 " label %s", options->ttl_ms, or_null(options->label));
	if (status)
		return status;

	session = calloc(1, sizeof *session);
	session->options = *options;
	session->deadline_ms = now_ms() + options->ttl_ms;
	pthread_mutex_init(&session->mutex, NULL);
	if (fifo) {
		/* Open for writing too, so that no writer's leaving looks like the end. */
		session->fifo = open(fifo, O_RDWR | O_CLOEXEC);
		session->stop = eventfd(0, EFD_CLOEXEC);
		session->has_thread = true;
		pthread_create(&session->thread, NULL, run_session, session);
	}
	*ret = session;
	return LOCKD_OK;
}

enum lockd_status lockd_session_close(struct lockd_session *session, int timeout_ms) {
	assert(timeout_ms > 0);
	note("session close");
	if (session->has_thread) {
		notify(session->stop);
		pthread_join(session->thread, NULL);
		close(session->fifo);
		close(session->stop);
	}
	if (session->done)
		session->done(session->user, LOCKD_CANCELLED, &(struct lockd_grant){0});
	pthread_mutex_destroy(&session->mutex);
	free(session);
	return answer("FAKE_CLOSE");
}

enum lockd_session_state lockd_session_get_state(struct lockd_session *session) {
	enum lockd_session_state state;

	pthread_mutex_lock(&session->mutex);
	state = session->state;
	pthread_mutex_unlock(&session->mutex);
	return state;
}

int64_t lockd_session_remaining_ms(struct lockd_session *session) {
	int64_t left;

	pthread_mutex_lock(&session->mutex);
	left = session->deadline_ms - now_ms();
	pthread_mutex_unlock(&session->mutex);
	return left > 0 ? left : 0;
}

const char *lockd_session_id(struct lockd_session *session) {
	(void)session;
	return "1.1.65536";
}

/* ---- Locks --------------------------------------------------------------------------------------------------------
 */

/* True: the acquire stays without an answer until the FIFO says GRANT. */
static bool leave_pending(struct lockd_session *session, lockd_grant_fn *done, void *user) {
	const char *status = getenv("FAKE_ACQUIRE");
	bool pending = status && !strcmp(status, "PENDING");

	if (!pending)
		return false;
	pthread_mutex_lock(&session->mutex);
	pending = !session->granted;
	if (pending) {
		session->done = done;
		session->user = user;
	}
	pthread_mutex_unlock(&session->mutex);
	return pending;
}

enum lockd_status lockd_acquire_async(struct lockd_session *session, const char *name, const char *value, int wait_ms,
				      lockd_grant_fn *done, void *user, uint64_t *ret_sequence) {
	struct lockd_grant grant = {.token = TOKEN, .revision = REVISION, .sequence = 1};

	note("acquire %s value %s wait %d", name, or_null(value), wait_ms);
	*ret_sequence = 1;
	if (!leave_pending(session, done, user))
		done(user, session->granted ? LOCKD_OK : answer("FAKE_ACQUIRE"), &grant);
	return LOCKD_OK;
}

/* ---- Elections ----------------------------------------------------------------------------------------------------
 */

static void play(struct lockd_observation *observation, char *script) {
	char *rest, *word;

	for (word = strtok_r(script, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		struct lockd_event event = {.value = "", .owner = "", .host = ""};
		char *fields, *kind = strtok_r(word, ":", &fields);

		event.revision = strtoull(strtok_r(NULL, ":", &fields), NULL, 10);
		if (!strcmp(kind, "leader")) {
			event.kind = LOCKD_EVENT_LEADER;
			event.token = strtoull(strtok_r(NULL, ":", &fields), NULL, 10);
			event.value = fields;
			event.owner = "alice";
			event.host = "build1";
			event.pid = 4242;
		} else {
			event.kind = strcmp(kind, "gap") ? LOCKD_EVENT_VACANT : LOCKD_EVENT_GAP;
		}
		observation->on_event(observation->user, &event);
	}
}

/* Waits for the file's end, which stands for the leader's. */
static void watch_leader(struct lockd_observation *observation, const char *path) {
	struct pollfd fds[] = {{.fd = inotify_init1(IN_CLOEXEC), .events = POLLIN},
			       {.fd = observation->stop, .events = POLLIN}};
	struct lockd_event leader = {.kind = LOCKD_EVENT_LEADER, .revision = REVISION, .token = TOKEN, .value = ""};
	struct lockd_event vacant = {.kind = LOCKD_EVENT_VACANT, .revision = REVISION + 1, .value = ""};

	observation->on_event(observation->user, &leader);
	if (inotify_add_watch(fds[0].fd, path, IN_DELETE_SELF | IN_ATTRIB) >= 0)
		poll(fds, 2, -1);
	if (access(path, F_OK) != 0)
		observation->on_event(observation->user, &vacant);
	close(fds[0].fd);
}

static void *run_observation(void *user) {
	struct lockd_observation *observation = user;
	const char *events = getenv("FAKE_EVENTS"), *leads = getenv("FAKE_LEADS");
	char *script;

	if (events) {
		script = strdup(events);
		play(observation, script);
		free(script);
	}
	if (leads)
		watch_leader(observation, leads);
	return NULL;
}

enum lockd_status lockd_observe(struct lockd_client *client, const char *election, uint64_t after_revision,
				lockd_event_fn *on_event, void *user, struct lockd_observation **ret) {
	enum lockd_status status = answer("FAKE_OBSERVE");
	struct lockd_observation *observation;

	assert(client);
	note("observe %s after %" PRIu64, election, after_revision);
	if (status)
		return status;
	observation = calloc(1, sizeof *observation);
	observation->on_event = on_event;
	observation->user = user;
	observation->stop = eventfd(0, EFD_CLOEXEC);
	pthread_create(&observation->thread, NULL, run_observation, observation);
	*ret = observation;
	return LOCKD_OK;
}

void lockd_observe_stop(struct lockd_observation *observation) {
	note("observe stop");
	notify(observation->stop);
	pthread_join(observation->thread, NULL);
	close(observation->stop);
	free(observation);
}

/* ---- Looking ------------------------------------------------------------------------------------------------------
 */

static const struct lockd_session_info waiters[] = {
	{"1.1.131072", "bob", "build2", "", 77, 10000, 0, 1},
	{"1.1.196608", "carol", "build3", "nightly", 1234567, 3000, 1, 1},
};

static struct lockd_lock_info locks[] = {
	{
		.name = "batch/import",
		.token = UINT64_MAX / 2,
		.granted_revision = REVISION,
		.held_ms = 192000,
		.holder = {"1.1.65536", "alice", "build1", "make \"all\"", 4242, 10000, 2, 0},
	},
	{
		.name = "db/primary",
		.value = "10.0.0.1:5432",
		.token = TOKEN,
		.granted_revision = REVISION,
		.held_ms = 850,
		.waiting = 2,
		.holder = {"1.1.65536", "alice", "build1", "make \"all\"", 4242, 10000, 2, 0},
		.waiters = waiters,
		.n_waiters = 2,
	},
};

static struct lockd_peer_info peers[] = {
	{.node = 1,
	 .peer_address = "10.0.0.1:7601",
	 .client_address = "10.0.0.1:7600",
	 .store = "aa",
	 .voter = 1,
	 .roles = LOCKD_ROLE_VOTER | LOCKD_ROLE_OUTGOING,
	 .priority = 9,
	 .contact_ms = -1},
	{.node = 2,
	 .peer_address = "10.0.0.2:7601",
	 .client_address = "10.0.0.2:7600",
	 .store = "bb",
	 .voter = 1,
	 .roles = LOCKD_ROLE_VOTER,
	 .match = 1203,
	 .contact_ms = 12,
	 .rtt_us = 850,
	 .caught_up = 1},
	{.node = 3,
	 .peer_address = "10.0.0.3:7601",
	 .client_address = "10.0.0.3:7600",
	 .store = "cc",
	 .roles = LOCKD_ROLE_OUTGOING,
	 .contact_ms = 700,
	 .match = 204,
	 .rtt_us = 12345,
	 .unfit = 1},
	{.node = 4,
	 .peer_address = "10.0.0.4:7601",
	 .client_address = "10.0.0.4:7600",
	 .store = "dd",
	 .roles = LOCKD_ROLE_LEARNER,
	 .contact_ms = -1,
	 .snapshot = 1},
	{.node = 6,
	 .peer_address = "10.0.0.6:7601",
	 .client_address = "10.0.0.6:7600",
	 .store = "ff",
	 .roles = LOCKD_ROLE_LEARNER,
	 .match = 1204,
	 .contact_ms = 7000,
	 .rtt_us = 900,
	 .caught_up = 1},
};

static const struct lockd_candidate_info candidates[] = {
	{.node = 5, .store = "ee", .peer_address = "10.0.0.5:7601", .client_address = "10.0.0.5:7600", .age_ms = 400},
};

static struct lockd_node_info nodes[] = {
	{.endpoint = "10.0.0.1:7600",
	 .reason = "",
	 .node = 1,
	 .leader = 1,
	 .group = 1,
	 .epoch = 1,
	 .role = "leader",
	 .version = "0.1.0",
	 .incarnation = "00ff",
	 .state_hash = "abcd",
	 .term = 7,
	 .commit = 1203,
	 .applied = 1203,
	 .log_first = 1001,
	 .log_last = 1204,
	 .log_bytes = 40000,
	 .checkpoint = 1000,
	 .sessions = 3,
	 .locks = 2,
	 .uptime_ms = 3 * 3600 * 1000,
	 .configuration_index = 1100,
	 .joint = 1,
	 .fit = 1,
	 .heartbeat_ms = 50,
	 .promise_ms = 200,
	 .drift_ppm = 100000,
	 .election_ms_min = 400,
	 .election_ms_max = 800,
	 .ttl_ms_min = 3000,
	 .machine_version = 2,
	 .machine_version_max = 2,
	 .damage = "",
	 .peers = peers,
	 .n_peers = sizeof peers / sizeof *peers,
	 .candidates = candidates,
	 .n_candidates = 1},
	{.endpoint = "10.0.0.2:7600",
	 .reason = "",
	 .node = 2,
	 .leader = 1,
	 .role = "follower",
	 .version = "",
	 .term = 7,
	 .commit = 1203,
	 .applied = 1202,
	 .log_first = 1,
	 .log_last = 1203,
	 .fit = 1,
	 .machine_version = 2,
	 .machine_version_max = 2,
	 .damage = "",
	 .peers = peers,
	 .n_peers = sizeof peers / sizeof *peers},
	{.endpoint = "10.0.0.3:7600",
	 .status = LOCKD_UNREACHABLE,
	 .reason = "cannot connect: Connection refused",
	 .damage = ""},
};

static struct lockd_answer give_answer(const struct lockd_read *read) {
	struct lockd_answer answer = {.node = 1, .revision = REVISION};

	if (!read)
		return answer;
	answer.level = read->level;
	if (read->node)
		answer.node = read->node;
	if (read->level == LOCKD_READ_STALE)
		answer.age_ms = read->node == 9 ? -1 : 1500;
	return answer;
}

static enum lockd_status give_locks(const char *call, size_t first, size_t n, const struct lockd_read *read,
				    struct lockd_lock_list **ret) {
	enum lockd_status status = answer(call);
	struct lockd_lock_list *list;

	if (status)
		return status;
	if (getenv("FAKE_PID"))
		locks[1].holder.pid = (uint32_t)strtoul(getenv("FAKE_PID"), NULL, 10);
	if (getenv("FAKE_HOST"))
		locks[1].holder.host = getenv("FAKE_HOST");
	list = calloc(1, sizeof *list);
	list->locks = locks + first;
	list->n = getenv("FAKE_EMPTY") ? 0 : n;
	list->answer = give_answer(read);
	*ret = list;
	return LOCKD_OK;
}

static void note_read(const struct lockd_read *read) {
	if (read && (read->level || read->at_least || read->node))
		note("read %d at least %" PRIu64 " node %" PRIu32, (int)read->level, read->at_least, read->node);
}

enum lockd_status lockd_list(struct lockd_client *client, const char *prefix, const struct lockd_read *read,
			     int timeout_ms, struct lockd_lock_list **ret) {
	assert(client);
	note("list %s timeout %d", or_null(prefix), timeout_ms);
	note_read(read);
	return give_locks("FAKE_LIST", 0, 2, read, ret);
}

enum lockd_status lockd_show(struct lockd_client *client, const char *name, const struct lockd_read *read,
			     int timeout_ms, struct lockd_lock_list **ret) {
	assert(client);
	note("show %s timeout %d", name, timeout_ms);
	note_read(read);
	return give_locks("FAKE_SHOW", 1, 1, read, ret);
}

void lockd_lock_list_free(struct lockd_lock_list *list) {
	free(list);
}

enum lockd_status lockd_sessions(struct lockd_client *client, const struct lockd_read *read, int timeout_ms,
				 struct lockd_session_list **ret) {
	enum lockd_status status = answer("FAKE_SESSIONS");

	assert(client && timeout_ms > 0);
	note_read(read);
	if (status)
		return status;
	*ret = calloc(1, sizeof **ret);
	(*ret)->sessions = waiters;
	(*ret)->answer = give_answer(read);
	(*ret)->n = getenv("FAKE_EMPTY") ? 0 : 2;
	return LOCKD_OK;
}

void lockd_session_list_free(struct lockd_session_list *list) {
	free(list);
}

enum lockd_status lockd_nodes(struct lockd_client *client, int timeout_ms, struct lockd_node_list **ret) {
	enum lockd_status status = answer("FAKE_NODES");

	assert(client && timeout_ms > 0);
	if (status)
		return status;
	*ret = calloc(1, sizeof **ret);
	if (getenv("FAKE_RETURNING"))
		peers[4].roles = LOCKD_ROLE_VOTER | LOCKD_ROLE_OUTGOING | LOCKD_ROLE_LOST;
	if (getenv("FAKE_UPGRADE"))
		nodes[0].machine_version = nodes[1].machine_version = nodes[1].machine_version_max = 1;
	if (getenv("FAKE_DAMAGE")) {
		nodes[0].disk_full = getenv("FAKE_DISK_FULL") != NULL;
		nodes[1].restoring = getenv("FAKE_RESTORING") != NULL;
		nodes[1].repairs = (uint32_t)strtoul(getenv("FAKE_DAMAGE"), NULL, 10);
		nodes[1].damage = "raft.db is damaged";
	}
	/* Without the leader; the leader alone; all. */
	/* The only node of its cluster. */
	nodes[0].lease_ms = getenv("FAKE_EMPTY") ? UINT32_MAX : 140;
	(*ret)->nodes = getenv("FAKE_LEADERLESS") ? nodes + 1 : nodes;
	(*ret)->n = getenv("FAKE_LEADERLESS") ? 2 : getenv("FAKE_EMPTY") ? 1 : 3;
	return LOCKD_OK;
}

void lockd_node_list_free(struct lockd_node_list *list) {
	free(list);
}

/* ---- Changing the cluster -----------------------------------------------------------------------------------------
 */

enum lockd_status lockd_change_members(struct lockd_client *client, const struct lockd_member_change *changes, size_t n,
				       int timeout_ms) {
	static const char *const kinds[] = {"voter", "learner", "absent", "same"};

	assert(client);
	note("change %zu timeout %d", n, timeout_ms);
	for (size_t i = 0; i < n; i++) {
		note("%s %" PRIu32 " peer %s client %s", kinds[changes[i].kind], changes[i].node,
		     or_null(changes[i].peer_address), or_null(changes[i].client_address));
		if (changes[i].set_priority)
			note("priority %" PRIu32, changes[i].priority);
	}
	return answer("FAKE_CHANGE");
}

enum lockd_status lockd_transfer_leader(struct lockd_client *client, uint32_t node, int timeout_ms) {
	assert(client);
	note("transfer %" PRIu32 " timeout %d", node, timeout_ms);
	return answer("FAKE_TRANSFER");
}

/* ---- Backups -------------------------------------------------------------------------------------------------------
 */

static const struct lockd_backup_info backup_info = {.index = 10,
						     .revision = 720895,
						     .rows = 3,
						     .bytes = 6,
						     .made_ms = UINT64_C(1763800000000),
						     .epoch = 7,
						     .machine_version = 3,
						     .node = 2,
						     .incarnation = "000102030405060708090a0b0c0d0e0f",
						     .digest = "f0e0d0c0b0a090807060504030201000"};

enum lockd_status lockd_backup(struct lockd_client *client, uint32_t node, lockd_backup_fn *write_part, void *user,
			       int timeout_ms, struct lockd_backup_info *ret) {
	const struct lockd_backup_part parts[] = {{.offset = 0, .total = 6, .bytes = "abc", .n = 3},
						  {.offset = 3, .total = 6, .bytes = "def", .n = 3}};

	assert(client);
	note("backup node %" PRIu32 " timeout %d", node, timeout_ms);
	if ((getenv("FAKE_AGAIN") && write_part(user, &parts[0])) || write_part(user, &parts[0]) ||
	    write_part(user, &parts[1]))
		return LOCKD_CANCELLED;
	*ret = backup_info;
	return answer("FAKE_BACKUP");
}

enum lockd_status lockd_backup_check(int fd, struct lockd_backup_info *ret, const char **ret_fault) {
	char bytes[16];
	ssize_t n = read(fd, bytes, sizeof bytes);

	note("check %.*s", (int)n, bytes);
	*ret = backup_info;
	ret->node = 0;
	*ret_fault = "it ends too early";
	return answer("FAKE_CHECK");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* counts-core: what one operation costs the pure part of lockd, from the body of a request to the body of its reply, on
 * the leader and its two followers together. Run it under callgrind, twice with different N, and divide the difference:
 * what the start costs falls out, and the instructions per operation are the same on every quiet or busy machine. The
 * client's own share is in them and is small.
 *
 *   counts-core pairs N [--sessions S]       N times acquire and release; S of them at the same time, each on a lock of
 *                                            its own
 *   counts-core keepalives N [--sessions S]  S sessions are kept alive, N times in all
 *   counts-core hold K                       one node and K locks: bytes of heap per lock
 *
 * It prints one line of JSON. */
#include "allocation.h"
#include "trio.h"

#include "api/client.pb-c.h"
#include "api/limits.h"

#include <assert.h>
#include <inttypes.h>
#include <lockd/status.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CORE_HANDLES_MAX = 16,
	CORE_SESSIONS_MAX = LIMIT_SESSIONS_MAX,
	CORE_TTL_MS = 600000,
	CORE_NAME_BYTES_MAX = 32,
	CORE_BODY_BYTES_MAX = 256,
	CORE_REPLY_BYTES_MAX = 64 << 10,
	CORE_HOLD_SESSIONS = 64,
	CORE_TURNS_IDLE_MAX = 1000,
	CORE_ARGUMENT_WRONG = 64,
};

enum actor_phase { ACTOR_NEW, ACTOR_FREE, ACTOR_HOLDS };

/* One session and the request that it waits for. */
struct actor {
	enum actor_phase phase;
	bool waits;
	uint64_t opened, sequence, token;
	char name[CORE_NAME_BYTES_MAX]; /* of its lock */
};

enum core_workload { CORE_PAIRS, CORE_KEEPALIVES, CORE_HOLD };

struct core {
	enum core_workload workload;
	struct trio *trio;
	struct actor *actors;
	size_t n, n_handles;
	uint64_t wanted, begun, done;
	uint64_t locks; /* names given so far */
};

static node_connection core_handle(const struct core *core, size_t actor) {
	return 1 + actor % core->n_handles;
}

static void core_send(struct core *core, size_t at, const Client__Request *request) {
	size_t n = client__request__get_packed_size(request);

	assert(n <= CORE_BODY_BYTES_MAX);
	(void)client__request__pack(request, trio_begin_frame(core->trio, n));
	trio_end_frame(core->trio, core_handle(core, at), FRAME_REQUEST, at, n);
	core->actors[at].waits = true;
}

static void core_greet(struct core *core, node_connection handle) {
	Client__Hello hello = CLIENT__HELLO__INIT;
	size_t n;

	hello.protocol_min = PROTOCOL_VERSION_MIN;
	hello.protocol_max = PROTOCOL_VERSION_MAX;
	n = client__hello__get_packed_size(&hello);
	(void)client__hello__pack(&hello, trio_begin_frame(core->trio, n));
	trio_end_frame(core->trio, handle, FRAME_HELLO, 0, n);
}

static void core_open(struct core *core, size_t at) {
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__Open open = CLIENT__OPEN__INIT;
	uint8_t nonce[LIMIT_NONCE_BYTES] = {0};

	memcpy(nonce, &at, sizeof at);
	open.nonce = (ProtobufCBinaryData){.len = sizeof nonce, .data = nonce};
	open.ttl_ms = CORE_TTL_MS;
	open.owner = (ProtobufCBinaryData){.len = 5, .data = (uint8_t *)"count"};
	request.body_case = CLIENT__REQUEST__BODY_OPEN;
	request.open = &open;
	core_send(core, at, &request);
}

static Client__SessionId core_session_id(const struct actor *actor) {
	Client__SessionId id = CLIENT__SESSION_ID__INIT;

	id.epoch = TRIO_EPOCH;
	id.group = TRIO_GROUP;
	id.opened = actor->opened;
	return id;
}

/* Acquires if the session is free, releases if it holds; the floor follows, since nothing else is outstanding. */
static void core_ask(struct core *core, size_t at, enum actor_phase phase) {
	struct actor *actor = &core->actors[at];
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__SessionId id = core_session_id(actor);
	Client__Acquire acquire = CLIENT__ACQUIRE__INIT;
	Client__Release release = CLIENT__RELEASE__INIT;
	ProtobufCBinaryData name = {.len = strlen(actor->name), .data = (uint8_t *)actor->name};

	request.session = &id;
	request.sequence = request.floor = ++actor->sequence;
	if (phase == ACTOR_FREE) {
		acquire.name = name;
		request.body_case = CLIENT__REQUEST__BODY_ACQUIRE;
		request.acquire = &acquire;
	} else {
		release.name = name;
		release.token = actor->token;
		request.body_case = CLIENT__REQUEST__BODY_RELEASE;
		request.release = &release;
	}
	core_send(core, at, &request);
}

/* One frame names all sessions of a handle, as far as they fit. */
static void core_keep_alive(struct core *core, size_t first) {
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__KeepAlive keep_alive = CLIENT__KEEP_ALIVE__INIT;
	static uint64_t sessions[LIMIT_SESSIONS_PER_KEEP_ALIVE];
	uint64_t before = 0;
	size_t n = 0, bytes;

	for (size_t at = first; at < core->n && n < LIMIT_SESSIONS_PER_KEEP_ALIVE; at += core->n_handles) {
		sessions[n++] = core->actors[at].opened - before;
		before = core->actors[at].opened;
	}
	keep_alive.epoch = TRIO_EPOCH;
	keep_alive.group = TRIO_GROUP;
	keep_alive.n_sessions = n;
	keep_alive.sessions = sessions;
	request.body_case = CLIENT__REQUEST__BODY_KEEP_ALIVE;
	request.keep_alive = &keep_alive;
	bytes = client__request__get_packed_size(&request);
	(void)client__request__pack(&request, trio_begin_frame(core->trio, bytes));
	trio_end_frame(core->trio, core_handle(core, first), FRAME_REQUEST, first, bytes);
	core->begun += n;
}

static void core_take_reply(struct core *core, struct actor *actor, const Client__Reply *reply) {
	if (reply->n_keep_alives > 0) {
		for (size_t i = 0; i < reply->n_keep_alives; i++)
			assert(reply->keep_alives[i] == LOCKD_OK);
		core->done += reply->n_keep_alives;
		return;
	}
	assert(actor->waits);
	actor->waits = false;
	switch (actor->phase) {
	case ACTOR_NEW:
		actor->opened = reply->session->opened;
		actor->phase = ACTOR_FREE;
		break;
	case ACTOR_FREE:
		actor->token = reply->token;
		actor->phase = core->workload == CORE_HOLD ? ACTOR_FREE : ACTOR_HOLDS;
		core->done += core->workload == CORE_HOLD;
		break;
	case ACTOR_HOLDS:
		actor->phase = ACTOR_FREE;
		core->done++;
		break;
	}
}

static void core_hear(void *context, node_connection connection, const struct frame *frame) {
	struct core *core = context;
	Client__Reply *reply;

	(void)connection;
	if (frame->type == FRAME_HELLO_REPLY)
		return;
	assert(frame->type == FRAME_REPLY);
	assert(frame->id < core->n);
	reply = client__reply__unpack(NULL, frame->body_bytes, frame->body);
	assert(reply);
	assert(reply->status == LOCKD_OK);
	core_take_reply(core, &core->actors[frame->id], reply);
	client__reply__free_unpacked(reply, NULL);
}

/* ---- Workloads ----------------------------------------------------------------------------------------------------
 */

/* The lock of a session is always the same one, but when it holds on to all that it gets. */
static void core_name_lock(struct core *core, struct actor *actor) {
	if (!*actor->name || core->workload == CORE_HOLD)
		(void)snprintf(actor->name, sizeof actor->name, "bench/%010" PRIu64, core->locks++);
}

/* Each session that waits for nothing goes on with what it has begun, or begins while there is something left. */
static void core_drive(struct core *core) {
	for (size_t at = 0; at < core->n; at++) {
		struct actor *actor = &core->actors[at];

		if (actor->waits || (actor->phase == ACTOR_FREE && core->begun == core->wanted))
			continue;
		if (actor->phase == ACTOR_FREE) {
			core->begun++;
			core_name_lock(core, actor);
		}
		core_ask(core, at, actor->phase);
	}
}

static void core_keep_all_alive(struct core *core) {
	for (size_t first = 0; first < core->n_handles && core->begun < core->wanted; first++)
		core_keep_alive(core, first);
}

static void core_run(struct core *core) {
	uint64_t before = core->done;
	int idle = 0;

	while (core->done < core->wanted) {
		if (core->workload == CORE_KEEPALIVES)
			core_keep_all_alive(core);
		else
			core_drive(core);
		trio_turn(core->trio);
		idle = core->done > before ? 0 : idle + 1;
		before = core->done;
		assert(idle < CORE_TURNS_IDLE_MAX);
	}
}

static void core_begin(struct core *core) {
	for (node_connection handle = 1; handle <= core->n_handles; handle++)
		core_greet(core, handle);
	trio_turn(core->trio);
	for (size_t at = 0; at < core->n; at++)
		core_open(core, at);
	for (size_t at = 0; at < core->n; at++) {
		for (int turn = 0; core->actors[at].phase == ACTOR_NEW; turn++) {
			assert(turn < CORE_TURNS_IDLE_MAX);
			trio_turn(core->trio);
		}
	}
}

/* ---- Out ----------------------------------------------------------------------------------------------------------
 */

static const char *const core_names[] = {
	[CORE_PAIRS] = "pairs",
	[CORE_KEEPALIVES] = "keepalives",
	[CORE_HOLD] = "hold",
};

static void core_print(const struct core *core, const struct trio_totals *before, uint64_t allocations) {
	struct trio_totals totals = trio_get_totals(core->trio);

	printf("{\"workload\": \"%s\", \"sessions\": %zu, \"operations\": %" PRIu64 ", \"turns\": %" PRIu64
	       ", \"client_frames\": %" PRIu64 ", \"client_bytes\": %" PRIu64 ", \"peer_frames\": %" PRIu64
	       ", \"peer_bytes\": %" PRIu64 ", \"saves\": %" PRIu64 ", \"entries\": %" PRIu64
	       ", \"log_bytes\": %" PRIu64 ", \"allocations\": %" PRIu64,
	       core_names[core->workload], core->n, core->done, totals.turns - before->turns,
	       totals.client_frames - before->client_frames, totals.client_bytes - before->client_bytes,
	       totals.peer_frames - before->peer_frames, totals.peer_bytes - before->peer_bytes,
	       totals.saves - before->saves, totals.entries - before->entries, totals.log_bytes - before->log_bytes,
	       allocations);
}

static size_t core_heap_bytes(void) {
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

static void core_count(struct core *core) {
	bool hold = core->workload == CORE_HOLD;
	struct trio_totals before;
	uint64_t allocations;
	size_t heap;

	core->trio = trio_new(hold ? 1 : TRIO_NODES_MAX, hold, core_hear, core);
	core_begin(core);
	before = trio_get_totals(core->trio);
	allocations = allocation_get_count();
	heap = core_heap_bytes();
	core_run(core);
	core_print(core, &before, allocation_get_count() - allocations);
	if (hold)
		printf(", \"heap_bytes_per_lock\": %.1f", (double)(core_heap_bytes() - heap) / (double)core->done);
	printf("}\n");
	trio_free(core->trio);
}

/* ---- In -----------------------------------------------------------------------------------------------------------
 */

static bool core_parse_number(const char *text, uint64_t max, uint64_t *ret) {
	char *end;
	unsigned long long number = strtoull(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || number == 0 || number > max)
		return false;
	*ret = number;
	return true;
}

static bool core_parse(struct core *core, int argc, char **argv) {
	uint64_t sessions = CORE_HOLD_SESSIONS;
	int workload = CORE_PAIRS;

	if (argc < 3)
		return false;
	while (workload <= CORE_HOLD && strcmp(argv[1], core_names[workload]) != 0)
		workload++;
	if (workload > CORE_HOLD || !core_parse_number(argv[2], UINT32_MAX, &core->wanted))
		return false;
	core->workload = (enum core_workload)workload;
	if (workload == CORE_HOLD)
		core->n = CORE_HOLD_SESSIONS;
	if (argc == 5 && workload != CORE_HOLD && strcmp(argv[3], "--sessions") == 0) {
		if (!core_parse_number(argv[4], CORE_SESSIONS_MAX, &sessions))
			return false;
	} else if (argc != 3) {
		return false;
	}
	core->n = sessions;
	core->n_handles = core->n < CORE_HANDLES_MAX ? core->n : CORE_HANDLES_MAX;
	return true;
}

int main(int argc, char **argv) {
	struct core core = {0};

	if (!core_parse(&core, argc, argv)) {
		(void)fprintf(stderr, "usage: counts-core pairs|keepalives N [--sessions S] | counts-core hold K\n");
		return CORE_ARGUMENT_WRONG;
	}
	core.actors = calloc(core.n, sizeof *core.actors);
	assert(core.actors);
	core_count(&core);
	free(core.actors);
	return 0;
}

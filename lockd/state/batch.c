/* SPDX-License-Identifier: Apache-2.0 */
/* Every replica decodes every command of every client, so the four requests of clients are read by hand, as record.c
 * writes rows: in the form that packing gives them, fields in order of number and each once, and texts are left where
 * they stand. Whatever has another form, and every other command, is left to the generated functions: what is
 * well-formed, and what it means, is judged in one place. */
#include "batch.h"

#include "api/limits.h"
#include "api/varint.h"

#include <stdbool.h>

/* Bytes that are still to be read. */
struct span {
	const uint8_t *at, *end;
};

/* A request of a client in one piece. */
struct batch_request {
	Command__Command command;
	Command__SessionId session;
	union {
		Command__Close close;
		Command__Acquire acquire;
		Command__Cancel cancel;
		Command__Release release;
	} body;
};

/* The fields below are passed over where they are absent; false: they are there, but in a form that is not ours. Tags
 * take one byte. */

static bool span_is_at(const struct span *in, unsigned field, unsigned kind) {
	return in->at < in->end && *in->at == (field << VARINT_KIND_BITS | kind);
}

static bool span_number(struct span *in, unsigned field, uint64_t *number) {
	const uint8_t *next;

	if (!span_is_at(in, field, VARINT_KIND_NUMBER))
		return true;
	next = varint_get(in->at + 1, in->end, number);
	if (!next)
		return false;
	in->at = next;
	return true;
}

static bool span_number32(struct span *in, unsigned field, uint32_t *number) {
	uint64_t wide = 0;

	if (!span_number(in, field, &wide))
		return false;
	/* Of a greater number protobuf takes the low bits as well. */
	*number = (uint32_t)wide;
	return true;
}

/* *inner stays as it is if the field is absent. */
static bool span_enter(struct span *in, unsigned field, struct span *inner) {
	const uint8_t *start;
	uint64_t n;

	if (!span_is_at(in, field, VARINT_KIND_SIZED))
		return true;
	start = varint_get(in->at + 1, in->end, &n);
	/* protobuf-c refuses a length of more than five bytes, whatever it says. */
	if (!start || start - in->at > 1 + 5 || n > (uint64_t)(in->end - start))
		return false;
	*inner = (struct span){.at = start, .end = start + n};
	in->at = start + n;
	return true;
}

static bool span_text(struct span *in, unsigned field, ProtobufCBinaryData *text) {
	struct span inner = {0};

	if (!span_enter(in, field, &inner))
		return false;
	*text = (ProtobufCBinaryData){.len = (size_t)(inner.end - inner.at), .data = (uint8_t *)inner.at};
	return true;
}

static bool span_is_read(const struct span *in) {
	return in->at == in->end;
}

static bool batch_read_session(struct span in, Command__SessionId *session) {
	command__session_id__init(session);
	return span_number32(&in, 1, &session->epoch) && span_number32(&in, 2, &session->group) &&
	       span_number(&in, 3, &session->opened) && span_is_read(&in);
}

static bool batch_read_acquire(struct span in, Command__Acquire *acquire) {
	command__acquire__init(acquire);
	return span_text(&in, 1, &acquire->name) && span_number32(&in, 2, &acquire->wait_ms) &&
	       span_text(&in, 3, &acquire->value) && span_is_read(&in);
}

static bool batch_read_cancel(struct span in, Command__Cancel *cancel) {
	command__cancel__init(cancel);
	return span_number(&in, 1, &cancel->target) && span_is_read(&in);
}

static bool batch_read_release(struct span in, Command__Release *release) {
	command__release__init(release);
	return span_text(&in, 1, &release->name) && span_number(&in, 2, &release->token) && span_is_read(&in);
}

static bool batch_read_close(struct span in, Command__Close *close) {
	command__close__init(close);
	return span_is_read(&in);
}

/* The rest is one body; its number says what it is. */
static bool batch_read_body(struct span in, struct batch_request *request) {
	unsigned field = in.at < in.end ? *in.at >> VARINT_KIND_BITS : COMMAND__COMMAND__BODY__NOT_SET;
	struct span body = in;

	if (!span_enter(&in, field, &body) || !span_is_read(&in))
		return false;
	request->command.body_case = (Command__Command__BodyCase)field;
	switch (field) {
	case COMMAND__COMMAND__BODY_CLOSE: return batch_read_close(body, &request->body.close);
	case COMMAND__COMMAND__BODY_ACQUIRE: return batch_read_acquire(body, &request->body.acquire);
	case COMMAND__COMMAND__BODY_CANCEL: return batch_read_cancel(body, &request->body.cancel);
	case COMMAND__COMMAND__BODY_RELEASE: return batch_read_release(body, &request->body.release);
	default: return false;
	}
}

static bool batch_read_request(struct span in, struct batch_request *request) {
	struct span session = {0};

	command__command__init(&request->command);
	return span_enter(&in, 1, &session) && session.at && batch_read_session(session, &request->session) &&
	       span_number(&in, 2, &request->command.sequence) && span_number(&in, 3, &request->command.floor) &&
	       batch_read_body(in, request);
}

static Command__Command *batch_read(ProtobufCAllocator *arena, struct span in) {
	struct batch_request read, *request;

	if (!batch_read_request(in, &read))
		return command__command__unpack(arena, (size_t)(in.end - in.at), in.at);
	request = arena->alloc(arena->allocator_data, sizeof(*request));
	if (!request)
		return NULL;
	*request = read;
	request->command.session = &request->session;
	request->command.acquire = &request->body.acquire;
	return &request->command;
}

static Command__Batch *batch_new(ProtobufCAllocator *arena) {
	const size_t bytes = sizeof(Command__Batch) + LIMIT_COMMANDS_PER_ENTRY_MAX * sizeof(Command__Command *);
	Command__Batch *batch = arena->alloc(arena->allocator_data, bytes);

	if (!batch)
		return NULL;
	command__batch__init(batch);
	batch->commands = (Command__Command **)(batch + 1);
	return batch;
}

/* false: one of them is malformed, or they are too many. */
static bool batch_read_all(ProtobufCAllocator *arena, struct span *in, Command__Batch *batch) {
	struct span command;

	while (span_is_at(in, 1, VARINT_KIND_SIZED)) {
		if (batch->n_commands == LIMIT_COMMANDS_PER_ENTRY_MAX || !span_enter(in, 1, &command))
			return false;
		batch->commands[batch->n_commands] = batch_read(arena, command);
		if (!batch->commands[batch->n_commands++])
			return false;
	}
	return true;
}

Command__Batch *batch_unpack(ProtobufCAllocator *arena, const uint8_t *bytes, size_t n) {
	struct span in = {.at = bytes, .end = bytes + n};
	Command__Batch *batch = batch_new(arena);

	if (!batch || !batch_read_all(arena, &in, batch))
		return NULL;
	if (span_is_read(&in))
		return batch;
	batch = command__batch__unpack(arena, n, bytes);
	return batch && batch->n_commands <= LIMIT_COMMANDS_PER_ENTRY_MAX ? batch : NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* From the bytes of an entry to calls. Nothing is applied before the whole entry has been found known to this version:
 * half an entry would be a state that no log describes. */
#include "batch.h"
#include "machine.h"

#include "api/bytes.h"

#include <assert.h>
#include <errno.h>
#include <lockd/status.h>
#include <string.h>
#include <xxhash.h>

enum {
	/* An entry that stands in the log must decode on every replica, also one full of the smallest commands: room
	 * for the decoded form of one, whatever its bytes. */
	COMMAND_BYTES_DECODED = 256,
};

static bool command_message_is_known(const ProtobufCMessage *message) {
	return !message || message->n_unknown_fields == 0;
}

/* The machine version that brought the command. */
static uint32_t command_version(const Command__Command *command) {
	return command->body_case == COMMAND__COMMAND__BODY_VERDICT ? STATE_MACHINE_VERSION_VERDICT : 1;
}

/* Every member of the oneof is a message pointer in the same place. */
static bool command_is_known(const struct state *state, const Command__Command *command) {
	return command->body_case != COMMAND__COMMAND__BODY__NOT_SET && command_message_is_known(&command->base) &&
	       command_message_is_known((const ProtobufCMessage *)command->session) &&
	       command_message_is_known((const ProtobufCMessage *)command->open) &&
	       command_version(command) <= state->version;
}

/* Whoever does not know what may follow must not go on, even if nothing of it is there yet. */
static bool command_is_beyond_us(const struct state *state, const Command__Command *command) {
	return command->body_case == COMMAND__COMMAND__BODY_VERSION &&
	       command->version->version > state->config.machine_version_max;
}

int command_decode(struct state *state, const void *bytes, size_t n, Command__Batch **ret_batch) {
	Command__Batch *batch;
	int r;

	r = arena_reset(&state->arena, n + LIMIT_COMMANDS_PER_ENTRY_MAX * COMMAND_BYTES_DECODED / LIMIT_ARENA_FACTOR);
	assert(r == 0 && "out of memory");
	batch = batch_unpack(&state->arena.allocator, bytes, n);
	if (!batch)
		return -EBADMSG;

	state->refused = 0;
	if (!command_message_is_known(&batch->base))
		return -ENOTSUP;
	for (size_t i = 0; i < batch->n_commands; i++) {
		if (!command_is_known(state, batch->commands[i]))
			return -ENOTSUP;
		if (command_is_beyond_us(state, batch->commands[i])) {
			state->refused = batch->commands[i]->version->version;
			return -ENOTSUP;
		}
	}
	*ret_batch = batch;
	return 0;
}

/* ---- Content: admission has checked it, but a command that slipped through must not find a replica unprepared ---- */

static bool command_open_is_valid(const Command__Open *open) {
	return open->nonce.len == LIMIT_NONCE_BYTES && open->ttl_ms >= LIMIT_TTL_MS_MIN &&
	       open->ttl_ms <= LIMIT_TTL_MS_MAX && open->owner.len <= LIMIT_OWNER_BYTES_MAX &&
	       open->host.len <= LIMIT_HOST_BYTES_MAX && open->label.len <= LIMIT_LABEL_BYTES_MAX;
}

static bool command_name_is_valid(ProtobufCBinaryData name) {
	return name.len > 0 && name.len <= LIMIT_NAME_BYTES_MAX;
}

static bool command_request_is_valid(const Command__Command *command) {
	if (command->sequence == 0)
		return false;
	switch (command->body_case) {
	case COMMAND__COMMAND__BODY_CLOSE: return true;
	case COMMAND__COMMAND__BODY_ACQUIRE:
		return command_name_is_valid(command->acquire->name) &&
		       command->acquire->value.len <= LIMIT_VALUE_BYTES_MAX;
	case COMMAND__COMMAND__BODY_CANCEL:
		return command->cancel->target > 0 && command->cancel->target != command->sequence;
	case COMMAND__COMMAND__BODY_RELEASE: return command_name_is_valid(command->release->name);
	default: return false;
	}
}

/* ---- Digest: XXH3-64 of kind and fields ---- */

struct digest {
	size_t n;
	uint8_t bytes[1 + 8 + 4 + LIMIT_NAME_BYTES_MAX + 4 + LIMIT_VALUE_BYTES_MAX];
};

static void digest_number(struct digest *digest, uint64_t number) {
	bytes_put_u64(digest->bytes + digest->n, number);
	digest->n += 8;
}

static void digest_text(struct digest *digest, ProtobufCBinaryData text) {
	bytes_put_u32(digest->bytes + digest->n, (uint32_t)text.len);
	digest->n += 4;
	if (text.len > 0)
		memcpy(digest->bytes + digest->n, text.data, text.len);
	digest->n += text.len;
}

static uint64_t command_digest(const Command__Command *command) {
	struct digest digest;
	uint64_t hash;

	digest.bytes[0] = (uint8_t)command->body_case;
	digest.n = 1;
	switch (command->body_case) {
	case COMMAND__COMMAND__BODY_ACQUIRE:
		digest_number(&digest, command->acquire->wait_ms);
		digest_text(&digest, command->acquire->name);
		digest_text(&digest, command->acquire->value);
		break;
	case COMMAND__COMMAND__BODY_CANCEL: digest_number(&digest, command->cancel->target); break;
	case COMMAND__COMMAND__BODY_RELEASE:
		digest_number(&digest, command->release->token);
		digest_text(&digest, command->release->name);
		break;
	default: break;
	}
	hash = XXH3_64bits(digest.bytes, digest.n);
	return hash != RESULT_DIGEST_ANY ? hash : 1;
}

/* ---- Requests of clients ---- */

static struct session *command_session(const struct state *state, const Command__SessionId *id) {
	struct session *session = id ? session_find(state, id->opened) : NULL;

	return session && session->epoch == id->epoch && session->group == id->group ? session : NULL;
}

static void command_run(struct state *state, struct session *session, const Command__Command *command,
			uint64_t digest) {
	uint64_t sequence = command->sequence;

	switch (command->body_case) {
	case COMMAND__COMMAND__BODY_CLOSE: session_close(state, session, sequence); break;
	case COMMAND__COMMAND__BODY_ACQUIRE: lock_acquire(state, session, sequence, digest, command->acquire); break;
	case COMMAND__COMMAND__BODY_CANCEL:
		seat_cancel(state, session, sequence, digest, command->cancel->target);
		break;
	case COMMAND__COMMAND__BODY_RELEASE: lock_release(state, session, sequence, digest, command->release); break;
	default: assert(false);
	}
}

static void command_request(struct state *state, const Command__Command *command) {
	struct session *session = command_session(state, command->session);
	uint64_t floor = command->floor < command->sequence ? command->floor : command->sequence;
	uint64_t digest;

	if (!session) {
		outcome_answer(state, command->session ? command->session->opened : 0, command->sequence,
			       LOCKD_SESSION_EXPIRED, state->revision);
		return;
	}
	if (!command_request_is_valid(command)) {
		outcome_answer(state, session->id, command->sequence, LOCKD_INVALID, state->revision);
		return;
	}
	session_raise_floor(state, session, floor);
	digest = command_digest(command);
	if (result_admit(state, session, command->sequence, floor, digest))
		command_run(state, session, command, digest);
}

static void command_open(struct state *state, const Command__Open *open) {
	if (command_open_is_valid(open))
		session_open(state, open);
	else
		outcome_answer(state, 0, 0, LOCKD_INVALID, state->revision);
}

/* ---- Commands of the leader: what it knew holds in its own term only ---- */

static void command_late(struct state *state, const Command__Late *late) {
	for (size_t i = 0; i < late->n_opened && i < late->n_quarters; i++)
		if (late->quarters[i] >= 1 && late->quarters[i] <= 3)
			session_mark(state, late->opened[i], late->quarters[i]);
}

static void command_renewed(struct state *state, const Command__Renewed *renewed) {
	for (size_t i = 0; i < renewed->n_opened; i++)
		session_mark(state, renewed->opened[i], 0);
}

static void command_raise(struct state *state, uint32_t version) {
	if (version <= state->version)
		return;
	state->version = version;
	outcome_raise(state);
}

static void command_judge(struct state *state, const Command__Verdict *verdict) {
	struct state_hash hash;

	if (verdict->hash.len != 2 * sizeof(uint64_t))
		return;
	hash.low = bytes_get_u64(verdict->hash.data);
	hash.high = bytes_get_u64(verdict->hash.data + sizeof(uint64_t));
	outcome_judge(state, verdict->index, hash);
}

void command_apply(struct state *state, uint64_t term, const Command__Command *command) {
	switch (command->body_case) {
	case COMMAND__COMMAND__BODY_OPEN: command_open(state, command->open); break;
	case COMMAND__COMMAND__BODY_CLOSE:
	case COMMAND__COMMAND__BODY_ACQUIRE:
	case COMMAND__COMMAND__BODY_CANCEL:
	case COMMAND__COMMAND__BODY_RELEASE: command_request(state, command); break;
	case COMMAND__COMMAND__BODY_EXPIRE:
		if (command->expire->term == term)
			session_expire(state, command->expire);
		break;
	case COMMAND__COMMAND__BODY_TIMER:
		if (command->timer->term == term)
			seat_expire(state, command->timer);
		break;
	case COMMAND__COMMAND__BODY_LATE:
		if (command->late->term == term)
			command_late(state, command->late);
		break;
	case COMMAND__COMMAND__BODY_RENEWED:
		if (command->renewed->term == term)
			command_renewed(state, command->renewed);
		break;
	case COMMAND__COMMAND__BODY_VERSION:
		if (command->version->term == term)
			command_raise(state, command->version->version);
		break;
	case COMMAND__COMMAND__BODY_VERDICT:
		if (command->verdict->term == term)
			command_judge(state, command->verdict);
		break;
	default: assert(false);
	}
}

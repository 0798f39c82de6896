/* SPDX-License-Identifier: Apache-2.0 */
#include "replica.h"

#include <stdlib.h>
#include <string.h>

void replica_init(struct replica *replica) {
	*replica = (struct replica){.term = 1};
	replica->state = state_new(&(struct state_config){.group = REPLICA_GROUP, .epoch = REPLICA_EPOCH});
	assert_non_null(replica->state);
}

void replica_init_narrow(struct replica *replica) {
	const struct state_config config = {
		.group = REPLICA_GROUP, .epoch = REPLICA_EPOCH, .sessions_max = 2, .locks_max = 2, .seats_max = 2};

	*replica = (struct replica){.term = 1};
	replica->state = state_new(&config);
	assert_non_null(replica->state);
}

void replica_deinit(struct replica *replica) {
	replica->state = state_free(replica->state);
}

static ProtobufCBinaryData script_text(const char *text) {
	return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)text};
}

static void script_request(struct script *script, state_session_id session, uint64_t sequence) {
	command__command__init(&script->command);
	command__session_id__init(&script->session);
	script->session.epoch = REPLICA_EPOCH;
	script->session.group = REPLICA_GROUP;
	script->session.opened = session;
	script->command.session = &script->session;
	script->command.sequence = sequence;
}

void script_open(struct script *script, const uint8_t *nonce, uint32_t ttl_ms) {
	command__command__init(&script->command);
	command__open__init(&script->body.open);
	script->body.open.nonce = (ProtobufCBinaryData){.len = 16, .data = (uint8_t *)nonce};
	script->body.open.ttl_ms = ttl_ms;
	script->body.open.owner = script_text("owner");
	script->body.open.host = script_text("host");
	script->body.open.pid = 42;
	script->body.open.label = script_text("label");
	script->command.body_case = COMMAND__COMMAND__BODY_OPEN;
	script->command.open = &script->body.open;
}

void script_close(struct script *script, state_session_id session, uint64_t sequence) {
	script_request(script, session, sequence);
	command__close__init(&script->body.close);
	script->command.body_case = COMMAND__COMMAND__BODY_CLOSE;
	script->command.close = &script->body.close;
}

void script_acquire(struct script *script, state_session_id session, uint64_t sequence, const char *name,
		    uint32_t wait_ms, const char *value) {
	script_request(script, session, sequence);
	command__acquire__init(&script->body.acquire);
	script->body.acquire.name = script_text(name);
	script->body.acquire.wait_ms = wait_ms;
	script->body.acquire.value = script_text(value);
	script->command.body_case = COMMAND__COMMAND__BODY_ACQUIRE;
	script->command.acquire = &script->body.acquire;
}

void script_cancel(struct script *script, state_session_id session, uint64_t sequence, uint64_t target) {
	script_request(script, session, sequence);
	command__cancel__init(&script->body.cancel);
	script->body.cancel.target = target;
	script->command.body_case = COMMAND__COMMAND__BODY_CANCEL;
	script->command.cancel = &script->body.cancel;
}

void script_release(struct script *script, state_session_id session, uint64_t sequence, const char *name,
		    uint64_t token) {
	script_request(script, session, sequence);
	command__release__init(&script->body.release);
	script->body.release.name = script_text(name);
	script->body.release.token = token;
	script->command.body_case = COMMAND__COMMAND__BODY_RELEASE;
	script->command.release = &script->body.release;
}

void script_expire(struct script *script, uint64_t term, uint64_t *ids, size_t n) {
	command__command__init(&script->command);
	command__expire__init(&script->body.expire);
	script->body.expire.term = term;
	script->body.expire.opened = ids;
	script->body.expire.n_opened = n;
	script->command.body_case = COMMAND__COMMAND__BODY_EXPIRE;
	script->command.expire = &script->body.expire;
}

void script_timer(struct script *script, uint64_t term, state_session_id session, uint64_t sequence) {
	command__command__init(&script->command);
	command__timer__init(&script->body.timer);
	script->body.timer.term = term;
	script->body.timer.opened = session;
	script->body.timer.sequence = sequence;
	script->command.body_case = COMMAND__COMMAND__BODY_TIMER;
	script->command.timer = &script->body.timer;
}

void script_late(struct script *script, uint64_t term, uint64_t *ids, uint32_t *quarters, size_t n) {
	command__command__init(&script->command);
	command__late__init(&script->body.late);
	script->body.late.term = term;
	script->body.late.opened = ids;
	script->body.late.n_opened = n;
	script->body.late.quarters = quarters;
	script->body.late.n_quarters = n;
	script->command.body_case = COMMAND__COMMAND__BODY_LATE;
	script->command.late = &script->body.late;
}

void script_renewed(struct script *script, uint64_t term, uint64_t *ids, size_t n) {
	command__command__init(&script->command);
	command__renewed__init(&script->body.renewed);
	script->body.renewed.term = term;
	script->body.renewed.opened = ids;
	script->body.renewed.n_opened = n;
	script->command.body_case = COMMAND__COMMAND__BODY_RENEWED;
	script->command.renewed = &script->body.renewed;
}

void script_version(struct script *script, uint64_t term, uint32_t version) {
	command__command__init(&script->command);
	command__version__init(&script->body.version);
	script->body.version.term = term;
	script->body.version.version = version;
	script->command.body_case = COMMAND__COMMAND__BODY_VERSION;
	script->command.version = &script->body.version;
}

void script_verdict(struct script *script, uint64_t term, uint64_t index, uint8_t *hash) {
	command__command__init(&script->command);
	command__verdict__init(&script->body.verdict);
	script->body.verdict.term = term;
	script->body.verdict.index = index;
	script->body.verdict.hash = (ProtobufCBinaryData){.len = 16, .data = hash};
	script->command.body_case = COMMAND__COMMAND__BODY_VERDICT;
	script->command.verdict = &script->body.verdict;
}

uint8_t *script_pack(struct script *scripts, size_t n, size_t *ret_n) {
	Command__Batch batch = COMMAND__BATCH__INIT;
	Command__Command **commands = calloc(n, sizeof(*commands));
	uint8_t *bytes;

	assert_non_null(commands);
	for (size_t i = 0; i < n; i++)
		commands[i] = &scripts[i].command;
	batch.commands = commands;
	batch.n_commands = n;
	bytes = malloc(command__batch__get_packed_size(&batch) + 1);
	assert_non_null(bytes);
	*ret_n = command__batch__pack(&batch, bytes);
	free(commands);
	return bytes;
}

void replica_apply(struct replica *replica, struct script *scripts, size_t n) {
	size_t n_bytes;
	uint8_t *bytes = script_pack(scripts, n, &n_bytes);
	int r;

	r = state_apply(replica->state, ++replica->index, replica->term, bytes, n_bytes, &replica->outcomes,
			&replica->n);
	assert_int_equal(r, 0);
	free(bytes);
	assert_int_equal(state_applied(replica->state), replica->index);
	state_check(replica->state);
}

static int replica_request(struct replica *replica, struct script *script) {
	script->command.floor = replica->floor;
	replica_apply(replica, script, 1);
	return replica_only(replica, STATE_ANSWERED)->status;
}

state_session_id replica_open(struct replica *replica, uint8_t id) {
	uint8_t nonce[16];
	struct script script;

	memset(nonce, id, sizeof(nonce));
	script_open(&script, nonce, 10000);
	assert_int_equal(replica_request(replica, &script), LOCKD_OK);
	return replica_only(replica, STATE_ANSWERED)->session;
}

int replica_close(struct replica *replica, state_session_id session, uint64_t sequence) {
	struct script script;

	script_close(&script, session, sequence);
	return replica_request(replica, &script);
}

int replica_acquire(struct replica *replica, state_session_id session, uint64_t sequence, const char *name,
		    uint32_t wait_ms) {
	struct script script;

	script_acquire(&script, session, sequence, name, wait_ms, "value");
	return replica_request(replica, &script);
}

int replica_cancel(struct replica *replica, state_session_id session, uint64_t sequence, uint64_t target) {
	struct script script;

	script_cancel(&script, session, sequence, target);
	return replica_request(replica, &script);
}

int replica_release(struct replica *replica, state_session_id session, uint64_t sequence, const char *name,
		    uint64_t token) {
	struct script script;

	script_release(&script, session, sequence, name, token);
	return replica_request(replica, &script);
}

void replica_expire(struct replica *replica, state_session_id session) {
	struct script script;

	script_expire(&script, replica->term, &session, 1);
	replica_apply(replica, &script, 1);
}

void replica_timer(struct replica *replica, state_session_id session, uint64_t sequence) {
	struct script script;

	script_timer(&script, replica->term, session, sequence);
	replica_apply(replica, &script, 1);
}

size_t replica_count(const struct replica *replica, enum state_outcome_kind kind) {
	size_t n = 0;

	for (size_t i = 0; i < replica->n; i++)
		n += replica->outcomes[i].kind == kind;
	return n;
}

const struct state_outcome *replica_only(const struct replica *replica, enum state_outcome_kind kind) {
	const struct state_outcome *outcome = replica->outcomes;

	assert_int_equal(replica_count(replica, kind), 1);
	while (outcome->kind != kind)
		outcome++;
	return outcome;
}

const struct state_outcome *replica_resolved(const struct replica *replica, state_session_id session, uint64_t sequence,
					     int status) {
	for (size_t i = 0; i < replica->n; i++) {
		const struct state_outcome *outcome = &replica->outcomes[i];
		if (outcome->kind != STATE_RESOLVED || outcome->session != session || outcome->sequence != sequence)
			continue;
		assert_int_equal(outcome->status, status);
		return outcome;
	}
	fail_msg("no result for sequence %llu", (unsigned long long)sequence);
	return NULL;
}

uint64_t replica_token(const struct replica *replica, const char *name) {
	struct state_lock lock;

	return state_get_lock(replica->state, name, strlen(name), &lock) ? lock.token : 0;
}

state_session_id replica_holder(const struct replica *replica, const char *name) {
	struct state_lock lock;

	return state_get_lock(replica->state, name, strlen(name), &lock) ? lock.holder : 0;
}

static int replica_compare_rows(const void *a, const void *b) {
	const struct state_row *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

void replica_copy(struct replica *replica, enum replica_ids ids, struct replica *ret) {
	struct state_cut cut;
	const struct state_row *rows;
	struct state_row *sorted;
	state_row_id id;
	size_t n;
	int r;

	state_cut(replica->state, &cut);
	while (!state_copy(replica->state, 7))
		;
	rows = state_cut_rows(replica->state, &n);
	sorted = malloc((n + 1) * sizeof(*sorted));
	assert_non_null(sorted);
	for (size_t i = 0; i < n; i++)
		sorted[i] = rows[i];
	qsort(sorted, n, sizeof(*sorted), replica_compare_rows);

	replica_init(ret);
	for (size_t i = 0; i < n; i++) {
		if (!sorted[i].record)
			continue;
		r = state_restore(ret->state, ids == REPLICA_KEEP_IDS ? sorted[i].id : 0, sorted[i].record, sorted[i].n,
				  &id);
		assert_int_equal(r, 0);
		if (ids == REPLICA_KEEP_IDS)
			assert_int_equal(id, sorted[i].id);
	}
	free(sorted);
	r = state_restored(ret->state, &cut);
	assert_int_equal(r, 0);
	/* The rows stay dirty: the next copy of this replica needs them all again. */
	state_cut_failed(replica->state);
	ret->index = replica->index;
	ret->term = replica->term;
	state_check(replica->state);
	state_check(ret->state);
	assert_hash_equal(state_get_hash(ret->state), state_get_hash(replica->state));
}

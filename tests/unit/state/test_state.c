/* SPDX-License-Identifier: Apache-2.0 */
/* Properties under random logs. One machine writes checkpoints while it applies, copied a few rows at a time, some of
 * them failing; a store keeps their rows as state.db would. Another machine applies the same log without any. From time
 * to time a third is built from the stored rows and the log behind them, and then replaces the first: all must be
 * equal. The reader is asked for its hash after every entry, the writer now and then only. */
#include "replica.h"

#include <stdlib.h>
#include <string.h>

enum { ENTRIES = 3000, COMMANDS_MAX = 6, SESSIONS = 12, NAMES = 8, STORED_MAX = 4096 };

static uint64_t next_random(uint64_t *seed) {
	uint64_t z = (*seed += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint32_t below(uint64_t *seed, uint32_t n) {
	return (uint32_t)(next_random(seed) % n);
}

struct entry {
	uint8_t *bytes;
	size_t n;
	uint64_t term;
};

struct stored {
	state_row_id id;
	uint8_t *record;
	size_t n;
};

struct world {
	uint64_t seed;
	struct state *writer, *reader; /* with and without checkpoints */
	struct entry log[ENTRIES + 1]; /* by index */
	struct state_hash hashes[ENTRIES + 1];
	uint64_t last;
	bool cutting;
	struct state_cut cut;     /* the one that is being copied */
	struct state_cut durable; /* the one that is stored */
	struct stored stored[STORED_MAX];
	size_t n_stored;
	struct client {
		state_session_id id;
		uint64_t sequence, floor;
	} clients[SESSIONS];
};

static const char *const names[NAMES] = {"a", "b", "{t}1", "{t}2", "{t}3", "longer/name", "b2", "z"};

static uint64_t random_token(struct world *w, const char *name) {
	struct state_lock lock;

	return state_get_lock(w->reader, name, strlen(name), &lock) && below(&w->seed, 8) > 0 ? lock.token : 17;
}

/* Mostly the next sequence, at times an old one or one too far. */
static uint64_t random_sequence(struct world *w, struct client *client) {
	switch (below(&w->seed, 12)) {
	case 0: return client->floor + below(&w->seed, 70);
	case 1: return client->sequence > 2 ? client->sequence - 2 : client->sequence;
	default: return client->sequence++;
	}
}

static void random_command(struct world *w, struct script *script, uint64_t *id, uint32_t *quarters, uint8_t *nonce) {
	struct client *client = &w->clients[below(&w->seed, SESSIONS)];
	const char *name = names[below(&w->seed, NAMES)];
	uint64_t term = w->log[w->last].term - (below(&w->seed, 10) == 0);
	uint64_t sequence = random_sequence(w, client);

	*id = client->id;
	*quarters = below(&w->seed, 5);
	memset(nonce, (int)(client - w->clients), 16);
	switch (below(&w->seed, 20)) {
	case 0:
	case 1: script_open(script, nonce, 5000); break;
	case 2: script_close(script, *id, sequence); break;
	case 3: script_expire(script, term, id, 1); break;
	case 4: script_timer(script, term, *id, client->sequence - 1); break;
	case 5: script_late(script, term, id, quarters, 1); break;
	case 6: script_renewed(script, term, id, 1); break;
	case 7:
	case 8: script_cancel(script, *id, sequence, client->sequence - below(&w->seed, 3)); break;
	case 9:
	case 10:
	case 11:
	case 12:
	case 13: script_release(script, *id, sequence, name, random_token(w, name)); break;
	default: script_acquire(script, *id, sequence, name, below(&w->seed, 3) * 500, name); break;
	}
	if (below(&w->seed, 3) == 0)
		client->floor = client->sequence > 20 ? client->sequence - below(&w->seed, 20) : 1;
	script->command.floor = client->floor;
}

static void append(struct world *w) {
	struct script scripts[COMMANDS_MAX];
	uint64_t ids[COMMANDS_MAX];
	uint32_t quarters[COMMANDS_MAX];
	uint8_t nonces[COMMANDS_MAX][16];
	uint32_t n = 1 + below(&w->seed, COMMANDS_MAX);
	struct entry *entry;

	w->last++;
	entry = &w->log[w->last];
	entry->term = w->log[w->last - 1].term + (below(&w->seed, 50) == 0);
	for (uint32_t i = 0; i < n; i++)
		random_command(w, &scripts[i], &ids[i], &quarters[i], nonces[i]);
	entry->bytes = script_pack(scripts, n, &entry->n);
}

static bool outcomes_equal(const struct state_outcome *a, const struct state_outcome *b) {
	return a->kind == b->kind && a->position == b->position && a->status == b->status && a->session == b->session &&
	       a->sequence == b->sequence && a->token == b->token && a->revision == b->revision &&
	       a->wait_ms == b->wait_ms && a->quarters == b->quarters && a->name.n == b->name.n &&
	       a->value.n == b->value.n && (a->name.n == 0 || memcmp(a->name.bytes, b->name.bytes, a->name.n) == 0) &&
	       (a->value.n == 0 || memcmp(a->value.bytes, b->value.bytes, a->value.n) == 0);
}

static void note_sessions(struct world *w, const struct state_outcome *outcomes, size_t n) {
	for (size_t i = 0; i < n; i++) {
		uint8_t nonce[16];
		if (outcomes[i].kind != STATE_OPENED)
			continue;
		for (int c = 0; c < SESSIONS; c++) {
			memset(nonce, c, sizeof(nonce));
			if (state_find_nonce(w->reader, nonce) == outcomes[i].session)
				w->clients[c] = (struct client){.id = outcomes[i].session, .sequence = 1, .floor = 1};
		}
	}
}

static void apply(struct state *state, const struct world *w, uint64_t index, const struct state_outcome **ret,
		  size_t *ret_n) {
	const struct entry *entry = &w->log[index];
	int r = state_apply(state, index, entry->term, entry->bytes, entry->n, ret, ret_n);

	assert_int_equal(r, 0);
}

static void apply_to_both(struct world *w) {
	const struct state_outcome *a, *b;
	size_t n_a, n_b;

	apply(w->writer, w, w->last, &a, &n_a);
	apply(w->reader, w, w->last, &b, &n_b);
	assert_int_equal(n_a, n_b);
	for (size_t i = 0; i < n_a; i++)
		assert_true(outcomes_equal(&a[i], &b[i]));
	w->hashes[w->last] = state_get_hash(w->reader);
	if (below(&w->seed, 25) == 0)
		assert_hash_equal(state_get_hash(w->writer), w->hashes[w->last]);
	note_sessions(w, b, n_b);
}

static void store_row(struct world *w, const struct state_row *row) {
	size_t i = 0;

	while (i < w->n_stored && w->stored[i].id != row->id)
		i++;
	if (i < w->n_stored) {
		free(w->stored[i].record);
		w->stored[i] = w->stored[--w->n_stored];
	}
	if (!row->record)
		return;
	assert_true(w->n_stored < STORED_MAX);
	w->stored[w->n_stored].id = row->id;
	w->stored[w->n_stored].n = row->n;
	w->stored[w->n_stored].record = malloc(row->n);
	assert_non_null(w->stored[w->n_stored].record);
	memcpy(w->stored[w->n_stored++].record, row->record, row->n);
}

static int compare_row_ids(const void *a, const void *b) {
	const state_row_id *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void store_cut(struct world *w) {
	const struct state_row *rows;
	state_row_id *ids;
	size_t n;

	rows = state_cut_rows(w->writer, &n);
	ids = malloc((n + 1) * sizeof(*ids));
	assert_non_null(ids);
	for (size_t i = 0; i < n; i++)
		ids[i] = rows[i].id;
	qsort(ids, n, sizeof(*ids), compare_row_ids);
	for (size_t i = 1; i < n; i++)
		assert_true(ids[i - 1] < ids[i]);
	free(ids);

	for (size_t i = 0; i < n; i++)
		store_row(w, &rows[i]);
	w->durable = w->cut;
	assert_int_equal(w->n_stored, w->cut.rows);
	state_cut_done(w->writer);
}

static void checkpoint_turn(struct world *w) {
	if (!w->cutting) {
		if (below(&w->seed, 10) == 0) {
			state_cut(w->writer, &w->cut);
			assert_hash_equal(w->cut.hash, w->hashes[w->last]);
			w->cutting = true;
		}
		return;
	}
	if (below(&w->seed, 30) == 0) {
		state_cut_failed(w->writer);
		w->cutting = false;
	} else if (state_copy(w->writer, 1 + below(&w->seed, 12))) {
		if (below(&w->seed, 4) == 0)
			state_cut_failed(w->writer);
		else
			store_cut(w);
		w->cutting = false;
	}
}

static int compare_stored(const void *a, const void *b) {
	const struct stored *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

/* The stored rows and the log behind them; with its own ids, as after a restart of the writer. */
static struct state *rebuild(struct world *w, bool keep_ids) {
	struct state *state = state_new(&(struct state_config){.group = REPLICA_GROUP, .epoch = REPLICA_EPOCH});
	const struct state_outcome *outcomes;
	state_row_id id;
	size_t n;
	int r;

	assert_non_null(state);
	qsort(w->stored, w->n_stored, sizeof(*w->stored), compare_stored);
	for (size_t i = 0; i < w->n_stored; i++) {
		r = state_restore(state, keep_ids ? w->stored[i].id : 0, w->stored[i].record, w->stored[i].n, &id);
		assert_int_equal(r, 0);
	}
	r = state_restored(state, &w->durable);
	assert_int_equal(r, 0);
	state_check(state);
	for (uint64_t index = w->durable.index + 1; index <= w->last; index++)
		apply(state, w, index, &outcomes, &n);
	state_check(state);
	assert_hash_equal(state_get_hash(state), w->hashes[w->last]);
	return state;
}

static void restart_writer(struct world *w) {
	struct state *other = rebuild(w, false);

	state_free(other);
	state_free(w->writer);
	w->writer = rebuild(w, true);
	w->cutting = false;
}

static void run(uint64_t seed) {
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->seed = seed;
	w->log[0].term = 2;
	w->writer = state_new(&(struct state_config){.group = REPLICA_GROUP, .epoch = REPLICA_EPOCH});
	w->reader = state_new(&(struct state_config){.group = REPLICA_GROUP, .epoch = REPLICA_EPOCH});
	for (int c = 0; c < SESSIONS; c++)
		w->clients[c] = (struct client){.id = 1, .sequence = 1, .floor = 1};
	while (w->last < ENTRIES) {
		append(w);
		apply_to_both(w);
		checkpoint_turn(w);
		if (below(&w->seed, 7) == 0)
			state_check(w->writer);
		if (below(&w->seed, 200) == 0 && w->durable.index > 0)
			restart_writer(w);
	}
	restart_writer(w);
	state_free(w->writer);
	state_free(w->reader);
	for (uint64_t i = 1; i <= w->last; i++)
		free(w->log[i].bytes);
	for (size_t i = 0; i < w->n_stored; i++)
		free(w->stored[i].record);
	free(w);
}

static void test_state__equal_logs_give_equal_states_through_any_checkpoints(void **test) {
	(void)test;
	for (uint64_t seed = 1; seed <= 8; seed++)
		run(seed);
}

static void test_state__hash_forgets_what_is_gone(void **test) {
	struct replica replica;
	struct state_hash before;
	state_session_id session;

	(void)test;
	replica_init(&replica);
	assert_int_equal(state_get_hash(replica.state).low, 0);
	session = replica_open(&replica, 1);
	before = state_get_hash(replica.state);
	assert_true(before.low != 0 && before.high != 0);
	replica_expire(&replica, session);
	assert_int_equal(state_get_hash(replica.state).low, 0);
	assert_int_equal(state_get_hash(replica.state).high, 0);
	replica_deinit(&replica);
}

static void test_state__skip_moves_the_index_only(void **test) {
	struct replica replica;
	struct state_hash before;

	(void)test;
	replica_init(&replica);
	replica_open(&replica, 1);
	before = state_get_hash(replica.state);
	state_skip(replica.state, 2, 5);
	assert_int_equal(state_applied(replica.state), 2);
	assert_int_equal(state_applied_term(replica.state), 5);
	assert_hash_equal(state_get_hash(replica.state), before);
	replica_deinit(&replica);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_state__skip_moves_the_index_only),
		cmocka_unit_test(test_state__hash_forgets_what_is_gone),
		cmocka_unit_test(test_state__equal_logs_give_equal_states_through_any_checkpoints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

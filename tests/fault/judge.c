/* SPDX-License-Identifier: Apache-2.0 */
#include "judge.h"

#include "mount.h"
#include "tests/sim/prng.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JUDGE_PATH "/medium/image"
#define JUDGE_FOLDER JUDGE_PATH "/data"

int judge_open(const char *folder, uint64_t reserve, struct store **ret, struct node *node, struct store_error *error) {
	struct store *store;
	int r = store_open(folder, &store, error);

	*node = (struct node){0};
	if (r != 0)
		return r;
	r = store_keep_reserve(store, reserve, error);
	if (r == 0)
		r = store_load(store, node, error);
	if (r != 0) {
		store_close(store, false);
		return r;
	}
	*ret = store;
	return 0;
}

__attribute__((format(printf, 2, 3))) static bool judge_object(struct judge *judge, const char *format, ...) {
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(judge->why, sizeof judge->why, format, arguments);
	va_end(arguments);
	return false;
}

/* ---- One look -----------------------------------------------------------------------------------------------------
 */

struct look {
	struct store *store; /* NULL: refused */
	struct store_error error;
	struct node node;
	int r;
};

static void judge_look(struct judge *judge, struct medium *image, uint64_t reserve, struct look *look) {
	mount_add(JUDGE_PATH, image);
	look->store = NULL;
	look->r = judge_open(JUDGE_FOLDER, reserve, &look->store, &look->node, &look->error);
	judge->opened++;
}

static void judge_look_away(struct medium *image, struct look *look) {
	look->store = store_close(look->store, false);
	mount_remove(image);
}

static bool is_same_uuid(const struct node_uuid *x, const struct node_uuid *y) {
	return memcmp(x, y, sizeof *x) == 0;
}

static bool judge_past(struct judge *judge, const struct store *store, const struct expectation *expected) {
	struct store_past past;

	store_get_past(store, &past);
	if (past.n != expected->past.n || past.repairs != expected->past.repairs)
		return judge_object(judge, "stands in the place of %zu stores after %u repairs, not of %zu after %u",
				    past.n, past.repairs, expected->past.n, expected->past.repairs);
	for (size_t i = 0; i < past.n; i++)
		if (!is_same_uuid(&past.stores[i], &expected->past.stores[i]))
			return judge_object(judge, "stands in the place of another store");
	if (past.n &&
	    (past.epoch != expected->past.epoch || past.incarnation.bytes[0] != expected->past.incarnation.bytes[0]))
		return judge_object(judge, "the store before belonged to another cluster");
	return true;
}

static bool judge_holds(struct judge *judge, const struct look *look, const struct expectation *expected) {
	const char *difference = ledger_differ(&look->node.ledger, &expected->ledger);
	struct node_uuid uuid;

	if (look->node.alien[0])
		return judge_object(judge, "feeds what nobody stored: %s", look->node.alien);
	if (difference)
		return judge_object(judge, "%s", difference);
	store_get_uuid(look->store, &uuid);
	if (expected->created && !is_same_uuid(&uuid, &expected->uuid))
		return judge_object(judge, "the store has another uuid");
	if (expected->created && store_get_boot_count(look->store) <= expected->boot_count)
		return judge_object(judge, "start %llu follows on start %llu",
				    (unsigned long long)store_get_boot_count(look->store),
				    (unsigned long long)expected->boot_count);
	return judge_past(judge, look->store, expected);
}

/* ---- What must go on to work --------------------------------------------------------------------------------------
 */

/* A new term, and an entry of it. */
static struct node_save judge_further(const struct ledger *ledger) {
	const struct ledger_group *group = &ledger->groups[1];
	raft_term term = group->term > group->base_term ? group->term : group->base_term;

	if (group->last > group->base && group->terms[group->last] > term)
		term = group->terms[group->last];
	return (struct node_save){
		.group = 1,
		.hard = true,
		.term = term + 1,
		.vote = 3,
		.promise_ms = group->promise_ms,
		.entries = run_entries(1, group->last + 1, 1, term + 1),
		.n_entries = 1,
	};
}

/* Writes to the store that is open on the image, cuts the power, and looks again. */
static bool judge_writes(struct judge *judge, struct medium *image, const struct expectation *expected,
			 uint64_t reserve, struct look *look) {
	struct expectation after = *expected;
	struct node_save save = judge_further(&expected->ledger);
	struct medium *cut;
	int r = store_write(look->store, &save, 1, &look->error);
	bool holds;

	if (r != 0)
		return judge_object(judge, "a further write returns %d: %s", r, look->error.text);
	ledger_save(&after.ledger, &save, 1);
	after.created = true;
	store_get_uuid(look->store, &after.uuid);
	after.boot_count = store_get_boot_count(look->store);
	look->store = store_close(look->store, false);
	cut = medium_cut(image, MEDIUM_LOSE_ALL, 0);
	mount_remove(image);
	judge_look(judge, cut, reserve, look);
	holds = look->r == 0 ? judge_holds(judge, look, &after)
			     : judge_object(judge, "after a further write: %d: %s", look->r, look->error.text);
	judge_look_away(cut, look);
	medium_free(cut);
	mount_add(JUDGE_PATH, image); /* as the caller had it */
	return holds;
}

/* The identity of an interrupted recovery is taken back, and then all is as before. */
static bool judge_half(struct judge *judge, const struct expectation *expected, struct look *look) {
	struct expectation before = *expected;
	int r = store_open(JUDGE_FOLDER, &look->store, &look->error);

	if (r != 0)
		return judge_object(judge, "the second time: %d: %s", r, look->error.text);
	if (store_take_back_identity(look->store) == 0)
		return judge_object(judge, "the identity of the recovery cannot be taken back");
	look->node = (struct node){0};
	r = store_load(look->store, &look->node, &look->error);
	if (r != 0)
		return judge_object(judge, "with the identity taken back: %d: %s", r, look->error.text);
	return judge_holds(judge, look, &before);
}

/* The folder comes back blank, in the place of the one there was. */
static bool judge_aside(struct judge *judge, const struct expectation *expected, uint64_t reserve, struct look *look) {
	struct expectation aside = *expected;
	int r = store_set_aside(JUDGE_FOLDER, "a bit had turned", &look->error);

	if (r != 0)
		return judge_object(judge, "the folder cannot be set aside: %d: %s", r, look->error.text);
	expect_aside(&aside);
	r = judge_open(JUDGE_FOLDER, reserve, &look->store, &look->node, &look->error);
	if (r != 0)
		return judge_object(judge, "when set aside: %d: %s", r, look->error.text);
	return judge_holds(judge, look, &aside);
}

/* ---- Verdict ------------------------------------------------------------------------------------------------------
 */

static int judge_loaded(struct judge *judge, struct medium *image, const struct expectation *expected, size_t n,
			uint64_t reserve, struct look *look) {
	for (size_t i = 0; i < n; i++) {
		if (expected[i].kind != EXPECT_LEDGER || !judge_holds(judge, look, &expected[i]))
			continue;
		return judge_writes(judge, image, &expected[i], reserve, look) ? (int)i : -1;
	}
	return -1;
}

static int judge_refused(struct judge *judge, const struct expectation *expected, size_t n, uint64_t reserve,
			 struct look *look) {
	for (size_t i = 0; i < n; i++) {
		if (expected[i].kind == EXPECT_CONDEMNED && look->r == -ESTALE)
			return (int)i;
		if (expected[i].kind == EXPECT_HALF && look->r == -ECANCELED)
			return judge_half(judge, &expected[i], look) ? (int)i : -1;
		if (expected[i].kind == EXPECT_DAMAGED && look->r == -EBADMSG)
			return judge_aside(judge, &expected[i], reserve, look) ? (int)i : -1;
	}
	(void)judge_object(judge, "refused with %d: %s", look->r, look->error.text);
	return -1;
}

/* One point of the recovery, each with the same chance. */
struct moment {
	struct prng prng;
	uint64_t points;
	struct medium *copy;
};

static void moment_watch(void *context, struct medium *medium, const struct medium_operation *operation) {
	struct moment *moment = context;

	if (operation->point == 0 || prng_range(&moment->prng, 0, moment->points++) != 0)
		return;
	medium_free(moment->copy);
	moment->copy = medium_copy(medium);
}

static int judge_moment(struct judge *judge, struct moment *moment, const struct expectation *expected, size_t n,
			uint64_t reserve) {
	enum medium_policy policy = (enum medium_policy)prng_range(&moment->prng, 0, MEDIUM_POLICIES - 1);
	struct medium *image;
	char inner[sizeof judge->why];
	int matched;

	image = medium_cut(moment->copy, policy, prng_next(&moment->prng));
	judge->recoveries++;
	matched = judge_image(judge, image, expected, n, reserve, 0);
	if (matched < 0) {
		memcpy(inner, judge->why, sizeof inner);
		(void)judge_object(judge, "after a second power cut, in the recovery: %.500s", inner);
	}
	return matched;
}

int judge_image(struct judge *judge, struct medium *image, const struct expectation *expected, size_t n,
		uint64_t reserve, uint64_t seed) {
	static struct look looks[2]; /* one for the image within */
	struct look *look = &looks[seed == 0];
	struct moment moment = {.copy = NULL};
	int matched;

	if (seed) {
		prng_init(&moment.prng, seed);
		medium_set_watch(image, moment_watch, &moment);
	}
	judge_look(judge, image, reserve, look);
	medium_set_watch(image, NULL, NULL);
	matched = look->r == 0 ? judge_loaded(judge, image, expected, n, reserve, look)
			       : judge_refused(judge, expected, n, reserve, look);
	judge_look_away(image, look);
	medium_free(image);
	if (matched >= 0 && moment.copy && judge_moment(judge, &moment, expected, n, reserve) < 0)
		matched = -1;
	medium_free(moment.copy);
	return matched;
}

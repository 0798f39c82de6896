/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { SESSIONS = LIMIT_SESSIONS_PER_KEEP_ALIVE + 10 };

/* Sessions of a handle that has nothing else. */
struct scene {
	struct lockd_client client;
	struct lockd_session sessions[SESSIONS];
};

static void join(struct scene *scene, unsigned i, uint32_t epoch) {
	struct lockd_session *session = &scene->sessions[i];

	session->epoch = epoch;
	session->group = 1;
	session->opened = (uint64_t)(i + 1) << 16;
	session->ttl_ms = 3000;
	assert_int_equal(lockd__roll_join(&scene->client, session), 0);
}

static struct scene *scene_new(unsigned n) {
	struct scene *scene = test_calloc(1, sizeof *scene);

	TAILQ_INIT(&scene->client.rolls);
	for (unsigned i = 0; i < n; i++)
		join(scene, i, 1);
	return scene;
}

static void scene_free(struct scene *scene) {
	for (unsigned i = 0; i < SESSIONS; i++)
		if (scene->sessions[i].roll)
			lockd__roll_leave(&scene->client, &scene->sessions[i]);
	assert_true(TAILQ_EMPTY(&scene->client.rolls));
	test_free(scene);
}

static void test_roll__has_as_many_as_a_frame_names(void **unused) {
	struct scene *scene = scene_new(SESSIONS);
	const struct lockd__roll *first = scene->sessions[0].roll, *last = scene->sessions[SESSIONS - 1].roll;

	(void)unused;
	assert_int_equal(first->n, LIMIT_SESSIONS_PER_KEEP_ALIVE);
	assert_ptr_not_equal(first, last);
	assert_int_equal(last->n, SESSIONS - LIMIT_SESSIONS_PER_KEEP_ALIVE);
	scene_free(scene);
}

static void test_roll__has_sessions_of_one_epoch(void **unused) {
	struct scene *scene = scene_new(2);

	(void)unused;
	join(scene, 2, 7);
	join(scene, 3, 1);
	assert_ptr_equal(scene->sessions[3].roll, scene->sessions[0].roll);
	assert_ptr_not_equal(scene->sessions[2].roll, scene->sessions[0].roll);
	assert_int_equal(scene->sessions[2].roll->epoch, 7);
	scene_free(scene);
}

/* An answer finds sessions by their places. */
static void test_roll__keeps_places_during_a_call(void **unused) {
	struct scene *scene = scene_new(4);
	struct lockd__roll *roll = scene->sessions[0].roll;

	(void)unused;
	lockd__roll_begin_call(roll);
	lockd__roll_leave(&scene->client, &scene->sessions[0]);
	lockd__roll_leave(&scene->client, &scene->sessions[1]);
	lockd__roll_close_ranks(roll);
	join(scene, 4, 1);
	assert_null(roll->places[0].session);
	assert_ptr_equal(roll->places[3].session, &scene->sessions[3]);
	assert_ptr_equal(roll->places[4].session, &scene->sessions[4]);
	lockd__roll_end_call(&scene->client, roll);

	lockd__roll_close_ranks(roll);
	assert_int_equal(roll->n, 3);
	for (unsigned i = 0; i < roll->n; i++) {
		assert_ptr_equal(roll->places[i].session, &scene->sessions[i + 2]);
		assert_int_equal(scene->sessions[i + 2].place, i);
	}
	scene_free(scene);
}

static void test_roll__goes_with_its_last_call(void **unused) {
	struct scene *scene = scene_new(1);
	struct lockd__roll *roll = scene->sessions[0].roll;

	(void)unused;
	lockd__roll_begin_call(roll);
	lockd__roll_strike(&scene->sessions[0]);
	assert_int_equal(roll->places[0].opened, 0);
	lockd__roll_leave(&scene->client, &scene->sessions[0]);
	lockd__roll_strike(&scene->sessions[0]);
	assert_ptr_equal(TAILQ_FIRST(&scene->client.rolls), roll);
	lockd__roll_end_call(&scene->client, roll);
	assert_true(TAILQ_EMPTY(&scene->client.rolls));
	scene_free(scene);
}

static void test_roll__has_room_where_many_are_gone(void **unused) {
	struct scene *scene = scene_new(LIMIT_SESSIONS_PER_KEEP_ALIVE);
	struct lockd__roll *roll = scene->sessions[0].roll;

	(void)unused;
	for (unsigned i = 0; i < LIMIT_SESSIONS_PER_KEEP_ALIVE / 2; i++)
		lockd__roll_leave(&scene->client, &scene->sessions[i]);
	join(scene, LIMIT_SESSIONS_PER_KEEP_ALIVE, 1);
	assert_ptr_equal(scene->sessions[LIMIT_SESSIONS_PER_KEEP_ALIVE].roll, roll);
	assert_int_equal(roll->n, LIMIT_SESSIONS_PER_KEEP_ALIVE / 2 + 1);
	assert_int_equal(roll->gone, 0);
	scene_free(scene);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_roll__has_as_many_as_a_frame_names),
		cmocka_unit_test(test_roll__has_sessions_of_one_epoch),
		cmocka_unit_test(test_roll__keeps_places_during_a_call),
		cmocka_unit_test(test_roll__goes_with_its_last_call),
		cmocka_unit_test(test_roll__has_room_where_many_are_gone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

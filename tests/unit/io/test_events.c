/* SPDX-License-Identifier: Apache-2.0 */
#include "lockd/io/events.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_events__drops_the_frames_of_one_peer_and_nothing_else(void **state) {
	struct events events = {0};

	(void)state;
	events_add(&events, NODE_PEER_FRAME)->peer = 3;
	events_add(&events, NODE_PEER_FRAME)->peer = 2;
	events_add(&events, NODE_PEER_DOWN)->peer = 3;
	events_add(&events, NODE_PEER_FRAME)->peer = 3;
	events_add(&events, NODE_CLIENT_FRAME)->connection = 3;
	events_drop_frames(&events, 3);
	assert_int_equal(events.n, 3);
	assert_int_equal(events.all[0].kind, NODE_PEER_FRAME);
	assert_int_equal(events.all[0].peer, 2);
	assert_int_equal(events.all[1].kind, NODE_PEER_DOWN);
	assert_int_equal(events.all[2].kind, NODE_CLIENT_FRAME);
	assert_int_equal(events_add(&events, NODE_STOP) - events.all, 3);
	events_drop_frames(&events, 9);
	assert_int_equal(events.n, 4);
	events_deinit(&events);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events__drops_the_frames_of_one_peer_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

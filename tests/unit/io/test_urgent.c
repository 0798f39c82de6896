/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept for a peer whose queue is full. */
#include "lockd/io/urgent.h"

#include "api/frame.h"
#include "api/limits.h"
#include "api/peer.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct urgent urgent;
static struct arena arena;
static char sent[512]; /* "group/type/term/id " of each */

void connection_send(struct connection *connection, uint8_t type, uint64_t id, const void *body, size_t n) {
	Peer__Message *message = peer__message__unpack(NULL, n, body);
	size_t at = strlen(sent);

	(void)connection;
	assert_int_equal(type, FRAME_PEER_MESSAGE);
	assert_non_null(message);
	if (at + 40 < sizeof sent)
		snprintf(sent + at, sizeof sent - at, "%u/%u/%llu/%llu ", message->group, message->type,
			 (unsigned long long)message->term, (unsigned long long)id);
	peer__message__free_unpacked(message, NULL);
}

static void put(uint32_t group, uint32_t type, uint64_t term, uint64_t id) {
	Peer__Message message = PEER__MESSAGE__INIT;
	uint8_t body[128];

	message.group = group;
	message.type = type;
	message.term = term;
	urgent_put(&urgent, id, body, peer__message__pack(&message, body), &arena);
	memset(body, 0xff, sizeof body); /* it keeps a copy */
}

static int set_up(void **state) {
	(void)state;
	arena_init(&arena);
	sent[0] = '\0';
	return 0;
}

static int tear_down(void **state) {
	(void)state;
	urgent_clear(&urgent);
	arena_deinit(&arena);
	return 0;
}

static void test_urgent__sends_nothing_when_nothing_is_kept(void **state) {
	(void)state;
	urgent_send(&urgent, NULL);
	assert_string_equal(sent, "");
}

static void test_urgent__keeps_the_newest_of_each_kind_and_group(void **state) {
	(void)state;
	put(1, 2, 5, 9);
	put(1, 3, 5, 9);
	put(2, 2, 4, 9);
	put(1, 2, 6, 8);
	urgent_send(&urgent, NULL);
	assert_string_equal(sent, "1/2/6/8 1/3/5/9 2/2/4/9 ");
}

static void test_urgent__forgets_what_was_sent(void **state) {
	(void)state;
	put(1, 2, 5, 9);
	urgent_send(&urgent, NULL);
	sent[0] = '\0';
	urgent_send(&urgent, NULL);
	assert_string_equal(sent, "");
	put(1, 3, 6, 9);
	urgent_send(&urgent, NULL);
	assert_string_equal(sent, "1/3/6/9 ");
}

static void test_urgent__does_not_grow_beyond_one_of_each(void **state) {
	(void)state;
	for (uint64_t term = 1; term <= 3; term++) {
		for (uint32_t group = 0; group < LIMIT_GROUPS_MAX; group++) {
			for (uint32_t type = 1; type <= URGENT_KINDS; type++)
				put(group, type, term, 9);
		}
	}
	assert_int_equal(urgent.n, LIMIT_GROUPS_MAX * URGENT_KINDS);
	urgent_send(&urgent, NULL);
	assert_memory_equal(sent, "0/1/3/9 0/2/3/9 ", 16);
}

#define test(name) cmocka_unit_test_setup_teardown(test_urgent__##name, set_up, tear_down)

int main(void) {
	const struct CMUnitTest tests[] = {
		test(sends_nothing_when_nothing_is_kept),
		test(keeps_the_newest_of_each_kind_and_group),
		test(forgets_what_was_sent),
		test(does_not_grow_beyond_one_of_each),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The schemas as bytes: nodes of different builds read each other's logs, so the encoding of a command is frozen. */
#include "api/client.pb-c.h"
#include "api/command.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_schema__garbage_does_not_decode(void **state) {
	static const uint8_t garbage[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	(void)state;
	assert_null(command__batch__unpack(NULL, sizeof garbage, garbage));
	assert_null(client__request__unpack(NULL, sizeof garbage, garbage));
}

static void test_schema__a_command_of_a_later_version_is_visible(void **state) {
	/* Command with field 99 (bytes, empty) and nothing else. */
	static const uint8_t bytes[] = {0x9a, 0x06, 0x00};
	Command__Command *command = command__command__unpack(NULL, sizeof bytes, bytes);

	(void)state;
	assert_non_null(command);
	assert_int_equal(command->body_case, COMMAND__COMMAND__BODY__NOT_SET);
	assert_int_equal(command->base.n_unknown_fields, 1);
	command__command__free_unpacked(command, NULL);
}

static void test_schema__encoding_of_an_acquire_is_frozen(void **state) {
	static const uint8_t expected[] = {0x0a, 0x1c, 0x0a, 0x06, 0x08, 0x05, 0x10, 0x01, 0x18, 0x09, 0x10, 0x07, 0x18, 0x07, 0x62,
	                                   0x0e, 0x0a, 0x04, 'j',  'o',  'b',  's',  0x10, 0xe8, 0x07, 0x1a, 0x03, 'a',  'b',  'c'};
	Command__SessionId session = COMMAND__SESSION_ID__INIT;
	Command__Acquire acquire = COMMAND__ACQUIRE__INIT;
	Command__Command command = COMMAND__COMMAND__INIT, *commands[] = {&command};
	Command__Batch batch = COMMAND__BATCH__INIT;
	uint8_t bytes[64];

	(void)state;
	session.epoch = 5;
	session.group = 1;
	session.opened = 9;
	acquire.name = (ProtobufCBinaryData){4, (uint8_t *)"jobs"};
	acquire.wait_ms = 1000;
	acquire.value = (ProtobufCBinaryData){3, (uint8_t *)"abc"};
	command.session = &session;
	command.sequence = command.floor = 7;
	command.body_case = COMMAND__COMMAND__BODY_ACQUIRE;
	command.acquire = &acquire;
	batch.n_commands = 1;
	batch.commands = commands;
	assert_int_equal(command__batch__pack(&batch, bytes), sizeof expected);
	assert_memory_equal(bytes, expected, sizeof expected);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_schema__garbage_does_not_decode),
	        cmocka_unit_test(test_schema__a_command_of_a_later_version_is_visible),
	        cmocka_unit_test(test_schema__encoding_of_an_acquire_is_frozen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

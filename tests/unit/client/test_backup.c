/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include "client.h"

#include "api/archive.h"
#include "api/record.pb-c.h"

#include <lockd/admin.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>
#include <xxhash.h>

/* A call that waits, on a thread of its own, and what it has written. */
struct call {
	struct lockd_client *client;
	enum lockd_status status;
	struct lockd_backup_info info;
	uint8_t file[1024];
	size_t n;
	unsigned begun;
	bool refuses;
	pthread_t thread;
};

static struct fake *node;
static uint8_t header[256], digest[16];
static size_t header_bytes;
static const uint8_t run[] = "\3\0\0\0abc\4\0\0\0defg";
enum { RUN_BYTES = sizeof run - 1, FIRST_BYTES = 9 };

static int write_part(void *user, const struct lockd_backup_part *part) {
	struct call *call = user;

	if (call->refuses)
		return -1;
	if (part->offset == 0) {
		call->n = 0;
		call->begun++;
	}
	assert_int_equal(part->offset, call->n);
	assert_int_equal(part->total, ARCHIVE_LEAD_BYTES + header_bytes + RUN_BYTES + ARCHIVE_DIGEST_BYTES);
	memcpy(call->file + call->n, part->bytes, part->n);
	call->n += part->n;
	return 0;
}

static void *make(void *arg) {
	struct call *call = arg;

	call->status = lockd_backup(call->client, 0, write_part, call, FAKE_PATIENCE_MS, &call->info);
	return NULL;
}

static void begin(struct call *call) {
	Record__Header record = RECORD__HEADER__INIT;
	XXH128_canonical_t canonical;
	uint8_t all[512];

	record.format = 1;
	record.incarnation = (ProtobufCBinaryData){.len = 16, .data = (uint8_t *)"an incarnation!!"};
	record.hash = record.incarnation;
	record.index = 9;
	record.term = 2;
	record.epoch = 5;
	record.group = 1;
	record.machine_version = 1;
	record.rows = 2;
	header_bytes = record__header__pack(&record, header);
	memcpy(all, header, header_bytes);
	memcpy(all + header_bytes, run, RUN_BYTES);
	XXH128_canonicalFromHash(&canonical, XXH3_128bits(all, header_bytes + RUN_BYTES));
	memcpy(digest, canonical.digest, sizeof digest);
	node = fake_new(&fake_leader);
	*call = (struct call){.client = fake_client(fake_address(node))};
	pthread_create(&call->thread, NULL, make, call);
}

static void end(struct call *call, enum lockd_status status) {
	pthread_join(call->thread, NULL);
	assert_int_equal(call->status, status);
	lockd_close(call->client);
	fake_free(node);
}

static void describe(uint64_t number) {
	struct fake_request request = fake_take_kind(node, CLIENT__REQUEST__BODY_BACKUP);
	Client__BackupPart part = CLIENT__BACKUP_PART__INIT;
	Client__Reply reply = CLIENT__REPLY__INIT;

	assert_int_equal(request.message->backup->backup, 0);
	part.backup = number;
	part.index = 9;
	part.rows = 2;
	part.bytes = RUN_BYTES;
	part.header = (ProtobufCBinaryData){.len = header_bytes, .data = header};
	part.digest = (ProtobufCBinaryData){.len = sizeof digest, .data = digest};
	reply.node_id = 1;
	reply.backup = &part;
	fake_reply(node, &request, &reply);
	fake_request_free(&request);
}

static void give_part(uint64_t number, uint64_t offset, size_t n) {
	struct fake_request request = fake_take_kind(node, CLIENT__REQUEST__BODY_BACKUP);
	Client__BackupPart part = CLIENT__BACKUP_PART__INIT;
	Client__Reply reply = CLIENT__REPLY__INIT;

	assert_int_equal(request.message->backup->backup, number);
	assert_int_equal(request.message->backup->offset, offset);
	part.data = (ProtobufCBinaryData){.len = n, .data = (uint8_t *)run + offset};
	reply.backup = &part;
	fake_reply(node, &request, &reply);
	fake_request_free(&request);
}

static void refuse(enum lockd_status status) {
	struct fake_request request = fake_take_kind(node, CLIENT__REQUEST__BODY_BACKUP);

	fake_reply_status(node, &request, status);
	fake_request_free(&request);
}

static void test_backup__refuses_what_is_not_what_was_announced(void **unused) {
	struct call call;
	char error[256];

	(void)unused;
	begin(&call);
	digest[3] ^= 1; /* other than the bytes that follow */
	describe(4);
	give_part(4, 0, RUN_BYTES);
	pthread_join(call.thread, NULL);
	assert_int_equal(call.status, LOCKD_DAMAGED);
	lockd_last_error(call.client, error, sizeof error);
	assert_string_equal(error,
			    "node 1 sends no sound backup: it is damaged: header and rows do not have the digest "
			    "that it ends with");
	lockd_close(call.client);
	fake_free(node);

	begin(&call);
	describe(4);
	give_part(4, 0, 0);
	end(&call, LOCKD_DAMAGED);
}

static void test_backup__is_told_of_a_full_disk_at_once(void **unused) {
	struct call call;

	(void)unused;
	begin(&call);
	refuse(LOCKD_DISK_FULL);
	end(&call, LOCKD_DISK_FULL);
	assert_int_equal(call.begun, 0);
}

static void test_backup__ends_when_it_cannot_be_written(void **unused) {
	struct call call;

	(void)unused;
	begin(&call);
	call.refuses = true;
	describe(4);
	end(&call, LOCKD_CANCELLED);
}

static void test_backup__arrives_part_by_part_as_a_file(void **unused) {
	struct archive archive;
	struct call call;

	(void)unused;
	begin(&call);
	describe(4);
	give_part(4, 0, FIRST_BYTES);
	give_part(4, FIRST_BYTES, RUN_BYTES - FIRST_BYTES);
	end(&call, LOCKD_OK);
	assert_int_equal(call.begun, 1);
	assert_int_equal(call.info.index, 9);
	assert_int_equal(call.info.revision, 9 << 16 | 0xffff);
	assert_int_equal(call.info.epoch, 5);
	assert_int_equal(call.info.rows, 2);
	assert_int_equal(call.info.bytes, call.n);
	assert_int_equal(call.info.node, 1);
	assert_string_equal(call.info.incarnation, "616e20696e6361726e6174696f6e2121");
	assert_int_equal(archive_init(&archive), 0);
	assert_int_equal(archive_read(&archive, call.file, call.n), 0);
	assert_int_equal(archive_end(&archive), 0);
	archive_deinit(&archive);
}

static void test_backup__that_breaks_off_begins_again(void **unused) {
	struct fake_request asked;
	struct call call;

	(void)unused;
	begin(&call);
	describe(4);
	give_part(4, 0, FIRST_BYTES);
	refuse(LOCKD_NOT_FOUND); /* the node has forgotten it */
	describe(7);
	give_part(7, 0, FIRST_BYTES);
	asked = fake_take_kind(node, CLIENT__REQUEST__BODY_BACKUP);
	fake_request_free(&asked);
	fake_cut(node);
	describe(8);
	give_part(8, 0, RUN_BYTES);
	end(&call, LOCKD_OK);
	assert_int_equal(call.begun, 3);
	assert_int_equal(call.info.bytes, call.n);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_backup__refuses_what_is_not_what_was_announced),
		cmocka_unit_test(test_backup__is_told_of_a_full_disk_at_once),
		cmocka_unit_test(test_backup__ends_when_it_cannot_be_written),
		cmocka_unit_test(test_backup__arrives_part_by_part_as_a_file),
		cmocka_unit_test(test_backup__that_breaks_off_begins_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

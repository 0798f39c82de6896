/* SPDX-License-Identifier: Apache-2.0 */
/* A store from its first start to a clean stop, in the folder that is given. On a medium every change is printed; on a
 * real disk strace tells them, and same_calls.sh compares the two: what SQLite and the store do must not depend on the
 * medium. */
#include "ledger.h"
#include "mount.h"

#include "api/checksum.h"
#include "lockd/io/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MEDIUM_PATH "/medium/calls"

enum { GROUP = 1, ENTRIES = 60 };

static struct store_error error;

static void print_operation(void *context, struct medium *medium, const struct medium_operation *operation) {
	const char *file = operation->file[0] ? operation->file : ".";

	(void)context;
	(void)medium;
	if (operation->kind == MEDIUM_WRITE)
		(void)printf("write %s %" PRIu64 " %zu\n", file, operation->offset, operation->n);
	else if (operation->kind == MEDIUM_TRUNCATE)
		(void)printf("truncate %s %" PRIu64 "\n", file, operation->offset);
	else if (operation->kind == MEDIUM_SYNC)
		(void)printf("sync %s\n", file);
	else if (operation->kind == MEDIUM_REMOVE)
		(void)printf("remove %s\n", file);
}

static int write_entry(struct store *store, raft_index index) {
	uint8_t bytes[LEDGER_BYTES_MAX];
	struct node_entry entry = {.index = index, .term = 1 + index / 20, .type = RAFT_ENTRY_COMMANDS, .data = bytes};
	struct node_save save = {.group = GROUP, .entries = &entry, .n_entries = 1, .vote = 3, .term = entry.term};

	entry.n = ledger_entry(index, entry.term, bytes);
	entry.checksum = checksum_entry(GROUP, index, entry.term, entry.type, bytes, entry.n);
	save.hard = index == 1 || index % 20 == 0;
	return store_write(store, &save, 1, &error);
}

static int write_checkpoint(struct store *store, raft_index index) {
	uint8_t header[LEDGER_BYTES_MAX], record[LEDGER_BYTES_MAX];
	uint64_t id = 5;
	struct node_bytes row = {.bytes = record, .n = ledger_row(id, 1, record)};

	return store_checkpoint(store,
				&(struct node_checkpoint){.group = GROUP,
							  .index = index,
							  .header = header,
							  .header_bytes = ledger_header(index, 1, header),
							  .row_ids = &id,
							  .rows = &row,
							  .n_rows = 1},
				&error);
}

static int tell(struct store *store) {
	static struct node node;
	int r = store_load(store, &node, &error);

	for (raft_index i = 1; r == 0 && i <= ENTRIES; i++)
		r = write_entry(store, i);
	if (r == 0)
		r = write_checkpoint(store, ENTRIES / 2);
	return r == 0 ? store_idle(store, &error) : r;
}

int main(int argc, char **argv) {
	struct medium *medium = medium_new();
	struct store *store;
	int r;

	if (argc != 2)
		return 2;
	mount_add(MEDIUM_PATH, medium);
	medium_set_watch(medium, print_operation, NULL);
	r = store_open(argv[1], &store, &error);
	if (r == 0) {
		r = tell(store);
		store_close(store, r == 0);
	}
	if (r != 0)
		(void)fprintf(stderr, "%d: %s\n", r, error.text);
	mount_remove(medium);
	medium_free(medium);
	return r != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* One story told to one store on one medium. Every call is made through here: what the folder may hold if the power fails
 * during the call is worked out first, and the check (cuts.c, errors.c, damage.c) looks at the medium afterwards. */
#ifndef TESTS_FAULT_RUN_H
#define TESTS_FAULT_RUN_H

#include "ledger.h"
#include "medium.h"

#include "lockd/io/store.h"

#define RUN_PATH "/medium/story"
#define RUN_FOLDER RUN_PATH "/data"

enum { RUN_EXPECTED = 4, RUN_STEPS = 160 };

enum expectation_kind {
	EXPECT_LEDGER,    /* opens and holds it */
	EXPECT_HALF,      /* is refused as half recovered; holds it when the identity has been taken back */
	EXPECT_CONDEMNED, /* is refused as an old copy */
	EXPECT_DAMAGED,   /* is refused as damaged, and can be set aside */
};

struct expectation {
	enum expectation_kind kind;
	struct ledger ledger;
	bool created;           /* somebody has been told `uuid` … */
	struct node_uuid uuid;
	uint64_t boot_count;    /* … and this count; the next one is larger */
	struct store_past past; /* but for the reason */
};

struct run;
struct check {
	const char *name;
	/* After every call of the story, with its result. */
	void (*called)(struct run *run, int r);
	/* A call finds the disk full: true if it shall be made again. */
	bool (*finds_full)(struct run *run);
	/* The story's own store has loaded something else than what was stored: true if that is admitted. */
	bool (*loads_other)(struct run *run, const struct ledger *loaded);
};

struct story {
	const char *name;
	void (*prelude)(struct run *run); /* what was before, told once and without faults; NULL: nothing */
	void (*tell)(struct run *run);
	bool large; /* takes so long that fewer points are looked at */
};

struct run {
	const struct story *story;
	const struct check *check;
	void *context; /* of the check */
	struct medium *medium;
	struct store *store; /* NULL: closed */
	struct store_error error;
	struct expectation now;                    /* acknowledged */
	struct expectation expected[RUN_EXPECTED]; /* by what the call under way may leave; the last one: all of it */
	size_t n_expected;
	struct ledger *past; /* after every step */
	uint8_t *logged;     /* steps that committed something to the log */
	size_t steps;
	const char *call;    /* under way */
	bool may_begin;      /* … of which a full disk may leave something behind */
	bool over;           /* the process has stopped */
	uint64_t reserve;    /* bytes to keep */
	uint64_t violations;
	char why[768]; /* of the first violation */
};

/* With the prelude told and the store closed as by kill -9: what other runs of the story begin with. */
void run_prepare(struct run *run, const struct story *story);
/* A run that begins there. */
void run_init(struct run *run, const struct run *prepared, const struct check *check, void *context);
void run_deinit(struct run *run);

__attribute__((format(printf, 2, 3))) void run_violation(struct run *run, const char *format, ...);
/* As kill -9 would: the store is gone, the medium stays as it is. */
void run_abandon(struct run *run);
/* What becomes of an expectation when the folder is set aside: a blank store in the place of the one there was. */
void expect_aside(struct expectation *expected);

/* ---- For stories ----------------------------------------------------------------------------------------------------- */

struct run_row {
	uint64_t id;
	uint8_t version; /* 0: delete */
};

void run_open(struct run *run);
void run_stop(struct run *run);  /* cleanly */
void run_crash(struct run *run); /* kill -9 */
void run_write(struct run *run, const struct node_save *saves, size_t n);
/* n more entries of a term, in a save of their own. */
void run_append(struct run *run, uint32_t group, size_t n, raft_term term);
void run_checkpoint(struct run *run, uint32_t group, raft_index index, uint8_t version, const struct run_row *rows,
                    size_t n);
/* A save that installs a snapshot of such rows. */
struct node_save run_installs(uint32_t group, raft_index base, raft_term term, uint8_t version,
                              const struct run_row *rows, size_t n);
/* n entries from `first` on. Borrowed until the story has used as many again. */
const struct node_entry *run_entries(uint32_t group, raft_index first, size_t n, raft_term term);
void run_idle(struct run *run);
void run_send_snapshot(struct run *run, uint32_t group);
void run_condemn(struct run *run);
/* A bit turns in the file, while nobody has it open: the folder is refused from then on. */
void run_turn_bit(struct run *run, const char *file, uint64_t offset);
void run_set_aside(struct run *run);
void run_give_up_reserve(struct run *run);
void run_refill_reserve(struct run *run);
raft_index run_last(const struct run *run, uint32_t group);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What an examination found, for people. */
#include "examination.h"

#include <stdarg.h>
#include <string.h>

/* The name of a row stands in a column of its own. */
__attribute__((format(printf, 3, 4))) static void row(FILE *out, const char *name, const char *format, ...) {
	va_list arguments;

	fprintf(out, "  %-14s ", name);
	va_start(arguments, format);
	vfprintf(out, format, arguments);
	va_end(arguments);
	fputc('\n', out);
}

static void row_uuid(FILE *out, const char *name, const struct node_uuid *uuid) {
	static const struct node_uuid zero;

	if (memcmp(uuid, &zero, sizeof zero) == 0) {
		row(out, name, "none");
		return;
	}
	fprintf(out, "  %-14s ", name);
	for (size_t i = 0; i < sizeof uuid->bytes; i++)
		fprintf(out, "%02x", uuid->bytes[i]);
	fputc('\n', out);
}

static unsigned long long number(uint64_t n) {
	return n;
}

/* ---- Superblock ---------------------------------------------------------------------------------------------------
 */

static void print_slots(const struct examination *examination, FILE *out) {
	for (int i = 0; i < 2; i++) {
		const struct superblock_slot *slot = &examination->superblock.slots[i];
		char name[16];

		(void)snprintf(name, sizeof name, "slot %d", i);
		if (slot->state == SUPERBLOCK_EMPTY)
			row(out, name, "never written");
		else if (slot->state == SUPERBLOCK_INVALID)
			row(out, name, "no valid checksum");
		else
			row(out, name, "generation %llu%s", number(slot->content.generation),
			    i == examination->newest_slot ? ", the one that counts" : "");
	}
}

static void print_hard(const struct superblock *content, FILE *out) {
	for (size_t i = 0; i < content->n_groups; i++) {
		const struct superblock_group *group = &content->groups[i];
		char name[24], vote[32] = "no vote";

		(void)snprintf(name, sizeof name, "group %u", group->group);
		if (group->vote)
			(void)snprintf(vote, sizeof vote, "voted for node %u", group->vote);
		row(out, name, "term %llu, %s, promise %u ms", number(group->term), vote, group->promise_ms);
	}
}

static void describe_sector(const struct superblock_sector *sector, char *ret, size_t bytes) {
	if (sector->state == SUPERBLOCK_EMPTY)
		(void)snprintf(ret, bytes, "never written");
	else if (sector->state == SUPERBLOCK_INVALID)
		(void)snprintf(ret, bytes, "no valid checksum");
	else
		(void)snprintf(ret, bytes, "entry %llu (generation %llu)", number(sector->mark.index),
			       number(sector->mark.generation));
}

static void print_marks(const struct superblock_view *view, FILE *out) {
	for (size_t i = 0; i < LIMIT_GROUPS_MAX; i++) {
		char name[24], first[64], second[64];

		if (view->sectors[i][0].state == SUPERBLOCK_EMPTY && view->sectors[i][1].state == SUPERBLOCK_EMPTY)
			continue;
		(void)snprintf(name, sizeof name, "watermark %zu", i);
		describe_sector(&view->sectors[i][0], first, sizeof first);
		describe_sector(&view->sectors[i][1], second, sizeof second);
		row(out, name, "%s; twin: %s", first, second);
	}
}

static void print_superblock(const struct examination *examination, FILE *out) {
	const struct superblock_view *view = &examination->superblock;
	const struct superblock *content;

	fprintf(out, "superblock\n");
	if (!examination->has_superblock) {
		row(out, "file", "missing");
		return;
	}
	row(out, "file", "%llu of %llu bytes", number(view->bytes), number(view->bytes_expected));
	print_slots(examination, out);
	if (examination->newest_slot >= 0) {
		content = &view->slots[examination->newest_slot].content;
		row_uuid(out, "store", &content->uuid);
		row_uuid(out, "cluster", &content->incarnation);
		row(out, "epoch", "%u", content->epoch);
		row(out, "starts", "%llu, the last one %s", number(content->boot_count),
		    content->clean ? "stopped cleanly" : "crashed or killed");
		print_hard(content, out);
	}
	print_marks(view, out);
}

/* ---- Databases ----------------------------------------------------------------------------------------------------
 */

static void print_database(const char *name, const struct examination_database *database, FILE *out) {
	const struct wal_facts *wal = &database->wal;

	fprintf(out, "\n%s\n", name);
	if (!database->exists)
		row(out, "file", "missing");
	else
		row(out, "file", "%llu bytes%s", number(database->bytes), database->open ? "" : ", cannot be used");
	if (wal->missing)
		row(out, "WAL", "missing");
	else if (wal->bad_header)
		row(out, "WAL", "%llu bytes, no valid header", number(wal->bytes));
	else
		row(out, "WAL", "%llu bytes: %llu frames, %llu of this round, %llu of them in %llu whole transactions",
		    number(wal->bytes), number(wal->frames), number(wal->current), number(wal->committed),
		    number(wal->commits));
}

static void print_log(const struct examination *examination, FILE *out) {
	print_database("raft.db", &examination->log, out);
	if (!examination->log.open)
		return;
	row_uuid(out, "store", &examination->log_identity.uuid);
	row(out, "starts", "%llu", number(examination->log_identity.boot_count));
	for (size_t i = 0; i < examination->n_log_groups; i++) {
		const struct logdb_group *group = &examination->log_groups[i];
		char name[24];

		(void)snprintf(name, sizeof name, "group %u", group->group);
		if (group->last.index == group->base.index)
			row(out, name, "no entries behind %llu", number(group->base.index));
		else
			row(out, name, "entries %llu to %llu, the last of term %llu", number(group->base.index + 1),
			    number(group->last.index), number(group->last.term));
	}
}

static void print_state(const struct examination *examination, FILE *out) {
	print_database("state.db", &examination->state, out);
	for (size_t i = 0; i < examination->n_state_groups; i++) {
		const struct statedb_group *group = &examination->state_groups[i];
		char name[24];

		(void)snprintf(name, sizeof name, "group %u", group->group);
		row(out, name, "checkpoint at %llu, %llu of %llu rows whole%s", number(group->index),
		    number(examination->state_rows[i]), number(group->rows),
		    group->install == STATEDB_SETTLED ? "" : ", its installation is not complete");
	}
}

/* ---- What it means ------------------------------------------------------------------------------------------------
 */

static void print_past(const struct examination *examination, FILE *out) {
	const struct store_past *past = &examination->past;

	if (past->n == 0)
		return;
	fprintf(out, "\nrepaired\n");
	row(out, "times", "%u", past->repairs);
	row_uuid(out, "in place of", &past->stores[0]);
	row(out, "because", "%s", past->reason);
}

static void print_findings(const struct examination *examination, bool damage, const char *title, FILE *out) {
	bool any = false;

	for (size_t i = 0; i < examination->n_findings; i++) {
		const struct examination_finding *finding = &examination->findings[i];

		if (finding->damage != damage)
			continue;
		if (!any)
			fprintf(out, "\n%s\n", title);
		any = true;
		row(out, finding->part, "%s", finding->sentence);
	}
	if (damage && examination->n_damages > examination->n_findings)
		row(out, "…", "%llu more", number(examination->n_damages - examination->n_findings));
}

static const char *role_of(const struct node_member *member) {
	if (member->roles & RAFT_ROLE_LEARNER)
		return "learner";
	return member->roles & RAFT_ROLE_VOTER ? "voter" : "voter, being removed";
}

static void print_content(const struct examination *examination, FILE *out) {
	if (!examination->loaded)
		return;
	fprintf(out, "\ncontent\n");
	row(out, "last entry", "%llu, in term %llu", number(examination->last), number(examination->term));
	row(out, "sessions", "%llu as of entry %llu", number(examination->sessions), number(examination->applied));
	row(out, "locks", "%llu", number(examination->locks));
	for (size_t i = 0; i < examination->n_members; i++) {
		const struct node_member *member = &examination->members[i].member;
		char name[16];

		(void)snprintf(name, sizeof name, "node %u", member->node);
		row(out, name, "%s, %s%s", role_of(member),
		    member->peer_address ? member->peer_address : "address not known",
		    examination->members[i].self ? ", this folder" : "");
	}
}

static void print_advice(const struct examination *examination, FILE *out) {
	static const char *const advice[] = {
		[EXAMINATION_STARTS] = "A node starts with it. There is nothing to do.\n",
		[EXAMINATION_BLANK] =
			"A node starts with it, and belongs to no cluster yet: it founds one with its peers, or "
			"waits to be added.\n",
		[EXAMINATION_SET_ASIDE] = "A node moves these files to a folder damaged-<n> within, starts empty, and "
					  "the others let it in\n"
					  "anew without anybody's help. One that knows no others, or has repair = no, "
					  "refuses the folder.\n"
					  "To do: start it. If no majority is whole, restore a backup, or run lockd "
					  "recover on the best folder\n"
					  "that is; see lockd(8).\n",
	};

	if (examination->verdict != EXAMINATION_REFUSED)
		fputs(advice[examination->verdict], out);
	else
		fprintf(out, "A node refuses it and changes nothing: %s.\n", examination->reason);
	if (examination->mark_of_old_copy)
		fprintf(out, "To do: put the latest folder back if it is still there, or start over as that sentence "
			     "says.\n");
}

void examination_print(const struct examination *examination, FILE *out) {
	fprintf(out, "%s: %s\n\n", examination->folder,
		examination->n_damages > 0                    ? "DAMAGED"
		: examination->verdict == EXAMINATION_REFUSED ? "REFUSED"
							      : "sound");
	print_superblock(examination, out);
	print_log(examination, out);
	print_state(examination, out);
	if (examination->reserve_bytes > 0)
		fprintf(out, "\nreserve\n  %-14s %llu bytes\n", "file", number(examination->reserve_bytes));
	print_past(examination, out);
	print_content(examination, out);
	print_findings(examination, false, "worth knowing", out);
	print_findings(examination, true, "damage", out);
	fprintf(out, "\n");
	print_advice(examination, out);
}

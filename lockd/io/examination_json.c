/* SPDX-License-Identifier: Apache-2.0 */
/* What an examination found, for programs. */
#include "examination.h"

#include <jansson.h>
#include <string.h>

static const char *const verdicts[] = {
	[EXAMINATION_STARTS] = "starts",
	[EXAMINATION_BLANK] = "starts-blank",
	[EXAMINATION_SET_ASIDE] = "set-aside",
	[EXAMINATION_REFUSED] = "refused",
};
static const char *const piece_states[] = {
	[SUPERBLOCK_EMPTY] = "empty", [SUPERBLOCK_INVALID] = "invalid", [SUPERBLOCK_VALID] = "valid"};

static json_t *number(uint64_t n) {
	return json_integer((json_int_t)n);
}

static json_t *hex(const struct node_uuid *uuid) {
	char text[2 * sizeof uuid->bytes + 1];

	for (size_t i = 0; i < sizeof uuid->bytes; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", uuid->bytes[i]);
	return json_string(text);
}

/* ---- Parts --------------------------------------------------------------------------------------------------------
 */

static json_t *slot_json(const struct superblock_slot *slot) {
	json_t *object = json_pack("{ss}", "state", piece_states[slot->state]);

	if (slot->state == SUPERBLOCK_VALID)
		(void)json_object_update_new(
			object, json_pack("{so so so so so sb}", "generation", number(slot->content.generation),
					  "store", hex(&slot->content.uuid), "cluster", hex(&slot->content.incarnation),
					  "epoch", number(slot->content.epoch), "starts",
					  number(slot->content.boot_count), "clean", slot->content.clean));
	return object;
}

static json_t *sector_json(const struct superblock_sector *sector) {
	json_t *object = json_pack("{ss}", "state", piece_states[sector->state]);

	if (sector->state == SUPERBLOCK_VALID)
		(void)json_object_update_new(object,
					     json_pack("{so so so so}", "group", number(sector->mark.group), "index",
						       number(sector->mark.index), "term", number(sector->mark.term),
						       "generation", number(sector->mark.generation)));
	return object;
}

static json_t *hard_json(const struct superblock *content) {
	json_t *array = json_array();

	for (size_t i = 0; i < content->n_groups; i++)
		(void)json_array_append_new(array, json_pack("{so so so so}", "group", number(content->groups[i].group),
							     "term", number(content->groups[i].term), "vote",
							     number(content->groups[i].vote), "promise_ms",
							     number(content->groups[i].promise_ms)));
	return array;
}

static json_t *superblock_json(const struct examination *examination) {
	const struct superblock_view *view = &examination->superblock;
	json_t *object, *marks;

	if (!examination->has_superblock)
		return json_null();
	object =
		json_pack("{so so s[oo]}", "bytes", number(view->bytes), "bytes_expected", number(view->bytes_expected),
			  "slots", slot_json(&view->slots[0]), slot_json(&view->slots[1]));
	if (examination->newest_slot >= 0)
		(void)json_object_set_new(object, "groups", hard_json(&view->slots[examination->newest_slot].content));
	marks = json_array();
	for (size_t i = 0; i < LIMIT_GROUPS_MAX; i++)
		if (view->sectors[i][0].state != SUPERBLOCK_EMPTY || view->sectors[i][1].state != SUPERBLOCK_EMPTY)
			(void)json_array_append_new(marks, json_pack("[oo]", sector_json(&view->sectors[i][0]),
								     sector_json(&view->sectors[i][1])));
	(void)json_object_set_new(object, "watermarks", marks);
	return object;
}

static json_t *database_json(const struct examination_database *database) {
	const struct wal_facts *wal = &database->wal;

	return json_pack("{sb sb so s{sb so sb so so so so so so}}", "exists", database->exists, "usable",
			 database->open, "bytes", number(database->bytes), "wal", "missing", wal->missing, "bytes",
			 number(wal->bytes), "bad_header", wal->bad_header, "frames", number(wal->frames), "current",
			 number(wal->current), "valid", number(wal->valid), "committed", number(wal->committed),
			 "commits", number(wal->commits), "damaged_frame", number(wal->damaged));
}

static json_t *log_json(const struct examination *examination) {
	json_t *object = database_json(&examination->log), *groups = json_array();

	for (size_t i = 0; i < examination->n_log_groups; i++) {
		const struct logdb_group *group = &examination->log_groups[i];

		(void)json_array_append_new(groups, json_pack("{so so so so so}", "group", number(group->group), "base",
							      number(group->base.index), "last",
							      number(group->last.index), "last_term",
							      number(group->last.term), "term", number(group->term)));
	}
	(void)json_object_set_new(object, "groups", groups);
	return object;
}

static json_t *state_json(const struct examination *examination) {
	json_t *object = database_json(&examination->state), *groups = json_array();

	for (size_t i = 0; i < examination->n_state_groups; i++) {
		const struct statedb_group *group = &examination->state_groups[i];

		(void)json_array_append_new(groups,
					    json_pack("{so so so so sb}", "group", number(group->group), "index",
						      number(group->index), "rows", number(group->rows), "rows_whole",
						      number(examination->state_rows[i]), "installing",
						      group->install != STATEDB_SETTLED));
	}
	(void)json_object_set_new(object, "groups", groups);
	return object;
}

/* ---- The whole ----------------------------------------------------------------------------------------------------
 */

static json_t *findings_json(const struct examination *examination) {
	json_t *array = json_array();

	for (size_t i = 0; i < examination->n_findings; i++)
		(void)json_array_append_new(array, json_pack("{sb ss ss}", "damage", examination->findings[i].damage,
							     "part", examination->findings[i].part, "text",
							     examination->findings[i].sentence));
	return array;
}

static json_t *content_json(const struct examination *examination) {
	json_t *members;

	if (!examination->loaded)
		return json_null();
	members = json_array();
	for (size_t i = 0; i < examination->n_members; i++) {
		const struct node_member *member = &examination->members[i].member;

		(void)json_array_append_new(
			members, json_pack("{so so ss? sb}", "node", number(member->node), "store", hex(&member->store),
					   "peer_address", member->peer_address, "self", examination->members[i].self));
	}
	return json_pack("{so so so so so so so}", "node", number(examination->node), "term", number(examination->term),
			 "last", number(examination->last), "applied", number(examination->applied), "sessions",
			 number(examination->sessions), "locks", number(examination->locks), "members", members);
}

static json_t *past_json(const struct store_past *past) {
	return past->n == 0 ? json_null()
			    : json_pack("{so so ss}", "repairs", number(past->repairs), "store", hex(&past->stores[0]),
					"reason", past->reason);
}

int examination_print_json(const struct examination *examination, FILE *out) {
	json_t *object = json_pack("{ss sb ss ss so so so so so so so so}", "folder", examination->folder, "damaged",
				   examination->n_damages > 0, "verdict", verdicts[examination->verdict], "reason",
				   examination->reason, "damages", number(examination->n_damages), "superblock",
				   superblock_json(examination), "raft_db", log_json(examination), "state_db",
				   state_json(examination), "past", past_json(&examination->past), "reserve_bytes",
				   number(examination->reserve_bytes), "content", content_json(examination), "findings",
				   findings_json(examination));
	int r = object ? json_dumpf(object, out, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : -1;

	json_decref(object);
	fputc('\n', out);
	return r < 0 || fflush(out) != 0 ? -1 : 0;
}

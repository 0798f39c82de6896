/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include "api/bytes.h"
#include "api/command.pb-c.h"
#include "api/record.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { CLUSTER_ROUNDS_MAX = 10000, CLUSTER_EPOCH = 7 };

static const struct node_uuid cluster_incarnation = {.bytes = "incarnation-0001"};

static const struct node_address cluster_addresses[CLUSTER_NODES_MAX] = {
	{.node = 1, .peer_address = "p1:1", .client_address = "c1:1"},
	{.node = 2, .peer_address = "p2:1", .client_address = "c2:1"},
	{.node = 3, .peer_address = "p3:1", .client_address = "c3:1"},
	{.node = 4, .peer_address = "p4:1", .client_address = "c4:1"},
	{.node = 5, .peer_address = "p5:1", .client_address = "c5:1"},
	{.node = 6, .peer_address = "p6:1", .client_address = "c6:1"},
};

void raft_panic(const char *file, int line, const char *what) {
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

static void *copy(const void *from, size_t n) {
	void *to = malloc(n ? n : 1);

	assert_non_null(to);
	if (n > 0)
		memcpy(to, from, n);
	return to;
}

static void *grow(void *items, size_t n, size_t item) {
	items = realloc(items, n * item);
	assert_non_null(items);
	return items;
}

struct cluster_node *cluster_node(struct cluster *cluster, uint32_t id) {
	return &cluster->nodes[id - 1];
}

/* ---- Disk ---------------------------------------------------------------------------------------------------------
 */

static void disk_drop_entries(struct cluster_disk *disk, size_t from) {
	while (disk->n_entries > from)
		free((void *)disk->entries[--disk->n_entries].data);
}

static void disk_trim(struct cluster_disk *disk, raft_index to, raft_term term) {
	size_t n = (size_t)(to - disk->base);

	for (size_t i = 0; i < n; i++)
		free((void *)disk->entries[i].data);
	memmove(disk->entries, disk->entries + n, (disk->n_entries - n) * sizeof *disk->entries);
	disk->n_entries -= n;
	disk->base = to;
	disk->base_term = term;
}

static void disk_drop_rows(struct cluster_disk *disk) {
	for (size_t i = 0; i < disk->n_rows; i++)
		free(disk->rows[i].bytes);
	disk->n_rows = 0;
}

static void disk_put_row(struct cluster_disk *disk, uint64_t id, const uint8_t *bytes, size_t n) {
	size_t i = 0;

	while (i < disk->n_rows && disk->rows[i].id < id)
		i++;
	if (i < disk->n_rows && disk->rows[i].id == id) {
		free(disk->rows[i].bytes);
		memmove(&disk->rows[i], &disk->rows[i + 1], (disk->n_rows - i - 1) * sizeof *disk->rows);
		disk->n_rows--;
	}
	if (!bytes)
		return;
	disk->rows = grow(disk->rows, disk->n_rows + 1, sizeof *disk->rows);
	memmove(&disk->rows[i + 1], &disk->rows[i], (disk->n_rows - i) * sizeof *disk->rows);
	disk->rows[i] = (struct cluster_row){.id = id, .bytes = copy(bytes, n), .n = n};
	disk->n_rows++;
}

static void disk_put_header(struct cluster_disk *disk, const uint8_t *header, size_t n) {
	free(disk->header);
	disk->header = copy(header, n);
	disk->header_bytes = n;
}

static void disk_install(struct cluster_disk *disk, const struct node_save *save) {
	disk_drop_rows(disk);
	for (size_t i = 0; i < save->n_rows; i++)
		disk_put_row(disk, save->row_ids[i], save->rows[i].bytes, save->rows[i].n);
	disk_put_header(disk, save->header, save->header_bytes);
	if (save->keep_suffix) {
		if (save->base > disk->base)
			disk_trim(disk, save->base, save->base_term);
		return;
	}
	disk_drop_entries(disk, 0);
	disk->base = save->base;
	disk->base_term = save->base_term;
}

static void disk_append(struct cluster_disk *disk, const struct node_entry *entry) {
	assert_int_equal(entry->index, disk->base + disk->n_entries + 1);
	disk->entries = grow(disk->entries, disk->n_entries + 1, sizeof *disk->entries);
	disk->entries[disk->n_entries] = *entry;
	disk->entries[disk->n_entries++].data = copy(entry->data, entry->n);
}

static void disk_write(struct cluster_disk *disk, const struct node_save *save) {
	if (save->identity) {
		disk->identity = true;
		disk->incarnation = save->incarnation;
		disk->epoch = save->epoch;
	}
	if (save->hard)
		disk->hard = (struct node_hard){CLUSTER_GROUP, save->term, save->vote, save->promise_ms};
	if (save->truncate_from > 0)
		disk_drop_entries(disk, (size_t)(save->truncate_from - disk->base - 1));
	for (size_t i = 0; i < save->n_entries; i++)
		disk_append(disk, &save->entries[i]);
	if (save->install)
		disk_install(disk, save);
	if (save->trim_to > disk->base)
		disk_trim(disk, save->trim_to, save->trim_term);
}

static uint8_t *alter_record(const struct cluster_row *row, size_t *ret_n) {
	Record__Record *record = record__record__unpack(NULL, row->n, row->bytes);
	uint8_t *bytes;

	assert_non_null(record);
	assert_int_equal(record->row_case, RECORD__RECORD__ROW_SESSION);
	record->session->pid++;
	*ret_n = record__record__get_packed_size(record);
	bytes = malloc(*ret_n);
	assert_non_null(bytes);
	(void)record__record__pack(record, bytes);
	record__record__free_unpacked(record, NULL);
	return bytes;
}

/* The state hash is the sum of XXH3-128 over the records. */
static void disk_put_hash(struct cluster_disk *disk) {
	Record__Header *header = record__header__unpack(NULL, disk->header_bytes, disk->header);
	uint64_t low = 0, high = 0;
	uint8_t packed[4096];

	assert_non_null(header);
	for (size_t i = 0; i < disk->n_rows; i++) {
		XXH128_hash_t hash = XXH3_128bits(disk->rows[i].bytes, disk->rows[i].n);

		low += hash.low64;
		high += hash.high64 + (low < hash.low64);
	}
	bytes_put_u64(header->hash.data, low);
	bytes_put_u64(header->hash.data + 8, high);
	assert_in_range(record__header__get_packed_size(header), 1, sizeof packed);
	disk_put_header(disk, packed, record__header__pack(header, packed));
	record__header__free_unpacked(header, NULL);
}

void cluster_corrupt(struct cluster *cluster, uint32_t node) {
	struct cluster_disk *disk = &cluster_node(cluster, node)->disk;
	size_t i = 0, n;
	uint8_t *altered;

	assert_null(cluster_node(cluster, node)->node);
	while (i < disk->n_rows && disk->rows[i].id >> 40 != STATE_SESSION)
		i++;
	assert_in_range(i, 0, disk->n_rows - 1);
	altered = alter_record(&disk->rows[i], &n);
	disk_put_row(disk, disk->rows[i].id, altered, n);
	free(altered);
	disk_put_hash(disk);
}

static void disk_deinit(struct cluster_disk *disk) {
	disk_drop_entries(disk, 0);
	disk_drop_rows(disk);
	free(disk->entries);
	free(disk->rows);
	free(disk->header);
}

static void disk_load(const struct cluster_disk *disk, struct node *node) {
	if (!disk->identity)
		return;
	assert_int_equal(node_restore_identity(node, &disk->incarnation, disk->epoch), 0);
	assert_int_equal(node_restore_hard(node, &disk->hard), 0);
	if (disk->header)
		assert_int_equal(node_restore_header(node, CLUSTER_GROUP, disk->header, disk->header_bytes), 0);
	for (size_t i = 0; i < disk->n_rows; i++)
		assert_int_equal(
			node_restore_row(node, CLUSTER_GROUP, disk->rows[i].id, disk->rows[i].bytes, disk->rows[i].n),
			0);
	assert_int_equal(node_restore_base(node, CLUSTER_GROUP, disk->base, disk->base_term), 0);
	for (size_t i = 0; i < disk->n_entries; i++)
		assert_int_equal(node_restore_entry(node, CLUSTER_GROUP, &disk->entries[i]), 0);
}

/* ---- Saves on their way -------------------------------------------------------------------------------------------
 */

static void save_push(struct cluster_node *at, const struct node_save *save) {
	struct cluster_save *kept;
	struct node_entry *entries = copy(save->entries, save->n_entries * sizeof *entries);

	at->saves = grow(at->saves, at->n_saves + 1, sizeof *at->saves);
	kept = &at->saves[at->n_saves++];
	kept->save = *save;
	for (size_t i = 0; i < save->n_entries; i++)
		entries[i].data = copy(save->entries[i].data, save->entries[i].n);
	kept->save.entries = entries;
}

static void save_deinit(struct cluster_save *kept) {
	for (size_t i = 0; i < kept->save.n_entries; i++)
		free((void *)kept->save.entries[i].data);
	free((void *)kept->save.entries);
}

static void saves_drop(struct cluster_node *at) {
	for (size_t i = 0; i < at->n_saves; i++)
		save_deinit(&at->saves[i]);
	at->n_saves = 0;
}

static bool saves_write(struct cluster *cluster, struct cluster_node *at) {
	struct node_event saved = {.kind = NODE_SAVED, .group = CLUSTER_GROUP};

	if (at->n_saves == 0 || at->hold_saves)
		return false;
	for (size_t i = 0; i < at->n_saves; i++) {
		disk_write(&at->disk, &at->saves[i].save);
		saved.seq = at->saves[i].save.seq;
	}
	saves_drop(at);
	cluster_post(cluster, at->id, &saved);
	return true;
}

/* ---- Life ---------------------------------------------------------------------------------------------------------
 */

static void store_of(const struct cluster_node *at, struct node_uuid *ret) {
	memset(ret->bytes, (int)at->id, sizeof ret->bytes);
	ret->bytes[0] = (uint8_t)(at->id + at->wipes);
}

static void node_make(struct cluster *cluster, struct cluster_node *at) {
	struct node_config config = cluster->config;
	struct raft_clocks clocks = {.mono = cluster->now, .boot = cluster->now + at->suspended};

	config.node = at->id;
	store_of(at, &config.store);
	config.seed = at->id;
	config.past_incarnation = at->past_incarnation;
	config.repairs = (uint32_t)at->n_past;
	config.damage = at->n_past > 0 ? "a row of the log is missing" : NULL;
	if (at->machine_version_max > 0)
		config.machine_version_max = at->machine_version_max;
	assert_int_equal(node_new(&config, &at->node), 0);
	disk_load(&at->disk, at->node);
	if (node_start(at->node, &clocks) != 0)
		fail_msg("%s", node_error(at->node));
	at->deadline = cluster->now;
}

void cluster_init_spare(struct cluster *cluster, size_t founders, size_t n, const struct node_config *config) {
	*cluster = (struct cluster){
		.now = 1000000000, .n = n, .founders = founders, .epoch = CLUSTER_EPOCH, .config = *config};
	if (config->timing.heartbeat == 0)
		cluster->config.timing = (struct raft_timing){.heartbeat = 50 * CLUSTER_MS,
							      .election_min = 400 * CLUSTER_MS,
							      .election_max = 800 * CLUSTER_MS,
							      .check_quorum = 400 * CLUSTER_MS,
							      .stagger = 10 * CLUSTER_MS};
	cluster->config.addresses = cluster_addresses;
	cluster->config.n_addresses = founders;
	cluster->config.version = "test";
	for (size_t i = 0; i < n; i++) {
		cluster->nodes[i].id = (uint32_t)i + 1;
		node_make(cluster, &cluster->nodes[i]);
	}
}

void cluster_init_with(struct cluster *cluster, size_t n, const struct node_config *config) {
	cluster_init_spare(cluster, n, n, config);
}

void cluster_init(struct cluster *cluster, size_t n) {
	struct node_config config = {0};

	cluster_init_with(cluster, n, &config);
}

static void event_drop(struct cluster_event *event) {
	free((void *)event->event.met);
	free((void *)event->event.backup);
	free(event->body);
}

static void inbox_drop(struct cluster_node *at) {
	for (size_t i = 0; i < at->n_inbox; i++)
		event_drop(&at->inbox[i]);
	at->n_inbox = 0;
}

static void drop_backup(struct cluster_backup *backup) {
	free(backup->header);
	free(backup->run);
	*backup = (struct cluster_backup){0};
}

static void drop_backups(struct cluster_node *at) {
	at->n_held_backups = 0;
	for (size_t i = 0; i < CLUSTER_BACKUPS_MAX; i++)
		drop_backup(&at->backups[i]);
}

static void staged_drop(struct cluster *cluster) {
	for (size_t i = 0; i < cluster->n_staged; i++)
		free((void *)cluster->staged[i].bytes);
	cluster->n_staged = 0;
	free((void *)cluster->staged);
	free(cluster->staged_header);
	cluster->staged = NULL;
	cluster->staged_header = NULL;
}

void cluster_deinit(struct cluster *cluster) {
	for (size_t i = 0; i < cluster->n; i++) {
		struct cluster_node *at = &cluster->nodes[i];

		at->node = node_free(at->node);
		inbox_drop(at);
		saves_drop(at);
		drop_backups(at);
		free(at->inbox);
		free(at->saves);
	}
	staged_drop(cluster);
	for (size_t i = 0; i < cluster->n; i++)
		disk_deinit(&cluster->nodes[i].disk);
	for (size_t i = 0; i < cluster->n_frames; i++)
		free(cluster->frames[i].body);
	free(cluster->frames);
}

/* Whatever was in its memory is gone. */
static void crash(struct cluster *cluster, struct cluster_node *at) {
	at->node = node_free(at->node);
	at->checkpoint = NULL;
	drop_backups(at);
	inbox_drop(at);
	saves_drop(at);
	if (cluster->staged_for == at->id)
		staged_drop(cluster);
}

void cluster_stop(struct cluster *cluster, uint32_t node) {
	struct cluster_node *at = cluster_node(cluster, node);

	crash(cluster, at);
	for (size_t i = 0; i < cluster->n; i++) {
		if (cluster->nodes[i].node)
			cluster_post(cluster, cluster->nodes[i].id,
				     &(struct node_event){.kind = NODE_PEER_DOWN, .peer = node});
	}
}

void cluster_restart(struct cluster *cluster, uint32_t node) {
	struct cluster_node *at = cluster_node(cluster, node);

	crash(cluster, at);
	node_make(cluster, at);
}

void cluster_wipe(struct cluster *cluster, uint32_t node) {
	struct cluster_node *at = cluster_node(cluster, node);

	cluster_stop(cluster, node);
	disk_deinit(&at->disk);
	at->disk = (struct cluster_disk){0};
	at->wipes += 16;
	node_make(cluster, at);
}

void cluster_damage(struct cluster *cluster, uint32_t node) {
	struct cluster_node *at = cluster_node(cluster, node);

	if (at->disk.identity)
		at->past_incarnation = at->disk.incarnation;
	memmove(at->past + 1, at->past, sizeof at->past - sizeof *at->past);
	store_of(at, &at->past[0]);
	at->n_past += at->n_past < LIMIT_PAST_STORES_MAX;
	at->calling = true;
	cluster_wipe(cluster, node);
}

int cluster_recover(struct cluster *cluster, uint32_t node, const struct node_recovery *recovery, char *error,
		    size_t error_bytes) {
	struct cluster_node *at = cluster_node(cluster, node);
	struct node_config config = cluster->config;
	const struct node_save *save;
	int r;

	cluster_stop(cluster, node);
	config.node = node;
	store_of(at, &config.store);
	assert_int_equal(node_new(&config, &at->node), 0);
	disk_load(&at->disk, at->node);
	r = node_recover(at->node, recovery, &save);
	if (r == 0)
		disk_write(&at->disk, save);
	else
		snprintf(error, error_bytes, "%s", node_error(at->node));
	at->node = node_free(at->node);
	return r;
}

/* ---- Steps --------------------------------------------------------------------------------------------------------
 */

void cluster_post(struct cluster *cluster, uint32_t node, const struct node_event *event) {
	struct cluster_node *at = cluster_node(cluster, node);
	struct cluster_event *kept;

	if (!at->node)
		return;
	at->inbox = grow(at->inbox, at->n_inbox + 1, sizeof *at->inbox);
	kept = &at->inbox[at->n_inbox++];
	kept->event = *event;
	kept->body = copy(event->body, event->body_bytes);
	if (event->met)
		kept->event.met = copy(event->met, sizeof *event->met);
	if (event->backup)
		kept->event.backup = copy(event->backup, sizeof *event->backup);
}

static void carry_peer_frame(struct cluster *cluster, struct cluster_node *from, const struct node_peer_frame *frame) {
	struct node_event event = {.kind = NODE_PEER_FRAME,
				   .peer = from->id,
				   .type = frame->type,
				   .body = frame->body,
				   .body_bytes = frame->body_bytes};

	store_of(from, &event.store);
	assert_in_range(frame->peer, 1, cluster->n);
	if (!from->cut && !cluster_node(cluster, frame->peer)->cut)
		cluster_post(cluster, frame->peer, &event);
}

static void keep_client_frame(struct cluster *cluster, uint32_t node, const struct node_client_frame *frame) {
	cluster->frames = grow(cluster->frames, cluster->n_frames + 1, sizeof *cluster->frames);
	cluster->frames[cluster->n_frames++] = (struct cluster_frame){.node = node,
								      .connection = frame->connection,
								      .type = frame->type,
								      .id = frame->id,
								      .body = copy(frame->body, frame->body_bytes),
								      .n = frame->body_bytes,
								      .close = frame->close};
}

static void write_checkpoint(struct cluster *cluster, struct cluster_node *at, const struct node_checkpoint *out) {
	struct node_event event = {.kind = NODE_CHECKPOINTED, .group = out->group, .ok = !at->full};

	for (size_t i = 0; i < out->n_rows; i++)
		free(copy(out->rows[i].bytes, out->rows[i].bytes ? out->rows[i].n : 0));
	if (!at->full) {
		for (size_t i = 0; i < out->n_rows; i++)
			disk_put_row(&at->disk, out->row_ids[i], out->rows[i].bytes, out->rows[i].n);
		disk_put_header(&at->disk, out->header, out->header_bytes);
	}
	cluster_post(cluster, at->id, &event);
}

void cluster_end_checkpoint(struct cluster *cluster, uint32_t node) {
	struct cluster_node *at = cluster_node(cluster, node);

	write_checkpoint(cluster, at, at->checkpoint);
	at->checkpoint = NULL;
}

raft_index cluster_header_index(const struct cluster_disk *disk) {
	Record__Header *header;
	raft_index index;

	if (!disk->header)
		return 0;
	header = record__header__unpack(NULL, disk->header_bytes, disk->header);
	assert_non_null(header);
	index = header->index;
	record__header__free_unpacked(header, NULL);
	return index;
}

static void carry_snapshot(struct cluster *cluster, struct cluster_node *from, const struct node_snapshot *snapshot) {
	const struct cluster_disk *disk = &from->disk;
	struct cluster_node *to = cluster_node(cluster, snapshot->peer);
	struct node_event sent = {.kind = NODE_SNAPSHOT_SENT,
				  .group = snapshot->group,
				  .peer = snapshot->peer,
				  .index = cluster_header_index(disk)};

	from->snapshots++;
	sent.ok = to->node && !to->cut && !from->cut && !cluster->staged;
	if (sent.ok) {
		cluster->staged_header = copy(disk->header, disk->header_bytes);
		cluster->staged = calloc(disk->n_rows + 1, sizeof *cluster->staged);
		for (size_t i = 0; i < disk->n_rows; i++)
			cluster->staged[i] =
				(struct node_bytes){copy(disk->rows[i].bytes, disk->rows[i].n), disk->rows[i].n};
		cluster->n_staged = disk->n_rows;
		cluster->staged_for = to->id;
		cluster_post(cluster, to->id,
			     &(struct node_event){.kind = NODE_SNAPSHOT_STAGED,
						  .peer = from->id,
						  .group = snapshot->group,
						  .term = snapshot->term,
						  .header = cluster->staged_header,
						  .header_bytes = disk->header_bytes,
						  .rows = cluster->staged,
						  .n_rows = disk->n_rows});
	}
	cluster_post(cluster, from->id, &sent);
}

/* What a driver does with its files: a cut is a copy, whatever becomes of the checkpoint. */
static void cut_backup(struct cluster_node *at, struct node_backup_report *report, struct cluster_backup *backup) {
	const struct cluster_disk *disk = &at->disk;

	report->index = cluster_header_index(disk);
	backup->header = copy(disk->header, disk->header_bytes);
	report->header = backup->header;
	report->header_bytes = disk->header_bytes;
	report->rows = disk->n_rows;
	for (size_t i = 0; i < disk->n_rows; i++) {
		size_t n = disk->rows[i].n;

		backup->run = grow(backup->run, backup->n + 4 + n, 1);
		bytes_put_u32(backup->run + backup->n, (uint32_t)n);
		memcpy(backup->run + backup->n + 4, disk->rows[i].bytes, n);
		backup->n += 4 + n;
	}
	report->bytes = at->backup_bytes ? at->backup_bytes : backup->n;
	memset(report->digest, 0xd1, sizeof report->digest);
}

static void report_backup(struct cluster *cluster, struct cluster_node *at, const struct node_backup *out) {
	struct cluster_backup *backup = &at->backups[out->number % CLUSTER_BACKUPS_MAX];
	struct node_backup_report report = {.number = out->number, .result = at->backup_result};
	bool ok = at->backup_result == NODE_BACKUP_OK;

	if (out->kind == NODE_BACKUP_CUT && ok) {
		assert_int_equal(backup->number, 0);
		backup->number = out->number;
		cut_backup(at, &report, backup);
	} else if (out->kind == NODE_BACKUP_READ && ok) {
		assert_int_equal(backup->number, out->number);
		assert_true(out->offset + out->n <= backup->n);
		report.data = backup->run + out->offset;
		report.n = out->n;
	}
	cluster_post(cluster, at->id, &(struct node_event){.kind = NODE_BACKUP_DONE, .backup = &report});
}

void cluster_end_backup(struct cluster *cluster, uint32_t node) {
	struct cluster_node *at = cluster_node(cluster, node);
	size_t n = at->n_held_backups;

	at->n_held_backups = 0;
	for (size_t i = 0; i < n; i++)
		report_backup(cluster, at, &at->held_backups[i]);
}

static void carry_out_backup(struct cluster *cluster, struct cluster_node *at, const struct node_backup *out) {
	if (out->kind == NODE_BACKUP_DROP) {
		assert_int_equal(at->backups[out->number % CLUSTER_BACKUPS_MAX].number, out->number);
		drop_backup(&at->backups[out->number % CLUSTER_BACKUPS_MAX]);
		at->backups_dropped++;
		return;
	}
	at->backups_cut += out->kind == NODE_BACKUP_CUT;
	assert_in_range(at->n_held_backups, 0, CLUSTER_BACKUPS_MAX - 1);
	at->held_backups[at->n_held_backups++] = *out;
	if (!at->hold_backups)
		cluster_end_backup(cluster, at->id);
}

static void keep_traces(struct cluster_node *at, const struct node_effects *effects) {
	for (size_t i = 0; i < effects->n_traces; i++) {
		size_t used = strlen(at->traces);

		snprintf(at->traces + used, sizeof at->traces - used, "%s\n", effects->traces[i].text);
	}
}

static void measure_turn(struct cluster_node *at, const struct node_effects *effects) {
	size_t bytes = 0;

	for (size_t i = 0; i < effects->n_client_frames; i++)
		bytes += effects->client_frames[i].body_bytes;
	if (bytes > at->turn_bytes_max)
		at->turn_bytes_max = bytes;
	if (effects->n_client_frames > at->turn_frames_max)
		at->turn_frames_max = effects->n_client_frames;
}

static void carry_out(struct cluster *cluster, struct cluster_node *at, const struct node_effects *effects) {
	measure_turn(at, effects);
	for (size_t i = 0; i < effects->n_saves; i++)
		save_push(at, &effects->saves[i]);
	for (size_t i = 0; i < effects->n_peer_frames; i++)
		carry_peer_frame(cluster, at, &effects->peer_frames[i]);
	for (size_t i = 0; i < effects->n_client_frames; i++)
		keep_client_frame(cluster, at->id, &effects->client_frames[i]);
	if (effects->checkpoint) {
		assert_null(at->checkpoint);
		at->checkpoints++;
		at->checkpoint = effects->checkpoint;
		if (!at->hold_checkpoints)
			cluster_end_checkpoint(cluster, at->id);
	}
	for (size_t i = 0; i < effects->n_snapshots; i++)
		carry_snapshot(cluster, at, &effects->snapshots[i]);
	for (size_t i = 0; i < effects->n_backups; i++)
		carry_out_backup(cluster, at, &effects->backups[i]);
	if (effects->staged_done)
		staged_drop(cluster);
	keep_traces(at, effects);
	at->deadline = effects->deadline;
	at->stopped = at->stopped || effects->stopped;
	at->members_changed = at->members_changed || effects->members_changed;
}

static bool step(struct cluster *cluster, struct cluster_node *at) {
	struct raft_clocks clocks = {.mono = cluster->now, .boot = cluster->now + at->suspended};
	struct cluster_event *inbox = at->inbox;
	size_t n = at->n_inbox;
	struct node_event *events;
	struct node_effects effects;

	if (!at->node || at->paused || (n == 0 && at->deadline > cluster->now))
		return false;
	events = calloc(n + 1, sizeof *events);
	for (size_t i = 0; i < n; i++) {
		events[i] = inbox[i].event;
		events[i].body = inbox[i].body;
	}
	at->inbox = NULL;
	at->n_inbox = 0;
	node_step(at->node, &clocks, events, n, &effects);
	if (effects.fatal && !at->may_fail)
		fail_msg("node %u: %s", at->id, effects.fatal);
	if (effects.fatal) {
		snprintf(at->fatal, sizeof at->fatal, "%s", effects.fatal);
		cluster_stop(cluster, at->id);
	} else {
		raft_check(node_raft(at->node, CLUSTER_GROUP));
		carry_out(cluster, at, &effects);
	}
	for (size_t i = 0; i < n; i++)
		event_drop(&inbox[i]);
	free(inbox);
	free(events);
	return true;
}

/* What a driver makes of a blank node's HELLO. */
static void meet(struct cluster *cluster, struct cluster_node *blank, struct cluster_node *at) {
	struct node_met met = {.node = blank->id,
			       .peer_address = cluster_addresses[blank->id - 1].peer_address,
			       .client_address = cluster_addresses[blank->id - 1].client_address,
			       .replaces = blank->past,
			       .n_replaces = blank->n_past};
	struct node_bytes body;

	if (!at->node || at->cut || blank->cut || node_is_blank(at->node))
		return;
	store_of(blank, &met.store);
	if (node_found_body(at->node, blank->id, &met.store, &body) == 0)
		cluster_post(cluster, blank->id,
			     &(struct node_event){.kind = NODE_PEER_FRAME,
						  .peer = at->id,
						  .type = FRAME_PEER_FOUND,
						  .body = body.bytes,
						  .body_bytes = body.n});
	else
		cluster_post(cluster, at->id, &(struct node_event){.kind = NODE_PEER_MET, .met = &met});
}

static void dial(struct cluster *cluster) {
	for (size_t i = 0; i < cluster->n; i++) {
		struct cluster_node *blank = &cluster->nodes[i];

		if (!blank->node || !blank->calling || !node_is_blank(blank->node))
			continue;
		for (size_t j = 0; j < cluster->n; j++)
			meet(cluster, blank, &cluster->nodes[j]);
	}
}

void cluster_settle(struct cluster *cluster) {
	bool busy = true;

	dial(cluster);

	for (int round = 0; busy; round++) {
		assert_in_range(round, 0, CLUSTER_ROUNDS_MAX);
		busy = false;
		for (size_t i = 0; i < cluster->n; i++)
			busy = step(cluster, &cluster->nodes[i]) || busy;
		for (size_t i = 0; i < cluster->n; i++)
			busy = saves_write(cluster, &cluster->nodes[i]) || busy;
	}
}

void cluster_advance(struct cluster *cluster, raft_usec duration) {
	raft_usec end = cluster->now + duration;

	cluster_settle(cluster);
	while (cluster->now < end) {
		raft_usec next = end;

		for (size_t i = 0; i < cluster->n; i++) {
			const struct cluster_node *at = &cluster->nodes[i];

			if (at->node && !at->paused && at->deadline < next)
				next = at->deadline;
		}
		cluster->now = next;
		cluster_settle(cluster);
	}
}

uint32_t cluster_leader(struct cluster *cluster) {
	uint32_t leader = 0;
	raft_term term = 0;

	for (size_t i = 0; i < cluster->n; i++) {
		const struct cluster_node *at = &cluster->nodes[i];
		struct raft_status status;

		if (!at->node || at->cut)
			continue;
		raft_get_status(node_raft(at->node, CLUSTER_GROUP), &status);
		if (status.role == RAFT_LEADER && status.term > term) {
			leader = at->id;
			term = status.term;
		}
	}
	return leader;
}

uint32_t cluster_await_leader(struct cluster *cluster, uint32_t not_node) {
	for (int i = 0; i < 100; i++) {
		uint32_t leader = cluster_leader(cluster);

		if (leader != 0 && leader != not_node) {
			cluster_advance(cluster, 100 * CLUSTER_MS);
			return leader;
		}
		cluster_advance(cluster, 100 * CLUSTER_MS);
	}
	fail_msg("no leader within 10 s");
	return 0;
}

/* ---- Founding -----------------------------------------------------------------------------------------------------
 */

void cluster_post_found(struct cluster *cluster, uint32_t node) {
	Command__Configuration configuration = COMMAND__CONFIGURATION__INIT;
	Command__Member members[CLUSTER_NODES_MAX], *list[CLUSTER_NODES_MAX];
	uint8_t stores[CLUSTER_NODES_MAX][16], body[1024];
	struct node_event event = {.kind = NODE_FOUND, .incarnation = &cluster_incarnation, .epoch = CLUSTER_EPOCH};

	configuration.promise_ms = 200;
	configuration.drift_ppm = 100000;
	for (size_t i = 0; i < cluster->founders; i++) {
		command__member__init(&members[i]);
		memset(stores[i], (int)i + 1, sizeof stores[i]);
		members[i].node = (uint32_t)i + 1;
		members[i].store = (ProtobufCBinaryData){.len = sizeof stores[i], .data = stores[i]};
		members[i].roles = RAFT_ROLE_VOTER;
		list[i] = &members[i];
	}
	configuration.n_members = cluster->founders;
	configuration.members = list;
	event.body = body;
	event.body_bytes = command__configuration__pack(&configuration, body);
	cluster_post(cluster, node, &event);
}

void cluster_bring_in(struct cluster *cluster, uint32_t from, uint32_t to) {
	struct node_uuid store;
	struct node_bytes body;

	memset(store.bytes, (int)to, sizeof store.bytes);
	assert_int_equal(node_found_body(cluster_node(cluster, from)->node, to, &store, &body), 0);
	cluster_post(cluster, to,
		     &(struct node_event){.kind = NODE_PEER_FRAME,
					  .peer = from,
					  .type = FRAME_PEER_FOUND,
					  .body = body.bytes,
					  .body_bytes = body.n});
}

void cluster_found(struct cluster *cluster) {
	cluster_post_found(cluster, 1);
	cluster_settle(cluster);
	for (uint32_t to = 2; to <= cluster->founders; to++)
		cluster_bring_in(cluster, 1, to);
	(void)cluster_await_leader(cluster, 0);
}

/* ---- Clients ------------------------------------------------------------------------------------------------------
 */

ProtobufCBinaryData cluster_bytes(const char *text) {
	return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)text};
}

void cluster_send(struct cluster *cluster, uint32_t node, node_connection connection, uint8_t type, uint64_t id,
		  const void *body, size_t n) {
	cluster_post(cluster, node,
		     &(struct node_event){.kind = NODE_CLIENT_FRAME,
					  .connection = connection,
					  .type = type,
					  .id = id,
					  .body = body,
					  .body_bytes = n});
}

void cluster_hello(struct cluster *cluster, uint32_t node, node_connection connection) {
	Client__Hello hello = CLIENT__HELLO__INIT;
	uint8_t body[64];

	hello.protocol_min = 1;
	hello.protocol_max = 1;
	cluster_send(cluster, node, connection, FRAME_HELLO, 0, body, client__hello__pack(&hello, body));
	cluster_settle(cluster);
	assert_non_null(cluster_take(cluster, connection, FRAME_HELLO_REPLY, 0));
}

void cluster_request(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
		     const Client__Request *request) {
	size_t n = client__request__get_packed_size(request);
	uint8_t *body = malloc(n ? n : 1);

	client__request__pack(request, body);
	cluster_send(cluster, node, connection, FRAME_REQUEST, id, body, n);
	free(body);
}

struct cluster_frame *cluster_take(struct cluster *cluster, node_connection connection, uint8_t type, uint64_t id) {
	for (size_t i = 0; i < cluster->n_frames; i++) {
		struct cluster_frame *frame = &cluster->frames[i];

		if (!frame->taken && frame->connection == connection && frame->type == type && frame->id == id) {
			frame->taken = true;
			return frame;
		}
	}
	return NULL;
}

Client__Reply *cluster_take_reply(struct cluster *cluster, node_connection connection, uint64_t id) {
	struct cluster_frame *frame = cluster_take(cluster, connection, FRAME_REPLY, id);
	Client__Reply *reply;

	if (!frame)
		return NULL;
	reply = client__reply__unpack(NULL, frame->n, frame->body);
	assert_non_null(reply);
	return reply;
}

int cluster_take_status(struct cluster *cluster, node_connection connection, uint64_t id) {
	Client__Reply *reply = cluster_take_reply(cluster, connection, id);
	int status = reply ? (int)reply->status : -1;

	if (reply)
		client__reply__free_unpacked(reply, NULL);
	return status;
}

Client__HelloReply *cluster_take_news(struct cluster *cluster, node_connection connection, size_t *ret_n) {
	struct cluster_frame *frame, *last = NULL;

	*ret_n = 0;
	while ((frame = cluster_take(cluster, connection, FRAME_HELLO_REPLY, 0))) {
		last = frame;
		(*ret_n)++;
	}
	return last ? client__hello_reply__unpack(NULL, last->n, last->body) : NULL;
}

Client__Event *cluster_take_event(struct cluster *cluster, node_connection connection, uint64_t id) {
	struct cluster_frame *frame = cluster_take(cluster, connection, FRAME_EVENT, id);

	return frame ? client__event__unpack(NULL, frame->n, frame->body) : NULL;
}

void cluster_send_open(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
		       const char *nonce, uint32_t ttl_ms) {
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__Open open = CLIENT__OPEN__INIT;
	uint8_t bytes[16] = {0};

	memcpy(bytes, nonce, strlen(nonce));
	open.nonce = (ProtobufCBinaryData){.len = sizeof bytes, .data = bytes};
	open.ttl_ms = ttl_ms;
	open.owner = cluster_bytes("owner");
	request.body_case = CLIENT__REQUEST__BODY_OPEN;
	request.open = &open;
	cluster_request(cluster, node, connection, id, &request);
}

static Client__SessionId session_id(const struct cluster *cluster, uint64_t opened) {
	Client__SessionId id = CLIENT__SESSION_ID__INIT;

	id.epoch = cluster->epoch;
	id.group = CLUSTER_GROUP;
	id.opened = opened;
	return id;
}

void cluster_send_acquire(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
			  uint64_t opened, uint64_t sequence, const char *name, uint32_t wait_ms) {
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__Acquire acquire = CLIENT__ACQUIRE__INIT;
	Client__SessionId session = session_id(cluster, opened);

	acquire.name = cluster_bytes(name);
	acquire.wait_ms = wait_ms;
	acquire.value = cluster_bytes("value");
	request.session = &session;
	request.sequence = sequence;
	request.floor = 1;
	request.body_case = CLIENT__REQUEST__BODY_ACQUIRE;
	request.acquire = &acquire;
	cluster_request(cluster, node, connection, id, &request);
}

void cluster_send_release(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
			  uint64_t opened, uint64_t sequence, const char *name, uint64_t token) {
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__Release release = CLIENT__RELEASE__INIT;
	Client__SessionId session = session_id(cluster, opened);

	release.name = cluster_bytes(name);
	release.token = token;
	request.session = &session;
	request.sequence = sequence;
	request.floor = 1;
	request.body_case = CLIENT__REQUEST__BODY_RELEASE;
	request.release = &release;
	cluster_request(cluster, node, connection, id, &request);
}

void cluster_send_keep_alive(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
			     uint64_t opened) {
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__KeepAlive keep_alive = CLIENT__KEEP_ALIVE__INIT;
	Client__SessionId session = session_id(cluster, opened);

	keep_alive.epoch = session.epoch;
	keep_alive.group = session.group;
	keep_alive.n_sessions = 1;
	keep_alive.sessions = &opened;
	request.body_case = CLIENT__REQUEST__BODY_KEEP_ALIVE;
	request.keep_alive = &keep_alive;
	cluster_request(cluster, node, connection, id, &request);
}

void cluster_send_read(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
		       const char *name, Client__ReadLevel level, uint64_t at_least) {
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__Show show = CLIENT__SHOW__INIT;

	show.name = cluster_bytes(name);
	request.read_level = level;
	request.at_least = at_least;
	request.body_case = CLIENT__REQUEST__BODY_SHOW;
	request.show = &show;
	cluster_request(cluster, node, connection, id, &request);
}

void cluster_send_show(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
		       const char *name) {
	cluster_send_read(cluster, node, connection, id, name, CLIENT__READ_LEVEL__LINEARIZABLE, 0);
}

void cluster_send_backup(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
			 uint64_t number, uint64_t offset) {
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__Backup backup = CLIENT__BACKUP__INIT;

	backup.backup = number;
	backup.offset = offset;
	request.body_case = CLIENT__REQUEST__BODY_BACKUP;
	request.backup = &backup;
	cluster_request(cluster, node, connection, id, &request);
}

void cluster_send_observe(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
			  const char *name, uint64_t after) {
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__Observe observe = CLIENT__OBSERVE__INIT;

	observe.name = cluster_bytes(name);
	observe.after = after;
	request.body_case = CLIENT__REQUEST__BODY_OBSERVE;
	request.observe = &observe;
	cluster_request(cluster, node, connection, id, &request);
}

void cluster_send_change(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
			 const struct cluster_change *changes, size_t n) {
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__ChangeMembers change = CLIENT__CHANGE_MEMBERS__INIT;
	Client__MemberChange rows[RAFT_MEMBERS_MAX + 1], *list[RAFT_MEMBERS_MAX + 1];

	for (size_t i = 0; i < n; i++) {
		client__member_change__init(&rows[i]);
		rows[i].kind = changes[i].kind;
		rows[i].node = changes[i].node;
		rows[i].set_priority = changes[i].priority >= 0;
		rows[i].priority = changes[i].priority >= 0 ? (uint32_t)changes[i].priority : 0;
		list[i] = &rows[i];
	}
	change.n_changes = n;
	change.changes = list;
	request.body_case = CLIENT__REQUEST__BODY_CHANGE_MEMBERS;
	request.change_members = &change;
	cluster_request(cluster, node, connection, id, &request);
}

void cluster_send_transfer(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
			   uint32_t target) {
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__TransferLeader transfer = CLIENT__TRANSFER_LEADER__INIT;

	transfer.node = target;
	request.body_case = CLIENT__REQUEST__BODY_TRANSFER_LEADER;
	request.transfer_leader = &transfer;
	cluster_request(cluster, node, connection, id, &request);
}

enum { CLUSTER_ID_OPEN = 900001, CLUSTER_ID_ACQUIRE, CLUSTER_ID_STATUS };

Client__Reply *cluster_status(struct cluster *cluster, uint32_t node, node_connection connection) {
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__Status status = CLIENT__STATUS__INIT;
	Client__Reply *reply;

	request.body_case = CLIENT__REQUEST__BODY_STATUS;
	request.status = &status;
	cluster_request(cluster, node, connection, CLUSTER_ID_STATUS, &request);
	cluster_settle(cluster);
	reply = cluster_take_reply(cluster, connection, CLUSTER_ID_STATUS);
	assert_non_null(reply);
	assert_non_null(reply->node);
	return reply;
}

uint64_t cluster_open(struct cluster *cluster, uint32_t node, node_connection connection, const char *nonce,
		      uint32_t ttl_ms) {
	Client__Reply *reply;
	uint64_t opened;

	cluster_send_open(cluster, node, connection, CLUSTER_ID_OPEN, nonce, ttl_ms);
	cluster_settle(cluster);
	reply = cluster_take_reply(cluster, connection, CLUSTER_ID_OPEN);
	assert_non_null(reply);
	assert_int_equal(reply->status, LOCKD_OK);
	assert_non_null(reply->session);
	assert_int_equal(reply->session->epoch, cluster->epoch);
	assert_int_equal(reply->session->group, CLUSTER_GROUP);
	assert_int_equal(reply->ttl_ms, ttl_ms);
	opened = reply->session->opened;
	client__reply__free_unpacked(reply, NULL);
	return opened;
}

uint64_t cluster_acquire(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t opened,
			 uint64_t sequence, const char *name) {
	Client__Reply *reply;
	uint64_t token;

	cluster_send_acquire(cluster, node, connection, CLUSTER_ID_ACQUIRE, opened, sequence, name, 0);
	cluster_settle(cluster);
	reply = cluster_take_reply(cluster, connection, CLUSTER_ID_ACQUIRE);
	assert_non_null(reply);
	token = reply->status == LOCKD_OK ? reply->token : 0;
	client__reply__free_unpacked(reply, NULL);
	return token;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "boot.h"

#include "configuration.h"
#include "members.h"
#include "memory.h"
#include "replica.h"

#include <assert.h>
#include <errno.h>

enum {
	BOOT_TERM_RUNS = 4096,
	BOOT_SAVES = 256,
	BOOT_CONFIGURATIONS = 64,
};

struct boot *boot_new(void) {
	return memory_new(sizeof(struct boot));
}

struct boot *boot_free(struct boot *boot) {
	free(boot);
	return NULL;
}

#define BOOT_FAIL(node, ...) (snprintf((node)->error, sizeof(node)->error, __VA_ARGS__), -EBADMSG)

/* It has been read as it was written: not damage. */
#define BOOT_TOO_NEW(node, ...) (snprintf((node)->error, sizeof(node)->error, __VA_ARGS__), -ENOTSUP)

/* The group, or NULL with a sentence in node->error. */
static struct replica *boot_find(struct node *node, uint32_t group) {
	struct replica *replica = node_find_replica(node, group);

	if (!replica)
		(void)BOOT_TOO_NEW(node, "the store holds group %u, which this version does not know", group);
	return replica;
}

/* ---- Parts, in the order of the store -----------------------------------------------------------------------------
 */

int node_restore_identity(struct node *node, const struct node_uuid *incarnation, uint32_t epoch) {
	node->identified = true;
	node->incarnation = *incarnation;
	node->epoch = epoch;
	for (size_t i = 0; i < node->n_replicas; i++)
		replica_found_state(node->replicas[i]);
	return 0;
}

int node_restore_hard(struct node *node, const struct node_hard *hard) {
	struct replica *replica = boot_find(node, hard->group);

	if (!replica)
		return -ENOTSUP;
	replica->boot->hard = *hard;
	return 0;
}

int node_restore_header(struct node *node, uint32_t group, const void *header, size_t n) {
	struct replica *replica = boot_find(node, group);
	struct checkpoint_header *found;
	const char *fault;
	int r;

	if (!replica)
		return -ENOTSUP;
	found = &replica->boot->header;
	r = checkpoint_unpack_header(node, header, n, found, &fault);
	if (r == -ENOTSUP)
		return BOOT_TOO_NEW(node, "the checkpoint of group %u was made by a later version: %s", group, fault);
	if (r < 0)
		return BOOT_FAIL(node, "the checkpoint of group %u cannot be used: %s", group, fault);
	if (!node->identified || found->group != group || found->epoch != node->epoch ||
	    memcmp(found->incarnation.bytes, node->incarnation.bytes, sizeof node->incarnation.bytes) != 0)
		return BOOT_FAIL(node, "the checkpoint of group %u belongs to another cluster, epoch or group", group);
	if (!upgrade_check_checkpoint(replica, found->cut.machine_version, node->error, sizeof node->error))
		return -ENOTSUP;
	replica_keep_founding(replica, found->founding);
	members_install(&replica->members, found->cut.index, found->configuration_index, found->configuration_bytes);
	replica->boot->have_header = true;
	return 0;
}

int node_restore_row(struct node *node, uint32_t group, uint64_t id, const void *record, size_t n) {
	struct replica *replica = boot_find(node, group);
	state_row_id ignored;

	if (!replica)
		return -ENOTSUP;
	if (!replica->boot->have_header)
		return BOOT_FAIL(node, "group %u has checkpoint rows without a header", group);
	if (state_restore(replica->state, id, record, n, &ignored) < 0)
		return BOOT_FAIL(node, "row %llu of the checkpoint of group %u is malformed or contradicts the others",
				 (unsigned long long)id, group);
	return 0;
}

/* All rows are in. */
static int boot_end_rows(struct replica *replica) {
	struct boot *boot = replica->boot;

	if (!boot->have_header || boot->restored)
		return 0;
	if (state_restored(replica->state, &boot->header.cut) < 0)
		return BOOT_FAIL(replica->node, "rows or hash of the checkpoint of group %u differ from its header",
				 replica->group);
	boot->restored = true;
	replica->cache.base = boot->header.cut.index;
	return 0;
}

/* The log and the checkpoint must agree on the entry where they meet. */
static int boot_check_seam(struct replica *replica, raft_index index, raft_term term) {
	const struct boot *boot = replica->boot;

	if (boot->have_header && index == boot->header.cut.index && term != boot->header.cut.term)
		return BOOT_FAIL(replica->node,
				 "entry %llu of group %u has term %llu in the log and %llu in the checkpoint",
				 (unsigned long long)index, replica->group, (unsigned long long)term,
				 (unsigned long long)boot->header.cut.term);
	return 0;
}

int node_restore_base(struct node *node, uint32_t group, raft_index index, raft_term term) {
	struct replica *replica = boot_find(node, group);
	raft_index checkpoint;
	int r;

	if (!replica)
		return -ENOTSUP;
	r = boot_end_rows(replica);
	if (r < 0)
		return r;

	checkpoint = replica->boot->have_header ? replica->boot->header.cut.index : 0;
	if (index > checkpoint)
		return BOOT_FAIL(node, "the log of group %u begins behind entry %llu but its checkpoint ends at %llu",
				 group, (unsigned long long)index, (unsigned long long)checkpoint);
	replica->boot->have_base = true;
	replica->boot->last = index;
	replica->boot->last_term = term;
	return boot_check_seam(replica, index, term);
}

int node_restore_entry(struct node *node, uint32_t group, const struct node_entry *entry) {
	struct replica *replica = boot_find(node, group);
	struct boot *boot;

	if (!replica)
		return -ENOTSUP;
	boot = replica->boot;
	if (!boot->have_base || entry->index != boot->last + 1 || entry->term < boot->last_term || entry->term == 0)
		return BOOT_FAIL(node, "entry %llu of group %u is out of order behind %llu",
				 (unsigned long long)entry->index, group, (unsigned long long)boot->last);
	boot->last = entry->index;
	boot->last_term = entry->term;
	if (entry->index > replica->cache.base)
		cache_append(&replica->cache, entry);
	return boot_check_seam(replica, entry->index, entry->term);
}

/* ---- Start --------------------------------------------------------------------------------------------------------
 */

/* What the parts must be together. */
static int boot_check(struct replica *replica) {
	const struct boot *boot = replica->boot;
	struct node *node = replica->node;
	raft_index checkpoint = boot->have_header ? boot->header.cut.index : 0;
	int r = boot_end_rows(replica);

	if (r < 0)
		return r;
	if (!node->identified && (boot->have_header || boot->last > 0))
		return BOOT_FAIL(node, "group %u holds a log, but the store has no identity", replica->group);
	if (boot->last < checkpoint)
		return BOOT_FAIL(node, "the log of group %u ends at entry %llu, before its checkpoint at %llu",
				 replica->group, (unsigned long long)boot->last, (unsigned long long)checkpoint);
	if (boot->last_term > boot->hard.term || (boot->have_header && boot->header.cut.term > boot->hard.term))
		return BOOT_FAIL(node, "the log of group %u holds term %llu, but the store has only seen term %llu",
				 replica->group, (unsigned long long)boot->last_term,
				 (unsigned long long)boot->hard.term);
	return 0;
}

static void boot_init_raft(struct replica *replica) {
	const struct boot *boot = replica->boot;
	const struct node *node = replica->node;
	struct raft_boot start = {
		.group = replica->group,
		.node = node->id,
		.term = boot->hard.term,
		.vote = boot->hard.vote,
		.promise_ms = boot->hard.promise_ms,
		.leader_lease = node->leader_lease,
		.seed = node->seed ^ replica->group,
		.timing = node->timing,
		.limits = {.term_runs = BOOT_TERM_RUNS,
			   .saves = BOOT_SAVES,
			   .configurations = BOOT_CONFIGURATIONS,
			   .inflight = LIMIT_INFLIGHT_APPENDS,
			   .inflight_bytes = LIMIT_INFLIGHT_BYTES},
	};

	memcpy(start.store.bytes, node->store.bytes, sizeof start.store.bytes);
	if (boot->have_header) {
		start.base = boot->header.cut.index;
		start.base_term = boot->header.cut.term;
		start.base_configuration = &boot->header.configuration;
		start.base_configuration_index = boot->header.configuration_index;
		/* An installed snapshot may have brought a larger P than any entry that was stored here. */
		if (start.promise_ms < boot->header.configuration.promise_ms)
			start.promise_ms = boot->header.configuration.promise_ms;
	}
	replica->raft = raft_init(memory_new(raft_size(&start.limits)), &start);
}

static int boot_restore_entry(struct replica *replica, const struct node_entry *from) {
	struct node *node = replica->node;
	struct raft_configuration configuration;
	struct raft_entry entry = {.term = from->term, .type = from->type};
	int r;

	if (from->type == RAFT_ENTRY_CONFIGURATION) {
		r = configuration_unpack(node, from->data, from->n, &configuration);
		if (r == -ENOTSUP) {
			upgrade_explain_configuration(replica, from->index, node->error, sizeof node->error);
			return r;
		}
		if (r < 0)
			return BOOT_TOO_NEW(node, "entry %llu of group %u is no configuration that this version knows",
					    (unsigned long long)from->index, replica->group);
		entry.configuration = &configuration;
		members_append(&replica->members, from->index, (struct node_bytes){.bytes = from->data, .n = from->n});
		if (replica->promise_ms < configuration.promise_ms)
			replica->promise_ms = configuration.promise_ms;
	}
	if (raft_restore(replica->raft, &entry) != 0)
		return BOOT_FAIL(node, "the log of group %u holds more terms or configurations than the limits allow",
				 replica->group);
	return 0;
}

static int boot_start(struct replica *replica) {
	const struct boot *boot = replica->boot;
	raft_index index;
	int r = boot_check(replica);

	if (r < 0)
		return r;
	boot_init_raft(replica);
	replica->promise_ms = boot->hard.promise_ms;
	if (boot->have_header) {
		replica->checkpoint.durable = boot->header.cut.index;
		replica->checkpoint.durable_term = boot->header.cut.term;
		if (replica->promise_ms < boot->header.configuration.promise_ms)
			replica->promise_ms = boot->header.configuration.promise_ms;
	}
	for (index = replica->cache.base + 1; index <= cache_last(&replica->cache); index++) {
		r = boot_restore_entry(replica, cache_get(&replica->cache, index));
		if (r < 0)
			return r;
	}
	raft_start(replica->raft, &replica->node->clocks);
	raft_get_status(replica->raft, &replica->status);
	members_refresh(replica);
	replica->boot = boot_free(replica->boot);
	return 0;
}

/* A crash while the founding was being written may leave the identity without its first entry. Nothing was acknowledged
 * then, so the node is blank again. */
static void boot_forget_founding(struct node *node) {
	for (size_t i = 0; i < node->n_replicas; i++) {
		if (node->replicas[i]->boot->have_header || node->replicas[i]->boot->last > 0)
			return;
	}
	node->identified = false;
	for (size_t i = 0; i < node->n_replicas; i++) {
		struct node_hard *hard = &node->replicas[i]->boot->hard;

		if (hard->term == 1 && hard->vote == 0)
			hard->term = 0;
	}
}

int node_start(struct node *node, const struct raft_clocks *clocks) {
	node->clocks = *clocks;
	node->started = clocks->mono;
	boot_forget_founding(node);
	for (size_t i = 0; i < node->n_replicas; i++) {
		int r = boot_start(node->replicas[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

const char *node_error(const struct node *node) {
	return node->error;
}

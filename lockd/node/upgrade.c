/* SPDX-License-Identifier: Apache-2.0 */
#include "upgrade.h"

#include "configuration.h"
#include "replica.h"

#include <errno.h>

/* ---- What the members know ----------------------------------------------------------------------------------------
 */

void upgrade_begin(struct replica *replica) {
	replica->upgrade = (struct upgrade){0};
}

static bool upgrade_is_of_store(const struct upgrade_word *word, const struct raft_member *member) {
	return word->node == member->node &&
	       memcmp(word->store.bytes, member->store.bytes, sizeof word->store.bytes) == 0;
}

/* What that very store has said; NULL: nothing yet. */
static struct upgrade_word *upgrade_find(struct upgrade *upgrade, const struct raft_member *member) {
	for (int i = 0; i < RAFT_MEMBERS_MAX; i++) {
		if (upgrade_is_of_store(&upgrade->words[i], member))
			return &upgrade->words[i];
	}
	return NULL;
}

/* A place that is free, or that of a store which is no member any more: there is one for each member. */
static struct upgrade_word *upgrade_place(struct replica *replica, const struct raft_configuration *members) {
	for (int i = 0; i < RAFT_MEMBERS_MAX; i++) {
		struct upgrade_word *word = &replica->upgrade.words[i];
		const struct raft_member *member = configuration_find(members, word->node);

		if (!member || !upgrade_is_of_store(word, member))
			return word;
	}
	return NULL;
}

void upgrade_hear(struct replica *replica, uint32_t node, const struct node_uuid *store, uint32_t version) {
	const struct raft_configuration *members = raft_members(replica->raft, NULL);
	const struct raft_member *member = configuration_find(members, node);
	struct upgrade_word *word;

	if (!replica->leading || !member || memcmp(member->store.bytes, store->bytes, sizeof store->bytes) != 0)
		return;
	word = upgrade_find(&replica->upgrade, member);
	if (!word)
		word = upgrade_place(replica, members);
	*word = (struct upgrade_word){.node = node, .store = member->store, .version = version > 0 ? version : 1};
}

/* A member that is silent may be about to come back with an older program than it had. */
static bool upgrade_is_heard(const struct replica *replica, uint32_t node) {
	struct raft_peer peer;

	return raft_get_peer(replica->raft, node, &peer) && peer.contact > 0 &&
	       replica->node->clocks.mono - peer.contact <= replica->node->timing.election_max;
}

/* The latest version that every member knows; 0: not all have said. */
static uint32_t upgrade_find_common(struct replica *replica) {
	const struct raft_configuration *members = raft_members(replica->raft, NULL);
	uint32_t common = replica->node->machine_version_max;

	for (uint16_t i = 0; i < members->n; i++) {
		const struct raft_member *member = &members->members[i];
		const struct upgrade_word *word = upgrade_find(&replica->upgrade, member);

		if (member->node == replica->node->id)
			continue;
		if (!word || !upgrade_is_heard(replica, member->node))
			return 0;
		if (word->version < common)
			common = word->version;
	}
	return common;
}

/* ---- Raising ------------------------------------------------------------------------------------------------------
 */

static void upgrade_propose(struct replica *replica, uint32_t version) {
	Command__Command command = COMMAND__COMMAND__INIT;
	Command__Version raise = COMMAND__VERSION__INIT;

	raise.term = replica->status.term;
	raise.version = version;
	command.body_case = COMMAND__COMMAND__BODY_VERSION;
	command.version = &raise;
	(void)pending_push_own(replica, &command);
	replica->upgrade.proposed = version;
}

void upgrade_advance(struct replica *replica) {
	uint32_t current = state_get_version(replica->state).current, common;

	/* Before its own no-op is applied a leader may not know what others have raised. */
	if (!replica->ready || current == replica->node->machine_version_max)
		return;
	common = upgrade_find_common(replica);
	if (common > current && common > replica->upgrade.proposed)
		upgrade_propose(replica, common);
}

/* ---- Refusing -----------------------------------------------------------------------------------------------------
 */

void upgrade_explain(const struct replica *replica, raft_index index, int r, char *text, size_t n) {
	struct state_version version = state_get_version(replica->state);
	unsigned long long at = index;

	if (r != -ENOTSUP)
		(void)snprintf(text, n, "entry %llu of group %u is damaged", at, replica->group);
	else if (version.refused > 0)
		(void)snprintf(text, n,
			       "entry %llu of group %u raises the machine version to %u, and this node knows up to %u: "
			       "upgrade this node",
			       at, replica->group, version.refused, version.max);
	else
		(void)snprintf(
			text, n,
			"entry %llu of group %u holds a command that is unknown in machine version %u; this node "
			"knows up to %u: upgrade this node",
			at, replica->group, version.current, version.max);
}

void upgrade_explain_configuration(const struct replica *replica, raft_index index, char *text, size_t n) {
	(void)snprintf(
		text, n,
		"entry %llu of group %u names members in a way that came after machine version %u, the latest that "
		"this node knows: upgrade this node",
		(unsigned long long)index, replica->group, replica->node->machine_version_max);
}

bool upgrade_check_checkpoint(const struct replica *replica, uint32_t version, char *text, size_t n) {
	if (version <= replica->node->machine_version_max)
		return true;
	(void)snprintf(text, n,
		       "a checkpoint of group %u was made under machine version %u, and this node knows up to %u: "
		       "upgrade this node",
		       replica->group, version, replica->node->machine_version_max);
	return false;
}

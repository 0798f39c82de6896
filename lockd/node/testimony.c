/* SPDX-License-Identifier: Apache-2.0 */
#include "testimony.h"

#include "configuration.h"
#include "replica.h"

#include <string.h>

static struct testimony *testimony_find(struct testimonies *testimonies, uint32_t node) {
	for (int i = 0; i < RAFT_MEMBERS_MAX; i++) {
		if (testimonies->all[i].node == node)
			return &testimonies->all[i];
	}
	return NULL;
}

static bool testimony_is_of_member(const struct node *node, const struct testimony *testimony) {
	const struct raft_configuration *members =
		raft_members(node_find_replica(node, NODE_GROUP_DEFAULT)->raft, NULL);

	return members && configuration_find(members, testimony->node);
}

/* A free place, or that of a node which is no member any more. */
static struct testimony *testimony_place(struct node *node) {
	struct testimony *place = testimony_find(&node->testimonies, 0);

	for (int i = 0; !place && i < RAFT_MEMBERS_MAX; i++) {
		if (!testimony_is_of_member(node, &node->testimonies.all[i]))
			place = &node->testimonies.all[i];
	}
	return place;
}

/* A granted pre-vote echoes a term, and a pre-vote names one that its sender has not reached. */
static bool testimony_speaks_of_disk(const struct raft_message *message) {
	return message->type != RAFT_PREVOTE &&
	       (message->type != RAFT_PREVOTE_REPLY || (message->flags & RAFT_FLAG_REJECT));
}

static bool testimony_acknowledges(const struct raft_message *message) {
	return message->type == RAFT_HEARTBEAT_REPLY ||
	       (message->type == RAFT_APPEND_REPLY && !(message->flags & RAFT_FLAG_REJECT));
}

/* What the store before has sent may arrive behind the HELLO of the one in its place, whose disk never held it. */
void testimony_hear(struct node *node, const struct node_uuid *store, const struct raft_message *message) {
	struct testimony *testimony = testimony_find(&node->testimonies, message->from);

	if (!testimony || memcmp(&testimony->store, store, sizeof *store) != 0 || !testimony_speaks_of_disk(message))
		return;
	if (message->term > testimony->term)
		testimony->term = message->term;
	if (message->type == RAFT_VOTE_REPLY && !(message->flags & RAFT_FLAG_REJECT))
		testimony->vote_term = message->term;
	if (!testimony_acknowledges(message) || message->term < testimony->match_term)
		return;
	if (message->term > testimony->match_term)
		testimony->match = 0;
	testimony->match_term = message->term;
	if (message->index > testimony->match)
		testimony->match = message->index;
}

/* ---- HELLO --------------------------------------------------------------------------------------------------------
 */

void node_get_memory(const struct node *node, struct node_memory *ret) {
	struct raft_status status;

	raft_get_status(node_find_replica(node, NODE_GROUP_DEFAULT)->raft, &status);
	*ret = (struct node_memory){.term = status.durable_term, .vote = status.durable_vote, .last = status.durable};
}

/* NULL, or what the disk has lost. In the term of an acknowledgement a log only grows; in a later one it may have been
 * cut, and says nothing. */
static const char *testimony_find_loss(const struct node *node, const struct testimony *testimony,
				       const struct node_memory *memory) {
	if (memory->boot_count <= testimony->boot_count)
		return "it has been started before, and later than it remembers";
	if (memory->term < testimony->term)
		return "it has spoken of a later term than it remembers";
	if (testimony->vote_term > 0 && memory->term == testimony->vote_term && memory->vote != node->id)
		return "it has voted, and does not remember";
	if (memory->term == testimony->match_term && memory->last < testimony->match)
		return "it has acknowledged entries that it does not have";
	return NULL;
}

const char *node_judge_memory(struct node *node, uint32_t peer, const struct node_uuid *store,
			      const struct node_memory *memory) {
	struct testimony *testimony = testimony_find(&node->testimonies, peer);
	const char *loss;

	if (testimony && memcmp(&testimony->store, store, sizeof *store) != 0)
		*testimony = (struct testimony){0};
	if (!testimony || testimony->node == 0)
		testimony = testimony_place(node);
	if (!testimony)
		return NULL;
	if (testimony->node != peer)
		*testimony = (struct testimony){.node = peer, .store = *store};
	else if (testimony->boot == memory->boot)
		return NULL;
	else if ((loss = testimony_find_loss(node, testimony, memory)))
		return loss;
	testimony->boot = memory->boot;
	testimony->boot_count = memory->boot_count;
	return NULL;
}

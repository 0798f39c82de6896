/* SPDX-License-Identifier: Apache-2.0 */
#include "founding.h"

#include "api/command.pb-c.h"
#include "clock.h"
#include "fatal.h"
#include "log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void founding_init(struct founding *founding, uint32_t promise_ms, uint32_t drift_ppm) {
	*founding = (struct founding){.promise_ms = promise_ms, .drift_ppm = drift_ppm};
}

void founding_deinit(struct founding *founding) {
	free(founding->configuration);
	*founding = (struct founding){0};
}

/* Guests are no part of what is founded. */
#define FOREACH_LISTED(peer, peers)                                                                                    \
	TAILQ_FOREACH (peer, &(peers)->table.all, next)                                                                \
		if (peer->standing == PEER_LISTED)

static bool is_founder(const struct peers *peers) {
	const struct peer *peer;

	FOREACH_LISTED(peer, peers) {
		if (peer->node < peers->own.node)
			return false;
	}
	return true;
}

/* This node or a listed one belongs to a cluster already, or did before its data folder was damaged. */
static bool cluster_exists(const struct peers *peers) {
	const struct peer *peer;

	FOREACH_LISTED(peer, peers) {
		if (peer->met && (!peer->hello.blank || hello_waits_for_its_cluster(&peer->hello)))
			return true;
	}
	return peers->cluster_seen || hello_waits_for_its_cluster(&peers->own);
}

static bool all_met(const struct peers *peers) {
	const struct peer *peer;

	FOREACH_LISTED(peer, peers) {
		if (!peer->met)
			return false;
	}
	return true;
}

/* Nobody is left who has what the cluster knew. */
static bool is_orphaned(const struct peers *peers) {
	const struct peer *peer;

	FOREACH_LISTED(peer, peers) {
		if (!peer->met || !hello_waits_for_its_cluster(&peer->hello))
			return false;
	}
	return hello_waits_for_its_cluster(&peers->own);
}

static void report_orphaned(struct founding *founding, const struct peers *peers) {
	if (founding->orphaned || !is_orphaned(peers))
		return;
	founding->orphaned = true;
	log_error("not founding a cluster: reason=\"every listed node has found its data folder damaged, and a new "
		  "cluster would grant their locks again\" next=\"on one node lockd restore a backup, or lockd recover "
		  "a damaged-<n> in which lockd check finds nothing wrong; empty the folders of the others and add "
		  "them to it\"");
}

static ProtobufCBinaryData text_of(const char *text) {
	return (ProtobufCBinaryData){.data = (uint8_t *)text, .len = strlen(text)};
}

static void set_member(Command__Member *member, uint32_t node, const struct node_uuid *store, const char *peer_address,
		       const char *client_address) {
	command__member__init(member);
	member->node = node;
	member->store = (ProtobufCBinaryData){.data = (uint8_t *)store->bytes, .len = sizeof store->bytes};
	member->roles = RAFT_ROLE_VOTER;
	member->peer_address = text_of(peer_address);
	member->client_address = text_of(client_address);
}

static size_t pack_configuration(struct founding *founding, const struct peers *peers) {
	Command__Configuration configuration = COMMAND__CONFIGURATION__INIT;
	size_t n = peer_table_count(&peers->table, PEER_LISTED) + 1, i = 1, bytes;
	Command__Member *members = fatal_alloc(n * sizeof *members);
	Command__Member **pointers = fatal_alloc(n * sizeof *pointers);
	const struct peer *peer;

	set_member(&members[0], peers->own.node, &peers->own.store, peers->own.peer_address, peers->own.client_address);
	FOREACH_LISTED(peer, peers)
	set_member(&members[i++], peer->node, &peer->hello.store, peer->peer_address, peer->client_address);
	for (i = 0; i < n; i++)
		pointers[i] = &members[i];

	configuration.promise_ms = founding->promise_ms;
	configuration.drift_ppm = founding->drift_ppm;
	configuration.n_members = n;
	configuration.members = pointers;
	founding->configuration = fatal_alloc(command__configuration__get_packed_size(&configuration));
	bytes = command__configuration__pack(&configuration, founding->configuration);
	free(pointers);
	free(members);
	return bytes;
}

static void found(struct founding *founding, struct peers *peers, struct events *events) {
	size_t bytes = pack_configuration(founding, peers);
	struct node_event *event = events_add(events, NODE_FOUND);

	if (getrandom(founding->incarnation.bytes, sizeof founding->incarnation.bytes, 0) !=
	    sizeof founding->incarnation.bytes)
		fatal_stop("reason=\"no random numbers\"");
	founding->done = true;
	peers->founder = true;
	event->body = founding->configuration;
	event->body_bytes = bytes;
	event->group = PEERS_GROUP;
	event->incarnation = &founding->incarnation;
	event->epoch = clock_epoch();
	log_info("founding the cluster: nodes=%zu epoch=%u", peer_table_count(&peers->table, PEER_LISTED) + 1,
		 event->epoch);
}

void founding_tick(struct founding *founding, struct peers *peers, struct events *events) {
	if (founding->done || !peers->own.blank)
		return;
	report_orphaned(founding, peers);
	if (!is_founder(peers))
		return;
	if (!founding->refuses && cluster_exists(peers)) {
		founding->refuses = true;
		log_warning(
			"not founding a cluster: reason=\"a listed node belongs to one already\" next=\"waiting to be "
			"let in\"");
	}
	if (founding->refuses)
		return;
	if (all_met(peers)) {
		found(founding, peers, events);
	} else if (!founding->waits) {
		founding->waits = true;
		log_info("waiting for all listed nodes before founding the cluster: nodes=%zu",
			 peer_table_count(&peers->table, PEER_LISTED) + 1);
	}
}

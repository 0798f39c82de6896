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

static bool is_founder(const struct peers *peers) {
	for (size_t i = 0; i < peers->n; i++) {
		if (peers->all[i].node < peers->own.node)
			return false;
	}
	return true;
}

static const struct peer *founded_peer(const struct peers *peers) {
	for (size_t i = 0; i < peers->n; i++) {
		if (peers->all[i].met && !peers->all[i].hello.blank)
			return &peers->all[i];
	}
	return NULL;
}

static bool all_met(const struct peers *peers) {
	for (size_t i = 0; i < peers->n; i++) {
		if (!peers->all[i].met)
			return false;
	}
	return true;
}

static ProtobufCBinaryData text_of(const char *text) {
	return (ProtobufCBinaryData){.data = (uint8_t *)text, .len = text ? strlen(text) : 0};
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
	Command__Member *members = fatal_alloc((peers->n + 1) * sizeof *members);
	Command__Member **pointers = fatal_alloc((peers->n + 1) * sizeof *pointers);
	size_t bytes;

	set_member(&members[0], peers->own.node, &peers->own.store, peers->peer_address, peers->client_address);
	for (size_t i = 0; i < peers->n; i++) {
		const struct peer *peer = &peers->all[i];

		set_member(&members[i + 1], peer->node, &peer->hello.store, peer->peer_address, peer->client_address);
	}
	for (size_t i = 0; i <= peers->n; i++)
		pointers[i] = &members[i];

	configuration.promise_ms = founding->promise_ms;
	configuration.drift_ppm = founding->drift_ppm;
	configuration.n_members = peers->n + 1;
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
	log_info("founding the cluster: nodes=%zu epoch=%u", peers->n + 1, event->epoch);
}

void founding_tick(struct founding *founding, struct peers *peers, struct events *events) {
	const struct peer *founded;

	if (founding->done || !peers->own.blank || !is_founder(peers))
		return;
	founded = founded_peer(peers);
	if (founded && !founding->refuses)
		log_warning("not founding a cluster: peer=%u reason=\"it belongs to one already\" next=\"waiting to be "
			    "let in\"",
			    founded->node);
	founding->refuses = founding->refuses || founded;
	if (founding->refuses)
		return;
	if (all_met(peers)) {
		found(founding, peers, events);
	} else if (!founding->waits) {
		founding->waits = true;
		log_info("waiting for all listed nodes before founding the cluster: nodes=%zu", peers->n + 1);
	}
}

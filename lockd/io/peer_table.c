/* SPDX-License-Identifier: Apache-2.0 */
#include "peer_table.h"

#include "fatal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void peer_table_init(struct peer_table *table) {
	*table = (struct peer_table){0};
	TAILQ_INIT(&table->all);
}

void peer_table_deinit(struct peer_table *table) {
	struct peer *peer;

	while ((peer = TAILQ_FIRST(&table->all)))
		peer_table_drop(table, peer);
}

struct peer *peer_table_find(const struct peer_table *table, uint32_t node) {
	struct peer *peer;

	TAILQ_FOREACH (peer, &table->all, next) {
		if (peer->node == node)
			return peer;
	}
	return NULL;
}

size_t peer_table_count(const struct peer_table *table, enum peer_standing standing) {
	const struct peer *peer;
	size_t n = 0;

	TAILQ_FOREACH (peer, &table->all, next)
		n += peer->standing == standing;
	return n;
}

struct peer *peer_table_add(struct peer_table *table, uint32_t node, enum peer_standing standing,
			    const char *peer_address, const char *client_address) {
	struct peer *peer = fatal_alloc(sizeof *peer);

	peer->node = node;
	peer->standing = standing;
	peer->reachable = true;
	peer->backoff_ms = PEER_BACKOFF_MS_MIN;
	peer_table_set_addresses(peer, peer_address, client_address);
	peer->moved = false;
	TAILQ_INSERT_TAIL(&table->all, peer, next);
	table->n++;
	return peer;
}

void peer_table_drop(struct peer_table *table, struct peer *peer) {
	TAILQ_REMOVE(&table->all, peer, next);
	table->n--;
	urgent_clear(&peer->urgent);
	free(peer);
}

static void copy_address(char out[ADDRESS_BYTES_MAX], const char *address) {
	snprintf(out, ADDRESS_BYTES_MAX, "%s", address && address_is_valid(address) ? address : "");
}

void peer_table_set_addresses(struct peer *peer, const char *peer_address, const char *client_address) {
	char before[ADDRESS_BYTES_MAX];

	memcpy(before, peer->peer_address, sizeof before);
	copy_address(peer->peer_address, peer_address);
	copy_address(peer->client_address, client_address);
	peer->moved = peer->moved || strcmp(before, peer->peer_address) != 0;
}

void peer_table_leave(struct peer *peer, raft_usec now) {
	if (peer->standing == PEER_LEAVING)
		return;
	peer->standing = PEER_LEAVING;
	peer->leave_at = now + PEER_TABLE_LEAVE_MS * 1000;
}

static bool is_member(const struct node *node, uint32_t id, struct node_member *ret) {
	for (size_t i = 0; node_get_member(node, i, ret); i++) {
		if (ret->node == id)
			return true;
	}
	return false;
}

void peer_table_follow(struct peer_table *table, const struct node *node, uint32_t self, raft_usec now) {
	struct node_member member;
	struct peer *peer;

	TAILQ_FOREACH (peer, &table->all, next) {
		if (!is_member(node, peer->node, &member)) {
			peer_table_leave(peer, now);
			continue;
		}
		if (peer->standing != PEER_MEMBER)
			peer->dial_at = 0;
		peer->standing = PEER_MEMBER;
		peer_table_set_addresses(peer, member.peer_address, member.client_address);
	}
	for (size_t i = 0; node_get_member(node, i, &member); i++) {
		if (member.node != self && !peer_table_find(table, member.node))
			peer_table_add(table, member.node, PEER_MEMBER, member.peer_address, member.client_address);
	}
}

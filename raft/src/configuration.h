/* SPDX-License-Identifier: Apache-2.0 */
/* Members and majorities. Every majority of the protocol — votes, commit, rounds, quorum contact — is one question to
 * one function, so that joint consensus (dissertation §4.3) cannot be forgotten in one of them. */
#ifndef RAFT_CONFIGURATION_H
#define RAFT_CONFIGURATION_H

#include <raft/raft.h>

enum { RAFT__ROLES_VOTING = RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING };

/* Well-formed: at least one voter, no node 0, no node or store twice; LOST only with a vote in both halves, and no more
 * of them than leave a majority of the old half. */
bool raft__configuration_valid(const struct raft_configuration *configuration);

/* Position of a node among the members, or -1. */
int raft__configuration_find(const struct raft_configuration *configuration, uint32_t node);

/* This store is a voter, in either half. A node whose store was replaced is not: it may have forgotten its votes. */
bool raft__configuration_votes(const struct raft_configuration *configuration, uint32_t node,
			       const struct raft_uuid *store);

/* The node is a member, with another store. */
bool raft__configuration_replaces(const struct raft_configuration *configuration, uint32_t node,
				  const struct raft_uuid *store);

/* {node, store} is the only voter. */
bool raft__configuration_sole(const struct raft_configuration *configuration, uint32_t node,
			      const struct raft_uuid *store);

/* The change keeps quorums intersecting: it enters a joint configuration whose outgoing half is the present one, under
 * the same stores but for those that are LOST, leaves it for its incoming half, or changes no voter at all. P and ρ
 * stay what they were founded with: the lease of a leader counts on what a voter promises after a restart, which is the
 * P that it has stored. */
bool raft__configuration_follows(const struct raft_configuration *from, const struct raft_configuration *to);

/* Position of a node among the voters without `lost`: the highest priority first, then the lowest node id. Who is no
 * voter comes last. */
uint32_t raft__configuration_rank(const struct raft_configuration *configuration, uint32_t node, uint32_t lost);

/* The highest value that a majority has reached, of both halves while joint. values[i] belongs to members[i] and its
 * store: in the old half it counts as 0 if that store stands in the place of a lost one. */
uint64_t raft__quorum(const struct raft_configuration *configuration, const uint64_t values[RAFT_MEMBERS_MAX]);

#endif

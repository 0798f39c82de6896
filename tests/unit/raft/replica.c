/* SPDX-License-Identifier: Apache-2.0 */
#include "replica.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct raft_configuration replica_configuration(uint32_t voters) {
	struct raft_configuration configuration = {
		.promise_ms = PROMISE_MS, .drift_ppm = 100000, .n = (uint16_t)voters};

	for (uint32_t i = 0; i < voters; i++)
		configuration.members[i] = (struct raft_member){
			.node = i + 1, .store = {.bytes = {(uint8_t)(i + 1)}}, .roles = RAFT_ROLE_VOTER};
	return configuration;
}

struct replica replica_new(struct replica_boot boot) {
	struct raft_configuration configuration =
		boot.configuration ? *boot.configuration : replica_configuration(boot.voters ? boot.voters : 3);
	struct raft_boot raft_boot = {
		.group = 1,
		.node = 1,
		.store = {.bytes = {1}},
		.term = boot.term,
		.vote = boot.vote,
		.base_configuration = boot.blank ? NULL : &configuration,
		.promise_ms = boot.promise_ms,
		.leader_lease = boot.leader_lease,
		.seed = 1,
		.timing = {.heartbeat = 50 * MS,
			   .election_min = 400 * MS,
			   .election_max = 800 * MS,
			   .check_quorum = 300 * MS,
			   .stagger = 10 * MS},
		.limits = boot.limits.saves > 0 ? boot.limits
						: (struct raft_limits){.term_runs = 16,
								       .saves = 16,
								       .configurations = 4,
								       .inflight = 4,
								       .inflight_bytes = 4096},
	};
	raft_usec now = boot.now ? boot.now : 5000 * MS;
	struct replica replica = {.clocks = {.mono = now, .boot = now}};

	replica.raft = raft_init(malloc(raft_size(&raft_boot.limits)), &raft_boot);
	for (const char *term = boot.log ? boot.log : ""; *term; term++)
		assert_int_equal(raft_restore(replica.raft, &(struct raft_entry){.term = (raft_term)(*term - '0'),
										 .type = RAFT_ENTRY_COMMANDS}),
				 0);
	raft_start(replica.raft, &replica.clocks);
	return replica;
}

void replica_free(struct replica *replica) {
	free(replica->raft);
}

int replica_step(struct replica *replica, struct raft_event event) {
	int r = raft_step(replica->raft, &replica->clocks, &event, &replica->fx);

	raft_check(replica->raft);
	return r;
}

int replica_append(struct replica *replica, struct raft_message message, const char *terms) {
	struct raft_entry entries[32];

	message.group = message.to = 1;
	message.n = (uint32_t)strlen(terms);
	for (uint32_t i = 0; i < message.n; i++)
		entries[i] = (struct raft_entry){.term = (raft_term)(terms[i] - '0'), .type = RAFT_ENTRY_COMMANDS};
	return replica_step(replica, (struct raft_event){.kind = RAFT_RECV, .message = &message, .entries = entries});
}

int replica_recv(struct replica *replica, struct raft_message message) {
	return replica_append(replica, message, "");
}

void replica_pass(struct replica *replica, raft_usec us) {
	replica->clocks.mono += us;
	replica->clocks.boot += us;
	assert_int_equal(replica_step(replica, (struct raft_event){.kind = RAFT_TIME}), 0);
}

void replica_saved(struct replica *replica) {
	assert_int_equal(replica_step(replica, (struct raft_event){.kind = RAFT_SAVED, .seq = replica->fx.save.seq}),
			 0);
}

struct raft_status replica_status(const struct replica *replica) {
	struct raft_status status;

	raft_get_status(replica->raft, &status);
	return status;
}

const struct raft_out *replica_sent(const struct replica *replica, uint32_t to) {
	const struct raft_out *out = NULL;

	for (uint32_t i = 0; i < replica->fx.n_messages; i++) {
		if (replica->fx.messages[i].message.to != to)
			continue;
		assert_null(out);
		out = &replica->fx.messages[i];
	}
	assert_non_null(out);
	return out;
}

static void grant_all(struct replica *replica, enum raft_message_type type, raft_term term, uint64_t round) {
	raft_index unused;
	uint16_t n = raft_members(replica->raft, &unused)->n;

	for (uint32_t node = 2; node <= n && replica->fx.save.seq == 0; node++)
		replica_recv(replica,
			     (struct raft_message){.type = (uint8_t)type, .from = node, .term = term, .round = round});
}

void replica_lead(struct replica *replica) {
	struct raft_message request;

	assert_int_equal(replica_step(replica, (struct raft_event){.kind = RAFT_CAMPAIGN}), 0);
	request = replica_sent(replica, 2)->message;
	grant_all(replica, RAFT_PREVOTE_REPLY, request.term, request.round);
	request = replica_sent(replica, 2)->message;
	assert_int_equal(request.type, RAFT_VOTE);
	replica_saved(replica);
	grant_all(replica, RAFT_VOTE_REPLY, request.term, request.round);
	assert_int_equal(replica_status(replica).role, RAFT_LEADER);
	replica_saved(replica);
}

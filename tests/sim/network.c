/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/network.h"

#include "api/frame.h"
#include "tests/sim/backing.h"
#include "tests/sim/memory.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct link *link_of(struct sim *sim, uint32_t from, uint32_t to) {
	return &sim->network.links[from - 1][to - 1];
}

static bool is_cut(struct sim *sim, uint32_t from, uint32_t to) {
	return link_of(sim, from, to)->cut_until > sim->now;
}

static sim_usec latency(struct sim *sim) {
	return sim->plan.latency_min + prng_exponential(&sim->network.prng, sim->plan.latency_mean);
}

static bool chance(struct sim *sim, uint32_t ppm) {
	return !sim->healed && prng_chance(&sim->network.prng, ppm);
}

/* ---- Frames between nodes ------------------------------------------------------------------------------------------
 */

struct packet {
	uint32_t from, to;
	uint64_t from_boot, to_boot;
	struct node_uuid store; /* of the sender */
	uint8_t type;
	bool of_leader;
	size_t n;
	uint8_t body[];
};

static void packet_arrives(struct sim *sim, void *item) {
	const struct packet *packet = item;
	struct link *link = link_of(sim, packet->from, packet->to);
	const struct host *to = sim_host(sim, packet->to);

	if (!to->up || to->boot != packet->to_boot || packet->from_boot < link->newest_boot ||
	    is_cut(sim, packet->from, packet->to)) {
		sim->totals.drops++;
		return;
	}
	host_post_peer(
		sim, packet->to,
		&(struct node_event){
			.kind = NODE_PEER_FRAME, .peer = packet->from, .store = packet->store, .type = packet->type},
		packet->body, packet->n, packet->of_leader);
}

/* How long a frame waits for those in front of it and takes itself. */
static sim_usec queueing(struct sim *sim, struct link *link, size_t n) {
	if (link->busy_until < sim->now)
		link->busy_until = sim->now;
	link->busy_until += n * sim->network.kib_us / 1024;
	return link->busy_until - sim->now;
}

static void send_packet(struct sim *sim, uint32_t from, const struct node_peer_frame *frame, bool of_leader) {
	uint32_t to = frame->peer;
	size_t n = frame->body_bytes;
	struct link *link = link_of(sim, from, to);
	struct packet *packet = memory_new(sizeof(*packet) + n);
	sim_usec delay = latency(sim) + sim->network.distance[from - 1][to - 1] + queueing(sim, link, n);

	*packet = (struct packet){.from = from,
				  .to = to,
				  .from_boot = link->from_boot,
				  .to_boot = link->to_boot,
				  .store = sim_host(sim, from)->store,
				  .type = frame->type,
				  .of_leader = of_leader,
				  .n = n};
	memcpy(packet->body, frame->body, n);
	if (chance(sim, sim->plan.reorder_ppm)) {
		delay += prng_range(&sim->network.prng, 0, sim->plan.reorder_delay);
		sim->totals.reorders++;
	}
	queue_push(&sim->queue, sim->now + delay, packet_arrives, packet);
}

void network_send_peer(struct sim *sim, uint32_t from, const struct node_peer_frame *frame, bool of_leader) {
	uint32_t to = frame->peer;

	sim->totals.frames++;
	if (!link_of(sim, from, to)->connected || is_cut(sim, from, to) || chance(sim, sim->plan.loss_ppm)) {
		if (frame->append)
			link_of(sim, from, to)->append_lost_at = sim->now;
		sim->totals.drops++;
		return;
	}
	send_packet(sim, from, frame, of_leader);
	if (chance(sim, sim->plan.duplicate_ppm)) {
		send_packet(sim, from, frame, of_leader);
		sim->totals.duplicates++;
	}
}

/* ---- Connections between nodes -------------------------------------------------------------------------------------
 */

struct dial {
	uint32_t from, to;
};

static void dial_pair(struct sim *sim, void *item);

static void later_dial(struct sim *sim, uint32_t from, uint32_t to) {
	struct dial *dial = memory_new(sizeof(*dial));
	*dial = (struct dial){from, to};
	queue_push(&sim->queue, sim->now + prng_range(&sim->network.prng, 20000, 150000), dial_pair, dial);
}

static void peer_down(struct sim *sim, void *item) {
	const struct packet *packet = item;
	const struct link *link = link_of(sim, packet->from, packet->to);
	const struct host *to = sim_host(sim, packet->to);

	if (to->up && to->boot == packet->to_boot && !link->connected)
		host_post(sim, packet->to, &(struct node_event){.kind = NODE_PEER_DOWN, .peer = packet->from});
}

/* The reader notices at once (the process died), or never (the machine did, and nothing is sent that way). */
static void disconnect(struct sim *sim, uint32_t from, uint32_t to, uint32_t notice_ppm) {
	struct link *link = link_of(sim, from, to);
	if (!link->connected)
		return;
	link->connected = false;
	if (!prng_chance(&sim->network.prng, notice_ppm))
		return;
	struct packet *packet = memory_new(sizeof(*packet));
	*packet = (struct packet){.from = from, .to = to, .to_boot = link->to_boot};
	queue_push(&sim->queue, sim->now + latency(sim), peer_down, packet);
}

/* HELLO tells the dialler that the other end is blank: it sends the founding entry, again until that has been taken. */
static void offer_founding(struct sim *sim, uint32_t from, uint32_t to) {
	struct host *a = sim_host(sim, from), *b = sim_host(sim, to);
	struct node_bytes body;

	if (node_is_blank(a->node) || !node_is_blank(b->node))
		return;
	if (node_found_body(a->node, to, &b->store, &body) == 0)
		send_packet(sim, from,
			    &(struct node_peer_frame){
				    .peer = to, .type = FRAME_PEER_FOUND, .body = body.bytes, .body_bytes = body.n},
			    false);
}

/* ---- Who lets whom in ----------------------------------------------------------------------------------------------
 * What HELLO decides in lockd/io, by the same rules.
 */

enum {
	MEET_PPM = 125000,  /* of refused calls: the driver waits longer and longer before it calls again */
	LEAVE_PPM = 125000, /* a connection to somebody who is no member outlives that by about a second */
};

static const struct raft_member *member_of(const struct host *host, uint32_t node) {
	const struct raft_configuration *members =
		node_is_blank(host->node) ? NULL : raft_members(node_raft(host->node, SIM_GROUP), NULL);
	for (uint16_t i = 0; members && i < members->n; i++) {
		if (members->members[i].node == node)
			return &members->members[i];
	}
	return NULL;
}

/* A blank node knows those that its configuration file lists, any other its members; and whoever calls. */
static bool knows(struct sim *sim, const struct host *host, const struct host *other) {
	if (link_of(sim, other->id, host->id)->connected)
		return true;
	if (!node_is_blank(host->node))
		return member_of(host, other->id) != NULL;
	/* The file of a machine that was a member is kept up to date by whoever changes the members. */
	return other->id <= plan_founders(&sim->plan) || (host->n_past > 0 && checker_raft_member(sim, other->id));
}

/* Somebody whom the host's configuration does not name, or names with another store, may lead by now: only a leader
 * whose configuration is committed can say that he is no member, and whoever follows another one. */
static bool welcomes_stranger(const struct host *host, const struct host *other) {
	struct raft_status status;
	raft_index index;

	if (node_is_blank(other->node))
		return false;
	(void)raft_members(node_raft(host->node, SIM_GROUP), &index);
	raft_get_status(node_raft(host->node, SIM_GROUP), &status);
	if (status.role == RAFT_LEADER)
		return status.commit < status.term_start || status.commit < index;
	return status.leader == 0 || status.leader == other->id;
}

static bool names_store(const struct host *host, const struct host *other) {
	const struct raft_member *member = member_of(host, other->id);
	return member && memcmp(member->store.bytes, other->store.bytes, sizeof(other->store.bytes)) == 0;
}

/* Who has no vote, as far as it knows, counts nobody's: it may hear whoever knows more. */
static bool has_vote(const struct host *host) {
	return names_store(host, host) &&
	       (member_of(host, host->id)->roles & (RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING));
}

static bool is_of_another_cluster(const struct host *host, const struct host *other) {
	struct node_uuid own, theirs;
	uint32_t epoch;

	if (node_is_blank(host->node) || node_is_blank(other->node))
		return false;
	node_get_identity(host->node, &own, &epoch);
	node_get_identity(other->node, &theirs, &epoch);
	return memcmp(&own, &theirs, sizeof(own)) != 0;
}

static bool welcomes(const struct host *host, const struct host *other) {
	if (is_of_another_cluster(host, other))
		return false;
	if (node_is_blank(host->node) || (!has_vote(host) && !node_is_blank(other->node)))
		return true;
	return names_store(host, other) || welcomes_stranger(host, other);
}

/* False: the disk of the other one is an older copy of itself. What the process before has sent is heard no more. */
static bool judge_memory(struct sim *sim, struct host *host, const struct host *other) {
	struct link *link = link_of(sim, other->id, host->id);
	const char *fault = node_judge_memory(host->node, other->id, &other->store, &other->memory);
	if (fault) {
		old_copy_tell(sim, host->id, other->id, fault);
		return false;
	}
	if (link->newest_boot < other->boot)
		host_drop_frames(host, other->id);
	link->newest_boot = other->boot;
	return true;
}

/* Whoever is called by a node that is no member tells it who leads, and the leader is called next. */
static void meet(struct sim *sim, const struct host *to, const struct host *from) {
	struct raft_status status;
	uint32_t leader;

	host_meet(sim, to->id, from->id);
	raft_get_status(node_raft(to->node, SIM_GROUP), &status);
	leader = status.leader;
	if (leader && leader != to->id && leader != from->id && sim_host(sim, leader)->up &&
	    !is_cut(sim, from->id, leader) && !is_cut(sim, leader, from->id))
		host_meet(sim, leader, from->id);
}

static bool greet(struct sim *sim, struct host *from, struct host *to) {
	if (!knows(sim, from, to))
		return false;
	if (!node_is_blank(to->node) && node_is_blank(from->node) && !names_store(to, from) &&
	    prng_chance(&sim->network.prng, MEET_PPM))
		meet(sim, to, from);
	if (!welcomes(to, from) || !welcomes(from, to))
		return false;
	return judge_memory(sim, to, from) && judge_memory(sim, from, to);
}

/* Runs for ever, for each ordered pair. */
static void dial_pair(struct sim *sim, void *item) {
	uint32_t from = ((struct dial *)item)->from, to = ((struct dial *)item)->to;
	struct link *link = link_of(sim, from, to);
	struct host *a = sim_host(sim, from), *b = sim_host(sim, to);
	bool reachable = a->up && b->up && !is_cut(sim, from, to) && !is_cut(sim, to, from);

	if (reachable && !link->connected && greet(sim, a, b))
		*link = (struct link){.connected = true,
				      .from_boot = a->boot,
				      .to_boot = b->boot,
				      .newest_boot = a->boot,
				      .append_lost_at = link->append_lost_at};
	if (reachable && link->connected)
		offer_founding(sim, from, to);
	if (link->connected && a->up && b->up && !(knows(sim, a, b) && welcomes(a, b)) &&
	    prng_chance(&sim->network.prng, LEAVE_PPM))
		disconnect(sim, from, to, 1000000);
	later_dial(sim, from, to);
}

void network_start(struct sim *sim, struct prng prng) {
	sim->network.prng = prng;
	for (uint32_t from = 1; from <= sim->plan.nodes; from++) {
		for (uint32_t to = 1; to <= sim->plan.nodes; to++) {
			if (from != to)
				later_dial(sim, from, to);
		}
	}
}

void network_cut(struct sim *sim, uint32_t from, uint32_t to, sim_usec until) {
	struct link *link = link_of(sim, from, to);
	if (link->cut_until < until)
		link->cut_until = until;
	if (until - sim->now > 1000000 && prng_chance(&sim->network.prng, 700000))
		disconnect(sim, from, to, 500000);
}

void network_sever(struct sim *sim, uint32_t lost, uint32_t other, sim_usec until) {
	network_cut(sim, lost, other, until);
	network_cut(sim, other, lost, until);
	disconnect(sim, lost, other, 1000000);
	disconnect(sim, other, lost, 0);
}

void network_heal(struct sim *sim) {
	for (uint32_t from = 1; from <= sim->plan.nodes; from++)
		for (uint32_t to = 1; to <= sim->plan.nodes; to++)
			link_of(sim, from, to)->cut_until = 0;
}

enum { TRANSFERS_PER_SECOND_MAX = 20 };

/* ---- Snapshots -----------------------------------------------------------------------------------------------------
 */

/* In flight: the header and the run of rows, as on the wire. */
struct transfer {
	uint32_t from, to;
	uint64_t from_boot, to_boot;
	uint32_t group;
	raft_term term;
	raft_index index;
	bool ok;
	size_t header_bytes, n_rows;
	uint8_t bytes[]; /* header, then (size_t length, record) per row */
};

static void transfer_answered(struct sim *sim, void *item) {
	const struct transfer *transfer = item;
	const struct host *from = sim_host(sim, transfer->from);
	if (!from->up || from->boot != transfer->from_boot)
		return;
	sim->totals.snapshots_failed += !transfer->ok;
	host_post(sim, transfer->from,
		  &(struct node_event){.kind = NODE_SNAPSHOT_SENT,
				       .peer = transfer->to,
				       .group = transfer->group,
				       .index = transfer->index,
				       .term = transfer->term,
				       .ok = transfer->ok});
}

static void transfer_arrives(struct sim *sim, void *item) {
	const struct transfer *transfer = item;
	const struct host *to = sim_host(sim, transfer->to);
	bool ok = to->up && to->boot == transfer->to_boot && !is_cut(sim, transfer->from, transfer->to) &&
		  !chance(sim, 100000);

	if (ok)
		ok = host_stage(sim, transfer->to,
				&(struct host_snapshot){.peer = transfer->from,
							.group = transfer->group,
							.term = transfer->term,
							.header = transfer->bytes,
							.header_bytes = transfer->header_bytes,
							.rows = transfer->bytes + transfer->header_bytes,
							.n_rows = transfer->n_rows});
	struct transfer *answer = memory_copy(transfer, sizeof(*transfer));
	answer->ok = ok;
	queue_push(&sim->queue, sim->now + latency(sim), transfer_answered, answer);
}

static struct transfer *transfer_new(const struct disk_checkpoint *checkpoint) {
	size_t bytes = checkpoint->header.n;
	for (size_t i = 0; i < checkpoint->n; i++)
		bytes += sizeof(size_t) + checkpoint->rows[i].record.n;

	struct transfer *transfer = memory_new(sizeof(*transfer) + bytes);
	uint8_t *at = transfer->bytes;
	memcpy(at, checkpoint->header.bytes, checkpoint->header.n);
	at += checkpoint->header.n;
	for (size_t i = 0; i < checkpoint->n; i++) {
		const struct node_bytes *record = &checkpoint->rows[i].record;
		memcpy(at, &record->n, sizeof(record->n));
		memcpy(at + sizeof(record->n), record->bytes, record->n);
		at += sizeof(record->n) + record->n;
	}
	transfer->header_bytes = checkpoint->header.n;
	transfer->n_rows = checkpoint->n;
	transfer->index = checkpoint->index;
	return transfer;
}

/* Each transfer copies a checkpoint: one that fails must not be begun again at once. */
static void count_transfer(struct sim *sim, uint32_t from, uint32_t to) {
	struct link *link = link_of(sim, from, to);
	if (sim->now > link->transfers_since + 1000000) {
		link->transfers_since = sim->now;
		link->transfers = 0;
	}
	if (++link->transfers > TRANSFERS_PER_SECOND_MAX)
		verdict_fail(VERDICT_LIVENESS, "L1 snapshot-storm",
			     "node %u begins %u snapshots to node %u within a second", from, link->transfers, to);
}

void network_send_snapshot(struct sim *sim, uint32_t from, const struct node_snapshot *snapshot) {
	const struct disk_checkpoint *checkpoint = &sim_disk(sim, from)->checkpoint;
	if (!checkpoint->header.bytes)
		verdict_fail(VERDICT_SAFETY, "S9 snapshot-of-nothing", "node %u has no checkpoint to send", from);
	count_transfer(sim, from, snapshot->peer);
	backing_send(sim, from);
	struct transfer *transfer = transfer_new(checkpoint);
	transfer->from = from;
	transfer->to = snapshot->peer;
	transfer->from_boot = sim_host(sim, from)->boot;
	transfer->to_boot = sim_host(sim, snapshot->peer)->boot;
	transfer->group = snapshot->group;
	transfer->term = snapshot->term;

	sim->totals.snapshots_sent++;
	TRACE("n%u snapshot to n%u index=%" PRIu64, from, snapshot->peer, transfer->index);
	queue_push(&sim->queue, sim->now + 3 * latency(sim) + prng_range(&sim->network.prng, 0, 20000),
		   transfer_arrives, transfer);
}

/* ---- Clients -------------------------------------------------------------------------------------------------------
 */

enum { SILENCE_US = 15 * 1000 * 1000 }; /* until a node's TCP gives up a client that vanished without a word */

struct message {
	node_connection connection;
	bool to_node, closes;
	uint8_t type;
	uint64_t id;
	size_t n;
	uint8_t body[];
};

struct connection *network_get(struct sim *sim, node_connection id) {
	struct connection *connection = &sim->network.connections[id % SIM_CONNECTIONS_MAX];
	return id && connection->id == id ? connection : NULL;
}

static void forget_if_closed(struct connection *connection) {
	if (!connection->open_at_client && !connection->open_at_node)
		connection->id = 0;
}

static void close_at_node(struct sim *sim, struct connection *connection) {
	const struct host *host = sim_host(sim, connection->node);
	if (!connection->open_at_node)
		return;
	connection->open_at_node = false;
	if (host->up && host->boot == connection->boot)
		host_post(sim, connection->node,
			  &(struct node_event){.kind = NODE_CLIENT_GONE, .connection = connection->id});
}

static void close_at_client(struct sim *sim, struct connection *connection) {
	if (!connection->open_at_client)
		return;
	connection->open_at_client = false;
	if (connection->client > SIM_CLIENTS_MAX)
		caller_closed(sim, connection->client, connection->id);
	else
		client_closed(sim, connection->client, connection->id);
}

static void received(struct sim *sim, const struct connection *connection, const struct message *message) {
	if (connection->client > SIM_CLIENTS_MAX)
		caller_received(sim, connection->client, connection->id, message->type, message->id, message->body,
				message->n);
	else
		client_received(sim, connection->client, connection->id, message->type, message->id, message->body,
				message->n);
}

static void message_arrives(struct sim *sim, void *item) {
	const struct message *message = item;
	struct connection *connection = network_get(sim, message->connection);
	if (!connection)
		return;
	if (message->closes) {
		if (message->to_node)
			close_at_node(sim, connection);
		else
			close_at_client(sim, connection);
		forget_if_closed(connection);
	} else if (message->to_node && connection->open_at_node) {
		host_post_body(sim, connection->node,
			       &(struct node_event){.kind = NODE_CLIENT_FRAME,
						    .connection = connection->id,
						    .type = message->type,
						    .id = message->id},
			       message->body, message->n);
	} else if (!message->to_node && connection->open_at_client) {
		received(sim, connection, message);
	}
}

static void send_message(struct sim *sim, struct connection *connection, const struct message *head, const void *body) {
	struct message *message = memory_new(sizeof(*message) + head->n);
	sim_usec *last = head->to_node ? &connection->to_node_at : &connection->to_client_at;
	sim_usec at = sim->now + latency(sim);

	*message = *head;
	message->connection = connection->id;
	if (head->n > 0)
		memcpy(message->body, body, head->n);
	if (at < *last)
		at = *last;
	*last = at;
	queue_push(&sim->queue, at, message_arrives, message);
}

node_connection network_connect(struct sim *sim, uint32_t client, uint32_t node) {
	const struct host *host = sim_host(sim, node);
	if (!host->up)
		return 0;
	struct connection *connection = NULL;
	for (uint32_t i = 0; i < SIM_CONNECTIONS_MAX && (!connection || connection->id); i++)
		connection = &sim->network.connections[++sim->network.last_connection % SIM_CONNECTIONS_MAX];
	if (connection->id)
		return 0;
	*connection = (struct connection){.id = sim->network.last_connection,
					  .client = client,
					  .node = node,
					  .boot = host->boot,
					  .open_at_client = true,
					  .open_at_node = true};
	return connection->id;
}

void network_client_to_node(struct sim *sim, node_connection id, uint8_t type, uint64_t frame_id, const void *body,
			    size_t n) {
	struct connection *connection = network_get(sim, id);
	if (connection && connection->open_at_client)
		send_message(sim, connection, &(struct message){.to_node = true, .type = type, .id = frame_id, .n = n},
			     body);
}

void network_node_to_client(struct sim *sim, uint32_t node, const struct node_client_frame *frame) {
	struct connection *connection = network_get(sim, frame->connection);
	if (!connection || !connection->open_at_node || connection->node != node)
		return;
	if (frame->body_bytes > 0 || !frame->close)
		send_message(sim, connection,
			     &(struct message){.type = frame->type, .id = frame->id, .n = frame->body_bytes},
			     frame->body);
	if (frame->close) {
		send_message(sim, connection, &(struct message){.closes = true}, NULL);
		connection->open_at_node = false;
	}
}

void network_hang_up(struct sim *sim, node_connection id, bool silent) {
	struct connection *connection = network_get(sim, id);
	if (!connection)
		return;
	if (silent)
		connection->to_node_at = sim->now + SILENCE_US;
	send_message(sim, connection, &(struct message){.closes = true, .to_node = true}, NULL);
	connection->open_at_client = false;
	forget_if_closed(connection);
}

/* Both ends notice, each in its own time; what is on its way in the meantime may still arrive. */
void network_break(struct sim *sim, node_connection id) {
	struct connection *connection = network_get(sim, id);
	if (!connection)
		return;
	send_message(sim, connection, &(struct message){.closes = true, .to_node = true}, NULL);
	send_message(sim, connection, &(struct message){.closes = true}, NULL);
}

void network_crash(struct sim *sim, uint32_t node) {
	bool process_only = prng_chance(&sim->network.prng, 600000);
	for (uint32_t other = 1; other <= sim->plan.nodes; other++) {
		if (other == node)
			continue;
		disconnect(sim, node, other, process_only ? 1000000 : 0);
		disconnect(sim, other, node, 0);
	}
	for (size_t i = 0; i < SIM_CONNECTIONS_MAX; i++) {
		struct connection *connection = &sim->network.connections[i];
		if (connection->id && connection->node == node && connection->open_at_node) {
			connection->open_at_node = false;
			send_message(sim, connection, &(struct message){.closes = true}, NULL);
			if (!connection->open_at_client)
				connection->id = 0;
		}
	}
}

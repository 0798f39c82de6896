/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot_send.h"

#include "api/limits.h"
#include "api/peer.pb-c.h"
#include "fatal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Cuts ---------------------------------------------------------------------------------------------------------
 */

struct snapshot_cut *snapshot_cut_ref(struct snapshot_cut *cut) {
	if (cut)
		cut->users++;
	return cut;
}

struct snapshot_cut *snapshot_cut_unref(struct snapshot_cut *cut) {
	if (!cut || --cut->users > 0)
		return NULL;
	close(cut->snapshot.fd);
	free(cut->snapshot.header);
	free(cut);
	return NULL;
}

/* ---- Sending ------------------------------------------------------------------------------------------------------
 */

static void add_job(struct snapshot_send *send, struct checkpointer_job *job) {
	assert(!send->busy);
	send->busy = true;
	job->owner = send;
	checkpointer_add(send->checkpointer, job);
}

struct snapshot_send *snapshot_send_new(struct checkpointer *checkpointer, const struct node_snapshot *snapshot) {
	struct snapshot_send *send = fatal_alloc(sizeof *send);

	send->checkpointer = checkpointer;
	send->group = snapshot->group;
	send->peer = snapshot->peer;
	send->term = snapshot->term;
	send->waiting = true;
	return send;
}

void snapshot_send_cut(struct snapshot_send *send, struct snapshot_cut *kept) {
	struct checkpointer_job *job = fatal_alloc(sizeof *job);

	send->waiting = false;
	job->item.kind = INBOX_SNAPSHOT_CUT;
	job->group = send->group;
	if (kept && kept->group == send->group) {
		send->cut = snapshot_cut_ref(kept);
		job->have = kept->snapshot.index;
	}
	add_job(send, job);
}

struct snapshot_send *snapshot_send_free(struct snapshot_send *send) {
	assert(!send->busy);
	snapshot_cut_unref(send->cut);
	free(send);
	return NULL;
}

int snapshot_send_on_cut(struct snapshot_send *send, const struct checkpointer_job *job) {
	send->busy = false;
	if (job->result != 0)
		return -1;
	if (job->unchanged)
		return 0;
	snapshot_cut_unref(send->cut);
	send->cut = fatal_alloc(sizeof *send->cut);
	send->cut->users = 1;
	send->cut->group = send->group;
	send->cut->snapshot = job->snapshot;
	return 0;
}

/* Ends the transfer behind the last chunk, reads the next one before that. */
static void go_on(struct snapshot_send *send) {
	struct checkpointer_job *job;
	uint64_t left = send->cut->snapshot.bytes - send->offset;
	size_t n = left < LIMIT_SNAPSHOT_CHUNK_BYTES ? left : LIMIT_SNAPSHOT_CHUNK_BYTES;

	if (left == 0) {
		Peer__SnapshotEnd end = PEER__SNAPSHOT_END__INIT;
		uint8_t body[64];

		end.digest = (ProtobufCBinaryData){.data = send->cut->snapshot.digest,
						   .len = sizeof send->cut->snapshot.digest};
		connection_send(send->connection, FRAME_PEER_SNAPSHOT_END, 0, body,
				peer__snapshot_end__pack(&end, body));
		connection_flush(send->connection);
		send->end_sent = true;
		return;
	}
	job = fatal_alloc(sizeof *job);
	job->item.kind = INBOX_SNAPSHOT_READ;
	job->fd = send->cut->snapshot.fd;
	job->offset = send->offset;
	job->n = n;
	job->bytes = fatal_alloc(n);
	add_job(send, job);
}

int snapshot_send_on_read(struct snapshot_send *send, const struct checkpointer_job *job) {
	Peer__SnapshotChunk chunk = PEER__SNAPSHOT_CHUNK__INIT;
	uint8_t *body;

	send->busy = false;
	if (job->result != 0)
		return -1;
	if (send->ended)
		return 0;

	chunk.offset = job->offset;
	chunk.data = (ProtobufCBinaryData){.data = job->bytes, .len = job->n};
	body = fatal_alloc(peer__snapshot_chunk__get_packed_size(&chunk));
	connection_send(send->connection, FRAME_PEER_SNAPSHOT_CHUNK, 0, body, peer__snapshot_chunk__pack(&chunk, body));
	connection_flush(send->connection);
	free(body);
	send->offset += job->n;
	connection_await_drained(send->connection, LIMIT_SNAPSHOT_CHUNK_BYTES / 2);
	return 0;
}

static ProtobufCBinaryData binary(const void *bytes, size_t n) {
	return (ProtobufCBinaryData){.data = (uint8_t *)bytes, .len = n};
}

static uint64_t first_offset(const struct store_snapshot *snapshot, const struct hello *theirs) {
	bool same = memcmp(snapshot->digest, theirs->snapshot.bytes, sizeof snapshot->digest) == 0;

	return same && theirs->snapshot_offset <= snapshot->bytes ? theirs->snapshot_offset : 0;
}

void snapshot_send_begin(struct snapshot_send *send, struct connection *connection, const struct hello *own,
			 const struct hello *theirs) {
	const struct store_snapshot *snapshot = &send->cut->snapshot;
	Peer__SnapshotHeader header = PEER__SNAPSHOT_HEADER__INIT;
	uint8_t *body;

	send->connection = connection;
	send->offset = first_offset(snapshot, theirs);
	header.format = SNAPSHOT_FORMAT;
	header.incarnation = binary(own->incarnation.bytes, sizeof own->incarnation.bytes);
	header.epoch = own->epoch;
	header.group = send->group;
	header.from = own->node;
	header.sender_term = send->term;
	header.header = binary(snapshot->header, snapshot->header_bytes);
	header.rows = snapshot->rows;
	header.bytes = snapshot->bytes;
	header.digest = binary(snapshot->digest, sizeof snapshot->digest);
	header.offset = send->offset;

	body = fatal_alloc(peer__snapshot_header__get_packed_size(&header));
	connection_send(connection, FRAME_PEER_SNAPSHOT_HEADER, 0, body, peer__snapshot_header__pack(&header, body));
	connection_flush(connection);
	free(body);
	go_on(send);
}

void snapshot_send_on_drained(struct snapshot_send *send) {
	if (!send->busy && !send->ended && !send->end_sent)
		go_on(send);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Every maximum of the service on one screen. A queue, a table or a field that a stranger can grow has its bound here,
 * and the comment says what happens when the bound is met. */
#ifndef API_LIMITS_H
#define API_LIMITS_H

enum {
	/* Wire. A longer frame closes the connection; before HELLO the smaller bound holds. */
	LIMIT_FRAME_BYTES_MAX = 1 << 20,
	LIMIT_FRAME_BYTES_MAX_UNGREETED = 64 << 10,
	/* Decoding arena: this much plus LIMIT_ARENA_FACTOR times the body; a body that unpacks to more is refused. */
	LIMIT_ARENA_BYTES_BASE = 16 << 10,
	LIMIT_ARENA_FACTOR = 8,

	/* Fields of requests, in bytes. Longer ones are answered INVALID. */
	LIMIT_NAME_BYTES_MAX = 512,
	LIMIT_VALUE_BYTES_MAX = 4096,
	LIMIT_OWNER_BYTES_MAX = 128,
	LIMIT_HOST_BYTES_MAX = 256,
	LIMIT_LABEL_BYTES_MAX = 256,
	LIMIT_ADDRESS_BYTES_MAX = 512,
	LIMIT_NONCE_BYTES = 16,
	LIMIT_UUID_BYTES = 16,

	/* Placement. A lock name hashes to one of LIMIT_SLOTS slots; a group owns a set of slots. */
	LIMIT_SLOTS = 1024,
	LIMIT_GROUPS_MAX = 64,
	LIMIT_NODES_MAX = 9,
	/* Nodes that called and are no members; beyond it the one that called longest ago is forgotten. */
	LIMIT_CANDIDATES_MAX = 16,
	/* Stores in whose place a blank node may stand, each found damaged in its turn. */
	LIMIT_PAST_STORES_MAX = 8,

	/* Sessions. A TTL outside the range is answered INVALID, a session above the maximum LIMIT. */
	LIMIT_TTL_MS_MIN = 3000,
	LIMIT_TTL_MS_MAX = 24 * 60 * 60 * 1000,
	LIMIT_SESSIONS_MAX = 1 << 20,
	/* Sequences a session may have open above its floor. Beyond it: WINDOW. */
	LIMIT_SEQUENCE_WINDOW = 64,
	/* Sessions named by one EXPIRE, LATE or RENEWED command; more go into further commands. */
	LIMIT_SESSIONS_PER_COMMAND = 1024,
	/* Sessions named by one keep-alive frame; a client with more sends several frames. */
	LIMIT_SESSIONS_PER_KEEP_ALIVE = 4096,

	/* Locks. Beyond either maximum: LIMIT. */
	LIMIT_LOCKS_MAX = 4 << 20,
	LIMIT_SEATS_MAX = 1 << 20,
	/* Rows that one list page carries; the next page starts behind the last name. */
	LIMIT_LIST_ROWS_MAX = 1000,

	/* Answers to reads that one turn makes, so that proposals and heartbeats pass between: once one of the marks is
	 * met, the reads that are left wait for the next turn. */
	LIMIT_READ_BYTES_PER_TURN = 256 << 10,
	LIMIT_READS_PER_TURN = 1024,

	/* History of holder changes kept for observers. An observer that resumes from before it gets an explicit gap. */
	LIMIT_HISTORY_CHANGES_MAX = 1 << 16,
	LIMIT_HISTORY_BYTES_MAX = 16 << 20,

	/* Admission of a node. Beyond any of them: BUSY. */
	LIMIT_PENDING_REQUESTS_MAX = 1 << 17,
	LIMIT_PENDING_BYTES_MAX = 16 << 20,
	LIMIT_CONNECTIONS_MAX = 8192,
	LIMIT_REQUESTS_PER_CONNECTION_MAX = 1 << 16,
	/* Who has fewer under way finds room although others have filled it. */
	LIMIT_REQUESTS_PER_CONNECTION_MODEST = 16,
	LIMIT_OBSERVERS_MAX = 1 << 16,

	/* Log. One entry packs the commands of a turn. */
	LIMIT_ENTRY_BYTES_MAX = 256 << 10,
	LIMIT_COMMANDS_PER_ENTRY_MAX = 1 << 12,
	/* What one append message carries; entries are never split, so a single large one goes alone. */
	LIMIT_APPEND_ENTRIES_MAX = 256,
	LIMIT_APPEND_BYTES_MAX = 512 << 10,
	/* Appends and bytes on their way to one follower before the leader waits for an answer. */
	LIMIT_INFLIGHT_APPENDS = 64,
	LIMIT_INFLIGHT_BYTES = 4 << 20,
	/* A checkpoint starts when this much log has gathered since the last one; as much stays behind it for followers that
	 * lag. The retained log is held in memory, and once it would pass the maximum the node answers BUSY until a
	 * checkpoint is durable. */
	LIMIT_CHECKPOINT_LOG_BYTES = 8 << 20,
	LIMIT_CHECKPOINT_LOG_ENTRIES = 1 << 16,
	LIMIT_TRAILING_LOG_BYTES = 8 << 20,
	LIMIT_TRAILING_LOG_ENTRIES = 1 << 16,
	LIMIT_RETAINED_LOG_BYTES_MAX = 64 << 20,
	/* Rows that one turn copies into a checkpoint, so that a turn stays short. */
	LIMIT_CHECKPOINT_ROWS_PER_TURN = 2048,
	/* State hashes are compared behind every entry whose index is a multiple of this. */
	LIMIT_STATE_HASH_INTERVAL = 4096,
	/* Snapshot transfer. */
	LIMIT_SNAPSHOT_CHUNK_BYTES = 256 << 10,
	/* A snapshot gathers in the receiver's memory; a header that announces more is refused. */
	LIMIT_SNAPSHOT_BYTES_MAX = 1 << 30,
	/* One part of a backup, and how long a node keeps one that nobody asks for. Each has a copy of the state on the disk;
	 * beyond the maximum of a node: BUSY. */
	LIMIT_BACKUP_PART_BYTES = 256 << 10,
	LIMIT_BACKUP_IDLE_MS = 60000,
	LIMIT_BACKUPS_MAX = 4,

	/* Connections: bytes not yet taken by the peer. Above the first mark we stop reading from a client and let its
	 * reads wait, above the second we close it; a peer's queue drops appends, which Raft sends again. */
	LIMIT_OUTPUT_BYTES_HIGH = 1 << 20,
	LIMIT_OUTPUT_BYTES_MAX = 8 << 20,
	LIMIT_PEER_OUTPUT_BYTES_MAX = 8 << 20,
	/* Input handed to the core loop and not yet taken. Above it the connections are not read. */
	LIMIT_INBOX_BYTES_MAX = 32 << 20,
	/* A connection that has not sent a valid HELLO by then is closed. */
	LIMIT_HELLO_MS = 5000,
	LIMIT_UNGREETED_CONNECTIONS_MAX = 256,
};

_Static_assert((LIMIT_SLOTS & (LIMIT_SLOTS - 1)) == 0, "a slot is taken from the low bits of a hash");
_Static_assert(LIMIT_APPEND_BYTES_MAX + LIMIT_ENTRY_BYTES_MAX < LIMIT_FRAME_BYTES_MAX, "an append fits into a frame");
_Static_assert(LIMIT_COMMANDS_PER_ENTRY_MAX <= 1 << 16, "a revision keeps 16 bits for the position in an entry");
_Static_assert(LIMIT_SNAPSHOT_CHUNK_BYTES < LIMIT_FRAME_BYTES_MAX, "a chunk fits into a frame");
_Static_assert(LIMIT_BACKUP_PART_BYTES < LIMIT_FRAME_BYTES_MAX, "a part fits into a frame");

#endif

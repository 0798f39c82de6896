/* SPDX-License-Identifier: Apache-2.0 */
/* The driver of one node: takes the inbox, reads the clocks, steps, executes the effects. What lockd/io does with
 * threads and sockets, this does in virtual time, and checks each effect on its way out.
 *
 * A machine has two clocks that drift alike: the monotonic one stands still while the machine is suspended, the boot
 * clock and true time go on. There is no wall clock: nothing that is simulated takes one, so its steps cannot matter.
 */
#ifndef TESTS_SIM_HOST_H
#define TESTS_SIM_HOST_H

#include "api/limits.h"
#include "lockd/node/node.h"
#include "tests/sim/plan.h"

struct sim;
struct disk;

struct host_mail {
	struct node_event event;
	void *body;     /* owned; event.body points into it */
	bool of_leader; /* a frame that a leader sent */
};

/* A snapshot as it came over the wire: rows are a run of (size_t length, record). */
struct host_snapshot {
	uint32_t peer, group;
	raft_term term;
	const uint8_t *header;
	size_t header_bytes;
	const uint8_t *rows;
	size_t n_rows;
};

struct host {
	uint32_t id;
	struct node_uuid store;
	struct prng prng;
	struct node *node; /* NULL while down */
	bool up, stopping;
	uint64_t boot;
	bool installed_anew; /* with the present program */
	struct node_uuid past[LIMIT_PAST_STORES_MAX]; /* in whose place its store stands, the latest first */
	size_t n_past;
	struct node_uuid past_incarnation;
	uint32_t repairs;
	struct node_memory memory; /* what its disk held as it booted */
	sim_usec paused_until, suspended_until;
	int32_t drift_ppm;    /* of this machine's clocks, real */
	sim_usec clock_base;  /* what both clocks show at … */
	sim_usec clock_since; /* … this true time: when the machine came up */
	raft_usec asleep;     /* what the monotonic clock has lost since then, and will have at suspended_until */
	struct host_mail *inbox;
	size_t n_inbox, inbox_size;
	sim_usec heard_leader_at; /* the last step that took a frame of a leader, or was a leader's own */
	sim_usec step_at;         /* planned; ~0: not */
	struct {
		uint8_t *bytes; /* NULL: nothing is staged */
		struct node_bytes *rows;
	} stage;
	struct node_event *events; /* scratch */
	size_t events_size;
};

void host_init(struct sim *sim, uint32_t id, struct prng prng);
void host_deinit(struct host *host);

void host_boot(struct sim *sim, uint32_t id);
void host_crash(struct sim *sim, uint32_t id);
/* Like a stopped process: nothing runs, clocks and network go on. */
void host_pause(struct sim *sim, uint32_t id, sim_usec until);
/* Like a laptop that is closed, or a virtual machine that is moved: process, disk and monotonic clock stand still. */
void host_suspend(struct sim *sim, uint32_t id, sim_usec until);
/* Ends pause and suspension. */
void host_wake(struct sim *sim, uint32_t id);
/* What its clocks show; not while the machine is suspended. */
struct raft_clocks host_clocks(const struct host *host, sim_usec at);
bool host_leads(const struct host *host);
raft_term host_term(const struct host *host);

/* An event for the next step; host_post_body() copies the body. Dropped while the host is down. */
void host_post(struct sim *sim, uint32_t id, const struct node_event *event);
void host_post_body(struct sim *sim, uint32_t id, const struct node_event *event, const void *body, size_t n);
void host_post_peer(struct sim *sim, uint32_t id, const struct node_event *event, const void *body, size_t n,
		    bool of_leader);
/* What the peer has sent and the host has not taken is lost. */
void host_drop_frames(struct host *host, uint32_t peer);
/* What was asked of the driver is done; what a cut points to stays until the node drops the backup. */
void host_report_backup(struct sim *sim, uint32_t id, const struct node_backup_report *report);
/* A whole snapshot has come in: true if it is staged, false while another one still is. */
bool host_stage(struct sim *sim, uint32_t id, const struct host_snapshot *snapshot);

/* Founds the cluster of all hosts but the spares, by this one. */
void host_found(struct sim *sim, uint32_t id);
/* A blank node that is no member has called this one. */
void host_meet(struct sim *sim, uint32_t id, uint32_t caller);
/* Somebody says so who has a store of his own and claims that it stands in the place of that node's. */
void host_meet_falsely(struct sim *sim, uint32_t id, uint32_t node, const struct node_uuid *store);
/* Its data folder is found damaged when it is opened: set aside, a blank one takes its place. The host stays down. */
void host_damage(struct sim *sim, uint32_t id);
/* The machine is installed anew: blank, with another store. */
void host_wipe(struct sim *sim, uint32_t id);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What stands behind the model of a disk: nothing in lockd-sim (unbacked.c), the real store on a disk in memory in
 * lockd-sim-store (tests/fault/backing.c).
 *
 * Whatever happens to the model happens to the store, which must hold the same at any time. What a power cut leaves of a
 * write is drawn by the model; it must be among what the store can leave, and the store may leave nothing else. So the
 * world of a seed is the same in both programs. */
#ifndef TESTS_SIM_BACKING_H
#define TESTS_SIM_BACKING_H

#include "tests/sim/disk.h"

#include <stdio.h>

struct backing;
struct sim;
struct totals;

extern const char backing_program[];

/* Options of the program beside those that both have; false: unknown, or a wrong value. */
bool backing_parse(const char *name, const char *value);
void backing_usage(FILE *out);
/* What is not as it is without options, for the line that replays a seed. */
void backing_print_options(FILE *out);
/* Name of a count of the store that is zero and should not be, or NULL. */
const char *backing_find_zero(const struct totals *totals);

/* The next program that runs on the copy of a disk finds what is durable now. NULL may be copied and freed. */
struct backing *backing_copy(const struct backing *backing);
struct backing *backing_free(struct backing *backing);

/* The node has loaded what the model holds, and has started. */
void backing_boot(struct sim *sim, uint32_t node, const struct node_config *config, const struct raft_clocks *clocks);
/* Before the model takes over what is under way (disk_under_way(), disk->checkpointing). */
void backing_write(struct sim *sim, uint32_t node);
void backing_checkpoint(struct sim *sim, uint32_t node);
/* That much of what is under way is left. */
void backing_crash(struct sim *sim, uint32_t node, enum disk_outcome outcome, bool checkpoint);
/* The node has stopped by itself; the crash that follows finds nothing to lose. */
void backing_stop(struct sim *sim, uint32_t node);
/* The checkpoint goes to another node. */
void backing_send(struct sim *sim, uint32_t node);
/* The folder of a node that is down is found damaged and set aside; what then stands behind its next disk. */
struct backing *backing_damage(struct sim *sim, uint32_t node);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* lockd-sim: the model of a disk stands for itself. */
#include "tests/sim/backing.h"

const char backing_program[] = "lockd-sim";

bool backing_parse(const char *name, const char *value) {
	(void)name;
	(void)value;
	return false;
}

void backing_usage(FILE *out) {
	(void)out;
}

void backing_print_options(FILE *out) {
	(void)out;
}

const char *backing_find_zero(const struct totals *totals) {
	(void)totals;
	return NULL;
}

struct backing *backing_copy(const struct backing *backing) {
	(void)backing;
	return NULL;
}

struct backing *backing_free(struct backing *backing) {
	(void)backing;
	return NULL;
}

void backing_boot(struct sim *sim, uint32_t node, const struct node_config *config, const struct raft_clocks *clocks) {
	(void)sim;
	(void)node;
	(void)config;
	(void)clocks;
}

void backing_write(struct sim *sim, uint32_t node) {
	(void)sim;
	(void)node;
}

void backing_checkpoint(struct sim *sim, uint32_t node) {
	(void)sim;
	(void)node;
}

void backing_crash(struct sim *sim, uint32_t node, enum disk_outcome outcome, bool checkpoint) {
	(void)sim;
	(void)node;
	(void)outcome;
	(void)checkpoint;
}

void backing_stop(struct sim *sim, uint32_t node) {
	(void)sim;
	(void)node;
}

void backing_send(struct sim *sim, uint32_t node) {
	(void)sim;
	(void)node;
}

struct backing *backing_damage(struct sim *sim, uint32_t node) {
	(void)sim;
	(void)node;
	return NULL;
}

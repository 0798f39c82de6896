/* SPDX-License-Identifier: Apache-2.0 */
/* The service's promises, checked against the reference model: P1 one holder, P2 tokens grow, P3 one believer, P4
 * sessions live as long as promised, P6 reads are linearizable, P7 queue order, P8 exactly once, P9 what is
 * acknowledged is in the log, P11 observers miss nothing. */
#ifndef TESTS_SIM_CHECKER_LOCK_H
#define TESTS_SIM_CHECKER_LOCK_H

#include "api/client.pb-c.h"
#include "lockd/node/node.h"

struct sim;

/* Feeds what the node has applied to the model and compares the node's tables with the model's. */
void checker_lock_step(struct sim *sim, uint32_t node);
void checker_lock_boot(struct sim *sim, uint32_t node);
/* A frame to a client leaves the node: every answer in it must agree with the model. */
void checker_lock_frame(struct sim *sim, uint32_t node, const struct node_client_frame *frame);
/* A client has received a reply: later reads must not be older. */
void checker_lock_told(struct sim *sim, const Client__Reply *reply);
/* What a read says about that lock, SIM_LOCKS_MAX: about all, was so at its revision. */
void checker_lock_read(struct sim *sim, uint32_t lock, const Client__Reply *reply);
/* A client has received a grant and believes in it. */
void checker_lock_granted(struct sim *sim, uint32_t client, uint32_t lock);
/* A client relies on NOT_DONE: that request must never take effect. */
void checker_lock_abandoned(struct sim *sim, uint64_t session, uint64_t sequence);
void checker_lock_event(struct sim *sim, uint32_t client, uint64_t frame, const Client__Event *event);
/* All observations that are in force have seen the last change of their lock. */
bool checker_lock_observers_are_complete(const struct sim *sim);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What a node counts for whoever watches over it. Nothing is decided by these numbers. */
#ifndef LOCKD_NODE_TALLY_H
#define LOCKD_NODE_TALLY_H

#include "lockd/node/node.h"

/* `verb`: field number within Request.body; 0: none that is known. */
void tally_request(struct node *node, uint32_t verb);
void tally_reply(struct node *node, uint32_t status);

#endif

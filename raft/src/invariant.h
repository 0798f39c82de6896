/* SPDX-License-Identifier: Apache-2.0 */
/* Assertions of the core. They stay on in every build: a consensus core that goes on after a broken invariant may
 * destroy what it was trusted with. They guard against mistakes of ours and of the embedder; what the network may do is
 * never asserted. */
#ifndef RAFT_INVARIANT_H
#define RAFT_INVARIANT_H

#include <raft/raft.h>

#define RAFT_ASSERT(condition) ((condition) ? (void)0 : raft_panic(__FILE__, __LINE__, #condition))

#endif

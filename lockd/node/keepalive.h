/* SPDX-License-Identifier: Apache-2.0 */
/* Keep-alives. They are not logged: the leader acknowledges one once it has proved its leadership later than the
 * arrival. While a LATE or EXPIRE naming the session may still take effect, a RENEWED is proposed first and the
 * acknowledgement waits until it is applied; otherwise the next leader would give the session less than was
 * acknowledged. */
#ifndef LOCKD_NODE_KEEPALIVE_H
#define LOCKD_NODE_KEEPALIVE_H

#include "pending.h"
#include "query.h"

/* Its proof has come: answers the query or moves it to those that wait for a RENEWED. */
void keepalive_serve(struct replica *replica, struct query *query);
/* Its RENEWED is applied. */
void keepalive_answer(struct replica *replica, struct query *query);
/* An Open was answered OK: the client counts its lease from that request, even if the session existed before. */
void keepalive_opened(struct replica *replica, const struct pending *pending, state_session_id session);

#endif

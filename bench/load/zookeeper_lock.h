/* SPDX-License-Identifier: Apache-2.0 */
/* The lock recipe that ZooKeeper publishes: an ephemeral sequential node under the parent that names the lock; the
 * lowest number holds; everybody else watches the node before its own. Asynchronous: what follows runs in the thread of
 * the handle that delivers completions, and so do the events, which may acquire or release in turn. */
#ifndef BENCH_LOAD_ZOOKEEPER_LOCK_H
#define BENCH_LOAD_ZOOKEEPER_LOCK_H

#include <stdbool.h>
#include <zookeeper/zookeeper.h>

enum { ZOOKEEPER_LOCK_PARENT_BYTES = 128, ZOOKEEPER_LOCK_NODE_BYTES = 192 };

struct zookeeper_lock;

struct zookeeper_lock_events {
	void (*granted)(struct zookeeper_lock *lock);
	void (*released)(struct zookeeper_lock *lock);
	/* Somebody is before us, and its node is watched. Comes again if that one leaves the queue and others remain.
	 * May be NULL. */
	void (*queued)(struct zookeeper_lock *lock);
	/* Whether to try again. Comes with what was tried and one of ZooKeeper's codes. */
	bool (*failed)(struct zookeeper_lock *lock, const char *what, int rc);
};

/* The caller sets the first four and keeps them until `released`. */
struct zookeeper_lock {
	zhandle_t *handle;
	const struct zookeeper_lock_events *events;
	int seat;                                 /* told apart from others of the same session by this */
	char parent[ZOOKEEPER_LOCK_PARENT_BYTES]; /* path of a node that exists */
	char node[ZOOKEEPER_LOCK_NODE_BYTES];     /* path of our node; "": we do not know of one */
};

void zookeeper_lock_acquire(struct zookeeper_lock *lock);
void zookeeper_lock_release(struct zookeeper_lock *lock);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* After a lost connection nobody knows whether a node was made. So its name begins with the session and the seat, and
 * whoever does not know of a node looks for one with such a name before it makes another. */
#include "bench/load/zookeeper_lock.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SEQUENCE_DIGITS = 10, NAME_BYTES = 64 };

static void look(struct zookeeper_lock *lock);

static void name_of(const struct zookeeper_lock *lock, char ret_name[NAME_BYTES]) {
	int64_t session = zoo_client_id(lock->handle)->client_id;

	snprintf(ret_name, NAME_BYTES, "%016" PRIx64 "-%d-", (uint64_t)session, lock->seat);
}

static bool again(struct zookeeper_lock *lock, const char *what, int rc) {
	return lock->events->failed(lock, what, rc);
}

/* A request that was not even queued is not repeated: it would fail again, and at once. */
static void asked(struct zookeeper_lock *lock, const char *what, int rc) {
	if (rc != ZOK)
		(void)again(lock, what, rc);
}

static void set_node(struct zookeeper_lock *lock, const char *parent, const char *separator, const char *name) {
	int length = snprintf(lock->node, sizeof(lock->node), "%s%s%s", parent, separator, name);

	assert(length > SEQUENCE_DIGITS);
	assert((size_t)length < sizeof(lock->node));
}

static void created(int rc, const char *path, const void *data) {
	struct zookeeper_lock *lock = (void *)data;

	if (rc == ZOK)
		set_node(lock, "", "", path);
	if (rc == ZOK || again(lock, "create", rc))
		look(lock);
}

static void make(struct zookeeper_lock *lock) {
	char name[NAME_BYTES], path[ZOOKEEPER_LOCK_NODE_BYTES];
	int r;

	name_of(lock, name);
	snprintf(path, sizeof(path), "%s/%s", lock->parent, name);
	r = zoo_acreate(lock->handle, path, NULL, -1, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL_SEQUENTIAL, created, lock);
	asked(lock, "create", r);
}

/* Compares as text because ZooKeeper pads the number with zeros. */
static const char *sequence_of(const char *name) {
	size_t length = strlen(name);

	return length < SEQUENCE_DIGITS ? name : name + length - SEQUENCE_DIGITS;
}

static bool find_own(struct zookeeper_lock *lock, const struct String_vector *children) {
	char name[NAME_BYTES];

	name_of(lock, name);
	for (int i = 0; i < children->count; i++) {
		if (strncmp(children->data[i], name, strlen(name)) == 0) {
			set_node(lock, lock->parent, "/", children->data[i]);
			return true;
		}
	}
	return false;
}

/* The highest number below our own; NULL: ours is the lowest. */
static const char *find_predecessor(const struct zookeeper_lock *lock, const struct String_vector *children) {
	const char *own = sequence_of(lock->node), *found = NULL, *sequence;

	for (int i = 0; i < children->count; i++) {
		sequence = sequence_of(children->data[i]);
		if (strcmp(sequence, own) < 0 && (!found || strcmp(sequence, sequence_of(found)) > 0))
			found = children->data[i];
	}
	return found;
}

static void left(zhandle_t *handle, int type, int state, const char *path, void *data) {
	(void)handle;
	(void)state;
	(void)path;
	/* Every watch also hears of the connection; the library sets it again by itself. */
	if (type == ZOO_DELETED_EVENT)
		look(data);
}

static void watched(int rc, const char *value, int length, const struct Stat *stat, const void *data) {
	struct zookeeper_lock *lock = (void *)data;

	(void)value;
	(void)length;
	(void)stat;
	if (rc == ZOK) {
		if (lock->events->queued)
			lock->events->queued(lock);
	} else if (rc == ZNONODE || again(lock, "watch", rc)) {
		look(lock);
	}
}

/* Gets the node instead of asking whether it exists: the latter would leave a watch on a name that never comes back. */
static void watch(struct zookeeper_lock *lock, const char *predecessor) {
	char path[ZOOKEEPER_LOCK_NODE_BYTES];

	snprintf(path, sizeof(path), "%s/%s", lock->parent, predecessor);
	asked(lock, "watch", zoo_awget(lock->handle, path, left, lock, watched, lock));
}

static void listed(int rc, const struct String_vector *children, const void *data) {
	struct zookeeper_lock *lock = (void *)data;
	const char *predecessor;

	if (rc != ZOK) {
		if (again(lock, "list", rc))
			look(lock);
		return;
	}
	if (!lock->node[0] && !find_own(lock, children)) {
		make(lock);
		return;
	}
	predecessor = find_predecessor(lock, children);
	if (predecessor)
		watch(lock, predecessor);
	else
		lock->events->granted(lock);
}

static void look(struct zookeeper_lock *lock) {
	asked(lock, "list", zoo_aget_children(lock->handle, lock->parent, 0, listed, lock));
}

void zookeeper_lock_acquire(struct zookeeper_lock *lock) {
	lock->node[0] = '\0';
	make(lock);
}

/* A node that is not there was deleted by an attempt whose answer was lost. */
static void deleted(int rc, const void *data) {
	struct zookeeper_lock *lock = (void *)data;

	if (rc == ZOK || rc == ZNONODE) {
		lock->node[0] = '\0';
		lock->events->released(lock);
	} else if (again(lock, "delete", rc)) {
		zookeeper_lock_release(lock);
	}
}

void zookeeper_lock_release(struct zookeeper_lock *lock) {
	asked(lock, "delete", zoo_adelete(lock->handle, lock->node, -1, deleted, lock));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Admission: whether a request may begin to wait here. What is refused has had no effect and is never stored. */
#ifndef LOCKD_NODE_ADMISSION_H
#define LOCKD_NODE_ADMISSION_H

#include <stddef.h>

struct client;
struct replica;

/* OK, NOT_LEADER, DISK_FULL or BUSY. `bytes`: what the request costs while it waits. */
int admission_check_command(const struct replica *replica, const struct client *client, size_t bytes);
int admission_check_read(const struct replica *replica, const struct client *client, size_t bytes);

#endif

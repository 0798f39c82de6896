/* SPDX-License-Identifier: Apache-2.0 */
/* Admission: whether a request may begin to wait here. What is refused has had no effect and is never stored. */
#ifndef LOCKD_NODE_ADMISSION_H
#define LOCKD_NODE_ADMISSION_H

#include <stddef.h>

#include "api/client.pb-c.h"

struct client;
struct replica;

/* OK, NOT_LEADER, DISK_FULL or BUSY. `bytes`: what the request costs while it waits. */
int admission_check_command(const struct replica *replica, const struct client *client, size_t bytes);
/* *ret_text, for people, may stay as it is. */
int admission_check_read(const struct replica *replica, const struct client *client, const Client__Request *request,
			 size_t bytes, const char **ret_text);

#endif

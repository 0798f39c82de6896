/* SPDX-License-Identifier: Apache-2.0 */
/* "host:port" as text, before anybody resolves it. */
#ifndef LOCKD_IO_ADDRESS_H
#define LOCKD_IO_ADDRESS_H

#include <stdbool.h>

enum { ADDRESS_BYTES_MAX = 128 }; /* with the zero at the end */

/* A name or number, a colon, a port from 0 to 65535; an IPv6 address stands in brackets. Whether the name resolves is
 * found when it is used. */
bool address_is_valid(const char *text);
/* One that others can be told: the port is not 0, the host no wildcard. */
bool address_is_dialable(const char *text);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of requests: what may stand in them. */
#ifndef LOCKD_NODE_FIELD_H
#define LOCKD_NODE_FIELD_H

#include "api/client.pb-c.h"

#include <stdbool.h>

/* Names the field and the range that it misses. */
struct field_fault {
	char text[128];
};

/* true: *ret says what is wrong. */
bool field_find_fault(const Client__Request *request, struct field_fault *ret);

#endif

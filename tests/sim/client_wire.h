/* SPDX-License-Identifier: Apache-2.0 */
/* A simulated client's requests as bytes. */
#ifndef TESTS_SIM_CLIENT_WIRE_H
#define TESTS_SIM_CLIENT_WIRE_H

#include "tests/sim/client.h"

/* Sends a request over the client's connection and remembers the frame. */
void client_wire_send(struct sim *sim, struct client *client, struct client_request *request);
/* For traces. */
const char *client_kind_name(enum client_kind kind);
void client_wire_hello(struct sim *sim, struct client *client);

#endif

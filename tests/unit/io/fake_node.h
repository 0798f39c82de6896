/* SPDX-License-Identifier: Apache-2.0 */
/* A node that writes down, line by line, what it is handed to restore. */
#ifndef TESTS_UNIT_IO_FAKE_NODE_H
#define TESTS_UNIT_IO_FAKE_NODE_H

#include "lockd/node/node.h"

struct node {
	char trace[1 << 16];
	size_t n;
	const char *refuse; /* calls whose line begins so are refused */
};

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "address.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

enum { PORT_MAX = 65535 };

/* PORT_MAX + 1: no port. */
static uint32_t port_of(const char *colon) {
	uint32_t port = 0;

	if (!colon[1])
		return PORT_MAX + 1;
	for (const char *c = colon + 1; *c && port <= PORT_MAX; c++) {
		if (*c < '0' || *c > '9')
			return PORT_MAX + 1;
		port = port * 10 + (uint32_t)(*c - '0');
	}
	return port;
}

bool address_is_valid(const char *text) {
	const char *colon = strrchr(text, ':');
	bool bracketed = text[0] == '[';

	if (!colon || colon == text || strlen(text) >= ADDRESS_BYTES_MAX || port_of(colon) > PORT_MAX)
		return false;
	if (bracketed && (colon - text <= 2 || colon[-1] != ']'))
		return false;
	for (const char *c = bracketed ? text + 1 : text; c < (bracketed ? colon - 1 : colon); c++) {
		if (!isalnum((unsigned char)*c) && !strchr(bracketed ? ".-_:%" : ".-_*", *c))
			return false;
	}
	return true;
}

static bool has_host(const char *text, const char *host) {
	return strncmp(text, host, strlen(host)) == 0 && text[strlen(host)] == ':';
}

bool address_is_dialable(const char *text) {
	return address_is_valid(text) && port_of(strrchr(text, ':')) > 0 && !has_host(text, "0.0.0.0") &&
	       !has_host(text, "*") && strncmp(text, "[::]:", 5) != 0;
}

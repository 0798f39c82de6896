/* SPDX-License-Identifier: Apache-2.0 */
/* A program that links the static library and has functions with names that the library uses inside. */
#include <lockd/lockd.h>

int frame_parse(void);
int arena_init(void);
int client__request__init(void);
int lockd__request_new(void);

int frame_parse(void) {
	return 1;
}
int arena_init(void) {
	return 2;
}
int client__request__init(void) {
	return 3;
}
int lockd__request_new(void) {
	return 4;
}

int main(void) {
	struct lockd_client *client;

	if (lockd_open(NULL, &client) != LOCKD_OK)
		return 1;
	lockd_close(client);
	return frame_parse() + arena_init() + client__request__init() + lockd__request_new() == 10 ? 0 : 2;
}

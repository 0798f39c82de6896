/* SPDX-License-Identifier: Apache-2.0 */
/* The shortest use of a lock: the example of README.md. */
#include <lockd/lockd.h>
#include <stdio.h>

int main(void) {
	struct lockd_client *client;
	struct lockd_session *session;
	struct lockd_grant grant;

	if (lockd_open(NULL, &client) != LOCKD_OK || lockd_session_open(client, NULL, 5000, &session) != LOCKD_OK)
		return 1;
	if (lockd_acquire(session, "jobs/nightly", NULL, LOCKD_FOREVER, LOCKD_FOREVER, &grant) == LOCKD_OK) {
		printf("token %llu\n", (unsigned long long)grant.token); /* hand it to the resource: <lockd/fence.h> */
		lockd_release(session, "jobs/nightly", grant.token, 5000);
	}
	lockd_session_close(session, 5000);
	lockd_close(client);
}

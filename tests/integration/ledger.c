/* SPDX-License-Identifier: Apache-2.0 */
/* A ledger of what a cluster has acknowledged, for tests that kill it in between: on the public header only.
 *
 *   ledger N SESSION_TTL_MS TIMEOUT_MS
 *
 * Acquires k0, k1, … k(N-1), one after the other, and releases every other one. A line per step: "held NAME TOKEN" and
 * "released NAME TOKEN" once it was acknowledged, "acquiring NAME" and "releasing NAME" before it is asked for: without
 * an answer it may have happened. Ends with 0 when all N were acknowledged, and leaves session and locks behind; with 1
 * at the first failure, or when a step is not answered within TIMEOUT_MS. */
#include <lockd/lockd.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct lockd_session *session;
static int timeout_ms;

static int fail(const char *what, enum lockd_status status) {
	fprintf(stderr, "ledger: %s: %s\n", what, lockd_status_name(status));
	fflush(stdout);
	_exit(1);
}

static void take(long i) {
	char name[32];
	struct lockd_grant grant;
	enum lockd_status status;

	snprintf(name, sizeof name, "k%ld", i);
	printf("acquiring %s\n", name);
	status = lockd_acquire(session, name, NULL, LOCKD_FOREVER, timeout_ms, &grant);
	if (status != LOCKD_OK)
		fail(name, status);
	printf("held %s %llu\n", name, (unsigned long long)grant.token);
	if (i % 2 == 0)
		return;
	printf("releasing %s\n", name);
	status = lockd_release(session, name, grant.token, timeout_ms);
	if (status != LOCKD_OK)
		fail(name, status);
	printf("released %s %llu\n", name, (unsigned long long)grant.token);
}

int main(int argc, char *argv[]) {
	struct lockd_session_options options = {0};
	struct lockd_client *client;
	enum lockd_status status;
	long n;

	if (argc != 4)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	n = strtol(argv[1], NULL, 10);
	options.ttl_ms = (uint32_t)strtoul(argv[2], NULL, 10);
	timeout_ms = (int)strtol(argv[3], NULL, 10);
	if ((status = lockd_open(NULL, &client)) != LOCKD_OK ||
	    (status = lockd_session_open(client, &options, timeout_ms, &session)) != LOCKD_OK)
		fail("session", status);
	for (long i = 0; i < n; i++)
		take(i);
	_exit(0); /* what is held stays held */
}

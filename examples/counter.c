/* SPDX-License-Identifier: Apache-2.0 */
/* Counts in a file under a lock, and checks the token as the protected resource would.
 *
 *   counter --endpoints E --lock NAME --file FILE --times N [--id TAG]
 *
 * FILE holds "value token": the resource and its fence, changed together. Each of the N increments acquires the lock,
 * refuses to write with a token older than the file's, writes value + 1 with its own token, and releases. For each it
 * prints "milliseconds token value", the time on CLOCK_MONOTONIC. A lost session is replaced by another one; leader
 * changes only take time. Exit status: 0 all done, 1 the cluster or the file failed, 2 usage, 3 the file has a greater
 * token. */
#include <errno.h>
#include <getopt.h>
#include <lockd/fence.h>
#include <lockd/lockd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	EXIT_FENCED = 3,
	RETRY_MS = 5000,
	HOLD_US = 1000,
};

static struct {
	const char *endpoints, *lock, *file, *id;
	long times;
} options = {.id = "counter"};

/* ---- The resource: a value and its fence, in one file ----------------------------------------------------------- */

struct resource {
	unsigned long long value;
	struct lockd_fence fence;
};

static bool resource_read(struct resource *ret) {
	FILE *file = fopen(options.file, "r");
	unsigned long long value = 0, token = 0;
	bool ok = true;

	if (!file && errno != ENOENT)
		return perror(options.file), false;
	if (file) {
		ok = fscanf(file, "%llu %llu", &value, &token) == 2;
		fclose(file);
	}
	if (!ok)
		return fprintf(stderr, "counter: %s: not \"value token\"\n", options.file), false;
	*ret = (struct resource){.value = value, .fence = {.token_max = token}};
	return true;
}

/* By rename: a reader sees the old pair or the new one. */
static bool resource_write(const struct resource *resource) {
	char path[4096];
	FILE *file;
	bool ok;

	if ((size_t)snprintf(path, sizeof path, "%s.%ld", options.file, (long)getpid()) >= sizeof path)
		return fprintf(stderr, "counter: the file's name is too long\n"), false;
	file = fopen(path, "w");
	if (!file)
		return perror(path), false;
	ok = fprintf(file, "%llu %llu\n", resource->value, (unsigned long long)resource->fence.token_max) > 0;
	ok = fclose(file) == 0 && ok;
	if (!ok || rename(path, options.file) != 0)
		return perror(path), false;
	return true;
}

static unsigned long long now_ms(void) {
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (unsigned long long)ts.tv_sec * 1000 + (unsigned long long)ts.tv_nsec / 1000000;
}

/* Adds one under the token. Exit status. */
static int increment(uint64_t token) {
	struct resource resource;

	if (!resource_read(&resource))
		return EXIT_FAILURE;
	if (!lockd_fence_admit(&resource.fence, token)) {
		fprintf(stderr, "counter: %s: refused: token %llu is older than %llu\n", options.id,
			(unsigned long long)token, (unsigned long long)resource.fence.token_max);
		return EXIT_FENCED;
	}
	resource.value++;
	if (!resource_write(&resource))
		return EXIT_FAILURE;
	printf("%llu %llu %llu\n", now_ms(), (unsigned long long)token, resource.value);
	usleep(HOLD_US);
	return EXIT_SUCCESS;
}

/* ---- The holder ------------------------------------------------------------------------------------------------- */

static int complain(struct lockd_client *client, const char *what, enum lockd_status status) {
	char reason[512];

	lockd_last_error(client, reason, sizeof reason);
	fprintf(stderr, "counter: %s: %s: %s (%s)\n", options.id, what, lockd_status_text(status), reason);
	return EXIT_FAILURE;
}

/* Without an answer the release goes on in the background, so only the end of the session matters here. */
static bool release(struct lockd_session *session, uint64_t token) {
	enum lockd_status status = lockd_release(session, options.lock, token, RETRY_MS);

	return status != LOCKD_SESSION_EXPIRED && status != LOCKD_NOT_HOLDER;
}

/* Counts in one session until all is done or the session has ended. Exit status. */
static int count(struct lockd_client *client, struct lockd_session *session, long *done) {
	struct lockd_grant grant;
	enum lockd_status status;
	int r;

	while (*done < options.times) {
		status = lockd_acquire(session, options.lock, options.id, LOCKD_FOREVER, LOCKD_FOREVER, &grant);
		if (status == LOCKD_SESSION_EXPIRED)
			return EXIT_SUCCESS;
		if (status != LOCKD_OK)
			return complain(client, "acquire", status);
		/* The lease may have ended since: then somebody else may be at the file, and the token is all that
		 * protects it. */
		if (lockd_session_remaining_ms(session) == 0)
			return EXIT_SUCCESS;
		r = increment(grant.token);
		if (r != EXIT_SUCCESS)
			return r;
		++*done;
		if (!release(session, grant.token))
			return EXIT_SUCCESS;
	}
	return EXIT_SUCCESS;
}

static int run(struct lockd_client *client) {
	struct lockd_session_options session_options = {.label = options.id};
	struct lockd_session *session;
	enum lockd_status status;
	long done = 0;
	int r = EXIT_SUCCESS;

	while (r == EXIT_SUCCESS && done < options.times) {
		status = lockd_session_open(client, &session_options, LOCKD_FOREVER, &session);
		if (status != LOCKD_OK)
			return complain(client, "session", status);
		r = count(client, session, &done);
		(void)lockd_session_close(session, RETRY_MS); /* or it expires */
	}
	return r;
}

static bool parse(int argc, char **argv) {
	static const struct option names[] = {
		{"endpoints", required_argument, NULL, 'e'}, {"lock", required_argument, NULL, 'l'},
		{"file", required_argument, NULL, 'f'},      {"times", required_argument, NULL, 'n'},
		{"id", required_argument, NULL, 'i'},        {0},
	};
	char *end = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case 'e': options.endpoints = optarg; break;
		case 'l': options.lock = optarg; break;
		case 'f': options.file = optarg; break;
		case 'n': options.times = strtol(optarg, &end, 10); break;
		case 'i': options.id = optarg; break;
		default: return false;
		}
	}
	return options.lock && options.file && end && *end == '\0' && options.times > 0 && optind == argc;
}

int main(int argc, char **argv) {
	struct lockd_client *client;
	int r;

	if (!parse(argc, argv))
		return fprintf(stderr, "usage: counter --endpoints E --lock NAME --file FILE --times N [--id TAG]\n"),
		       2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (lockd_open(&(struct lockd_options){.endpoints = options.endpoints, .owner = options.id}, &client) !=
	    LOCKD_OK)
		return fprintf(stderr, "counter: malformed endpoints\n"), 2;
	r = run(client);
	lockd_close(client);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Stands for election and leads until it is told to stop or its lease is lost, in which case it stands again.
 *
 *   election NAME VALUE [--endpoints E]
 *
 * VALUE is what the others see of the leader, an address for instance; "lockctl observe NAME" follows. SIGINT and
 * SIGTERM end it, leadership is given up on the way out. */
#include <lockd/lockd.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool told_to_stop, lease_lost;
} office = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* On a thread of the library: say what happened and return. */
static void on_state(void *user, struct lockd_session *session, enum lockd_session_state state) {
	(void)user;
	(void)session;
	if (state == LOCKD_JEOPARDY)
		printf("the cluster does not answer; the lease runs out soon\n");
	if (state != LOCKD_EXPIRED)
		return;
	pthread_mutex_lock(&office.mutex);
	office.lease_lost = true;
	pthread_cond_signal(&office.changed);
	pthread_mutex_unlock(&office.mutex);
}

static void *wait_for_signal(void *arg) {
	int signal_number;

	(void)sigwait(arg, &signal_number);
	pthread_mutex_lock(&office.mutex);
	office.told_to_stop = true;
	pthread_cond_signal(&office.changed);
	pthread_mutex_unlock(&office.mutex);
	return NULL;
}

/* The result of the campaign, as the callback leaves it. */
struct campaign {
	bool over;
	enum lockd_status status;
	uint64_t token;
};

static void on_elected(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	struct campaign *campaign = user;

	pthread_mutex_lock(&office.mutex);
	*campaign = (struct campaign){.over = true, .status = status, .token = grant->token};
	pthread_cond_signal(&office.changed);
	pthread_mutex_unlock(&office.mutex);
}

/* Waits for office; gives the candidacy up when told to stop. */
static enum lockd_status campaign(struct lockd_session *session, const char *name, const char *value,
				  uint64_t *ret_token) {
	static struct campaign campaign;
	uint64_t sequence;
	enum lockd_status status;
	bool given_up = false;

	campaign = (struct campaign){0};
	status = lockd_acquire_async(session, name, value, LOCKD_FOREVER, on_elected, &campaign, &sequence);
	if (status != LOCKD_OK)
		return status;
	pthread_mutex_lock(&office.mutex);
	while (!campaign.over) {
		if (office.told_to_stop && !given_up) {
			given_up = true;
			pthread_mutex_unlock(&office.mutex);
			(void)lockd_cancel(session, sequence); /* the callback tells how it ended */
			pthread_mutex_lock(&office.mutex);
			continue;
		}
		pthread_cond_wait(&office.changed, &office.mutex);
	}
	status = campaign.status;
	*ret_token = campaign.token;
	pthread_mutex_unlock(&office.mutex);
	return status;
}

/* Leads, which here is waiting. A real leader hands the token to whatever it changes. */
static void lead(struct lockd_session *session, const char *name, uint64_t token) {
	printf("leading with token %llu\n", (unsigned long long)token);
	pthread_mutex_lock(&office.mutex);
	while (!office.told_to_stop && !office.lease_lost)
		pthread_cond_wait(&office.changed, &office.mutex);
	pthread_mutex_unlock(&office.mutex);
	printf("not leading any more\n");
	(void)lockd_resign(session, name, token, 5000); /* without an answer the lease ends by itself */
}

static bool stand(struct lockd_client *client, const char *name, const char *value) {
	struct lockd_session_options options = {.label = name, .on_state = on_state};
	struct lockd_session *session;
	uint64_t token;
	enum lockd_status status;

	office.lease_lost = false;
	status = lockd_session_open(client, &options, 10000, &session);
	if (status != LOCKD_OK) {
		char reason[512];
		lockd_last_error(client, reason, sizeof reason);
		fprintf(stderr, "election: no session: %s (%s)\n", lockd_status_text(status), reason);
		return false;
	}
	status = campaign(session, name, value, &token);
	if (status == LOCKD_OK)
		lead(session, name, token);
	(void)lockd_session_close(session, 5000);
	if (status == LOCKD_OK || status == LOCKD_CANCELLED || status == LOCKD_SESSION_EXPIRED)
		return true;
	fprintf(stderr, "election: %s: %s\n", name, lockd_status_text(status));
	return false;
}

static bool is_told_to_stop(void) {
	bool told;

	pthread_mutex_lock(&office.mutex);
	told = office.told_to_stop;
	pthread_mutex_unlock(&office.mutex);
	return told;
}

int main(int argc, char **argv) {
	struct lockd_options options = {0};
	struct lockd_client *client;
	pthread_t thread;
	sigset_t signals;

	if (argc == 5 && strcmp(argv[3], "--endpoints") == 0)
		options.endpoints = argv[4];
	else if (argc != 3)
		return fprintf(stderr, "usage: election NAME VALUE [--endpoints E]\n"), 2;
	setvbuf(stdout, NULL, _IOLBF, 0);

	/* Blocked before the first call of the library, whose threads inherit it. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	if (pthread_create(&thread, NULL, wait_for_signal, &signals) != 0)
		return 1;

	if (lockd_open(&options, &client) != LOCKD_OK)
		return fprintf(stderr, "election: malformed endpoints\n"), 2;
	while (!is_told_to_stop())
		if (!stand(client, argv[1], argv[2]))
			break;
	lockd_close(client);
	return is_told_to_stop() ? 0 : 1;
}

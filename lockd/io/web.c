/* SPDX-License-Identifier: Apache-2.0 */
#include "web.h"

#include "clock.h"
#include "exposition.h"
#include "fatal.h"
#include "metrics.h"
#include "process.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct visitor {
	TAILQ_ENTRY(visitor) next;
	int socket;
	bool leaving; /* gave way, and is in no list */
};

TAILQ_HEAD(visitor_list, visitor);

struct web {
	struct web_config config;
	int socket; /* -1: libmicrohttpd's by now */
	char address[ADDRESS_BYTES_MAX];
	struct MHD_Daemon *daemon;
	raft_usec process_started;

	/* Of the daemon's thread. */
	struct visitor_list visitors; /* the oldest first */
	unsigned n_visitors;

	pthread_mutex_t lock;
	struct survey survey; /* under the lock */
};

/* ---- Answers ------------------------------------------------------------------------------------------------------
 */

struct answer {
	unsigned status;
	const char *type;
	char *body; /* malloc'd; NULL: there was no memory */
	size_t n;
};

static const char plain_text[] = "text/plain; charset=utf-8";

static void answer_text(struct answer *answer, unsigned status, const char *text) {
	answer->status = status;
	answer->type = plain_text;
	if (asprintf(&answer->body, "%s\n", text) < 0)
		answer->body = NULL;
	answer->n = strlen(text) + 1;
}

static void read_survey(struct web *web, struct survey *ret) {
	pthread_mutex_lock(&web->lock);
	*ret = web->survey;
	pthread_mutex_unlock(&web->lock);
}

static uint64_t free_bytes(const char *folder) {
	struct statvfs disk;

	return statvfs(folder, &disk) == 0 ? (uint64_t)disk.f_bavail * disk.f_frsize : 0;
}

static void fill_exposition(struct web *web, struct exposition *ret) {
	ret->version = web->config.version;
	ret->process_started = web->process_started;
	ret->disk_free_bytes = free_bytes(web->config.data);
	store_get_sizes(web->config.store, &ret->sizes);
	process_read(&ret->process);
	metrics_read(&ret->metrics);
	read_survey(web, &ret->survey);
	ret->now = clock_mono(); /* behind the survey: what that says lies in the past */
}

static void answer_metrics(struct web *web, struct answer *answer) {
	struct exposition exposition;
	FILE *out = open_memstream(&answer->body, &answer->n);

	if (!out)
		return;
	fill_exposition(web, &exposition);
	exposition_write(&exposition, out);
	if (fclose(out) != 0) {
		free(answer->body);
		answer->body = NULL;
	}
	answer->status = MHD_HTTP_OK;
	answer->type = "text/plain; version=0.0.4; charset=utf-8";
}

static void answer_verdict(struct answer *answer, const char *why_not) {
	answer_text(answer, why_not ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK, why_not ? why_not : "ok");
}

static void answer_health(struct web *web, struct answer *answer) {
	struct survey survey;

	read_survey(web, &survey);
	answer_verdict(answer, survey_why_not_healthy(&survey, clock_mono()));
}

static void answer_readiness(struct web *web, struct answer *answer) {
	struct survey survey;

	read_survey(web, &survey);
	answer_verdict(answer, survey_why_not_ready(&survey, clock_mono()));
}

static const struct {
	const char *path;
	void (*answer)(struct web *web, struct answer *answer);
} pages[] = {
	{"/metrics", answer_metrics},
	{"/healthz", answer_health},
	{"/readyz", answer_readiness},
};

static void choose_answer(struct web *web, const char *path, const char *method, struct answer *answer) {
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
		answer_text(answer, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD are answered here");
		return;
	}
	for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
		if (strcmp(path, pages[i].path) == 0) {
			pages[i].answer(web, answer);
			return;
		}
	}
	answer_text(answer, MHD_HTTP_NOT_FOUND, "there are /metrics, /healthz and /readyz");
}

/* ---- libmicrohttpd ------------------------------------------------------------------------------------------------
 */

/* MHD_NO closes the connection. The head is all that is looked at: a body is never read. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path, const char *method,
				  const char *version, const char *upload, size_t *upload_bytes, void **request) {
	struct answer answer = {0};
	struct MHD_Response *response;
	enum MHD_Result r;

	(void)version;
	(void)upload;
	(void)upload_bytes;
	(void)request;
	choose_answer(arg, path, method, &answer);
	if (!answer.body)
		return MHD_NO;
	response = MHD_create_response_from_buffer(answer.n, answer.body, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(answer.body);
		return MHD_NO;
	}
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer.type);
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	if (answer.status == MHD_HTTP_METHOD_NOT_ALLOWED)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	r = MHD_queue_response(connection, answer.status, response);
	MHD_destroy_response(response);
	return r;
}

static void forget(struct web *web, struct visitor *visitor) {
	if (visitor->leaving)
		return;
	TAILQ_REMOVE(&web->visitors, visitor, next);
	web->n_visitors--;
}

/* The oldest gives way to the newest. libmicrohttpd takes that as if the other side had gone. */
static void make_room(struct web *web) {
	struct visitor *oldest = TAILQ_FIRST(&web->visitors);

	if (web->n_visitors < WEB_CONNECTIONS_MAX)
		return;
	(void)shutdown(oldest->socket, SHUT_RDWR);
	forget(web, oldest);
	oldest->leaving = true;
}

static void greet(struct web *web, struct MHD_Connection *connection, void **ret_visitor) {
	struct visitor *visitor = fatal_alloc(sizeof *visitor);

	make_room(web);
	visitor->socket = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	TAILQ_INSERT_TAIL(&web->visitors, visitor, next);
	web->n_visitors++;
	*ret_visitor = visitor;
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode code) {
	struct web *web = arg;
	struct visitor *visitor = *context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		greet(web, connection, context);
		return;
	}
	forget(web, visitor);
	free(visitor);
}

int web_start(struct web *web) {
	assert(web->survey.node > 0);
	errno = 0;
	web->daemon = MHD_start_daemon(
		MHD_USE_AUTO_INTERNAL_THREAD | MHD_USE_ITC, 0, NULL, NULL, on_request, web, MHD_OPTION_LISTEN_SOCKET,
		web->socket, MHD_OPTION_CONNECTION_LIMIT, (unsigned)(2 * WEB_CONNECTIONS_MAX),
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)WEB_IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)WEB_MEMORY_BYTES, MHD_OPTION_NOTIFY_CONNECTION, on_connection, web, MHD_OPTION_END);
	if (!web->daemon)
		return errno ? -errno : -ENOMEM; /* it sets none where its own memory ran out */
	web->socket = -1;
	return 0;
}

/* ---- Life ---------------------------------------------------------------------------------------------------------
 */

/* "host:port" → both parts, as getaddrinfo() wants them: no brackets, NULL for every address of this machine. */
static const char *split_address(const char *address, char out[ADDRESS_BYTES_MAX], const char **ret_port) {
	char *colon, *host = out;

	snprintf(out, ADDRESS_BYTES_MAX, "%s", address);
	colon = strrchr(out, ':');
	*colon = '\0';
	*ret_port = colon + 1;
	if (*host == '[') {
		colon[-1] = '\0';
		host++;
	}
	return strcmp(host, "*") == 0 ? NULL : host;
}

static int listen_on(const struct addrinfo *where) {
	int one = 1, fd = socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one); /* or a restart waits for old connections */
	if (bind(fd, where->ai_addr, where->ai_addrlen) == 0 && listen(fd, WEB_CONNECTIONS_MAX) == 0)
		return fd;
	error = errno;
	(void)close(fd);
	return -error;
}

static int bind_socket(struct web *web, const char **ret_why) {
	struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *found;
	char text[ADDRESS_BYTES_MAX];
	const char *port, *host = split_address(web->config.address, text, &port);
	int r = getaddrinfo(host, port, &hints, &found);

	if (r != 0) {
		*ret_why = gai_strerror(r);
		return -EADDRNOTAVAIL;
	}
	r = listen_on(found);
	freeaddrinfo(found);
	if (r < 0) {
		*ret_why = strerror(-r);
		return r;
	}
	web->socket = r;
	return 0;
}

static void name_socket(struct web *web) {
	struct sockaddr_storage address;
	socklen_t n = sizeof address;
	char host[INET6_ADDRSTRLEN], port[8];
	bool bracketed;

	if (getsockname(web->socket, (struct sockaddr *)&address, &n) < 0 ||
	    getnameinfo((struct sockaddr *)&address, n, host, sizeof host, port, sizeof port,
			NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
		snprintf(web->address, sizeof web->address, "%s", web->config.address);
		return;
	}
	bracketed = address.ss_family == AF_INET6;
	snprintf(web->address, sizeof web->address, "%s%s%s:%s", bracketed ? "[" : "", host, bracketed ? "]" : "",
		 port);
}

static raft_usec started_at(void) {
	struct process process;
	struct raft_clocks clocks;

	process_read(&process);
	clock_read(&clocks);
	return clock_wall() - (clocks.boot - process.started);
}

int web_open(const struct web_config *config, struct web **ret, const char **ret_why) {
	struct web *web = fatal_alloc(sizeof *web);
	int r;

	web->config = *config;
	web->socket = -1;
	TAILQ_INIT(&web->visitors);
	pthread_mutex_init(&web->lock, NULL);
	r = bind_socket(web, ret_why);
	if (r < 0) {
		web_close(web);
		return r;
	}
	name_socket(web);
	web->process_started = started_at();
	*ret = web;
	return 0;
}

const char *web_address(const struct web *web) {
	return web->address;
}

void web_publish(struct web *web, const struct survey *survey) {
	pthread_mutex_lock(&web->lock);
	web->survey = *survey;
	pthread_mutex_unlock(&web->lock);
}

struct web *web_close(struct web *web) {
	if (!web)
		return NULL;
	if (web->daemon)
		MHD_stop_daemon(web->daemon);
	assert(web->n_visitors == 0);
	if (web->socket >= 0)
		(void)close(web->socket);
	pthread_mutex_destroy(&web->lock);
	free(web);
	return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server, over real connections; the test plays the store. */
#include "lockd/io/clock.h"
#include "lockd/io/web.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { ANSWER_BYTES_MAX = 64 << 10 };

void store_get_sizes(const struct store *store, struct store_sizes *ret) {
	(void)store;
	*ret = (struct store_sizes){.log_bytes = 111, .state_bytes = 222, .reserve_bytes = 333};
}

static const struct survey well = {.node = 3, .member = true, .raft = {.role = RAFT_FOLLOWER, .term = 2, .leader = 1}};

static void publish(struct web *web, struct survey survey) {
	survey.taken = clock_mono();
	web_publish(web, &survey);
}

static struct web *web_of(const char *address) {
	struct web_config config = {.address = address, .version = "1.2.3", .data = "/"};
	const char *why = "";
	struct web *web;

	if (web_open(&config, &web, &why) != 0)
		fail_msg("%s: %s", address, why);
	publish(web, well);
	assert_int_equal(web_start(web), 0);
	return web;
}

/* A connection to it on which nothing has been said. */
static int visit(const struct web *web) {
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval patience = {.tv_sec = 2 * WEB_IDLE_S};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_port = htons((uint16_t)strtoul(strrchr(web_address(web), ':') + 1, NULL, 10));
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	return fd;
}

static void say(int fd, const char *text, size_t n) {
	while (n > 0) {
		ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return; /* refused half way: the answer tells */
		text += sent;
		n -= (size_t)sent;
	}
}

/* Up to the end of the connection, which it closes; false: no end came in time. */
static bool hear(int fd, char answer[ANSWER_BYTES_MAX]) {
	size_t n = 0;
	ssize_t got;

	while ((got = recv(fd, answer + n, ANSWER_BYTES_MAX - 1 - n, 0)) > 0)
		n += (size_t)got;
	answer[n] = '\0';
	close(fd);
	return got == 0 || errno == ECONNRESET;
}

static void ask(const struct web *web, const char *request, char answer[ANSWER_BYTES_MAX]) {
	int fd = visit(web);

	say(fd, request, strlen(request));
	assert_true(hear(fd, answer));
}

static void expect(const char *answer, const char *status, const char *body) {
	if (strncmp(answer, status, strlen(status)) != 0 || !strstr(answer, body))
		fail_msg("neither %s nor %s in:\n%s", status, body, answer);
}

static void test_web__refuses_an_address_that_is_taken_or_not_ours(void **state) {
	struct web *web = web_of("127.0.0.1:0"), *second;
	struct web_config config = {.address = web_address(web), .version = "", .data = "/"};
	const char *why;

	(void)state;
	assert_int_equal(web_open(&config, &second, &why), -EADDRINUSE);
	assert_string_equal(why, strerror(EADDRINUSE));
	config.address = "192.0.2.1:7602";
	assert_int_equal(web_open(&config, &second, &why), -EADDRNOTAVAIL);
	web_close(web);
}

static void test_web__refuses_other_paths_and_methods(void **state) {
	struct web *web = web_of("127.0.0.1:0");
	char answer[ANSWER_BYTES_MAX];

	(void)state;
	ask(web, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", answer);
	expect(answer, "HTTP/1.1 404 ", "there are /metrics, /healthz and /readyz\n");
	ask(web, "GET /metrics/ HTTP/1.1\r\nHost: x\r\n\r\n", answer);
	expect(answer, "HTTP/1.1 404 ", "");
	ask(web, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", answer);
	expect(answer, "HTTP/1.1 405 ", "Allow: GET, HEAD\r\n");
	ask(web, "DELETE /healthz HTTP/1.1\r\nHost: x\r\n\r\n", answer);
	expect(answer, "HTTP/1.1 405 ", "");
	web_close(web);
}

static void test_web__refuses_what_is_no_request(void **state) {
	struct web *web = web_of("127.0.0.1:0");
	const size_t bytes = 1 << 20;
	char answer[ANSWER_BYTES_MAX], *head = malloc(bytes);
	int fd = visit(web);

	(void)state;
	memset(head, 'a', bytes);
	memcpy(head, "GET /metrics HTTP/1.1\r\nX: ", 26);
	say(fd, head, bytes);
	assert_true(hear(fd, answer));
	assert_null(strstr(answer, " 200 "));
	free(head);
	ask(web, "\x16\x03\x01 hello\r\n\r\n", answer);
	assert_null(strstr(answer, " 200 "));
	ask(web, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", answer);
	expect(answer, "HTTP/1.1 200 ", "\r\n\r\nok\n");
	web_close(web);
}

static void test_web__answers_from_the_latest_survey(void **state) {
	struct web *web = web_of("127.0.0.1:0");
	struct survey survey = well;
	char answer[ANSWER_BYTES_MAX];

	(void)state;
	ask(web, "GET /readyz HTTP/1.0\r\n\r\n", answer);
	expect(answer, "HTTP/1.", "\r\n\r\nok\n");
	survey.raft.leader = 0;
	publish(web, survey);
	ask(web, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", answer);
	expect(answer, "HTTP/1.1 503 ", "\r\n\r\nno leader is known\n");
	ask(web, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", answer);
	expect(answer, "HTTP/1.1 200 ", "\r\n\r\nok\n");
	survey.full_since = 1;
	publish(web, survey);
	ask(web, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", answer);
	expect(answer, "HTTP/1.1 503 ", "\r\n\r\nthe disk is full\n");
	web_close(web);
}

static void test_web__serves_the_metrics(void **state) {
	struct web *web = web_of("127.0.0.1:0");
	char answer[ANSWER_BYTES_MAX];

	(void)state;
	ask(web, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", answer);
	expect(answer, "HTTP/1.1 200 ", "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
	expect(answer, "HTTP/1.1 200 ", "\nlockd_build_info{version=\"1.2.3\"} 1\n");
	expect(answer, "HTTP/1.1 200 ", "\nlockd_node_id 3\n");
	expect(answer, "HTTP/1.1 200 ", "\nlockd_log_file_bytes 111\n");
	expect(answer, "HTTP/1.1 200 ", "\nlockd_state_file_bytes 222\n");
	expect(answer, "HTTP/1.1 200 ", "\nlockd_disk_reserve_bytes 333\n");
	ask(web, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", answer);
	expect(answer, "HTTP/1.1 200 ", "version=0.0.4");
	assert_null(strstr(answer, "lockd_node_id"));
	web_close(web);
}

/* Twice as many as it keeps, none of which says a word: the newest is served, the oldest had to go before it fell
 * silent for too long. */
static void test_web__lets_the_oldest_silent_connection_give_way(void **state) {
	struct web *web = web_of("127.0.0.1:0");
	int silent[2 * WEB_CONNECTIONS_MAX];
	char answer[ANSWER_BYTES_MAX];
	raft_usec began = clock_mono();

	(void)state;
	for (int i = 0; i < 2 * WEB_CONNECTIONS_MAX; i++)
		silent[i] = visit(web);
	ask(web, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", answer);
	expect(answer, "HTTP/1.1 200 ", "\r\n\r\nok\n");
	assert_true(hear(silent[0], answer));
	assert_string_equal(answer, "");
	assert_true(clock_mono() - began < (WEB_IDLE_S - 1) * 1000 * 1000ull);
	say(silent[2 * WEB_CONNECTIONS_MAX - 1], "GET /healthz HTTP/1.0\r\n\r\n", 25);
	assert_true(hear(silent[2 * WEB_CONNECTIONS_MAX - 1], answer));
	expect(answer, "HTTP/1.", "\r\n\r\nok\n");
	for (int i = 1; i < 2 * WEB_CONNECTIONS_MAX - 1; i++)
		close(silent[i]);
	web_close(web);
}

static void test_web__closes_with_visitors(void **state) {
	struct web *web = web_of("127.0.0.1:0");
	char answer[ANSWER_BYTES_MAX];
	int fd = visit(web);

	(void)state;
	ask(web, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", answer);
	web_close(web);
	assert_true(hear(fd, answer));
	assert_null(web_close(NULL));
}

static void test_web__listens_on_ipv6(void **state) {
	struct web_config config = {.address = "[::1]:0", .version = "", .data = "/"};
	const char *why;
	struct web *web;

	(void)state;
	if (web_open(&config, &web, &why) == -EADDRNOTAVAIL)
		skip(); /* a machine without it */
	assert_memory_equal(web_address(web), "[::1]:", 6);
	web_close(web);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_web__refuses_an_address_that_is_taken_or_not_ours),
		cmocka_unit_test(test_web__refuses_other_paths_and_methods),
		cmocka_unit_test(test_web__refuses_what_is_no_request),
		cmocka_unit_test(test_web__answers_from_the_latest_survey),
		cmocka_unit_test(test_web__serves_the_metrics),
		cmocka_unit_test(test_web__lets_the_oldest_silent_connection_give_way),
		cmocka_unit_test(test_web__closes_with_visitors),
		cmocka_unit_test(test_web__listens_on_ipv6),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("web", tests, NULL, NULL);
}

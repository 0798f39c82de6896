/* SPDX-License-Identifier: Apache-2.0 */
/* Set-up and reverse teardown of the daemon: configuration, signals, the loop. */
#include "lockd/config.h"
#include "lockd/io/examination.h"
#include "lockd/io/log.h"
#include "lockd/io/loop.h"
#include "lockd/io/recovery.h"
#include "lockd/io/restoration.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

/* Blocked before any thread exists, so that sigwait() gets them and no other thread does. */
static void block_signals(sigset_t *ret_stop) {
	sigemptyset(ret_stop);
	sigaddset(ret_stop, SIGTERM);
	sigaddset(ret_stop, SIGINT);
	pthread_sigmask(SIG_BLOCK, ret_stop, NULL);
	signal(SIGPIPE, SIG_IGN); /* a closed socket is an error of its own write */
}

static size_t list_addresses(const struct config *config, struct node_address out[LIMIT_NODES_MAX]) {
	for (uint32_t i = 0; i < config->n_peers; i++)
		out[i] = (struct node_address){.node = config->peers[i].node,
					       .peer_address = config->peers[i].peer_address,
					       .client_address = config->peers[i].client_address};
	return config->n_peers;
}

static struct raft_timing timing_of(const struct config *config) {
	return (struct raft_timing){.heartbeat = config->heartbeat_ms * 1000ull,
				    .election_min = config->election_ms_min * 1000ull,
				    .election_max = config->election_ms_max * 1000ull,
				    .check_quorum = config->check_quorum_ms * 1000ull,
				    /* Longer than a round trip with its fsync, by the same margin as the heartbeat. */
				    .stagger = config->heartbeat_ms * 1000ull / 2};
}

static int serve(const struct config *config) {
	struct node_address addresses[LIMIT_NODES_MAX];
	struct loop_config loop_config = {.node = config->node,
					  .data = config->data,
					  .listen_peer = config->listen_peer,
					  .listen_client = config->listen_client,
					  .listen_metrics = config->listen_metrics,
					  .addresses = addresses,
					  .n_addresses = list_addresses(config, addresses),
					  .timing = timing_of(config),
					  .promise_ms = config->promise_ms,
					  .drift_ppm = config->drift_ppm,
					  .checkpoint_log_bytes = config->checkpoint_log_bytes,
					  .checkpoint_log_entries = config->checkpoint_log_entries,
					  .trailing_log_bytes = config->trailing_log_bytes,
					  .trailing_log_entries = config->trailing_log_entries,
					  .reserve_bytes = (uint64_t)config->reserve_mib << 20,
					  .leader_lease = config->leader_lease,
					  .repair = config->repair,
					  .stall = config->stall_ms * 1000ull,
					  .version = LOCKD_VERSION};
	struct loop_error error;
	struct loop *loop;
	sigset_t stop;
	int number;

	block_signals(&stop);
	if (loop_open(&loop_config, &loop, &error) < 0) {
		fprintf(stderr, "lockd: %s\n", error.text);
		return EXIT_FAILURE;
	}
	loop_start(loop);
	sigwait(&stop, &number);
	log_info("stopping: signal=%d", number);
	loop_stop(loop);
	loop_close(loop);
	log_info("stopped");
	return EXIT_SUCCESS;
}

/* Recover or restore. Under which address the node is reached: its own entry in the list, or what it listens on. */
static int recover(const struct config *config) {
	struct recovery_config recovery_config = {.node = config->node,
						  .data = config->data,
						  .peer_address = config->listen_peer,
						  .client_address = config->listen_client,
						  .timing = timing_of(config),
						  .epoch = config->recovery_epoch,
						  .confirmed = config->recovery_confirmed};
	struct recovery_error error;
	int r;

	for (uint32_t i = 0; i < config->n_peers; i++) {
		if (config->peers[i].node != config->node)
			continue;
		recovery_config.peer_address = config->peers[i].peer_address;
		recovery_config.client_address = config->peers[i].client_address;
	}
	r = config->backup ? restoration_run(&recovery_config, config->backup, stdout, &error)
			   : recovery_run(&recovery_config, stdout, &error);
	(void)fflush(stdout); /* before the reason on stderr */
	if (r != 0)
		fprintf(stderr, "lockd: %s\n", error.text);
	return r;
}

int main(int argc, char *argv[]) {
	struct config config;
	struct config_error error;
	int r = config_parse(argc, argv, &config, &error);

	if (r < 0) {
		fprintf(stderr, "lockd: %s\n", error.text);
		return EX_USAGE;
	}
	switch (r) {
	case CONFIG_HELP: config_print_help(); return EXIT_SUCCESS;
	case CONFIG_VERSION: printf("lockd " LOCKD_VERSION "\n"); return EXIT_SUCCESS;
	case CONFIG_CHECK: printf("the configuration is valid\n"); return EXIT_SUCCESS;
	default: break;
	}
	if (r == CONFIG_EXAMINE)
		return examination_main(config.data, config.examination_json);
	log_init(config.log_level);
	return r == CONFIG_RECOVER || r == CONFIG_RESTORE ? recover(&config) : serve(&config);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "recovery.h"

#include "clock.h"
#include "lockd/state/state.h"
#include "peers.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sysexits.h>
#include <unistd.h>

struct recovery {
	const struct recovery_config *config;
	FILE *out;
	struct recovery_error *error;
	struct store *store;
	uint32_t spent; /* epoch of a recovery that was interrupted; 0: none was */
	uint32_t epoch; /* the present one */
};

int recovery_fail(struct recovery_error *error, int status, const char *format, ...) {
	va_list args;

	va_start(args, format);
	vsnprintf(error->text, sizeof error->text, format, args);
	va_end(args);
	return status;
}

/* What is damaged stays damaged; anything else may be better the next time. */
int recovery_fail_store(struct recovery_error *ret_error, int r, const struct store_error *error) {
	return recovery_fail(ret_error, r == -EBADMSG || r == -ENOTSUP || r == -ESTALE ? EX_DATAERR : EX_IOERR, "%s",
			     error->text);
}

int recovery_check_addresses(const struct recovery_config *config, struct recovery_error *ret_error) {
	if (address_is_dialable(config->peer_address) && address_is_dialable(config->client_address))
		return 0;
	return recovery_fail(
		ret_error, EX_USAGE,
		"others cannot dial %s and %s: give --listen-peer and --listen-client, or --peer, with the addresses "
		"under which this node is reached",
		config->peer_address, config->client_address);
}

/* store_open() would create the folder. */
static int check_folder(struct recovery *recovery) {
	const char *data = recovery->config->data;
	char path[512];

	snprintf(path, sizeof path, "%s/superblock", data);
	if (access(path, F_OK) == 0)
		return 0;
	if (errno != ENOENT && errno != ENOTDIR)
		return recovery_fail(recovery->error, EX_IOERR, "cannot read %s: %s", path, strerror(errno));
	return recovery_fail(recovery->error, EX_DATAERR, "%s is no data folder of a node: there is nothing to recover",
			     data);
}

int recovery_load_node(const struct recovery_config *config, struct store *store, struct node **ret,
		       struct recovery_error *ret_error) {
	struct node_address address = {
		.node = config->node, .peer_address = config->peer_address, .client_address = config->client_address};
	struct node_config node_config = {
		.node = config->node, .timing = config->timing, .addresses = &address, .n_addresses = 1};
	struct store_error error;
	struct node *node;
	int r;

	store_get_uuid(store, &node_config.store);
	if (node_new(&node_config, &node) < 0)
		return recovery_fail(ret_error, EX_OSERR, "not enough memory");
	r = store_load(store, node, &error);
	if (r < 0) {
		node_free(node);
		return recovery_fail_store(ret_error, r, &error);
	}
	*ret = node;
	return 0;
}

/* ---- What there is ------------------------------------------------------------------------------------------------
 */

static int check_member(struct recovery *recovery, const struct node *node) {
	const struct recovery_config *config = recovery->config;
	struct node_member member;
	struct node_uuid store;

	store_get_uuid(recovery->store, &store);
	for (size_t i = 0; node_get_member(node, i, &member); i++) {
		if (memcmp(member.store.bytes, store.bytes, sizeof store.bytes) != 0)
			continue;
		if (member.node == config->node)
			return 0;
		return recovery_fail(recovery->error, EX_USAGE,
				     "data folder %s belongs to node %u, not to node %u: give --node %u", config->data,
				     member.node, config->node, member.node);
	}
	return recovery_fail(
		recovery->error, EX_DATAERR,
		"data folder %s holds a cluster that it is no member of: it was copied, or the node was removed",
		config->data);
}

static const char *role_of(const struct node_member *member) {
	if (member->roles & RAFT_ROLE_LEARNER)
		return "learner";
	return member->roles & RAFT_ROLE_VOTER ? "voter" : "voter, being removed";
}

static void describe_members(const struct recovery *recovery, const struct node *node) {
	struct node_member member;

	fprintf(recovery->out, "members\n");
	for (size_t i = 0; node_get_member(node, i, &member); i++)
		fprintf(recovery->out, "  node %-5u %s, %s%s\n", member.node, role_of(&member),
			member.peer_address ? member.peer_address : "address not known",
			member.node == recovery->config->node ? ", this node" : "");
}

static int inspect(struct recovery *recovery) {
	struct raft_clocks clocks = {0};
	struct node_uuid incarnation;
	struct raft_status status;
	struct node *node;
	int r = recovery_load_node(recovery->config, recovery->store, &node, recovery->error);

	if (r != 0)
		return r;
	if (node_start(node, &clocks) < 0)
		r = recovery_fail(recovery->error, EX_DATAERR, "data folder %s: %s", recovery->config->data,
				  node_error(node));
	else if (node_is_blank(node))
		r = recovery_fail(recovery->error, EX_DATAERR,
				  "data folder %s belongs to no cluster: there is nothing to recover",
				  recovery->config->data);
	else
		r = check_member(recovery, node);
	if (r == 0) {
		raft_get_status(node_raft(node, PEERS_GROUP), &status);
		node_get_identity(node, &incarnation, &recovery->epoch);
		fprintf(recovery->out,
			"data folder    %s\nlast entry     %llu\nterm           %llu\nepoch          %u\n",
			recovery->config->data, (unsigned long long)status.last, (unsigned long long)status.term,
			recovery->epoch);
		describe_members(recovery, node);
	}
	node_free(node);
	return r;
}

/* ---- What becomes of it -------------------------------------------------------------------------------------------
 */

static uint32_t largest(uint32_t a, uint32_t b) {
	return a > b ? a : b;
}

/* Tokens of the recovered cluster must be larger than all that were ever given: those of entries that are lost too, and
 * those of a cluster that was restored elsewhere. Hence the day counts as well. */
static uint32_t choose_epoch(const struct recovery *recovery) {
	uint32_t least = largest(recovery->epoch, recovery->spent) + 1;

	return recovery->config->epoch > 0 ? recovery->config->epoch : largest(least, clock_epoch());
}

int recovery_write(const struct recovery_config *config, struct store *store, const struct node_save *save,
		   struct recovery_error *ret_error) {
	struct store_error error;
	int r = store_write(store, save, 1, &error);

	if (r == STORE_FULL)
		return recovery_fail(ret_error, EX_IOERR, "the disk of %s is full: make room and run this again",
				     config->data);
	return r < 0 ? recovery_fail_store(ret_error, r, &error) : 0;
}

int recovery_draw(struct node_uuid *ret_incarnation, struct recovery_error *ret_error) {
	if (getrandom(ret_incarnation->bytes, sizeof ret_incarnation->bytes, 0) == sizeof ret_incarnation->bytes)
		return 0;
	return recovery_fail(ret_error, EX_OSERR, "no random numbers");
}

static void describe_plan(const struct recovery *recovery, const struct node *node, uint32_t epoch) {
	struct state_counts counts = state_get_counts(node_state(node, PEERS_GROUP));

	fprintf(recovery->out,
		"sessions       %llu\nlocks          %llu\n\n"
		"Node %u alone becomes the cluster, with epoch %u, reached at %s by nodes and at %s by clients.\n"
		"Every entry up to the last one counts as committed, and what only the others had is lost.\n"
		"Sessions end after their TTL, since their clients cannot keep them alive; later tokens are larger.\n"
		"The other members must never be started again with their old data folders: they would be another\n"
		"cluster beside this one, with the same locks. Stop them for good, or remove their folders and add "
		"them.\n",
		(unsigned long long)counts.sessions, (unsigned long long)counts.locks, recovery->config->node, epoch,
		recovery->config->peer_address, recovery->config->client_address);
}

static int recover(struct recovery *recovery) {
	struct node_recovery change = {.epoch = choose_epoch(recovery),
				       .peer_address = recovery->config->peer_address,
				       .client_address = recovery->config->client_address};
	const struct node_save *save;
	struct node *node;
	int r = recovery_load_node(recovery->config, recovery->store, &node, recovery->error);

	if (r != 0)
		return r;
	r = recovery_draw(&change.incarnation, recovery->error);
	if (r == 0 && change.epoch <= recovery->spent) {
		r = recovery_fail(recovery->error, EX_USAGE,
				  "--epoch %u: an earlier recovery was given %u: take a larger one", change.epoch,
				  recovery->spent);
	} else if (r == 0) {
		r = node_recover(node, &change, &save);
		if (r < 0)
			r = recovery_fail(recovery->error, r == -EINVAL ? EX_USAGE : EX_DATAERR, "data folder %s: %s",
					  recovery->config->data, node_error(node));
	}
	if (r == 0)
		describe_plan(recovery, node, change.epoch);
	if (r == 0 && recovery->config->confirmed)
		r = recovery_write(recovery->config, recovery->store, save, recovery->error);
	node_free(node);
	return r;
}

int recovery_run(const struct recovery_config *config, FILE *out, struct recovery_error *ret_error) {
	struct recovery recovery = {.config = config, .out = out, .error = ret_error};
	struct store_error error;
	int r = recovery_check_addresses(config, ret_error);

	if (r == 0)
		r = check_folder(&recovery);
	if (r != 0)
		return r;
	r = store_open(config->data, &recovery.store, &error);
	if (r < 0)
		return recovery_fail_store(recovery.error, r, &error);
	recovery.spent = store_take_back_identity(recovery.store);
	r = inspect(&recovery);
	if (r == 0)
		r = recover(&recovery);
	store_close(recovery.store, r == 0);
	if (r != 0)
		return r;
	if (!config->confirmed)
		return recovery_fail(recovery.error, EX_USAGE, "nothing was changed: give --yes to do it");
	fprintf(out, "\nDone. Start lockd with this folder, then add others: lockctl cluster add ID\n");
	return 0;
}

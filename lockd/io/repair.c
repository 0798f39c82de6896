/* SPDX-License-Identifier: Apache-2.0 */
#include "repair.h"

#include "log.h"

#include <errno.h>
#include <stdio.h>

static bool knows_others(const struct loop_config *config) {
	for (size_t i = 0; i < config->n_addresses; i++) {
		if (config->addresses[i].node != config->node)
			return true;
	}
	return false;
}

/* NULL: it may be set aside. */
static const char *why_not(const struct loop_config *config) {
	if (!knows_others(config))
		return "no other node is configured that could restore this one, so nothing was moved: restore a "
		       "backup with `lockd restore`, or, if this node is a member of a cluster, list others as "
		       "`peer` and start it again";
	if (!config->repair)
		return "nothing was moved, as `repair = no` demands: start it with `repair = yes`, or move the folder "
		       "away, take the node out by `lockctl cluster remove`, and add it anew";
	return NULL;
}

static int refuse(struct loop_error *error, const char *found, const char *advice) {
	(void)snprintf(error->text, sizeof error->text, "%s; %s", found, advice);
	return -1;
}

int repair_folder(const struct loop_config *config, const char *found, struct store **ret, struct loop_error *error) {
	const char *obstacle = why_not(config);
	struct store_error cause;
	struct store_past past;
	int r;

	if (obstacle)
		return refuse(error, found, obstacle);
	log_error("damaged: node=%u data=%s reason=\"%s\"", config->node, config->data, found);
	r = store_set_aside(config->data, found, &cause);
	if (r != 0)
		return refuse(error,
			      r == -ENODATA || r == -EDQUOT ? found : "the damaged data folder could not be set aside",
			      cause.text);
	r = store_open(config->data, ret, &cause);
	if (r < 0)
		return refuse(error, "the damaged data folder was set aside, but there is no new one", cause.text);
	store_get_past(*ret, &past);
	log_warning("set aside: node=%u files=%s/damaged-%u "
		    "next=\"the cluster puts an empty store in its place and restores it\"",
		    config->node, config->data, past.repairs);
	return 0;
}

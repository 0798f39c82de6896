/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/reader.h"

#include "tests/sim/memory.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <lockd/status.h>

static const char *level_name(Client__ReadLevel level) {
	static const char *const names[] = {"LINEARIZABLE", "SESSION", "STALE"};
	return names[level];
}

/* ---- Asking --------------------------------------------------------------------------------------------------------
 */

static void ask(struct sim *sim, struct reader *reader) {
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__Show show = CLIENT__SHOW__INIT;
	Client__List list = CLIENT__LIST__INIT;
	char name[16];

	reader->level = (Client__ReadLevel)prng_range(&reader->caller.prng, 0, 2);
	reader->list = prng_chance(&reader->caller.prng, 300000);
	reader->lock = (uint32_t)prng_range(&reader->caller.prng, 0, sim->plan.locks - 1);
	request.read_level = reader->level;
	request.at_least = reader->level == CLIENT__READ_LEVEL__SESSION ? reader->seen : 0;
	show.name = (ProtobufCBinaryData){model_name_of(reader->lock, name, sizeof(name)), (uint8_t *)name};
	request.body_case = reader->list ? CLIENT__REQUEST__BODY_LIST : CLIENT__REQUEST__BODY_SHOW;
	if (reader->list)
		request.list = &list;
	else
		request.show = &show;
	TRACE("r%u > n%u %s at %s, seen %" PRIx64, reader->caller.id - CALLER_READER + 1, reader->caller.node,
	      reader->list ? "list" : "show", level_name(reader->level), reader->seen);
	caller_ask(sim, &reader->caller, &request);
}

static void tick(struct sim *sim, void *item) {
	uint32_t number = *(uint32_t *)item;
	struct reader *reader = &sim->readers[number];
	struct caller *caller = &reader->caller;

	if (!sim->healed && caller->connection && prng_chance(&caller->prng, 30000))
		caller_hang_up(sim, caller);
	/* Afterwards what is still open has to be answered. */
	if (!sim->healed && caller_is_ready(sim, caller, CALLER_PATIENCE_US))
		ask(sim, reader);
	queue_push(&sim->queue, sim->now + prng_range(&caller->prng, 20000, 120000), tick,
		   memory_copy(&number, sizeof(number)));
}

void reader_start(struct sim *sim, uint32_t number, struct prng prng) {
	sim->readers[number].caller = (struct caller){.id = CALLER_READER + number, .prng = prng};
	tick(sim, memory_copy(&number, sizeof(number)));
}

bool reader_is_idle(const struct reader *reader) {
	return !reader->caller.waiting;
}

/* ---- What is read --------------------------------------------------------------------------------------------------
 */

static void count(struct sim *sim, const struct reader *reader) {
	bool follower = !host_leads(sim_host(sim, reader->caller.node));
	switch (reader->level) {
	case CLIENT__READ_LEVEL__SESSION: sim->totals.reads_session++; break;
	case CLIENT__READ_LEVEL__STALE: sim->totals.reads_stale++; break;
	default: sim->totals.reads_following += follower;
	}
}

void reader_answered(struct sim *sim, struct reader *reader, const Client__Reply *reply) {
	TRACE("r%u < n%u %s revision=%" PRIx64 " age=%u", reader->caller.id - CALLER_READER + 1, reader->caller.node,
	      lockd_status_name((int)reply->status), reply->revision, reply->age_ms);
	if (reply->status != LOCKD_OK && reply->status != LOCKD_NOT_FOUND) {
		sim->totals.reads_refused++;
		return;
	}
	count(sim, reader);
	checker_lock_read(sim, reader->list ? SIM_LOCKS_MAX : reader->lock, reply);
	if (reply->read_level != reader->level || reply->node_id != reader->caller.node)
		verdict_fail(VERDICT_SAFETY, "P6 read-mislabelled", "asked n%u at level %s, n%u answers at level %s",
			     reader->caller.node, level_name(reader->level), reply->node_id,
			     level_name(reply->read_level));
	if (reader->level == CLIENT__READ_LEVEL__LINEARIZABLE && reply->revision >> 16 < reader->caller.floor)
		verdict_fail(VERDICT_SAFETY, "P6 stale-read",
			     "n%u reads at index %" PRIu64 ", index %" PRIu64 " had been acknowledged before",
			     reader->caller.node, reply->revision >> 16, reader->caller.floor);
	if (reader->level == CLIENT__READ_LEVEL__SESSION && reply->revision < reader->seen)
		verdict_fail(VERDICT_SAFETY, "P6 read-backwards",
			     "n%u reads at %" PRIx64 ", its client had seen %" PRIx64, reader->caller.node,
			     reply->revision, reader->seen);
	if (reader->seen < reply->revision)
		reader->seen = reply->revision;
}

/* A node that does not lead has heard of its leader at most as lately as it took the last frame of one. Its clock may
 * be slow. */
void reader_frame(struct sim *sim, uint32_t node, const Client__Reply *reply) {
	const struct host *host = sim_host(sim, node);
	uint64_t rate = (uint64_t)(1000000 + host->drift_ppm);

	if (reply->read_level != CLIENT__READ_LEVEL__STALE || reply->age_ms == UINT32_MAX || host_leads(host) ||
	    (reply->status != LOCKD_OK && reply->status != LOCKD_NOT_FOUND))
		return;
	sim_usec silent = sim->now - host->heard_leader_at;
	if (((uint64_t)reply->age_ms + 1) * 1000 * 1000000 / rate + 1000 < silent)
		verdict_fail(VERDICT_SAFETY, "P6 age-understated",
			     "n%u says that its state is %u ms old, it has heard of no leader for %.3f s", node,
			     reply->age_ms, (double)silent / 1e6);
}

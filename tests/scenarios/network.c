/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between the nodes of a stage: links that are cut, and rules that hold, drop or delay what the script chose.
 */
#include "tests/scenarios/stage.h"
#include "tests/sim/memory.h"

#include <assert.h>
#include <string.h>

static void enqueue(struct stage *stage, const struct stage_message *message, raft_usec due) {
	stage->queue = memory_fit(stage->queue, &stage->queue_size, stage->n_queue + 1, sizeof(*stage->queue));
	stage->queue[stage->n_queue] = *message;
	stage->queue[stage->n_queue].due = due;
	stage->queue[stage->n_queue++].order = stage->order++;
}

static const struct stage_rule *rule_for(const struct stage *stage, const struct raft_message *message) {
	for (uint32_t i = 0; i < stage->n_rules; i++) {
		const struct stage_rule *rule = &stage->rules[i];
		if ((rule->from == 0 || rule->from == message->from) && (rule->to == 0 || rule->to == message->to) &&
		    rule->types & STAGE_TYPE(message->type))
			return rule;
	}
	return NULL;
}

static void send_off(struct stage *stage, const struct stage_message *message, raft_usec delay) {
	raft_usec due = stage->now + stage->latency + delay;

	if (stage->jitter > 0)
		due += prng_range(&stage->prng, 0, stage->jitter);
	enqueue(stage, message, due);
}

void stage_post(struct stage *stage, const struct stage_message *message) {
	const struct stage_rule *rule = rule_for(stage, &message->message);

	if (stage->cut[message->message.from][message->message.to])
		return;
	if (rule && rule->kind == STAGE_RULE_DROP)
		return;
	if (rule && rule->kind == STAGE_RULE_HOLD) {
		stage->kept = memory_fit(stage->kept, &stage->kept_size, stage->n_kept + 1, sizeof(*stage->kept));
		stage->kept[stage->n_kept++] = *message;
		return;
	}
	if (stage->drop_ppm > 0 && prng_chance(&stage->prng, stage->drop_ppm))
		return;
	send_off(stage, message, rule ? rule->delay : 0);
	if (stage->repeat_ppm > 0 && prng_chance(&stage->prng, stage->repeat_ppm))
		send_off(stage, message, 0);
}

static bool earlier(const struct stage_message *a, const struct stage_message *b) {
	return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static size_t first_of(const struct stage *stage) {
	size_t first = 0;
	for (size_t i = 1; i < stage->n_queue; i++) {
		if (earlier(&stage->queue[i], &stage->queue[first]))
			first = i;
	}
	return first;
}

raft_usec stage_network_due(const struct stage *stage) {
	return stage->n_queue > 0 ? stage->queue[first_of(stage)].due : UINT64_MAX;
}

/* A link that was cut since loses what was on its way. */
bool stage_take(struct stage *stage, struct stage_message *ret) {
	while (stage->n_queue > 0) {
		size_t first = first_of(stage);

		if (stage->queue[first].due > stage->now)
			return false;
		*ret = stage->queue[first];
		stage->queue[first] = stage->queue[--stage->n_queue];
		if (!stage->cut[ret->message.from][ret->message.to])
			return true;
	}
	return false;
}

/* ---- Links ---------------------------------------------------------------------------------------------------------
 */

void stage_cut_one_way(struct stage *stage, uint32_t from, uint32_t to) {
	stage_tell(stage, STAGE_TELL_DEEDS, "cut: nothing passes from S%u to S%u", from, to);
	stage->cut[from][to] = true;
}

void stage_cut(struct stage *stage, uint32_t a, uint32_t b) {
	stage_tell(stage, STAGE_TELL_DEEDS, "cut: nothing passes between S%u and S%u", a, b);
	stage->cut[a][b] = stage->cut[b][a] = true;
}

void stage_isolate(struct stage *stage, uint32_t node) {
	stage_tell(stage, STAGE_TELL_DEEDS, "S%u is cut off from everybody", node);
	for (uint32_t other = 1; other <= stage->n; other++)
		stage->cut[node][other] = stage->cut[other][node] = other != node;
}

void stage_partition(struct stage *stage, uint32_t mask_a, uint32_t mask_b) {
	assert((mask_a & mask_b) == 0);
	for (uint32_t a = 1; a <= stage->n; a++) {
		for (uint32_t b = 1; b <= stage->n; b++) {
			if (mask_a >> a & 1 && mask_b >> b & 1)
				stage->cut[a][b] = stage->cut[b][a] = true;
		}
	}
}

void stage_heal(struct stage *stage) {
	stage_tell(stage, STAGE_TELL_DEEDS, "all links work");
	memset(stage->cut, 0, sizeof(stage->cut));
}

/* ---- Rules ---------------------------------------------------------------------------------------------------------
 */

static void add_rule(struct stage *stage, struct stage_rule rule) {
	assert(stage->n_rules < STAGE_RULES_MAX);
	stage->rules[stage->n_rules++] = rule;
}

void stage_hold(struct stage *stage, uint32_t from, uint32_t to, uint32_t types) {
	add_rule(stage, (struct stage_rule){STAGE_RULE_HOLD, from, to, types, 0});
}

void stage_drop(struct stage *stage, uint32_t from, uint32_t to, uint32_t types) {
	add_rule(stage, (struct stage_rule){STAGE_RULE_DROP, from, to, types, 0});
}

void stage_delay(struct stage *stage, uint32_t from, uint32_t to, uint32_t types, raft_usec delay) {
	add_rule(stage, (struct stage_rule){STAGE_RULE_DELAY, from, to, types, delay});
}

void stage_release(struct stage *stage) {
	stage->n_rules = 0;
	for (size_t i = 0; i < stage->n_kept; i++) {
		if (!stage->cut[stage->kept[i].message.from][stage->kept[i].message.to])
			send_off(stage, &stage->kept[i], 0);
	}
	stage->n_kept = 0;
}

void stage_discard_types(struct stage *stage, uint32_t types) {
	size_t left = 0;
	for (size_t i = 0; i < stage->n_kept; i++) {
		if (!(types & STAGE_TYPE(stage->kept[i].message.type)))
			stage->kept[left++] = stage->kept[i];
	}
	stage->n_kept = left;
}

void stage_discard(struct stage *stage) {
	stage->n_rules = 0;
	stage->n_kept = 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/checker_raft.h"

#include "api/frame.h"
#include "api/peer.pb-c.h"
#include "tests/sim/memory.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct checker_node *checked(struct sim *sim, uint32_t node) {
	return &sim->checker_raft.nodes[node - 1];
}

static struct checker_place *place_at(struct sim *sim, raft_index index) {
	struct checker_raft *checker = &sim->checker_raft;
	checker->places =
		memory_fit(checker->places, &checker->places_size, (size_t)index + 1, sizeof(*checker->places));
	return &checker->places[index];
}

void checker_raft_init(struct sim *sim) {
	arena_init(&sim->checker_raft.arena);
}

void checker_raft_deinit(struct sim *sim) {
	struct checker_raft *checker = &sim->checker_raft;
	for (size_t i = 0; i < checker->places_size; i++)
		free(checker->places[i].entries);
	free(checker->places);
	free(checker->leaders);
	free(checker->transferred);
	for (size_t i = 0; i < SIM_NODES_MAX; i++) {
		free(checker->nodes[i].votes);
		free(checker->nodes[i].terms);
	}
	for (size_t i = 0; i < checker->n_lost; i++) {
		free(checker->lost[i].votes);
		disk_deinit(&checker->lost[i].disk);
	}
	free(checker->lost);
	arena_deinit(&checker->arena);
}

raft_term checker_raft_committed_in(struct sim *sim, raft_index index) {
	return place_at(sim, index)->committed_term;
}

/* Votes and entries are those of a store, not of a number. */
static bool has_store(struct sim *sim, const struct raft_member *member) {
	return memcmp(member->store.bytes, sim_host(sim, member->node)->store.bytes, sizeof(member->store.bytes)) == 0;
}

const struct raft_member *checker_raft_member(struct sim *sim, uint32_t node) {
	const struct raft_configuration *members = &sim->checker_raft.members;
	for (uint16_t i = 0; i < members->n; i++) {
		if (members->members[i].node == node)
			return has_store(sim, &members->members[i]) ? &members->members[i] : NULL;
	}
	return NULL;
}

void checker_raft_wipe(struct sim *sim, uint32_t node) {
	struct checker_node *of = checked(sim, node);
	free(of->votes);
	free(of->terms);
	*of = (struct checker_node){0};
}

/* ---- P10: stores that are lost -------------------------------------------------------------------------------------
 */

void checker_raft_lose(struct sim *sim, uint32_t node) {
	struct checker_raft *checker = &sim->checker_raft;
	struct checker_node *of = checked(sim, node);
	bool damaged = checker_raft_member(sim, node) || of->damaged;
	struct checker_lost *lost;

	checker->lost = memory_fit(checker->lost, &checker->lost_size, checker->n_lost + 1, sizeof(*checker->lost));
	lost = &checker->lost[checker->n_lost++];
	*lost = (struct checker_lost){
		.store = sim_host(sim, node)->store, .votes = of->votes, .votes_size = of->votes_size};
	disk_copy(sim_disk(sim, node), &lost->disk);
	of->votes = NULL;
	checker_raft_wipe(sim, node);
	of->damaged = damaged;
}

static const struct checker_lost *find_lost(struct sim *sim, const uint8_t store[LIMIT_UUID_BYTES]) {
	const struct checker_raft *checker = &sim->checker_raft;
	for (size_t i = 0; i < checker->n_lost; i++) {
		if (memcmp(checker->lost[i].store.bytes, store, LIMIT_UUID_BYTES) == 0)
			return &checker->lost[i];
	}
	return NULL;
}

static bool is_lost_in(const struct raft_member *member, uint8_t role) {
	return role == RAFT_ROLE_VOTER_OUTGOING && (member->roles & RAFT_ROLE_LOST);
}

bool checker_raft_speaks(struct sim *sim, const struct raft_member *member, uint8_t role) {
	return has_store(sim, member) && !is_lost_in(member, role);
}

/* ---- I6: one vote per node and term --------------------------------------------------------------------------------
 */

void checker_raft_vote(struct sim *sim, uint32_t node, raft_term term, uint32_t vote, const char *how) {
	struct checker_node *of = checked(sim, node);

	if (sim->unchecked)
		return;
	if (find_lost(sim, sim_host(sim, node)->store.bytes))
		verdict_fail(VERDICT_SAFETY, "P10 lost-store-votes",
			     "n%u, term %" PRIu64 ": %s n%u under a store that was found damaged", node, term, how,
			     vote);
	of->votes = memory_fit(of->votes, &of->votes_size, (size_t)term + 1, sizeof(*of->votes));
	if (of->votes[term] && of->votes[term] != vote)
		verdict_fail(VERDICT_SAFETY, "I6 vote-twice", "node %u, term %" PRIu64 ": first n%u, then %s n%u", node,
			     term, of->votes[term], how, vote);
	of->votes[term] = vote;
}

void checker_raft_put_back(struct sim *sim, uint32_t node, bool forgotten) {
	struct checker_node *of = checked(sim, node);
	const struct node_hard *hard = &sim_disk(sim, node)->hard;

	of->durable_term = hard->term;
	for (raft_term term = hard->term; term < of->votes_size && !forgotten; term++)
		of->votes[term] = term == hard->term ? hard->vote : 0;
}

/* ---- I2: an entry is named by (index, term), and so is all that stands before it -----------------------------------
 */

/* That two logs with the same (index, term) agree on the entry and on the term of its predecessor gives Log Matching by
 * induction. */
static void record_entry(struct sim *sim, uint32_t node, const struct node_entry *entry, raft_term previous) {
	struct checker_place *place = place_at(sim, entry->index);

	for (size_t i = 0; i < place->n; i++) {
		const struct checker_entry *known = &place->entries[i];
		if (known->term != entry->term)
			continue;
		if (known->checksum != entry->checksum || known->previous_term != previous)
			verdict_fail(VERDICT_SAFETY, "I2 log-matching",
				     "node %u: entry %" PRIu64 " of term %" PRIu64 " differs from another's", node,
				     entry->index, entry->term);
		return;
	}
	place->entries = memory_fit(place->entries, &place->size, place->n + 1, sizeof(*place->entries));
	place->entries[place->n++] = (struct checker_entry){entry->term, previous, entry->checksum};
}

static raft_term *shadow_at(struct checker_node *of, raft_index index) {
	of->terms = memory_fit(of->terms, &of->terms_size, (size_t)index + 1, sizeof(*of->terms));
	return &of->terms[index];
}

static void record_entries(struct sim *sim, uint32_t node, const struct node_save *save) {
	struct checker_node *of = checked(sim, node);
	if (save->install)
		*shadow_at(of, save->base) = save->base_term;
	for (size_t i = 0; i < save->n_entries; i++) {
		const struct node_entry *entry = &save->entries[i];
		raft_term previous = *shadow_at(of, entry->index - 1);
		if (entry->term < previous)
			verdict_fail(VERDICT_SAFETY, "I2 terms-decrease",
				     "node %u: entry %" PRIu64 " of term %" PRIu64 " behind %" PRIu64, node,
				     entry->index, entry->term, previous);
		record_entry(sim, node, entry, previous);
		*shadow_at(of, entry->index) = entry->term;
	}
}

void checker_raft_save(struct sim *sim, uint32_t node, const struct node_save *save) {
	const struct checker_node *of = checked(sim, node);

	if (sim->unchecked)
		return;
	if (save->truncate_from) {
		sim->totals.truncations++;
		if (save->truncate_from <= of->commit_before)
			verdict_fail(VERDICT_SAFETY, "I5 committed-truncated",
				     "node %u truncates from %" PRIu64 ", commit %" PRIu64, node, save->truncate_from,
				     of->commit);
	}
	sim->totals.snapshots_installed += save->install;
	record_entries(sim, node, save);
}

void checker_raft_saved(struct sim *sim, uint32_t node) {
	struct checker_node *of = checked(sim, node);
	const struct disk *disk = sim_disk(sim, node);

	if (sim->unchecked)
		return;
	if (disk->hard.term < of->durable_term)
		verdict_fail(VERDICT_SAFETY, "I5 durable-term-regressed", "node %u: %" PRIu64 " after %" PRIu64, node,
			     disk->hard.term, of->durable_term);
	of->durable_term = disk->hard.term;
}

/* ---- I5: nothing goes back -----------------------------------------------------------------------------------------
 */

void checker_raft_boot(struct sim *sim, uint32_t node) {
	struct checker_node *of = checked(sim, node);
	const struct disk *disk = sim_disk(sim, node);
	const struct raft *raft = node_raft(sim_host(sim, node)->node, SIM_GROUP);
	struct raft_status status;

	if (sim->unchecked)
		return;
	of->commit = of->applied = of->led = 0;
	of->members_index = 0;
	of->booted_at = sim->now;
	*shadow_at(of, disk->base) = disk->base_term;
	for (size_t i = 0; i < disk->n; i++)
		*shadow_at(of, disk->entries[i].index) = disk->entries[i].term;
	if (!raft)
		return;
	raft_get_status(raft, &status);
	if (status.term < of->durable_term || status.last < disk_last(disk))
		verdict_fail(VERDICT_SAFETY, "I5 forgot-at-boot",
			     "node %u starts in term %" PRIu64 " with log %" PRIu64 "; durable are %" PRIu64
			     " and %" PRIu64,
			     node, status.term, status.last, of->durable_term, disk_last(disk));
	of->term = status.term;
}

void checker_raft_crash(struct sim *sim, uint32_t node) {
	checker_raft_saved(sim, node);
}

static void check_monotone(uint32_t node, const struct checker_node *of, const struct raft_status *status,
			   raft_index applied) {
	if (status->term < of->term)
		verdict_fail(VERDICT_SAFETY, "I5 term-decreased", "node %u: %" PRIu64 " after %" PRIu64, node,
			     status->term, of->term);
	if (status->commit < of->commit)
		verdict_fail(VERDICT_SAFETY, "I5 commit-decreased", "node %u: %" PRIu64 " after %" PRIu64, node,
			     status->commit, of->commit);
	if (applied < of->applied)
		verdict_fail(VERDICT_SAFETY, "I5 applied-decreased", "node %u: %" PRIu64 " after %" PRIu64, node,
			     applied, of->applied);
	if (applied > status->commit)
		verdict_fail(VERDICT_SAFETY, "I5 applied-uncommitted", "node %u: applied %" PRIu64 ", commit %" PRIu64,
			     node, applied, status->commit);
}

/* ---- I1 and I3: leaders --------------------------------------------------------------------------------------------
 */

/* Entries that were committed in an earlier term than the leader's must be in its log. */
static void check_complete(struct sim *sim, uint32_t node, const struct raft *raft, raft_term term, raft_index from,
			   raft_index to) {
	struct raft_status status;
	raft_get_status(raft, &status);
	if (from < status.first)
		from = status.first;
	for (raft_index index = from; index <= to; index++) {
		const struct checker_place *place = place_at(sim, index);
		if (place->committed && place->committed_term < term && raft_term_at(raft, index) != place->committed)
			verdict_fail(VERDICT_SAFETY, "I3 leader-completeness",
				     "n%u leads term %" PRIu64 " without entry %" PRIu64 " of term %" PRIu64
				     ", committed in term %" PRIu64,
				     node, term, index, place->committed, place->committed_term);
	}
}

static bool older_leads(struct sim *sim, raft_term term) {
	bool found = false;
	for (uint32_t node = 1; node <= sim->plan.nodes; node++) {
		const struct host *host = sim_host(sim, node);
		const struct raft *raft = host->up ? node_raft(host->node, SIM_GROUP) : NULL;
		struct raft_status status;
		if (!raft)
			continue;
		raft_get_status(raft, &status);
		found = found || (status.role == RAFT_LEADER && status.term < term);
	}
	return found;
}

/* The disks hold one vote per term: whoever leads must have those of a majority, in both halves. */
static bool has_voted(struct sim *sim, const struct raft_member *member, uint32_t node, raft_term term) {
	const struct checker_node *of = checked(sim, member->node);
	const struct checker_lost *lost = find_lost(sim, member->store.bytes);

	if (lost && term < lost->votes_size && lost->votes[term] == node)
		return true;
	return (has_store(sim, member) && term < of->votes_size && of->votes[term] == node) ||
	       old_copy_voted(sim, member, term, node);
}

static bool has_votes(struct sim *sim, const struct raft_configuration *members, uint8_t role, uint32_t node,
		      raft_term term) {
	uint32_t voters = 0, votes = 0, lost = 0;
	for (uint16_t i = 0; i < members->n; i++) {
		const struct raft_member *member = &members->members[i];
		if (!(member->roles & role))
			continue;
		voters++;
		if (is_lost_in(member, role))
			lost += has_voted(sim, member, node, term);
		else
			votes += has_voted(sim, member, node, term);
	}
	if (votes <= voters / 2 && votes + lost > voters / 2)
		verdict_fail(VERDICT_SAFETY, "P10 lost-store-counted",
			     "n%u leads term %" PRIu64 " by votes that were cast for a lost store", node, term);
	return voters == 0 || votes > voters / 2;
}

static void check_elected(struct sim *sim, uint32_t node, const struct raft *raft, raft_term term) {
	const struct raft_configuration *members = raft_members(raft, NULL);
	if (!has_votes(sim, members, RAFT_ROLE_VOTER, node, term) ||
	    !has_votes(sim, members, RAFT_ROLE_VOTER_OUTGOING, node, term))
		verdict_fail(VERDICT_SAFETY, "I10 elected-by-few",
			     "n%u leads term %" PRIu64 " without the votes of a majority", node, term);
}

static bool is_transferred(const struct checker_raft *checker, raft_term term) {
	return term < checker->transferred_size && checker->transferred[term];
}

static void check_leader(struct sim *sim, uint32_t node, const struct raft *raft, const struct raft_status *status) {
	struct checker_raft *checker = &sim->checker_raft;
	checker->leaders = memory_fit(checker->leaders, &checker->leaders_size, (size_t)status->term + 1,
				      sizeof(*checker->leaders));
	if (checker->leaders[status->term] == node)
		return;
	if (checker->leaders[status->term])
		verdict_fail(VERDICT_SAFETY, "I1 two-leaders", "n%u and n%u lead term %" PRIu64,
			     checker->leaders[status->term], node, status->term);
	checker->leaders[status->term] = node;
	sim->totals.elections++;
	sim->totals.elections_beside += older_leads(sim, status->term);
	sim->totals.elections_transferred += is_transferred(checker, status->term);
	TRACE("n%u LEADS term=%" PRIu64, node, status->term);
	check_elected(sim, node, raft, status->term);
	check_complete(sim, node, raft, status->term, 1, checker->commit);
}

/* ---- I3 and I4: commit ---------------------------------------------------------------------------------------------
 */

static bool holds(const struct disk *disk, raft_index index, raft_term term) {
	return index < disk->base || disk_term_at(disk, index) == term;
}

static bool has_entry(struct sim *sim, const struct raft_member *member, raft_index index, raft_term term) {
	const struct checker_lost *lost = find_lost(sim, member->store.bytes);

	return (lost && holds(&lost->disk, index, term)) ||
	       (has_store(sim, member) && holds(sim_disk(sim, member->node), index, term)) ||
	       old_copy_had(sim, member, index);
}

static bool is_on_majority(struct sim *sim, const struct raft_configuration *members, uint8_t role, raft_index index,
			   raft_term term) {
	uint32_t voters = 0, n = 0;
	for (uint16_t i = 0; i < members->n; i++) {
		const struct raft_member *member = &members->members[i];
		if (!(member->roles & role))
			continue;
		voters++;
		n += !is_lost_in(member, role) && has_entry(sim, member, index, term);
	}
	return voters == 0 || n > voters / 2;
}

static bool is_durable(struct sim *sim, const struct raft_configuration *members, raft_index index, raft_term term) {
	return is_on_majority(sim, members, RAFT_ROLE_VOTER, index, term) &&
	       is_on_majority(sim, members, RAFT_ROLE_VOTER_OUTGOING, index, term);
}

/* The leader is the first to know. Its latest configuration counts, be it committed or not; the one of the step before
 * is as good, for this step may have committed first and appended another one then. */
static void check_majority(struct sim *sim, uint32_t node, raft_index index, raft_term term) {
	const struct checker_node *of = checked(sim, node);
	const struct raft_configuration *members = raft_members(node_raft(sim_host(sim, node)->node, SIM_GROUP), NULL);

	if (!is_durable(sim, members, index, term) &&
	    !(of->members_index && is_durable(sim, &of->members, index, term)))
		verdict_fail(VERDICT_SAFETY, "I8 committed-not-durable",
			     "n%u commits entry %" PRIu64 " of term %" PRIu64 ", which is not on a majority of disks",
			     node, index, term);
}

static void commit_entry(struct sim *sim, uint32_t node, raft_index index, raft_term term, raft_term node_term) {
	struct checker_place *place = place_at(sim, index);
	if (place->committed && place->committed != term)
		verdict_fail(VERDICT_SAFETY, "I4 committed-twice",
			     "node %u commits entry %" PRIu64 " of term %" PRIu64 ", term %" PRIu64 " was committed",
			     node, index, term, place->committed);
	if (place->committed)
		return;
	place->committed = term;
	place->committed_term = node_term;
	sim->totals.entries++;
	if (sim->checker_raft.commit < index)
		sim->checker_raft.commit = index;
	check_majority(sim, node, index, term);
	checker_lease_committed(sim, node, index, node_term);
}

static void check_leaders_hold(struct sim *sim, raft_index from, raft_index to) {
	for (uint32_t other = 1; other <= sim->plan.nodes; other++) {
		const struct host *host = sim_host(sim, other);
		const struct raft *raft = host->up ? node_raft(host->node, SIM_GROUP) : NULL;
		struct raft_status status;
		if (!raft)
			continue;
		raft_get_status(raft, &status);
		if (status.role == RAFT_LEADER)
			check_complete(sim, other, raft, status.term, from, to);
	}
}

/* Paper §5.4.2: a leader counts replicas for entries of its own term only; where its commit index comes to rest, there
 * is one. Waiting for the loss of such an entry (figure 8) would take the right crash of three nodes in a row. */
static void check_own_term(uint32_t node, const struct checker_node *of, const struct raft *raft,
			   const struct raft_status *status) {
	if (of->led != status->term || status->role != RAFT_LEADER || status->commit == of->commit)
		return;
	if (raft_term_at(raft, status->commit) != status->term)
		verdict_fail(VERDICT_SAFETY, "I9 old-term-committed",
			     "n%u, leader of term %" PRIu64 ", commits entry %" PRIu64 " of term %" PRIu64
			     " by counting",
			     node, status->term, status->commit, raft_term_at(raft, status->commit));
}

static void check_commit(struct sim *sim, uint32_t node, const struct raft *raft, const struct raft_status *status) {
	const struct checker_node *of = checked(sim, node);
	raft_index from = of->commit + 1 < status->first ? status->first : of->commit + 1;
	raft_index known = sim->checker_raft.commit;

	for (raft_index index = from; index <= status->commit; index++)
		commit_entry(sim, node, index, raft_term_at(raft, index), status->term);
	if (known < sim->checker_raft.commit)
		check_leaders_hold(sim, known + 1, sim->checker_raft.commit);
}

/* ---- I11: members --------------------------------------------------------------------------------------------------
 */

/* The configuration before the latest one must be committed, as anybody may know. */
static void check_one_change(struct sim *sim, uint32_t node, const struct raft *raft, const struct raft_status *status,
			     raft_index latest) {
	raft_index before;

	if (status->role != RAFT_LEADER || latest <= status->first)
		return;
	(void)raft_configuration_at(raft, latest - 1, &before);
	if (before > sim->checker_raft.commit)
		verdict_fail(VERDICT_SAFETY, "I11 two-changes",
			     "n%u, leader of term %" PRIu64 ": configuration %" PRIu64 " stands before that of %" PRIu64
			     " is committed",
			     node, status->term, latest, before);
}

static void note_removed(struct sim *sim) {
	for (uint32_t node = 1; node <= sim->plan.nodes; node++) {
		struct checker_node *of = checked(sim, node);
		if (checker_raft_member(sim, node)) {
			sim->totals.replacements += of->damaged;
			of->damaged = false;
			of->removed_at = 0;
		} else if (!of->removed_at) {
			of->removed_at = sim->now;
			of->removed_by = sim->checker_raft.members_index;
		}
	}
}

static void note_committed(struct sim *sim, const struct raft *raft, raft_index commit) {
	struct checker_raft *checker = &sim->checker_raft;
	raft_index index;
	const struct raft_configuration *members = raft_configuration_at(raft, commit, &index);

	if (index <= checker->members_index)
		return;
	checker->members = *members;
	checker->members_index = index;
	sim->totals.configurations++;
	sim->totals.configurations_joint += raft_configuration_is_joint(members);
	note_removed(sim);
}

static const struct raft_member *find_member(const struct raft_configuration *members, uint32_t node) {
	for (uint16_t i = 0; i < members->n; i++) {
		if (members->members[i].node == node)
			return &members->members[i];
	}
	return NULL;
}

/* Nobody is given another store while the one that it has is well. */
static void check_replaced(struct sim *sim, uint32_t node, const struct raft *raft,
			   const struct raft_configuration *latest, raft_index index) {
	raft_index ignored;
	const struct raft_configuration *before = raft_configuration_at(raft, index - 1, &ignored);

	for (uint16_t i = 0; before && i < latest->n; i++) {
		const struct raft_member *member = &latest->members[i], *was = find_member(before, member->node);
		if (was && memcmp(was->store.bytes, member->store.bytes, sizeof(was->store.bytes)) != 0 &&
		    !find_lost(sim, was->store.bytes))
			verdict_fail(VERDICT_SAFETY, "P10 living-store-replaced",
				     "configuration %" PRIu64 " in the log of n%u gives n%u another store", index, node,
				     member->node);
	}
}

static void check_members(struct sim *sim, uint32_t node, const struct raft *raft, const struct raft_status *status) {
	struct checker_node *of = checked(sim, node);
	raft_index latest;
	const struct raft_configuration *members = raft_members(raft, &latest);

	if (!members)
		return;
	check_one_change(sim, node, raft, status, latest);
	if (status->commit >= status->first)
		note_committed(sim, raft, status->commit);
	if (of->members_index == latest)
		return;
	check_replaced(sim, node, raft, members, latest);
	of->members = *members;
	of->members_index = latest;
}

/* An entry that adds it again may be on its way. */
static bool is_being_added(struct sim *sim, uint32_t node) {
	for (uint32_t other = 1; other <= sim->plan.nodes; other++) {
		const struct raft_configuration *members = &checked(sim, other)->members;
		for (uint16_t i = 0;
		     checked(sim, other)->members_index > sim->checker_raft.members_index && i < members->n; i++) {
			if (members->members[i].node == node && has_store(sim, &members->members[i]))
				return true;
		}
	}
	return false;
}

bool checker_raft_is_out(struct sim *sim, uint32_t node) {
	return sim->checker_raft.members.n > 0 && !checker_raft_member(sim, node) && !is_being_added(sim, node);
}

/* Whoever comes back after its removal finds nobody who would let it raise the term: pre-vote, promises and longer logs
 * stand before it. Only one that has the very entry that removes it may finish what it may have begun as the leader
 * (dissertation §4.2.2): its log is as long as anybody's. */
static void check_removed(struct sim *sim, uint32_t node, raft_term term) {
	const struct checker_node *of = checked(sim, node);
	raft_index latest;

	(void)raft_members(node_raft(sim_host(sim, node)->node, SIM_GROUP), &latest);
	if (of->removed_at && of->booted_at > of->removed_at && latest < of->removed_by && !is_being_added(sim, node))
		verdict_fail(VERDICT_SAFETY, "I12 removed-disturbs",
			     "n%u was removed, started again, and campaigns in term %" PRIu64, node, term);
}

/* Equal applied indexes, equal states. */
static void check_hash(struct sim *sim, uint32_t node, const struct state *state) {
	raft_index applied = state_applied(state);
	struct checker_place *place = place_at(sim, applied);
	struct state_hash hash = state_get_hash(state);

	if (place->hashed && (place->hash.low != hash.low || place->hash.high != hash.high))
		verdict_fail(VERDICT_SAFETY, "I4 state-differs", "node %u at applied index %" PRIu64, node, applied);
	place->hashed = true;
	place->hash = hash;
}

void checker_raft_step(struct sim *sim, uint32_t node) {
	struct checker_node *of = checked(sim, node);
	const struct host *host = sim_host(sim, node);
	const struct raft *raft = node_raft(host->node, SIM_GROUP);
	const struct state *state = node_state(host->node, SIM_GROUP);
	struct raft_status status;

	if (sim->unchecked)
		return;
	if (!raft || !state)
		return;
	raft_check(raft);
	raft_get_status(raft, &status);
	check_monotone(node, of, &status, state_applied(state));
	check_commit(sim, node, raft, &status);
	check_own_term(node, of, raft, &status);
	if (status.role == RAFT_LEADER)
		check_leader(sim, node, raft, &status);
	check_members(sim, node, raft, &status);
	checker_lease_step(sim);
	of->led = status.role == RAFT_LEADER ? status.term : 0;
	of->term = status.term;
	of->commit_before = of->commit;
	of->commit = status.commit;
	if (of->applied != state_applied(state))
		check_hash(sim, node, state);
	of->applied = state_applied(state);
}

/* ---- I7: nothing is promised that a crash could take back ----------------------------------------------------------
 */

static void check_not_beyond(uint32_t node, const Peer__Message *message, bool holds, const char *what) {
	if (!holds)
		verdict_fail(VERDICT_SAFETY, "I7 beyond-durable",
			     "node %u sends type %u, term %" PRIu64 ", index %" PRIu64 ": %s is not durable", node,
			     message->type, message->term, message->index, what);
}

/* A candidacy that is over by now may have been overtaken by a truncation: its grants are counted by nobody. */
static void check_vote(struct sim *sim, uint32_t node, const struct disk *disk, const Peer__Message *message) {
	struct raft_status status;
	raft_get_status(node_raft(sim_host(sim, node)->node, SIM_GROUP), &status);
	check_not_beyond(node, message, disk->hard.term > message->term || disk->hard.vote == node,
			 "the vote for itself");
	if (status.role == RAFT_CANDIDATE && status.term == message->term)
		check_not_beyond(node, message, message->index <= disk_last(disk), "the log it stands for");
}

static void check_vote_reply(struct sim *sim, uint32_t node, const struct disk *disk, const Peer__Message *message) {
	if (message->flags & RAFT_FLAG_REJECT)
		return;
	checker_raft_vote(sim, node, message->term, message->to, "told");
	check_not_beyond(node, message, disk->hard.term > message->term || disk->hard.vote == message->to, "the vote");
}

/* In an older term the acknowledged entries may have been overwritten since, and the acknowledgement is as good as
 * ever: the entries were there before the newer term was. */
static void check_append_reply(uint32_t node, const struct disk *disk, const Peer__Message *message) {
	if (!(message->flags & RAFT_FLAG_REJECT) && disk->hard.term == message->term)
		check_not_beyond(node, message, message->index <= disk_last(disk), "the acknowledged entry");
}

static const char *message_name(uint32_t type) {
	static const char *const names[] = {
		[RAFT_PREVOTE] = "prevote",
		[RAFT_PREVOTE_REPLY] = "prevote-reply",
		[RAFT_VOTE] = "vote",
		[RAFT_VOTE_REPLY] = "vote-reply",
		[RAFT_APPEND] = "append",
		[RAFT_APPEND_REPLY] = "append-reply",
		[RAFT_HEARTBEAT] = "heartbeat",
		[RAFT_HEARTBEAT_REPLY] = "heartbeat-reply",
		[RAFT_TIMEOUT_NOW] = "timeout-now",
		[RAFT_READ] = "read",
		[RAFT_READ_REPLY] = "read-reply",
	};
	return type < sizeof(names) / sizeof(*names) && names[type] ? names[type] : "unknown";
}

static void note_transfer(struct checker_raft *checker, const Peer__Message *message) {
	if (!(message->flags & RAFT_FLAG_TRANSFER))
		return;
	checker->transferred = memory_fit(checker->transferred, &checker->transferred_size, (size_t)message->term + 1,
					  sizeof(*checker->transferred));
	checker->transferred[message->term] = true;
}

bool checker_raft_frame(struct sim *sim, uint32_t node, const struct node_peer_frame *frame) {
	const struct disk *disk = sim_disk(sim, node);
	struct arena *arena = &sim->checker_raft.arena;

	if (sim->unchecked)
		return false;
	if (frame->type != FRAME_PEER_MESSAGE)
		return false;
	if (arena_reset(arena, frame->body_bytes) < 0)
		abort();
	const Peer__Message *message = peer__message__unpack(&arena->allocator, frame->body_bytes, frame->body);
	if (!message || message->from != node || message->to != frame->peer)
		verdict_fail(VERDICT_SAFETY, "I7 no-message", "node %u sends %zu bytes that are no message of its own",
			     node, frame->body_bytes);

	TRACE("n%u > n%u %s%s%s term=%" PRIu64 " index=%" PRIu64 "/%" PRIu64 " commit=%" PRIu64 " n=%zu round=%" PRIu64,
	      node, message->to, message_name(message->type), message->flags & RAFT_FLAG_REJECT ? " reject" : "",
	      message->flags & RAFT_FLAG_TRANSFER ? " transfer" : "", message->term, message->index,
	      message->index_term, message->commit, message->n_entries, message->round);
	if (message->type != RAFT_PREVOTE && message->type != RAFT_PREVOTE_REPLY)
		check_not_beyond(node, message, message->term <= disk->hard.term, "the term");
	switch (message->type) {
	case RAFT_VOTE:
		check_removed(sim, node, message->term);
		note_transfer(&sim->checker_raft, message);
		check_vote(sim, node, disk, message);
		break;
	case RAFT_PREVOTE: check_not_beyond(node, message, message->index <= disk_last(disk), "the log"); break;
	case RAFT_VOTE_REPLY: check_vote_reply(sim, node, disk, message); break;
	case RAFT_APPEND_REPLY: check_append_reply(node, disk, message); break;
	default: break;
	}
	return message->type == RAFT_APPEND || message->type == RAFT_HEARTBEAT;
}

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Members change while a lock is held: nodes 4 and 5 join {1, 2, 3} blank, 1 and 2 leave, in one change; learners, priorities,
# a leader that removes itself; refusals with their words.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 5
lockctl=$bin/cli/lockctl
endpoints_are 1 2 3
peers_are 1 2 3
for i in 1 2 3; do node_start $i; done
cluster_wait_leader 20 >/dev/null || fail "no leader"
eventually 10 members_are "1:voter 2:voter 3:voter" || fail "members: $($lockctl cluster members)"
$lockctl lock kept --ttl 10s >/dev/null &
eventually 5 $lockctl show kept || fail "the lock was not acquired"
token=$($lockctl show kept --json | jq -r .token)

# Nothing of this may happen.
expect_exit 75 $lockctl cluster add 4 --timeout 10s
expect_text "$folder/err" '^lockctl: cluster add: the members are not ready for this change: node 4 has not called'
expect_exit 64 $lockctl cluster prefer 9 1
expect_text "$folder/err" '^lockctl: cluster prefer: node 9 is no member; see'
expect_exit 75 $lockctl cluster change -1 -2 -3 --timeout 10s
expect_text "$folder/err" '^lockctl: cluster change: the members are not ready for this change: no voter would be left'
if $lockctl cluster transfer 9 --timeout 10s >"$folder/out" 2>"$folder/err"; then fail "leadership went to node 9"; fi
expect_text "$folder/err" '^lockctl: cluster transfer: .*that node is no voter'
members_are "1:voter 2:voter 3:voter" || fail "a refused change has changed the members: $($lockctl cluster members)"

peers_are 1 2 3 4 5
for i in 4 5; do node_start $i; done
eventually 20 candidates_are "4 5" || fail "candidates: $($lockctl cluster members)"
expect_exit 0 $lockctl cluster members
expect_text "$folder/out" 'WAITING TO BE ADDED'

expect_exit 0 $lockctl cluster add 4 --learner
members_are "1:voter 2:voter 3:voter 4:learner" || fail "after add --learner: $($lockctl cluster members)"
expect_exit 0 $lockctl cluster promote 4
members_are "1:voter 2:voter 3:voter 4:voter" || fail "after promote: $($lockctl cluster members)"
expect_exit 0 $lockctl cluster demote 4
members_are "1:voter 2:voter 3:voter 4:learner" || fail "after demote: $($lockctl cluster members)"
# Its data folder is lost: it is no learner any more, and does not become a voter.
node_kill 4
rm -rf "$folder/node4"
node_start 4
eventually 20 candidates_are "4 5" || fail "candidates: $($lockctl cluster members)"
is_silent() { $lockctl cluster members --json | jq -e '.members[] | select(.node == 4) | .contact_ms > 1000'; }
eventually 10 is_silent || fail "node 4 is heard: $($lockctl cluster members)"
expect_exit 75 $lockctl cluster promote 4
expect_text "$folder/err" 'node 4 runs with another data folder than the one it is a member with: remove it first, then add it'
expect_exit 0 $lockctl cluster remove 4
began=$(now_ms)
expect_exit 0 $lockctl cluster change +4 +5 -1 -2
echo "two nodes replaced in one change: $(($(now_ms) - began)) ms"
endpoints_are 3 # the others are learned from it
cluster_wait_leader 20 >/dev/null || fail "no leader after the change"
eventually 10 members_are "3:voter 4:voter 5:voter" || fail "after change: $($lockctl cluster members)"
expect_exit 0 $lockctl cluster change +4 +5 -1 -2 # it is so already

# Those that left are not needed, and their data cannot come back.
for i in 1 2; do node_kill $i; done
expect_exit 0 $lockctl lock other -- true
[ "$($lockctl show kept --json | jq -r .token)" = "$token" ] || fail "the lock was granted anew: $($lockctl show kept)"

leader_is() { [ "$(cluster_leader)" = "$1" ]; }
for preferred in 5 4; do
	expect_exit 0 $lockctl cluster prefer $preferred $((100 + 10 * (5 - preferred)))
	eventually 60 leader_is $preferred || fail "node $preferred is preferred and does not lead: $($lockctl cluster members)"
done
expect_exit 0 $lockctl cluster remove 4
eventually 20 members_are "3:voter 5:voter" || fail "after the leader removed itself: $($lockctl cluster members)"
leader_is 5 || fail "node 5 is preferred and does not lead: $($lockctl cluster members)"
expect_exit 0 $lockctl lock other -- true
[ "$($lockctl show kept --json | jq -r .token)" = "$token" ] || fail "the lock was granted anew: $($lockctl show kept)"
same_state() { $lockctl status --json | jq -e '[.nodes[] | select(.node == 3 or .node == 5) | "\(.applied) \(.state_hash)"] | unique | length == 1'; }
eventually 10 same_state || fail "the members' states differ: $($lockctl status)"
echo ok

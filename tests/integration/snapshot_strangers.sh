#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two nodes join a cluster whose log is trimmed, and get snapshots. Then all the members that a third one knows are
# replaced by them while it is away: it lets the strangers in, since they have its incarnation, and follows them.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 5
lockctl=$bin/cli/lockctl
small=(--checkpoint-log-bytes 65536 --trailing-log-bytes 16384)
all=("${peer_flags[@]}")
peer_flags=("${all[@]:0:6}")
for i in 1 2 3; do node_start $i "${small[@]}"; done
cluster_wait_leader 20 >/dev/null || fail "no leader"
"$bin/tests/integration/pairs" 3000 16 >/dev/null || fail "pairs ended with $?"
node_kill 3

# Each newcomer lists itself and one member; whom else it must call it is told.
trimmed() { $lockctl status --json | jq -e '[.nodes[] | select(.role == "leader" and .log_first > 1)] | length == 1'; }
eventually 10 trimmed || fail "the leader has not trimmed its log: $($lockctl status)"
for i in 4 5; do
	peer_flags=("${all[@]:0:2}" "${all[@]:2*i-2:2}")
	node_start $i "${small[@]}"
	added() { $lockctl cluster add $i; }
	eventually 20 added || fail "node $i cannot be added: $($lockctl cluster add $i 2>&1)"
	expect_text "$folder/node$i.log" 'event=snapshot-installed'
done
# Who leads hands over first, so that the strangers alone can tell the third node.
for i in 1 2; do
	removed() { $lockctl cluster remove $i; }
	eventually 20 removed || fail "node $i cannot be removed: $($lockctl cluster remove $i 2>&1)"
done
for i in 1 2; do node_kill $i; done
export LOCKD_ENDPOINTS=127.0.0.1:${client_port[4]},127.0.0.1:${client_port[5]}
leader=$(cluster_wait_leader 20) || fail "nodes 4 and 5 have no leader: $($lockctl status)"

peer_flags=("${all[@]:0:6}")
node_start 3 "${small[@]}"
export LOCKD_ENDPOINTS=$LOCKD_ENDPOINTS,127.0.0.1:${client_port[3]}
same_state() { $lockctl status --json | jq -e '([.nodes[] | select(.status == "OK" and .role != "leader" and .leader > 3)] | length == 2) and ([.nodes[] | "\(.applied) \(.state_hash)"] | unique | length == 1)'; }
eventually 30 same_state || fail "node 3 does not follow node $leader: $($lockctl status)"
members() { $lockctl cluster members --json | jq -e '[.members[].node] | sort == [3, 4, 5]'; }
members >/dev/null || fail "other members than 3, 4 and 5: $($lockctl cluster members)"

# A removed node is told so, once, and disturbs nobody.
peer_flags=("${all[@]:0:2}")
node_start 1 "${small[@]}"
told() { grep -q 'node 1 is not a member of the cluster any more: stop it' "$folder/node1.log"; }
eventually 20 told || fail "node 1 does not say that it was removed: $(tail -n 5 "$folder/node1.log")"
[ "$(cluster_leader)" = "$leader" ] || fail "node 1 has disturbed the cluster: $($lockctl status)"
[ "$(grep -c 'any more: stop it' "$folder/node1.log")" -eq 1 ] || fail "node 1 repeats itself: $(cat "$folder/node1.log")"
echo ok

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two of three nodes are lost for good. The third becomes a cluster of its own; the old ones are not let in, tokens go
# on, and a node with an empty folder can be added.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 3
lockctl=$bin/cli/lockctl lockd=$bin/lockd/lockd
for i in 1 2 3; do node_start $i; done
leader=$(cluster_wait_leader 20) || fail "no leader"

token_of() { $lockctl show "$1" --json | jq -r '.token // empty'; }
hold() { # NAME LOG: a holder that stays
	$lockctl lock "$1" -- sleep 600 >"$2" 2>&1 &
	holders+=($!)
	eventually 10 sh -c "[ -n \"\$($lockctl show $1 --json | jq -r '.token // empty')\" ]" || fail "nobody got $1: $(cat "$2")"
}
holders=()
hold kept "$folder/holder1"
before=$(token_of kept)
all_have() { $lockctl status --json | jq -e '[.nodes[] | select(.status == "OK") | .applied] | length == 3 and (max == min)'; }
eventually 10 all_have || fail "the nodes differ: $($lockctl status)"
old_epoch=$($lockctl status --json | jq -r '[.nodes[].epoch] | max')

recover() { "$lockd" recover --data "$folder/node3" --node 3 --listen-peer "127.0.0.1:${peer_port[3]}" --listen-client "127.0.0.1:${client_port[3]}" "$@"; }

# Not while somebody has the folder, not without a folder, not without --yes, not as another node.
expect_exit 74 recover --yes
expect_text "$folder/err" 'lock|process|use'
for i in 1 2 3; do node_kill $i; done
kill -KILL "${holders[@]}" 2>/dev/null # TERM would try to release what is held
wait "${holders[@]}" 2>/dev/null
expect_exit 65 "$lockd" recover --data "$folder/nowhere" --node 3 --yes
expect_text "$folder/err" 'nothing to recover'
[ ! -e "$folder/nowhere" ] || fail "a folder was made that nobody asked for"
expect_exit 64 "$lockd" recover --data "$folder/node3" --node 2 --yes
expect_text "$folder/err" 'belongs to node 3'
expect_exit 64 recover --epoch 1 --yes
expect_exit 64 recover
expect_text "$folder/err" 'nothing was changed: give --yes'
for line in 'last entry' 'term' 'sessions +[1-9]' 'locks +1' 'node 1 ' 'node 2 ' 'never be started again'; do
	expect_text "$folder/out" "$line"
done

# Nothing has changed: the three still are the cluster that they were.
for i in 1 2 3; do node_start $i; done
cluster_wait_leader 20 >/dev/null || fail "no leader after a recovery that was not confirmed"
for i in 1 2 3; do node_kill $i; done

expect_exit 0 recover --yes
expect_text "$folder/out" 'Done'

# The old list of peers is in its configuration still, and says nothing any more.
node_start 3
export LOCKD_ENDPOINTS=127.0.0.1:${client_port[3]}
leads() { $lockctl status --json | jq -e '.nodes[] | select(.node == 3 and .role == "leader")'; }
eventually 20 leads || fail "node 3 does not serve alone: $($lockctl status)"
new_epoch=$($lockctl status --json | jq -r '[.nodes[].epoch] | max')
[ "$new_epoch" -gt "$old_epoch" ] || fail "epoch $new_epoch after $old_epoch"

# The lost lock is free once its session's TTL is over; its next token is larger.
holders=()
eventually 60 sh -c "$lockctl lock kept -- true" || fail "the lock of the old cluster never became free: $($lockctl show kept)"
hold kept "$folder/holder2"
after=$(token_of kept)
[ "$after" -gt "$before" ] || fail "token $after after $before"

# An old node is refused, and cannot even elect itself.
node_start 1
refused() { grep -q 'belong to different clusters' "$folder/node1.log"; }
eventually 10 refused || fail "node 1 does not say that it belongs to another cluster: $(tail -n 5 "$folder/node1.log")"
[ "$(token_of kept)" = "$after" ] || fail "the lock changed hands"
node_kill 1
rm -rf "$folder/node1"

# Blank, it waits to be added.
node_start 1
waits() { grep -q 'not a member yet: lockctl cluster add 1' "$folder/node1.log"; }
eventually 10 waits || fail "node 1 does not say that it has to be added: $(tail -n 5 "$folder/node1.log")"
sleep 3
[ "$(grep -c 'not a member yet' "$folder/node1.log")" -eq 1 ] || fail "node 1 repeats itself: $(cat "$folder/node1.log")"
expect_exit 0 $lockctl cluster add 1
same_state() { $lockctl --endpoints "127.0.0.1:${client_port[1]},127.0.0.1:${client_port[3]}" status --json | jq -e '([.nodes[] | select(.status == "OK")] | length == 2) and ([.nodes[] | "\(.applied) \(.state_hash)"] | unique | length == 1)'; }
eventually 30 same_state || fail "node 1 does not catch up: $($lockctl status)"
[ "$(token_of kept)" = "$after" ] || fail "the lock changed hands"
kill "${holders[@]}" 2>/dev/null
wait "${holders[@]}" 2>/dev/null
echo ok

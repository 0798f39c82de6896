#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The data folder of a follower is put back to an older copy of itself, as a restored snapshot of a virtual machine would do
# it. The others tell it, it stops and stays stopped, and they go on; added anew with an empty folder it catches up.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 3
lockctl=$bin/cli/lockctl lockd=$bin/lockd/lockd
for i in 1 2 3; do node_start $i; done
leader=$(cluster_wait_leader 20) || fail "no leader"
[ "$leader" != 3 ] || $lockctl cluster transfer 1 >/dev/null || fail "leadership was not handed over"
data=$folder/node3

hold() { # NAME: a holder that stays
	$lockctl lock "$1" -- sleep 600 >"$folder/$1.out" 2>&1 &
	eventually 10 sh -c "[ -n \"\$($lockctl show $1 --json | jq -r '.token // empty')\" ]" || fail "nobody got $1: $(cat "$folder/$1.out")"
}
is_up_to_date() { $lockctl status --json | jq -e '[.nodes[] | "\(.applied) \(.state_hash)"] | length == 3 and (unique | length == 1)'; }
node3() { timeout 20 "$lockd" --node 3 --data "$data" --listen-peer "127.0.0.1:${peer_port[3]}" --listen-client "127.0.0.1:${client_port[3]}" "${peer_flags[@]}"; }
restart_as_it_was() {
	node_start 3
	eventually 20 is_up_to_date || fail "node 3 does not come back: $($lockctl status)"
}

# A copy, while it is stopped; going on from it at once loses nothing, as often as one likes.
hold early
eventually 20 is_up_to_date || fail "the nodes differ: $($lockctl status)"
node_kill 3 TERM || fail "node 3 stopped with $?"
cp -a "$data" "$folder/copy"
restart_as_it_was
node_kill 3
restart_as_it_was

# What it acknowledges from here on is not in the copy.
hold late
eventually 20 is_up_to_date || fail "the nodes differ: $($lockctl status)"
node_kill 3
mv "$data" "$folder/latest"
cp -a "$folder/copy" "$data"

is_told() {
	expect_exit 70 node3
	expect_text "$folder/err" "stopping at once: reason=\"node 3's data folder is an older copy of itself: it has .*; delete $data and add the node anew: lockctl cluster remove 3, then add\""
	[ -e "$data/old-copy" ] || fail "the folder is not marked: $(ls "$data")"
}
is_told
told=$(cat "$folder/node1.log" "$folder/node2.log")
[[ $told == *"node 3's data folder is an older copy of itself"* ]] || fail "nodes 1 and 2 do not tell: $told"

# It stays so, with nobody there to tell it, and by whatever way the folder is opened.
expect_exit 1 node3
expect_text "$folder/err" "is an old copy and must not be used \(node 3's data folder is an older copy of itself: it has .*delete $data/old-copy and run lockd recover"
expect_exit 65 "$lockd" recover --data "$data" --node 3 --listen-peer "127.0.0.1:${peer_port[3]}" --listen-client "127.0.0.1:${client_port[3]}" --yes
expect_text "$folder/err" 'is an old copy and must not be used'
rm "$data/old-copy"
is_told

# Nobody has heard it, so the folder that was moved away has lost nothing.
mv "$data" "$folder/old"
mv "$folder/latest" "$data"
restart_as_it_was
node_kill 3

# When that is gone the way back is an empty folder.
rm -rf "$data"
mv "$folder/old" "$data"
rm "$data/old-copy"
is_told
hold meanwhile
$lockctl show early --json | jq -e '.token' >/dev/null || fail "the lock of before is gone"
$lockctl cluster remove 3 >"$folder/out" 2>&1 || fail "node 3 cannot be removed: $(cat "$folder/out")"
rm -rf "$data"
node_start 3
eventually 30 candidates_are 3 || fail "node 3 does not call: $($lockctl cluster members)"
$lockctl cluster add 3 >"$folder/out" 2>&1 || fail "node 3 cannot be added: $(cat "$folder/out")"
eventually 30 members_are "1:voter 2:voter 3:voter" || fail "members: $($lockctl cluster members)"
eventually 30 is_up_to_date || fail "node 3 does not catch up: $($lockctl status)"
node_kill 3
restart_as_it_was
echo "told, marked and refused; added anew with everything"

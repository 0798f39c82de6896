#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Nobody is left who could restore a node: all three are damaged in one night, or there is only one. No empty cluster is
# founded, and the nodes say what an operator can do.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 3
lockctl=$bin/cli/lockctl lockd=$bin/lockd/lockd
for i in 1 2 3; do node_start $i; done
cluster_wait_leader 20 >/dev/null || fail "no leader"
expect_exit 0 $lockctl lock kept -- true

for i in 1 2 3; do node_kill $i; done
: >"$folder/node1/raft.db"
rm "$folder/node2/superblock"
: >"$folder/node3/state.db"
for i in 1 2 3; do
	: >"$folder/node$i.log"
	node_start $i
done
waits() { [ "$(cat "$folder"/node?.log | grep -cE 'not founding a cluster: reason="every listed node has found its data folder damaged.* next="[^"]*lockd restore')" -eq 3 ]; }
eventually 10 waits || fail "the nodes do not say that they wait: $(cat "$folder"/node?.log)"
! grep -qE 'founding the cluster|event=founded|role=leader' "$folder"/node?.log || fail "a cluster was founded"
[ -z "$(cluster_leader)" ] || fail "there is a leader: $($lockctl status)"
for i in 1 2 3; do [ -d "$folder/node$i/damaged-1" ] || fail "node $i has nothing set aside: $(ls "$folder/node$i")"; done

# Not even with one of them empty: it may be that which would found a cluster.
node_kill 1
rm -rf "$folder/node1"
: >"$folder/node1.log"
node_start 1
sees() { grep -q 'not founding a cluster: reason="a listed node belongs to one already"' "$folder/node1.log"; }
eventually 10 sees || fail "node 1 does not say why it founds no cluster: $(cat "$folder/node1.log")"
grep -q 'waits for the cluster that its damaged data folder belonged to' "$folder"/node[23].log || fail "nodes 2 and 3 do not refuse an empty node"

# A node of its own.
data=$folder/alone
"$lockd" --data "$data" --listen-client 127.0.0.1:0 --listen-peer 127.0.0.1:0 >"$folder/alone.log" 2>&1 &
alone=$!
leads() { grep -q 'role=leader' "$folder/alone.log"; }
eventually 10 leads || fail "the node alone does not serve: $(cat "$folder/alone.log")"
kill -KILL $alone
wait $alone 2>/dev/null
: >"$data/raft.db"
before=$(ls "$data")
expect_exit 1 timeout 20 "$lockd" --data "$data" --listen-client 127.0.0.1:0 --listen-peer 127.0.0.1:0
expect_text "$folder/err" "^lockd: $data/raft.db is damaged: it is empty; no other node is configured that could restore this one, so nothing was moved: restore a backup with .lockd restore."
[ "$(ls "$data")" = "$before" ] || fail "files were moved: $(ls -R "$data")"
echo ok

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lockd on its own: a single-node cluster, SIGTERM, restart with everything kept.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 1
lockctl=$bin/cli/lockctl

node_start 1
[ "$(cluster_wait_leader 10)" = 1 ] || fail "node 1 does not lead"

# A holder that outlives the restart of the server keeps its lock.
$lockctl lock keep --ttl 30s >"$folder/holder" 2>&1 &
holder=$!
eventually 5 $lockctl show keep || fail "the lock was not acquired"
token=$($lockctl show keep --json | jq -r .token)
expect_exit 75 $lockctl lock keep --try -- true
node_kill 1 TERM
[ $? -eq 0 ] || fail "SIGTERM did not end the node with 0"

began=$(now_ms)
node_start 1
eventually 10 $lockctl show keep || fail "the lock is gone after the restart"
echo "served again after $(($(now_ms) - began)) ms"
[ "$($lockctl show keep --json | jq -r .token)" = "$token" ] || fail "the token changed over the restart"
kill -TERM $holder
wait $holder || true
eventually 5 $lockctl lock keep --try -- true || fail "the lock was not released by the holder"

# The same data folder cannot be opened twice.
expect_exit 1 timeout 5 "$bin/lockd/lockd" --data "$folder/node1" --listen-client 127.0.0.1:0 --listen-peer 127.0.0.1:0
expect_text "$folder/err" 'in use'
node_kill 1 TERM || fail "exit $? on SIGTERM"

# Without any argument: the well-known ports of loopback, data in ./lockd-data. The only case that uses fixed ports.
if port_is_free 7600 && port_is_free 7601; then
	mkdir "$folder/plain"
	(cd "$folder/plain" && exec "$bin/lockd/lockd") >"$folder/plain.log" 2>&1 &
	plain=$!
	unset LOCKD_ENDPOINTS
	eventually 10 $lockctl lock first -- true || fail "lockd without arguments does not serve: $(cat "$folder/plain.log")"
	[ -e "$folder/plain/lockd-data/superblock" ] || fail "no ./lockd-data"
	kill -TERM $plain
	wait $plain || fail "exit $? on SIGTERM"
fi
echo ok

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The disk of a node runs full: it says so, refuses, keeps what it acknowledged, and goes on when there is room again.
# Needs root to mount a small tmpfs; elsewhere the case is skipped (exit 77) and says so.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 1
lockctl=$bin/cli/lockctl
mkdir "$folder/node1"
mount -t tmpfs -o size=6m tmpfs "$folder/node1" 2>/dev/null || {
	echo "skipped: mounting a small tmpfs needs root"
	exit 77
}
trap 'cluster_end_with_mount' EXIT
cluster_end_with_mount() {
	cluster_kill_all
	umount "$folder/node1"
	cluster_end
}
node_start 1
cluster_wait_leader 10 >/dev/null || fail "no leader"
$lockctl lock kept --ttl 60s >/dev/null &
holder=$!
eventually 5 $lockctl show kept || fail "the lock was not acquired"
token=$($lockctl show kept --json | jq -r .token)

head -c 64M /dev/zero >"$folder/node1/ballast" 2>/dev/null
"$bin/tests/integration/pairs" 20000 16 --timeout-ms 3000 >"$folder/out" 2>"$folder/err"
[ $? -ne 0 ] || fail "20000 pairs fitted on a full disk"
expect_text "$folder/node1.log" 'full'
kill -0 "${node_pid[1]}" || fail "the node died of the full disk: $(tail -n 3 "$folder/node1.log")"

rm "$folder/node1/ballast"
eventually 20 $lockctl lock after --try -- true || fail "no lock after room was made: $(tail -n 5 "$folder/node1.log")"
[ "$($lockctl show kept --json | jq -r .token)" = "$token" ] || fail "the lock that was held before is gone"
node_kill 1 TERM
node_start 1
eventually 10 $lockctl show kept || fail "the lock is gone after a restart"
[ "$($lockctl show kept --json | jq -r .token)" = "$token" ] || fail "another token after a restart"

# A stop while a save waits for room ends in good time; what was acknowledged is there when the node starts again.
head -c 64M /dev/zero >"$folder/node1/ballast" 2>/dev/null
"$bin/tests/integration/pairs" 20000 16 --timeout-ms 1000 >"$folder/out" 2>"$folder/err" && fail "20000 pairs fitted on a full disk"
began=$(now_ms)
node_kill 1 TERM || fail "exit $? on SIGTERM with a full disk"
took=$(($(now_ms) - began))
[ $took -le 6000 ] || fail "the stop took $took ms with a full disk"
rm "$folder/node1/ballast"
node_start 1
eventually 10 $lockctl show kept || fail "the lock is gone after a stop with a full disk"
[ "$($lockctl show kept --json | jq -r .token)" = "$token" ] || fail "another token after a stop with a full disk"
kill -KILL $holder
wait $holder 2>/dev/null
echo ok

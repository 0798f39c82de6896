#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# soak.sh BUILD PAIRS: acquire/release pairs on three nodes leave log, files and memory bounded, and a restarted node serves
# within a second. Sizes are printed before and after.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 3
pairs=${2:-100000}
lockctl=$bin/cli/lockctl
# Small thresholds, so that checkpoints and trimming happen many times in the run.
for i in 1 2 3; do node_start $i --checkpoint-log-bytes 1048576 --trailing-log-bytes 524288; done
cluster_wait_leader 20 >/dev/null || fail "no leader"

sizes() {
	local i
	for i in 1 2 3; do
		printf 'node %d: raft.db+wal %6d KiB, state.db+wal %6d KiB, resident %6d KiB, log %s\n' $i \
			"$(du -ck "$folder/node$i"/raft.db* | tail -n 1 | cut -f 1)" "$(du -ck "$folder/node$i"/state.db* | tail -n 1 | cut -f 1)" \
			"$(awk '/VmRSS/ {print $2}' "/proc/${node_pid[$i]}/status")" \
			"$($lockctl status --json | jq -r --argjson n $i '.nodes[] | select(.node == $n) | "\(.log_first)..\(.log_last), \(.log_bytes) bytes"')"
	done
}
"$bin/tests/integration/pairs" $((pairs / 4)) 16 || fail "pairs ended with $?"
echo "after $((pairs / 4)) pairs:"
sizes | tee "$folder/before"
"$bin/tests/integration/pairs" $((pairs - pairs / 4)) 16 || fail "pairs ended with $?"
echo "after $pairs pairs:"
sizes | tee "$folder/after"

for i in 1 2 3; do
	[ "$(du -ck "$folder/node$i"/raft.db* | tail -n 1 | cut -f 1)" -le 32768 ] || fail "raft.db of node $i is above 32 MiB"
	[ "$(awk '/VmRSS/ {print $2}' "/proc/${node_pid[$i]}/status")" -le 131072 ] || fail "node $i takes more than 128 MiB"
done
$lockctl status --json | jq -e '[.nodes[] | .log_bytes] | max <= 4194304' >/dev/null || fail "a retained log is above 4 MiB: $($lockctl status)"
[ "$($lockctl status --json | jq '[.nodes[] | .checkpoint] | min')" -gt 0 ] || fail "a node has made no checkpoint"

follower=$($lockctl status --json | jq -r '[.nodes[] | select(.role == "follower")][0].node')
node_kill "$follower"
began=$(now_ms)
node_start "$follower"
serves() { $lockctl --endpoints "127.0.0.1:${client_port[$follower]}" status --json | jq -e --argjson n "$follower" '.nodes[] | select(.node == $n) | .leader != 0 and .applied > 0'; }
eventually 10 serves || fail "node $follower does not serve after its restart"
took=$(($(now_ms) - began))
echo "node $follower, killed and restarted, serves after $took ms"
[ $took -le 1000 ] || fail "a restart took $took ms"
same_state() { $lockctl status --json | jq -e '[.nodes[] | "\(.applied) \(.state_hash)"] | unique | length == 1'; }
eventually 10 same_state || fail "the nodes' states differ: $($lockctl status --json)"

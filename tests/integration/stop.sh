#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# stop.sh BUILD ROUNDS: three nodes under load, a follower that needs a snapshot, in every other round killed while it may
# receive it; then SIGTERM for all at once. Each ends with 0 in good time, and started again they have the same state.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 3
rounds=${2:-3} lockctl=$bin/cli/lockctl
small=(--checkpoint-log-bytes 65536 --trailing-log-bytes 16384)
same_state() { $lockctl status --json | jq -e '([.nodes[] | select(.status == "OK")] | length == 3) and ([.nodes[] | "\(.applied) \(.state_hash)"] | unique | length == 1)'; }
applied() { $lockctl status --json | jq '[.nodes[] | .applied // 0] | max'; }
applied_more_than() { [ "$(applied)" -gt "$1" ]; }
for i in 1 2 3; do node_start $i "${small[@]}"; done

for ((round = 1; round <= rounds; round++)); do
	leader=$(cluster_wait_leader 20) || fail "no leader in round $round"
	follower=$((leader % 3 + 1))
	"$bin/tests/integration/pairs" 1000000 16 --timeout-ms 3000 >/dev/null 2>&1 &
	load=$!
	node_kill $follower
	eventually 20 applied_more_than $(($(applied) + 500)) || fail "the load does not get on in round $round"
	node_start $follower "${small[@]}"
	sleep 0.0$((RANDOM % 10)) # somewhere on the way of the snapshot
	if [ $((round % 2)) -eq 0 ]; then
		node_kill $follower
		node_start $follower "${small[@]}"
	fi

	began=$(now_ms)
	for i in 1 2 3; do kill -TERM "${node_pid[$i]}"; done
	for i in 1 2 3; do
		wait "${node_shell[$i]}" || fail "node $i ended with $? on SIGTERM in round $round"
		unset "node_pid[$i]"
	done
	took=$(($(now_ms) - began))
	[ $took -le 6000 ] || fail "the stop took $took ms in round $round"
	{ kill -KILL $load && wait $load; } 2>/dev/null
	for i in 1 2 3; do node_start $i "${small[@]}"; done
	eventually 20 same_state || fail "the nodes' states differ after round $round: $($lockctl status)"
	echo "round $round: stopped in $took ms"
done
grep -qh 'snapshot-installed' "$folder"/node*.log || fail "no snapshot was sent in any round"
echo ok

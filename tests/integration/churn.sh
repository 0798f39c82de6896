#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# churn.sh BUILD CHANGES: {1, 2, 3} → {3, 4, 5} → {1, 2, 3} → …, each in one change, under load, with the leader killed -9 at
# a random moment of each and started again. No pair lost, no lock granted twice, tokens grow (all three seen by `pairs`), the
# right members at the end. Those that join are blank.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 5
changes=${2:-2} lockctl=$bin/cli/lockctl kills=0 again=0
endpoints_are 3
peers_are 1 2 3
for i in 1 2 3; do node_start $i; done
cluster_wait_leader 20 >/dev/null || fail "no leader"
peers_are 1 2 3 4 5

touch "$folder/go-on"
"$bin/tests/integration/pairs" 0 16 --share 64 --while "$folder/go-on" --timeout-ms 60000 >"$folder/pairs.out" 2>"$folder/pairs.err" &
load=$!

# The leader at this moment, killed and started again.
kill_leader() {
	local leader
	leader=$(cluster_wait_leader 5) && [ -n "${node_pid[$leader]:-}" ] || return 0
	node_kill "$leader"
	kills=$((kills + 1))
	sleep 0.$((RANDOM % 5 + 1))
	node_start "$leader"
}

# change_members WORDS…: until it is made; refused it may be as long as a node that was killed has not come back
change_members() {
	local change attempt
	for attempt in 1 2 3 4 5; do
		$lockctl cluster change "$@" >"$folder/change.out" 2>&1 &
		change=$!
		sleep "0.$(printf %03d $((RANDOM % 250)))" # a change takes about a tenth of a second
		kill_leader
		wait $change && return 0
		again=$((again + 1))
		echo "change $*, again: $(cat "$folder/change.out")"
		kill -0 $load 2>/dev/null || break
	done
	fail "change $*: $(cat "$folder/change.out") $($lockctl cluster members) $(cat "$folder/pairs.err")"
}

for ((n = 1; n <= changes; n++)); do
	if [ $((n % 2)) -eq 1 ]; then
		out=(1 2) in=(4 5) want="3:voter 4:voter 5:voter"
	else
		out=(4 5) in=(1 2) want="1:voter 2:voter 3:voter"
	fi
	began=$(now_ms)
	for i in "${in[@]}"; do
		[ -z "${node_pid[$i]:-}" ] || node_kill "$i"
		rm -rf "${folder:?}/node$i"
		node_start "$i"
	done
	eventually 30 candidates_are "${in[*]}" || fail "change $n: nodes ${in[*]} do not call: $($lockctl cluster members)"
	change_members "+${in[0]}" "+${in[1]}" "-${out[0]}" "-${out[1]}"
	cluster_wait_leader 30 >/dev/null || fail "no leader after change $n"
	eventually 30 members_are "$want" || fail "members after change $n: $($lockctl cluster members)"
	echo "change $n: $want after $(($(now_ms) - began)) ms"
	kill -0 $load 2>/dev/null || fail "pairs ended during change $n: $(cat "$folder/pairs.out" "$folder/pairs.err")"
done
rm "$folder/go-on"
wait $load || fail "pairs ended with $?: $(cat "$folder/pairs.out" "$folder/pairs.err")"
same_state() { $lockctl status --json | jq -e --arg want "$want" '($want | split(" ") | map(split(":")[0] | tonumber)) as $members | [.nodes[] | select(.node as $n | $members | index($n)) | "\(.applied) \(.state_hash)"] | unique | length == 1'; }
eventually 20 same_state || fail "the members' states differ: $($lockctl status)"
echo "$changes changes done, $again repeated, $kills kills of the leader; pairs: $(cat "$folder/pairs.out")"

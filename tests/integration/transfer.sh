#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Leadership is handed over under load, by request and by the SIGTERM of a leader: nothing is lost, the gaps are printed.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 3
rounds=${2:-5} lockctl=$bin/cli/lockctl
for i in 1 2 3; do node_start $i; done
cluster_wait_leader 20 >/dev/null || fail "no leader"
leader_is() { [ "$(cluster_leader)" = "$1" ]; }

# under_load WHAT COMMAND…: runs it while pairs are acquired and released, checks that none failed, prints the longest gap
under_load() {
	local what=$1 load
	shift
	touch "$folder/go-on"
	"$bin/tests/integration/pairs" 0 16 --share 64 --while "$folder/go-on" >"$folder/pairs.out" 2>"$folder/pairs.err" &
	load=$!
	sleep 0.5
	"$@"
	sleep 0.5
	rm "$folder/go-on"
	wait $load || fail "$what: pairs ended with $?: $(cat "$folder/pairs.out" "$folder/pairs.err")"
	echo "$what: $(cat "$folder/pairs.out")"
	gap=$(sed 's/.*longest gap \([0-9]*\) ms.*/\1/' "$folder/pairs.out")
}

hand_over() {
	local round before
	for ((round = 1; round <= rounds; round++)); do
		before=$(cluster_wait_leader 20) || fail "no leader in round $round"
		if [ $((round % 2)) -eq 0 ]; then
			expect_exit 0 $lockctl cluster transfer
			! leader_is "$before" || fail "round $round: node $before still leads"
		else
			expect_exit 0 $lockctl cluster transfer $((before % 3 + 1))
			eventually 5 leader_is $((before % 3 + 1)) || fail "round $round: leadership did not go to node $((before % 3 + 1))"
		fi
	done
}

stop_leader() {
	stopped=$(cluster_wait_leader 20) || fail "no leader"
	node_kill "$stopped" TERM || fail "node $stopped ended with $? on SIGTERM"
}

under_load "nothing" true
under_load "$rounds transfers" hand_over
[ "$gap" -le 2000 ] || fail "a transfer took $gap ms"
for round in 1 2 3; do
	under_load "SIGTERM of the leader" stop_leader
	[ "$gap" -le 2000 ] || fail "the hand-over of a leader that stops took $gap ms"
	node_start "$stopped"
done
grep -qh 'event=transfer .*reason=stop' "$folder"/node*.log || fail "no leader handed over when it stopped"
echo ok

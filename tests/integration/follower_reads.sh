#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Reads at followers: a linearizable one shows the acquire that was just acknowledged, SESSION never goes back from node to
# node, STALE says that it is, and how old.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 3
rounds=${2:-20} lockctl=$bin/cli/lockctl
for i in 1 2 3; do node_start $i; done
leader=$(cluster_wait_leader 20) || fail "no leader"
followers=($((leader % 3 + 1)) $(((leader + 1) % 3 + 1)))

touch "$folder/go-on"
"$bin/tests/integration/pairs" 0 8 --while "$folder/go-on" >"$folder/pairs.out" 2>&1 &
load=$!

# The command runs once the acquire is acknowledged, and asks a follower for it.
for ((round = 1; round <= rounds; round++)); do
	follower=${followers[$((round % 2))]}
	expect_exit 0 $lockctl lock "fresh/$round" -- sh -c "$lockctl show \$LOCKD_LOCK --node $follower --json | tee $folder/shown | jq -e --arg t \$LOCKD_TOKEN '.token == \$t'"
	jq -e --argjson n "$follower" '.answer.read == "linearizable" and .answer.node == $n' "$folder/shown" >/dev/null || fail "round $round: $(cat "$folder/shown")"
	# Released, too.
	expect_exit 1 $lockctl show "fresh/$round" --node "$follower"
done
echo "$rounds locks seen at followers as soon as they were granted"

revision=0
for ((round = 1; round <= rounds; round++)); do
	node=$((round % 3 + 1))
	expect_exit 0 $lockctl ls fresh/ --read session --at-least "$revision" --node $node --json
	jq -e --argjson n $node --argjson r "$revision" '.answer.read == "session" and .answer.node == $n and (.answer.revision | tonumber) >= $r' "$folder/out" >/dev/null ||
		fail "round $round went back from revision $revision: $(cat "$folder/out")"
	revision=$(jq -r .answer.revision "$folder/out")
done
[ "$revision" -gt 0 ] || fail "no revision was told"
expect_exit 0 $lockctl session ls --read session --at-least "$revision"
expect_text "$folder/err" '^lockctl: session ls: session, node [1-3], revision [0-9]+$'
rm "$folder/go-on"
wait $load || fail "pairs ended with $?: $(cat "$folder/pairs.out")"
echo "under load: $(cat "$folder/pairs.out")"

# What is ahead of everybody cannot be waited for longer than the time-out.
expect_exit 69 $lockctl ls --read session --at-least $((revision + (1 << 40))) --timeout 500ms

# Without a majority only stale reads are answered, with their age.
node_kill "$leader"
node_kill "${followers[0]}"
last=${followers[1]}
sleep 1
expect_exit 69 $lockctl ls --timeout 1s
expect_exit 69 $lockctl ls --node "$last" --timeout 1s
expect_exit 0 $lockctl ls --read stale --node "$last"
expect_text "$folder/err" "^lockctl: ls: stale, node $last, revision [0-9]+, heard of its leader .* ago$"
expect_exit 0 $lockctl ls --read stale --json
jq -e --argjson n "$last" '.answer.read == "stale" and .answer.node == $n and .answer.age_ms >= 1000' "$folder/out" >/dev/null || fail "stale: $(cat "$folder/out")"
echo ok

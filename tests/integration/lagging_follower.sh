#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A follower that was away while the log was trimmed gets a snapshot, in chunks, and ends with the same state.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 3
lockctl=$bin/cli/lockctl
small=(--checkpoint-log-bytes 262144 --trailing-log-bytes 65536)
for i in 1 2 3; do node_start $i "${small[@]}"; done
leader=$(cluster_wait_leader 20) || fail "no leader"
follower=$((leader % 3 + 1))

# Locks that stay held, with values that make the checkpoint larger than one chunk.
"$bin/tests/integration/pairs" 400 8 --hold held/ --value-bytes 3000 >"$folder/holder" &
holder=$!
eventually 20 sh -c "$lockctl ls held/ --json | jq -e '.locks | length == 400'" || fail "the held locks are not there"
node_kill "$follower"
"$bin/tests/integration/pairs" 6000 16 || fail "pairs ended with $?"
applied() { $lockctl status --json | jq -r --argjson n "$1" '.nodes[] | select(.node == $n) | .applied'; }
first=$($lockctl status --json | jq -r --argjson n "$leader" '.nodes[] | select(.node == $n) | .log_first')
[ "$first" -gt 1 ] || fail "the leader has not trimmed its log"

node_start "$follower" "${small[@]}"
same_state() { $lockctl status --json | jq -e '([.nodes[] | select(.status == "OK")] | length == 3) and ([.nodes[] | "\(.applied) \(.state_hash)"] | unique | length == 1)'; }
eventually 30 same_state || fail "node $follower does not catch up: $($lockctl status)"
expect_text "$folder/node$follower.log" 'snapshot'
kill -KILL $holder
wait $holder 2>/dev/null
echo ok

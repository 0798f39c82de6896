#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A snapshot over a line that breaks three times: each attempt goes on where the last one ended, from the same cut.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 3
lockctl=$bin/cli/lockctl
small=(--checkpoint-log-bytes 262144 --trailing-log-bytes 65536)
# A new leader would make a cut of its own, so a machine that is busy is not to bring one about.
small+=(--check-quorum-ms 4000 --election-ms-min 4000 --election-ms-max 8000)

# The others reach node 3 through the line.
free_ports 1
line_port=${ports[6]}
line() { "$bin/tests/integration/snapshot_cutter" "$line_port" "${peer_port[3]}" 1500000 "$1" >"$folder/line" & line=$!; }
line 0
for ((i = 0; i < ${#peer_flags[@]}; i++)); do peer_flags[i]=${peer_flags[i]/#3 127.0.0.1:${peer_port[3]}/3 127.0.0.1:$line_port}; done
for i in 1 2 3; do node_start $i "${small[@]}"; done
leader=$(cluster_wait_leader 60) || fail "no leader"
if [ "$leader" = 3 ]; then
	eventually 60 sh -c "$lockctl cluster transfer 1" || fail "node 3 does not hand over"
fi

"$bin/tests/integration/pairs" 2000 8 --hold held/ --value-bytes 4000 >"$folder/holder" &
holder=$!
# A page has at most 1000 rows.
held() { $lockctl status --json | jq -e '[.nodes[] | select(.role == "leader" and .locks >= 2000)] | length == 1'; }
eventually 120 held || fail "the held locks are not there: $($lockctl status)"
last=$($lockctl status --json | jq '.nodes[] | select(.node == 3) | .log_last')
[ -n "$last" ] || fail "node 3 does not answer: $($lockctl status)"
node_kill 3
# As many pairs as it takes for the log that node 3 needs to go.
trimmed() { $lockctl status --json | jq -e --argjson last "$last" '[.nodes[] | select(.role == "leader" and .log_first > $last + 1)] | length == 1'; }
for ((round = 0; round < 20; round++)); do
	"$bin/tests/integration/pairs" 2000 16 >/dev/null || fail "pairs ended with $?"
	eventually 1 trimmed && break
done
[ $round -lt 20 ] || fail "the leader has not trimmed its log behind $last: $($lockctl status)"
sender=$(cluster_leader)

kill $line
wait $line 2>/dev/null
line 3
node_start 3 "${small[@]}"
same_state() { $lockctl status --json | jq -e '([.nodes[] | select(.status == "OK")] | length == 3) and ([.nodes[] | "\(.applied) \(.state_hash)"] | unique | length == 1)'; }
eventually 120 same_state || fail "node 3 does not catch up: $($lockctl status)"
[ "$(cluster_leader)" = "$sender" ] || fail "node $sender led and made the cut; now: $($lockctl status)"
[ "$(grep -c '^cut after' "$folder/line")" -eq 3 ] || fail "the line broke otherwise than it should: $(cat "$folder/line")"
offsets=$(sed -n 's/^sending a snapshot: peer=3 .*index=\([0-9]*\) .* offset=\([0-9]*\)$/\1 \2/p' "$folder"/node[12].log | tail -n 4)
[ "$(cut -d ' ' -f 1 <<<"$offsets" | sort -u | wc -l)" -eq 1 ] || fail "a new cut was made: $offsets"
[ "$(cut -d ' ' -f 2 <<<"$offsets" | sort -nu)" = "$(cut -d ' ' -f 2 <<<"$offsets")" ] || fail "no attempt goes on behind the one before: $offsets"
[ "$(tail -n 1 <<<"$offsets" | cut -d ' ' -f 2)" -gt 3000000 ] || fail "three attempts came no further: $offsets"
kill -KILL $holder $line
wait $holder $line 2>/dev/null
echo ok

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Clients that ask for megabytes and never read are closed in the end, and cost little; all others are served meanwhile.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 1
lockctl=$bin/cli/lockctl readers=6
node_start 1
cluster_wait_leader 10 >/dev/null || fail "no leader"

# One List reply is nearly a megabyte.
"$bin/tests/integration/pairs" 300 8 --hold held/ --value-bytes 3000 >/dev/null &
holder=$!
all_held() { $lockctl ls held/ --json | jq -e '.locks | length == 300'; }
eventually 20 all_held || fail "the held locks are not there"
resident() { awk '/VmRSS/ {print $2}' "/proc/${node_pid[1]}/status"; }
before=$(resident)

pids=()
for ((i = 1; i <= readers; i++)); do
	"$bin/tests/integration/slow_reader" 127.0.0.1 "${client_port[1]}" 500 40 >"$folder/slow$i" 2>&1 &
	pids+=($!)
done
"$bin/tests/integration/pairs" 2000 8 --timeout-ms 10000 >"$folder/pairs" 2>&1 || fail "others are not served: $(cat "$folder/pairs")"
during=$(resident)
for pid in "${pids[@]}"; do wait "$pid" || fail "a slow reader ended with $?: $(cat "$folder"/slow*)"; done
cat "$folder"/slow*
echo "meanwhile: $(cat "$folder/pairs"); resident $before KiB before, $during KiB during"
# Per reader: LIMIT_OUTPUT_BYTES_HIGH and what one turn answers, in a buffer that doubles, and another one on its way.
sanitized=$(grep -c '^LOCKD_SANITIZE:STRING=.' "$bin/CMakeCache.txt")
[ "$sanitized" -ne 0 ] || [ $((during - before)) -le $((readers * 8 * 1024)) ] || fail "memory went from $before to $during KiB"

eventually 5 $lockctl lock after --try -- true || fail "no lock afterwards"
kill -0 "${node_pid[1]}" || fail "the node died"
{ kill -KILL $holder && wait $holder; } 2>/dev/null
echo ok

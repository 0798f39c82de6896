#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Shows lockd at work: three nodes, workers that increment a counter in a file under a lock, a leader killed with -9 while
# they run. Installs what is missing, builds, runs, tells what happened, cleans up. Needs no terminal; can be repeated.
#   scripts/demo.sh [WORKERS [INCREMENTS]]     default: 6 workers, 400 increments each
set -euo pipefail
cd "$(dirname "$0")/.."
workers=${1:-6} increments=${2:-400}
[[ $workers =~ ^[1-9][0-9]?$ && $increments =~ ^[1-9][0-9]{0,5}$ ]] || {
	echo "usage: scripts/demo.sh [WORKERS 1–99 [INCREMENTS 1–999999]]" >&2
	exit 64
}

step() { printf '\n== %s\n' "$*"; }
step "1/7 packages"
scripts/packages.sh
step "2/7 build"
cmake --preset release >/dev/null
cmake --build --preset release | tail -n 1
. scripts/cluster.bash
cluster_begin "$PWD/build/release" 3
lockctl=$bin/cli/lockctl

step "3/7 start three nodes (client ports ${client_port[*]}, data in $folder)"
for i in 1 2 3; do node_start $i; done
first=$(cluster_wait_leader 20) || { echo "no leader within 20 s"; tail -n 5 "$folder"/node*.log; exit 1; }
echo "node $first leads"

step "4/7 start $workers workers, $increments increments each, all under the lock 'demo/counter'"
echo "0 0" >"$folder/counter"
worker_pids=()
for ((w = 1; w <= workers; w++)); do
	"$bin/examples/counter" --endpoints "$endpoints" --lock demo/counter --file "$folder/counter" --times "$increments" \
		--id "worker$w" >"$folder/worker$w.out" 2>"$folder/worker$w.err" &
	worker_pids+=($!)
done
done_so_far() { cat "$folder"/worker*.out 2>/dev/null | wc -l; }
while [ "$(done_so_far)" -lt $((workers * increments / 4)) ]; do sleep 0.02; done
echo "after $(done_so_far) increments:"
$lockctl ls
$lockctl status

step "5/7 kill -9 the leader, node $first"
before=$(done_so_far)
node_kill "$first" || true
second=$(cluster_wait_leader 20) || { echo "no new leader within 20 s"; exit 1; }
echo "node $second leads"

step "6/7 let the workers finish, then start node $first again"
failed=0
for pid in "${worker_pids[@]}"; do wait "$pid" || failed=$((failed + 1)); done
node_start "$first"
caught_up() {
	$lockctl status --json | jq -e '[.nodes[] | select(.status == "OK") | .applied] | length == 3 and (max - min) == 0' >/dev/null
}
for ((try = 0; try < 250; try++)); do caught_up && break; sleep 0.02; done
$lockctl ls
$lockctl status

step "7/7 what happened"
total=$((workers * increments))
read -r value token <"$folder/counter"
# Every grant, in order of time: when (ms), token.
cat "$folder"/worker*.out | sort -n >"$folder/grants"
gap=$(awk 'NR > 1 && $1 - last > max {max = $1 - last; at = last} {last = $1} END {print max + 0}' "$folder/grants")
repeated=$(awk '{print $2}' "$folder/grants" | sort | uniq -d | wc -l)
# Tokens exceed what awk's numbers hold exactly; all of an epoch have the same number of digits, so their text compares.
backward=$(sort -n -k3 "$folder/grants" | awk '{t = "t" $2} NR > 1 && t <= last {n++} {last = t} END {print n + 0}')
echo "leaders:            node $first, and after its death node $second"
echo "gap without grants: $gap ms, the longest pause between two grants, around the kill"
echo "increments:         $value of $total are in the file; $before were done before the kill"
echo "tokens:             $(wc -l <"$folder/grants") grants, $repeated tokens given twice, $backward not greater than the one before; the last is $token"
if [ "$value" -eq "$total" ] && [ "$failed" -eq 0 ] && [ "$repeated" -eq 0 ] && [ "$backward" -eq 0 ]; then
	echo "result:             nothing was lost"
else
	echo "result:             FAILED ($failed workers failed)"
	tail -n 3 "$folder"/worker*.err
	exit 1
fi

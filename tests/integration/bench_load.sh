#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench_load.sh BUILD: every workload of load-lockd and load-floor does what bench/README.md says, on a real cluster; what is
# asked wrongly is refused. How fast they are is not looked at.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 3
free_ports 4
lockd=$bin/bench/load/load-lockd floor=$bin/bench/load/load-floor

# expect_line FILTER: the line that the program before printed
expect_line() {
	jq -e "$1" "$folder/out" >/dev/null || fail "not so: $1
$(cat "$folder/out" "$folder/err")"
}

# refused WORD COMMAND…: exit 64, and the word is named
refused() {
	local word=$1
	shift
	expect_exit 64 "$@"
	expect_text "$folder/err" "$word"
	[ ! -s "$folder/out" ] || fail "refused, and yet: $(cat "$folder/out")"
}

# run WORKLOAD [FLAGS…]
run() {
	local workload=$1
	shift
	expect_exit 0 "$lockd" "$workload" --endpoints "$endpoints" --warmup 0.1 --seconds 0.5 "$@"
	expect_line ".workload == \"$workload\""
}

refused pears "$lockd" pears --endpoints "$endpoints"
refused --frequency "$lockd" pairs --endpoints "$endpoints" --frequency 3
refused --endpoints "$lockd" pairs
refused --endpoints "$lockd" pairs --endpoints 'not an address'
refused --api "$lockd" handoff --endpoints "$endpoints" --api blocking
refused --handles "$lockd" flood --endpoints "$endpoints" --sessions 5000 --handles 2
refused --endpoints "$floor" acquire --data "$folder" --endpoints "$endpoints"
refused --data "$floor" acquire
refused --sessions "$floor" acquire --data "$folder" --sessions 1025
refused --sessions "$floor" acquire-nng --data "$folder" --sessions 2
refused --data "$floor" acquire-nng

# Nobody listens there, which it takes some seconds to believe.
"$lockd" pairs --endpoints "127.0.0.1:${ports[9]}" 2>"$folder/unreachable" &
unreachable=$!

metrics=''
for i in 1 2 3; do
	metrics+="${metrics:+,}127.0.0.1:${ports[5 + i]}"
	node_start $i --listen-metrics "127.0.0.1:${ports[5 + i]}"
done
cluster_wait_leader 20 >/dev/null || fail "no leader"

run pairs --sessions 8 --handles 3
expect_line '.sessions == 8 and .handles == 3 and .done > 0 and .per_s > 0 and .seconds >= 0.5'
expect_line '.acquire_us.p50 > 0 and .acquire_us.p50 <= .acquire_us.p99 and .acquire_us.p99 <= .acquire_us.max and .release_us.p50 > 0'
run pairs --sessions 8 --api blocking
expect_line '.done > 0 and .acquire_us.p50 > 0 and .release_us.p50 > 0'
run handoff --sessions 8
expect_line '.done > 0 and .handoff_us.p50 > 0'
run gap --sessions 8
expect_line '.done > 0 and .failed == 0 and .gap_ms > 0 and .at_s > 0'
run flood --sessions 8 --metrics "$metrics"
expect_line '.done > 0 and .done == .ok + .held and .other == 0 and .busy >= 0 and .try_us.p50 > 0 and .polite_us.p50 > 0 and .quiet_us.p50 > 0'

# A sixth of the TTL apart: at least once in the time that is measured, and hardly more often than twice.
expect_exit 0 "$lockd" keepalive --endpoints "$endpoints" --sessions 100 --ttl-ms 3000 --warmup 0.1 --seconds 1 \
	--metrics "$metrics"
expect_line '.done >= 100 and .done <= 400 and .done % 100 == 0 and .expired == 0'
run keepalive --sessions 10
expect_line '.done == null and .per_s == null and .expired == 0'
expect_exit 1 "$lockd" keepalive --endpoints "$endpoints" --warmup 0 --metrics 127.0.0.1:1
expect_text "$folder/err" 'metrics.*127.0.0.1:1 does not answer'

# Holders go on until they are told: stdin is a pipe that we keep open.
mkfifo "$folder/stdin"
"$lockd" hold --endpoints "$endpoints" --sessions 4 --locks 300 --prefix kept <"$folder/stdin" >"$folder/out" 2>"$folder/err" &
pid=$!
exec 5>"$folder/stdin"
eventually 10 test -s "$folder/out" || fail "hold printed nothing: $(cat "$folder/err")"
expect_line '.done == 300 and .per_s > 0'
[ "$("$bin/cli/lockctl" ls --json kept/ | jq '.locks | length')" -eq 300 ] || fail "hold does not hold what it says"
exec 5>&-
wait $pid || fail "hold did not end well: $(cat "$folder/err")"

"$lockd" wait --endpoints "$endpoints" --sessions 40 --seconds 5 --prefix queue <"$folder/stdin" >"$folder/out" 2>"$folder/err" &
pid=$!
exec 5>"$folder/stdin"
eventually 10 test -s "$folder/out" || fail "wait printed nothing: $(cat "$folder/err")"
expect_line '.waiting == 40'
[ "$("$bin/cli/lockctl" ls --json queue/ | jq '.locks[0].waiting')" -eq 40 ] || fail "not all wait"
echo go >&5
wait $pid || fail "wait did not end well: $(cat "$folder/err")"
exec 5>&-
[ "$(jq -s '.[1].done' "$folder/out")" -eq 40 ] || fail "not all had it: $(cat "$folder/out")"
expect_exit 1 "$lockd" wait --endpoints "$endpoints" --sessions 3 --prefix gone </dev/null
expect_text "$folder/err" "before a line 'go'"

"$lockd" idle --endpoints "$endpoints" --sessions 12 --prefix idle >"$folder/out" 2>"$folder/err" &
pid=$!
eventually 10 test -s "$folder/out" || fail "idle printed nothing: $(cat "$folder/err")"
expect_line '.done == 12'
[ "$("$bin/cli/lockctl" ls --json idle/ | jq '[.locks[].session] | unique | length')" -eq 12 ] || fail "not a lock for each"
kill $pid
wait $pid 2>/dev/null

wait $unreachable
[ $? -eq 1 ] || fail "a cluster that is not there is no failure"
expect_text "$folder/unreachable" 'opening a session'

mkdir "$folder/floor"
for workload in "acquire --data $folder/floor" "acquire --data $folder/floor --sessions 100" \
	"acquire-nng --data $folder/floor" "sync --data $folder/floor --processes 3" roundtrip; do
	expect_exit 0 "$floor" $workload --warmup 0.1 --seconds 0.3
	expect_line '.done > 0 and .per_s > 0 and .us.p50 > 0 and .us.p50 <= .us.max'
done
expect_exit 1 "$floor" sync --data "$folder/nowhere"
expect_text "$folder/err" nowhere
"$floor" sync --data "$folder/floor" --processes 2 --seconds 60 >"$folder/out" 2>"$folder/err" &
pid=$!
eventually 10 test -e "$folder/floor/floor.$pid.1.mark" || fail "no files appeared"
kill $pid
wait $pid || fail "a signal does not end it well: $(cat "$folder/err")"
[ -z "$(ls -A "$folder/floor")" ] || fail "files were left behind: $(ls "$folder/floor")"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the nodes tell over HTTP, held against what was done with them: counters, the leader, health and readiness, a
# leader that is killed, a node without a majority, and visitors that mean no good.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 3
lockctl=$bin/cli/lockctl

# with_metrics I: starts node I with metrics on a port that the kernel chooses
with_metrics() {
	node_start "$1" --listen-metrics 127.0.0.1:0
	eventually 5 grep -q 'listening metrics=' "$folder/node$1.log" || fail "node $1 serves no metrics"
	metrics[$1]=$(grep -o 'listening metrics=.*' "$folder/node$1.log" | tail -n 1 | cut -d: -f2)
}
declare -a metrics

# ask I PATH [METHOD]: status in $status, body in $folder/body
ask() {
	local line
	exec {http}<>"/dev/tcp/127.0.0.1/${metrics[$1]}" || return 1
	printf '%s %s HTTP/1.1\r\nHost: test\r\n\r\n' "${3:-GET}" "$2" >&"$http"
	read -r -t 10 -u "$http" _ status _ || { exec {http}>&-; return 1; }
	while read -r -t 10 -u "$http" line && [ "$line" != $'\r' ]; do :; done
	cat <&"$http" >"$folder/body"
	exec {http}>&-
}
# figure I SAMPLE: its value
figure() {
	ask "$1" /metrics && awk -v want="$2" '$1 == want { print $2; found = 1 } END { exit !found }' "$folder/body"
}
# total SAMPLE: over the nodes that run
total() {
	local i sum=0 value
	for i in "${!node_pid[@]}"; do
		value=$(figure "$i" "$1") || return 1
		sum=$((sum + value))
	done
	echo $sum
}
answers() { ask "$1" "$2" && [ "$status" = "$3" ] && grep -qE -- "$4" "$folder/body"; }
expect_answer() { answers "$@" || fail "node $1 answers $2 with $status $(head -c 300 "$folder/body")"; }
one_leads() { [ "$(total lockd_raft_is_leader)" = 1 ]; }

with_metrics 1
expect_answer 1 /healthz 200 '^ok$'
expect_answer 1 /readyz 503 'belongs to no cluster yet|no leader is known'
with_metrics 2
with_metrics 3
leader=$(cluster_wait_leader 10) || fail "no leader"
for i in 1 2 3; do eventually 5 answers $i /readyz 200 '^ok$' || fail "node $i is not ready: $(cat "$folder/body")"; done
one_leads || fail "$(total lockd_raft_is_leader) nodes lead"
[ "$(figure "$leader" lockd_raft_is_leader)" = 1 ] || fail "node $leader leads, but not in its metrics"
for i in 1 2 3; do
	[ "$(figure $i lockd_raft_leader_id)" = "$leader" ] || fail "node $i names another leader than $leader"
	[ "$(figure $i lockd_node_id)" = $i ] || fail "node $i has another id"
done
[ "$(total lockd_raft_leader_changes_total)" = 3 ] || fail "$(total lockd_raft_leader_changes_total) leaders became known to three nodes, instead of one to each"

# The documented table is what three real nodes tell: no family without a row (the rows themselves: unit test).
ask "$leader" /metrics
grep '^# TYPE' "$folder/body" | while read -r _ _ name type; do
	grep -qF "*$name* ($type)" "$(dirname "$0")/../../docs/man/lockd.8.scd" || { echo "$name"; exit 1; }
done >"$folder/out" || fail "lockd(8) lacks $(cat "$folder/out")"

# Load: 600 pairs by 8 threads. A client asks a node that does not lead at most once, and is redirected.
acquires=$(total 'lockd_requests_total{verb="acquire"}') releases=$(total 'lockd_requests_total{verb="release"}')
redirects=$(total 'lockd_replies_total{status="NOT_LEADER"}') done=$(total 'lockd_replies_total{status="OK"}')
entries=$(figure "$leader" lockd_store_entries_total) commits=$(figure "$leader" lockd_store_write_seconds_count)
"$bin/tests/integration/pairs" 600 8 >"$folder/out" 2>"$folder/err" || fail "the load failed: $(cat "$folder/err")"
sleep 0.2 # figures are up to 100 ms old
acquires=$(($(total 'lockd_requests_total{verb="acquire"}') - acquires))
releases=$(($(total 'lockd_requests_total{verb="release"}') - releases))
redirects=$(($(total 'lockd_replies_total{status="NOT_LEADER"}') - redirects))
done=$(($(total 'lockd_replies_total{status="OK"}') - done))
echo "load: acquires=$acquires releases=$releases redirects=$redirects ok=$done"
[ $acquires -ge 600 ] && [ $acquires -le $((600 + redirects)) ] || fail "600 locks were acquired, $acquires counted, $redirects redirected"
[ $releases -ge 600 ] && [ $releases -le $((600 + redirects)) ] || fail "600 locks were released, $releases counted, $redirects redirected"
[ $done -ge 1200 ] || fail "1200 operations were done, $done counted"
[ $(($(figure "$leader" lockd_store_entries_total) - entries)) -ge 1 ] || fail "no entry was stored"
[ $(($(figure "$leader" lockd_store_write_seconds_count) - commits)) -ge 1 ] || fail "no transaction was timed"
$lockctl lock held --ttl 60s >"$folder/held" &
holder=$!
eventually 5 $lockctl show held || fail "the lock was not acquired"
for i in 1 2 3; do
	eventually 2 eval "[ \"\$(figure $i lockd_locks)\" = 1 ]" || fail "node $i counts $(figure $i lockd_locks) locks instead of 1"
done
[ "$(figure "$leader" lockd_client_connections)" -ge 1 ] || fail "no client is connected to the leader"
for i in 1 2 3; do
	[ $i = "$leader" ] && continue
	[ "$(figure "$leader" "lockd_peer_connected{peer=\"$i\"}")" = 1 ] || fail "node $i is not connected"
	eventually 2 eval "[ \"\$(figure $leader 'lockd_peer_lag_entries{peer=\"$i\"}')\" = 0 ]" || fail "node $i lags"
done

# A follower's folder is damaged while it is down. Until the others, which do not run for a while, have caught it up it is
# neither well nor ready; afterwards it goes on telling what has happened.
hurt=$((leader % 3 + 1)) away=()
for i in 1 2 3; do [ $i = $hurt ] || away+=("${node_pid[$i]}"); done
node_kill $hurt
: >"$folder/node$hurt/raft.db"
kill -STOP "${away[@]}"
with_metrics $hurt
expect_answer $hurt /healthz 503 '^the data folder was damaged'
expect_answer $hurt /readyz 503 '^the data folder was damaged'
[ "$(figure $hurt lockd_restoring)" = 1 ] || fail "node $hurt does not count as being restored"
expect_exit 0 $lockctl status --endpoints "127.0.0.1:${client_port[hurt]}" --timeout 3s
expect_text "$folder/out" "DISK" && expect_text "$folder/out" "restoring from the others: .*raft.db"
kill -CONT "${away[@]}"
eventually 15 answers $hurt /readyz 200 '^ok$' || fail "node $hurt is not ready again: $(cat "$folder/body")"
expect_answer $hurt /healthz 200 '^ok$'
[ "$(figure $hurt lockd_restoring)" = 0 ] || fail "node $hurt counts as being restored for ever"
[ "$(figure $hurt lockd_repairs_total)" = 1 ] || fail "node $hurt counts $(figure $hurt lockd_repairs_total) repairs instead of 1"
expect_exit 0 $lockctl status
expect_text "$folder/out" "ok, repaired 1 time, last: .*raft.db"
[ "$($lockctl status --json | jq "[.nodes[] | .repairs] | add")" = 1 ] || fail "lockctl status --json counts no repair"
eventually 10 members_are "1:voter 2:voter 3:voter" || fail "members: $($lockctl cluster members)"
leader=$(cluster_wait_leader 10) || fail "no leader"
eventually 5 eval "[ \"\$(figure $leader lockd_raft_is_leader)\" = 1 ]" || fail "node $leader leads, but not in its metrics"
known=() # leaders, by node
for i in 1 2 3; do known[$i]=$(figure $i lockd_raft_leader_changes_total); done

# Only GET and HEAD, only three paths.
ask 1 /metrics HEAD && [ "$status" = 200 ] && [ ! -s "$folder/body" ] || fail "HEAD: $status"
ask 1 /metrics POST && [ "$status" = 405 ] || fail "POST: $status"
expect_answer 1 / 404 '/metrics, /healthz and /readyz'

# Garbage, a head of a megabyte, a hundred silent connections: the service goes on, and so do the metrics.
descriptors=$(figure "$leader" process_open_fds)
for garbage in '\x16\x03\x01\x02' 'GET' 'GET /metrics HTTP/9\r\n\r\n' '\r\n\r\n\r\n' 'GET /%00 HTTP/1.1\r\n\r\n'; do
	exec {http}<>"/dev/tcp/127.0.0.1/${metrics[$leader]}"
	printf '%b' "$garbage" >&"$http"
	exec {http}>&-
done
exec {http}<>"/dev/tcp/127.0.0.1/${metrics[$leader]}"
{ printf 'GET /metrics HTTP/1.1\r\nX: '; head -c 1M /dev/zero | tr '\0' a; } >&"$http" 2>/dev/null
read -r -t 10 -u "$http" _ status _ && [ "$status" = 200 ] && fail "a head of a megabyte is answered 200"
exec {http}>&-
silent=()
for ((n = 0; n < 100; n++)); do
	exec {http}<>"/dev/tcp/127.0.0.1/${metrics[$leader]}" && silent+=("$http")
done
began=$(now_ms)
$lockctl lock after-garbage --try -- true || fail "no lock while strangers hold the metrics"
expect_answer "$leader" /healthz 200 '^ok$'
[ $(($(now_ms) - began)) -le 4000 ] || fail "it took $(($(now_ms) - began)) ms while strangers were silent"
[ "$(figure "$leader" process_open_fds)" -le $((descriptors + 70)) ] || fail "$(figure "$leader" process_open_fds) descriptors are open"
for http in "${silent[@]}"; do exec {http}>&-; done
eventually 10 eval "[ \"\$(figure $leader process_open_fds)\" -le $((descriptors + 2)) ]" || fail "connections stay"
[ "$(figure "$leader" lockd_raft_is_leader)" = 1 ] || fail "the leader lost its office"

# The leader dies: the others count a change each, and one of them leads.
node_kill "$leader"
eventually 10 one_leads || fail "nobody leads after the leader was killed"
others=() next=
for i in 1 2 3; do
	[ $i = "$leader" ] && continue
	others+=($i)
	eventually 5 eval "[ \"\$(figure $i lockd_raft_leader_changes_total)\" -gt ${known[$i]} ]" || fail "node $i counts no change of leader"
	[ "$(figure $i lockd_raft_is_leader)" = 0 ] || next=$i
	eventually 5 answers $i /readyz 200 '^ok$' || fail "node $i is not ready under the next leader"
done
eventually 3 eval "[ \"\$(figure $next 'lockd_peer_connected{peer=\"$leader\"}')\" = 0 ]" || fail "the dead node counts as connected"

# One of three is left: it is well, and not ready.
node_kill "$next"
last=${others[0]}
[ "$last" = "$next" ] && last=${others[1]}
eventually 5 answers "$last" /readyz 503 '^no leader is known$' || fail "the last node is ready: $(cat "$folder/body")"
expect_answer "$last" /healthz 200 '^ok$'
[ "$(figure "$last" lockd_ready)" = 0 ] || fail "lockd_ready differs from /readyz"
kill -KILL $holder
wait $holder 2>/dev/null

# A port that is taken, and no port at all.
expect_exit 1 "$bin/lockd/lockd" --data "$folder/other" --listen-client 127.0.0.1:0 --listen-peer 127.0.0.1:0 --listen-metrics "127.0.0.1:${metrics[$last]}"
expect_text "$folder/err" 'cannot listen on 127.0.0.1:[0-9]+: Address already in use; .*listen-metrics'
# A stop that visitors do not hold up.
exec {http}<>"/dev/tcp/127.0.0.1/${metrics[$last]}"
node_kill "$last" TERM || fail "exit $? on SIGTERM with a visitor"
exec {http}>&-
node_start "$leader"
grep -q 'listening metrics=' <(tail -n 3 "$folder/node$leader.log") && fail "metrics are served unasked"
echo ok

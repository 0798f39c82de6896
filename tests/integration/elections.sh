#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Elections by lockctl over a change of the cluster's own leader: campaign, leader, observe with resume, resign.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 3
lockctl=$bin/cli/lockctl
for i in 1 2 3; do node_start $i; done
cluster_leader_id=$(cluster_wait_leader 20) || fail "no leader"

expect_exit 1 $lockctl leader svc
$lockctl observe svc --json >"$folder/events" &
observer=$!
$lockctl campaign svc one:80 --ttl 5s >"$folder/one" 2>&1 &
one=$!
eventually 5 $lockctl leader svc || fail "nobody was elected"
expect_exit 0 $lockctl leader svc
expect_text "$folder/out" 'one:80'
$lockctl campaign svc two:80 --ttl 5s >"$folder/two" 2>&1 &
two=$!
eventually 5 sh -c "$lockctl show svc --json | jq -e '.waiting == 1'" || fail "the second candidate does not queue"

# The cluster's leader dies; the elected service stays, the observers go on where they were.
node_kill "$cluster_leader_id"
cluster_wait_leader 20 >/dev/null || fail "no leader after the kill"
expect_exit 0 $lockctl leader svc
expect_text "$folder/out" 'one:80'
expect_exit 0 $lockctl resign svc
wait $one || fail "the candidate that resigned ended with $?"
leads_two() { $lockctl leader svc | grep -q two:80; }
eventually 10 leads_two || fail "the second candidate was not elected"
kill -TERM $two
wait $two || true
vacant() { ! $lockctl leader svc; }
eventually 10 vacant || fail "the election is not vacant"

complete() { [ "$(jq -rc 'select(.kind != "vacant") | .value' "$folder/events" | tr '\n' ' ')" = "one:80 two:80 " ] && tail -n 1 "$folder/events" | grep -q vacant; }
eventually 10 complete || fail "observed: $(cat "$folder/events")"
revisions=$(jq -r .revision "$folder/events")
[ "$revisions" = "$(sort -n <<<"$revisions")" ] || fail "events out of order: $revisions"
tokens=$(jq -r 'select(.kind == "leader") | .token' "$folder/events")
[ "$tokens" = "$(sort -nu <<<"$tokens")" ] || fail "tokens do not grow: $tokens"
kill -TERM $observer
wait $observer 2>/dev/null

# Resuming from the first leader's revision shows what came after it, nothing twice.
since=$(jq -r 'select(.value == "one:80") | .revision' "$folder/events")
timeout 10 $lockctl observe svc --since "$since" --count 1 --json >"$folder/resumed" || fail "observe --since --count ended with $?"
[ "$(jq -r .revision "$folder/resumed" | sort -n | head -n 1)" -gt "$since" ] || fail "resumed: $(cat "$folder/resumed")"

# An explicit gap when the history does not reach back that far.
timeout 10 $lockctl observe svc --since 1 --count 1 --json >"$folder/gap" || fail "observe --since 1 ended with $?"
jq -e '.kind == "gap" or .kind == "leader"' "$folder/gap" >/dev/null || fail "gap: $(cat "$folder/gap")"

# campaign with a command passes its code through.
expect_exit 7 $lockctl campaign svc three:80 -- sh -c 'exit 7'
echo ok

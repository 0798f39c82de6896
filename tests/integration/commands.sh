#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lockctl against three nodes: lock with a command, exit codes, waiting, lists, what happens when the lease is lost.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 3
lockctl=$bin/cli/lockctl
for i in 1 2 3; do node_start $i; done
cluster_wait_leader 20 >/dev/null || fail "no leader"

# The command's own code passes through; its environment names lock and token.
expect_exit 0 $lockctl lock a -- true
expect_exit 3 $lockctl lock a -- sh -c 'exit 3'
expect_exit 143 $lockctl lock a -- sh -c 'kill -TERM $$'
expect_exit 0 $lockctl lock a -- sh -c 'test "$LOCKD_LOCK" = a && test "$LOCKD_TOKEN" -gt 0'
expect_exit 127 $lockctl lock a -- /nonexistent/command
expect_exit 0 $lockctl lock a --try -- true # released each time

# Held elsewhere.
$lockctl lock busy --ttl 3s -- sleep 60 &
holder=$!
eventually 5 $lockctl show busy || fail "busy was not acquired"
expect_exit 75 $lockctl lock busy --try -- true
expect_text "$folder/err" '^lockctl: '
expect_exit 9 $lockctl lock busy --try -E 9 -- true
expect_exit 75 $lockctl lock busy --wait 300ms -- true
expect_exit 0 $lockctl ls bu
expect_text "$folder/out" 'NAME .*TOKEN'
expect_text "$folder/out" '^busy '
expect_exit 0 $lockctl ls nothing-like-that
expect_exit 0 $lockctl ls --json
[ "$(jq -r '.locks[] | select(.name == "busy") | .name' "$folder/out")" = busy ] || fail "ls --json: $(cat "$folder/out")"
expect_exit 0 $lockctl session ls
expect_text "$folder/out" "$(hostname)"

# FIFO: two waiters are served in the order in which they came.
(exec $lockctl lock busy -- sh -c 'echo first >>"$0"' "$folder/order") &
first=$!
eventually 5 sh -c "$lockctl show busy --json | jq -e '.waiting == 1'" || fail "the first waiter does not queue"
(exec $lockctl lock busy -- sh -c 'echo second >>"$0"' "$folder/order") &
second=$!
eventually 5 sh -c "$lockctl show busy --json | jq -e '.waiting == 2'" || fail "the second waiter does not queue"

# A holder that dies is expired after its TTL, and the queue moves.
pkill -KILL -P $holder sleep
kill -KILL $holder
wait $holder 2>/dev/null
wait $first && wait $second || fail "a waiter failed"
[ "$(tr '\n' ' ' <"$folder/order")" = "first second " ] || fail "order: $(cat "$folder/order")"

# A holder cut off from the cluster stops its command before the lease is over: 79.
$lockctl lock cut --ttl 3s --kill-after 1s -- sh -c 'trap "echo stopped >$0; exit 0" TERM; while :; do sleep 0.05; done' "$folder/stopped" 2>"$folder/cut.err" &
holder=$!
eventually 5 $lockctl show cut || fail "cut was not acquired"
for i in 1 2 3; do kill -STOP "${node_pid[$i]}"; done
wait $holder
code=$?
for i in 1 2 3; do kill -CONT "${node_pid[$i]}"; done
[ $code -eq 79 ] || fail "exit $code instead of 79 after losing the lease: $(cat "$folder/cut.err")"
[ -e "$folder/stopped" ] || fail "the command was not stopped"

# Usage errors and an unreachable cluster.
expect_exit 64 $lockctl frobnicate
expect_exit 64 $lockctl lock
expect_exit 64 $lockctl lock a --wait soon -- true
expect_exit 69 $lockctl --endpoints 127.0.0.1:1 --timeout 500ms ls
expect_text "$folder/err" '^lockctl: .*127.0.0.1:1'
echo ok

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The disk of a node runs full: it says so, refuses with DISK_FULL, gives up its reserve, keeps what it acknowledged, and goes on
# when there is room for the reserve again. A node of three follows meanwhile on its reserve, and the others go on. A node that
# has something to keep starts on a full disk, a new one does not. Needs root to mount small file systems (ext4 on a loop
# device, elsewhere tmpfs); without it the case is skipped (exit 77) and says so.
. "$(dirname "$0")/test.bash"
. "$(dirname "$0")/mount.bash"
cluster_begin "$1" 3
trap mount_clean EXIT
lockctl=$bin/cli/lockctl
pairs=$bin/tests/integration/pairs
mount_or_skip

token_of() { $lockctl show "$1" --json | jq -r .token; }
fill() { head -c 256M /dev/zero >"$folder/node$1/ballast" 2>/dev/null; }
says() { grep -qE "$2" "$folder/node$1.log"; }
reserve_kib() { du -k "$folder/node$1/reserve" | cut -f 1; }
has_reserve() { [ "$(reserve_kib "$1")" -ge 2048 ]; }
is_full() { $lockctl status --json | jq -e --argjson n "$1" '.nodes[] | select(.node == $n) | .disk_full'; }
is_not_full() { ! is_full "$1"; }

# A new client, of a node that leads no more, is told why.
is_refused() {
	expect_exit 69 "$lockctl" --timeout 500ms "$@"
	expect_text "$folder/err" "the node's disk is full \\(127.0.0.1:${client_port[1]}: its disk is full; no node leads\\)"
}

# Requests until the disk of node 1 is full.
run_full() {
	local told load
	told=$(grep -c 'the disk is full' "$folder/node1.log")
	fill 1
	"$pairs" 0 16 --while "$folder/node1.log" --timeout-ms 20000 >"$folder/out" 2>"$folder/err" &
	load=$!
	eventually 20 told_more_than "$told" || fail "the node does not say that its disk is full: $(df "$folder/node1")"
	kill -KILL $load
	{ wait $load; } 2>/dev/null
}
told_more_than() { [ "$(grep -c 'the disk is full' "$folder/node1.log")" -gt "$1" ]; }

# ---- Alone ----
all_flags=("${peer_flags[@]}") all_endpoints=$LOCKD_ENDPOINTS
peers_are 1
endpoints_are 1
alone() {
	local flags=("$@") holder token
	small_file_system 1 12
	: >"$folder/node1.log"
	node_start 1 "${flags[@]}"
	cluster_wait_leader 10 >/dev/null || fail "no leader"
	$lockctl lock kept --ttl 60s >/dev/null &
	holder=$!
	eventually 5 $lockctl show kept || fail "the lock was not acquired"
	token=$(token_of kept)

	run_full
	eventually 5 is_full 1 || fail "the status does not say that the disk is full: $($lockctl status --json)"
	is_refused lock refused --try -- true
	is_refused show kept
	[ "$($lockctl show kept --read stale --json | jq -r .token)" = "$token" ] || fail "no stale read with a full disk"
	kill -0 "${node_pid[1]}" || fail "the node died of the full disk: $(tail -n 3 "$folder/node1.log")"
	[ "${flags[1]}" = 0 ] || [ "$(reserve_kib 1)" -eq 0 ] || fail "the reserve was not given up"

	rm "$folder/node1/ballast"
	eventually 20 $lockctl --timeout 1s lock after --try -- true || fail "no lock after room was made: $(tail -n 5 "$folder/node1.log")"
	says 1 'the disk has space again' || fail "the node does not say that there is space again"
	[ "${flags[1]}" = 0 ] || has_reserve 1 || fail "requests are admitted without a whole reserve"
	[ "$(grep -c 'the disk is full' "$folder/node1.log")" -le 2 ] || fail "the full disk is reported again and again"
	[ "$(token_of kept)" = "$token" ] || fail "the lock that was held before is gone"

	# A stop while nothing fits ends in good time.
	run_full
	local began took
	began=$(now_ms)
	node_kill 1 TERM || fail "exit $? on SIGTERM with a full disk"
	took=$(($(now_ms) - began))
	[ $took -le 6000 ] || fail "the stop took $took ms with a full disk"
	rm "$folder/node1/ballast"
	node_start 1 "${flags[@]}"
	eventually 10 $lockctl show kept || fail "the lock is gone after a stop with a full disk"

	# With its reserve it starts on a full disk, too.
	node_kill 1 TERM
	[ "${flags[1]}" = 0 ] || fill 1
	: >"$folder/node1.log"
	node_start 1 "${flags[@]}" || fail "the node does not start on a full disk"
	if [ "${flags[1]}" != 0 ]; then
		eventually 5 is_full 1 || fail "the disk is full, and the node does not say so: $(cat "$folder/node1.log")"
		is_refused lock refused --try -- true
		rm "$folder/node1/ballast"
	fi
	eventually 20 $lockctl --timeout 1s lock after --try -- true || fail "no lock after room was made for a started node"
	[ "$(token_of kept)" = "$token" ] || fail "another token after a start with a full disk"
	kill -KILL $holder
	{ wait $holder; } 2>/dev/null
	node_kill 1
	unmount 1
}
alone --reserve-mib 2
echo "alone with a reserve: refused, resumed, stopped and started on a full disk"
alone --reserve-mib 0
echo "alone without: the same"

# ---- New: without any room, and with room for all but its reserve ----
new() {
	expect_exit 1 timeout 10 "$bin/lockd/lockd" --data "$folder/node1" --reserve-mib 2 --listen-peer "127.0.0.1:${peer_port[1]}" \
		--listen-client "127.0.0.1:${client_port[1]}"
	expect_text "$folder/err" "$1"
	echo "new: $(cat "$folder/err")"
}
small_file_system 1 12
fill 1
new 'No space left on device'
truncate -s -1M "$folder/node1/ballast"
new 'the disk is full: a new node in .*/node1 needs 2 MiB for its reserve; make room there, or set a smaller reserve-mib'
new 'the disk is full: a new node'
unmount 1

# ---- One of three: the leader's disk ----
peer_flags=("${all_flags[@]}")
export LOCKD_ENDPOINTS=$all_endpoints
for i in 1 2 3; do
	small_file_system $i 24
	: >"$folder/node$i.log"
	node_start $i --reserve-mib 2 --checkpoint-log-entries 512 --trailing-log-entries 64
done
leader=$(cluster_wait_leader 20) || fail "no leader"
"$bin/tests/integration/ledger" 9 60000 5000 >"$folder/ledger" || fail "the ledger was not written"
touch "$folder/go-on"
"$pairs" 0 4 --while "$folder/go-on" --value-bytes 512 --timeout-ms 20000 >"$folder/out" 2>"$folder/err" &
load=$!
fill "$leader"
eventually 20 says "$leader" 'the disk is full' || fail "node $leader does not notice: $(ls -l "$folder/node$leader") $(df "$folder/node$leader")"
applied() { $lockctl status --json | jq --argjson n "$leader" '.nodes[] | select(.node == $n) | .applied'; }
other_leads() { local now; now=$(cluster_leader); [ -n "$now" ] && [ "$now" != "$leader" ]; }
eventually 10 other_leads || fail "node $leader goes on leading with a full disk"
seen=$(applied)
has_followed() { [ "$(applied)" -gt $((seen + 50)) ]; }
eventually 10 has_followed || fail "node $leader does not follow on its reserve: $($lockctl status)"
sleep 1
cluster_wait_leader 5 >/dev/null || fail "no leader beside a full disk"
other_leads || fail "the full node was elected"
rm "$folder/node$leader/ballast"
eventually 20 says "$leader" 'the disk has space again' || fail "node $leader does not resume: $(tail -n 3 "$folder/node$leader.log")"
rm "$folder/go-on"
wait $load || fail "requests did not go on: $(cat "$folder/err")"
same_state() { $lockctl status --json | jq -e '[.nodes[] | "\(.applied) \(.state_hash)"] | unique | length == 1'; }
eventually 20 same_state || fail "the nodes' states differ: $($lockctl status --json)"
eventually 5 is_not_full "$leader" || fail "the status says that the disk is full"
while read -r name token; do
	[ "$(token_of "$name")" = "$token" ] || fail "$name is not held with token $token any more"
done < <(awk '$1 == "held" && substr($2, 2) % 2 == 0 {print $2, $3}' "$folder/ledger")
echo "one of three: handed over, followed on its reserve, resumed; $(cat "$folder/out")"

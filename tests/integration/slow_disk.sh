#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# slow_disk.sh BUILD [all]: each fsync of one node takes 100 ms, 1 s or, with all, 10 s. On the leader: leadership is handed
# over within a few stalls when a write takes longer than stall-ms, requests go on, nobody's session expires, and the old
# leader follows when its disk is quick again. On a follower: no election, no expiry, and the others serve as before; the
# ratio of their rates is printed.
. "$(dirname "$0")/test.bash"
. "$(dirname "$0")/strace.bash"
strace_or_skip
cluster_begin "$1" 3
lockctl=$bin/cli/lockctl
leader_delays=(100 1000) follower_delays=(1000)
[ "${2:-}" != all ] || leader_delays=(100 300 1000 3000 10000) follower_delays=(100 1000 5000)
stall_ms=500
trap trace_clean EXIT
for i in 1 2 3; do node_start $i --stall-ms $stall_ms --reserve-mib 1; done
leader=$(cluster_wait_leader 20) || fail "no leader"
# Sessions of the shortest TTL, that nothing but a lost keep-alive or a judgement of silence would end.
holders=()
for name in kept-1 kept-2 kept-3; do
	$lockctl lock $name --ttl 3s >/dev/null 2>"$folder/$name.err" &
	holders+=($!)
done
tokens() { $lockctl ls kept --json | jq -r '[.locks[] | "\(.name) \(.token)"] | join(" ")'; }
three_are_kept() { [ "$(tokens | wc -w)" -eq 6 ]; }
eventually 10 three_are_kept || fail "the locks were not acquired"
kept=$(tokens)
term() { $lockctl status --json | jq '[.nodes[] | .term] | max'; }

# Pairs for so many milliseconds; prints how many a second and the longest gap.
load() {
	touch "$folder/go-on"
	"$bin/tests/integration/pairs" 0 4 --while "$folder/go-on" --timeout-ms 20000 >"$folder/pairs.out" 2>"$folder/pairs.err" &
	local pairs=$! end=$(($(now_ms) + $1))
	shift
	"$@" || { rm "$folder/go-on"; wait $pairs; return 1; }
	while [ "$(now_ms)" -lt $end ]; do sleep 0.02; done
	rm "$folder/go-on"
	wait $pairs || fail "requests did not go on: $(cat "$folder/pairs.err")"
	! grep -q '^0 of 0' "$folder/pairs.out" || fail "void: no request was made"
}
rate() { sed -E 's/.*: ([0-9]+)\/s.*/\1/' "$folder/pairs.out"; }
gap() { sed -E 's/.*longest gap ([0-9]+) ms.*/\1/' "$folder/pairs.out"; }

slow() {
	trace_begin "${node_pid[$1]}" "$folder/trace" -e trace=fdatasync,fsync -e "inject=fdatasync,fsync:delay_enter=$(($2 * 1000))"
}
quick() {
	trace_end
	grep -qE 'DELAYED|fdatasync' "$folder/trace" || fail "void: no fsync was slow"
}
leads_not() { local now; now=$(cluster_leader); [ -n "$now" ] && [ "$now" != "$1" ]; }
follows() {
	$lockctl status --json | jq -e --argjson n "$1" '([.nodes[] | .applied] | max) as $max |
		.nodes[] | select(.node == $n) | .role == "follower" and .applied + 1000 > $max'
}
nobody_expired() {
	[ "$(tokens)" = "$kept" ] || fail "$1: held is $(tokens) instead of $kept"
	for pid in "${holders[@]}"; do kill -0 "$pid" 2>/dev/null || fail "$1: a holder has given up: $(cat "$folder"/kept-*.err)"; done
}

slow_leader() {
	local ms=$1 took='' began
	leader=$(cluster_wait_leader 20) || fail "no leader"
	slow "$leader" "$ms"
	began=$(now_ms)
	if [ "$ms" -gt $stall_ms ]; then
		load 1000 eventually 10 leads_not "$leader" || fail "node $leader goes on leading with a disk of $ms ms"
		took=" handed over within $(($(now_ms) - began)) ms,"
	else
		load $((1000 + 10 * ms)) true
	fi
	quick
	eventually $((ms / 1000 + 15)) follows_or_leads "$leader" || fail "node $leader does not come back: $($lockctl status)"
	nobody_expired "leader with $ms ms"
	echo "leader   $ms ms:$took $(cat "$folder/pairs.out")"
}
follows_or_leads() { [ "$(cluster_leader)" = "$1" ] || follows "$1"; }

slow_follower() {
	local ms=$1 before after old
	leader=$(cluster_wait_leader 20) || fail "no leader"
	local follower=$((leader % 3 + 1))
	old=$(term)
	load 1500 true
	before=$(rate)
	slow "$follower" "$ms"
	load 1500 true
	after=$(rate)
	quick
	[ "$(term)" = "$old" ] || fail "an election was held since a follower's disk took $ms ms"
	eventually $((ms / 1000 + 15)) follows "$follower" || fail "node $follower does not catch up: $($lockctl status)"
	nobody_expired "follower with $ms ms"
	echo "follower $ms ms: $before/s before, $after/s meanwhile, ratio $((100 * after / before)) %, longest gap $(gap) ms"
	[ "$(gap)" -lt 1000 ] || fail "the others waited for a follower"
}

for ms in "${leader_delays[@]}"; do slow_leader "$ms"; done
for ms in "${follower_delays[@]}"; do slow_follower "$ms"; done
kill -INT "${holders[@]}"
wait "${holders[@]}"
exit 0

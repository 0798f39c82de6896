#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kill_points.sh BUILD [POINTS|all]: a node is killed in front of every system call that changes its data folder: at its first
# start, while it commits and trims (storage thread), while it makes checkpoints (checkpoint thread), at a clean stop, and at
# the start behind a crash. Each time it starts again, and what it had acknowledged is there. A counting run of each phase
# says which calls there are; POINTS (default 24) of them are taken, evenly, or all.
. "$(dirname "$0")/test.bash"
. "$(dirname "$0")/strace.bash"
strace_or_skip
cluster_begin "$1" 1
points_wanted=${2:-24}
lockctl=$bin/cli/lockctl ledger=$bin/tests/integration/ledger
calls=pwrite64,fdatasync,fsync,ftruncate,fallocate,unlink,unlinkat,rename,renameat,renameat2
steps=40
flags=(--node 1 --listen-peer "127.0.0.1:${peer_port[1]}" --listen-client "127.0.0.1:${client_port[1]}"
	--checkpoint-log-entries 16 --trailing-log-entries 1 --reserve-mib 1)
data=$folder/node1
node='' shell=''
trap 'kill -KILL $node 2>/dev/null; trace_clean' EXIT

is_stopped() { grep -q '^State:	T' "/proc/$1/status"; }
is_open() { ! port_is_free "${client_port[1]}"; }
is_over() { ! kill -0 "$1" 2>/dev/null; }
is_open_or_over() { is_open || is_over "$node"; }

# The process waits in front of its first instruction, so that it can be traced from there.
launch() {
	rm -f "$folder/pid"
	# A shell of its own waits for the node, so that its end is not reported among the words of this one.
	(
		(
			kill -STOP "$BASHPID"
			exec "$bin/lockd/lockd" --data "$data" "${flags[@]}"
		) &
		echo $! >"$folder/pid"
		wait $!
	) >>"$folder/node1.log" 2>&1 &
	shell=$!
	until [ -s "$folder/pid" ]; do sleep 0.01; done
	node=$(<"$folder/pid")
	eventually 10 is_stopped "$node" || fail "no process to trace"
}

resume() {
	kill -CONT "$node"
	eventually 10 is_open_or_over || fail "the node neither listens nor ends"
}

begin() {
	launch
	resume
	is_open || fail "the node does not start: $(tail -n 3 "$folder/node1.log")"
}

# Waits for the node; sets $ended to its exit status.
await_end() {
	wait "$shell"
	ended=$?
	node=''
}

trace_options() {
	options=(-e "trace=$calls")
	[ -z "$1" ] || options+=(-e "inject=$1:signal=SIGKILL:when=$2")
}

# The tracer of a process that has gone goes, too.
untrace() {
	{ wait "$trace_pid"; } 2>/dev/null
	trace_pid=''
}

# ---- Phases: each leaves $folder/ledger and a node that was killed or, when counting or behind the last call, one that was
# not ----

write_ledger() {
	"$ledger" $steps 60000 5000 >"$folder/ledger" 2>/dev/null &
	local writer=$!
	while kill -0 $writer 2>/dev/null && kill -0 "$node" 2>/dev/null; do sleep 0.01; done
	kill -KILL $writer 2>/dev/null
	wait $writer 2>/dev/null
}

# $bitten: the node had gone before this.
put_down() {
	bitten=no
	! is_over "$node" || bitten=yes
	kill -KILL "$node" 2>/dev/null
	await_end
	untrace
}

phase_first_start() {
	launch
	trace_begin "$node" "$folder/trace" "${options[@]}"
	resume
	eventually 5 serves_or_over || fail "the node does not serve"
	put_down
}
serves_or_over() { is_over "$node" || $lockctl --timeout 500ms lock first --try -- true; }

phase_commit() { phase_serve "$data/raft.db" "$data/raft.db-wal" "$data/superblock"; }
phase_checkpoint() { phase_serve "$data/state.db" "$data/state.db-wal"; }
phase_serve() {
	local path
	for path; do options+=(-P "$path"); done
	begin
	trace_begin "$node" "$folder/trace" "${options[@]}"
	write_ledger
	put_down
}

phase_stop() {
	begin
	write_ledger
	trace_begin "$node" "$folder/trace" "${options[@]}"
	kill -TERM "$node"
	await_end
	untrace
	[ $ended -eq 0 ] && bitten=no || bitten=yes
}

phase_restart() {
	begin
	write_ledger
	kill -KILL "$node"
	await_end
	launch
	trace_begin "$node" "$folder/trace" "${options[@]}"
	resume
	put_down
}

# ---- One point ----

# "held" or "free" for what the ledger says for sure, then the name and the latest token.
expected() {
	awk '$1 == "held" {state[$2] = "held"; token[$2] = $3} $1 == "released" {state[$2] = "free"; token[$2] = $3}
	     $1 == "releasing" {delete state[$2]} END {for (name in state) print state[name], name, token[name]}' "$folder/ledger" | sort
}

check() {
	local state name token
	begin
	eventually 10 $lockctl --timeout 1s lock afterwards --try -- true || fail "no lock after $what: $(tail -n 3 "$folder/node1.log")"
	$lockctl ls --json | jq -r '.locks[] | "\(.name) \(.token)"' >"$folder/locks" || fail "ls failed"
	while read -r state name token; do
		if [ "$state" = held ]; then
			grep -qx "$name $token" "$folder/locks" || fail "after $what: $name was held with token $token: $(grep "^$name " "$folder/locks")"
		else
			! grep -q "^$name " "$folder/locks" || fail "after $what: $name was released and is held"
		fi
	done < <(expected)
	# shellcheck disable=SC2016 # for the command's shell
	read -r name token < <(awk '$1 == "released" {name = $2; token = $3} END {if (name) print name, token}' "$folder/ledger")
	if [ -n "${name:-}" ]; then
		[ "$($lockctl lock "$name" --try -- printenv LOCKD_TOKEN)" -gt "$token" ] || fail "after $what: a token of $name came back"
	fi
	acknowledged=$((acknowledged + $(expected | wc -l)))
	kill -KILL "$node"
	await_end
}

run_phase() {
	rm -rf "$data" "$folder/trace"
	: >"$folder/ledger"
	trace_options "$2" "$3"
	"phase_$1"
}

# The calls of the thread that makes most of each kind: "PHASE CALL N".
count_points() {
	local phase
	for phase in first_start commit checkpoint stop restart; do
		run_phase $phase '' ''
		awk -v phase=$phase '{sub(/\(.*/, "", $2); n[$1 " " $2]++}
		     END {for (key in n) {split(key, part, " "); if (n[key] > most[part[2]]) most[part[2]] = n[key]}
		          for (call in most) for (i = 1; i <= most[call]; i++) print phase, call, i, most[call]}' "$folder/trace" |
			grep -E " (${calls//,/|}) " | sort -k2,2 -k3,3n
	done
}

declare -A killed past
acknowledged=0 n=0
count_points >"$folder/points" || fail "no points"
total=$(wc -l <"$folder/points")
for phase in first_start commit checkpoint stop restart; do
	grep -q "^$phase " "$folder/points" || fail "phase $phase changes nothing"
done
[ "$points_wanted" = all ] && points_wanted=$total
awk -v want="$points_wanted" -v total="$total" 'int(NR * want / total) > int((NR - 1) * want / total)' "$folder/points" >"$folder/chosen"
while read -r phase call number most <&3; do
	while :; do
		what="$phase, $call number $number"
		run_phase "$phase" "$call" "$number"
		[ $bitten = yes ] && [ "$ended" -eq 137 ] && grep -q 'killed by SIGKILL' "$folder/trace" && break
		[ "$number" -gt $((most * 3 / 4)) ] || fail "void: the node was not killed at $what (of $most)"
		# Group commit made fewer calls of it than in the counting run: an earlier one takes its place.
		past[$phase]=$((${past[$phase]:-0} + 1))
		check
		number=$((number / 2))
		[ "$number" -gt 0 ] || fail "void: no call of $call in phase $phase"
	done
	killed[$phase]=$((${killed[$phase]:-0} + 1))
	check
	n=$((n + 1))
done 3<"$folder/chosen"

echo "phase        points killed behind-the-last"
for phase in first_start commit checkpoint stop restart; do
	printf '%-12s %6d %6d %6d\n' $phase "$(grep -c "^$phase " "$folder/points")" "${killed[$phase]:-0}" "${past[$phase]:-0}"
	[ "${killed[$phase]:-0}" -gt 0 ] || fail "void: no kill in phase $phase"
done
echo "$n of $total points, $acknowledged acknowledged states checked, none lost"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One call on one file of a node's data folder fails once with an I/O error: the node stops with status 70 and a reason that
# names the file and what was attempted, never tries again, and acknowledges nothing any more. The others go on, and it
# starts again with all that was acknowledged. A read that fails at the start is the loss of a sector: the folder is refused, or set
# aside and restored by the others.
. "$(dirname "$0")/test.bash"
. "$(dirname "$0")/strace.bash"
strace_or_skip
cluster_begin "$1" 3
lockctl=$bin/cli/lockctl
flags=(--checkpoint-log-entries 64 --trailing-log-entries 16 --reserve-mib 1)
trap trace_clean EXIT
for i in 1 2 3; do node_start $i "${flags[@]}"; done
cluster_wait_leader 20 >/dev/null || fail "no leader"
"$bin/tests/integration/ledger" 9 120000 5000 >"$folder/ledger" || fail "the ledger was not written"
touch "$folder/go-on"
"$bin/tests/integration/pairs" 0 4 --while "$folder/go-on" --timeout-ms 20000 >"$folder/pairs.out" 2>"$folder/pairs.err" &
pairs=$!

is_over() { ! kill -0 "${node_pid[$1]}" 2>/dev/null; }
caught_up() {
	$lockctl status --json | jq -e --argjson n "$1" \
		'([.nodes[] | .applied] | max) as $max | .nodes[] | select(.node == $n) | .leader != 0 and .applied + 2000 > $max'
}
leader_or_not() {
	local leader
	leader=$(cluster_wait_leader 20) || fail "no leader"
	[ "$1" = leader ] && echo "$leader" || echo $((leader % 3 + 1))
}

# What the process wrote to the log since it was started with this many lines.
last_words() { tail -n +$(($2 + 1)) "$folder/node$1.log"; }

# breaks ROLE FILES CALL PATTERN [INJECT…]: FILES below the data folder, separated by commas; CALL fails once
breaks() {
	local i lines options=() file status=0
	i=$(leader_or_not "$1") || exit 1
	for file in ${2//,/ }; do options+=(-P "$folder/node$i/$file"); done
	options+=(-e "trace=$3" -e "inject=${3##*,}:error=EIO:when=1" "${@:5}")
	lines=$(wc -l <"$folder/node$i.log")
	trace_begin "${node_pid[$i]}" "$folder/trace" "${options[@]}"
	eventually 15 is_over "$i" || fail "the $1, node $i, goes on: $3 on $2 $(tail -n 3 "$folder/trace")"
	wait "${node_shell[$i]}" || status=$?
	unset "node_pid[$i]"
	wait "$trace_pid" 2>/dev/null
	trace_pid=''
	grep -q INJECTED "$folder/trace" || fail "void: no $3 on $2 has failed"
	[ $status -eq 70 ] || fail "exit $status instead of 70: $3 on $2"
	last_words "$i" "$lines" | grep -F 'stopping at once' >"$folder/words"
	expect_text "$folder/words" "$4"
	[ "$(tail -n 1 "$folder/node$i.log")" = "$(cat "$folder/words")" ] || fail "node $i has said something behind its end"
	eventually 10 "$lockctl" --timeout 1s lock go-on --try -- true || fail "the others do not go on: $3 on $2"
	node_start "$i" "${flags[@]}" || fail "no start behind $3 on $2"
	eventually 10 caught_up "$i" || fail "node $i does not follow behind $3 on $2: $($lockctl status)"
	printf '%-10s %-9s %-22s %s\n' "${3##*,}" "$1" "$2" "$(sed 's/.*reason=//' "$folder/words" | cut -c1-150)"
}

# unreadable NODE FILE: a read of it fails while the node starts. It is refused, or taken for damaged, set aside and repaired
# by the others; never served.
unreadable() {
	local i=$1 status=0 lines outcome
	node_kill "$i"
	lines=$(wc -l <"$folder/node$i.log")
	node_under=(strace -f -qq -o "$folder/trace" -P "$folder/node$i/$2" -e trace=pread64 -e inject=pread64:error=EIO:when=1)
	if node_start "$i" "${flags[@]}" 2>/dev/null; then
		outcome='set aside, and repaired'
		[ -n "$(find "$folder/node$i" -name 'damaged-*')" ] || fail "the node serves, although $2 could not be read"
		eventually 20 caught_up "$i" || fail "node $i is not repaired after $2 could not be read: $($lockctl status)"
		kill -KILL "$(cat "$folder/node$i/lock")"
	else
		outcome=refused
	fi
	node_under=()
	wait "${node_shell[$i]}" || status=$?
	unset "node_pid[$i]"
	grep -q INJECTED "$folder/trace" || fail "void: no read of $2 has failed"
	last_words "$i" "$lines" >"$folder/words"
	expect_text "$folder/words" "cannot .*/$2.*(Input/output|I/O) error"
	[ "$outcome" != refused ] || [ $status -eq 1 ] || fail "exit $status instead of 1 when $2 cannot be read"
	node_start "$i" "${flags[@]}" || fail "no start after $2 could not be read once"
	eventually 10 caught_up "$i" || fail "node $i does not follow after $2 could not be read once"
	printf '%-10s %-9s %-22s %s\n' pread64 start "$2" "$outcome: $(grep -m 1 -E 'I/O|Input' "$folder/words" | cut -c1-150)"
}

breaks leader raft.db-wal fdatasync 'reason="the log could not be written" error="cannot sync .*/raft.db: disk I/O error'
breaks follower raft.db-wal pwrite64 'reason="the log could not be written" error="cannot write .*/raft.db: disk I/O error'
breaks follower raft.db pwrite64 'error="cannot write .*/raft.db: disk I/O error'
breaks leader raft.db fdatasync 'error="cannot sync .*/raft.db: disk I/O error'
breaks follower superblock pwrite64 'error="cannot write .*/superblock: Input/output error'
breaks follower superblock fdatasync 'error="cannot sync .*/superblock: Input/output error'
breaks leader state.db-wal fdatasync 'reason="a checkpoint could not be written" error="cannot sync .*/state.db: disk I/O error'
breaks follower state.db-wal pwrite64 'reason="a checkpoint could not be written" error="cannot write .*/state.db: disk I/O error'
breaks follower state.db pwrite64 'error="cannot write .*/state.db: disk I/O error'
breaks follower raft.db-wal,reserve pwrite64,ftruncate 'reason="the reserve could not be given up" error="cannot give up .*/reserve: Input/output error' \
	-e inject=pwrite64:error=ENOSPC:when=1
follower=$(leader_or_not follower) || exit 1
for file in superblock raft.db-wal raft.db state.db; do unreadable "$follower" $file; done

rm "$folder/go-on"
wait $pairs || fail "pairs ended with $?: $(cat "$folder/pairs.err")"
cat "$folder/pairs.out"
while read -r _ name token; do
	[ "$($lockctl show "$name" --json | jq -r .token)" = "$token" ] || fail "$name is not held with token $token any more"
done < <(awk '$1 == "held" && substr($2, 2) % 2 == 0' "$folder/ledger")

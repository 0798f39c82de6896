#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A running node asks for what its disk holds, and does not get it back, once: the process ends with a reason that names the file.
# The next start finds nothing wrong with it, and sets the folder aside all the same, because the one before has left a mark:
# what was found damaged is not trusted again. The others restore the node, and no lock is lost.
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
says() { grep -qE -- "$2" "$folder/node$1.log"; }
is_held() { [ "$($lockctl show "$1" --json | jq -r .token)" = "$2" ]; }

# finds LEADER? FILE WORDS: a read of FILE, below the data folder, fails
finds() {
	local leader i data status=0
	leader=$(cluster_wait_leader 20) || fail "no leader"
	[ "$1" = leader ] && i=$leader || i=$((leader % 3 + 1))
	data=$folder/node$i
	trace_begin "${node_pid[$i]}" "$folder/trace" -P "$data/$2" -e trace=pread64 -e inject=pread64:error=EIO:when=1
	eventually 15 is_over "$i" || fail "the $1, node $i, goes on: $2 $(tail -n 3 "$folder/trace")"
	wait "${node_shell[$i]}" || status=$?
	unset "node_pid[$i]"
	wait "$trace_pid" 2>/dev/null
	trace_pid=''
	grep -q INJECTED "$folder/trace" || fail "void: no read of $2 has failed"
	[ $status -eq 70 ] || fail "exit $status instead of 70"
	says "$i" "stopping at once: reason=\"$3\" error=\"cannot read $data/${2%-wal}: disk I/O error" ||
		fail "node $i does not say what it found: $(tail -n 2 "$data.log")"
	[ -s "$data/found-damaged" ] || fail "nothing was marked: $(ls "$data")"
	eventually 10 "$lockctl" --timeout 1s lock go-on --try -- true || fail "the others do not go on"

	: >"$data.log"
	node_start "$i" "${flags[@]}" || fail "node $i does not start"
	says "$i" "damaged: node=$i data=$data reason=\".*was found damaged while it was in use: cannot read $data/${2%-wal}" ||
		fail "node $i does not say why: $(cat "$data.log")"
	[ -e "$data/damaged-1/found-damaged" ] || fail "the mark was not set aside: $(ls -R "$data")"
	eventually 20 says "$i" 'restored: caught up by node [1-3]' || fail "node $i is not restored: $($lockctl status)"
	eventually 10 members_are "1:voter 2:voter 3:voter" || fail "members: $($lockctl cluster members)"

	# Once is enough: the new store is sound.
	node_kill "$i"
	node_start "$i" "${flags[@]}"
	[ ! -e "$data/damaged-2" ] || fail "the new folder was set aside, too"
	echo "$1, $2: $(cat "$data/damaged-1/found-damaged")"
}

finds follower raft.db-wal 'the log could not be written'
finds leader state.db-wal 'a checkpoint could not be written'

rm "$folder/go-on"
wait $pairs || fail "pairs ended with $?: $(cat "$folder/pairs.err")"
while read -r _ name token; do
	eventually 5 is_held "$name" "$token" || fail "$name is not held with token $token any more"
done < <(awk '$1 == "held" && substr($2, 2) % 2 == 0' "$folder/ledger")

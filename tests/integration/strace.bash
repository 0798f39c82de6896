# SPDX-License-Identifier: Apache-2.0
# Sourced by tests that make system calls of a node fail, wait or kill it, behind test.bash.
#
#   strace_or_skip                 ends the test with 77 where no process may trace another one
#   trace_begin PID FILE ARG…      attaches to all threads of the process; FILE gets the calls
#   trace_end                      detaches; the process goes on
#   trace_clean                    cluster_end for tests that trace
#
# strace counts the calls of "when=" for each thread and each system call by itself, and -P leaves the calls on all other
# files alone: so a file chooses the thread.

trace_pid=''

strace_or_skip() {
	local say=''
	command -v strace >/dev/null || say='there is no strace'
	[ -n "$say" ] || strace -qq -o /dev/null true 2>/dev/null || say='no process may trace another one here'
	[ -z "$say" ] || { echo "skipped: $say"; exit 77; }
}

is_traced() {
	local status
	for status in /proc/"$1"/task/*/status; do
		! grep -q '^TracerPid:	0$' "$status" 2>/dev/null || return 1
	done
}

trace_begin() {
	local pid=$1 file=$2
	shift 2
	strace -f -qq -p "$pid" -o "$file" "$@" 2>>"$file.err" &
	trace_pid=$!
	eventually 10 is_traced "$pid" || fail "strace did not attach to $pid: $(cat "$file.err")"
}

trace_end() {
	kill -INT "$trace_pid" 2>/dev/null
	wait "$trace_pid" 2>/dev/null
	trace_pid=''
}

# On exit: a node outlives the strace that it was started under.
trace_clean() {
	local lock pid
	[ -z "$trace_pid" ] || kill -KILL "$trace_pid" 2>/dev/null
	for lock in "$folder"/node*/lock; do
		pid=$(cat "$lock" 2>/dev/null)
		[ ! "/proc/${pid:-none}/exe" -ef "$bin/lockd/lockd" ] || kill -KILL "$pid" 2>/dev/null
	done
	cluster_end
}

# SPDX-License-Identifier: Apache-2.0
# Sourced by every integration test: the cluster functions, and checks that say what they saw.
set -u
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/cluster.bash"

fail() {
	echo "FAILED: $*" >&2
	for log in "${folder:-/nonexistent}"/node*.log; do
		[ -e "$log" ] && { echo "--- ${log##*/}" >&2; tail -n 8 "$log" >&2; }
	done
	exit 1
}

# expect_exit CODE COMMAND…: runs it; output in $folder/out (stdout) and $folder/err
expect_exit() {
	local want=$1 got=0
	shift
	"$@" >"$folder/out" 2>"$folder/err" || got=$?
	[ "$got" -eq "$want" ] || fail "exit $got instead of $want: $*
$(cat "$folder/out" "$folder/err")"
}

# expect_text FILE PATTERN: an extended regular expression must match in the file
expect_text() {
	grep -qE -- "$2" "$1" || fail "no match for '$2' in:
$(cat "$1")"
}

# eventually SECONDS COMMAND…: until it succeeds
eventually() {
	local end=$(($(date +%s%N) + $1 * 1000000000))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(date +%s%N)" -lt "$end" ] || return 1
		sleep 0.05
	done
}

now_ms() { awk '{printf "%d\n", $1 * 1000}' /proc/uptime; }

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

# peers_are I…: the nodes that are started from here on are configured with these
peers_are() {
	local i
	peer_flags=()
	for i; do peer_flags+=(--peer "$i 127.0.0.1:${peer_port[i]} 127.0.0.1:${client_port[i]}"); done
}

# endpoints_are I…: programs that are started from here on ask these
endpoints_are() {
	local i
	endpoints=''
	for i; do endpoints+="${endpoints:+,}127.0.0.1:${client_port[i]}"; done
	export LOCKD_ENDPOINTS=$endpoints
}

# members_are "1:voter 2:voter 3:learner": so the leader sees them, leading or not, and no change is under way
members_are() {
	"$bin/cli/lockctl" cluster members --json 2>/dev/null |
		jq -e --arg want "$1" '(.joint | not) and ([.members | sort_by(.node)[] | "\(.node):\(if .role == "leader" then "voter" else .role end)"] | join(" ")) == $want' >/dev/null
}

# candidates_are "4 5": these have called and are no members
candidates_are() {
	[ "$("$bin/cli/lockctl" cluster members --json 2>/dev/null | jq -r '[.candidates[].node] | sort | join(" ")')" = "$1" ]
}

now_ms() { awk '{printf "%d\n", $1 * 1000}' /proc/uptime; }

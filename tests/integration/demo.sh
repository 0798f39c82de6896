#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# demo.sh BUILD SOURCE: the demo runs to its end and says that nothing was lost; interrupted in the middle it leaves no
# process and no file behind. What it builds is built before, by integration.release_build.
set -u
source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TMPDIR=$work/tmp
mkdir "$TMPDIR"
fail() {
	echo "FAILED: $*" >&2
	tail -n 20 "$work/out" >&2
	exit 1
}
left() { ls -A "$TMPDIR"; pgrep -f "$TMPDIR"; }

"$source/scripts/demo.sh" 3 60 >"$work/out" 2>&1 </dev/null || fail "the demo ended with $?"
grep -q '^result: *nothing was lost' "$work/out" || fail "no result"
grep -q '^increments: *180 of 180 ' "$work/out" || fail "increments"
[ -z "$(left)" ] || fail "left behind: $(left)"

# The leader is killed after a quarter of the increments, and all that is left are under way from step 6 on.
setsid "$source/scripts/demo.sh" 3 3000 >"$work/out" 2>&1 </dev/null &
demo=$!
until grep -q '^== 6/7' "$work/out"; do
	kill -0 $demo 2>/dev/null || fail "the demo ended early"
	sleep 0.1
done
# What a terminal does on Ctrl-C: the signal goes to the whole group. A background job ignores SIGINT from its start, and bash
# cannot undo that, so TERM stands in for it; both run the same trap.
kill -TERM -- -$demo
wait $demo
status=$?
grep -q '^== 7/7' "$work/out" && fail "the demo was over when it was interrupted"
[ $status -eq 143 ] || fail "exit $status after SIGTERM"
for ((i = 0; i < 50; i++)); do [ -z "$(left)" ] && break; sleep 0.1; done
[ -z "$(left)" ] || fail "left behind: $(left)"
echo ok

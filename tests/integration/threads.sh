#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# threads.sh BUILD SECONDS: three processes; eight threads on one handle with 256 sessions make every call there is while
# leaders are killed with -9. threads.c says what must hold. Under TSan it looks for races of the library besides.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 3
seconds=${2:-15}
for i in 1 2 3; do node_start $i; done
cluster_wait_leader 20 >/dev/null || fail "no leader"

"$bin/tests/integration/threads" 8 "$seconds" 256 >"$folder/out" 2>"$folder/err" &
pid=$!
end=$(($(date +%s) + seconds - 3)) kills=0
while sleep 2 && [ "$(date +%s)" -lt "$end" ] && kill -0 $pid 2>/dev/null; do
	leader=$(cluster_wait_leader 20) || fail "no leader after $kills kills"
	node_kill "$leader"
	kills=$((kills + 1))
	sleep 0.5
	node_start "$leader"
done
wait $pid || fail "threads failed after $kills kills: $(tail -n 40 "$folder/err")"
! grep -q "WARNING: ThreadSanitizer" "$folder/err" || fail "$(head -n 60 "$folder/err")"
[ "$kills" -gt 0 ] || fail "no leader was killed"
echo "$kills leaders killed: $(cat "$folder/out")"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The file system under one node of three breaks for real: it turns itself read-only, as ext4 does on an error; and the storage
# behind it has no room for what ext4 had promised, so that a sync fails. The node stops with status 70 and a named reason, the
# others go on, and behind a repair of the file system it starts soundly or is repaired by the others: nothing acknowledged is
# lost. Needs root, loop devices and ext4.
. "$(dirname "$0")/test.bash"
. "$(dirname "$0")/mount.bash"
cluster_begin "$1" 3
trap mount_clean EXIT
lockctl=$bin/cli/lockctl
mount_or_skip
[ $kind = ext4 ] || { echo "skipped: no ext4 on a loop device here"; exit 77; }
flags=(--reserve-mib 1 --checkpoint-log-entries 512 --trailing-log-entries 64)

is_over() { ! kill -0 "${node_pid[$1]}" 2>/dev/null; }
caught_up() {
	$lockctl status --json | jq -e --argjson n "$1" \
		'([.nodes[] | .applied] | max) as $max | .nodes[] | select(.node == $n) | .leader != 0 and .applied + 2000 > $max'
}

# The node ends as it must, and the others do without it.
ends() {
	local status=0
	eventually 20 is_over "$1" || fail "node $1 goes on: $2"
	wait "${node_shell[$1]}" || status=$?
	unset "node_pid[$1]"
	[ $status -eq 70 ] || fail "exit $status instead of 70: $2"
	grep -F 'stopping at once' "$folder/node$1.log" | tail -n 1 >"$folder/words"
	expect_text "$folder/words" 'reason="(the log|a checkpoint|the reserve) could not be .*error="cannot [a-z]+ .*/(raft\.db|state\.db|superblock|reserve)'
	[ "$(tail -n 1 "$folder/node$1.log")" = "$(cat "$folder/words")" ] || fail "node $1 has said something behind its end"
	eventually 10 "$lockctl" --timeout 1s lock go-on --try -- true || fail "the others do not go on: $2"
	echo "$2: $(sed 's/.*reason=//' "$folder/words" | cut -c1-160)"
}

# e2fsck ends with 1 when it has repaired something.
comes_back() {
	local status=0
	unmount "$1"
	e2fsck -fy "$folder/node$1.img" >"$folder/fsck" 2>&1 || status=$?
	[ $status -le 2 ] || fail "e2fsck ended with $status: $(tail -n 3 "$folder/fsck")"
	mount -o loop "$folder/node$1.img" "$folder/node$1" || fail "mount failed"
	mounts+=("$folder/node$1")
	node_start "$1" "${flags[@]}" || fail "no start behind: $2"
	eventually 20 caught_up "$1" || fail "node $1 neither follows nor is repaired behind: $2: $($lockctl status)"
	echo "$2: $([ -d "$folder/node$1/damaged-1" ] && echo repaired by the others || echo started soundly)"
}

small_file_system 1 24
small_file_system 2 24
mkdir "$folder/backing"
mount -t tmpfs -o size=64m tmpfs "$folder/backing" || fail "mount failed"
ln -s backing/node2.img "$folder/node2.link"
unmount 2
mv "$folder/node2.img" "$folder/backing/"
mv "$folder/node2.link" "$folder/node2.img"
mount -o loop "$folder/node2.img" "$folder/node2" || fail "mount failed"
mounts+=("$folder/node2" "$folder/backing")
for i in 1 2 3; do node_start $i "${flags[@]}"; done
cluster_wait_leader 20 >/dev/null || fail "no leader"
"$bin/tests/integration/ledger" 9 120000 5000 >"$folder/ledger" || fail "the ledger was not written"
touch "$folder/go-on"
"$bin/tests/integration/pairs" 0 4 --while "$folder/go-on" --value-bytes 1024 --timeout-ms 20000 >"$folder/pairs.out" 2>"$folder/pairs.err" &
pairs=$!

device=$(findmnt -n -o SOURCE "$folder/node1")
if [ -w "/sys/fs/ext4/${device##*/}/trigger_fs_error" ] && mount -o remount,errors=remount-ro "$folder/node1"; then
	echo 'planned by a test of lockd' >"/sys/fs/ext4/${device##*/}/trigger_fs_error"
	ends 1 'the file system has become read-only'
	comes_back 1 'the file system has become read-only'
else
	echo "left out: this kernel lets nobody break a file system"
fi

# Blocks that the image has not had before find no room any more: what the log grows by is lost when it is synced.
head -c 256M /dev/zero >"$folder/backing/ballast" 2>/dev/null
ends 2 'the storage behind the file system is full'
rm "$folder/backing/ballast"
comes_back 2 'the storage behind the file system is full'

rm "$folder/go-on"
wait $pairs || fail "pairs ended with $?: $(cat "$folder/pairs.err")"
cat "$folder/pairs.out"
while read -r name token; do
	[ "$($lockctl show "$name" --json | jq -r .token)" = "$token" ] || fail "$name is not held with token $token any more"
done < <(awk '$1 == "held" && substr($2, 2) % 2 == 0 {print $2, $3}' "$folder/ledger")
same_state() { $lockctl status --json | jq -e '[.nodes[] | "\(.applied) \(.state_hash)"] | unique | length == 1'; }
eventually 20 same_state || fail "the nodes' states differ: $($lockctl status --json)"

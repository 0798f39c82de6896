#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lockd check on real folders: a running node's is refused, a killed one's is described, damage is named, and nothing changes.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 3
lockctl=$bin/cli/lockctl lockd=$bin/lockd/lockd
for i in 1 2 3; do node_start $i; done
cluster_wait_leader 20 >/dev/null || fail "no leader"
$lockctl lock kept -- sleep 600 >"$folder/holder" 2>&1 &
holder=$!
eventually 10 sh -c "[ -n \"\$($lockctl show kept --json | jq -r '.token // empty')\" ]" || fail "nobody got the lock: $(cat "$folder/holder")"
all_have() { $lockctl status --json | jq -e '[.nodes[] | select(.status == "OK") | .applied] | length == 3 and (max == min)'; }
eventually 10 all_have || fail "the nodes differ: $($lockctl status)"
data=$folder/node1

fingerprint() { (cd "$1" && find . -printf '%p %s %T@ %m\n' | sort && find . -type f -exec sha256sum {} + | sort -k 2); }
# check CODE DIR: runs it, plain and as JSON; nothing in the folder may change, and no temporary file stay
check() {
	local before
	before=$(fingerprint "$2")
	expect_exit "$1" "$lockd" check "$2"
	cp "$folder/out" "$folder/text"
	expect_exit "$1" "$lockd" check --json "$2"
	jq -e . "$folder/out" >/dev/null || fail "no JSON: $(cat "$folder/out")"
	[ "$(fingerprint "$2")" = "$before" ] || fail "something in $2 has changed"
	[ -z "$(ls "$TMPDIR")" ] || fail "left behind: $(ls "$TMPDIR")"
}
mkdir "$folder/tmp"
export TMPDIR=$folder/tmp

expect_exit 64 "$lockd" check
expect_exit 64 "$lockd" check --quiet "$data"
expect_text "$folder/err" 'there is no flag --quiet'
expect_exit 64 "$lockd" check "$data" "$data"
expect_exit 66 "$lockd" check "$folder/nowhere"
expect_exit 66 "$lockd" check "$folder/tmp"
expect_text "$folder/err" 'is no data folder of a node'
expect_exit 74 "$lockd" check "$data"
expect_text "$folder/err" "in use by process ${node_pid[1]}"

# As a kill leaves it: the WAL holds what was committed, and must be replayed to be read.
for i in 1 2 3; do node_kill $i; done
kill -KILL $holder 2>/dev/null
wait $holder 2>/dev/null
check 0 "$data"
for line in 'sound' 'crashed or killed' 'sessions +[1-9]' 'locks +1' 'node 1 +voter.*this folder' 'node 3 +voter' 'A node starts with it'; do
	expect_text "$folder/text" "$line"
done
jq -e '.verdict == "starts" and (.damaged | not) and .content.node == 1 and .content.locks == 1' "$folder/out" >/dev/null || fail "$(cat "$folder/out")"

# A read-only file system.
if unshare -m sh -c "mount --bind $data $data && mount -o remount,ro,bind $data && $lockd check $data" >"$folder/out" 2>"$folder/err"; then
	expect_text "$folder/out" 'A node starts with it'
elif [ "$(id -u)" = 0 ] && unshare -m mount --bind "$data" "$data" 2>/dev/null; then
	fail "on a read-only file system: $(cat "$folder/out" "$folder/err")"
fi

# What is not lockd's need not be readable: a folder that is a mount point of its own has a lost+found.
mkdir -m 0 "$data/lost+found"
as_anybody=()
[ "$(id -u)" != 0 ] || as_anybody=(setpriv --bounding-set=-dac_override,-dac_read_search)
expect_exit 0 "${as_anybody[@]}" "$lockd" check "$data"
expect_text "$folder/out" 'lost.found is no file'
rmdir "$data/lost+found"

# A full folder for temporary files is no damage.
if unshare -m true 2>/dev/null; then
	node_start 1
	node_kill 1 TERM
	cp -a "$data" "$folder/copy"
	rm "$folder"/copy/*-wal
	expect_exit 74 unshare -m sh -c "mount -t tmpfs -o size=76k tmp $TMPDIR && exec $lockd check $folder/copy"
	expect_text "$folder/err" 'no space left for a stand-in'
	rm -rf "$folder/copy"
fi

# An old copy is named as such, and what lockd says is what check has said.
cp -a "$data" "$folder/copy"
echo 'node 1 has said more than this' >"$folder/copy/old-copy"
check 65 "$folder/copy"
expect_text "$folder/text" ': REFUSED$'
expect_text "$folder/text" 'old copy and must not be used \(node 1 has said more than this\)'
jq -e '.verdict == "refused" and (.damaged | not)' "$folder/out" >/dev/null || fail "$(cat "$folder/out")"

# Several parts at once: all are named.
rm "$folder/copy/old-copy"
flip() { # FILE OFFSET
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$folder/copy/$1")
	printf "\\x$(printf %x $((byte ^ 1)))" | dd of="$folder/copy/$1" bs=1 seek="$2" conv=notrunc status=none
}
flip raft.db-wal 5000
flip superblock 300
flip superblock 4396
rm "$folder/copy/state.db"
echo mine >"$folder/copy/notes"
check 65 "$folder/copy"
for line in DAMAGED 'superblock +.*neither of its slots' 'raft.db-wal +.*no valid checksum' 'state.db +.*state.db' 'notes is no file'; do
	expect_text "$folder/text" "$line"
done

# The verdict is kept: the folder is set aside by a node with peers, which is let in anew.
cp -a "$data" "$folder/latest"
rm -rf "$folder/copy"
cp -a "$data" "$folder/copy"
flip raft.db-wal 5000
check 65 "$folder/copy"
jq -e '.verdict == "set-aside"' "$folder/out" >/dev/null || fail "$(cat "$folder/out")"
expect_text "$folder/text" 'moves these files to a folder damaged-'
rm -rf "$data"
mv "$folder/copy" "$data"
unset TMPDIR
for i in 1 2 3; do node_start $i; done
is_whole() { $lockctl status --json | jq -e '[.nodes[] | select(.status == "OK") | "\(.applied) \(.state_hash)"] | length == 3 and (unique | length == 1)'; }
eventually 30 is_whole || fail "node 1 was not let in anew: $($lockctl status)"
[ -d "$data/damaged-1" ] || fail "nothing was set aside: $(ls "$data")"
node_kill 1 TERM
export TMPDIR=$folder/tmp
check 0 "$data"
expect_text "$folder/text" 'damaged-1 holds files that were found damaged'
expect_text "$folder/text" 'times +1'
check 65 "$data/damaged-1"
expect_text "$folder/text" 'raft.db-wal +.*no valid checksum'
echo ok

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Folders that nobody may take for a member's: a damaged one where that is not allowed, a damaged one of another cluster, an
# empty one, a second process with the same folder or with the same number. Each is refused in words, and none has a vote.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 3
lockctl=$bin/cli/lockctl lockd=$bin/lockd/lockd
for i in 1 2 3; do node_start $i; done
leader=$(cluster_wait_leader 20) || fail "no leader"
[ "$leader" != 3 ] || $lockctl cluster transfer 1 >/dev/null || fail "leadership was not handed over"
data=$folder/node3
expect_exit 0 $lockctl lock kept -- true
agree() { $lockctl status --json | jq -e '[.nodes[] | "\(.status) \(.applied) \(.state_hash)"] | length == 3 and (unique | length == 1)'; }
says() { grep -qF -- "$2" "$1"; }
flags=(--node 3 --listen-peer 127.0.0.1:0 --listen-client 127.0.0.1:0 "${peer_flags[@]}")
eventually 10 agree || fail "the nodes differ: $($lockctl status)"

# The same folder twice.
expect_exit 1 timeout 20 "$lockd" "${flags[@]}" --data "$data"
expect_text "$folder/err" "the data folder $data is in use by process ${node_pid[3]}: one process at a time"

# The same number twice: with an empty folder, and with a damaged copy of that of a member which is well.
stranger() { # DATA WORDS
	local pid
	"$lockd" "${flags[@]}" --data "$1" >"$folder/stranger.log" 2>&1 &
	pid=$!
	eventually 10 says "$folder/stranger.log" "$2" || fail "a second node 3 is not told '$2': $(cat "$folder/stranger.log")"
	sleep 2 # longer than any leader would wait for a member that it has lost
	eventually 10 agree || fail "the real node 3 has suffered: $($lockctl status)"
	kill $pid
	wait $pid
}
stranger "$folder/empty" 'node 3 is a member with another data folder'
node_kill 3
cp -a "$data" "$folder/copy"
node_start 3
eventually 10 agree || fail "node 3 does not come back: $($lockctl status)"
: >"$folder/copy/raft.db"
stranger "$folder/copy" 'node 3 is a member with a data folder that it found damaged'
cat "$folder"/node[12].log >"$folder/told"
expect_text "$folder/told" 'refused a node: .*node 3 is a member with a data folder that it found damaged'

# Not where the configuration forbids it.
node_kill 3
cp -a "$data" "$folder/kept"
: >"$data/raft.db"
expect_exit 1 timeout 20 "$lockd" "${flags[@]}" --data "$data" --repair no
expect_text "$folder/err" "^lockd: $data/raft.db is damaged: it is empty; nothing was moved, as .repair = no. demands"
[ ! -e "$data/damaged-1" ] && [ -s "$data/raft.db-wal" ] || fail "files were moved: $(ls -R "$data")"

# Not for the ninth time, unless somebody has looked.
mkdir "$data"/damaged-{1..8}
expect_exit 1 timeout 20 "$lockd" "${flags[@]}" --data "$data"
expect_text "$folder/err" "^lockd: $data/raft.db is damaged: it is empty; nothing was moved, since $data holds 8 damaged folders already"
[ ! -e "$data/past" ] && [ -s "$data/raft.db-wal" ] || fail "files were moved: $(ls -R "$data")"
expect_exit 65 "$lockd" check "$data"
expect_text "$folder/out" 'holds 8 damaged folders already'

# A damaged folder of another cluster joins neither that one, which is not here, nor this one.
rm -rf "$data"
"$lockd" --node 3 --data "$data" --listen-client 127.0.0.1:0 --listen-peer 127.0.0.1:0 >"$folder/other.log" 2>&1 &
other=$!
eventually 10 says "$folder/other.log" role=leader || fail "the other cluster was not founded: $(cat "$folder/other.log")"
kill -KILL $other
wait $other 2>/dev/null
: >"$data/state.db"
node_start 3
eventually 10 says "$data.log" "node 3 waits for the cluster that its damaged data folder belonged to, and node 1 is not of that" ||
	fail "node 3 does not say that it is in the wrong place: $(cat "$data.log")"
[ -e "$data/damaged-1/state.db" ] || fail "nothing was set aside: $(ls -R "$data")"

# Neither it nor an empty folder has a vote.
has_no_leader() { [ -z "$(cluster_leader)" ]; }
votes_not() {
	node_kill 2
	eventually 10 has_no_leader || fail "there is a leader with $1: $($lockctl status)"
	if $lockctl --timeout 3s lock kept -- true 2>"$folder/err"; then fail "a lock was granted with $1"; fi
	has_no_leader || fail "there is a leader with $1: $($lockctl status)"
	node_start 2
	cluster_wait_leader 20 >/dev/null || fail "no leader after node 2 is back"
}
votes_not "a folder of another cluster"
node_kill 3
rm -rf "$data"
: >"$data.log"
node_start 3
eventually 10 says "$data.log" 'node 3 is a member with another data folder' || fail "node 3 is not told: $(cat "$data.log")"
votes_not "an empty folder"

# What was moved away has lost nothing.
node_kill 3
rm -rf "$data"
mv "$folder/kept" "$data"
node_start 3
eventually 10 agree || fail "node 3 does not come back: $($lockctl status)"
echo ok

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A data folder is damaged while its node is down, a follower's or the leader's, in one file after the other. Started again
# the node says what it found, sets the files aside, and serves as a voter again without anybody's help; no lock is lost.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 3
lockctl=$bin/cli/lockctl
for i in 1 2 3; do node_start $i --checkpoint-log-entries 16 --trailing-log-entries 8; done
cluster_wait_leader 20 >/dev/null || fail "no leader"

$lockctl lock kept-through-all-of-it -- sleep 600 >"$folder/holder" 2>&1 &
holder=$!
token_of() { $lockctl show "$1" --json | jq -r '.token // empty'; }
is_held() { [ -n "$(token_of kept-through-all-of-it)" ]; }
eventually 10 is_held || fail "the lock was not acquired: $(cat "$folder/holder")"
kept=$(token_of kept-through-all-of-it)

last=0
use() { # the next token of a lock that is taken over and over
	local token
	token=$($lockctl lock used --wait 10s -- sh -c 'echo $LOCKD_TOKEN' 2>"$folder/err") || fail "no lock $1: $(cat "$folder/err")"
	[ "$token" -gt "$last" ] || fail "token $token after $last $1"
	last=$token
}
agree() { $lockctl status --json | jq -e '[.nodes[] | "\(.status) \(.applied) \(.state_hash)"] | length == 3 and (unique | length == 1)'; }
flip() { # FILE OFFSET
	local byte
	byte=$(od -An -tu1 -j "$2" -N1 "$1")
	printf "\\x$(printf %02x $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
says() { grep -qE -- "$2" "$folder/node$1.log"; }

declare -A repairs=([1]=0 [2]=0 [3]=0)

# comes_back NODE WORDS: started again, with these words about the damage
comes_back() {
	local node=$1 other=$(($1 % 3 + 1)) began n
	n=$((repairs[$node] += 1))
	: >"$folder/node$node.log"
	began=$(now_ms)
	node_start "$node" --checkpoint-log-entries 16 --trailing-log-entries 8 || fail "node $node does not start"
	eventually 5 says "$node" "damaged: node=$node data=$folder/node$node reason=\".*$2" || fail "node $node does not say '$2'"
	eventually 5 says "$node" "set aside: node=$node files=$folder/node$node/damaged-$n " || fail "node $node does not say where its files are"
	[ -e "$folder/node$node/damaged-$n/state.db" ] || fail "nothing was set aside: $(ls -R "$folder/node$node")"
	eventually 15 says "$node" "restored: caught up by node [1-3]" || fail "node $node is not restored"
	eventually 10 members_are "1:voter 2:voter 3:voter" || fail "members: $($lockctl cluster members)"
	eventually 10 agree || fail "the states differ: $($lockctl status)"
	echo "$2: restored after $(($(now_ms) - began)) ms"

	# Its vote counts: of the two others one is enough.
	node_kill $other
	use "with node $node instead of node $other"
	[ "$(token_of kept-through-all-of-it)" = "$kept" ] || fail "the lock was granted anew: $($lockctl show kept-through-all-of-it)"
	node_start $other --checkpoint-log-entries 16 --trailing-log-entries 8
	eventually 10 agree || fail "node $other does not come back: $($lockctl status)"
}
follower() { # the first one
	local i leader
	leader=$(cluster_wait_leader 20) || fail "no leader"
	for i in 1 2 3; do [ "$i" = "$leader" ] || { echo "$i"; return; }; done
}

for i in 1 2 3 4 5; do use "at first"; done
node=$(follower)
node_kill "$node"
flip "$folder/node$node/raft.db-wal" $(($(stat -c %s "$folder/node$node/raft.db-wal") / 2))
comes_back "$node" 'raft.db-wal is damaged: frame [0-9]+ of [0-9]+ has no valid checksum'

for i in 1 2 3 4 5; do use "before a checkpoint"; done
node=$(follower)
has_checkpoint() { grep -q kept-through "$folder/node$node/state.db"; }
eventually 10 has_checkpoint || fail "node $node has no checkpoint"
node_kill "$node" TERM
rm "$folder/node$node/state.db-wal" # its pages are in the file as well
for at in $(grep -abo kept-through "$folder/node$node/state.db"); do flip "$folder/node$node/state.db" "${at%%:*}"; done
comes_back "$node" 'state.db is damaged: in the checkpoint of group 1 .*row .*does not match its checksum'

node=$(follower)
node_kill "$node"
: >"$folder/node$node/raft.db"
comes_back "$node" 'raft.db is damaged: it is empty'

node=$(follower)
node_kill "$node"
rm "$folder/node$node/superblock"
comes_back "$node" 'it holds a raft.db but no superblock'

node=$(cluster_wait_leader 20)
for i in 1 2 3 4 5; do use "with the old leader"; done
node_kill "$node"
: >"$folder/node$node/state.db"
comes_back "$node" 'state.db is damaged: it is empty'

kill "$holder"
wait "$holder" 2>/dev/null
echo "five damaged folders, token $last"

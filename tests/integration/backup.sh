#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A backup is made while three nodes serve; a new cluster is made of it, twice. No token comes again, nobody of the old
# cluster is let in, and what was held is free.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 3
lockctl=$bin/cli/lockctl lockd=$bin/lockd/lockd pairs=$bin/tests/integration/pairs backup=$folder/backup
for i in 1 2 3; do node_start $i; done
leader=$(cluster_wait_leader 20) || fail "no leader"
follower=$((leader % 3 + 1))

token_of() { $lockctl show "$1" --json | jq -r '.token // empty'; }
grant() { $lockctl lock "$1" -- sh -c 'echo $LOCKD_TOKEN'; }
hold() { # NAME LOG: a holder that stays
	$lockctl lock "$1" -- sleep 600 >"$2" 2>&1 &
	holders+=($!)
	eventually 10 sh -c "[ -n \"\$($lockctl show $1 --json | jq -r '.token // empty')\" ]" || fail "nobody got $1: $(cat "$2")"
}
holders=()
trap 'kill -KILL "${holders[@]}" 2>/dev/null; cluster_end' EXIT
hold kept "$folder/holder"

# While others work: none of them fails, and what was acknowledged before is in it.
touch "$folder/working"
$pairs 0 16 --while "$folder/working" >"$folder/pairs" 2>&1 &
work=$!
acknowledged=$($lockctl show kept --json | jq -r '.answer.revision')
expect_exit 0 $lockctl backup "$backup" --json
jq -e --argjson at "$acknowledged" '(.revision | tonumber) >= $at and .bytes > 0 and .rows > 0' "$folder/out" >/dev/null ||
	fail "not what was acknowledged at $acknowledged: $(cat "$folder/out")"
[ "$(jq -r .node "$folder/out")" -eq "$leader" ] || fail "not by the leader: $(cat "$folder/out")"
revision=$(jq -r .revision "$folder/out")
expect_exit 0 $lockctl backup "$folder/second" --node $follower --json
[ "$(jq -r .node "$folder/out")" -eq $follower ] || fail "not by node $follower: $(cat "$folder/out")"
[ "$(jq -r .revision "$folder/out")" -ge "$revision" ] || fail "the later backup holds less: $(cat "$folder/out")"
rm "$folder/working"
wait $work || fail "a request failed during the backup: $(cat "$folder/pairs")"
cat "$folder/pairs"

# It is there whole or not at all, and is not replaced unasked.
[ ! -e "$backup.partial" ] || fail "$backup.partial stays behind"
expect_exit 64 $lockctl backup "$backup"
expect_text "$folder/err" '--force'
expect_exit 0 $lockctl backup --verify "$backup"
expect_exit 0 sh -c "$lockctl backup - >'$folder/third' && $lockctl backup --verify '$folder/third'"
expect_exit 0 $lockctl backup "$folder/second" --force
expect_exit 70 $lockctl backup "$folder/none/backup"
head -c 100 "$backup" >"$folder/cut"
expect_exit 65 $lockctl backup --verify "$folder/cut"
expect_text "$folder/err" 'ends too early'
{ cat "$backup"; echo; } >"$folder/long"
expect_exit 65 "$lockd" restore "$folder/long" --data "$folder/new" --yes
expect_text "$folder/err" 'something stands behind its end'
[ ! -e "$folder/new" ] || fail "a folder was made for a file that is no backup"

# What the old cluster grants after the backup, too, is smaller than all that the new one grants.
later=$(grant kept-later)
for i in 1 2 3 4 5; do later=$(grant kept-later); done
first=$(token_of kept)
for i in 1 2 3; do node_kill $i; done

restore() { "$lockd" restore "$backup" --node 1 --listen-peer "127.0.0.1:${peer_port[1]}" --listen-client "127.0.0.1:${client_port[1]}" "$@"; }
expect_exit 73 restore --data "$folder/node1" --yes
expect_text "$folder/err" 'is not empty'
mv "$folder/node1" "$folder/old1"
expect_exit 64 restore --data "$folder/node1"
expect_text "$folder/err" 'nothing was changed: give --yes'
for line in 'last entry' 'sessions +[1-9]' 'locks +[1-9]' 'must not be started again'; do expect_text "$folder/out" "$line"; done
[ ! -e "$folder/node1" ] || fail "a folder was made without --yes"
expect_exit 64 restore --data "$folder/node1" --epoch 1 --yes
expect_text "$folder/err" 'must be at least'
expect_exit 0 restore --data "$folder/node1" --yes
expect_text "$folder/out" 'Done'

export LOCKD_ENDPOINTS=127.0.0.1:${client_port[1]}
node_start 1
leads() { $lockctl status --json | jq -e '.nodes[] | select(.node == 1 and .role == "leader")'; }
eventually 20 leads || fail "node 1 does not serve alone: $($lockctl status)"

# Sessions are gone and the lock is free at once; tokens and revisions go on.
[ "$($lockctl session ls --json | jq '.sessions | length')" -eq 0 ] || fail "sessions are left: $($lockctl session ls)"
[ -z "$(token_of kept)" ] || fail "a lock is held: $($lockctl show kept)"
token=$(grant kept)
for before in "$first" "$later"; do [ "$token" -gt "$before" ] || fail "token $token after $before"; done
[ "$(grant kept-later)" -gt "$later" ] || fail "a token was given twice"
[ "$($lockctl ls --json | jq -r .answer.revision)" -gt "$revision" ] || fail "revisions begin again"

# The client of the old cluster finds another one where its node was; so does an old node.
wrong_cluster() { grep -q 'another cluster' "$folder/holder"; }
eventually 20 wrong_cluster || fail "the old holder goes on: $(cat "$folder/holder")"
node_start 2
refused() { grep -q 'belong to different clusters' "$folder/node2.log"; }
eventually 10 refused || fail "node 2 does not say that it belongs to another cluster: $(tail -n 5 "$folder/node2.log")"
node_kill 2

# A node with an empty folder joins.
rm -rf "$folder/node3"
node_start 3
waits() { grep -q 'not a member yet: lockctl cluster add 3' "$folder/node3.log"; }
eventually 10 waits || fail "node 3 does not say that it has to be added: $(tail -n 5 "$folder/node3.log")"
expect_exit 0 $lockctl cluster add 3
same_state() { $lockctl --endpoints "127.0.0.1:${client_port[1]},127.0.0.1:${client_port[3]}" status --json | jq -e '([.nodes[] | select(.status == "OK")] | length == 2) and ([.nodes[] | "\(.applied) \(.state_hash)"] | unique | length == 1)'; }
eventually 30 same_state || fail "node 3 does not catch up: $($lockctl status)"
token=$(grant kept)
node_kill 3
node_kill 1

# The same backup once more, within minutes: what the first restore has granted does not come again. An interrupted
# restore is thrown away by the next, and nothing else opens it.
mv "$folder/node1" "$folder/first1"
mkdir "$folder/node1"
echo unfinished >"$folder/node1/restoring"
cp "$folder/old1/superblock" "$folder/node1/"
expect_exit 1 "$lockd" --data "$folder/node1" --node 1
expect_text "$folder/err" 'run `lockd restore` again'
expect_exit 0 restore --data "$folder/node1" --yes
rm -rf "$folder/node3"
node_start 1
eventually 20 leads || fail "node 1 does not serve alone: $($lockctl status)"
again=$(grant kept)
[ "$again" -gt "$token" ] || fail "token $again after $token of the first restore"
echo ok

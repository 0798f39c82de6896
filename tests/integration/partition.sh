#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Three nodes, each in a network namespace of its own, on one bridge. The leader's port stops forwarding: no packet gets
# through, and nobody is told. The others elect a leader and serve; the old one answers nothing that only a leader may
# answer; after healing all three have the same state. Needs root; elsewhere the case is skipped (exit 77) and says so.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 3
lockctl=$bin/cli/lockctl
net=lockd$$

remove_namespaces() {
	cluster_kill_all
	for name in 1 2 3 c sw; do ip netns del "$net-$name" 2>/dev/null; done
}
trap 'remove_namespaces; cluster_end' EXIT
ip netns add "$net-sw" 2>/dev/null && ip -n "$net-sw" link add br0 type bridge 2>/dev/null || {
	echo "skipped: network namespaces and bridges need root"
	exit 77
}
ip -n "$net-sw" link set br0 up
# plug NAME ADDRESS: a namespace with one interface; its port on the bridge is p-NAME
plug() {
	ip netns add "$net-$1"
	ip -n "$net-sw" link add "p-$1" type veth peer name eth0 netns "$net-$1" || fail "no veth pair"
	ip -n "$net-sw" link set "p-$1" master br0 up
	ip -n "$net-$1" address add "$2/24" dev eth0
	ip -n "$net-$1" link set lo up
	ip -n "$net-$1" link set eth0 up
}
cut() { ip netns exec "$net-sw" bridge link set dev "p-$1" state 0 || fail "cannot cut node $1 off"; }
heal() { ip netns exec "$net-sw" bridge link set dev "p-$1" state 3 || fail "cannot heal node $1"; }

plug c 10.77.0.9
peer_flags=() endpoints=''
for i in 1 2 3; do
	plug $i 10.77.0.$i
	peer_flags+=(--peer "$i 10.77.0.$i:7601 10.77.0.$i:7600")
	endpoints+="${endpoints:+,}10.77.0.$i:7600"
done
export LOCKD_ENDPOINTS=$endpoints
for i in 1 2 3; do
	ip netns exec "$net-$i" "$bin/lockd/lockd" --node $i --data "$folder/node$i" "${peer_flags[@]}" >"$folder/node$i.log" 2>&1 &
	node_pid[$i]=$!
done

# at NAME ARGUMENTS…: lockctl in that namespace
at() {
	local name=$1
	shift
	ip netns exec "$net-$name" "$lockctl" --timeout 2s "$@"
}
leader_of() { at c status --json 2>/dev/null | jq -r '[.nodes[] | select(.role == "leader")] | sort_by(.term) | last | .node // empty'; }
has_leader() { leader=$(leader_of) && [ -n "$leader" ]; }
eventually 20 has_leader || fail "no leader"
old=$leader
others=$(tr ' ' '\n' <<<"1 2 3" | grep -v "$old" | sed 's/.*/10.77.0.&:7600/' | paste -sd,)

ip netns exec "$net-c" "$lockctl" lock kept --ttl 5s >/dev/null 2>"$folder/kept.err" &
holder=$!
eventually 5 at c show kept || fail "the lock was not acquired"
token=$(at c show kept --json | jq -r .token)

cut "$old"
began=$(now_ms)
export LOCKD_ENDPOINTS=$others
serves() { at c lock during --try -- true; }
eventually 10 serves || fail "nobody serves while node $old is cut off: $(at c status)"
echo "node $old cut off: served again after $(($(now_ms) - began)) ms"
leader=$(leader_of)
[ -n "$leader" ] && [ "$leader" != "$old" ] || fail "node '$leader' is said to lead"
[ "$(at c show kept --json | jq -r .token)" = "$token" ] || fail "the lock changed hands: $(cat "$folder/kept.err")"

# Asked from its own side of the cut, the old leader neither grants nor reads, and knows that it does not lead.
export LOCKD_ENDPOINTS=10.77.0.$old:7600
for command in "lock during --try -- true" "lock other --try -- true" "show kept" "ls"; do
	at "$old" $command >"$folder/out" 2>"$folder/err" && fail "node $old answers as a leader: $command
$(cat "$folder/out")"
done
at "$old" status --json | jq -e --argjson n "$old" '.nodes[] | select(.node == $n) | .role != "leader"' >/dev/null ||
	fail "node $old takes itself for the leader: $(at "$old" status)"

heal "$old"
export LOCKD_ENDPOINTS=$endpoints
same_state() {
	at c status --json | jq -e '([.nodes[] | select(.status == "OK")] | length == 3) and ([.nodes[] | "\(.applied) \(.state_hash)"] | unique | length == 1)
		and ([.nodes[] | select(.role == "leader")] | length == 1)'
}
eventually 15 same_state || fail "the nodes do not agree after healing: $(at c status)"
eventually 5 serves || fail "no lock after healing"
[ "$(at c show kept --json | jq -r .token)" = "$token" ] || fail "the lock changed hands: $(cat "$folder/kept.err")"
kill -0 $holder || fail "the holder has ended: $(cat "$folder/kept.err")"
kill -TERM $holder
wait $holder
echo ok

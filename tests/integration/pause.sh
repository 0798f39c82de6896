#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The leader is stopped for three seconds under load, as a virtual machine that is moved would be, and goes on. Nothing is
# lost, no token is given twice, it comes back as a follower, and clients that were alive all the time keep sessions and
# locks, even with a TTL no longer than the pause.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 3
workers=4 lockctl=$bin/cli/lockctl
for i in 1 2 3; do node_start $i; done
leader=$(cluster_wait_leader 20) || fail "no leader"

declare -A token
holders=()
for name in kept-1 kept-2 kept-3; do
	$lockctl lock $name --ttl 3s 2>"$folder/$name.err" >/dev/null &
	holders+=($!)
done
token_of() { $lockctl show "$1" --json | jq -r .token; }
for name in kept-1 kept-2 kept-3; do
	eventually 5 $lockctl show $name || fail "$name was not acquired"
	token[$name]=$(token_of $name)
done

echo "0 0" >"$folder/counter"
touch "$folder/go-on"
pids=()
for ((w = 1; w <= workers; w++)); do
	(
		n=0
		while [ -e "$folder/go-on" ]; do
			n=$((n + 1))
			"$bin/examples/counter" --endpoints "$endpoints" --lock counter --file "$folder/counter" --times 50 --id "w$w.$n" \
				>>"$folder/w$w.out" 2>>"$folder/w$w.err" || exit 1
		done
	) &
	pids+=($!)
done
grants() { cat "$folder"/w*.out 2>/dev/null | wc -l; }
more_than() { [ "$(grants)" -gt "$1" ]; }
eventually 20 more_than 20 || fail "the workers do not get on"
term=$($lockctl status --json | jq '[.nodes[] | .term] | max')

kill -STOP "${node_pid[$leader]}"
seen=$(grants)
stopped=$(now_ms)
eventually 3 more_than $((seen + 20)) || fail "no grants while node $leader, the leader, is stopped"
while [ $(($(now_ms) - stopped)) -lt 3000 ]; do sleep 0.05; done
kill -CONT "${node_pid[$leader]}"

follows() {
	$lockctl status --json | jq -e --argjson n "$leader" --argjson term "$term" \
		'.nodes[] | select(.node == $n) | .role == "follower" and .term > $term and .leader != $n'
}
eventually 10 follows || fail "node $leader does not follow after its pause: $($lockctl status)"
seen=$(grants)
eventually 20 more_than $((seen + 20)) || fail "no grants after the pause"
rm "$folder/go-on"
for pid in "${pids[@]}"; do wait "$pid" || fail "a worker failed: $(tail -n 3 "$folder"/w*.err)"; done

read -r value _ <"$folder/counter"
total=$(grants)
[ "$value" -eq "$total" ] || fail "$total increments were acknowledged, the file holds $value"
[ "$(cat "$folder"/w*.out | awk '{print $2}' | sort | uniq -d | wc -l)" -eq 0 ] || fail "a token was given twice"
cat "$folder"/w*.out | sort -n -k3 | awk '{t = "t" $2} NR > 1 && t <= last {print; bad = 1} {last = t} END {exit bad}' >"$folder/backward" ||
	fail "tokens do not grow with the increments: $(head -n 3 "$folder/backward")"

for name in kept-1 kept-2 kept-3; do
	[ "$(token_of $name)" = "${token[$name]}" ] || fail "$name changed hands: $(cat "$folder/$name.err")"
done
for pid in "${holders[@]}"; do kill -0 "$pid" || fail "a holder has ended: $(cat "$folder"/kept-*.err)"; done
same_state() { $lockctl status --json | jq -e '[.nodes[] | "\(.applied) \(.state_hash)"] | unique | length == 1'; }
eventually 10 same_state || fail "the nodes' states differ: $($lockctl status)"
kill -TERM "${holders[@]}"
wait "${holders[@]}"
echo "$total increments over a pause of 3 s, none lost, no token twice"

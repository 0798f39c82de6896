#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kill_leader.sh BUILD ROUNDS: three processes under load, the leader killed with -9 in every round and started again.
# No increment lost, no token twice, tokens in the order of the increments; the gap without grants as median and worst.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 3
rounds=${2:-20} workers=4
for i in 1 2 3; do node_start $i; done
leader=$(cluster_wait_leader 20) || fail "no leader"

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

for ((round = 1; round <= rounds; round++)); do
	leader=$(cluster_wait_leader 20) || fail "no leader in round $round"
	now_ms >>"$folder/kills"
	node_kill "$leader"
	seen=$(grants)
	eventually 20 more_than $((seen + 20)) || fail "no grants after the kill of node $leader in round $round"
	node_start "$leader"
	seen=$(grants)
	eventually 20 more_than $((seen + 20)) || fail "no grants after the restart of node $leader in round $round"
done
rm "$folder/go-on"
for pid in "${pids[@]}"; do wait "$pid" || fail "a worker failed: $(tail -n 3 "$folder"/w*.err)"; done

read -r value token <"$folder/counter"
total=$(grants)
[ "$value" -eq "$total" ] || fail "$total increments were acknowledged, the file holds $value"
[ "$(cat "$folder"/w*.out | awk '{print $2}' | sort | uniq -d | wc -l)" -eq 0 ] || fail "a token was given twice"
# Tokens exceed what awk's numbers hold exactly; all of an epoch have the same number of digits, so their text compares.
cat "$folder"/w*.out | sort -n -k3 | awk '{t = "t" $2} NR > 1 && t <= last {print; bad = 1} {last = t} END {exit bad}' >"$folder/backward" ||
	fail "tokens do not grow with the increments: $(head -n 3 "$folder/backward")"

# For each kill: the longest pause between grants that begins up to 200 ms before it and at most 3 s after it.
cat "$folder"/w*.out | awk '{print $1}' | sort -n >"$folder/times"
awk 'NR == FNR {kill[n++] = $1; next} {t[m++] = $1}
     END {for (i = 0; i < n; i++) {worst = 0
          for (j = 1; j < m; j++) if (t[j] >= kill[i] && t[j - 1] <= kill[i] + 3000 && t[j] - t[j - 1] > worst) worst = t[j] - t[j - 1]
          print worst}}' "$folder/kills" "$folder/times" | sort -n >"$folder/gaps"
echo "$rounds kills, $total increments, none lost, no token twice"
echo "gap without grants: median $(awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}' "$folder/gaps") ms, worst $(tail -n 1 "$folder/gaps") ms"

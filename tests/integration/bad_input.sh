#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What strangers and slips send: garbage and oversized frames on both ports, unknown flags, bad values, the data folder of
# another cluster. Each gets a clear message, and the cluster goes on serving.
. "$(dirname "$0")/test.bash"
cluster_begin "$1" 3
lockctl=$bin/cli/lockctl lockd=$bin/lockd/lockd
for i in 1 2 3; do node_start $i; done
cluster_wait_leader 20 >/dev/null || fail "no leader"
$lockctl lock kept --ttl 30s >/dev/null &
holder=$!
eventually 5 $lockctl show kept || fail "the lock was not acquired"
token=$($lockctl show kept --json | jq -r .token)

# send PORT: stdin goes to the port; returns once the node has closed the connection
send() {
	exec 3<>"/dev/tcp/127.0.0.1/$1" || fail "cannot connect to port $1"
	cat >&3 2>/dev/null
	timeout 10 cat <&3 >/dev/null
	local status=$?
	exec 3>&- 3<&-
	[ $status -ne 124 ] || fail "port $1 kept a connection open that sent garbage"
}
for i in 1 2 3; do
	for port in "${client_port[i]}" "${peer_port[i]}"; do
		head -c 4096 /dev/urandom | send "$port"
		printf 'GET / HTTP/1.1\r\nHost: x\r\n\r\n' | send "$port"
		printf '\xff\xff\xff\x7f\x01' | send "$port"                                          # 2 GiB announced
		printf '\x09\x00\x00\x00\x63\x00\x00\x00\x00\x00\x00\x00\x00' | send "$port"          # unknown type, no HELLO
		printf '\x0d\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff' | send "$port" # HELLO that is no protobuf
	done
done
[ "$($lockctl show kept --json | jq -r .token)" = "$token" ] || fail "the lock changed hands under garbage"
grep -qE 'frame|HELLO' "$folder"/node*.log || fail "the nodes did not say what they refused"

# Flags and values: what is wrong and what is allowed.
expect_exit 64 "$lockd" --frobnicate
expect_text "$folder/err" '^lockd: .*frobnicate'
expect_exit 64 "$lockd" --heartbeat-ms 0
expect_text "$folder/err" 'heartbeat-ms.*0'
expect_exit 64 "$lockd" --heartbeat-ms 150 --promise-ms 200
expect_text "$folder/err" 'promise-ms'
expect_exit 64 "$lockd" --node banana
expect_text "$folder/err" 'node.*banana'
printf 'node = 1\nelection-ms-min = 5\n' >"$folder/bad.conf"
expect_exit 64 "$lockd" --config "$folder/bad.conf"
expect_text "$folder/err" 'bad.conf:2: .*election-ms-min.*5'
printf 'node = 1\nelektion-ms-min = 400\n' >"$folder/bad.conf"
expect_exit 64 "$lockd" --config "$folder/bad.conf"
expect_text "$folder/err" 'bad.conf:2: .*elektion-ms-min'
expect_exit 64 "$lockd" --config "$folder/none.conf"
expect_text "$folder/err" 'none.conf'

# A data folder that belongs to another cluster: the node must not join, the cluster must not notice.
node_kill 3 TERM
mkdir "$folder/other"
"$lockd" --node 3 --data "$folder/other/node" --listen-client 127.0.0.1:0 --listen-peer 127.0.0.1:0 --peer "3 127.0.0.1:${peer_port[3]} 127.0.0.1:${client_port[3]}" >"$folder/other.log" 2>&1 &
other=$!
founded() { grep -q 'role=leader' "$folder/other.log"; }
eventually 10 founded || fail "the other cluster was not founded: $(cat "$folder/other.log")"
kill -TERM $other
wait $other
mv "$folder/node3" "$folder/node3.kept"
mv "$folder/other/node" "$folder/node3"
node_start 3
refused() { grep -qE 'belong to different clusters' "$folder/node3.log" "$folder"/node[12].log; }
eventually 10 refused || fail "nobody says that node 3 belongs to another cluster: $(tail -n 5 "$folder"/node*.log)"
[ "$($lockctl --endpoints "127.0.0.1:${client_port[1]},127.0.0.1:${client_port[2]}" show kept --json | jq -r .token)" = "$token" ] || fail "the lock changed hands"
node_kill 3
rm -rf "$folder/node3"
mv "$folder/node3.kept" "$folder/node3"
node_start 3
three() { $lockctl status --json | jq -e '[.nodes[] | select(.status == "OK")] | length == 3 and ([.[] | .applied] | (max - min) == 0)'; }
eventually 15 three || fail "node 3 did not come back: $($lockctl status)"
kill -TERM $holder
wait $holder || true
echo ok

# SPDX-License-Identifier: Apache-2.0
# Sourced by the demo and the integration tests: a cluster of real lockd processes on loopback, on free ports, in a
# temporary folder that goes away with it.
#
#   cluster_begin BIN N       choose ports and folder; sets $folder, $endpoints
#   node_start I [FLAGS…]     start node I and wait until it listens
#   node_kill I [SIGNAL]      default KILL; waits until it is gone
#   cluster_leader            print the id of the leader that a majority names, or nothing
#   cluster_wait_leader SECONDS
#   cluster_end               stop everything, remove the folder (also on exit)

declare -A node_pid node_shell
nodes=0
node_under=() # a command under which nodes are started

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A port belongs to who chose it before anything listens there, too: a file in this folder, named after the port, holds the
# pid of its owner. Not in $TMPDIR, since ports are shared by those who have another one.
claims=/tmp/lockd-ports.$UID claims_lock=''

# Locks the folder itself. Who was interrupted may still have it; and who waited may have got one that was removed meanwhile.
claims_begin() {
	claims_end
	while mkdir -p "$claims" && exec {claims_lock}<"$claims" && flock "$claims_lock"; do
		[ ! "/proc/self/fd/$claims_lock" -ef "$claims" ] || return 0
		claims_end
	done
	return 1
}

claims_end() {
	[ -z "$claims_lock" ] || exec {claims_lock}<&-
	claims_lock=''
}

# Of a script that was killed the claim stays, and is nobody's.
port_is_claimed() {
	local owner
	{ read -r owner <"$claims/$1"; } 2>/dev/null && kill -0 "$owner" 2>/dev/null
}

# Below the range that the kernel hands out to outgoing connections, so that none of them takes a port in between.
free_ports() {
	local want=$1 port
	claims_begin || return
	while [ "$want" -gt 0 ]; do
		port=$((20000 + RANDOM % 12000))
		! port_is_claimed "$port" && port_is_free "$port" || continue
		echo $$ >"$claims/$port"
		ports+=("$port")
		want=$((want - 1))
	done
	claims_end
}

# Also those of who was killed; the last one removes the folder.
return_ports() {
	local port
	claims_begin || return
	for port in "${ports[@]}"; do rm -f "$claims/$port"; done
	for port in "$claims"/*; do port_is_claimed "${port##*/}" || rm -f "$port"; done
	rmdir "$claims" 2>/dev/null || true
	claims_end
}

cluster_begin() {
	bin=$1 nodes=$2
	folder=$(mktemp -d "${TMPDIR:-/tmp}/lockd.XXXXXX")
	trap cluster_end EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	ports=()
	free_ports $((2 * nodes)) || { echo "no ports: $claims cannot be used" >&2; exit 1; }
	endpoints='' peer_flags=()
	local i
	for ((i = 1; i <= nodes; i++)); do
		client_port[i]=${ports[2 * i - 2]} peer_port[i]=${ports[2 * i - 1]}
		endpoints+="${endpoints:+,}127.0.0.1:${client_port[i]}"
		peer_flags+=(--peer "$i 127.0.0.1:${peer_port[i]} 127.0.0.1:${client_port[i]}")
	done
	export LOCKD_ENDPOINTS=$endpoints
}

node_start() {
	local i=$1 waited=0
	shift
	# A shell of its own waits for the node, so that a kill -9 is not reported among the words of this one.
	rm -f "$folder/node$i.pid"
	(
		"${node_under[@]}" "$bin/lockd/lockd" --node "$i" --data "$folder/node$i" --listen-peer "127.0.0.1:${peer_port[i]}" \
			--listen-client "127.0.0.1:${client_port[i]}" "${peer_flags[@]}" "$@" &
		echo $! >"$folder/node$i.pid"
		wait $!
	) >>"$folder/node$i.log" 2>&1 &
	node_shell[$i]=$!
	while [ ! -s "$folder/node$i.pid" ]; do sleep 0.01; done
	node_pid[$i]=$(<"$folder/node$i.pid")
	while port_is_free "${client_port[i]}"; do
		if ! kill -0 "${node_pid[$i]}" 2>/dev/null || [ $((waited += 1)) -gt 500 ]; then
			echo "node $i did not start:" >&2
			tail -n 5 "$folder/node$i.log" >&2
			return 1
		fi
		sleep 0.02
	done
}

node_kill() {
	local i=$1 signal=${2:-KILL}
	kill "-$signal" "${node_pid[$i]}" 2>/dev/null
	wait "${node_shell[$i]}"
	local status=$?
	unset "node_pid[$i]"
	return $status
}

cluster_leader() {
	"$bin/cli/lockctl" --timeout 2s status --json 2>/dev/null |
		jq -r '[.nodes[] | select(.role == "leader")] | sort_by(.term) | last | .node // empty'
}

cluster_wait_leader() {
	local end=$(($(date +%s) + $1)) leader
	while [ "$(date +%s)" -le "$end" ]; do
		leader=$(cluster_leader)
		[ -z "$leader" ] || { echo "$leader"; return 0; }
		sleep 0.05
	done
	return 1
}

cluster_kill_all() {
	kill -KILL "${node_pid[@]}" $(jobs -p) 2>/dev/null
	wait 2>/dev/null
}

cluster_end() {
	trap - EXIT
	cluster_kill_all
	return_ports
	if [ -n "${KEEP_FOLDER:-}" ]; then
		echo "kept: $folder"
	else
		rm -rf "${folder:?}"
	fi
}

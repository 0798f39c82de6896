#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cluster.sh BUILD CALLS: three real nodes under strace, which writes the named system calls ("all": every one) to
# FOLDER/node1.calls and so on. Prints one line of JSON once one of them leads, and for each line on stdin who leads by
# then; keeps them until stdin ends.
set -u
. "$(dirname "$0")/../../scripts/cluster.bash"
cluster_begin "$1" 3

# Calls that are not named do not even stop with --seccomp-bpf, so what they do is done at its usual pace. With -D the
# node is our child, and strace goes when it goes.
filter=()
[ "$2" = all ] || filter=(--seccomp-bpf -e "trace=$2")
for i in 1 2 3; do
	node_under=(strace -D -f -qq -y -s 0 -e signal=none "${filter[@]}" -o "$folder/node$i.calls")
	node_start $i || exit 1
done
leader=$(cluster_wait_leader 20) || { echo "no leader within 20 s" >&2; exit 1; }
printf '{"folder": "%s", "endpoints": "%s", "leader": %d, "pids": [%d, %d, %d]}\n' "$folder" "$endpoints" "$leader" \
	"${node_pid[1]}" "${node_pid[2]}" "${node_pid[3]}"
while read -r _; do echo "leader $(cluster_leader)"; done
exec 2>/dev/null # that the nodes are killed is no news

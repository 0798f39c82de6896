#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the pure libraries ask of the world, by the linker's word. symbols.sh RAFT STATE NODE API (static libraries).
set -u
raft=${1:?usage: symbols.sh RAFT STATE NODE API} state=$2 node=$3 api=$4
failed=0

undefined() { nm -u "$@" 2>/dev/null | awk 'NF == 2 && $1 == "U" {print $2}' | sort -u; }
defined() { nm --defined-only "$@" 2>/dev/null | awk 'NF == 3 {print $3}' | sort -u; }

# allow LIBRARY PATTERN PROVIDERS…: what LIBRARY needs and neither it nor the providers define must match the pattern
allow() {
	local library=$1 pattern=$2 extra
	shift 2
	extra=$(comm -23 <(undefined "$library") <(defined "$library" "$@") | grep -vxE "$pattern")
	if [ -n "$extra" ]; then
		echo "$library asks for:" $extra
		failed=1
	fi
}
memory='memcpy|memmove|memset|memcmp|memchr|_GLOBAL_OFFSET_TABLE_|__stack_chk_fail'
heap='malloc|calloc|realloc|free|abort|__assert_fail|strlen|qsort|v?snprintf|__v?snprintf_chk|__mem(cpy|move|set)_chk'
protobuf='protobuf_c_.*|XXH.*'
allow "$raft" "memcpy|memmove|memset|memcmp|raft_panic|_GLOBAL_OFFSET_TABLE_"
allow "$state" "$memory|$heap|$protobuf" "$api"
allow "$node" "$memory|$heap|$protobuf|raft_panic" "$api" "$state" "$raft"
[ -n "$(defined "$raft")" ] || { echo "$raft defines nothing"; failed=1; }
exit $failed

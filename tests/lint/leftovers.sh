#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What must not be left behind in a tree: unfinished markers, disabled assertions, assertions with side effects, banned
# calls, wall-clock time in the pure rooms, sleeps in unit tests, files without licence line.
set -u
root=${1:?usage: leftovers.sh ROOT}
cd "$root" || exit 1
failed=0
sources=$(find api raft lockd client-lib cli examples tests \( -name '*.c' -o -name '*.h' \) 2>/dev/null)
[ -n "$sources" ] || { echo "no sources under $root"; exit 1; }

# refuse WHY PATTERN FILES…
refuse() {
	local why=$1 pattern=$2
	shift 2
	[ $# -gt 0 ] || return 0
	if grep -HnE "$pattern" "$@"; then
		echo "^ $why"
		failed=1
	fi
}
refuse 'unfinished marker' '\b(TODO|FIXME|XXX|HACK)\b|not implemented|unimplemented' $sources
refuse 'assertion that is commented out' '(//|/\*)[[:space:]]*(assert|assert_[a-z_]+|RAFT_ASSERT)[[:space:]]*\(' $sources
refuse 'assertion with a side effect' '\b(assert|RAFT_ASSERT)\(.*(\+\+|--|[^=!<>]=[^=])' $sources
refuse 'code that is switched off' '^[[:space:]]*#[[:space:]]*if[[:space:]]+0' $sources
refuse 'banned call: use the bounded or checked one' '\b(strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atoll|strtok|rand|srand)\(' $sources

pure=$(find api raft lockd/state lockd/node \( -name '*.c' -o -name '*.h' \) 2>/dev/null)
refuse 'a clock in a pure room' '\b(clock_gettime|gettimeofday|time\(NULL\))' $pure
deciding=$(find lockd client-lib \( -name '*.c' -o -name '*.h' \) 2>/dev/null | grep -vE '(lockd/io/(clock|founder|log)|client-lib/src/clock)\.[ch]$')
refuse 'wall-clock time where decisions are made' 'CLOCK_REALTIME\b|\bgettimeofday\(' $deciding
refuse 'nng feature that this version gets wrong' '\bnng_(msg_insert|http_server_hold|aio_set_timeout|clock)\(' $deciding
unit=$(find tests/unit -name '*.c' 2>/dev/null)
refuse 'a sleep in a unit test: the design is missing an input' '\b(sleep|usleep|nanosleep|nng_msleep)\(' $(grep -v '^tests/unit/\(client\|io\|cli\)/' <<<"$unit")

for file in $sources $(find scripts tests cmake api raft lockd client-lib cli systemd examples docs \
	\( -name '*.sh' -o -name CMakeLists.txt -o -name '*.cmake' -o -name '*.proto' \) 2>/dev/null); do
	head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || { echo "$file: no SPDX line"; failed=1; }
done
for name in utils util helpers helper common misc; do
	for file in $(find api raft lockd client-lib cli examples tests -name "$name.[ch]" 2>/dev/null); do
		echo "$file: name the thing inside, not the drawer"
		failed=1
	done
done
exit $failed

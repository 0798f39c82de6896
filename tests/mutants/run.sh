#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Plants one bug at a time and demands that the simulator names it.
#
# usage: run.sh SOURCE WORK [JOBS] [PATCH…]
#
# The sources are copied to WORK once and built there; each patch (tests/mutants/*.patch) is applied, rebuilt, run and
# taken back. Its header says what must be found, as an extended regular expression for the name of the violation, and
# within which seeds:
#   # expect: I6 vote-twice
#   # seeds: 1..200
set -eu

source=$1
work=$2
jobs=${3:-2}
[ $# -ge 3 ] && shift 3 || shift 2
[ $# -gt 0 ] || set -- "$source"/tests/mutants/*.patch

# All of it anew: by their times, objects of the last mutant of a run before would pass for built from these sources.
rm -rf "${work:?}/tree" "${work:?}/build"
for path in cmake api raft lockd/CMakeLists.txt lockd/state lockd/node tests/sim; do
	mkdir -p "$work/tree/$(dirname "$path")"
	cp -Rp "$source/$path" "$work/tree/$path"
done
# Only what lockd-sim needs: no daemon, no client, no other tests.
cat >"$work/tree/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(lockd VERSION 0.1.0 LANGUAGES C CXX)
include(cmake/Options.cmake)
include(cmake/Dependencies.cmake)
add_subdirectory(api)
add_subdirectory(raft)
add_subdirectory(lockd/state)
add_subdirectory(lockd/node)
add_subdirectory(tests/sim)
CMAKE
cmake -S "$work/tree" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo >"$work/cmake.log"
cmake --build "$work/build" --target lockd-sim --parallel "$jobs" >"$work/build.log"

header() {
	sed -n "s/^# $2: //p" "$1" | head -n 1
}

failed=0
printf '%-34s %-30s %s\n' mutant 'caught by' seed
for patch in "$@"; do
	name=$(basename "$patch" .patch)
	expect=$(header "$patch" expect)
	seeds=$(header "$patch" seeds)
	(cd "$work/tree" && patch -s -p1 <"$patch")
	if cmake --build "$work/build" --target lockd-sim --parallel "$jobs" >"$work/build.log" 2>&1; then
		"$work/build/tests/sim/lockd-sim" --seeds "$seeds" --jobs "$jobs" >"$work/$name.log" 2>&1 || true
		found=$(sed -n 's/^VIOLATION \([^:]*\):.*/\1/p' "$work/$name.log" | head -n 1)
		seed=$(sed -n 's/^lockd-sim: seed \([0-9]*\) failed/\1/p' "$work/$name.log" | head -n 1)
	else
		found="does not build"
		seed=-
	fi
	(cd "$work/tree" && patch -s -R -p1 <"$patch")
	if [ -z "$found" ]; then
		found=SURVIVED
		seed="none of $seeds"
	fi
	if ! printf '%s\n' "$found" | grep -Eq "^($expect)( |$)"; then
		found="$found, expected $expect"
		failed=1
	fi
	printf '%-34s %-30s %s\n' "$name" "$found" "$seed"
done
exit $failed

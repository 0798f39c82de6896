#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Plants one bug at a time and demands that the simulator, or another program of the tests, names it.
#
# usage: run.sh SOURCE WORK [JOBS] [PATCH…]
#
# The sources are copied to WORK once and built there; each patch (tests/mutants/*.patch) is applied, rebuilt, run and
# taken back. Its header says what must be found, as an extended regular expression for the name of the violation, and
# where: within which seeds, in which scenarios, or both; each of them must find it. A bug of the data folder is looked for by
# lockd-fault instead, and named by the kind of fault that shows it; what no cluster meets by the unit test of its file, and
# named by the first test that fails. What is right and too dear is looked for by `bench/bench --check` among the counts of
# some workloads, and named by the counts; where no process may trace another one it is skipped.
#   # expect: I6 vote-twice
#   # seeds: 1..200
#   # scenario: q09_no_self_vote
#   # program: lockd-fault --script votes --policy lose
#   # unit: node-recover
#   # counts: one
set -eu

source=$(realpath "$1")
work=$(realpath "$2")
jobs=${3:-2}
[ $# -ge 3 ] && shift 3 || shift 2
[ $# -gt 0 ] || set -- "$source"/tests/mutants/*.patch

# All of it anew: by their times, objects of the last mutant of a run before would pass for built from these sources.
rm -rf "${work:?}/tree" "${work:?}/build"
for path in cmake api raft lockd client-lib cli bench/counts bench/bounds.json scripts/cluster.bash tests/sim tests/fault \
	tests/scenarios tests/unit/CMakeLists.txt tests/unit/io tests/unit/node; do
	mkdir -p "$work/tree/$(dirname "$path")"
	cp -Rp "$source/$path" "$work/tree/$path"
done
# Only what the programs of the mutants need.
cat >"$work/tree/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(lockd VERSION 0.1.0 LANGUAGES C CXX)
include(GNUInstallDirs)
include(cmake/Options.cmake)
include(cmake/Dependencies.cmake)
add_subdirectory(api)
add_subdirectory(raft)
add_subdirectory(lockd)
add_subdirectory(client-lib)
add_subdirectory(cli)
add_subdirectory(bench/counts)
add_subdirectory(tests/sim)
add_subdirectory(tests/fault)
add_subdirectory(tests/scenarios)
add_subdirectory(tests/unit)
CMAKE
cmake -S "$work/tree" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo >"$work/cmake.log"
cmake --build "$work/build" --target lockd-sim lockd-fault --parallel "$jobs" >"$work/build.log"

header() {
	sed -n "s/^# $2: //p" "$1" | head -n 1
}

# judge NAME FOUND WHERE NOWHERE: one line of the table
judge() {
	found=$2
	where=$3
	if [ -z "$found" ]; then
		found=SURVIVED
		where=$4
	fi
	if ! printf '%s\n' "$found" | grep -Eq "^($expect)( |$)"; then
		found="$found, expected $expect"
		failed=1
	fi
	printf '%-34s %-30s %s\n' "$1" "$found" "$where"
}

violation() {
	sed -n 's/^VIOLATION \([^:]*\):.*/\1/p' "$1" | head -n 1
}

failed_test() {
	sed -n 's/^\[  FAILED  \] \(test_[a-z_]*\)$/\1/p' "$1" | head -n 1
}

# The counts that are beyond their bounds, in one line.
broken_counts() {
	sed -n 's/^check: \([a-z_.]*\) is .*/\1/p' "$1" | tr '\n' ' '
}

failed=0
printf '%-34s %-30s %s\n' mutant 'caught by' 'seed or scenario'
for patch in "$@"; do
	patch=$(realpath "$patch")
	name=$(basename "$patch" .patch)
	expect=$(header "$patch" expect)
	seeds=$(header "$patch" seeds)
	scenarios=$(sed -n 's/^# scenario: //p' "$patch")
	program=$(header "$patch" program)
	unit=$(header "$patch" unit)
	counts=$(header "$patch" counts)
	target=${unit:+test-$unit}
	target=${target:-${program%% *}}
	target=${counts:+lockd lockctl counts-load}${target:-}
	(cd "$work/tree" && patch -s -p1 <"$patch")
	# shellcheck disable=SC2086 # words
	if cmake --build "$work/build" --target ${target:-lockd-sim} --parallel "$jobs" >"$work/build.log" 2>&1; then
		if [ -n "$seeds" ]; then
			"$work/build/tests/sim/lockd-sim" --seeds "$seeds" --jobs "$jobs" >"$work/$name.log" 2>&1 || true
			seed=$(sed -n 's/^lockd-sim: seed \([0-9]*\) failed/\1/p' "$work/$name.log" | head -n 1)
			judge "$name" "$(violation "$work/$name.log")" "$seed" "none of $seeds"
		fi
		if [ -n "$program" ]; then
			# shellcheck disable=SC2086 # words
			"$work/build/tests/fault/"$program >"$work/$name.log" 2>&1 || true
			judge "$name" "$(violation "$work/$name.log")" "${program#* }" "${program#* }"
		fi
		if [ -n "$unit" ]; then
			"$work/build/tests/unit/${unit%%-*}/$target" >"$work/$name.log" 2>&1 || true
			judge "$name" "$(failed_test "$work/$name.log")" "$unit" "$unit"
		fi
		if [ -n "$counts" ]; then
			status=0
			"$work/tree/bench/counts/check.py" --build "$work/build" --only "$counts" >"$work/$name.log" 2>&1 || status=$?
			if [ "$status" -eq 77 ]; then
				printf '%-34s %-30s %s\n' "$name" skipped "$counts"
			else
				judge "$name" "$(broken_counts "$work/$name.log")" "$counts" "$counts"
			fi
		fi
		for scenario in $scenarios; do
			"$work/build/tests/sim/lockd-sim" --scenario "$scenario" >"$work/$name.log" 2>&1 || true
			judge "$name" "$(violation "$work/$name.log")" "$scenario" "$scenario"
		done
	else
		judge "$name" "does not build" - -
	fi
	(cd "$work/tree" && patch -s -R -p1 <"$patch")
done
exit $failed

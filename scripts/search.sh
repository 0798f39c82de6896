#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The long search for bugs, behind the everyday tests: simulated clusters from many seeds on all cores, then
# the data folder on a disk that fails at every operation, then such clusters on such disks, then every mutant.
#   scripts/search.sh [FROM..TO]      default 1..10000
set -euo pipefail
cd "$(dirname "$0")/.."
seeds=${1:-1..10000}
[[ $seeds =~ ^[0-9]+\.\.[0-9]+$ ]] || {
	echo "usage: scripts/search.sh [FROM..TO]" >&2
	exit 64
}
scripts/packages.sh
cmake --preset release >/dev/null
cmake --build --preset release | tail -n 1
build/release/tests/sim/lockd-sim --seeds "$seeds" --jobs "$(nproc)" --progress
build/release/tests/fault/lockd-fault --all
build/release/tests/fault/lockd-sim-store --seeds "$seeds" --points 100 --jobs "$(nproc)" --progress
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tests/mutants/run.sh . "$work"

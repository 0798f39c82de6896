#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds with warnings as errors, and passes every everyday test: unit tests, lint, simulator,
# mutants, real processes. Then the release build: its symbols and unit tests.
#   scripts/test.sh [CTEST ARGUMENTS…]     e.g.  scripts/test.sh -R unit
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/packages.sh

# Quiet while it works; what fails is shown whole.
build() {
	local log
	log=$(mktemp)
	printf '\n== build (%s)\n' "$1"
	{ cmake --preset "$1" && cmake --build --preset "$1"; } >"$log" 2>&1 || {
		cat "$log"
		rm -f "$log"
		exit 1
	}
	rm -f "$log"
}
build dev
build release

printf '\n== tests\n'
ctest --test-dir build/dev --output-on-failure -j "$(nproc)" "$@"
printf '\n== tests of the release build: symbols and unit tests\n'
ctest --test-dir build/release --output-on-failure -j "$(nproc)" --progress -R '^(lint.symbols|unit\.)'

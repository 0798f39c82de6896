#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds with warnings as errors, and passes every everyday test: unit tests, lint, simulator,
# mutants, real processes. Then the release build: its symbols and unit tests.
#   scripts/test.sh [CTEST ARGUMENTS…]     e.g.  scripts/test.sh -R unit   or   scripts/test.sh -L sanitize
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/packages.sh

step() { printf '\n== %s\n' "$*"; }
step "build (dev: warnings are errors)"
cmake --preset dev >build-dev.log 2>&1 || { cat build-dev.log; exit 1; }
rm -f build-dev.log
cmake --build --preset dev | tail -n 1
step "build (release)"
cmake --preset release >/dev/null
cmake --build --preset release | tail -n 1
step "tests of the release build: symbols and unit tests"
ctest --test-dir build/release --output-on-failure -j "$(nproc)" -R '^(lint.symbols|unit\.)' "$@" | tail -n 12
step "tests"
ctest --test-dir build/dev --output-on-failure -j "$(nproc)" "$@"

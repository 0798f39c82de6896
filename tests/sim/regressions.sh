#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: regressions.sh LOCKD-SIM SEEDS
# Replays every seed that once met a bug.
set -u
failed=0
while read -r seed what; do
	case $seed in
	'' | '#'*) continue ;;
	esac
	if ! "$1" --seeds "$seed..$seed" >regression.log 2>&1; then
		printf 'seed %s fails again (%s)\n' "$seed" "$what"
		cat regression.log
		failed=1
	fi
done <"$2"
exit $failed

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The world of a seed does not depend on what stands behind its disks: both programs tell the same story, line by line.
#   same_world.sh LOCKD-SIM LOCKD-SIM-STORE SEED…
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
alone=$1
backed=$2
shift 2
for seed in "$@"; do
	"$alone" --seed "$seed" --trace | grep -E '^ *[0-9]+\.[0-9]{6} ' >"$work/alone"
	"$backed" --seed "$seed" --trace --points 200 | grep -E '^ *[0-9]+\.[0-9]{6} ' >"$work/backed"
	cmp "$work/alone" "$work/backed"
	echo "seed $seed: $(wc -l <"$work/alone") lines"
done

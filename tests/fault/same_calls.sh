#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The disk in memory sees what a real one sees: the same writes, syncs, truncations and removals, in the same order.
#   same_calls.sh SAME-CALLS
set -eu

if ! strace -qq -o /dev/null true 2>/dev/null; then
	echo "strace cannot trace here"
	exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/top"
strace -f -qq -y -o "$work/trace" -e trace=pwrite64,fsync,fdatasync,ftruncate,unlink,unlinkat "$1" "$work/top/data"
sed -n -e 's/^[0-9]* *pwrite64([0-9]*<[^>]*\/\([^>\/]*\)>, .*, \([0-9]*\), \([0-9]*\)) *= [0-9]*$/write \1 \3 \2/p' \
	-e 's/^[0-9]* *ftruncate([0-9]*<[^>]*\/\([^>\/]*\)>, \([0-9]*\)) *= 0$/truncate \1 \2/p' \
	-e 's/^[0-9]* *f[a-z]*sync([0-9]*<[^>]*\/\([^>\/]*\)>) *= 0$/sync \1/p' \
	-e 's/^[0-9]* *unlink[at]*(\(.*[",\/]\)\([^"\/]*\)".*) *= 0$/remove \2/p' "$work/trace" |
	sed 's/^sync top$/sync ./' >"$work/real"
"$1" /medium/calls/data >"$work/medium"
diff -u "$work/real" "$work/medium"
[ "$(wc -l <"$work/medium")" -gt 200 ]
echo "$(wc -l <"$work/medium") changes"

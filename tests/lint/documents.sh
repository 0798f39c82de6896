#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What README, ARCHITECTURE and the decisions say can be found: the C example is examples/lock.c, every function named `x()` is
# defined or declared in the tree, every file named with a path exists, every link leads somewhere, every promise (P1 …) is one of README's.
set -u
root=${1:?usage: documents.sh ROOT}
cd "$root" || exit 1
failed=0
complain() { echo "$*"; failed=1; }

if [ -e README.md ]; then
	awk '/^```c$/ {on = 1; next} /^```$/ {on = 0} on' README.md >"${TMPDIR:-/tmp}/readme.$$"
	sed '/SPDX-License-Identifier/d' examples/lock.c | sed '1{/^\/\*.*\*\/$/d}' | diff -u - "${TMPDIR:-/tmp}/readme.$$" ||
		complain "README.md: the example differs from examples/lock.c"
	rm -f "${TMPDIR:-/tmp}/readme.$$"
fi

sources=$(find api raft lockd client-lib cli tests examples \( -name '*.c' -o -name '*.h' \) 2>/dev/null)
documents=$(find README.md docs raft lockd tests -name '*.md' 2>/dev/null)
cat $sources >"${TMPDIR:-/tmp}/sources.$$"
for document in $documents; do
	# Programs in fences may call what is the reader's own.
	prose=$(awk '/^```c$/ {code = 1} !code {print} /^```$/ {code = 0}' "$document")
	for name in $(grep -oE '`?[a-z_][a-z0-9_]+\(\)' <<<"$prose" | tr -d '`()' | sort -u); do
		grep -qE "\b$name[ ]?\(" "${TMPDIR:-/tmp}/sources.$$" || complain "$document: no function $name()"
	done
	for path in $(grep -oP '(?<![\w/-])(api|raft|lockd|client-lib|cli|tests|docs|scripts|systemd|examples|cmake)/[A-Za-z0-9_./-]*[A-Za-z0-9_]' "$document" | sort -u); do
		[ -e "$path" ] || [ -e "$path.c" ] || compgen -G "*/include/$path" >/dev/null || compgen -G "$path*" >/dev/null || complain "$document: no file $path"
	done
	for promise in $(grep -oE '\bP[0-9]+\b' "$document" | sort -u); do
		grep -qF "**$promise**" README.md 2>/dev/null || complain "$document: README.md has no promise $promise"
	done
	for link in $(grep -oE '\]\([^)#]+\)' "$document" | sed 's/^](//; s/)$//' | grep -v '^http'); do
		[ -e "$(dirname "$document")/$link" ] || complain "$document: the link to $link leads nowhere"
	done
done
rm -f "${TMPDIR:-/tmp}/sources.$$"
exit $failed

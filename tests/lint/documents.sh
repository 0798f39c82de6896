#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What README, ARCHITECTURE and the decisions say can be found: the C example is examples/lock.c, every function named `x()` is
# defined or declared in the tree, and in the file it is ascribed to (`a.c`: `x()`), every file named with a path exists, every link leads somewhere,
# every promise (P1 …) is one of README's, every test, mutant and scenario named exists, and ANSWERS leaves no scenario out.
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
	for link in $(grep -oE '\]\([^)]+\)' "$document" | sed 's/^](//; s/)$//; s/#.*//' | grep -v '^http'); do
		[ -e "$(dirname "$document")/$link" ] || complain "$document: the link to $link leads nowhere"
	done
	while read -r path name; do
		grep -qE "\b$name\(" "$path" 2>/dev/null || complain "$document: $path has no $name()"
	done < <(grep -oP '`[a-z][\w/-]*\.[ch]`: (`\w+\(\)`(, )?)+' "$document" | tr -d '`(),' | awk '{for (i = 2; i <= NF; i++) print substr($1, 1, length($1) - 1), $i}')
	for name in $(grep -oE '\btest_[a-z]+(_[a-z]+)*__[a-z0-9_]+' "$document" | sort -u); do
		grep -qE "\b$name\(" "${TMPDIR:-/tmp}/sources.$$" || complain "$document: no test $name"
	done
	for name in $(grep -oP '\bmutants? \K[a-z]+(-[a-z]+)+(( and |, )[a-z]+(-[a-z]+)+)*' "$document" | sed 's/ and /\n/g; s/, /\n/g' | sort -u); do
		[ -e "tests/mutants/$name.patch" ] || complain "$document: no mutant $name"
	done
	# golden/ holds the text of each scenario, no more and no less (scenario.golden).
	for name in $(grep -oE '\bq[0-9]{2}[a-z]?_[a-z0-9_]+' "$document" | sort -u); do
		[ -e "tests/scenarios/golden/$name.txt" ] || complain "$document: no scenario $name"
	done
done
if [ -e docs/ANSWERS.md ]; then
	for text in tests/scenarios/golden/*.txt; do
		grep -qF -- "--scenario $(basename "$text" .txt)" docs/ANSWERS.md || complain "docs/ANSWERS.md: leaves $(basename "$text" .txt) out"
	done
fi
rm -f "${TMPDIR:-/tmp}/sources.$$"
exit $failed

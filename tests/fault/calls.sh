#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Whatever the store asks of the world reaches the medium, or has nothing to do with files.
#   calls.sh LIST STORE API NODE (calls.list and static libraries)
set -u
list=${1:?usage: calls.sh LIST STORE API NODE}
shift
store=$1
harmless='mem(cpy|move|set|cmp|chr)|str(n?len|n?cmp|c?spn|r?chr|str|n?dup|tou?ll?|error(_r)?|n?cat)|[vas]*n?printf|__.*printf_chk
__mem(cpy|move|set)_chk|__errno_location|__assert_fail|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|abort|free|[cm]alloc|realloc|getpid
time|clock_gettime|qsort|__isoc(99|23)_.*|sqlite3_.*|XXH.*'
harmless=$(tr '\n' '|' <<<"$harmless" | sed 's/|$//')

defined() { nm --defined-only "$@" 2>/dev/null | awk 'NF == 3 {print $3}' | sort -u; }
# A twin is a folder that `lockd check` makes elsewhere; nothing is stored there.
extra=$(nm -uA "$store" | grep -vE ':(twin|overlay)\.c\.o:' | awk '$(NF - 1) == "U" {print $NF}' | sort -u | comm -23 - <(defined "$@") |
	grep -vxFf <(grep -v '^#' "$list") | grep -vxE "$harmless")
if [ -n "$extra" ]; then
	echo "$store asks for what tests/fault/calls.c does not know:" $extra
	exit 1
fi

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every header compiles alone, and twice in a row; the public ones as C++ too.
set -u
root=${1:?usage: headers.sh ROOT BUILD CC CXX} build=$2 cc=$3 cxx=$4
cd "$root" || exit 1
failed=0 checked=0
flags="-fsyntax-only -Wall -Wextra -Werror -I. -Iapi/include -Iraft/include -Iclient-lib/include -I$build/api"

for header in $(find api raft lockd client-lib cli tests -name '*.h' | sort); do
	private=
	case $header in
	tests/unit/* | tests/sim/*) private="-I$(dirname "$header") -include setjmp.h -include stdarg.h -include stddef.h -include stdint.h -include cmocka.h" ;;
	esac
	checked=$((checked + 1))
	printf '#include "%s"\n#include "%s"\n' "$header" "$header" |
		$cc -std=gnu11 $flags $private -I"$(dirname "$header")" -x c - || { echo "$header: does not compile alone"; failed=1; }
done
for header in client-lib/include/lockd/*.h api/include/lockd/*.h; do
	[ -e "$header" ] || continue
	printf '#include "%s"\nint main() { return 0; }\n' "$header" |
		$cxx -std=c++17 $flags -x c++ - || { echo "$header: does not compile as C++"; failed=1; }
done
[ $checked -gt 0 ] || { echo "no headers found"; failed=1; }
echo "$checked headers"
exit $failed

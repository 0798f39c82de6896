#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Shows that each rule can fail: plants one offence at a time in a small tree and expects the rule to name it.
set -u
lint=${1:?usage: planted.sh LINT_FOLDER CC CXX} cc=$2 cxx=$3
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failed=0 planted=0

fresh() {
	rm -rf "$tree"
	mkdir -p "$tree"/{api/include/lockd,raft/src,lockd/state,lockd/node,lockd/io,client-lib/include/lockd,cli,tests/unit/raft,build/api}
	printf '/* SPDX-License-Identifier: Apache-2.0 */\n#include <string.h>\n' | tee "$tree"/{api,raft/src,lockd/state,lockd/node,cli,tests/unit/raft}/a.c >/dev/null
	mkdir -p "$tree/docs"
	printf 'See `a.c` in api/a.c.\n' >"$tree/docs/A.md"
	printf '/* SPDX-License-Identifier: Apache-2.0 */\n#ifndef A_H\n#define A_H\n#endif\n' | tee "$tree"/{api,raft/src,lockd/node}/a.h >"$tree/client-lib/include/lockd/a.h"
}
# expect RULE FILE LINE [ARGUMENTS…]: the rule passes without the line and fails with it
expect() {
	local rule=$1 file=$2 line=$3
	shift 3
	fresh
	"$lint/$rule" "$tree" "$@" >"$tree/build/out" 2>&1 || { echo "$rule fails on the clean tree:"; cat "$tree/build/out"; failed=1; }
	printf '%s\n' "$line" >>"$tree/$file"
	planted=$((planted + 1))
	if "$lint/$rule" "$tree" "$@" >"$tree/build/out" 2>&1; then
		echo "$rule accepts in $file: $line"
		failed=1
	fi
}
expect includes.sh raft/src/a.c '#include <stdio.h>'
expect includes.sh raft/src/a.c '#include "api/frame.h"'
expect includes.sh lockd/state/a.c '#include <raft/raft.h>'
expect includes.sh lockd/node/a.c '#include <nng/nng.h>'
expect includes.sh lockd/node/a.c '#include "lockd/io/store.h"'
expect includes.sh api/a.c '#include "lockd/state/state.h"'
expect includes.sh cli/a.c '#include "api/client.pb-c.h"'
expect leftovers.sh raft/src/a.c '/* TODO: finish */'
expect leftovers.sh raft/src/a.c '// assert(x);'
expect leftovers.sh lockd/node/a.c 'void f(int x) { assert(x++); }'
expect leftovers.sh lockd/node/a.c '#if 0'
expect leftovers.sh cli/a.c 'int g(const char *s) { return atoi(s); }'
expect leftovers.sh lockd/state/a.c 'void h(void) { clock_gettime(0, 0); }'
expect leftovers.sh tests/unit/raft/a.c 'void i(void) { usleep(5); }'
expect headers.sh api/a.h 'struct b { uint32_t c; };' "$tree/build" "$cc" "$cxx"
expect headers.sh client-lib/include/lockd/a.h 'static inline int class(void) { return 0; }' "$tree/build" "$cc" "$cxx"
expect documents.sh docs/A.md 'It begins in `frobnicate()`.'
expect documents.sh docs/A.md 'It stands in lockd/node/frobnicate.c.'
expect documents.sh docs/A.md '[here](nowhere.md)'
expect documents.sh docs/A.md 'This breaks P99.'
expect documents.sh docs/A.md '`raft/a.c`: `api_version()`'
expect documents.sh docs/A.md 'See `test_lock__is_frobnicated`.'
expect documents.sh docs/A.md 'The mutant frobnicated-lock shows it.'
expect documents.sh docs/A.md 'Run q99_frobnicate.'
echo "$planted offences planted"
exit $failed

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Include direction = dependency direction = folder order. For each room: what its files may include
# between quotes or as <lockd/…>, <raft/…>, and which system headers are forbidden.
set -u
root=${1:?usage: includes.sh ROOT}
cd "$root" || exit 1
failed=0

# check FOLDER ALLOWED_PROJECT FORBIDDEN_SYSTEM   (extended regular expressions)
check() {
	[ -d "$1" ] || return 0
	grep -rE --include='*.c' --include='*.h' '^[[:space:]]*#[[:space:]]*include' "$1" |
		awk -v allowed="^[\"<]($2)" -v forbidden="${3:+^<($3)}" '
			{
				file = $0; sub(/:.*/, "", file)
				what = $0; sub(/^[^"<]*/, "", what); sub(/[">][^">]*$/, "", what)
				ours = what ~ /^".*\// || what ~ /^<(lockd|raft)\//
				if (ours ? what !~ allowed : forbidden != "" && what ~ forbidden) {
					print file ": must not include " what
					bad = 1
				}
			}
			END { exit bad }' || failed=1
}

io='nng|sqlite3|pthread|unistd|fcntl|sys/(socket|stat|file|epoll|time|random)|systemd|time\.h'
check api        'api/|lockd/status\.h'                                       "$io|stdio"
check raft       'raft/'                                                      "$io|stdio|stdlib|bsd|protobuf-c|xxhash|assert"
check lockd/state 'api/|lockd/state/|lockd/status\.h'                         "$io"
check lockd/node 'api/|raft/|lockd/state/|lockd/node/|lockd/status\.h'        "$io"
check lockd/io   'api/|raft/raft\.h|lockd/(state|node|io)/|lockd/status\.h'   ''
check client-lib 'api/|client-lib/|lockd/(lockd|admin|fence|status)\.h'             'sqlite3'
check cli        'cli/|lockd/(lockd|admin|fence|status)\.h'                         'nng|sqlite3|protobuf-c'
check examples   'lockd/(lockd|admin|fence|status)\.h'                              'nng|sqlite3|protobuf-c'

# main and config set up what lockd/io provides; they touch neither transport nor storage themselves.
for file in lockd/*.c lockd/*.h; do
	[ -e "$file" ] || continue
	if grep -HnE '#[[:space:]]*include[[:space:]]*<(nng|sqlite3)' "$file"; then
		echo "$file: must not include nng or SQLite directly"
		failed=1
	fi
done
exit $failed

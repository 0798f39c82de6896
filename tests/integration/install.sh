#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# install.sh BUILD SOURCE: the installed files serve someone who has only them: pkg-config, a C and a C++ program against
# the shared and the static library, man pages, unit.
set -u
build=$1 source=$2
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

DESTDIR=$root cmake --install "$build" --prefix /usr >"$root/log" 2>&1 || fail "$(tail -n 5 "$root/log")"
pc=$(find "$root" -name lockd.pc) || fail "no lockd.pc"
export PKG_CONFIG_PATH=${pc%/*}
lib=$(dirname "$(find "$root" -name 'liblockd.so')")

san=$(grep -oP '^LOCKD_SANITIZE:STRING=\K.+' "$build/CMakeCache.txt" || true)
flags="${san:+-fsanitize=$san}"
cc $flags -Wall -Werror $(pkg-config --cflags lockd) "$source/examples/lock.c" -o "$root/lock-shared" $(pkg-config --libs lockd) || fail "shared"
cc $flags -Wall -Werror $(pkg-config --cflags lockd) "$source/examples/lock.c" -o "$root/lock-static" "$lib/liblockd.a" \
	$(pkg-config --static --libs-only-l lockd | sed 's/-llockd\b//g') || fail "static"
printf '#include <lockd/lockd.h>\n#include <lockd/fence.h>\nint main() { lockd_close(nullptr); return lockd_status_outcome(LOCKD_OK); }\n' >"$root/a.cc"
c++ $flags -Wall -Werror $(pkg-config --cflags lockd) "$root/a.cc" -o "$root/a" $(pkg-config --libs lockd) || fail "C++"
LD_LIBRARY_PATH=$lib "$root/a" || fail "the C++ program ends with $?"

# Nothing but the public names leaves the shared library.
foreign=$(nm -D --defined-only "$lib/liblockd.so" | awk '{print $3}' | grep -v '^lockd_[a-z]' | grep -vE '^(_init|_fini|LOCKD_)' )
[ -z "$foreign" ] || fail "liblockd.so also exports: $foreign"
for page in lockctl.1 lockd.8 lockd.conf.5 lockd.3; do
	[ -n "$(find "$root" -name "$page*")" ] || fail "no man page $page"
done
[ -n "$(find "$root" -name lockd.service)" ] || fail "no unit"
"$root/usr/bin/lockctl" --version >/dev/null 2>&1 || LD_LIBRARY_PATH=$lib "$root/usr/bin/lockctl" --version >/dev/null || fail "lockctl does not start"
[ -x "$root/usr/sbin/lockd" ] || [ -x "$root/usr/bin/lockd" ] || fail "no lockd"
echo ok

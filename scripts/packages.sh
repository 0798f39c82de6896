#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what building, running and testing lockd needs on Debian 12. Does nothing when all of it is there.
set -euo pipefail

packages=(
	cmake ninja-build gcc g++ libc6-dev pkg-config git patch
	libnng-dev libsqlite3-dev libprotobuf-c-dev protobuf-c-compiler libxxhash-dev libbsd-dev uthash-dev libinih-dev
	libsmartcols-dev libjansson-dev libmicrohttpd-dev libsystemd-dev libcmocka-dev scdoc man-db jq ccache iproute2 procps util-linux
	strace e2fsprogs valgrind python3
)

missing=()
for package in "${packages[@]}"; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
	as_root=()
elif command -v sudo >/dev/null; then
	as_root=(sudo)
else
	echo "$0: these packages are missing, and installing them needs root or sudo: ${missing[*]}" >&2
	exit 77
fi
echo "installing: ${missing[*]}"
"${as_root[@]}" apt-get update -qq || {
	echo "$0: apt-get update failed; it needs root (or sudo) and a reachable Debian mirror" >&2
	exit 77
}
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || {
	echo "$0: apt-get install failed for: ${missing[*]}" >&2
	exit 77
}

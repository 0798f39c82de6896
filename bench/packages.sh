#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the services that lockd is measured against, and what their load generators and the picture need, on
# Debian 12. Does nothing when all of it is there. Run scripts/packages.sh for what lockd itself needs.
set -euo pipefail

packages=(
	etcd-server etcd-client golang-go golang-etcd-server-dev
	zookeeper libzookeeper-mt-dev
	redis-server libhiredis-dev
	gnuplot-nox python3
)
# Units that Debian enables and starts on installation. The benchmark starts servers of its own; one that runs besides
# would take part in every figure.
units=(etcd.service redis-server.service)

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

# Packages ask this program before they start anything, under systemd and without. One that is there already is the
# administrator's decision and stays.
policy=/usr/sbin/policy-rc.d
allow_start() { "${as_root[@]}" rm -f "$policy"; }
if [ ! -e "$policy" ]; then
	trap allow_start EXIT
	printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
	"${as_root[@]}" chmod 755 "$policy"
fi

# Who had a unit enabled before wants it; only what this installation brings is disabled again.
fresh=()
for unit in "${units[@]}"; do
	[ -e "/lib/systemd/system/$unit" ] || fresh+=("$unit")
done

echo "installing: ${missing[*]}"
"${as_root[@]}" apt-get update -qq || {
	echo "$0: apt-get update failed; it needs root (or sudo) and a reachable Debian mirror" >&2
	exit 77
}
quiet=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends)
"${as_root[@]}" "${quiet[@]}" "${missing[@]}" >/dev/null || {
	echo "$0: apt-get install failed for: ${missing[*]}" >&2
	exit 77
}
# Where there is no systemd, nothing starts them.
command -v systemctl >/dev/null || exit 0
for unit in "${fresh[@]}"; do
	[ ! -e "/lib/systemd/system/$unit" ] || "${as_root[@]}" systemctl --quiet disable --now "$unit" 2>/dev/null ||
		"${as_root[@]}" systemctl --quiet disable "$unit"
done

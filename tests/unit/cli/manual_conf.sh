#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lockd.conf(5) has every key of `lockd --help`, with the same range and default, and no other.
set -u
lockd=${1:?usage: manual_conf.sh LOCKD PAGE}
page=${2:?usage: manual_conf.sh LOCKD PAGE}
failed=0

# "KEY|RANGE OR DEFAULT", one line per key.
keys=$("$lockd" --help | awk '/^  --/ { key = substr($1, 3); next } key && /default/ { sub(/^ +/, ""); print key "|" $0; key = "" }')
[ -n "$keys" ] || { echo "lockd --help lists no keys"; exit 1; }

while IFS='|' read -r key range; do
	case $range in
	"default: "*) want="*$key* (default" ;;
	*) want="*$key* ($range)" ;;
	esac
	grep -qF -- "$want" "$page" || { echo "the page lacks: $want"; failed=1; }
done <<<"$keys"

while read -r key; do
	grep -q "^$key|" <<<"$keys" || { echo "lockd has no key $key"; failed=1; }
done < <(grep -oE '^\*[a-z-]+\* \(' "$page" | tr -d '*( ')
exit $failed

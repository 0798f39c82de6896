#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The texts that scenarios print.
#
# usage: golden.sh check LOCKD-SIM NAME     compare one with what it prints, byte for byte
#        golden.sh names LOCKD-SIM          each scenario has a text, each text a scenario
#        golden.sh write LOCKD-SIM [NAME…]  write them anew, after reading the difference
set -eu
folder=$(dirname "$0")/golden

names() {
	"$1" --scenario list | cut -d ' ' -f 1
}

case ${1-} in
check)
	out=$(mktemp)
	trap 'rm -f "$out"' EXIT
	"$2" --scenario "$3" >"$out" || {
		cat "$out"
		exit 1
	}
	diff -u "$folder/$3.txt" "$out"
	;;
names)
	texts=$(cd "$folder" && ls -- *.txt | sed 's/\.txt$//' | sort)
	[ "$(names "$2" | sort)" = "$texts" ] || {
		echo "scenarios and golden texts differ:"
		names "$2" | sort
		echo "--"
		echo "$texts"
		exit 1
	}
	;;
write)
	program=$2
	shift 2
	[ $# -gt 0 ] || set -- $(names "$program")
	for name in "$@"; do
		"$program" --scenario "$name" >"$folder/$name.new"
		mv "$folder/$name.new" "$folder/$name.txt"
	done
	;;
*)
	sed -n 's/^# \{0,1\}//p' "$0" | sed 1d >&2
	exit 2
	;;
esac

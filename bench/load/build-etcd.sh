#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds load-etcd from the sources of etcd's client that Debian packages, without a network: bench/load/build-etcd.sh OUTPUT
set -euo pipefail

if [[ $# -ne 1 ]]; then
	echo "usage: ${0##*/} OUTPUT" >&2
	exit 64
fi

gopath=/usr/share/gocode
if [[ ! -d $gopath/src/go.etcd.io/etcd/clientv3/concurrency ]]; then
	echo "${0##*/}: etcd's client is not under $gopath; install golang-etcd-server-dev" >&2
	exit 1
fi

# With modules off Go takes packages from GOPATH alone, so the build is the same on every machine with the same Debian packages.
GO111MODULE=off GOPATH=$gopath GOFLAGS= go build -o "$1" "$(dirname "$(readlink -f "$0")")"/etcd*.go

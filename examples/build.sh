#!/bin/sh
# build.sh SYSTEM VERSION [OUTPUT]: build a real store, unmodified, from the Go module proxy, as one
# static Linux binary for `raftcheck test --binary`. SYSTEM is etcd, raftexample, nats, hashicorp.
#
#   examples/build.sh etcd 3.5.0          writes bin/etcd-3.5.0
#   examples/build.sh nats 2.10.22        writes bin/nats-2.10.22
#   examples/build.sh raftexample 3.5.11  writes bin/raftexample-3.5.11
#   examples/build.sh hashicorp 1.7.3     writes bin/hashicorp-1.7.3: our store on their library
#
# `go version -m FILE` names the modules that are in it, with their checksums.
set -eu

usage() {
	sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
	exit 254
}

[ $# -ge 2 ] && [ $# -le 3 ] || usage
system=$1
version=${2#v}
here=$(cd "$(dirname "$0")" && pwd)
out=${3:-$here/../bin/$system-$version}
mkdir -p "$(dirname "$out")"
out=$(cd "$(dirname "$out")" && pwd)/$(basename "$out")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

export CGO_ENABLED=0 GOOS=linux GOWORK=off GOFLAGS=-mod=mod

# module makes an empty module that requires exactly one version of one module.
module() {
	cd "$work"
	printf 'module build\n\ngo 1.26\n\nrequire %s v%s\n' "$1" "$version" >go.mod
}

case $system in
etcd)
	# `go install` refuses a module with replace lines, so etcd's own main is called from one of
	# ours, as etcd's main.go does.
	module go.etcd.io/etcd/server/v3
	cat >main.go <<'GO'
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
GO
	package=.
	;;
raftexample)
	module go.etcd.io/etcd/v3
	package=go.etcd.io/etcd/v3/contrib/raftexample
	;;
nats)
	module github.com/nats-io/nats-server/v2
	package=github.com/nats-io/nats-server/v2
	;;
hashicorp)
	cp "$here"/hashicorp/*.go "$here/hashicorp/go.mod" "$here/hashicorp/go.sum" "$work"
	cd "$work"
	go mod edit -require="github.com/hashicorp/raft@v$version"
	package=.
	;;
*) usage ;;
esac

go build -trimpath -ldflags='-s -w' -o "$out" "$package"
echo "$out"

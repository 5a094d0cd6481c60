#!/bin/sh
# record.sh NAME: run data/NAME.sh under nlrec in a fresh namespace, write data/NAME.nl. As root, from
# the source folder tests/unit/mirror; BUILD names the build folder (default ../../../build). The
# script may leave daemons behind that must live until the dump: their pid files in $DIR.
set -e
name=$1 ns=mirror-rec-$$
build=${BUILD:-../../../build}
DIR=$(mktemp -d "/tmp/$ns-XXXXXX")
export DIR
clean() {
	for f in "$DIR"/*.pid; do [ ! -e "$f" ] || kill "$(cat "$f")" 2>/dev/null || true; done
	for n in "$ns" "$ns-peer"; do
		ip netns del "$n" 2>/dev/null || rm -f "/run/netns/$n"
		rm -rf "/run/frr/$n"
	done
	rm -rf "$DIR"
}
trap clean EXIT
ip netns add "$ns"
ip netns exec "$ns" "$build/tests/unit/mirror/nlrec" "data/$name.nl" sh -e "data/$name.sh"
ls -l "data/$name.nl"

#!/bin/sh
# record.sh NAME: run data/NAME.sh under nlrec in a fresh namespace, write data/NAME.nl. As root, from
# the source folder tests/unit/mirror; BUILD names the build folder (default ../../../build).
set -e
name=$1 ns=mirror-rec-$$
build=${BUILD:-../../../build}
ip netns add "$ns"
trap 'ip netns pids "$ns" | xargs -r kill 2>/dev/null; ip netns del "$ns"' EXIT
ip netns exec "$ns" "$build/tests/unit/mirror/nlrec" "data/$name.nl" sh -e "data/$name.sh"
ls -l "data/$name.nl"

#!/bin/bash
# One libFuzzer target for a bounded time: its seeds, then new directions from them, in a directory of its own
# that goes away. The topologies are seeds of the intent, too.
# usage: run.sh TARGET CORPUS SECONDS [libFuzzer option...]
set -u
target=$(realpath "$1") corpus=$2 seconds=$3
shift 3
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d -t audums-fuzz-XXXXXX)
trap 'rm -rf "$work"' EXIT
seeds=()
[ -d "$corpus" ] && seeds+=("$corpus")
[ "${corpus##*/}" = intent ] && seeds+=("$root/topology")
cd "$work" || exit 1
mkdir new
export ASAN_OPTIONS=abort_on_error=0:detect_leaks=1:${ASAN_OPTIONS:-} UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
# a find must come again, so the seed is fixed; long runs give another -seed
"$target" -seed=1 -max_total_time="$seconds" -timeout=20 -rss_limit_mb=3000 -print_final_stats=1 "$@" \
	${FUZZ_KEEP:+"-artifact_prefix=$FUZZ_KEEP/"} new "${seeds[@]}" >log 2>&1
status=$?
# a few lines when all is well, all of it when not
if [ $status -eq 0 ]; then grep -E '^stat::number_of_executed_units|DONE' log; else
	cat log
	for found in crash-* leak-* timeout-* oom-*; do
		[ -e "$found" ] && echo "$found:" && base64 "$found"
	done
fi
# libFuzzer's own status for a find is 77, which meson takes for "skipped"
[ $status -eq 0 ] || exit 1

#!/bin/bash
# Runs every libFuzzer target for a while in a build that also counts lines, and prints what was executed and how
# much of the parsers that saw of: total executions, and a line for each file. The inputs that were found are kept
# and begin the next run. Needs clang, llvm-cov and llvm-profdata.
#
# usage: report.sh [--seconds N] [--build DIR] [--corpus DIR] [--blind] [TARGET...]
#   --seconds N    each target's time (default 30)
#   --build DIR    the build (default build-fuzz-cov, made when missing)
#   --corpus DIR   where found inputs are kept (default DIR of the build, /found)
#   --blind        without the mutators that know frames and netlink, and without seeds
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
seconds=30 build=$root/build-fuzz-cov found= blind=no targets=()
while [ $# -gt 0 ]; do
	case $1 in
	--seconds) seconds=$2; shift ;;
	--build) build=$(realpath -m "$2"); shift ;;
	--corpus) found=$(realpath -m "$2"); shift ;;
	--blind) blind=yes ;;
	-*) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0" >&2; exit 64 ;;
	*) targets+=("$1") ;;
	esac
	shift
done
found=${found:-$build/found}
for tool in clang llvm-cov llvm-profdata; do
	command -v $tool >/dev/null || { echo "report.sh: $tool is missing (packages clang, llvm)" >&2; exit 1; }
done
if [ ! -f "$build/build.ninja" ]; then
	CC=clang meson setup "$build" "$root" -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false \
		-Dc_args='-fprofile-instr-generate -fcoverage-mapping' \
		-Dc_link_args='-fprofile-instr-generate' >/dev/null
fi
ninja -C "$build" fuzz-targets >/dev/null
[ ${#targets[@]} -gt 0 ] || targets=($(cd "$root/tests/fuzz" && ls fuzz_*.c | sed 's/^fuzz_//; s/\.c$//'))

# What each target is for: files, of which the lines are counted.
parsers() {
	case $1 in
	graph) echo dataplane/nodes ;;
	packet) echo dataplane/port/packet.c dataplane/port/offload.c ;;
	coalesce) echo dataplane/port/coalesce.c ;;
	offload) echo dataplane/port/offload.c ;;
	mirror) echo dataplane/mirror ;;
	wirelink) echo dataplane/port/wirelink.c ;;
	handover) echo dataplane/port/handover.c dataplane/holder/requests.c ;;
	api) echo dataplane/api ;;
	inventory) echo dataplane/port/inventory.c dataplane/port/port_spec.c ;;
	intent) echo topology proto/lib/pbyaml.c proto/lib/pbdecode.c proto/lib/rules.c ;;
	json) echo proto/lib/pbjson.c proto/lib/pbdecode.c ;;
	frame) echo proto/lib/frame.c ;;
	rpc) echo controller/rpc/h2.c controller/rpc/frame.c controller/rpc/call.c controller/rpc/status.c \
		controller/rpc/server_call.c controller/rpc/client_call.c ;;
	agent) echo controller/agent/frr/readback.c controller/agent/kernel/model.c controller/agent/desired.c \
		controller/agent/check.c controller/agent/inventory.c ;;
	esac
}

export ASAN_OPTIONS=abort_on_error=0:${ASAN_OPTIONS:-} UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
total=0 failed=0
for t in "${targets[@]}"; do
	exe=$build/tests/fuzz/fuzz_$t
	profile=$build/fuzz-$t.profraw
	rm -f "$profile"
	keep=$found/$t
	[ $blind = no ] || { keep=$(mktemp -d); export FUZZ_BLIND=1; }
	mkdir -p "$keep" "$found"
	seeds=()
	if [ $blind = no ]; then
		[ -d "$root/tests/fuzz/corpus/$t" ] && seeds+=("$root/tests/fuzz/corpus/$t")
		[ "$t" = intent ] && seeds+=("$root/topology")
	fi
	max=8192
	case $t in graph | agent) max=16384 ;; mirror) max=24576 ;; esac
	log=$build/fuzz-$t.log
	if ! (cd "$found" && LLVM_PROFILE_FILE=$profile "$exe" -max_total_time="$seconds" -timeout=20 \
		-rss_limit_mb=3000 -print_final_stats=1 -max_len=$max "$keep" ${seeds[@]+"${seeds[@]}"}) >"$log" 2>&1; then
		echo "fuzz_$t FAILED, see $log"
		failed=1
		[ $blind = no ] || rm -rf "$keep"
		continue
	fi
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	total=$((total + runs))
	echo "fuzz_$t: $runs executions, $(sed -n 's/.*cov: \([0-9]*\).*/\1/p' "$log" | tail -1) edges"
	llvm-profdata merge -sparse "$profile" -o "$build/fuzz-$t.profdata"
	llvm-cov report "$exe" -instr-profile="$build/fuzz-$t.profdata" 2>/dev/null |
		awk -v want="$(parsers "$t")" 'BEGIN { n = split(want, w, " ") }
			{ sub(/^\.\.\//, "", $1) }
			NF > 9 && $1 ~ /\.c$/ { for (i = 1; i <= n; i++) if (index($1, w[i]) == 1) {
				printf "    %-38s lines %5d of %5d  %s\n", $1, $8 - $9, $8, $10
				all += $8; seen += $8 - $9; break } }
			END { if (all) printf "    %-38s lines %5d of %5d  %.1f%%\n", "all of them", seen, all,
				100 * seen / all }'
	[ $blind = no ] || rm -rf "$keep"
done
echo "total: $total executions"
exit $failed

#!/bin/bash
# Installs what is missing, builds, and runs all tests: unit, packet and fabric, then the same in a
# build with AddressSanitizer and UndefinedBehaviorSanitizer, then each libFuzzer target for some
# seconds. The last line is
#     N passed, N failed, N skipped
# and the exit status is 0 only when none failed.
#
# usage: test.sh [--fast] [--suite=NAME] [--help]
#   --fast         without the sanitised build and the fuzz targets
#   --suite=NAME   only unit, packet, fabric or fuzz
set -uo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

passed=0 failed=0 skipped=0

finish() {
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
	exit
}

# An error before any test could run counts as one that failed.
stop() {
	fail "$*"
	failed=$((failed + 1))
	finish
}

# Lines "STATUS NAME" of meson's JSON log.
results() {
	python3 - "$1" <<'PY'
import json, sys
names = {'OK': 'ok', 'EXPECTEDFAIL': 'ok', 'SKIP': 'skip'}
for line in open(sys.argv[1]):
    t = json.loads(line)
    print(names.get(t['result'], 'fail'), t['name'].replace(' ', ''), f"{t['duration']:.1f}", t['result'])
PY
}

# What a test that failed has said.
output_of() {
	python3 - "$1" "$2" <<'PY'
import json, sys
for line in open(sys.argv[1]):
    t = json.loads(line)
    if t['name'].replace(' ', '') == sys.argv[2]:
        text = (t.get('stdout') or '') + (t.get('stderr') or '')
        for l in text.splitlines()[-60:]:
            print('    ' + l)
PY
}

# run_suite BUILD SUITE: run one suite and count.
run_suite() {
	local dir=$root/$1 suite=$2 log=$root/$1/meson-logs/testlog-$2.json status name seconds word
	local jobs=2 n=0
	# one test of the fabric at a time: it measures time (what is built beside it yields to it)
	[ "$suite" = fabric ] && jobs=1
	step "$1: $suite tests"
	rm -f "$log"
	(cd "$dir" && meson test --no-rebuild --suite "$suite" --num-processes $jobs \
		--logbase "testlog-$suite" --timeout-multiplier "${TIMEOUT_MULTIPLIER:-1}") \
		>"$dir/meson-logs/run-$suite.log" 2>&1
	if [ ! -f "$log" ]; then
		if grep -q 'No suitable tests defined' "$dir/meson-logs/run-$suite.log"; then
			return
		fi
		tail -20 "$dir/meson-logs/run-$suite.log" >&2
		fail "$1: the $suite tests could not be run"
		failed=$((failed + 1))
		return
	fi
	while read -r status name seconds word; do
		n=$((n + 1))
		case $status in
		ok) passed=$((passed + 1)) ;;
		skip)
			skipped=$((skipped + 1))
			echo "skipped: $1 $name" >&2
			;;
		*)
			failed=$((failed + 1))
			fail "failed: $1 $name ($word after $seconds s)"
			output_of "$log" "$name" >&2
			;;
		esac
	done < <(results "$log")
	[ $n -gt 0 ] || stop "$1: there is no $suite test"
}

# The next build, with what time the fabric tests leave: they wait more than they work. What goes
# wrong here goes wrong again, and is said, when the build is asked for.
beside=
build_beside() {
	set -m # a process group of its own, which can be ended as a whole
	(
		renice -n 19 $BASHPID
		JOBS=1 build "$@"
	) >/dev/null 2>&1 &
	beside=$!
	set +m
}
trap beside_end EXIT
beside_end() {
	[ -z "$beside" ] || kill -- "-$beside" 2>/dev/null
}
beside_wait() {
	[ -z "$beside" ] || wait "$beside"
	beside=
}

build_asan() { "$@" build-asan -Db_sanitize=address,undefined -Db_lundef=false; }
build_fuzz() {
	CC=clang TARGET=fuzz-targets "$@" build-fuzz -Dfuzz=true -Db_sanitize=address,undefined \
		-Db_lundef=false
}

fast=no fuzz=yes suites=(unit packet fabric)
for arg; do
	case $arg in
	--fast) fast=yes ;;
	--suite=unit | --suite=packet | --suite=fabric) suites=("${arg#--suite=}") fuzz=no ;;
	--suite=fuzz) suites=() ;;
	-h | --help) usage; exit 0 ;;
	*) fail "unknown option $arg"; usage >&2; exit 64 ;;
	esac
done

if [ $fast = yes ] && [ ${#suites[@]} -eq 0 ]; then
	fail "--fast leaves the fuzz targets out: there is nothing to run"
	exit 64
fi

need_machine 2000 || stop "the tests need more than this machine gives"
"$root/deploy/install-packages.sh" >&2 || stop "packages are missing"
cd "$root" || exit 1
if [ ${#suites[@]} -gt 0 ]; then
	step "building"
	build build || stop "no build, no tests"
fi
for suite in "${suites[@]}"; do
	[ $suite$fast = fabricno ] && build_asan build_beside
	run_suite build $suite
done
beside_wait
if [ $fast = no ] && [ ${#suites[@]} -gt 0 ]; then
	step "building with sanitizers"
	export ASAN_OPTIONS=abort_on_error=1:detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
	export TIMEOUT_MULTIPLIER=4
	if build_asan build; then
		for suite in "${suites[@]}"; do
			[ $suite$fuzz = fabricyes ] && build_fuzz build_beside
			run_suite build-asan $suite
		done
		beside_wait
	else
		failed=$((failed + 1))
	fi
fi
if [ $fast = no ] && [ $fuzz = yes ]; then
	step "building the fuzz targets"
	if ! command -v clang >/dev/null; then
		stop "clang is missing: the fuzz targets cannot be built (deploy/packages.txt)"
	fi
	export TIMEOUT_MULTIPLIER=4
	if build_fuzz build; then
		run_suite build-fuzz fuzz
	else
		failed=$((failed + 1))
	fi
fi
finish

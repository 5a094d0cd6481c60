#!/bin/bash
# What the fabric costs and how long its events take: builds, brings up a lab of its own with the
# four sites of topology/latvia.yaml, measures, takes it down. Medians and worst cases, beside the
# longest stall and the load of the machine; Linux's own bridge and VXLAN are measured in the same
# run. Nothing is asserted.
#
# usage: sudo run.sh [--runs N] [--quick] [--only SECTION,...] [--segments N] [--json] [--help]
#   --runs N      repetitions (10)
#   --quick       3 repetitions, 5 s instead of 20 s for CPU time
#   --only LIST   provision, idle, rtt, tcp, move, down, silent, kill, many
#   --segments N  how many segments "many" are (500)
#   --json        the last line of output is all figures as one JSON object
set -uo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/lib.sh"
here=$root/bench/fabric

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

lab=benchlab peer=benchpeer segments=500
arguments=()
while [ $# -gt 0 ]; do
	case $1 in
	--runs | --only) arguments+=("$1" "${2:?$1 needs a value}"); shift ;;
	--segments) segments=${2:?$1 needs a value}; shift ;;
	--quick) arguments+=(--runs 3 --idle 5) ;;
	--json) arguments+=(--json) ;;
	-h | --help) usage; exit 0 ;;
	*) fail "unknown option $1"; usage >&2; exit 64 ;;
	esac
	shift
done

need_machine 1500 || exit 1
build build -Dbuildtype=debugoptimized || exit 1

many=$(mktemp --suffix=.yaml)
down() {
	rm -f "$many"
	"$here/peer.sh" down $peer
	"$root/build/controller/ctl/audumsctl" lab down $lab >/dev/null
}
trap down EXIT
trap 'exit 130' INT TERM
"$here/segments.sh" "$segments" >"$many" || exit 1
"$here/peer.sh" up $peer || exit 1
"$root/build/bench/fabric/bench-fabric" --lab $lab --peer $peer --many "$many" \
	--topology "$root/topology/latvia.yaml" --tenant "$root/topology/demo-tenant.yaml" \
	"${arguments[@]}"

#!/bin/bash
# Installs what is missing, builds, brings up the lab of topology/latvia.yaml (four datacenters on
# this machine), provisions a tenant in all of them, tells a story of moves and failures, and shows
# what it measured. The lab stays up. Run it as often as you like, from any state.
#
# usage: sudo quickstart.sh [--json] [--down] [--help]
#   --json   the last line of output is the summary as one JSON object
#   --down   remove every trace of the lab (namespaces, devices, processes, files)
set -uo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

lab=latvia
topology=$root/topology/latvia.yaml
ctl=$root/build/controller/ctl/audumsctl
json=no down=no

for arg; do
	case $arg in
	--json) json=yes ;;
	--down) down=yes ;;
	-h | --help) usage; exit 0 ;;
	*) fail "unknown option $arg"; usage >&2; exit 64 ;;
	esac
done

prepare() {
	"$root/deploy/install-packages.sh" >&2 || return
	step "building (the first time takes some minutes)"
	build build -Dbuildtype=debugoptimized
}

if [ $down = yes ]; then
	[ "$(id -u)" = 0 ] || { fail "not root: removing namespaces needs it (sudo $0 --down)"; exit 1; }
	[ -x "$ctl" ] || prepare || exit 1
	"$ctl" lab down $lab >&2
	exit
fi

# four nodes of about 120 MB, and a compiler
need_machine 1500 || exit 1
prepare || exit 1

step "four datacenters: lab $lab"
"$ctl" lab down $lab >/dev/null || exit 1
"$ctl" lab up "$topology" --name $lab >&2 || exit 1

step "the story"
summary=$(mktemp)
trap 'rm -f "$summary"' EXIT
tenants=("$root/topology/demo-tenant.yaml" "$root/topology/second-tenant.yaml")
if [ $json = yes ]; then
	"$ctl" lab demo "${tenants[@]}" --lab $lab -o json >"$summary"
else
	"$ctl" lab demo "${tenants[@]}" --lab $lab
fi || {
	fail "the story ended early; the lab stays up to be looked at: $ctl lab status"
	exit 1
}

cat >&2 <<TEXT

${bold}The lab stays up. Next:${plain}
  alias audumsctl='sudo $ctl'
  audumsctl get all                        what is declared, and its state
  audumsctl lab status                     what runs
  audumsctl node show lvrtc1 fdb           where a node sends which MAC
  audumsctl trace lvrtc1 --port p1         one packet, step by step
  audumsctl lab exec lvrtc1 -- vtysh -N au-$lab-lvrtc1 -c 'show bgp l2vpn evpn summary'
  sudo $0 --down    removes every trace
TEXT
if [ $json = yes ]; then
	python3 -c 'import json, sys; print(json.dumps(json.load(open(sys.argv[1]))))' "$summary"
fi

#!/bin/bash
# What forwarding a frame costs, beside its peers in the same run: builds, then on one core, from
# net_pcap (infinite_rx) to net_null, measures for each case
#   testpmd   DPDK's `io` mode, which touches no frame: the floor
#   ovs       Debian's OVS-DPDK doing the same job: source MAC known, destination MAC, VXLAN
#   audums    the product's worker, graph, ports and tables
# TSC cycles of the forwarding thread's CPU time a frame that leaves: median and spread of the runs,
# and the ratio to OVS. Then the share of each node of Audums' graph. Nothing is asserted of the
# figures, but that each peer did the work is: OVS's datapath actions are looked at (tnl_push,
# tnl_pop), and the frames that left are counted at the sending device.
#
# usage: sudo run.sh [--runs N] [--seconds S] [--only CASE,...] [--peers LIST] [--json] [--help]
#   --runs N      runs a case and program (7)
#   --seconds S   length of a run (1)
#   --only LIST   of these cases only: --list shows them
#   --peers LIST  of testpmd,ovs,audums (all)
#   --list        the cases, and end
#   --json        the last line is one object {"rows":[{"case","audums","ovs","testpmd","aim",
#                 "spread"}...]}; spread is (slowest - fastest) / median of Audums' runs
# Debian's packages dpdk and openvswitch-switch-dpdk are installed if they are missing (no service
# of theirs is started); OVS gets a database and sockets in a directory of its own, and a network
# namespace. 2 MB hugepages are reserved for the time of the run.
set -uo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/lib.sh"
here=$root/bench/dataplane

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

runs=7 seconds=1 only='' peers=testpmd,ovs,audums json=0 list=0
while [ $# -gt 0 ]; do
	case $1 in
	--runs) runs=${2:?$1 needs a value}; shift ;;
	--seconds) seconds=${2:?$1 needs a value}; shift ;;
	--only) only=${2:?$1 needs a value}; shift ;;
	--peers) peers=${2:?$1 needs a value}; shift ;;
	--list) list=1 ;;
	--json) json=1 ;;
	-h | --help) usage; exit 0 ;;
	*) fail "unknown option $1"; usage >&2; exit 64 ;;
	esac
	shift
done

build build -Dbuildtype=debugoptimized || exit 1
bench=$root/build/bench/dataplane/bench-dataplane
if [ $list = 1 ]; then
	"$bench" list | awk -F '\t' '{ printf "%-12s %s (aim %s)\n", $1, $4, $2 }'
	exit 0
fi
need_machine 3000 || exit 1
case ,$peers, in
*,ovs,* | *,testpmd,*) "$root/deploy/install-packages.sh" --with bench || exit 1 ;;
esac

ns=audums-bench-$$
last=$(($(nproc) - 1)) # forwards; the others' main threads stay off it
hugepages=$(cat /proc/sys/vm/nr_hugepages)
tsc=$("$bench" tsc 2>/dev/null) || { fail "cannot start DPDK"; exit 1; }
work=$(mktemp -d /tmp/audums-bench-XXXXXX)
. "$here/peers.sh"

down() {
	peer_stop
	ip netns del "$ns" 2>/dev/null
	echo "$hugepages" >/proc/sys/vm/nr_hugepages
	rm -rf "$work"
}
trap down EXIT
trap 'exit 130' INT TERM
if [ "$hugepages" -lt 768 ]; then
	echo 768 >/proc/sys/vm/nr_hugepages
fi
[ "$(awk '/^HugePages_Free/ { print $2 }' /proc/meminfo)" -ge 512 ] ||
	{ fail "not enough memory in one piece: no hugepages can be reserved"; exit 1; }
ip netns add "$ns" && ip -n "$ns" link set lo up || exit 1

# CPU time of the forwarding thread so far, in ns
cpu_ns() {
	local ns rest
	read -r ns rest <"/proc/$peer_pid/task/$peer_tid/schedstat" && echo "$ns"
}

# one run: cycles a frame
one_run() {
	local a b c d
	a=$(cpu_ns) b=$(peer_sent) || return 1
	sleep "$seconds"
	c=$(cpu_ns) d=$(peer_sent) || return 1
	[ "$d" -gt "$b" ] || { fail "$1 sends nothing"; return 1; }
	awk -v ns=$((c - a)) -v n=$((d - b)) -v hz="$tsc" 'BEGIN { printf "%.1f\n", ns * hz / 1e9 / n }'
}

# measure PEER CASE: "median spread", spread in percent of the median
measure() {
	local figures i
	peer_start "$1" "$2" || { peer_stop; return 1; }
	sleep 1
	figures=$(for ((i = 0; i < runs; i++)); do one_run "$1" || exit 1; done) || { peer_stop; return 1; }
	peer_check "$1" "$2" || { peer_stop; return 1; }
	[ "$1" = audums ] && nodes=$(peer_nodes)
	peer_stop
	sort -n <<<"$figures" | awk '{ v[NR] = $1 }
		END { m = v[int((NR + 1) / 2)]; printf "%s %.1f\n", m, (v[NR] - v[1]) * 100 / m }' >"$work/figure"
}

rows='' status=0 shares=''
printf '%-36s %9s %9s %9s %7s %7s %6s\n' 'cycles a frame' testpmd ovs audums spread ratio aim
while IFS=$'\t' read -r name aim copies text <&3; do
	case ,$only, in ,,) ;; *,$name,*) ;; *) continue ;; esac
	"$bench" capture "$name" "$work/$name.pcap" || { status=1; continue; }
	declare -A figure=([testpmd]=null [ovs]=null [audums]=null)
	spread=null nodes=''
	for peer in testpmd ovs audums; do
		case ,$peers, in *,$peer,*) ;; *) continue ;; esac
		measure $peer "$name" || { status=1; continue; }
		read -r "figure[$peer]" s <"$work/figure"
		[ $peer = audums ] && spread=$s
	done
	ratio=$(awk -v a="${figure[audums]}" -v o="${figure[ovs]}" \
		'BEGIN { if (a + 0 > 0 && o + 0 > 0) printf "%.2f", o / a; else print "-" }')
	printf '%-36s %9s %9s %9s %6s%% %7s %6s\n' "$text" "${figure[testpmd]/null/-}" \
		"${figure[ovs]/null/-}" "${figure[audums]/null/-}" "${spread/null/-}" "$ratio" "$aim"
	[ -z "$nodes" ] || shares+="  $name: $nodes"$'\n'
	rows+="${rows:+,}{\"case\":\"$name\",\"audums\":${figure[audums]},\"ovs\":${figure[ovs]}"
	rows+=",\"testpmd\":${figure[testpmd]},\"aim\":$aim,\"spread\":$spread}"
	rm -f "$work/$name.pcap"
done 3< <("$bench" list)
echo "ratio: OVS's cycles by Audums'. Audums' nodes, cycles a frame that leaves:"
printf '%s' "$shares"
[ $json = 0 ] || echo "{\"rows\":[$rows]}"
exit $status

#!/bin/bash
# The peer: two workloads at two sites joined by Linux's own bridge and VXLAN, over the same kind of
# wires as the lab's: veth - bridge - veth for the link, a veth pair for the access port.
#
#     w1 eth0 --- p1 [br0, vx0] up0 --- bridge in bb --- up0 [br0, vx0] p1 --- eth0 w2
#
# usage: peer.sh up|down NAME      namespaces NAME-w1 NAME-s1 NAME-bb NAME-s2 NAME-w2
set -euo pipefail

what=${1:-} name=${2:-}
case $what:$name in
up:?* | down:?*) ;;
*) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 64 ;;
esac

down() {
	local ns
	for ns in w1 s1 bb s2 w2; do
		ip netns del "$name-$ns" 2>/dev/null || true
	done
}

site() { # site NUMBER OTHER
	local n=$1 other=$2 s=$name-s$1 w=$name-w$1
	ip -n "$s" link add p1 type veth peer name eth0 netns "$w"
	ip -n "$s" link add up0 mtu 1600 type veth peer name "l$n" netns "$name-bb"
	ip -n "$name-bb" link set "l$n" mtu 1600 master br0 up
	ip -n "$s" addr add "172.31.255.$n/24" dev up0
	ip -n "$s" link set up0 up
	ip -n "$s" link add br0 type bridge
	ip -n "$s" link add vx0 type vxlan id 100 local "172.31.255.$n" remote "172.31.255.$other" dstport 4789
	ip -n "$s" link set vx0 mtu 1500 master br0 up
	ip -n "$s" link set p1 master br0 up
	ip -n "$s" link set br0 addrgenmode none up
	ip -n "$w" addr add "10.20.0.$n/24" dev eth0
	ip -n "$w" link set eth0 up
}

down
[ "$what" = up ] || exit 0
trap down ERR
for ns in w1 s1 bb s2 w2; do
	ip netns add "$name-$ns"
	ip -n "$name-$ns" link set lo up
done
ip -n "$name-bb" link add br0 type bridge mcast_snooping 0
ip -n "$name-bb" link set br0 addrgenmode none up
site 1 2
site 2 1

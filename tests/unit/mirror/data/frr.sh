# Site 1 of two, with real FRR (zebra, bgpd; EVPN between VTEP loopbacks over two links): a segment,
# MACs injected here and there, a move here and back, a link that goes down and returns, a segment
# that goes. The other site is in a namespace of its own. Debian's frr must be installed.
me=$(ip netns identify)
peer=$me-peer dir=$DIR
ip netns add $peer
chown frr:frr $dir
at() { n=$1; shift; if [ $n = 1 ]; then "$@"; else ip netns exec $peer "$@"; fi; }
for n in 1 2; do
	at $n sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1 net.ipv4.ip_forward=1
	at $n ip link set lo up
	at $n ip addr add 10.0.0.$n/32 dev lo
done
for l in 0 1; do
	ip link add up$l type veth peer name up$l netns $peer
	for n in 1 2; do
		at $n ip addr add 172.16.$l.$((n - 1))/31 dev up$l
		at $n ip link set up$l up
	done
done
seg() {
	at $1 ip link add br$2 type bridge mcast_snooping 0
	at $1 ip link add vx$2 type vxlan id $2 local 10.0.0.$1 dstport 4789 nolearning
	at $1 ip link set vx$2 master br$2 addrgenmode none
	at $1 bridge link set dev vx$2 neigh_suppress on learning off isolated on
	at $1 ip link set br$2 addrgenmode none up
	at $1 ip link set vx$2 up
}
port() {
	at $1 ip link add $3 type veth peer name w$3
	at $1 ip link set w$3 up
	at $1 ip link set $3 master br$2 up
	at $1 bridge link set dev $3 learning off isolated on
}
for n in 1 2; do
	for s in 100 200; do seg $n $s; done
	port $n 100 p1
	port $n 200 p2
	space=$me; [ $n = 1 ] || space=$peer
	o=$((3 - n))
	cat > $dir/$n.conf <<C
frr defaults datacenter
router bgp 6500$n
 bgp router-id 10.0.0.$n
 bgp disable-ebgp-connected-route-check
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 bgp bestpath as-path multipath-relax
 timers bgp 1 3
 neighbor 172.16.0.$((o - 1)) remote-as 6500$o
 neighbor 172.16.0.$((o - 1)) advertisement-interval 0
 neighbor 172.16.0.$((o - 1)) timers connect 1
 neighbor 172.16.1.$((o - 1)) remote-as 6500$o
 neighbor 172.16.1.$((o - 1)) advertisement-interval 0
 neighbor 172.16.1.$((o - 1)) timers connect 1
 neighbor OV peer-group
 neighbor OV remote-as 6500$o
 neighbor OV ebgp-multihop 4
 neighbor 10.0.0.$o peer-group OV
 neighbor 10.0.0.$o update-source 10.0.0.$n
 neighbor 10.0.0.$o advertisement-interval 0
 neighbor 10.0.0.$o timers connect 1
 address-family ipv4 unicast
  network 10.0.0.$n/32
  neighbor 172.16.0.$((o - 1)) activate
  neighbor 172.16.1.$((o - 1)) activate
 exit-address-family
 address-family l2vpn evpn
  neighbor 10.0.0.$o activate
  advertise-all-vni
 exit-address-family
C
	mkdir -p /run/frr/$space
	chown frr:frr /run/frr/$space
	: > $dir/zebra.conf
	at $n /usr/lib/frr/zebra -d -N $space -s 90000000 -f $dir/zebra.conf -i $dir/zebra$n.pid
	at $n /usr/lib/frr/bgpd -d -N $space -f $dir/$n.conf -i $dir/bgpd$n.pid
done
# wait until a condition holds, 20 s at most
until_ok() { i=0; until sh -c "$1" > /dev/null 2>&1; do i=$((i + 1)); [ $i -lt 200 ] || { echo "not reached: $1" >&2; exit 1; }; sleep 0.1; done; }
until_ok "bridge fdb show dev vx100 | grep -q '00:00:00:00:00:00 dst 10.0.0.2'"
until_ok "bridge fdb show dev vx200 | grep -q '00:00:00:00:00:00 dst 10.0.0.2'"
inject() { at $1 bridge fdb replace $2 dev $3 master extern_learn; }
inject 1 02:01:00:00:00:01 p1
inject 1 02:01:00:00:00:02 p2
inject 2 02:02:00:00:00:01 p1
inject 2 02:02:00:00:00:02 p1
inject 2 02:02:00:00:00:03 p2
for m in 01 02; do until_ok "bridge fdb show dev vx100 | grep -q '02:02:00:00:00:$m.*master'"; done
until_ok "bridge fdb show dev vx200 | grep -q '02:02:00:00:00:03.*master'"
# a move here and, of another, from here
inject 1 02:02:00:00:00:02 p1
inject 2 02:01:00:00:00:02 p2
until_ok "bridge fdb show dev vx200 | grep -q '02:01:00:00:00:02.*master'"
# a link goes and returns (BGP on it takes longer than this recording)
ip link set up0 down
until_ok "! ip route show 10.0.0.2 | grep -q up0"
ip link set up0 up
# one MAC and one segment of the other site end
at 2 bridge fdb del 02:02:00:00:00:01 dev p1 master
until_ok "! bridge fdb show dev vx100 | grep -q 02:02:00:00:00:01"
at 2 ip link del vx200
until_ok "! bridge fdb show dev vx200 | grep -q '00:00:00:00:00:00 dst 10.0.0.2'"
# the neighbours' states should not change between the last event and the dump
ip neigh replace 172.16.0.1 lladdr $(ip netns exec $peer cat /sys/class/net/up0/address) dev up0 nud permanent
ip neigh replace 172.16.1.1 lladdr $(ip netns exec $peer cat /sys/class/net/up1/address) dev up1 nud permanent

# Two segments by hand: what the agent and FRR would do, a move, removals, a device that goes.
sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
ip link set lo up
ip addr add 10.0.0.1/32 dev lo
for p in up0 up1 p1 p2 p3; do ip link add $p type veth peer name w$p; ip link set w$p up; ip link set $p addrgenmode none up; done
ip addr add 172.16.0.0/31 dev up0
ip addr add 172.16.0.2/31 dev up1
ip neigh add 172.16.0.1 lladdr 02:00:00:00:01:01 dev up0 nud permanent
ip neigh add 172.16.0.3 lladdr 02:00:00:00:01:03 dev up1 nud permanent
ip nexthop add id 11 via 172.16.0.1 dev up0
ip nexthop add id 12 via 172.16.0.3 dev up1
ip nexthop add id 20 group 11,3/12
ip route add 10.0.0.2/32 nhid 20
ip route add 10.0.0.3/32 via 172.16.0.1
ip route add 10.0.0.4/32 nexthop via 172.16.0.1 weight 1 nexthop via 172.16.0.3 weight 2
ip route add 10.9.0.0/16 nhid 11
ip route add blackhole 10.8.0.0/16
ip route add unreachable 10.7.0.0/16
ip route add 10.0.0.3/32 via 172.16.0.3 metric 50
ip route add default via 172.16.0.3
ip route replace default via 172.16.0.1
seg() {
	ip link add br$1 type bridge mcast_snooping 0
	ip link add vx$1 type vxlan id $1 local 10.0.0.1 dstport 4789 nolearning
	ip link set vx$1 master br$1 addrgenmode none
	bridge link set dev vx$1 learning off isolated on
	ip link set br$1 addrgenmode none up
	ip link set vx$1 up
}
seg 100; seg 200
ip link set p1 master br100; ip link set p2 master br100; ip link set p3 master br200
for p in p1 p2 p3; do bridge link set dev $p learning off isolated on; done
remote() { bridge fdb replace $1 dev vx$2 dst $3 self extern_learn; bridge fdb replace $1 dev vx$2 master extern_learn; }
for v in 2 3 4; do bridge fdb append 00:00:00:00:00:00 dev vx100 dst 10.0.0.$v self permanent; done
bridge fdb append 00:00:00:00:00:00 dev vx200 dst 10.0.0.2 self permanent
remote 02:aa:00:00:00:01 100 10.0.0.2
remote 02:aa:00:00:00:02 100 10.0.0.3
remote 02:aa:00:00:00:03 100 10.0.0.4
remote 02:aa:00:00:00:01 200 10.0.0.2
bridge fdb replace 02:bb:00:00:00:01 dev p1 master extern_learn
bridge fdb replace 02:bb:00:00:00:02 dev p2 master extern_learn
bridge fdb replace 02:bb:00:00:00:03 dev p3 master extern_learn
bridge fdb replace 02:cc:00:00:00:01 dev vx100 dst 10.0.0.9 self static
# a move here: the vxlan device's entry stays behind; and one away
bridge fdb replace 02:aa:00:00:00:02 dev p1 master extern_learn
remote 02:bb:00:00:00:02 100 10.0.0.3
# removals
bridge fdb del 02:aa:00:00:00:03 dev vx100 master
bridge fdb del 02:aa:00:00:00:03 dev vx100 dst 10.0.0.4 self
bridge fdb del 00:00:00:00:00:00 dev vx100 dst 10.0.0.4 self
# a segment that comes and goes, a port that changes its bridge, a link that goes down
seg 300
bridge fdb append 00:00:00:00:00:00 dev vx300 dst 10.0.0.2 self permanent
remote 02:aa:00:00:00:07 300 10.0.0.2
ip link del vx300; ip link del br300
ip link set p2 nomaster; ip link set p2 master br200; bridge link set dev p2 learning off
ip link set p3 down
ip link set br200 mtu 1400
ip link set vx100 mtu 1450
ip neigh replace 172.16.0.1 lladdr 02:00:00:00:01:11 dev up0 nud permanent

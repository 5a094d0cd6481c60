# Routes and next hops that the kernel drops without a word: an uplink goes down, an address goes.
sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
ip link set lo up
ip addr add 10.0.0.1/32 dev lo
for p in up0 up1; do ip link add $p type veth peer name w$p; ip link set w$p up; ip link set $p addrgenmode none up; done
ip addr add 172.16.0.0/31 dev up0
ip addr add 172.16.0.2/31 dev up1
ip neigh add 172.16.0.1 lladdr 02:00:00:00:01:01 dev up0 nud permanent
ip neigh add 172.16.0.3 lladdr 02:00:00:00:01:03 dev up1 nud permanent
ip nexthop add id 11 via 172.16.0.1 dev up0
ip nexthop add id 12 via 172.16.0.3 dev up1
ip nexthop add id 20 group 11/12
ip route add 10.0.0.2/32 nhid 20
ip route add 10.0.0.3/32 nhid 11
ip route add 10.0.0.4/32 via 172.16.0.1
ip route add 10.0.0.5/32 nexthop via 172.16.0.1 nexthop via 172.16.0.3
ip route add 10.0.0.6/32 via 172.16.0.3 src 10.0.0.1
ip link set up0 down
ip addr del 10.0.0.1/32 dev lo

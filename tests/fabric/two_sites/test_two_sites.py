#!/usr/bin/env python3
r"""Two sites by hand: port holder, dataplane, kernel and FRR; `ip` and `bridge` are the only control.

    w1 10.100.0.1          site a                          site b           w2 10.100.0.2
    fd64::1  e0---p1 (wire a)  AS 65001              AS 65002  (wire b) p1---e0  fd64::2
                      p2-\   VTEP 10.255.0.1   VTEP 10.255.0.2  /-p2
                          \  br100 vx100          br100 vx100  /
    wm 10.100.0.9  ma------/ up0 172.16.12.0/31   172.16.12.1  \-----mb  (the mover's other end)
                              \---------- bb: bridge ---------/

usage: test_two_sites.py AUDUMS_HOLDER AUDUMS_DATAPLANE
"""
import json
import os
import re
import shutil
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import netlab  # noqa: E402
from netlab import TRAFFIC, wait_for  # noqa: E402

VNI = 100
MOVER_MAC = "02:00:00:00:09:09"

FRR = """
bfd
 profile fast
  transmit-interval 100
  receive-interval 100
  detect-multiplier 3
router bgp {asn}
 bgp router-id 10.255.0.{me}
 bgp disable-ebgp-connected-route-check
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 timers bgp 3 9
 neighbor 172.16.12.{peer_link} remote-as {peer_asn}
 neighbor 172.16.12.{peer_link} bfd profile fast
 neighbor 172.16.12.{peer_link} advertisement-interval 0
 neighbor 172.16.12.{peer_link} timers connect 2
 neighbor OV peer-group
 neighbor OV remote-as {peer_asn}
 neighbor OV ebgp-multihop 4
 neighbor 10.255.0.{peer} peer-group OV
 neighbor 10.255.0.{peer} update-source 10.255.0.{me}
 neighbor 10.255.0.{peer} advertisement-interval 0
 neighbor 10.255.0.{peer} timers connect 2
 address-family ipv4 unicast
  network 10.255.0.{me}/32
  neighbor 172.16.12.{peer_link} activate
 address-family l2vpn evpn
  neighbor 10.255.0.{peer} activate
  advertise-all-vni
  vni {vni}
   rd 10.255.0.{me}:1
   route-target import 65001:{vni}
   route-target export 65001:{vni}
"""


class Site:
    def __init__(self, lab, me):
        self.lab, self.me, self.peer = lab, me, 3 - me
        self.name = "ab"[me - 1]
        self.ns, self.wire = lab.ns(self.name), lab.ns(self.name + "w")
        lab.sysctl(self.ns, net__ipv4__ip_forward=1, net__ipv4__conf__all__rp_filter=0,
                   net__ipv4__conf__default__rp_filter=0)
        lab.ip(self.ns, "addr", "add", "10.255.0.%d/32" % me, "dev", "lo")
        self.run_dir = os.path.join(lab.dir, "run-" + self.name)
        self.conf = os.path.join(lab.dir, self.name + ".conf")

    def holder_start(self):
        with open(self.conf, "w") as conf:
            for port, role in (("up0", "uplink"), ("p1", "access"), ("p2", "access")):
                conf.write("port %s role=%s backend=packet netns=/run/netns/%s device=%s\n" % (
                    port, role, self.wire, port))
        self.holder = self.lab.start(
            "holder-" + self.name, HOLDER, "--inventory", self.conf, "--run", self.run_dir,
            "--dataplane", DATAPLANE, ns=self.ns)
        wait_for("dataplane of " + self.name, lambda: self.ready() == 1, 20)

    def ready(self):
        return self.lab.log_text("holder-" + self.name).count(" forwarding_ready ")

    def dataplane_pid(self):
        return int(re.findall(
            r"forwarding_started pid=(\d+)", self.lab.log_text("holder-" + self.name))[-1])

    def kernel_setup(self):
        ip, ns = self.lab.ip, self.ns
        bridge, vxlan = "br%d" % VNI, "vx%d" % VNI
        ip(ns, "addr", "add", "172.16.12.%d/31" % (self.me - 1), "dev", "up0")
        ip(ns, "link", "add", bridge, "mtu", "1500", "type", "bridge", "stp_state", "0",
           "mcast_snooping", "0", "forward_delay", "0")
        ip(ns, "link", "add", vxlan, "type", "vxlan", "id", str(VNI), "local",
           "10.255.0.%d" % self.me, "dstport", "4789", "nolearning")
        for device in (vxlan, "p1", "p2"):
            ip(ns, "link", "set", device, "master", bridge)
            self.lab.run("bridge", "-n", ns, "link", "set", "dev", device, "learning", "off",
                         "isolated", "on")
        self.lab.run("bridge", "-n", ns, "link", "set", "dev", vxlan, "neigh_suppress", "on")
        for device in (bridge, vxlan):
            # in two steps: in one request the kernel brings it up first, and gives it an address
            ip(ns, "link", "set", device, "addrgenmode", "none")
            ip(ns, "link", "set", device, "up")

    def frr_start(self):
        run = "/run/frr/" + self.ns
        os.makedirs(run, exist_ok=True)
        self.lab.paths.append(run)
        shutil.chown(run, "frr", "frr")
        # FRR 10's mgmtd first, if there is one; all wait for zebra's socket
        for daemon, options in (("mgmtd", ()), ("zebra", ("-s", "90000000", "-K", "60")),
                                ("bgpd", ()), ("bfdd", ())):
            program = "/usr/lib/frr/" + daemon
            if not os.path.exists(program):
                continue
            self.lab.start(
                daemon + "-" + self.name, program, "-N", self.ns, "-f", "/dev/null", "-i",
                run + "/" + daemon + ".pid", "-P", "0", "--log", "stdout", *options, ns=self.ns)
            wait_for(daemon, lambda d=daemon: os.path.exists("%s/%s.vty" % (run, d)))
        config = FRR.format(
            me=self.me, peer=self.peer, asn=65000 + self.me, peer_asn=65000 + self.peer,
            peer_link=self.peer - 1, vni=VNI)
        path = os.path.join(self.lab.dir, self.name + ".frr")
        with open(path, "w") as file:
            file.write(config)
        self.lab.run("vtysh", "-N", self.ns, "-f", path)

    def show(self, command):
        return json.loads(self.lab.run(
            "vtysh", "-N", self.ns, "-c", "show " + command + " json", errors=False))

    def sessions(self):
        """(state, drops) of both BGP sessions."""
        found = {}
        for family in ("ipv4Unicast", "l2VpnEvpn"):
            summary = self.show("bgp summary").get(family, {"peers": {}})
            for peer, about in summary["peers"].items():
                found[peer] = (about["state"], about["connectionsDropped"])
        return found

    def established(self):
        found = self.sessions()
        return len(found) == 2 and all(state == "Established" for state, _ in found.values())

    def fdb(self, mac):
        text = self.lab.run("bridge", "-n", self.ns, "fdb", "show")
        return [line for line in text.splitlines() if line.startswith(mac)]


def ping(lab, ns, address, *options, count=1):
    argv = ("ping", "-n", "-c", str(count), "-i", "0.2", "-W", "2") + options + (address,)
    return lab.run(*argv, ns=ns, check=False).returncode == 0


def backbone(lab, sites):
    bb = lab.ns("bb")
    lab.ip(bb, "link", "add", "link0", "mtu", "1600", "up", "type", "bridge", "mcast_snooping",
           "0", "forward_delay", "0")
    lab.sysctl(bb, net__ipv6__conf__all__disable_ipv6=1)
    for site in sites:
        lab.ip(site.wire, "link", "add", "up0", "mtu", "1600", "type", "veth", "peer", "name",
               "to-" + site.name, "mtu", "1600", "netns", bb)
        lab.ip(bb, "link", "set", "to-" + site.name, "master", "link0", "up")
        lab.ip(site.wire, "link", "set", "up0", "up")
    return bb


def workloads(lab, sites):
    """w1 and w2 behind p1, the mover wm behind both p2."""
    names = []
    mover = lab.ns("wm")
    for site in sites:
        ns = lab.ns("w%d" % site.me)
        names.append(ns)
        for port, peer, peer_ns in (("p1", "e0", ns), ("p2", "m" + site.name, mover)):
            lab.ip(site.wire, "link", "add", port, "up", "type", "veth", "peer", "name", peer,
                   "netns", peer_ns)
        lab.ip(ns, "addr", "add", "10.100.0.%d/24" % site.me, "dev", "e0")
        lab.ip(ns, "addr", "add", "fd64::%d/64" % site.me, "dev", "e0", "nodad")
        lab.ip(ns, "link", "set", "e0", "address", "02:00:00:00:01:0%d" % site.me, "up")
        lab.ip(mover, "link", "set", "dev", "m" + site.name, "address", MOVER_MAC, "addrgenmode", "none")
    return names[0], names[1], mover


def link_mtu(lab, sites, mtu):
    """The wires of the link get another MTU; what stands for them follows."""
    for site in sites:
        lab.ip(site.wire, "link", "set", "up0", "mtu", str(mtu))
    for site in sites:
        wait_for("MTU of " + site.name, lambda s=site: lab.link(s.ns, "up0")["mtu"] == mtu, 5)


def path_mtu_forget(lab, *namespaces):
    for ns in namespaces:
        lab.ip(ns, "route", "flush", "cache")
        lab.ip(ns, "-6", "route", "flush", "cache")


def path_mtu(lab, sites, w1, w2):
    """A link takes less than declared: workloads learn by ICMP what passes, and send that."""
    link_mtu(lab, sites, 1400)
    for ns, addresses in ((w1, ("10.100.0.2", "fd64::2")), (w2, ("10.100.0.1", "fd64::1"))):
        for address in addresses:
            size = "1452" if ":" in address else "1472"
            path_mtu_forget(lab, ns)  # its replies to the other end have taught it

            def told(n=ns, a=address, s=size):
                # the dataplane hears of the TAP's MTU when the kernel says it
                out = lab.run("ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", s, a, ns=n,
                              check=False).stdout
                return re.search(r"mtu ?= ?1350", out)
            wait_for("path MTU to " + address, told, 5)
            route = lab.run("ip", "route", "get", address, ns=ns)
            assert "mtu 1350" in route, route
            size = str(1350 - (48 if ":" in address else 28))
            assert ping(lab, ns, address, "-M", "do", "-s", size, count=2), address
            assert ping(lab, ns, address, "-s", "5000", count=2), address
    # a sender that knows nothing yet: TCP learns on its way
    path_mtu_forget(lab, w1, w2)
    for address in ("10.100.0.2", "fd64::2"):
        netlab.tcp_whole(lab, w1, w2, address)
    link_mtu(lab, sites, 1600)
    path_mtu_forget(lab, w1, w2)
    wait_for("whole frames again", lambda: ping(
        lab, w1, "10.100.0.2", "-M", "do", "-s", "1472"), 5)


def mover_place(lab, mover, old, new):
    if old is not None:
        lab.ip(mover, "link", "set", "dev", "m" + old, "down")
        lab.ip(mover, "addr", "flush", "dev", "m" + old)
    lab.ip(mover, "addr", "add", "10.100.0.9/24", "dev", "m" + new)
    lab.ip(mover, "link", "set", "dev", "m" + new, "up")
    lab.run(sys.executable, TRAFFIC, "garp", "m" + new, "10.100.0.9", ns=mover)


def test(lab):
    sites = Site(lab, 1), Site(lab, 2)
    a, b = sites
    backbone(lab, sites)
    w1, w2, mover = workloads(lab, sites)
    for site in sites:
        site.holder_start()
        site.kernel_setup()
        site.counter = lab.start("count-" + site.name, sys.executable, TRAFFIC, "count", "up0",
                                 "-", ns=site.ns)
        site.frr_start()
    for site in sites:
        wait_for("BGP sessions of " + site.name, site.established, 30, 0.2)
        wait_for("flood list of " + site.name, lambda s=site: any(
            "10.255.0.%d" % s.peer in line for line in s.fdb("00:00:00:00:00:00")), 10)
    print("sessions are up", flush=True)

    # every pair, IPv4 and IPv6, ARP and ND by flooding; whole 1,500 octets; TCP super-frames; USO
    wait_for("first ping", lambda: ping(lab, w1, "10.100.0.2"), 10)
    for ns, addresses in ((w1, ("10.100.0.2", "fd64::2")), (w2, ("10.100.0.1", "fd64::1"))):
        for address in addresses:
            assert ping(lab, ns, address, count=5), address
            size = "1452" if ":" in address else "1472"
            assert ping(lab, ns, address, "-M", "do", "-s", size, count=2), address
            assert ping(lab, ns, address, "-s", "5000", count=2), address
    print("all reach each other", flush=True)
    for address in ("10.100.0.2", "fd64::2"):
        netlab.tcp_whole(lab, w1, w2, address)
        assert "whole" in netlab.exchange(lab, "uso", w1, w2, address)[1]
    netlab.tcp_whole(lab, w2, w1, "10.100.0.1")
    print("TCP and UDP super-frames arrive whole", flush=True)

    path_mtu(lab, sites, w1, w2)
    print("path MTU is learnt", flush=True)

    # learned MACs are the kernel's, remote ones come by EVPN
    local, remote = "02:00:00:00:01:01", "02:00:00:00:01:02"
    wait_for("local MAC", lambda: any(
        "dev p1" in line and "extern_learn" in line for line in a.fdb(local)), 5)
    wait_for("remote MAC", lambda: any("dst 10.255.0.2" in line for line in a.fdb(remote)), 5)

    # a MAC moves, there and back and there
    mover_place(lab, mover, None, "a")
    wait_for("the mover at a", lambda: ping(lab, w2, "10.100.0.9"), 5)
    for old, new in (("a", "b"), ("b", "a"), ("a", "b")):
        mover_place(lab, mover, old, new)
        there, here = (b, a) if new == "b" else (a, b)
        wait_for("the mover's MAC from " + old, lambda: any(
            "dst 10.255.0.%d" % there.me in line for line in here.fdb(MOVER_MAC)), 5)
        for ns in (w1, w2):
            wait_for("the mover at " + new, lambda n=ns: ping(lab, n, "10.100.0.9"), 5)
    print("a MAC moved", flush=True)

    # kill -9 of a dataplane: comes back by itself, sessions outlive it
    before = a.sessions(), b.sessions()
    peers = b.show("bfd peers counters")
    for nth in (2, 3):
        os.kill(a.dataplane_pid(), signal.SIGKILL)
        wait_for("dataplane again", lambda n=nth: a.ready() == n, 10)
        wait_for("forwarding again", lambda: ping(lab, w2, "10.100.0.1"), 5)
        assert ping(lab, w2, "fd64::1", count=3)
    assert (a.sessions(), b.sessions()) == before, (before, a.sessions(), b.sessions())
    for old, new in zip(peers, b.show("bfd peers counters")):
        assert old["session-down"] == new["session-down"], (old, new)
    print("sessions outlived kill -9", flush=True)

    # a lost carrier is seen by zebra at once
    lab.ip(a.wire, "link", "set", "up0", "down")
    wait_for("carrier", lambda: not a.show("interface up0")["up0"]["operationalStatus"] == "up", 3)
    lab.ip(a.wire, "link", "set", "up0", "up")
    wait_for("sessions", lambda: a.established() and b.established(), 30, 0.2)
    wait_for("forwarding again", lambda: ping(lab, w2, "10.100.0.1"), 10)
    print("the link came back", flush=True)

    # nothing of the tenants was forwarded by a kernel
    for site in sites:
        assert lab.stop(site.counter) == 0
        text = lab.log_text("count-" + site.name)
        vxlan, frames = map(int, re.search(r"vxlan (\d+) frames (\d+)", text).groups())
        assert vxlan == 0 and frames > 100, text
        stats = json.loads(lab.run("ip", "-n", site.ns, "-s", "-j", "link", "show", "vx%d" % VNI))
        assert stats[0]["stats64"]["tx"]["packets"] == 0, stats
        assert "inet6" not in lab.ip(site.ns, "addr", "show", "br%d" % VNI)
    for site in sites:
        assert lab.stop(site.holder) == 0
        assert lab.link(site.ns, "up0") is None
    print("no packet went through a kernel's VXLAN", flush=True)


def main():
    global HOLDER, DATAPLANE
    HOLDER, DATAPLANE = sys.argv[1:3]
    netlab.need_root("ip", "bridge", "ping", "vtysh", "zebra", "bgpd", "bfdd")
    netlab.main("ports", test)


main()

#!/usr/bin/env python3
r"""A site that is not ours, plain Linux with kernel VXLAN and FRR by hand, joins one segment.

        w-one 10.20.0.1 --- one1 (Audums) ------------ two1 (Audums) --- w-two 10.20.0.2
                                  \                     /
                                   \                   /
                                  other1 (Linux: br, vxlan, FRR)
                                            |
                                     w-other 10.20.0.3

It must talk with all others, IPv4 and IPv6, whole 1,500-octet packets, and learn of a move of a
workload between our sites and its own.

usage: test_foreign.py AUDUMSCTL SOURCE_DIR
"""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from netlab import need_root, wait_for  # noqa: E402

LAB = "foreign"
# other labs may be up
os.environ["AUDUMS_CONTEXT"] = f"/run/audums/lab/{LAB}/context.yaml"
SITE = f"au-{LAB}-other1"
GUEST = f"{SITE}-guest"
VNI = 10042

# FRR of a site whose engineers know EVPN and have never heard of us.
FRR = """
bfd
 profile link
  transmit-interval 100
  receive-interval 100
router bgp 64750
 bgp router-id 10.254.20.9
 bgp disable-ebgp-connected-route-check
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 bgp bestpath as-path multipath-relax
{neighbours}
 address-family ipv4 unicast
  network 10.254.20.9/32
{activate_ipv4}
 exit-address-family
 address-family l2vpn evpn
{activate_evpn}
  advertise-all-vni
  vni {vni}
   rd 10.254.20.9:7
   route-target import {rt}
   route-target export {rt}
"""


class Foreign:
    def __init__(self, audumsctl, source):
        self.audumsctl = audumsctl
        self.topology = os.path.join(source, "tests/fabric/foreign/foreign.yaml")

    def ctl(self, *argv, check=True):
        r = subprocess.run([self.audumsctl, *argv], capture_output=True, text=True, timeout=120)
        if check and r.returncode:
            raise RuntimeError(f"audumsctl {' '.join(argv)}: {r.returncode}: {r.stdout}{r.stderr}")
        return r.stdout

    def get(self, kind, name):
        document = json.loads(self.ctl("get", f"{kind}/{name}", "-o", "json"))
        return document[kind + "s"][0] if kind + "s" in document else document

    @staticmethod
    def run(*argv, check=True):
        r = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        if check and r.returncode:
            raise RuntimeError(f"{' '.join(argv)}: {r.returncode}: {r.stdout}{r.stderr}")
        return r

    def ip(self, *argv):
        return self.run("ip", "-n", SITE, *argv)

    def vtysh(self, *commands):
        argv = ["vtysh", "-N", SITE]
        for c in commands:
            argv += ["-c", c]
        return self.run(*argv).stdout

    def build_site(self):
        """The other side's engineers at work: addresses, a bridge, a VXLAN device, FRR."""
        neighbours, v4, evpn = [], [], []
        for link, port in (("one-other", "up0"), ("two-other", "up1")):
            network = self.get("link", link)["status"]["network"]
            base, length = network.split("/")
            head, last = base.rsplit(".", 1)
            # end "a" of a link has the even address; other1 is end "b" of both
            peer, mine = f"{head}.{last}", f"{head}.{int(last) + 1}"
            self.ip("addr", "replace", f"{mine}/{length}", "dev", port)
            self.ip("link", "set", port, "up")
            node = {"one-other": "one1", "two-other": "two1"}[link]
            status = self.get("node", node)["status"]
            neighbours += [
                f" neighbor {peer} remote-as {status['asn']}",
                f" neighbor {peer} bfd profile link",
                f" neighbor {status['vtep']} remote-as {status['asn']}",
                f" neighbor {status['vtep']} ebgp-multihop 8",
                f" neighbor {status['vtep']} update-source 10.254.20.9",
            ]
            v4.append(f"  neighbor {peer} activate")
            evpn.append(f"  neighbor {status['vtep']} activate")
        self.ip("addr", "replace", "10.254.20.9/32", "dev", "lo")
        self.ip("link", "set", "lo", "up")
        self.ip("link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        self.ip("link", "add", "vxlan0", "type", "vxlan", "id", str(VNI), "local", "10.254.20.9",
                "dstport", "4789", "nolearning")
        self.ip("link", "set", "vxlan0", "master", "br0")
        self.run("bridge", "-n", SITE, "link", "set", "dev", "vxlan0", "learning", "off")
        self.run("ip", "netns", "add", GUEST)
        self.ip("link", "add", "guest0", "type", "veth", "peer", "name", "eth0", "netns", GUEST)
        self.ip("link", "set", "guest0", "master", "br0")
        for device in ("br0", "vxlan0", "guest0"):
            self.ip("link", "set", device, "up")
        guest = ["ip", "-n", GUEST]
        self.run(*guest, "addr", "add", "10.20.0.3/24", "dev", "eth0")
        self.run(*guest, "addr", "add", "fd20::3/64", "dev", "eth0", "nodad")
        self.run(*guest, "link", "set", "eth0", "up")
        rt = self.get("segment", "shared")["status"]["route_target"]
        text = FRR.format(neighbours="\n".join(neighbours), activate_ipv4="\n".join(v4),
                          activate_evpn="\n".join(evpn), vni=VNI, rt=rt)
        path = f"/run/audums/lab/{LAB}/other1.frr.conf"
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        self.run("vtysh", "-N", SITE, "-f", path)

    def flood_list(self):
        out = self.run("bridge", "-n", SITE, "fdb", "show", "dev", "vxlan0").stdout
        return sorted(line.split("dst ")[1].split()[0] for line in out.splitlines()
                      if line.startswith("00:00:00:00:00:00") and "dst " in line)

    def ping(self, netns, address, size):
        r = self.run("ip", "netns", "exec", netns, "ping", "-M", "do", "-c", "3", "-i", "0.05",
                     "-W", "2", "-s", str(size), address, check=False)
        assert " 0% packet loss" in r.stdout, f"{netns} -> {address}, {size}: {r.stdout}{r.stderr}"

    def ping_all(self):
        hosts = {f"au-{LAB}-w-one": ("10.20.0.1", "fd20::1"),
                 f"au-{LAB}-w-two": ("10.20.0.2", "fd20::2"),
                 GUEST: ("10.20.0.3", "fd20::3")}
        for netns in hosts:
            for other, (v4, v6) in hosts.items():
                if other != netns:
                    for address, header in ((v4, 28), (v6, 48)):
                        self.ping(netns, address, 56)
                        self.ping(netns, address, 1500 - header)

    def test(self):
        self.ctl("lab", "down", "--lab", LAB, check=False)
        self.ctl("lab", "up", self.topology, "--name", LAB)
        self.ctl("wait", "node/one1", "node/two1", "link/one-two", "--for", "ready",
                 "--timeout", "60s")
        self.build_site()
        for name, address in (("one", 1), ("two", 2)):
            self.ctl("lab", "workload", "add", name, "--attachment", f"a-{name}",
                     "--ip", f"10.20.0.{address}/24", "--ip", f"fd20::{address}/64")
        self.ctl("wait", "segment/shared", "--for", "ready", "--timeout", "60s")
        vteps = sorted(self.get("node", n)["status"]["vtep"] for n in ("one1", "two1"))
        wait_for("our VTEPs in the foreign site's flood list",
                 lambda: self.flood_list() == vteps, 30)
        wait_for("the foreign VTEP in our flood lists", lambda: all(
            "10.254.20.9" in self.ctl("node", "show", n, "segments", "-o", "json")
            for n in ("one1", "two1")), 30)
        self.ping_all()
        print("all pairs talk, both families, up to 1,500 octets")
        self.test_move()

    def test_move(self):
        """The foreign guest's MAC appears at one1's port, then at home again."""
        mac = json.loads(self.run("ip", "-n", GUEST, "-j", "link", "show", "eth0").stdout)[0]["address"]
        self.ctl("lab", "workload", "remove", "one")
        self.run("ip", "-n", GUEST, "link", "set", "eth0", "down")
        self.ctl("lab", "workload", "add", "one", "--attachment", "a-one", "--mac", mac,
                 "--ip", "10.20.0.3/24", "--ip", "fd20::3/64")
        vtep = self.get("node", "one1")["status"]["vtep"]
        wait_for("the foreign site learns that its guest moved", lambda: any(
            line.startswith(mac) and f"dst {vtep}" in line for line in self.run(
                "bridge", "-n", SITE, "fdb", "show", "dev", "vxlan0").stdout.splitlines()), 10)
        self.ping(f"au-{LAB}-w-two", "10.20.0.3", 56)
        print("a workload of the foreign site recovers at ours")

    def close(self):
        self.run("ip", "netns", "del", GUEST, check=False)
        self.ctl("lab", "down", "--lab", LAB, check=False)


def main():
    need_root("ip", "bridge", "vtysh", "ping")
    foreign = Foreign(sys.argv[1], sys.argv[2])
    try:
        foreign.test()
    finally:
        foreign.close()


if __name__ == "__main__":
    main()

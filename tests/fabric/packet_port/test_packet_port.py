#!/usr/bin/env python3
"""Packet ports between two real kernels whose veth devices keep all their offloads.

      left                wire (no addresses)               right
      e0 10.7.0.1/24 ---- w0  packet_bridge  w1 ----------- e1 10.7.0.2/24
         fd07::1                                               fd07::2

usage: test_packet_port.py PACKET_BRIDGE
"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import netlab  # noqa: E402
from netlab import wait_for  # noqa: E402

# A frame with an 802.1Q tag, sent raw; the other end must see the tag.
TAG_SEND = """
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(('e0', 0))
s.send(bytes.fromhex('02000000000202000000000181000064' '88b5') + b'tagged' + bytes(60))
"""
TAG_RECEIVE = """
import socket, struct
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.setsockopt(263, 8, 1)
s.bind(('e1', 3)); s.settimeout(5)
print('listening', flush=True)
while True:
    data, control, flags, _ = s.recvmsg(2000, 100)
    if b'tagged' in data:
        status, _, _, _, _, tci, tpid = struct.unpack('IIIHHHH', control[0][2][:20])
        assert status & 16 and tci == 100, (status, tci)
        print('tag', tci, flush=True)
        break
"""


def mtu_set(lab, left, wire, right, mtu):
    for ns, device in ((left, "e0"), (wire, "w0"), (wire, "w1"), (right, "e1")):
        lab.ip(ns, "link", "set", device, "mtu", str(mtu))


def test(lab):
    left, wire, right = lab.ns("l"), lab.ns("w"), lab.ns("r")
    for i, ns in enumerate((left, right)):
        device, port = "e%d" % i, "w%d" % i
        lab.ip(wire, "link", "add", port, "up", "type", "veth", "peer", "name", device,
               "netns", ns)
        lab.sysctl(ns, net__ipv6__conf__default__accept_dad=0, net__ipv6__conf__all__accept_dad=0)
        lab.ip(ns, "addr", "add", "10.7.0.%d/24" % (i + 1), "dev", device)
        lab.ip(ns, "addr", "add", "fd07::%d/64" % (i + 1), "dev", device, "nodad")
        lab.ip(ns, "link", "set", device, "up")
    bridge = lab.start("bridge", BRIDGE, "w0", "w1", ns=wire)
    wait_for("bridge", lambda: "ready" in lab.log_text("bridge"))
    assert "link w0 1" in lab.log_text("bridge") and "link w1 1" in lab.log_text("bridge")

    lab.run("ping", "-n", "-c", "1", "-W", "2", "10.7.0.2", ns=left)
    lab.run("ping", "-n", "-c", "1", "-W", "2", "fd07::2", ns=left)
    for address in ("10.7.0.2", "fd07::2"):
        netlab.tcp_whole(lab, left, right, address)
        assert "whole" in netlab.exchange(lab, "uso", left, right, address)[1]
        # fragments of the sender's kernel
        lab.run("ping", "-n", "-c", "2", "-i", "0.2", "-W", "2", "-s", "8000", address, ns=left)
    receiver = lab.start("tag", sys.executable, "-c", TAG_RECEIVE, ns=right)
    wait_for("tag listener", lambda: "listening" in lab.log_text("tag"))
    lab.run(sys.executable, "-c", TAG_SEND, ns=left)
    assert receiver.wait(10) == 0, lab.log_text("tag")

    # jumbo frames: mbuf chains in both directions
    mtu_set(lab, left, wire, right, 9000)
    wait_for("jumbo ping", lambda: lab.run(
        "ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", "8000", "10.7.0.2", ns=left,
        check=False).returncode == 0, 5)
    netlab.tcp_whole(lab, left, right, "10.7.0.2")

    # the link's state, and its end
    lab.ip(left, "link", "set", "e0", "down")
    wait_for("link down", lambda: "link w0 0" in lab.log_text("bridge"), 2)
    lab.ip(left, "link", "set", "e0", "up")
    wait_for("link up", lambda: lab.log_text("bridge").count("link w0 1") == 2, 2)
    lab.run("ping", "-n", "-c", "1", "-W", "2", "10.7.0.2", ns=left)
    lab.ip(wire, "link", "del", "w0")
    wait_for("deleted", lambda: lab.log_text("bridge").count("link w0 0") == 2, 2)

    assert lab.stop(bridge) == 0
    text = lab.log_text("bridge")
    print(text)
    counters = {
        m.group(1): {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", m.group(2))}
        for m in re.finditer(r"^port (\S+) (.*)$", text, re.M)}
    checks = {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", text[text.index("frames "):])}
    assert checks["checked"] > 10000 and checks["chained"] > 500, checks
    assert checks["bad_length"] == 0 and checks["bad_csum"] == 0, checks
    assert checks["mbufs_lost"] == 0, checks
    assert counters["w0"]["super_frames"] > 50 and counters["w0"]["csum_finished"] > 0
    assert counters["w0"]["segments"] > 10000 - 1000
    assert counters["w1"]["tx_super_frames"] > 200, counters
    for port in counters.values():
        assert port["offload_bad"] == 0 and port["kernel_drops"] == 0, port
    for ns in (left, right):
        snmp = lab.run("cat", "/proc/net/snmp", ns=ns)
        for proto, column in (("Tcp", "InCsumErrors"), ("Udp", "InCsumErrors")):
            rows = [line.split() for line in snmp.splitlines() if line.startswith(proto + ":")]
            assert rows[1][rows[0].index(column)] == "0", rows


BRIDGE = sys.argv[1]
netlab.need_root("ip", "ping")
netlab.main("ports", test)

#!/usr/bin/env python3
r"""kill -9 of the forwarding process under traffic: back from the kernel's state each time.

    w1 10.100.0.1              site                      far
    02:..:01  e0 --- p1 (wire) `ip` alone, no FRR       a plain Linux VTEP
                      \ br100 vx100                      vx100 10.100.0.2, 02:..:02
                       up0 172.16.12.0 ---- veth ------- up0 172.16.12.1

w1 sends a numbered datagram every 2 ms, far answers each. After each kill answers must come again, which takes
neighbour, route, VTEP and both MACs, and the kernel must still have the learnt one. Half of the kills
come while it is only starting. Then one is stopped instead (SIGSTOP): noticed, killed, replaced.

usage: test_crash.py AUDUMS_HOLDER AUDUMS_DATAPLANE [--kills N]     (default 5)
"""
import os
import re
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import netlab  # noqa: E402
from netlab import wait_for  # noqa: E402

HOLDER, DATAPLANE = sys.argv[1:3]
KILLS = int(sys.argv[sys.argv.index("--kills") + 1]) if "--kills" in sys.argv else 5

SENDER = r"""
import select, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.100.0.1", 0)); s.setblocking(False)
n = 0; due = time.monotonic()
while True:
    try: s.sendto(b"%d" % n, ("10.100.0.2", 7)); n += 1
    except OSError: pass
    due += 0.002
    while (left := due - time.monotonic()) > 0:
        if select.select([s], [], [], left)[0]:
            try:
                data = s.recv(64)
                sys.stdout.write("%.4f %s\n" % (time.monotonic(), data.decode())); sys.stdout.flush()
            except OSError: pass
"""
ECHO = r"""
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("10.100.0.2", 7))
print("listening", flush=True)
while True:
    data, who = s.recvfrom(64); s.sendto(data, who)
"""


class Answers:
    """When answers came, read from the sender's log."""

    def __init__(self, lab):
        self.file = open(lab.log("sender"))
        self.last, self.last_number = 0.0, -1

    def read(self):
        for line in self.file:
            if line.endswith("\n"):
                words = line.split()
                if len(words) == 2:
                    self.last, self.last_number = float(words[0]), int(words[1])
        return self.last

    def after(self, when):
        """The time of an answer that came after `when`; None: not yet."""
        return self.read() if self.read() > when else None


def site_make(lab):
    site, wire, far, w1 = lab.ns("s"), lab.ns("w"), lab.ns("f"), lab.ns("w1")
    lab.ip(wire, "link", "add", "up0", "mtu", "1600", "up", "type", "veth", "peer", "name", "up0",
           "mtu", "1600", "netns", far)
    lab.ip(wire, "link", "add", "p1", "up", "type", "veth", "peer", "name", "e0", "netns", w1)
    lab.ip(w1, "link", "set", "e0", "address", "02:00:00:00:01:01", "up")
    lab.ip(w1, "addr", "add", "10.100.0.1/24", "dev", "e0")
    lab.sysctl(site, net__ipv4__ip_forward=1)
    lab.ip(far, "addr", "add", "172.16.12.1/31", "dev", "up0")
    lab.ip(far, "link", "set", "up0", "up")
    lab.ip(far, "addr", "add", "10.255.0.2/32", "dev", "lo")
    lab.ip(far, "route", "add", "10.255.0.1", "via", "172.16.12.0")
    lab.ip(far, "link", "add", "vx100", "address", "02:00:00:00:01:02", "mtu", "1500", "type", "vxlan",
           "id", "100", "local", "10.255.0.2", "remote", "10.255.0.1", "dstport", "4789")
    lab.ip(far, "addr", "add", "10.100.0.2/24", "dev", "vx100")
    lab.ip(far, "link", "set", "vx100", "up")
    with open(lab.dir + "/ports.conf", "w") as conf:
        for port, role in (("up0", "uplink"), ("p1", "access")):
            conf.write("port %s role=%s backend=packet netns=/run/netns/%s device=%s\n" % (
                port, role, wire, port))
    return site, far, w1


def kernel_make(lab, site):
    lab.ip(site, "addr", "add", "172.16.12.0/31", "dev", "up0")
    lab.ip(site, "addr", "add", "10.255.0.1/32", "dev", "lo")
    lab.ip(site, "route", "add", "10.255.0.2", "via", "172.16.12.1")
    lab.ip(site, "link", "add", "br100", "type", "bridge", "mcast_snooping", "0", "forward_delay", "0")
    lab.ip(site, "link", "add", "vx100", "type", "vxlan", "id", "100", "local", "10.255.0.1", "dstport",
           "4789", "nolearning")
    for device in ("vx100", "p1"):
        lab.ip(site, "link", "set", device, "master", "br100")
        lab.run("bridge", "-n", site, "link", "set", "dev", device, "learning", "off", "isolated", "on")
    for device in ("br100", "vx100"):
        lab.ip(site, "link", "set", device, "addrgenmode", "none")
        lab.ip(site, "link", "set", device, "up")
    lab.run("bridge", "-n", site, "fdb", "append", "00:00:00:00:00:00", "dev", "vx100", "dst", "10.255.0.2")
    # as zebra writes a remote MAC: the device's entry and the bridge's
    lab.run("bridge", "-n", site, "fdb", "replace", "02:00:00:00:01:02", "dev", "vx100", "dst",
            "10.255.0.2", "self", "extern_learn")
    lab.run("bridge", "-n", site, "fdb", "replace", "02:00:00:00:01:02", "dev", "vx100", "master",
            "extern_learn")


def test(lab):
    site, far, w1 = site_make(lab)
    lab.start("holder", HOLDER, "--inventory", lab.dir + "/ports.conf", "--run", lab.dir + "/run",
              "--dataplane", DATAPLANE, ns=site)

    def log():
        return lab.log_text("holder")

    def ready():
        return log().count(" forwarding_ready ")

    def pid():
        return int(re.findall(r"forwarding_started pid=(\d+)", log())[-1])

    wait_for("dataplane", lambda: ready() == 1, 20)
    kernel_make(lab, site)
    lab.start("echo", sys.executable, "-c", ECHO, ns=far)
    wait_for("echo", lambda: "listening" in lab.log_text("echo"))
    lab.start("sender", sys.executable, "-c", SENDER, ns=w1)
    answers = Answers(lab)
    wait_for("first answer", lambda: answers.after(0), 20)

    def local_mac():
        fdb = lab.run("bridge", "-n", site, "fdb", "show", "br", "br100")
        return re.search(r"02:00:00:00:01:01 dev p1 ", fdb) is not None

    wait_for("learnt MAC", local_mac, 10)
    outages = []
    for nth in range(KILLS):
        before, was = ready(), pid()
        began = time.monotonic()
        os.kill(was, signal.SIGKILL)
        if nth % 2:  # and its follower before it forwards
            wait_for("the next start", lambda: pid() != was, 10, 0.002)
            os.kill(pid(), signal.SIGKILL)
        wait_for("ready after kill %d" % (nth + 1), lambda: ready() > before, 20)
        # an answer some time after it was ready: not one that was still under way
        since = time.monotonic() + 0.05
        wait_for("answers after kill %d" % (nth + 1), lambda: answers.after(since), 10, 0.005)
        if nth % 2 == 0:
            outages.append(outage(lab, began))
        assert local_mac(), "the learnt MAC is gone after kill %d" % (nth + 1)
        # the next kill comes at another moment of its life each time
        until = answers.last_number + 25 * (nth % 4)
        wait_for("more answers", lambda: answers.read() and answers.last_number >= until, 10, 0.005)
    # never a pause before a start of what had forwarded
    waits = [int(w) for w in re.findall(r"wait_ms=(\d+)", log())]
    assert max(waits) == 0, waits
    outages.sort()
    print("%d kills, outage median %d ms, longest %d ms" % (
        len(waits), outages[len(outages) // 2] * 1000, outages[-1] * 1000), flush=True)

    # stopped instead of killed
    before, was = ready(), pid()
    began = time.monotonic()
    os.kill(was, signal.SIGSTOP)
    wait_for("a stopped one is replaced", lambda: ready() > before, 20)
    took = time.monotonic() - began
    assert "forwarding_killed pid=%d reason=silent" % was in log()
    since = time.monotonic() + 0.05
    wait_for("answers after the stop", lambda: answers.after(since), 10)
    print("a stopped one was replaced after %.1f s" % took, flush=True)


def outage(lab, began):
    """The longest silence between two answers since shortly before `began`."""
    times = [float(line.split()[0]) for line in lab.log_text("sender").splitlines()[:-1]
             if len(line.split()) == 2]
    times = [t for t in times if t > began - 0.2]
    return max((b - a for a, b in zip(times, times[1:])), default=0.0)


netlab.need_root("ip", "bridge")
netlab.main("crash", test)

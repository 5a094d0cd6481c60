#!/usr/bin/env python3
"""The port holder with a forwarding process that forwards nothing.

      site (up0, p1: TAPs)      wire            peer
      holder, fake_forwarder    up0 ---veth---- up0  10.9.0.2/24
                                p1  ---veth---- p1

usage: test_holder.py AUDUMS_HOLDER FAKE_FORWARDER
"""
import os
import re
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import netlab  # noqa: E402
from netlab import wait_for  # noqa: E402

HOLDER, FAKE = sys.argv[1:3]


class Holder:
    def __init__(self, lab, site, *options, **env):
        self.lab = lab
        self.run_dir = os.path.join(lab.dir, "run")
        self.process = lab.start(
            "holder", "sh", "-c", 'exec "$@" 9</dev/zero', "sh", HOLDER, "--inventory", lab.dir + "/ports.conf", "--run", self.run_dir,
            "--dataplane", FAKE, "--user", "nobody", *options, ns=site, env=env)

    def pids(self):
        return [int(pid) for pid in re.findall(
            r"fake_running pid=(\d+)", self.lab.log_text("holder"))]

    def running(self, nth):
        """The pid of the nth forwarding process (from 1), once it runs."""
        pids = wait_for("forwarding process %d" % nth, lambda: (
            self.pids() if len(self.pids()) >= nth else None))
        return pids[nth - 1]


def udp_refused(lab, ns, port):
    """True when a datagram to the site comes back as ICMP port unreachable."""
    code = (
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.connect(('10.9.0.1', %d)); s.settimeout(0.4)\n"
        "s.send(b'x')\n"
        "try:\n  s.recv(1)\n"
        "except ConnectionRefusedError:\n  print('refused')\n"
        "except socket.timeout:\n  print('silent')\n" % port)
    return "refused" in lab.run(sys.executable, "-c", code, ns=ns)


def ping(lab, ns, address):
    return lab.run("ping", "-n", "-c", "1", "-W", "1", address, ns=ns, check=False).returncode == 0


def descriptors(pid):
    """What the open descriptors of a process are."""
    path = "/proc/%d/fd/" % pid
    return [os.readlink(path + fd) for fd in os.listdir(path)]


def carrier(lab, ns, device):
    return "LOWER_UP" in lab.link(ns, device)["flags"]


def carrier_changes(lab, ns, device):
    return int(lab.run("cat", "/sys/class/net/%s/carrier_changes" % device, ns=ns))


def test(lab):
    site, wire, peer = lab.ns("s"), lab.ns("w"), lab.ns("p")
    for port in ("up0", "p1"):
        # with two ends of one index the kernel takes its time to say that the peer went down
        lab.ip(wire, "link", "add", port, "index", "1%d" % (port == "p1"), "type", "veth", "peer",
               "name", port, "netns", peer)
        lab.ip(peer, "link", "set", port, "up")
    lab.ip(peer, "addr", "add", "10.9.0.2/24", "dev", "up0")
    lab.ip(wire, "link", "set", "up0", "mtu", "1600")
    with open(lab.dir + "/ports.conf", "w") as conf:
        conf.write(
            "# ports of the test\n"
            "port up0 role=uplink backend=packet netns=/run/netns/%s device=up0 tap=up0\n"
            "port p1 role=access backend=packet netns=/run/netns/%s device=p1\n"
            "port p3 role=access backend=packet netns=/run/netns/%s device=p3\n" % (
                wire, wire, wire))

    # 1. the TAPs are the wires' images
    holder = Holder(lab, site, AUDUMS_TEST_REQUESTS="1", AUDUMS_TEST_READY_MS="1500")
    wait_for("TAPs", lambda: lab.link(site, "p1") and lab.link(site, "up0"))
    wait_for("carrier", lambda: carrier(lab, site, "up0") and carrier(lab, site, "p1"))
    for port in ("up0", "p1"):
        tap, dev = lab.link(site, port), lab.link(wire, port)
        assert tap["address"] == dev["address"] and tap["mtu"] == dev["mtu"], (tap, dev)
    assert lab.link(site, "p1")["inet6_addr_gen_mode"] == "none"
    assert lab.link(site, "up0")["inet6_addr_gen_mode"] != "none"
    assert "inet6" not in lab.ip(wire, "addr", "show", "up0")

    # 2. the bridge that the fake's FDB write is for, and an address for the pump
    lab.ip(site, "link", "add", "br1", "up", "type", "bridge")
    lab.ip(site, "link", "set", "p1", "master", "br1")
    lab.ip(site, "addr", "add", "10.9.0.1/24", "dev", "up0")
    pid = holder.running(1)
    with open("/proc/%d/status" % pid) as status:
        text = status.read()
    assert re.search(r"CapEff:\s+0+\n", text) and re.search(r"CapBnd:\s+0+\n", text), text
    assert re.search(r"NoNewPrivs:\s+1\n", text) and not re.search(r"Uid:\s+0\b", text), text
    result = wait_for("result", lambda: re.search(
        r"fake_result .*seq=7 failed=(\d+) errors=(\S+)", lab.log_text("holder")))
    assert result.group(1) == "2" and result.group(2) == "0,-1,-1", result.group(0)
    fdb = lab.run("bridge", "-n", site, "fdb", "show", "br", "br1")
    assert re.search(r"02:aa:00:00:00:00 dev p1 .*extern_learn master br1", fdb) or re.search(
        r"02:aa:00:00:00:00 dev p1 master br1 .*extern_learn", fdb), fdb
    assert "02:aa:00:00:00:01" not in fdb
    wait_for("probed neighbour", lambda: "10.9.0.77" in lab.ip(site, "neigh", "show", "dev", "up0"))

    # 3. the fake forwards nothing; when it is killed, the pump works and the TAPs do not notice
    assert not ping(lab, peer, "10.9.0.1")
    before = carrier_changes(lab, site, "up0"), carrier_changes(lab, site, "p1")
    os.kill(pid, signal.SIGKILL)
    wait_for("ping through the pump", lambda: ping(lab, peer, "10.9.0.1"), 1.2)
    assert udp_refused(lab, peer, 4790)
    assert len(holder.pids()) == 1, "the pump's window was too short for this machine"
    pid = holder.running(2)
    assert (carrier_changes(lab, site, "up0"), carrier_changes(lab, site, "p1")) == before
    assert "10.9.0.1/24" in lab.ip(site, "addr", "show", "up0")
    assert not ping(lab, peer, "10.9.0.1"), "the pump goes on beside the forwarding process"

    # 4. VXLAN is not pumped
    os.kill(pid, signal.SIGKILL)
    wait_for("ping through the pump", lambda: ping(lab, peer, "10.9.0.1"), 1.2)
    assert not udp_refused(lab, peer, 4789)
    pid = holder.running(3)

    # 5. link and MTU of the wire are copied
    lab.ip(peer, "link", "set", "up0", "down")
    wait_for("no carrier", lambda: not carrier(lab, site, "up0"), 2)
    lab.ip(peer, "link", "set", "up0", "up")
    wait_for("carrier", lambda: carrier(lab, site, "up0"), 2)
    lab.ip(wire, "link", "set", "up0", "mtu", "1550")
    wait_for("MTU", lambda: lab.link(site, "up0")["mtu"] == 1550, 2)

    # 6. a wire that is deleted and made again is found again; the others go on without it
    lab.ip(wire, "link", "del", "p1")
    wait_for("no carrier", lambda: not carrier(lab, site, "p1"), 2)
    assert "fake_list ports=2" in lab.log_text("holder")
    os.kill(pid, signal.SIGKILL)
    wait_for("ping through the pump", lambda: ping(lab, peer, "10.9.0.1"), 1.2)
    holder.running(4)
    assert "fake_list ports=1" in lab.log_text("holder")
    lab.ip(peer, "link", "add", "p1", "type", "veth", "peer", "name", "p1", "netns", wire)
    lab.ip(peer, "link", "set", "p1", "up")
    lab.ip(wire, "link", "set", "p1", "up")
    wait_for("carrier again", lambda: carrier(lab, site, "p1"), 3)
    assert lab.link(site, "p1")["address"] == lab.link(wire, "p1")["address"]
    holder.running(5)

    # one that is made again with an MTU that no port may have waits until it has another
    lab.ip(wire, "link", "del", "p1")
    wait_for("no carrier", lambda: not carrier(lab, site, "p1"), 2)
    lab.ip(peer, "link", "add", "p1", "type", "veth", "peer", "name", "p1", "mtu", "20000",
           "netns", wire)
    lab.ip(peer, "link", "set", "p1", "up")
    wait_for("refusal", lambda: "step=limits" in lab.log_text("holder"), 3)
    os.kill(holder.pids()[-1], signal.SIGKILL)
    holder.running(6)
    lab.ip(wire, "link", "set", "p1", "mtu", "1500", "up")
    wait_for("carrier again", lambda: carrier(lab, site, "p1"), 3)
    holder.running(7)

    # one that was not there at the start is opened when it comes
    assert not carrier(lab, site, "p3")
    lab.ip(wire, "link", "add", "p3", "up", "type", "veth", "peer", "name", "p3", "netns", peer)
    lab.ip(peer, "link", "set", "p3", "up")
    wait_for("carrier of the late port", lambda: carrier(lab, site, "p3"), 3)
    assert lab.link(site, "p3")["address"] == lab.link(wire, "p3")["address"]
    pid = holder.running(8)
    assert "fake_list ports=3" in lab.log_text("holder")

    # nothing that the holder's own parent left open reaches the forwarding process
    assert "/dev/zero" in descriptors(holder.process.pid)
    assert "/dev/zero" not in descriptors(pid)

    # 7. a TAP that somebody deletes is made again
    lab.ip(site, "link", "del", "up0")
    wait_for("the TAP", lambda: lab.link(site, "up0") and carrier(lab, site, "up0"), 3)
    assert lab.link(site, "up0")["address"] == lab.link(wire, "up0")["address"]
    holder.running(9)

    # also when something else had taken its name meanwhile; the others go on without it
    lab.run("sh", "-c", "ip link set p3 down; ip link set p3 name p3old; "
            "ip link add p3 type bridge; ip link del p3old", ns=site)
    wait_for("refusal", lambda: "tap_failed tap=p3" in lab.log_text("holder"), 3)
    os.kill(holder.pids()[-1], signal.SIGKILL)
    holder.running(10)
    lab.ip(site, "link", "del", "p3")
    wait_for("the TAP", lambda: lab.link(site, "p3") and carrier(lab, site, "p3"), 3)
    holder.running(11)

    # 8. SIGTERM removes everything
    assert lab.stop(holder.process) == 0
    assert lab.link(site, "up0") is None and lab.link(site, "p1") is None
    assert not os.path.exists(holder.run_dir + "/dataplane.sock")

    # 9. --keep leaves the TAPs, a second start takes them over
    os.remove(lab.log("holder"))
    holder = Holder(lab, site, "--keep")
    holder.running(1)
    lab.ip(site, "addr", "add", "10.9.0.1/24", "dev", "up0")
    second = Holder(lab, site)
    assert second.process.wait(5) == 1
    lab.processes.remove(second.process)
    assert "another holder has it" in lab.log_text("holder")
    assert lab.stop(holder.process) == 0
    assert not carrier(lab, site, "up0")
    holder = Holder(lab, site)
    holder.running(2)
    wait_for("carrier", lambda: carrier(lab, site, "up0"))
    assert "10.9.0.1/24" in lab.ip(site, "addr", "show", "up0")
    assert lab.stop(holder.process) == 0

    # 10. one that hangs is noticed, killed and replaced; one that answers is left alone
    os.remove(lab.log("holder"))
    holder = Holder(lab, site)
    pid = holder.running(1)
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    holder.running(2)
    assert 3 < time.monotonic() - began < 9, time.monotonic() - began
    assert "forwarding_killed pid=%d reason=silent" % pid in lab.log_text("holder")
    # more questions than a silent one would be let live for
    wait_for("answers", lambda: lab.log_text("holder").count("fake_pong pid=%d\n" % holder.pids()[1]) > 6, 20)
    assert len(holder.pids()) == 2
    assert lab.stop(holder.process) == 0

    # 11. one that was ready is started again at once, however often
    os.remove(lab.log("holder"))
    holder = Holder(lab, site)
    for nth in range(1, 7):
        pid = holder.running(nth)
        os.kill(pid, signal.SIGKILL)
    holder.running(7)
    waits = re.findall(r"fast_deaths=(\d+) wait_ms=(\d+)", lab.log_text("holder"))
    assert waits == [("0", "0")] * 6, waits
    assert lab.stop(holder.process) == 0

    # 12. a forwarding process that always dies is started again with a growing pause
    os.remove(lab.log("holder"))
    global FAKE
    FAKE = "/bin/false"
    holder = Holder(lab, site)
    wait_for("backoff", lambda: "fast_deaths=7" in lab.log_text("holder"))
    waits = re.findall(r"fast_deaths=\d+ wait_ms=(\d+)", lab.log_text("holder"))
    assert waits[:7] == ["0", "0", "0", "50", "100", "200", "400"], waits
    assert ping(lab, peer, "10.9.0.1") is False
    lab.ip(site, "addr", "add", "10.9.0.1/24", "dev", "up0")
    wait_for("ping through the pump", lambda: ping(lab, peer, "10.9.0.1"), 3)
    assert lab.stop(holder.process) == 0


netlab.need_root("ip", "bridge", "ping")
netlab.main("ports", test)

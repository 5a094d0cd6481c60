r"""
What bad input gets, against one lab: three sites in a ring, a segment over all of them.

          n1 (w1)
         /       \
    (w2) n2 ---- n3 (w3)

A file is refused whole, with file:line:column; a client without the right gets the proper gRPC
status; a frame is dropped and counted under a name; a daemon of FRR that is down is said so while
the others' traffic goes on; what somebody changes by hand is put back and told.

Needs root; arguments: audumsctl, the source tree.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lib"), os.path.join(HERE, "..", "topologies"), HERE]
import frames as fr  # noqa: E402
import shapes  # noqa: E402
from fabric import Fabric, traces  # noqa: E402
from netlab import need_root, wait_for  # noqa: E402

CTL, SOURCE = sys.argv[1], sys.argv[2]
LAB, VNI, MESSAGE_MAX = "fabbad", 1000, 16 << 20
PKI = f"/run/audums/lab/{LAB}/pki"
BROADCAST, STRANGER = "ff:ff:ff:ff:ff:ff", "02:00:00:00:00:99"

TENANT = {
    "tenants": [{"name": "iestade", "provider": "visi"}],
    "segments": [{"name": "tikls", "provider": "visi", "tenant": "iestade", "vni": VNI,
                  "sites": ["s1", "s2", "s3"]}],
    "attachments": [{"name": f"a{i}", "provider": "visi", "segment": "tikls", "node": f"n{i}",
                     "port": "p1"} for i in (1, 2, 3)],
}


def topology():
    shape = shapes.ring(3)
    shape["providers"].append({"name": "cits", "asns": {"first": 64800, "last": 64809},
                               "vnis": {"first": 2000, "last": 2999}, "vteps": "10.254.2.0/24",
                               "links": "10.253.2.0/24"})
    for node in shape["nodes"]:
        node["access_ports"].append("p2")
    return shapes.text(shape)


def setUpModule():
    global fabric
    fabric = Fabric(CTL, LAB)
    fabric.down()
    try:
        fabric.up(topology())
        fabric.ready("node/n1", "node/n2", "node/n3", "link/l1-2", "link/l2-3", "link/l3-1")
        fabric.ctl("apply", "-f", "-", "--wait", stdin=shapes.text(TENANT))
        for i in (1, 2, 3):
            fabric.lab("workload", "add", f"w{i}", "--attachment", f"a{i}",
                       "--ip", f"10.77.0.{i}/24", "--ip", f"fd77::{i}/64")
        fabric.ping_whole()
    except BaseException:
        fabric.down()
        raise


def tearDownModule():
    fabric.down()
    assert traces(LAB) == [], traces(LAB)


class Files(unittest.TestCase):
    """Every kind of mistake, its place, and nothing of the file applied."""

    HEAD = "tenants:\n- {name: labais, provider: visi}\n"
    SEGMENT = HEAD + ("segments:\n- {name: s, provider: visi, tenant: labais, sites: [s1]%s}\n")

    def refused(self, text, *lines, last="nothing was changed"):
        with tempfile.TemporaryDirectory(prefix="fabric-") as d:
            path = f"{d}/bad.yaml"
            with open(path, "wb") as f:
                f.write(text if isinstance(text, bytes) else text.encode())
            before = fabric.objects()
            r = fabric.try_ctl("apply", "-f", path)
            self.assertEqual((r.returncode, r.stdout, r.stderr.replace(path, "FILE")), (
                1, "", "".join(f"{line}\n" for line in lines) + f"audumsctl: {last}\n"))
            after = fabric.objects()
        for objects in (before, after):
            for node in objects["nodes"]:
                del node["status"]
        self.assertEqual({k: v for k, v in before.items() if k in ("tenants", "nodes", "providers")},
                         {k: v for k, v in after.items() if k in ("tenants", "nodes", "providers")})
        for kind in ("segments", "attachments", "links", "sites"):
            self.assertEqual([o["name"] for o in before[kind]], [o["name"] for o in after[kind]])

    def checked(self, text, *lines):
        """Found by the controller, with the place in the file all the same."""
        n = len(lines)
        self.refused(text, *lines, last=f"{n} problem{'s' if n > 1 else ''}: nothing was changed")

    def test_syntax(self):
        self.refused(self.HEAD + "- {name: t2, provider: visi\n",
                     "FILE:4:1: YAML syntax: did not find expected ',' or '}' while parsing a flow "
                     "mapping that starts in line 3")
        self.refused(self.HEAD + "\t- x\n", "FILE:3:1: YAML syntax: a tab can't indent, use blanks")
        self.refused(self.HEAD.encode() + b"- {name: t2, display_name: '\xff'}\n",
                     "FILE:3:29: is not UTF-8 from here on")

    def test_fields(self):
        self.refused(self.HEAD + "- {name: t2, provider: visi, colour: red}\n",
                     "FILE:3:30: tenants[1].colour: unknown field, expected one of name, provider, "
                     "display_name, labels, max_segments")
        self.refused("tenants:\n- {name: labais, provider: visi, name: t3}\n",
                     "FILE:2:34: tenants[0].name: is given twice, first in line 2")

    def test_types(self):
        self.refused(self.HEAD + "- {name: t2, provider: visi, max_segments: many}\n",
                     "FILE:3:44: tenants[1].max_segments: expected a whole number from 0 to "
                     '4294967295, got "many"')
        self.refused("tenants: 5\n", 'FILE:1:10: tenants: expected a list, got "5"')
        self.refused("- a\n", "FILE:1:1: expected a map with the fields of Document, got a list")

    def test_all_at_once(self):
        """Not the first mistake alone."""
        self.refused(self.HEAD + "- {name: T, provider: visi}\n- {name: labais, provider: visi}\n",
                     'FILE:3:10: tenants[1].name: is "T", expected a name: 1 to 31 of a-z, 0-9 and '
                     "'-', a letter first, no '-' last",
                     'FILE:4:10: tenants[2].name: there are two tenants named "labais", the first '
                     "is tenants[0]")

    def test_references(self):
        self.checked(self.HEAD + "segments:\n- {name: s, provider: visi, tenant: labs, sites: [s1]}"
                     "\n", 'FILE:4:37: segments[0].tenant: there is no tenant "labs"')

    def test_names(self):
        self.refused(self.HEAD + "- {name: labais, provider: visi}\n",
                     'FILE:3:10: tenants[1].name: there are two tenants named "labais", the first '
                     "is tenants[0]")

    def test_pools(self):
        self.checked(self.SEGMENT % ", vni: 5",
                     'FILE:4:63: segments[0].vni: 5 is outside the VNIs 1000-1999 of provider '
                     '"visi"')
        self.checked(self.HEAD + "nodes:\n- {name: n1, provider: visi, site: s1, vtep: 10.9.9.9, "
                     "access_ports: [p1, p2]}\n",
                     "FILE:4:46: nodes[0].vtep: 10.9.9.9 is outside the VTEPs 10.254.1.0/24 of "
                     'provider "visi"')
        self.checked(self.HEAD + "providers:\n- {name: cits, asns: {first: 64800, last: 64809}, "
                     "vnis: {first: 1500, last: 2500}, vteps: 10.254.1.128/25, "
                     "links: 10.253.2.0/24}\n",
                     'FILE:4:57: providers[0].vnis: vnis 1500-2500 of provider "cits" overlaps '
                     'vnis 1000-1999 of provider "visi"',
                     'FILE:4:91: providers[0].vteps: vteps 10.254.1.128/25 of provider "cits" '
                     'overlaps vteps 10.254.1.0/24 of provider "visi"')

    def test_ports(self):
        at = "- {name: %s, provider: visi, segment: tikls, node: n1, port: p2}\n"
        self.checked(self.HEAD + "attachments:\n" + at % "a" + at % "b",
                     'FILE:5:61: attachments[1].port: port "p2" of node "n1" is taken by '
                     'attachment "a"')
        self.checked(self.HEAD + "links:\n- {name: l, provider: visi, a: {node: n1, port: up8}, "
                     "b: {node: n1, port: up9}}\n",
                     'FILE:4:65: links[0].b.node: both ends are at node "n1", expected two '
                     "different nodes")


def field(number, data):
    """A length-delimited field of protobuf."""
    n, out = len(data), bytes([number << 3 | 2])
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n]) + data


# ApplyRequest.document.tenants
REQUEST = field(1, field(5, field(1, b"nelabais") + field(2, b"visi")))


class Clients(unittest.TestCase):
    """A foreign gRPC client, with every certificate that does not allow what it asks."""

    def setUp(self):
        try:
            import grpc
        except ImportError:
            self.skipTest("needs python3-grpcio")
        self.grpc = grpc
        pid = [p["pid"] for p in json.loads(fabric.lab("status", "-o", "json"))["processes"]
               if p["name"] == "controller"][0]
        self.fds = f"/proc/{pid}/fd"
        before = len(os.listdir(self.fds))
        # runs last: what these clients opened is closed again, and the controller still serves
        self.addCleanup(lambda: wait_for("connections closed", lambda: len(
            os.listdir(self.fds)) <= before, 20))
        self.addCleanup(lambda: self.assertNotIn("nelabais", fabric.ctl("get", "tenants")))

    def ask(self, name, method="Apply", request=REQUEST):
        def read(suffix):
            with open(f"{PKI}/{name}.{suffix}", "rb") as f:
                return f.read()

        with open(f"{PKI}/ca.pem", "rb") as f:
            ca = f.read()
        credentials = self.grpc.ssl_channel_credentials(ca, *(
            (read("key"), read("pem")) if name else (None, None)))
        with self.grpc.secure_channel(
                f"unix:/run/audums/lab/{LAB}/audumsd.sock", credentials,
                options=(("grpc.ssl_target_name_override", "localhost"),
                         ("grpc.max_send_message_length", -1))) as channel:
            try:
                channel.unary_unary(f"/audums.v1.{method}" if "/" in method else
                                    f"/audums.v1.Fabric/{method}")(request, timeout=20)
                return "OK", ""
            except self.grpc.RpcError as e:
                return e.code().name, e.details()

    def test_no_certificate(self):
        self.assertEqual(self.ask(None)[0], "UNAVAILABLE")

    def test_unknown_methods(self):
        for method in ("Nothing", "Nothing/Apply"):
            code, text = self.ask("operator", method)
            self.assertEqual(code, "UNIMPLEMENTED")
            self.assertIn("Nothing", text)

    def test_oversized(self):
        big = REQUEST + field(2, b"x" * (MESSAGE_MAX + 1))
        code, text = self.ask("operator", request=big)
        self.assertEqual(code, "RESOURCE_EXHAUSTED", text)
        self.assertEqual(self.ask("reader", "List", b"")[0], "OK")

    def test_garbage(self):
        self.assertEqual(self.ask("operator", request=b"\xff" * 100)[0], "INVALID_ARGUMENT")

    def test_reader(self):
        self.assertEqual(self.ask("reader", "List", b"")[0], "OK")
        code, text = self.ask("reader")
        self.assertEqual(code, "PERMISSION_DENIED")
        self.assertIn("reader", text)

    def test_node(self):
        """What a node may do is to run its own session, not to change the intent."""
        for method in ("Apply", "Delete"):
            self.assertEqual(self.ask("node-n1", method)[0], "PERMISSION_DENIED")

    def test_by_audumsctl(self):
        with tempfile.TemporaryDirectory(prefix="fabric-") as d:
            for name in ("reader", "node-n1"):
                with open(f"{d}/context.yaml", "w") as f:
                    f.write(f"endpoint: unix:/run/audums/lab/{LAB}/audumsd.sock\n"
                            f"ca: {PKI}/ca.pem\ncert: {PKI}/{name}.pem\nkey: {PKI}/{name}.key\n")
                r = fabric.try_ctl("apply", "-f", "-", context=f"{d}/context.yaml", stdin=(
                    "tenants:\n- {name: nelabais, provider: visi}\n"))
                self.assertEqual((r.returncode, r.stdout), (1, ""))
                self.assertIn("the context's certificate does not allow this", r.stderr)


class Frames(unittest.TestCase):
    """Frames on n1's wire: each dropped, and counted under its name."""

    COUNT = 5

    @classmethod
    def setUpClass(cls):
        status = {n["name"]: n["status"] for n in fabric.objects("nodes")["nodes"]}
        cls.me, cls.peer = status["n1"]["vtep"], status["n2"]["vtep"]
        ports = json.loads(fabric.ctl("node", "show", "n1", "ports", "-o", "json"))
        cls.mac = {p["name"]: p["mac"] for p in ports["ports"]["ports"]}["up0"]
        cls.inner = fr.ethernet(BROADCAST, "02:00:00:00:01:01", b"audums" * 8, 0x88b5)

    @classmethod
    def tearDownClass(cls):
        processes = json.loads(fabric.lab("status", "-o", "json"))["processes"]
        assert all(p["restarts"] == 0 for p in processes
                   if p["name"] in ("n1/holder", "n1/dataplane")), processes
        fabric.ping_whole()

    def inject(self, where, device, frame, count=None):
        fabric.run(where, sys.executable, os.path.join(HERE, "frames.py"), device, stdin=(
            frame.hex() + "\n") * (count or self.COUNT))

    def dropped(self, reason, frame, where="backbone", device="link0a"):
        """Exactly these frames are counted as `reason`."""
        before = fabric.drops("n1")
        self.inject(where, device, frame)
        wait_for(f"{reason} counted", lambda: fabric.drops("n1")[reason] >= before[reason] +
                 self.COUNT, 5)
        after = fabric.drops("n1")
        risen = {k: after[k] - before[k] for k in after if after[k] != before[k]}
        self.assertEqual(risen, {reason: self.COUNT})

    def outer(self, payload, **fields):
        return fr.ethernet(self.mac, STRANGER, fr.ipv4(self.peer, self.me, payload, **fields))

    def overlay(self, vni=VNI, inner=None, flags=0x08):
        return fr.udp(fr.vxlan(vni, self.inner if inner is None else inner, flags))

    def decapsulated(self):
        answer = json.loads(fabric.ctl("node", "show", "n1", "segments", "-o", "json"))
        return sum(int(s.get("decap_packets", 0)) for s in answer["segments"]["segments"])

    def test_a_good_one(self):
        """The frame that all others differ from in one thing passes."""
        before, drops = self.decapsulated(), fabric.drops("n1")
        self.inject("backbone", "link0a", self.outer(self.overlay()))
        wait_for("frames taken out", lambda: self.decapsulated() >= before + self.COUNT, 5)
        self.assertEqual(fabric.drops("n1"), drops)

    def test_truncated(self):
        self.dropped("truncated", self.outer(b"")[:14 + 12])

    def test_ip_header(self):
        self.dropped("bad_ip_length", self.outer(self.overlay(), length=2000))
        self.dropped("bad_ip_length", self.outer(self.overlay(), length=10))
        self.dropped("bad_ip_header", self.outer(self.overlay(), first=0x44))
        self.dropped("bad_ip_header", self.outer(self.overlay(), first=0x65))
        self.dropped("bad_ip_checksum", self.outer(self.overlay(), bad=1))
        self.dropped("bad_ip_address", fr.ethernet(self.mac, STRANGER, fr.ipv4(
            "127.0.0.1", self.me, self.overlay())))
        self.dropped("outer_fragment", self.outer(self.overlay(), fragment=0x2000))

    def test_unknown(self):
        self.dropped("unknown_vni", self.outer(self.overlay(vni=0xfffffe)))
        self.dropped("unknown_vtep", fr.ethernet(self.mac, STRANGER, fr.ipv4(
            "10.254.1.77", self.me, self.overlay())))

    def test_vxlan(self):
        self.dropped("vxlan_flags", self.outer(self.overlay(flags=0)))
        self.dropped("vxlan_flags", self.outer(self.overlay(flags=0xf7)))
        self.dropped("vxlan_truncated", self.outer(fr.udp(fr.vxlan(VNI, self.inner), length=900)))
        self.dropped("vxlan_truncated", self.outer(fr.udp(b"\x08\0\0")))
        self.dropped("inner_truncated", self.outer(self.overlay(inner=b"\xff" * 8)))

    def test_macs(self):
        payload = fr.ipv4(self.peer, self.me, self.overlay())
        self.dropped("own_mac", fr.ethernet(self.mac, self.mac, payload))
        self.dropped("not_for_us", fr.ethernet("02:00:00:00:00:98", STRANGER, payload))

    def test_access(self):
        """What a workload may not send."""
        for reason, frame in (
                ("bad_src_mac", fr.ethernet(BROADCAST, BROADCAST, b"x" * 46, 0x88b5)),
                ("link_local_mac", fr.ethernet("01:80:c2:00:00:00", STRANGER, b"x" * 46, 0x88b5)),
                ("vlan_tagged", fr.ethernet(BROADCAST, STRANGER, b"\0\5\x88\xb5" + b"x" * 46,
                                            0x8100))):
            self.dropped(reason, frame, "w1", "eth0")


def events(node):
    return fabric.get("node", node)["status"].get("events", [])


def component(node, name):
    return [c.get("up", False) for c in fabric.get("node", node)["status"]["components"]
            if c["name"] == name] == [True]


class Daemons(unittest.TestCase):
    """A daemon of n2's FRR is down: said so; n1 and n3 lose nothing; it heals."""

    def stopped(self, daemon):
        probe = subprocess.Popen([CTL, "lab", "probe", "--from", "w1", "--to", "w3", "-d", "60s",
                                  "--rate", "200", "--lab", LAB, "-o", "json"], text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(lambda: (probe.kill(), probe.communicate()))
        self.assertIn("answers come", probe.stderr.readline())
        fabric.lab("stop", f"n2/{daemon}")
        try:
            wait_for(f"{daemon} said to be down", lambda: not component("n2", daemon), 10)
            status = fabric.get("node", "n2")["status"]
            self.assertEqual(status["phase"], "degraded")
            self.assertIn(daemon, status.get("message", ""))
            self.assertIn(daemon, fabric.ctl("describe", "node/n2"))
            self.assertEqual(fabric.get("node", "n1")["status"]["connected"], True)
            self.assertTrue(any(e["kind"] == "component_down" and e["object"] == daemon
                                for e in events("n2")))
            fabric.ping_whole("w1", "w3")
        finally:
            fabric.lab("start", f"n2/{daemon}")
        fabric.ready("node/n1", "node/n2", "node/n3", "link/l1-2", "link/l2-3", "segment/tikls")
        fabric.ping_whole()
        probe.terminate()
        result = json.loads(probe.communicate(timeout=20)[0])
        self.assertEqual(result["lost"], 0, result)

    def test_bgpd(self):
        self.stopped("bgpd")

    def test_zebra(self):
        self.stopped("zebra")

    def test_bfdd(self):
        self.stopped("bfdd")

    def test_zebra_killed(self):
        """A new zebra learns what the old one knew: else what goes away later would stay."""
        mac = json.loads(fabric.run("w3", "ip", "-j", "link", "show", "eth0"))[0]["address"]

        def known():
            text = fabric.run("n2", "vtysh", "-N", f"au-{LAB}-n2", "-d", "zebra", "-c",
                              f"show evpn vni {VNI}", check=False)
            return text.count("flood: HER") == 2

        def macs():
            return fabric.run("n2", "bridge", "fdb", "show", "dev", f"vx{VNI}").count(mac)
        self.assertTrue(known() and macs())
        fabric.lab("kill", "n2/zebra")
        wait_for("the new zebra to be asked", lambda: component("n2", "zebra") and not known(), 20)
        wait_for("the new zebra to know all", known, 30)
        fabric.ready("node/n2", "link/l1-2", "link/l2-3", "segment/tikls")
        fabric.ping_whole()
        fabric.lab("workload", "remove", "w3")
        wait_for("the MAC to be withdrawn", lambda: not macs(), 10)
        fabric.lab("workload", "add", "w3", "--attachment", "a3", "--mac", mac,
                   "--ip", "10.77.0.3/24", "--ip", "fd77::3/64")
        fabric.ping_whole()


class Hands(unittest.TestCase):
    """What an engineer undoes by hand is back within a second, and told."""

    def undo(self, kind, how, undone, back):
        told = len([e for e in events("n1") if e["kind"] == kind])
        newest = max([e["time_ms"] for e in events("n1")], default=0)
        self.assertTrue(back())
        how()
        start = time.monotonic()
        # the agent may have been faster than this look
        took = wait_for("it to be back", lambda: back() and time.monotonic() - start, 3)
        print("%s: back after %.0f ms at most" % (self.id().split(".")[-1], took * 1000), flush=True)
        wait_for("the event", lambda: any(
            e["kind"] == kind and e["time_ms"] > newest for e in events("n1")), 5)
        self.assertLess(len([e for e in events("n1") if e["kind"] == kind]), told + 4, undone)
        self.assertIn(kind, fabric.ctl("describe", "node/n1"))
        fabric.ready("segment/tikls", timeout="10s")
        wait_for("flood list", lambda: fabric.run(
            "n1", "bridge", "fdb", "show", "dev", f"vx{VNI}").count("00:00:00:00:00:00") == 2)
        fabric.ping_whole()

    def link(self, device):
        text = fabric.run("n1", "ip", "-d", "-j", "link", "show", "dev", device, check=False)
        try:
            return json.loads(text)[0]
        except ValueError:
            return None

    def test_vxlan_device_deleted(self):
        was = self.link(f"vx{VNI}")["ifindex"]

        def back():
            now = self.link(f"vx{VNI}")
            return now and now.get("master") == f"br{VNI}" and (
                now["ifindex"] != was or not deleted)
        deleted = []
        self.undo("kernel_drift", lambda: (fabric.run("n1", "ip", "link", "del", f"vx{VNI}"),
                                           deleted.append(1)), "the device", back)

    def test_membership(self):
        def back():
            now = self.link("p1")
            return now and now.get("master") == f"br{VNI}" and (
                now["linkinfo"]["info_slave_data"]["isolated"])
        self.undo("kernel_drift", lambda: fabric.run("n1", "ip", "link", "set", "p1", "nomaster"),
                  "membership", back)
        self.undo("kernel_drift", lambda: fabric.run(
            "n1", "bridge", "link", "set", "dev", "p1", "isolated", "off"), "isolation", back)

    def test_vni_in_bgpd(self):
        asn = fabric.get("node", "n1")["status"]["asn"]
        rt = fabric.get("segment", "tikls")["status"]["route_target"]

        def vtysh(*commands):
            words = [w for c in commands for w in ("-c", c)]
            return fabric.run("n1", "vtysh", "-N", f"au-{LAB}-n1", *words)

        def back():
            text = vtysh("show running-config")
            vni = re.search(rf"  vni {VNI}\n(.*?)  exit-vni", text, re.S)
            return bool(vni and f"route-target import {rt}" in vni.group(1))
        self.undo("frr_drift", lambda: vtysh(
            "configure terminal", f"router bgp {asn}", "address-family l2vpn evpn",
            f"no vni {VNI}"), "the VNI", back)


need_root("ip", "bridge", "vtysh")
if not os.path.exists("/usr/lib/frr/bgpd"):
    print("SKIP: needs FRR")
    sys.exit(77)
unittest.main(argv=["test_bad_input", *sys.argv[3:]], verbosity=2)

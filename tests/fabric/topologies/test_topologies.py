"""
A lab of any valid topology of 1 to 12 nodes: each comes up, a tenant's segment spans all of it,
every workload reaches every other one, and nothing is left when it is taken down.

    lab up -> nodes, links ready -> a segment at all sites -> ping -> delete -> down -> no trace

What cannot be a lab is said in a sentence, and nothing is made. Needs root; arguments: audumsctl,
the source tree.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import shapes  # noqa: E402
from fabric import Fabric, traces  # noqa: E402
from netlab import need_root, wait_for  # noqa: E402

CTL, SOURCE = sys.argv[1], sys.argv[2]


def of_all(fabric, names=("iestade", "tikls", "p{}-{}"), mtu=0):
    """A tenant with one segment at all sites, and every access port attached to it."""
    have = fabric.objects()
    provider = have["providers"][0]["name"]
    tenant, segment, attachment = names
    count = iter(range(1, 1000))
    return {
        "tenants": [{"name": tenant, "provider": provider, "display_name": shapes.LETTERS}],
        "segments": [{"name": segment, "provider": provider, "tenant": tenant, "mtu": mtu,
                      "display_name": shapes.LETTERS, "subnets": ["10.77.0.0/24", "fd77::/64"],
                      "sites": [s["name"] for s in have["sites"]]}],
        "attachments": [{"name": attachment.format(next(count), n["name"]), "provider":
                         n["provider"], "segment": segment, "node": n["name"], "port": p}
                        for n in have["nodes"] for p in n["access_ports"]],
    }


class Topologies(unittest.TestCase):
    """Each test is one lab."""

    def enter(self, topology, name):
        fabric = Fabric(CTL, name)
        self.addCleanup(fabric.down)
        fabric.down()
        self.started = time.monotonic()
        fabric.up(topology)
        fabric.ready(*(f"node/{n['name']}" for n in fabric.objects("nodes")["nodes"]))
        links = fabric.objects("links").get("links", [])
        if links:
            fabric.ready(*(f"link/{link['name']}" for link in links))
        return fabric

    def provision(self, fabric, document, workload="w{}"):
        """Apply it, a workload at each attachment; all of them talk."""
        fabric.ctl("apply", "-f", "-", "--wait", stdin=shapes.text(document))
        for i, a in enumerate(document["attachments"], 1):
            fabric.lab("workload", "add", workload.format(i), "--attachment", a["name"],
                       "--ip", f"10.77.0.{i}/24", "--ip", f"fd77::{i}/64")
        n = len(document["attachments"])
        # each pair, two families, two sizes
        self.assertEqual(fabric.ping_whole(count=2), n * (n - 1) * 2 * 2 * 2)

    def leave(self, fabric, document):
        """Delete the tenant, take the lab down."""
        for w in json.loads(fabric.lab("workload", "list", "-o", "json")):
            fabric.lab("workload", "remove", w["name"])
        fabric.ctl("delete", "-f", "-", "--wait", stdin=shapes.text(document))
        have = fabric.objects()
        self.assertNotIn("segments", have)
        for node in have["nodes"]:
            left = fabric.run(node["name"], "ip", "-br", "link")
            self.assertNotIn("vx1", left)
            self.assertNotIn("br1", left)
            # nobody did anything by hand: nothing was found amiss
            kinds = [e["kind"] for e in node["status"].get("events", [])]
            self.assertNotIn("frr_drift", kinds, node["name"])
            self.assertNotIn("kernel_drift", kinds, node["name"])
        fabric.down()
        self.assertEqual(traces(fabric.name), [])
        print("%s: %.1f s" % (fabric.name, time.monotonic() - self.started), flush=True)

    def whole(self, topology, name):
        fabric = self.enter(topology, name)
        document = of_all(fabric)
        self.provision(fabric, document)
        return fabric, document

    def file(self, name):
        return f"{SOURCE}/topology/{name}.yaml"

    def test_single(self):
        """One node: its ports are switched locally, and the agent has nothing to do."""
        fabric, document = self.whole(self.file("single"), "fabone")
        drops = fabric.drops("home1")
        self.assertEqual(drops["vtep_unreachable"], 0)
        # an agent without peers rests: what it wrote stands, and its log stays short
        log = fabric.log("home1", "agent")
        self.assertNotIn("frr_drift", log)
        self.assertLess(log.count("frr_written"), 40)
        self.leave(fabric, document)

    def test_chain(self):
        """Between the ends the middle node forwards, and the kernel there answers for TTL."""
        fabric, document = self.whole(self.file("chain3"), "fabchain")
        status = {n["name"]: n["status"] for n in fabric.objects("nodes")["nodes"]}
        ends = status["ventspils1"]["vtep"], status["daugavpils1"]["vtep"]
        hop = fabric.run("ventspils1", "ping", "-n", "-c", "1", "-W", "2", "-t", "1", "-I", ends[0],
                         ends[1], check=False)
        self.assertRegex(hop, r"From 10\.253\.1\.\d+ icmp_seq=1 Time to live exceeded")
        far = fabric.run("ventspils1", "ping", "-n", "-c", "1", "-W", "2", "-t", "2", "-I", ends[0],
                         ends[1])
        self.assertIn("ttl=63", far)
        vteps = json.loads(fabric.ctl("node", "show", "riga1", "ports", "-o", "json"))
        forwarded = [p for p in vteps["ports"]["ports"] if p["name"].startswith("up")]
        self.assertTrue(all(int(p["tx_packets"]) > 50 for p in forwarded), forwarded)
        self.leave(fabric, document)

    def test_star(self):
        fabric, document = self.whole(self.file("star5"), "fabstar")
        self.leave(fabric, document)

    def test_parallel(self):
        """Two links between two sites: both carry, and one of them is enough, again and again."""
        fabric, document = self.whole(self.file("parallel2"), "fabpar")
        self.paths(fabric, 2)
        for link in ("east-west-a", "east-west-b"):
            fabric.lab("link", "down", link)
            wait_for(f"{link} to be said degraded",
                     lambda: fabric.get("link", link)["status"]["phase"] == "degraded")
            wait_for("traffic on the other link", lambda: fabric.ping(count=1)["lost"] == 0)
            fabric.ping_whole(count=5)
            self.paths(fabric, 1)
            fabric.lab("link", "up", link)
            fabric.ready(f"link/{link}", "segment/tikls")
            fabric.ping_whole()
            self.paths(fabric, 2)
        self.leave(fabric, document)

    @staticmethod
    def paths(fabric, count):
        """Each dataplane has so many ways to the other's VTEP."""
        vteps = {n["name"]: n["status"]["vtep"] for n in fabric.objects("nodes")["nodes"]}
        for node, vtep in (("east1", vteps["west1"]), ("west1", vteps["east1"])):
            def have(node=node, vtep=vtep):
                routes = json.loads(fabric.ctl("node", "show", node, "routes", "-o", "json"))
                return [len(r.get("next_hops", [])) for r in routes["routes"]["routes"]
                        if r["prefix"] == vtep + "/32"] == [count]
            wait_for(f"{count} paths from {node} to {vtep}", have)

    def test_ring_of_twelve(self):
        """As many nodes as a lab can have, in a ring with chords."""
        shape = shapes.ring(12, chords=[(1, 7), (3, 9), (5, 11)])
        fabric, document = self.whole(shapes.text(shape), "fabring")
        self.leave(fabric, document)

    def test_longest_names(self):
        """Names as long as they may be, letters of Latvia, two nodes at one site."""
        fabric = self.enter(shapes.text(shapes.everything_long()), "fablongestname0")
        names = [shapes.longest(w, 31) for w in ("tenant", "segment")]
        document = of_all(fabric, (*names, shapes.longest("a", 28) + "{:03}"))
        self.provision(fabric, document, shapes.longest("w", 30) + "{}")
        have = fabric.objects()
        for kind in ("sites", "nodes", "links", "tenants", "segments"):
            for o in have[kind]:
                self.assertTrue(o["display_name"].startswith(shapes.LETTERS))
        self.assertIn(shapes.LETTERS, fabric.ctl("describe", f"segment/{names[1]}"))
        fabric.ctl("get", "all")
        self.leave(fabric, document)

    def test_several_mtus(self):
        """9,000 octets pass between sites whose links carry them; 1,500 pass everywhere."""
        fabric = self.enter(shapes.text(shapes.several_mtus()), "fabmtu")
        document = of_all(fabric)
        document["attachments"] = [a for a in document["attachments"] if a["port"] == "p1"]
        wide = {"name": "plats", "provider": "visi", "tenant": "iestade", "mtu": 9000,
                "sites": ["wide", "hub"]}
        document["segments"].append(wide)
        refused = {**wide, "name": "par-platu", "sites": ["wide", "narrow"]}
        self.provision(fabric, document)
        r = fabric.try_ctl("apply", "-f", "-", stdin=shapes.text({"segments": [refused]}))
        self.assertEqual(r.returncode, 1)
        self.assertIn('segment "par-platu" with MTU 9000 needs 9050 octets on the backbone, but '
                      'link "far-narrow" carries 1550; expected an MTU of at most 1500', r.stderr)
        more = [{"name": f"plats-{n}", "provider": "visi", "segment": "plats", "node": n + "1",
                 "port": "p2"} for n in ("wide", "hub")]
        fabric.ctl("apply", "-f", "-", "--wait", stdin=shapes.text({"attachments": more}))
        for i, a in enumerate(more, 1):
            fabric.lab("workload", "add", a["name"], "--attachment", a["name"], "--mtu", "9000",
                       "--ip", f"10.78.0.{i}/24", "--ip", f"fd78::{i}/64")
        result = fabric.ping("plats-wide", "plats-hub")
        self.assertEqual(sorted({p["size"] for p in result["pairs"]}), [84, 9000])
        self.assertEqual(result["lost"], 0, result)
        document["attachments"] += more
        self.leave(fabric, document)


def changed(document, kind, index, **fields):
    """A copy of the document with some fields of one object changed."""
    copy = json.loads(json.dumps(document))
    copy[kind][index].update(fields)
    return copy


class Refused(unittest.TestCase):
    """What cannot be brought up is said, with the same words each time, and nothing is made."""

    def refuse(self, topology, message, name="fabno", code=1, options=(), **kw):
        with tempfile.TemporaryDirectory(prefix="fabric-") as d:
            path = f"{d}/lab.yaml"
            with open(path, "w", encoding="utf-8") as f:
                f.write(topology)
            before = traces(name)
            fabric = Fabric(CTL, name)
            r = fabric.try_ctl("lab", "up", path, "--name", name, *options, **kw)
            self.assertEqual((r.returncode, r.stdout, r.stderr.replace(path, "FILE")),
                             (code, "", message))
            self.assertEqual(traces(name), before)

    def shape(self, message, **change):
        """Refused for its shape: two nodes, changed."""
        base = shapes.ring(2)
        base["links"] = base["links"][:1]
        for where, fields in change.items():
            kind, index = where.rsplit("_", 1)
            base = changed(base, kind, int(index), **fields)
        self.refuse(shapes.text(base), message)

    def test_thirteen_nodes(self):
        self.refuse(shapes.text(shapes.ring(13)),
                    "audumsctl: the topology has 13 nodes; a lab on one machine has at most 12\n")

    def test_no_nodes(self):
        self.refuse(shapes.text({"providers": [shapes.PROVIDER]}),
                    "audumsctl: the topology has no nodes\n")

    def test_names_of_labs(self):
        for name in ("fab-no", "Fabno", "fabnofabnofabnofabno", "1fab", "", "fab/no"):
            self.refuse(shapes.text(shapes.ring(1)), f'audumsctl: "{name}" cannot be a lab\'s '
                        "name: 1 to 15 small letters and digits, a letter first\n", name=name)

    def test_names_that_do_not_fit(self):
        long = "n" * 32
        shape = shapes.ring(1)
        self.refuse(shapes.text(changed(shape, "nodes", 0, name=long)), (
            f'FILE:6:12: nodes[0].name: is "{long}", expected a name: 1 to 31 of a-z, 0-9 and '
            "'-', a letter first, no '-' last\n"
            "audumsctl: FILE cannot be brought up; nothing was created\n"))
        self.refuse(shapes.text(changed(shape, "nodes", 0, access_ports=["p" * 15])), (
            'FILE:6:69: nodes[0].access_ports[0]: is "ppppppppppppppp", expected a port\'s name: 1 to '
            "14 of a-z, 0-9 and '-', a letter first\n"
            "audumsctl: FILE cannot be brought up; nothing was created\n"))

    def test_names_that_the_lab_uses(self):
        for name in ("bb", "ext", "ctl", "controller", "backbone"):
            self.refuse(shapes.text(changed(shapes.ring(1), "nodes", 0, name=name)),
                        f'audumsctl: a node cannot be called "{name}" in a lab: the lab uses that '
                        "name\n")
        self.refuse(shapes.text(changed(shapes.ring(1), "nodes", 0, name="w-1")),
                    'audumsctl: a node cannot be called "w-1" in a lab: names that begin with '
                    '"w-" are workloads\'\n')
        shape = shapes.ring(2)
        shape["links"] = []
        shape = changed(shape, "nodes", 1, name="n1-wire")
        self.refuse(shapes.text(shape), 'audumsctl: nodes "n1" and "n1-wire" cannot be in one lab: '
                    "their namespaces would have one name\n")

    def test_names_of_ports(self):
        """Some names the kernel has for itself, some the agent gives to its own devices."""
        for port in ("lo", "mgmt0", "all", "default", "br1000", "vx1"):
            self.refuse(shapes.text(changed(shapes.ring(1), "nodes", 0, access_ports=[port])),
                        f'audumsctl: node "n1": a port cannot be called "{port}" in a lab\n')
            self.shape(f'audumsctl: link "l1-2": a port cannot be called "{port}" in a lab\n',
                       links_0={"a": {"node": "n1", "port": port}})

    def test_files(self):
        self.shape('FILE:10:90: links[0].b.node: both ends are at node "n1", expected two '
                   "different nodes\naudumsctl: FILE cannot be brought up; nothing was created\n",
                   links_0={"b": {"node": "n1", "port": "up1"}})
        self.refuse("nodes:\n- {name: a\n", (
            "FILE:3:1: YAML syntax: did not find expected ',' or '}' while parsing a flow mapping "
            "that starts in line 2\n"
            "audumsctl: FILE cannot be brought up; nothing was created\n"))
        r = Fabric(CTL, "fabno").try_ctl("lab", "up", "/nonexistent.yaml", "--name", "fabno")
        self.assertEqual(r.stderr, "/nonexistent.yaml: can't be read: No such file or directory\n"
                         "audumsctl: /nonexistent.yaml cannot be brought up; nothing was created\n")

    def test_up_already(self):
        with Fabric(CTL, "fabtwice") as fabric:
            shape = shapes.text(shapes.ring(1))
            fabric.up(shape, "--without", "frr,holder,agent,controller")
            n = len(fabric.ctl("lab", "traces", "fabtwice").splitlines())
            before = traces("fabtwice")
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
                f.write(shape)
                f.flush()
                r = fabric.try_ctl("lab", "up", f.name, "--name", "fabtwice")
            self.assertEqual((r.returncode, r.stdout), (1, ""))
            self.assertRegex(r.stderr, r"\Aaudumsctl: lab fabtwice is up already, or left \d+ "
                             r"things behind \(audumsctl lab down fabtwice removes them; --name "
                             r"brings a second one up\)\n\Z")
            self.assertEqual(traces("fabtwice"), before)
            self.assertEqual(len(fabric.ctl("lab", "traces", "fabtwice").splitlines()), n)

    def test_missing_programs(self):
        with tempfile.TemporaryDirectory(prefix="fabric-") as d:
            shutil.copy(CTL, f"{d}/audumsctl")
            what = "".join(
                f"audumsctl: program {p} is neither in the build tree nor installed: build Audums "
                "(ninja -C build)\n" if i == 0 else
                f"program {p} is neither in the build tree nor installed: build Audums "
                "(ninja -C build)\n" for i, p in enumerate(
                    ("audumsd", "audums-agent", "audums-holder", "audums-dataplane")))
            self.refuse(shapes.text(shapes.ring(1)), what, program=f"{d}/audumsctl", env={"PATH": "/usr/bin:/bin"})

    @staticmethod
    def one():
        return f"{SOURCE}/topology/single.yaml"

    def test_missing_frr(self):
        """FRR's directory is hidden in a mount namespace of this test's own."""
        r = subprocess.run(
            ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /usr/lib/frr && exec "$@"', "-", CTL,
             "lab", "up", self.one(), "--name", "fabno"], capture_output=True, text=True,
            env={**os.environ, "PATH": "/usr/bin:/bin"}, timeout=60)
        lines = [f"FRR's {d} is not installed: deploy/install-packages.sh installs all that is "
                 "needed\n" for d in ("zebra", "bgpd", "bfdd")]
        self.assertEqual((r.returncode, r.stdout, r.stderr), (1, "", "audumsctl: " + "".join(lines)))
        self.assertEqual(traces("fabno"), [])

    def test_not_root(self):
        r = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", "sh", "-c", 'exec "$@"',
                            "-", CTL, "lab", "up", self.one(), "--name", "fabno"],
                           capture_output=True, text=True, timeout=60)
        self.assertEqual((r.returncode, r.stdout, r.stderr), (
            1, "", "audumsctl: a lab needs root: it makes network namespaces and devices (sudo "
            "audumsctl lab up ...)\n"))
        self.assertEqual(traces("fabno"), [])


need_root("ip", "ping", "unshare", "setpriv")
if not os.path.exists("/usr/lib/frr/bgpd"):
    print("SKIP: needs FRR")
    sys.exit(77)
unittest.main(argv=["test_topologies", *sys.argv[3:]], verbosity=2)

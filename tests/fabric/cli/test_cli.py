"""
audumsctl as people use it, against a real controller with a real node.

    audumsctl -- unix socket, mutual TLS --> audumsd --> agent --> kernel, FRR, forwarding process

What must hold: exit codes as documented; errors on stderr, with the place in the file and what to
do; output that other programs can read; nothing changed by what was refused. Needs root; arguments:
audumsctl, the source tree.
"""
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

CTL, SOURCE = sys.argv[1], sys.argv[2]
LAB = "clitest"
CONTEXT = f"/run/audums/lab/{LAB}/context.yaml"

SEGMENT = """
tenants:
- {name: iestade, provider: solo, display_name: Iestāde}
segments:
- name: tikls
  provider: solo
  tenant: iestade
  sites: [home]
  mtu: 1500
attachments:
- {name: a1, provider: solo, segment: tikls, node: home1, port: p1}
- {name: a2, provider: solo, segment: tikls, node: home1, port: p2}
"""


def ctl(*words, stdin=None, context=CONTEXT, env=None):
    environment = {**os.environ, "AUDUMS_CONTEXT": context, "LC_ALL": "C.UTF-8", **(env or {})}
    return subprocess.run([CTL, *words], input=stdin, env=environment, text=True,
                          capture_output=True, timeout=120)


class Cli(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        subprocess.run([CTL, "lab", "down", LAB], check=True, capture_output=True)
        up = ctl("lab", "up", f"{SOURCE}/topology/single.yaml", "--name", LAB, "-o", "json")
        if up.returncode:
            raise RuntimeError(up.stderr)
        cls.up = json.loads(up.stdout)

    @classmethod
    def tearDownClass(cls):
        subprocess.run([CTL, "lab", "down", LAB], check=True, capture_output=True)

    def tearDown(self):
        self.ok("delete", "-f", "-", "--if-exists", "--wait", stdin=SEGMENT)

    def ok(self, *words, **kw):
        r = ctl(*words, **kw)
        self.assertEqual(r.returncode, 0, (words, r.stdout, r.stderr))
        return r

    def fails(self, code, *words, **kw):
        r = ctl(*words, **kw)
        self.assertEqual(r.returncode, code, (words, r.stdout, r.stderr))
        self.assertIn("audumsctl: ", r.stderr)
        return r

    def test_up_says_what_it_made(self):
        self.assertEqual(self.up["lab"], LAB)
        self.assertEqual(self.up["nodes"], 1)
        self.fails(1, "lab", "up", f"{SOURCE}/topology/single.yaml", "--name", LAB)

    def test_life_of_a_segment(self):
        self.assertEqual(ctl("diff", "-f", "-", stdin=SEGMENT).returncode, 2)
        r = self.ok("apply", "-f", "-", "--wait", "--comment", "pārbaude", stdin=SEGMENT)
        self.assertIn("created segment/tikls", r.stdout)
        operation = r.stdout.split("operation ")[1].split(",")[0]
        self.assertIn(f"audumsctl operation {operation}", r.stdout)
        self.assertIn("audumsctl delete -f -", r.stdout)
        self.ok("diff", "-f", "-", stdin=SEGMENT)
        r = self.ok("apply", "-f", "-", stdin=SEGMENT)
        self.assertIn("unchanged segment/tikls", r.stdout)

        self.ok("wait", "segment/tikls", "--timeout", "10s")
        got = json.loads(self.ok("get", "seg/tikls", "-o", "json").stdout)
        self.assertEqual(got["segments"][0]["status"]["phase"], "ready")
        done = json.loads(self.ok("operation", operation, "--wait", "-o", "json").stdout)
        self.assertEqual(done["state"], "done")
        self.assertEqual(done["comment"], "pārbaude")

        changed = SEGMENT.replace("mtu: 1500", "mtu: 1400")
        r = ctl("diff", "-f", "-", stdin=changed)
        self.assertEqual(r.returncode, 2)
        self.assertIn("~ segment/tikls", r.stdout)
        self.assertIn("mtu: 1500 -> 1400", r.stdout)

        self.fails(1, "delete", "segment/tikls")
        r = self.ok("delete", "segment/tikls", "att/a1", "att/a2", "--wait")
        self.assertIn("deleted attachment/a1", r.stdout)
        self.ok("wait", "segment/tikls", "--for", "deleted", "--timeout", "5s")
        self.fails(1, "get", "segment/tikls")
        self.fails(1, "delete", "segment/tikls")
        self.ok("delete", "segment/tikls", "--if-exists")

    def test_yaml_goes_round(self):
        self.ok("apply", "-f", "-", "--wait", stdin=SEGMENT)
        text = self.ok("get", "tenant/iestade", "-o", "yaml").stdout
        self.assertIn("Iestāde", text)
        text = self.ok("get", "all", "-o", "yaml").stdout
        self.assertIn("generation:", text)
        self.assertIn("status:", text)
        self.ok("diff", "-f", "-", stdin=text)
        r = self.ok("apply", "-f", "-", stdin=text)
        self.assertIn("unchanged segment/tikls", r.stdout)
        self.assertNotIn("changed node", r.stdout.replace("unchanged", ""))
        r = ctl("diff", "-f", "-", stdin=text.replace("mtu: 1500", "mtu: 1400"))
        self.assertEqual(r.returncode, 2)
        self.assertIn("~ segment/tikls", r.stdout)

    def test_refused_with_its_place(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
            # known to the controller only
            f.write(SEGMENT.replace("tenant: iestade", "tenant: nav"))
            f.flush()
            r = self.fails(1, "apply", "-f", f.name)
            line = 1 + SEGMENT[:SEGMENT.index("tenant: iestade")].count("\n")
            self.assertIn(f"{f.name}:{line}:", r.stderr)
            self.assertIn("nav", r.stderr)
            self.assertIn("nothing was changed", r.stderr)
        self.fails(1, "get", "tenant/iestade")
        # known before the controller is asked
        r = self.fails(1, "apply", "-f", "-", stdin="segments:\n- {name: X, colour: red}\n",
                       context="/nonexistent")
        self.assertIn("colour", r.stderr)
        self.assertEqual(r.stdout, "")
        self.fails(1, "apply", "-f", "/nonexistent.yaml")

    def test_tables(self):
        self.ok("apply", "-f", "-", "--wait", stdin=SEGMENT)
        r = self.ok("get", "all")
        for word in ("PROVIDER", "NODE", "home1", "SEGMENT", "tikls", "ATTACHMENT", "Iestāde"):
            self.assertIn(word, r.stdout)
        self.assertNotIn("\x1b", r.stdout)
        r = self.ok("describe", "node/home1", "segment/tikls")
        for word in ("zebra", "dataplane", "applied", "vni"):
            self.assertIn(word, r.stdout)
        self.assertIn("Iestāde", self.ok("get", "tenants", env={"LC_ALL": "C"}).stdout)

    def test_node_show(self):
        self.ok("apply", "-f", "-", "--wait", stdin=SEGMENT)
        for what in "ports counters segments fdb vteps routes neighbours drops nodes info".split():
            self.ok("node", "show", "home1", what)
            for extra in ((), ("--direct", "--lab", LAB)):
                for line in self.ok("node", "show", "home1", what, "-o", "json",
                                    *extra).stdout.splitlines():
                    json.loads(line)
        ports = json.loads(self.ok("node", "show", "home1", "ports", "-o", "json").stdout)
        p1 = [p for p in ports["ports"]["ports"] if p["name"] == "p1"][0]
        self.assertTrue(p1["vni"] >= 1000)
        self.fails(64, "node", "show", "home1", "nothing")
        self.fails(1, "node", "show", "nowhere", "ports")

    def test_trace_of_workloads(self):
        self.ok("apply", "-f", "-", "--wait", stdin=SEGMENT)
        for i in (1, 2):
            self.ok("lab", "workload", "add", f"w{i}", "--attachment", f"a{i}", "--lab", LAB,
                    "--ip", f"192.0.2.{i}/24", "--ip", f"2001:db8::{i}/64")
        r = self.ok("lab", "ping", "--lab", LAB, "-o", "json")
        result = json.loads(r.stdout)
        self.assertEqual(result["lost"], 0)
        self.assertEqual(len(result["pairs"]), 8)
        probe = subprocess.Popen([CTL, "lab", "probe", "--from", "w1", "--to", "w2", "-d", "0",
                                  "--rate", "100", "--lab", LAB, "-o", "json"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            self.assertIn("answers come", probe.stderr.readline())
            r = self.ok("trace", "home1", "--port", "p1", "-o", "json")
            steps = json.loads(r.stdout.splitlines()[0])["trace"]["packets"][0]["steps"]
            self.assertTrue(len(steps) >= 2)
            self.assertIn("=> forwarded", self.ok("trace", "home1", "--port", "p1").stdout)
            self.observe()
            probe.terminate()
            out, err = probe.communicate(timeout=10)
            self.assertEqual(probe.returncode, 0, err)
            self.assertGreater(json.loads(out)["received"], 0)
        finally:
            probe.kill()
            probe.communicate()
            self.ok("lab", "workload", "remove", "w1", "w2", "--lab", LAB)

    def observe(self):
        """While 100 frames a second go from p1 to p2: top and capture see them."""
        r = self.ok("node", "top", "home1", "--once", "--interval", "500ms", "-o", "json")
        ports = {p["port"]: p for p in json.loads(r.stdout)["ports"]}
        self.assertGreater(ports["p1"]["rx_packets_per_s"], 0)
        self.assertIn("WORKER", self.ok("node", "top", "home1", "--once").stdout)
        with tempfile.TemporaryDirectory() as d:
            path = f"{d}/x.pcapng"
            r = self.ok("node", "capture", "home1", "--segment", "tikls", "--direction", "in",
                        "--port", "p1", "-c", "3", "-w", path)
            self.assertIn("3 frames", r.stderr)
            with open(path, "rb") as f:
                data = f.read()
            self.assertEqual(data[:4], b"\x0a\x0d\x0d\x0a")
            self.assertEqual(data.count(b"segment "), 3)
        self.fails(1, "node", "capture", "home1", "--drop", "nothing", "-w", "/dev/null")
        self.fails(1, "node", "capture", "home1", "--segment", "nowhere", "-w", "/dev/null")

    def test_wait_times_out(self):
        r = self.fails(1, "wait", "segment/tikls", "--timeout", "300ms")
        self.assertIn("does not exist", r.stderr)

    def test_wait_through_a_restart(self):
        waiting = subprocess.Popen([CTL, "wait", "segment/tikls", "--timeout", "20s",
                                    "--context", CONTEXT], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        before = [p["pid"] for p in self.processes() if p["name"] == "controller"][0]
        self.ok("lab", "kill", "controller", "--lab", LAB)
        deadline = time.monotonic() + 10
        while [p["pid"] for p in self.processes() if p["name"] == "controller"][0] in (0, before):
            self.assertLess(time.monotonic(), deadline)
        r = ctl("apply", "-f", "-", stdin=SEGMENT)
        while r.returncode:  # until it listens again
            self.assertLess(time.monotonic(), deadline, r.stderr)
            r = ctl("apply", "-f", "-", stdin=SEGMENT)
        self.assertEqual(r.returncode, 0, r.stderr)
        out, err = waiting.communicate(timeout=30)
        self.assertEqual(waiting.returncode, 0, err)
        self.assertIn("segment/tikls ready", out)

    def processes(self):
        return json.loads(self.ok("lab", "status", "--lab", LAB, "-o", "json").stdout)["processes"]

    def test_usage(self):
        for words in (["nothing"], ["get"], ["get", "foo"], ["apply"], ["apply", "--nothing"],
                      ["delete"], ["get", "nodes", "-o", "xml"], ["wait", "segment/x", "--timeout",
                                                                  "soon"],
                      ["lab", "exec", "home1"], ["completion", "fish"]):
            self.fails(64, *words)
        r = self.ok("apply", "--help")
        self.assertIn("Example:", r.stdout)
        self.assertIn("Exit status:", self.ok("--help").stdout)
        self.assertIn("lab up", self.ok("lab", "--help").stdout)

    def test_no_controller(self):
        with tempfile.TemporaryDirectory() as d:
            path = f"{d}/context.yaml"
            with open(CONTEXT) as f:
                text = f.read()
            with open(path, "w") as f:
                f.write(text.replace("audumsd.sock", "nobody.sock"))
            r = self.fails(1, "get", "nodes", context=path)
            self.assertIn("is the controller running?", r.stderr)
            with open(path, "w") as f:
                f.write(text.replace("operator.pem", "reader.pem").replace("operator.key",
                                                                          "reader.key"))
            self.ok("get", "nodes", context=path)
            r = self.fails(1, "apply", "-f", "-", stdin=SEGMENT, context=path)
            self.assertIn("certificate does not allow", r.stderr)
        self.fails(1, "get", "nodes", context="/nonexistent/context.yaml")

    def test_exec_and_completion(self):
        r = ctl("lab", "exec", "home1", "--lab", LAB, "--", "sh", "-c", "exit 7")
        self.assertEqual(r.returncode, 7)
        self.assertIn("lo", self.ok("lab", "exec", "home1", "--lab", LAB, "--", "ls",
                                    "/proc/sys/net/ipv4/conf").stdout)
        self.fails(1, "lab", "exec", "nowhere", "--lab", LAB, "--", "true")
        words = self.ok("__complete", "--", "node", "show", "ho").stdout.split()
        self.assertEqual(set(words), {"home1"})  # another lab may have one too
        words = self.ok("__complete", "--", "get", "node/").stdout.split()
        self.assertEqual(words, ["node/home1"])
        self.assertIn("complete -o", self.ok("completion", "bash").stdout)


if os.geteuid():
    print("needs root")
    sys.exit(77)
unittest.main(argv=["test_cli"], verbosity=2)

"""A whole lab through audumsctl, for fabric tests that ask for an outcome and not for its parts."""
import json
import os
import subprocess
import tempfile


def traces(name):
    """What a lab of that name has on this machine, looked for in the machine's own places."""
    found = []
    for directory in ("/run/netns", "/run/audums/lab", "/var/lib/audums/lab", "/run/frr",
                      "/etc/frr", "/sys/class/net"):
        if os.path.isdir(directory):
            found += [f"{directory}/{n}" for n in sorted(os.listdir(directory))
                      if n == name or n.startswith(f"au-{name}-")]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().decode(errors="replace").split("\0")
        except OSError:
            continue
        # not the command that was told the name, but what runs on the lab's paths
        if any(f"/lab/{name}/" in w or w.startswith(f"au-{name}-") for w in words):
            found.append("process " + " ".join(words))
    return found


class Fabric:
    """One lab. Use it as a context manager: it is taken down whatever happens."""

    def __init__(self, audumsctl, name):
        self.audumsctl, self.name = audumsctl, name
        self.context = f"/run/audums/lab/{name}/context.yaml"

    def __enter__(self):
        self.down()
        return self

    def __exit__(self, *_):
        self.down()

    def try_ctl(self, *words, stdin=None, context=None, timeout=120, program=None, env=None):
        """Run audumsctl; returns the finished process."""
        environment = {**os.environ, "AUDUMS_CONTEXT": context or self.context,
                       "LC_ALL": "C.UTF-8", **(env or {})}
        return subprocess.run([program or self.audumsctl, *words], input=stdin, text=True,
                              env=environment, capture_output=True, timeout=timeout)

    def ctl(self, *words, **kw):
        """Run audumsctl, which must succeed; returns what it printed."""
        r = self.try_ctl(*words, **kw)
        if r.returncode:
            raise AssertionError(f"audumsctl {' '.join(words)}: {r.returncode}: "
                                 f"{r.stdout}{r.stderr}")
        return r.stdout

    def lab(self, *words, **kw):
        return self.ctl("lab", *words, "--lab", self.name, **kw)

    def up(self, topology, *options):
        """Bring a file up, or a text."""
        if "\n" not in topology:
            return json.loads(self.ctl("lab", "up", topology, "--name", self.name, "-o", "json",
                                       *options))
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as f:
            f.write(topology)
            f.flush()
            return self.up(f.name, *options)

    def down(self):
        self.ctl("lab", "down", self.name)

    def ready(self, *words, timeout="60s"):
        self.ctl("wait", *words, "--for", "ready", "--timeout", timeout)

    def objects(self, kinds="all"):
        """Everything the controller knows: {"nodes": [...], ...}."""
        return json.loads(self.ctl("get", kinds, "-o", "json"))

    def get(self, kind, name):
        return json.loads(self.ctl("get", f"{kind}/{name}", "-o", "json"))[kind + "s"][0]

    def drops(self, node):
        """{reason: frames} of a node's dataplane."""
        answer = json.loads(self.ctl("node", "show", node, "drops", "-o", "json"))
        return {d["reason"]: int(d.get("packets", 0)) for d in answer["drops"]["drops"]}

    def ping(self, *words, count=3):
        """All pairs; returns the result. Losses are the caller's to judge."""
        r = self.try_ctl("lab", "ping", *words, "--count", str(count), "--interval", "20ms",
                         "-o", "json", "--lab", self.name)
        if not r.stdout:
            raise AssertionError(r.stderr)
        return json.loads(r.stdout)

    def ping_whole(self, *words, count=3):
        """All pairs, none lost; returns how many packets were sent."""
        result = self.ping(*words, count=count)
        lost = [p for p in result["pairs"] if p["sent"] != p["received"]]
        assert not lost and result["lost"] == 0, lost
        return result["sent"]

    def run(self, where, *argv, check=True, **kw):
        """Run a command in a node's or workload's namespace."""
        r = self.try_ctl("lab", "exec", where, "--lab", self.name, "--", *argv, **kw)
        if check and r.returncode:
            raise AssertionError(f"{where}: {' '.join(argv)}: {r.stdout}{r.stderr}")
        return r.stdout

    def log(self, node, process):
        with open(f"/run/audums/lab/{self.name}/{node}/{process}.log", errors="replace") as f:
            return f.read()

"""Namespaces, processes and waiting, for fabric tests that build their topology by hand.

Everything a Lab makes carries its prefix and is removed by close(), also after a failure. Nothing
here sleeps and hopes: wait_for() polls a condition until a deadline.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

SKIP = 77


def skip(why):
    print("SKIP: " + why)
    sys.exit(SKIP)


def need_root(*programs):
    """End the test as skipped unless it can work here."""
    if os.geteuid() != 0:
        skip("needs root (network namespaces, TAPs)")
    if not os.path.exists("/dev/net/tun"):
        skip("needs /dev/net/tun")
    for program in programs:
        if shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/frr") is None:
            skip("needs the program " + program)


def wait_for(what, condition, seconds=10.0, every=0.02):
    """Poll until condition() is true and return its value; raise when the deadline passes."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("waited %.1f s for: %s" % (seconds, what))
        time.sleep(every)


class Lab:
    def __init__(self, name):
        self.prefix = "au-%s-%d" % (name, os.getpid())
        self.dir = tempfile.mkdtemp(prefix=self.prefix + "-")
        os.chmod(self.dir, 0o755)
        self.namespaces = []
        self.processes = []
        self.paths = []  # directories outside of self.dir, removed at the end

    def ns(self, name):
        """Make a namespace with loopback up; returns its full name."""
        full = "%s-%s" % (self.prefix, name)
        self.run("ip", "netns", "add", full)
        self.namespaces.append(full)
        self.run("ip", "-n", full, "link", "set", "lo", "up")
        return full

    def run(self, *argv, ns=None, check=True, stdin=None, timeout=60, errors=True):
        """Run a command; returns its output (with stderr, unless errors=False)."""
        if ns is not None:
            argv = ("ip", "netns", "exec", ns) + argv
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, text=True, input=stdin, timeout=timeout,
            stderr=subprocess.STDOUT if errors else subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise AssertionError("%s: %d\n%s" % (" ".join(argv), done.returncode, done.stdout))
        return done.stdout if check else done

    def ip(self, ns, *argv):
        return self.run("ip", "-n", ns, *argv)

    def link(self, ns, device):
        """ip -d -j link show DEVICE, or None."""
        done = self.run("ip", "-n", ns, "-d", "-j", "link", "show", device, check=False)
        return json.loads(done.stdout)[0] if done.returncode == 0 else None

    def sysctl(self, ns, **values):
        for key, value in values.items():
            path = "/proc/sys/" + key.replace("__", "/")
            self.run("sh", "-c", "echo %s > %s" % (value, path), ns=ns)

    def start(self, name, *argv, ns=None, env=None):
        """Start a process with its output in DIR/NAME.log."""
        if ns is not None:
            argv = ("ip", "netns", "exec", ns) + argv
        with open(self.log(name), "a") as log:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=dict(os.environ, **(env or {})), start_new_session=True)
        process.name = name
        self.processes.append(process)
        return process

    def log(self, name):
        return os.path.join(self.dir, name + ".log")

    def log_text(self, name):
        with open(self.log(name), errors="replace") as log:
            return log.read()

    def stop(self, process, seconds=10):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AssertionError("%s did not end by SIGTERM" % process.name)
        self.processes.remove(process)
        return process.returncode

    def close(self, failed=False):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + 5
        for process in reversed(self.processes):
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for ns in reversed(self.namespaces):
            pids = subprocess.run(["ip", "netns", "pids", ns], stdout=subprocess.PIPE, text=True)
            for pid in pids.stdout.split():
                try:
                    os.kill(int(pid), 9)
                except ProcessLookupError:
                    pass
            subprocess.run(["ip", "netns", "del", ns], check=False)
        if failed:
            for name in sorted(os.listdir(self.dir)):
                if name.endswith(".log"):
                    text = self.log_text(name[:-4])
                    print("---- %s\n%s" % (name, text[-6000:]))
        for path in self.paths + [self.dir]:
            shutil.rmtree(path, ignore_errors=True)


TRAFFIC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "traffic.py")


def exchange(lab, kind, sender, receiver, address):
    """A transfer of traffic.py between two namespaces: returns what sender and receiver printed."""
    name = "%s-%s" % (kind, receiver)
    if os.path.exists(lab.log(name)):
        os.remove(lab.log(name))
    listener = lab.start(name, sys.executable, TRAFFIC, kind, "listen", address, ns=receiver)
    wait_for(kind + " listener", lambda: "listening" in lab.log_text(name))
    sent = lab.run(sys.executable, TRAFFIC, kind, "send", address, ns=sender)
    if listener.wait(30) != 0:
        raise AssertionError(lab.log_text(name))
    lab.processes.remove(listener)
    return sent, lab.log_text(name)


def tcp_whole(lab, sender, receiver, address):
    sent, received = exchange(lab, "tcp", sender, receiver, address)
    assert sent.split()[1] in received, (sent, received)


def main(lab_name, test):
    """Run test(lab), clean up whatever happens, exit with what meson expects."""
    lab = Lab(lab_name)
    failed = True
    try:
        test(lab)
        failed = False
    finally:
        lab.close(failed)
    print("ok")

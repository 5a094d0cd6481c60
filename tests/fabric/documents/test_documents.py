"""
The example of docs/user/api.md, run as it stands there.

    example.py (Debian's python3-grpcio) -- unix socket, mutual TLS --> audumsd --> four nodes

What must hold: it ends well and prints what the document says. Allocated numbers are those of a fresh
lab. Needs root; arguments: audumsctl, the source tree.
"""
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import unittest

CTL, SOURCE = sys.argv[1], sys.argv[2]
LAB = "documents"
RUN = f"/run/audums/lab/{LAB}"


def block_after(text, words):
    """The indented block that follows these words, without its indentation."""
    rest = text.split(words, 1)[1]
    found = re.search(r"\n\n((?:(?:    .*)?\n)+)", rest)
    return textwrap.dedent(found.group(1)).strip("\n") + "\n"


class Documents(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        subprocess.run([CTL, "lab", "down", LAB], check=True, capture_output=True)
        up = subprocess.run([CTL, "lab", "up", f"{SOURCE}/topology/latvia.yaml", "--name", LAB],
                            capture_output=True, text=True)
        if up.returncode:
            raise RuntimeError(up.stderr)

    @classmethod
    def tearDownClass(cls):
        subprocess.run([CTL, "lab", "down", LAB], check=True, capture_output=True)

    def test_api_example(self):
        with open(f"{SOURCE}/docs/user/api.md", encoding="utf-8") as f:
            text = f.read()
        generate = block_after(text, "Generate the messages once:")
        self.assertIn("mkdir gen && protoc", generate)
        example = block_after(text, "The program, `example.py`:")
        self.assertTrue(example.startswith("# Provision"), example[:80])
        says = block_after(text, "With a lab that is up:").splitlines()[1:]
        with tempfile.TemporaryDirectory(prefix="au-documents-") as d:
            os.symlink(f"{SOURCE}/proto", f"{d}/proto")
            subprocess.run(generate, shell=True, cwd=d, check=True, timeout=60)
            with open(f"{d}/example.py", "w", encoding="utf-8") as f:
                f.write(example)
            r = subprocess.run(["/usr/bin/python3", "example.py", f"{RUN}/pki", f"unix:{RUN}/audumsd.sock"],
                               cwd=d, env={**os.environ, "PYTHONPATH": f"{d}/gen"}, capture_output=True,
                               text=True, timeout=100)
        self.assertEqual(r.returncode, 0, r.stderr)
        # how often a segment is pending before it is ready is nobody's promise
        shown = [line.strip() for line in r.stdout.splitlines() if "PENDING" not in line]
        self.assertEqual(shown, [line.strip() for line in says if "PENDING" not in line])


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("SKIP: needs root (network namespaces)")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1], verbosity=2)

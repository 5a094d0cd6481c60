"""A foreign gRPC client (Debian's python3-grpcio) against our server: every kind of call, statuses
with messages and details, deadline, cancellation, large messages, refusals.

usage: foreign_test.py SERVE PROTO_DIRECTORY    (started by meson; wants /usr/bin/python3)
"""
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import unittest

import grpc

SERVE, PROTO = sys.argv[1:3]
TIMEOUT = 20


def generate(out):
    """The schema's Python messages."""
    include = subprocess.run(
        ["pkg-config", "--variable=includedir", "protobuf"],
        check=True, capture_output=True, text=True).stdout.strip()
    names = ["audums/v1/%s.proto" % n for n in ("rules", "dataplane", "node", "fabric")]
    subprocess.run(["protoc", "-I", PROTO, "-I", include, "--python_out=" + out, *names], check=True)
    sys.path.insert(0, out)


class Foreign(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="audums-rpc-foreign-")
        generate(cls.dir)
        from audums.v1 import fabric_pb2, node_pb2
        cls.fabric, cls.node = fabric_pb2, node_pb2
        cls.serve = subprocess.Popen(
            [SERVE, cls.dir], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        cls.port = int(cls.serve.stdout.readline())
        cls.channel = cls.connect("node")

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.serve.stdin.close()
        cls.last = cls.serve.stdout.read()
        code = cls.serve.wait(TIMEOUT)
        cls.serve.stdout.close()
        shutil.rmtree(cls.dir)
        assert code == 0, "the server ended with %d" % code

    @classmethod
    def read(cls, name):
        with open(os.path.join(cls.dir, name), "rb") as f:
            return f.read()

    @classmethod
    def connect(cls, name, options=()):
        credentials = grpc.ssl_channel_credentials(
            cls.read("ca.crt"),
            cls.read(name + ".key") if name else None,
            cls.read(name + ".crt") if name else None)
        return grpc.secure_channel("localhost:%d" % cls.port, credentials, options=options)

    def get(self, name, channel=None, method="Get", **kw):
        call = (channel or self.channel).unary_unary(
            "/audums.v1.Fabric/" + method,
            request_serializer=self.fabric.GetRequest.SerializeToString,
            response_deserializer=self.fabric.Document.FromString)
        kw.setdefault("timeout", TIMEOUT)
        return call(self.fabric.GetRequest(name=name), **kw)

    def watch(self, name):
        call = self.channel.unary_stream(
            "/audums.v1.Fabric/Watch",
            request_serializer=self.fabric.WatchRequest.SerializeToString,
            response_deserializer=self.fabric.WatchEvent.FromString)
        return call(self.fabric.WatchRequest(name=name), timeout=TIMEOUT)

    def session(self, messages):
        call = self.channel.stream_stream(
            "/audums.v1.NodeControl/Session",
            request_serializer=self.node.AgentMessage.SerializeToString,
            response_deserializer=self.node.ControllerMessage.FromString)
        return call(messages, timeout=TIMEOUT)

    def hello(self, node):
        return self.node.AgentMessage(hello=self.node.Hello(node=node))

    def failed(self, code, fn):
        with self.assertRaises(grpc.RpcError) as e:
            fn()
        self.assertEqual(e.exception.code(), code, e.exception.details())
        return e.exception

    def test_unary(self):
        document = self.get("lvrtc")
        self.assertEqual(document.providers[0].name, "lvrtc")
        self.assertEqual(document.providers[0].display_name, "audums://node/riga-1")
        self.assertEqual(self.get("later").providers[0].name, "later")

    def test_many_unary_at_once(self):
        call = self.channel.unary_unary(
            "/audums.v1.Fabric/Get",
            request_serializer=self.fabric.GetRequest.SerializeToString,
            response_deserializer=self.fabric.Document.FromString)
        futures = [call.future(self.fabric.GetRequest(name="n%d" % i), timeout=TIMEOUT)
                   for i in range(500)]
        self.assertEqual([f.result().providers[0].name for f in futures],
                         ["n%d" % i for i in range(500)])

    def test_server_stream(self):
        self.assertEqual([len(e.ref.name) for e in self.watch("1000 500")], [500] * 1000)

    def test_server_stream_beyond_every_window(self):
        total = sum(len(e.ref.name) for e in self.watch("200 100000"))
        self.assertEqual(total, 200 * 100000)

    def test_bidirectional_stream(self):
        outgoing = queue.Queue()
        answers = self.session(iter(outgoing.get, None))
        ids = []
        for _ in range(50):
            outgoing.put(self.hello("riga-1"))
            ids.append(next(answers).query.id)
        outgoing.put(None)
        self.assertEqual(list(answers), [])
        self.assertEqual(answers.code(), grpc.StatusCode.OK)
        self.assertEqual(ids, list(range(ids[0], ids[0] + 50)))

    def test_stream_that_the_server_ends(self):
        outgoing = queue.Queue()
        answers = self.session(iter(outgoing.get, None))
        outgoing.put(self.hello("finish"))
        e = self.failed(grpc.StatusCode.ABORTED, lambda: list(answers))
        self.assertEqual(e.details(), "as you like")
        outgoing.put(None)

    def test_status_and_message(self):
        e = self.failed(grpc.StatusCode.NOT_FOUND, lambda: self.get("missing"))
        self.assertEqual(e.details(), 'no provider "missing"')
        e = self.failed(grpc.StatusCode.ABORTED, lambda: self.get("strange"))
        self.assertEqual(e.details(), "100% Rīga\nline")

    def test_details(self):
        e = self.failed(grpc.StatusCode.INVALID_ARGUMENT, lambda: self.get("invalid"))
        self.assertEqual(e.details(), "the document is wrong")
        trailers = dict(e.trailing_metadata())
        status = self.fabric.StatusDetails.FromString(trailers["grpc-status-details-bin"])
        self.assertEqual(status.code, grpc.StatusCode.INVALID_ARGUMENT.value[0])
        self.assertEqual(status.details[0].type_url, "type.googleapis.com/audums.v1.Problems")
        problems = self.fabric.Problems.FromString(status.details[0].value)
        self.assertEqual([p.path for p in problems.problems], ["segments[2].tenant"] * 2)

    def test_details_beyond_what_the_client_takes(self):
        # grpcio accepts 8 KiB of metadata unless told otherwise: it gets the status without them.
        e = self.failed(grpc.StatusCode.INVALID_ARGUMENT, lambda: self.get("many-problems"))
        self.assertNotIn("grpc-status-details-bin", dict(e.trailing_metadata()))
        with self.connect("node", [("grpc.max_metadata_size", 1 << 17)]) as channel:
            e = self.failed(grpc.StatusCode.INVALID_ARGUMENT,
                            lambda: self.get("many-problems", channel))
        trailers = dict(e.trailing_metadata())
        status = self.fabric.StatusDetails.FromString(trailers["grpc-status-details-bin"])
        problems = self.fabric.Problems.FromString(status.details[0].value)
        self.assertEqual(len(problems.problems), 700)

    def test_deadline(self):
        self.failed(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: self.get("never", timeout=0.2))

    def test_cancel(self):
        events = self.watch("")
        next(events)
        events.cancel()
        self.failed(grpc.StatusCode.CANCELLED, lambda: next(events))

    def test_unknown_method(self):
        e = self.failed(grpc.StatusCode.UNIMPLEMENTED, lambda: self.get("a", method="Nothing"))
        self.assertEqual(e.details(), "unknown method /audums.v1.Fabric/Nothing")

    def test_large_answer(self):
        document = self.get("big-4000000")
        self.assertEqual(len(document.providers[0].display_name), 4000000)

    def test_oversized_request(self):
        e = self.failed(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: self.get("n" * (5 << 20)))
        self.assertEqual(e.details(), "message longer than the limit")

    def test_compressed_request(self):
        self.failed(grpc.StatusCode.UNIMPLEMENTED,
                    lambda: self.get("n" * 10000, compression=grpc.Compression.Gzip))

    def test_malformed_request(self):
        call = self.channel.unary_unary("/audums.v1.Fabric/Get")
        self.failed(grpc.StatusCode.INVALID_ARGUMENT,
                    lambda: call(b"\xff\xff\xff", timeout=TIMEOUT))

    def test_request_cardinality(self):
        call = self.channel.stream_unary("/audums.v1.Fabric/Get")
        self.failed(grpc.StatusCode.UNIMPLEMENTED,
                    lambda: call(iter([]), timeout=TIMEOUT))
        self.failed(grpc.StatusCode.UNIMPLEMENTED,
                    lambda: call(iter([b"", b""]), timeout=TIMEOUT))

    def test_without_certificate(self):
        with self.connect(None) as channel:
            self.failed(grpc.StatusCode.UNAVAILABLE, lambda: self.get("a", channel))
        self.assertEqual(self.get("a").providers[0].name, "a")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)

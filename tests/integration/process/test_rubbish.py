"""Rubbish on every port: an error or a closed connection, never a crash, and nothing lost."""

import random
import select

from process_test_case import ProcessTest, http_status, socket

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
EMPTY_SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


def frame(kind, flags, stream, payload):
    return (len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
            + payload)


def literal(name, value):
    """One HPACK header, not indexed, not compressed."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def grpc_call(path, message):
    """A well-formed call whose message is not: the node's own parsing is what meets it."""
    headers = b"".join(literal(name, value) for name, value in (
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x"),
        (b"content-type", b"application/grpc"), (b"te", b"trailers")))
    body = b"\x00" + len(message).to_bytes(4, "big") + message
    return (HTTP2_PREFACE + EMPTY_SETTINGS + frame(1, 4, 1, headers)
            + frame(0, 1, 1, body))


class RubbishTest(ProcessTest):
    def setUp(self):
        super().setUp()
        self.process, self.port = self.one_node()
        self.assertEqual(self.kvctl(self.port, "put", "k", "v").returncode, 0)

    def send(self, port, content):
        """Sends it, reads what comes for a moment, and hangs up."""
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            try:
                connection.sendall(content)
                if select.select([connection], [], [], 0.05)[0]:
                    connection.recv(65536)
            except OSError:
                pass  # closed on us: that is an answer too

    def assert_unharmed(self):
        self.assertIsNone(self.process.poll(), "basaltd ended")
        self.assertEqual(self.kvctl(self.port, "-o", "raw", "get", "k").stdout.strip(), "v")
        self.assertEqual(http_status(self.port + 2, "/readyz"), 200)

    def test_random_bytes(self):
        generator = random.Random(20)
        for offset in range(3):
            for size in (0, 1, 7, 64, 1000, 100_000):
                self.send(self.port + offset, generator.randbytes(size))
            self.assert_unharmed()

    def test_text(self):
        for offset in range(3):
            for content in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"*1\r\n$4\r\nPING\r\n",
                            b"\r\n" * 5000, b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
                            b"POST /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                            b"GET /../../etc/passwd HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"\0" * 200):
                self.send(self.port + offset, content)
        self.assert_unharmed()

    def test_broken_http2(self):
        generator = random.Random(21)
        for offset in range(2):
            for _ in range(20):
                content = HTTP2_PREFACE + EMPTY_SETTINGS + frame(
                    generator.randrange(12), generator.randrange(256), generator.randrange(4),
                    generator.randbytes(generator.randrange(200)))
                self.send(self.port + offset, content)
        self.assert_unharmed()

    def test_calls_with_broken_messages(self):
        generator = random.Random(22)
        paths = [(0, b"/basalt.v1.Kv/" + name) for name in (b"Call", b"Stream", b"GetMap")]
        paths += [(0, b"/basalt.v1.Admin/" + name)
                  for name in (b"Status", b"ScanReplica", b"InitCluster", b"NoSuchCall")]
        paths += [(1, b"/basalt.v1.Peer/" + name)
                  for name in (b"Meet", b"Reserve", b"Adopt", b"Stream", b"Checkpoint")]
        for offset, path in paths:
            for size in (0, 1, 5, 40, 400):
                self.send(self.port + offset, grpc_call(path, generator.randbytes(size)))
            self.assert_unharmed()

    def test_mutated_requests(self):
        # Request{id: 1, shard_id: 1, put: {key: "k2", value: "v2"}} with bytes changed at random.
        good = bytes.fromhex("0801" "1001" "5a08" "0a026b32" "12027632")
        peer = bytes.fromhex("0801" "1210" "00112233445566778899aabbccddeeff" "1a020801")
        generator = random.Random(23)
        for _ in range(60):
            for offset, path, message in ((0, b"/basalt.v1.Kv/Call", good),
                                          (1, b"/basalt.v1.Peer/Meet", peer),
                                          (1, b"/basalt.v1.Peer/Adopt", peer)):
                changed = bytearray(message)
                changed[generator.randrange(len(changed))] = generator.randrange(256)
                self.send(self.port + offset, grpc_call(path, bytes(changed)))
        self.assert_unharmed()

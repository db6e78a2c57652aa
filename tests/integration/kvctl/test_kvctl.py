"""kvctl against a cluster of three real nodes: what each verb prints, and how it ends."""

import base64
import json
import pathlib
import random
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "scripts"))

from basalt_tools.local_cluster import LocalCluster, wait_for  # noqa: E402
from basalt_tools.slots import ShardTable  # noqa: E402


class KvctlTest(unittest.TestCase):
    """One cluster for all; each test has a prefix of its own. The last one kills nodes."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="basalt-kvctl-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.cluster = LocalCluster(cls.folder / "cluster", shards=4)
        cls.cluster.__enter__()
        cls.addClassCleanup(cls.cluster.__exit__, None, None, None)

    def kvctl(self, *words, code=0, **options):
        done = self.cluster.kvctl(*words, check=False, **options)
        self.assertEqual(done.returncode, code, (words, done.stderr.decode(errors="replace")))
        if code:
            self.assertTrue(done.stderr.startswith(b"kvctl: "), done.stderr)
        return done.stdout

    def json(self, *words):
        return json.loads(self.kvctl("-o", "json", *words))

    def test_a_key_lives_and_dies(self):
        self.kvctl("get", "life", code=1)
        self.assertEqual(self.kvctl("put", "life", "first"), b"OK\n")
        first = self.json("get", "life")
        self.assertEqual(first["value"], "first")
        self.kvctl("put", "life", "second")
        self.assertEqual(self.kvctl("get", "life", "--read", "read-index"), b"second\n")
        self.assertGreater(int(self.json("get", "life")["version"]), int(first["version"]))
        self.kvctl("del", "life")
        self.kvctl("get", "life", code=1)
        self.kvctl("del", "life", code=1)

    def test_b_any_bytes(self):
        value = bytes(range(256)) * 3
        self.kvctl("put", "bytes", "-", input=value)
        self.assertEqual(self.kvctl("-o", "raw", "get", "bytes"), value)
        self.kvctl("--hex", "put", "62797465ff00", "00ff")
        self.assertEqual(self.kvctl("--hex", "get", "62797465ff00"), b"00ff\n")
        row = self.json("--hex", "get", "62797465ff00")
        self.assertEqual(base64.b64decode(row["key_base64"]), b"byte\xff\0")

    def test_c_limits(self):
        self.kvctl("put", "", "v", code=5)
        self.kvctl("put", "k" * 4097, "v", code=5)
        self.kvctl("put", "k" * 4096, "v")
        self.kvctl("del", "k" * 4096)
        self.kvctl("put", "large", "-", input=b"x" * (8 << 20))
        self.assertEqual(len(self.kvctl("-o", "raw", "get", "large")), 8 << 20)
        self.kvctl("put", "large", "-", input=b"x" * ((8 << 20) + 1), code=5)
        self.kvctl("del", "large")

    def test_d_round_trip_of_any_rows(self):
        seeded = random.Random(7)
        rows = {}
        for number in range(3000):
            key = b"rows:%06d:" % number + seeded.randbytes(seeded.randrange(20))
            rows[key] = seeded.randbytes(seeded.randrange(200)) if number % 2 else b"text %d" % number
        lines = b"".join(json.dumps({"key": base64.b64encode(k).decode(),
                                     "value": base64.b64encode(v).decode()}).encode() + b"\n"
                         for k, v in rows.items())
        self.kvctl("import", "--base64", "-", input=lines)
        self.assertEqual(int(self.kvctl("count", "--prefix", "rows:")), len(rows))
        exports = {}
        for flags in (("--format", "jsonl"), ("--format", "tsv"), ("--base64",)):
            exports[flags] = self.kvctl("export", "--prefix", "rows:", *flags)
        decoded = [json.loads(line) for line in exports[("--base64",)].splitlines()]
        keys = [base64.b64decode(row["key"]) for row in decoded]
        self.assertEqual(keys, sorted(rows))
        self.assertEqual({k: base64.b64decode(row["value"]) for k, row in zip(keys, decoded)}, rows)
        for flags, text in exports.items():
            key = sorted(rows)[1500]
            self.kvctl("--hex", "del", key.hex())
            self.kvctl("import", *flags, "-", input=text)
            again = self.kvctl("export", "--prefix", "rows:", *flags)
            self.assertEqual(again, text, flags)

    def test_e_scan_and_count_agree(self):
        lines = "".join(json.dumps({"key": f"scan:{n:04}", "value": str(n)}) + "\n"
                        for n in range(2500))
        self.kvctl("import", "-", input=lines.encode())
        text = self.kvctl("scan", "--prefix", "scan:").decode()
        self.assertEqual(text, "".join(f"scan:{n:04}\t{n}\n" for n in range(2500)))
        self.assertEqual(self.kvctl("scan", "--from", "scan:0010", "--to", "scan:0013",
                                    "--keys-only"), b"scan:0010\nscan:0011\nscan:0012\n")
        self.assertEqual(len(self.kvctl("scan", "--prefix", "scan:", "--limit", "7").splitlines()), 7)
        self.assertEqual(self.json("count", "--prefix", "scan:"), {"count": 2500})

    def test_f_malformed_import(self):
        done = self.cluster.kvctl("import", "-", check=False,
                                  input=b'{"key":"bad:1","value":"1"}\n{"key":"bad:2"}\n')
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"line 2: no value", done.stderr)
        self.assertIn(b"--from-line 2", done.stderr)
        self.assertEqual(self.kvctl("count", "--prefix", "bad:"), b"1\n")

    def test_g_the_cluster_in_json(self):
        nodes = self.json("nodes")["nodes"]
        self.assertEqual([node["id"] for node in nodes], [1, 2, 3])
        self.assertEqual({node["state"] for node in nodes}, {"ready"})
        shards = self.json("shards")["shards"]
        table = ShardTable(shards)
        self.assertEqual(len(table.shard_ids), 4)
        for key in ("a", "{user1}:x", "123456789"):
            self.assertEqual(self.json("shard", "of", key)["id"], table.shard_of(key.encode()))
        self.assertEqual(sum(node["leaders"] for node in nodes), len(shards))
        status = self.json("status")
        self.assertTrue(status["formed"])
        self.assertEqual(len(status["nodes"][0]["replicas"]), len(shards))
        self.kvctl("cluster", "init", "--yes", code=5)

    def test_h_replicas_are_equal(self):
        self.kvctl("put", "replica", "x")
        shard = self.json("shard", "of", "replica")
        def dumps():
            found = {self.kvctl("debug", "scan-replica", shard["id"], "--node", replica["node"])
                     for replica in shard["replicas"]}
            return found if len(found) == 1 else None
        lines = wait_for("equal replicas", 20, dumps).pop().splitlines()
        self.assertIn("applied_index", json.loads(lines[0]))
        stored = [json.loads(line) for line in lines[1:]]
        self.assertIn(b"replica", [base64.b64decode(row["key"]) for row in stored])

    def test_i_bench(self):
        for words in (("put",), ("get",), ("mixed",), ("put", "--unary")):
            report = self.json("bench", "--workload", *words, "--clients", "32", "--keys", "200",
                               "--duration", "500ms")
            self.assertGreater(report["throughput"], 0)
            self.assertEqual((report["errors"], report["lost_keys"], report["absent"]), (0, 0, 0))
            self.assertEqual(set(report["latency_us"]), {"p50", "p90", "p99", "p999", "max"})

    def test_z_nodes_die(self):
        self.kvctl("put", "survivor", "v")
        self.cluster.kill(1)
        self.kvctl("--timeout", "20s", "put", "survivor", "w")  # and the first endpoint is dead
        self.assertEqual(self.kvctl("get", "survivor"), b"w\n")
        states = {node["id"]: node["state"] for node in self.json("nodes")["nodes"]}
        self.assertEqual(states, {1: "unreachable", 2: "ready", 3: "ready"})
        self.cluster.kill(2)
        done = self.cluster.kvctl("--timeout", "2s", "put", "survivor", "x", check=False)
        self.assertIn(done.returncode, (3, 4), done.stderr)
        self.kvctl("--timeout", "2s", "get", "survivor", code=3)
        self.cluster.start(1)
        self.kvctl("--timeout", "20s", "put", "survivor", "y")
        self.assertEqual(self.kvctl("get", "survivor"), b"y\n")


if __name__ == "__main__":
    unittest.main()

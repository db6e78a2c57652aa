"""kvctl against a cluster of three real nodes: what each verb prints, and how it ends."""

import base64
import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "scripts"))

from basalt_tools.local_cluster import LocalCluster, binary, wait_for  # noqa: E402
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

    def more(self, *words):
        """The rows of one page, and the token of the next, if there is one."""
        done = self.cluster.kvctl("scan", *words)
        token = re.search(rb"--resume (\S+)", done.stderr)
        self.assertEqual(bool(token), bool(done.stderr), done.stderr)
        return done.stdout.decode().splitlines(), token and token.group(1).decode()

    def fill(self, prefix, count):
        keys = [f"{prefix}{number:05}" for number in range(count)]
        lines = "".join(json.dumps({"key": key, "value": "v"}) + "\n" for key in keys)
        self.kvctl("import", "-", input=lines.encode())
        return keys

    def test_e2_scans_in_reverse(self):
        keys = self.fill("reverse:", 2500)
        seen = self.kvctl("scan", "--prefix", "reverse:", "--reverse", "--keys-only").decode()
        self.assertEqual(seen.splitlines(), keys[::-1])
        last, token = self.more("--prefix", "reverse:", "--reverse", "--keys-only", "--limit", "3")
        self.assertEqual(last, keys[:-4:-1])
        self.assertIsNotNone(token)
        some = self.kvctl("scan", "--from", keys[10], "--to", keys[13], "--reverse", "--keys-only")
        self.assertEqual(some.decode().splitlines(), [keys[12], keys[11], keys[10]])
        self.kvctl("put", keys[0], "later")
        self.kvctl("del", keys[1])
        old = self.kvctl("scan", "--to", keys[3], "--reverse", "--limit", "3",
                         "--at", str(int(self.json("get", keys[0])["version"]) - 1))
        self.assertEqual(old.decode().splitlines(), [f"{key}\tv" for key in keys[2::-1]])

    def test_e3_pages_go_on_at_the_same_snapshot(self):
        for flags in ((), ("--reverse",)):
            keys = self.fill(f"page{len(flags)}:", 2000)
            page, token = self.more("--prefix", keys[0][:6], "--keys-only", "--limit", "700", *flags)
            seen, pages = page, 1
            self.kvctl("del", keys[1000])
            self.kvctl("put", keys[1000] + "x", "too late")
            while token:
                self.assertLess(pages, 3)
                page, token = self.more("--keys-only", "--limit", "700", "--resume", token)
                self.assertTrue(page, "no empty page")
                seen, pages = seen + page, pages + 1
            self.assertEqual(seen, keys[::-1] if flags else keys, "of one snapshot")
            self.assertEqual(pages, 3)

    def test_e4_tokens_that_do_not_fit(self):
        self.fill("token:", 10)
        _, token = self.more("--prefix", "token:", "--limit", "2")
        broken = token[:-5] + ("A" if token[-5] != "A" else "B") + token[-4:]
        self.kvctl("scan", "--resume", broken, code=2)
        self.kvctl("scan", "--resume", "token:00001", code=2)
        self.kvctl("scan", "--resume", token, "--prefix", "token:", code=2)
        self.assertEqual(len(self.kvctl("scan", "--resume", token).splitlines()), 8)

    def test_e5_keys_deleted_by_prefix(self):
        self.fill("wipe:", 10500)
        self.kvctl("put", "wipf", "stays")
        self.kvctl("del", "--prefix", "wipe:", "--one-transaction", code=5)
        self.assertEqual(self.kvctl("count", "--prefix", "wipe:"), b"10500\n")
        some = self.json("del", "--prefix", "wipe:000", "--one-transaction")
        self.assertEqual((some["deleted"], some["transactions"], some["outcome"]), (100, 1, "applied"))
        rest = self.json("--timeout", "30s", "del", "--prefix", "wipe:")
        self.assertEqual((rest["deleted"], rest["transactions"]), (10400, 2))
        self.assertEqual(self.kvctl("count", "--prefix", "wipe:"), b"0\n")
        self.assertEqual(self.kvctl("get", "wipf"), b"stays\n")
        self.assertEqual(self.kvctl("count", "--prefix", "wipe:", "--at", rest["timestamp"]),
                         b"10400\n", "the snapshot whose keys went")
        self.kvctl("del", "--prefix", "wipe:", code=1)
        self.kvctl("del", "--prefix", "", code=2)

    def test_e6_long_keys_deleted_in_two_transactions(self):
        """15 MiB of keys is a transaction's bound; a request of that size has to reach the nodes."""
        keys = [f"long:{number:05}:" + "k" * 4085 for number in range(4000)]
        self.assertEqual({len(key) for key in keys}, {4096})
        lines = "".join(json.dumps({"key": key, "value": "v"}) + "\n" for key in keys)
        self.kvctl("import", "-", input=lines.encode())
        last, token = self.more("--prefix", "long:", "--reverse", "--keys-only", "--limit", "1")
        self.assertEqual(last, keys[-1:])
        page, _ = self.more("--keys-only", "--limit", "1", "--resume", token)
        self.assertEqual(page, keys[-2:-1])
        self.kvctl("del", "--prefix", "long:", "--one-transaction", code=5)
        done = self.json("--timeout", "30s", "del", "--prefix", "long:")
        self.assertEqual((done["deleted"], done["transactions"]), (4000, 2))
        self.assertEqual(self.kvctl("count", "--prefix", "long:"), b"0\n")

    def test_e7_all_keys_are_deleted(self):
        self.fill("all:", 100)
        self.kvctl("del", code=2)
        self.kvctl("del", "--all", "--prefix", "all:", code=2)
        there = int(self.kvctl("count"))
        self.assertGreaterEqual(there, 100)
        done = self.json("--timeout", "30s", "del", "--all")
        self.assertEqual((done["deleted"], done["unknown"]), (there, 0))
        self.assertEqual(self.kvctl("count"), b"0\n")
        self.kvctl("del", "--all", code=1)
        rows = self.kvctl("scan", "--prefix", "all:", "--at", done["timestamp"])
        self.assertEqual(len(rows.splitlines()), 100, "what went")

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

    def retentions(self):
        shards = self.json("settings", "list")["settings"][0]["shards"]
        return {(shard["value_ms"], shard["from"]) for shard in shards}

    def test_h2_a_retention_that_is_set_while_nodes_run(self):
        self.assertEqual(self.retentions(), {(600_000, "node")})
        self.assertNotIn(b"VERSION RETENTION", self.kvctl("status"))
        self.kvctl("put", "kept", "first")
        first = self.json("get", "kept")["version"]
        self.kvctl("put", "kept", "second")
        self.assertEqual(self.kvctl("get", "kept", "--at", first), b"first\n")
        self.assertEqual(self.kvctl("settings", "set", "version-retention", "1s"),
                         b"version-retention 1s: 4 of 4 shards\n")
        self.assertEqual(self.retentions(), {(1000, "shard")})

        def gone():
            done = self.cluster.kvctl("get", "kept", "--at", first, check=False)
            return done.returncode == 5 and b"too old" in done.stderr
        wait_for("an old version too old to read", 20, gone)
        set_to = self.json("settings", "set", "version-retention", "720h")
        self.assertEqual([shard["outcome"] for shard in set_to["shards"]], ["applied"] * 4)
        self.kvctl("put", "kept", "third")
        third = self.json("get", "kept")["version"]
        self.kvctl("put", "kept", "fourth")
        # Longer than the one before would have kept it, counted by writes that pass meanwhile.
        self.json("bench", "--workload", "put", "--clients", "4", "--keys", "50", "--duration", "3s")
        self.assertEqual(self.kvctl("get", "kept", "--at", third), b"third\n")
        self.cluster.kill(2)
        self.cluster.start(2)
        self.cluster.wait_ready()
        self.assertEqual(self.retentions(), {(2_592_000_000, "shard")}, "also after a restart")
        status = self.json("status")
        self.assertEqual({replica["version_retention_ms"] for node in status["nodes"]
                          for replica in node["replicas"] if replica["shard"] != 0},
                         {2_592_000_000})
        self.assertIn(b"VERSION RETENTION", self.kvctl("status"))
        self.kvctl("settings", "set", "version-retention", "31h31m", code=2)
        self.kvctl("settings", "set", "version-retention", "default")
        self.assertEqual(self.retentions(), {(600_000, "node")})

    def test_i_bench(self):
        for words in (("put",), ("get",), ("mixed",), ("put", "--unary")):
            report = self.json("bench", "--workload", *words, "--clients", "32", "--keys", "200",
                               "--duration", "500ms")
            self.assertGreater(report["throughput"], 0)
            self.assertEqual((report["errors"], report["lost_keys"], report["absent"]), (0, 0, 0))
            self.assertEqual(set(report["latency_us"]), {"p50", "p90", "p99", "p999", "max"})

    def explained(self, *words):
        report = self.json("explain", *words)
        self.check_parts(report)
        return report

    def check_parts(self, report):
        parts = [report[name + "_us"] for name in
                 ("earlier_attempts", "client_queue", "network", "server", "waited")]
        self.assertGreaterEqual(min(parts), 0, report)
        self.assertEqual(sum(parts), report["total_us"])
        self.assertEqual(sum(stage["us"] for stage in report["stages"]), report["server_us"])

    def stage_counts(self):
        counts = {}
        for node in range(1, 4):
            url = f"http://127.0.0.1:{self.cluster.base_port + 10 * node + 2}/metrics"
            with urllib.request.urlopen(url, timeout=10) as page:
                for operation, stage, count in re.findall(
                        r'^basalt_request_stage_seconds_count\{operation="(\w+)",stage="(\w+)"\} '
                        r"(\d+)$", page.read().decode(), re.MULTILINE):
                    key = operation, stage
                    counts[key] = counts.get(key, 0) + int(count)
        return counts

    def test_j_explain(self):
        before = self.stage_counts()
        put = self.explained("put", "explained", "v")
        self.assertEqual([stage["stage"] for stage in put["stages"]],
                         ["take_up", "gather", "log", "quorum", "hand_over", "apply", "reply"])
        self.assertEqual((put["operation"], put["outcome"], len(put["attempts"])),
                         ("put", "applied", 1))
        self.assertGreater(put["term"], 0)
        shard = self.json("shard", "of", "explained")
        self.assertEqual((put["shard"], put["node"]), (shard["id"], shard["leader"]))
        get = self.explained("get", "explained", "--read", "read-index")
        self.assertEqual([stage["stage"] for stage in get["stages"]],
                         ["take_up", "confirm", "hand_over", "read", "reply"])
        self.assertEqual((get["read_mode"], get["found"]), ("read-index", True))
        leased = wait_for("a get by lease, on arrival", 20, lambda: next(
            (report for report in [self.explained("get", "explained")]
             if len(report["stages"]) == 3), None))
        self.assertEqual([stage["stage"] for stage in leased["stages"]],
                         ["confirm", "read", "reply"])
        self.assertEqual(leased["read_mode"], "lease")
        self.kvctl("explain", "get", "explained-not", code=1)
        self.assertIn(b"node: log", self.kvctl("explain", "put", "explained", "w"))
        self.assertEqual(self.kvctl("get", "explained"), b"w\n")
        after = self.stage_counts()
        for stage in put["stages"]:
            self.assertEqual(after["put", stage["stage"]] - before["put", stage["stage"]], 2, stage)
        self.assertGreater(after["get", "confirm"], before["get", "confirm"])
        self.assertGreater(after["get", "hand_over"], before["get", "hand_over"])

    def test_k_explain_a_redirect(self):
        shard = self.json("shard", "of", "redirected")
        old = shard["leader"]
        other = 1 if old != 1 else 2
        # It has the map, and no link to any node yet, once it reads its standard input: more than
        # fits into the pipe.
        value = b"v" * (1 << 20)
        process = subprocess.Popen(
            [str(binary("kvctl")), "--endpoints",
             f"127.0.0.1:{self.cluster.base_port + 10 * other}", "--timeout", "30s", "-o", "json",
             "explain", "put", "redirected", "-"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            process.stdin.write(value[:-1])
            process.stdin.flush()
            self.cluster.stop(old)
            self.cluster.start(old)

            def serves():
                found = self.json("shard", "of", "redirected")["leader"]
                states = {node["id"]: node["state"] for node in self.json("nodes")["nodes"]}
                return found if found not in (None, old) and states[old] == "ready" else None
            leader = wait_for("another leader", 30, serves)
            out, err = process.communicate(value[-1:], timeout=60)
        finally:
            process.kill()
            process.wait()
        self.assertEqual(process.returncode, 0, err)
        report = json.loads(out)
        self.check_parts(report)
        self.assertEqual([(attempt["node"], attempt["ended"]) for attempt in report["attempts"]],
                         [(old, "not_leader"), (leader, "ok")], report)
        self.assertEqual(report["node"], leader)
        self.assertGreater(report["earlier_attempts_us"], 0)
        self.assertEqual(self.kvctl("-o", "raw", "get", "redirected"), value)

    def txn(self, text, *flags, code=0):
        return self.kvctl(*flags, "txn", input=text.encode(), code=code)

    def test_l_operations_that_take_effect_together(self):
        keys = [f"txn{number}" for number in range(8)]
        shards = {self.kvctl("-o", "raw", "shard", "of", key) for key in keys}
        self.assertGreater(len(shards), 1)
        puts = "".join(f"put {key} {key} first\n" for key in keys)
        self.assertEqual(self.txn(f"# all or nothing\n\n{puts}"), b"OK\n")
        rows = [self.json("get", key) for key in keys]
        self.assertEqual([row["value"] for row in rows], [f"{key} first" for key in keys])
        self.assertEqual(len({row["version"] for row in rows}), 1, "of one instant")
        at = rows[0]["version"]
        seen = self.txn(f"check txn0 value txn0 first\ncheck txn1 version {at}\n"
                        "check txn-none absent\nput txn1 second\ndel txn2\n"
                        "get txn1\nget txn2\nget txn3\n")
        self.assertEqual(seen, b"txn1\tsecond\ntxn3\ttxn3 first\nOK\n")
        self.assertEqual(self.kvctl("get", "txn1"), b"second\n")
        self.kvctl("get", "txn2", code=1)
        for check in ("txn0 absent", "txn0 value first", f"txn1 version {at}", "txn2 version 7"):
            self.txn(f"put txn3 third\ncheck {check}\nput txn0 third\n", code=1)
        self.assertEqual(self.kvctl("mget", "txn0", "txn3"),
                         b"txn0\ttxn0 first\ntxn3\ttxn3 first\n", "nothing was done")
        lines = self.txn("get txn0\nget txn1\n", "-o", "json").decode().splitlines()
        *rows, end = [json.loads(line) for line in lines]
        self.assertEqual([row["value"] for row in rows], ["txn0 first", "second"])
        self.assertEqual(end, {"outcome": "applied"})

    def test_m_transactions_in_any_bytes_and_none_that_are_malformed(self):
        self.txn("put 74786e20ff 00ff\nput 74786e21 7f\n", "--hex")
        self.assertEqual(self.kvctl("--hex", "get", "74786e20ff"), b"00ff\n")
        self.assertEqual(self.txn("get txn\\x20\\xff\n"), b"txn \\xff\t\\x00\\xff\nOK\n")
        for text in ("", "# nothing\n", "put\n", "move a b\n", "get a b\n", "check a\n",
                     "check a version x\n", "check a absent now\n", "put a\\x b\n"):
            self.txn(text, code=2)
        self.txn(f"put {'k' * 5000} v\n", code=5)

    def test_n_what_became_of_a_write(self):
        applied = self.kvctl("request-token", "once").decode().strip()
        self.assertEqual(self.kvctl("put", "once", "1", "--request-token", applied), b"OK\n")
        told = self.json("outcome", applied)
        self.assertEqual(told["outcome"], "applied")
        self.assertEqual(told["version"], self.json("get", "once")["version"])
        self.kvctl("put", "once", "2")
        # Sent again it is what it was: the newer value stays.
        self.kvctl("put", "once", "1", "--request-token", applied)
        self.assertEqual(self.kvctl("get", "once"), b"2\n")
        self.assertEqual(self.kvctl("outcome", applied), b"applied\n")

        lost = self.json("request-token", "once")["request"]
        self.assertEqual(self.kvctl("outcome", lost, code=3), b"not applied\n")
        self.kvctl("put", "once", "3", "--request-token", lost, code=3)
        self.kvctl("del", "once", "--request-token", lost, code=3)
        self.assertEqual(self.kvctl("get", "once"), b"2\n")
        self.assertEqual(self.kvctl("outcome", lost, code=3), b"not applied\n")

        counted = self.kvctl("request-token", "counted").decode().strip()
        for _ in range(3):
            self.assertEqual(self.kvctl("incr", "counted", "5", "--request-token", counted), b"5\n")
        self.assertEqual(self.json("outcome", counted)["value"], 5)
        failed = self.kvctl("request-token", "once").decode().strip()
        self.kvctl("cas", "once", "x", "--absent", "--request-token", failed, code=1)
        self.assertEqual(self.kvctl("outcome", failed, code=1), b"not applied\n")
        no_number = self.kvctl("request-token", "{once}word").decode().strip()
        self.kvctl("put", "{once}word", "word")
        self.kvctl("incr", "{once}word", "--request-token", no_number, code=5)
        self.kvctl("outcome", no_number, code=5)
        # Of a key that lies elsewhere.
        self.kvctl("put", "another", "1", "--request-token", applied, code=5)
        self.kvctl("outcome", applied[:-1] + "x", code=2)

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

"""deploy/local/cluster: what it starts, what it says, and above all what it never signals."""

import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from basalt_tools.local_cluster import (SCRIPT, free_base_port, is_alive,  # noqa: E402
                                        wait_for)


class ClusterScriptTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="basalt-cluster-")
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name) / "c"
        self.dir.mkdir()
        self.port = free_base_port(3)
        self.environment = {**os.environ, "BASALT_BIN": str(pathlib.Path(__file__).parent / "fake"),
                            "FAKE_DIR": str(self.dir), "CLUSTER_UP_TIMEOUT_S": "20",
                            "CLUSTER_STOP_TIMEOUT_S": "5"}
        self.addCleanup(self.run_script, "down", "--wipe")

    def run_script(self, *words):
        return subprocess.run([SCRIPT, *words, "--dir", self.dir], env=self.environment, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60)

    def cluster(self, *words):
        done = self.run_script(*words)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def refused(self, code, saying, *words):
        done = self.run_script(*words)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertIn(saying, done.stderr)

    def up(self, *words):
        return self.cluster("up", *words, "--base-port", str(self.port))

    def pid(self, node):
        return int((self.dir / f"node{node}.pid").read_text())

    def states(self):
        lines = self.run_script("status").stdout.splitlines()[1:]
        return [line.split()[1] for line in lines]

    def test_up_serves_and_prints_endpoints(self):
        endpoints = ",".join(f"127.0.0.1:{self.port + 10 * node}" for node in (1, 2, 3))
        self.assertEqual(self.up(), endpoints + "\n")
        self.assertEqual(self.cluster("env"), f"export BASALT_ENDPOINTS={endpoints}\n")
        self.assertEqual(self.states(), ["running"] * 3)
        self.assertEqual(self.cluster("logs", "2"), "fake basaltd 2 started\n")
        command = pathlib.Path(f"/proc/{self.pid(3)}/cmdline").read_text().split("\0")
        for flag, value in (("--node-id", "3"), ("--data-dir", str(self.dir / "node3")),
                            ("--listen", f"127.0.0.1:{self.port + 30}"),
                            ("--peer-listen", f"127.0.0.1:{self.port + 31}"),
                            ("--http-listen", f"127.0.0.1:{self.port + 32}")):
            self.assertEqual(command[command.index(flag) + 1], value)

    def test_init_gets_shards_and_replicas(self):
        self.up("1", "--shards", "5", "--replicas", "1")
        calls = (self.dir / "kvctl.calls").read_text()
        self.assertRegex(calls, r"cluster init .*--shards 5 --replicas 1")

    def test_up_twice_starts_only_what_is_down(self):
        self.up()
        before = [self.pid(node) for node in (1, 2, 3)]
        self.cluster("kill", "2")
        self.assertEqual(self.states(), ["running", "stopped", "running"])
        self.cluster("up")
        after = [self.pid(node) for node in (1, 2, 3)]
        self.assertEqual((before[0], before[2]), (after[0], after[2]))
        self.assertNotEqual(before[1], after[1])
        self.assertEqual((self.dir / "kvctl.calls").read_text().count("init"), 1)

    def test_down_leaves_no_process_and_up_goes_on(self):
        self.up("2")
        pids = [self.pid(node) for node in (1, 2)]
        self.cluster("pause", "2")
        self.cluster("down")
        for pid in pids:
            self.assertFalse(is_alive(pid))
        self.assertEqual(sorted(path.name for path in self.dir.glob("node*")),
                         ["node1", "node1.log", "node2", "node2.log"])
        self.cluster("up")
        self.assertEqual(self.states(), ["running"] * 2)

    def test_down_wipe_leaves_nothing(self):
        self.up("1")
        (self.dir / "kvctl.calls").unlink()
        (self.dir / "fake-formed").unlink()
        self.cluster("down", "--wipe")
        self.assertFalse(self.dir.exists())
        self.cluster("down")

    def test_wipe_spares_what_is_not_the_clusters(self):
        self.up("1")
        (self.dir / "mine").write_text("precious")
        self.cluster("down", "--wipe")
        self.assertEqual((self.dir / "mine").read_text(), "precious")

    def test_pause_resume_stop_start(self):
        self.up("2")
        self.cluster("pause", "1")
        wait_for("the pause", 5, lambda: self.states() == ["paused", "running"])
        self.assertEqual(self.run_script("status").returncode, 1)
        self.cluster("resume", "1")
        wait_for("the resumption", 5, lambda: self.states() == ["running", "running"])
        self.cluster("stop", "1")
        self.assertEqual(self.states(), ["stopped", "running"])
        self.refused(1, "node 1 does not run", "stop", "1")
        self.refused(1, "node 2 runs already", "start", "2")
        self.cluster("start", "1")
        self.assertEqual(self.run_script("status").returncode, 0)

    def test_foreign_process_is_never_signalled(self):
        self.up("1")
        self.cluster("kill", "1")
        bystander = subprocess.Popen(["sleep", "300"])
        self.addCleanup(bystander.wait)
        self.addCleanup(bystander.kill)
        for planted in (str(bystander.pid), "1", "-1", "0", "", "x"):
            (self.dir / "node1.pid").write_text(planted + "\n")
            self.assertEqual(self.states(), ["stopped"], planted)
            self.refused(1, "does not run", "kill", "1")
            self.refused(1, "does not run", "pause", "1")
            self.cluster("down")
        self.assertIsNone(bystander.poll())

    def test_stubborn_node_is_killed_by_down(self):
        self.environment["FAKE_BASALTD"] = "stubborn"
        self.up("1")
        pid = self.pid(1)
        done = self.run_script("down")
        self.assertEqual(done.returncode, 0)
        self.assertIn("did not stop in 5 s: killed", done.stderr)
        self.assertFalse(is_alive(pid))

    def test_node_that_ends_at_once_is_reported(self):
        self.environment["FAKE_BASALTD"] = "broken"
        done = self.run_script("up", "1", "--base-port", str(self.port))
        self.assertEqual(done.returncode, 1)
        self.assertIn("fake basaltd: cannot start", done.stderr)
        self.assertIn("node 1 ended", done.stderr)

    def test_failed_init_is_reported(self):
        self.environment["FAKE_KVCTL"] = "no-init"
        self.refused(1, "cluster init failed: kvctl: the nodes don't see each other", "up", "1",
                     "--base-port", str(self.port))
        self.environment["FAKE_KVCTL"] = ""
        self.cluster("up")

    def test_port_in_use(self):
        with socket.create_server(("127.0.0.1", self.port + 11)):
            self.refused(1, f"port {self.port + 11} is in use", "up", "1", "--base-port",
                         str(self.port))
        self.port = free_base_port(3)
        self.up("1")

    def test_other_size_or_port_of_a_formed_cluster(self):
        self.up("1")
        self.refused(1, "has 1 nodes, not 3", "up", "3")
        self.refused(1, "has base port", "status", "--base-port", "9000")
        self.refused(1, "has 8 data shards, not 16", "up", "--shards", "16")
        self.refused(1, "--replicas 3, not 2", "up", "--replicas", "2")
        self.up("1", "--shards", "8", "--replicas", "3")

    def test_nothing_is_passed_over_in_silence(self):
        self.up("2")
        for words in (("kill", "1", "2"), ("stop", "1", "2"), ("pause", "1", "2"),
                      ("start", "1", "2"), ("status", "1"), ("env", "1"), ("logs", "1", "-f", "2")):
            self.refused(2, "see deploy/local/cluster help", *words)
        self.assertEqual(self.states(), ["running"] * 2)

    def test_usage(self):
        for words in (("up", "0"), ("up", "x"), ("up", "1", "2"), ("kill",), ("start", "x"),
                      ("dance",), ("up", "--shards"), ("up", "--shards", "x"), ("up", "--bad")):
            with self.subTest(words):
                if words[0] in ("kill", "start"):
                    (self.dir / "cluster.conf").write_text("nodes=1\nbase_port=7400\n")
                self.assertEqual(self.run_script(*words).returncode, 2)

    def test_no_cluster(self):
        for verb in ("status", "env"):
            self.refused(1, "no cluster in", verb)
        self.refused(1, "no cluster in", "kill", "1")
        self.assertEqual(self.run_script("down").returncode, 0)

    def test_no_binaries(self):
        self.environment["BASALT_BIN"] = "/nonexistent"
        self.refused(1, "build it with ./dev build", "up")

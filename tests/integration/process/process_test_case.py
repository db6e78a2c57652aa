"""What the process tests share: real basaltd processes, in a directory of the test's own."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "scripts"))
from basalt_tools import write_record  # noqa: E402
from basalt_tools.local_cluster import (LocalCluster, binary, free_base_port,  # noqa: E402
                                        http_status, is_alive, wait_for)


class Recorder:
    """A `basalt_recorder write` that runs in the background."""

    def __init__(self, cluster, record, rate=2000, timeout_s=5):
        self.cluster = cluster
        self.record = pathlib.Path(record)
        self._log = open(self.record.with_suffix(".log"), "wb")
        self._process = subprocess.Popen(
            [str(binary("basalt_recorder")), "write", "--endpoints", cluster.endpoints, "--out",
             str(self.record), "--rate", str(rate), "--timeout", str(timeout_s)],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)

    def acks(self):
        """How many acknowledged writes the record holds by now."""
        if self._process.poll() is not None:
            raise AssertionError("the recorder ended: "
                                 + self.record.with_suffix(".log").read_text())
        try:
            return self.record.read_bytes().count(b"ack\t")
        except FileNotFoundError:
            return 0

    def wait_for_acks(self, more, timeout_s=30):
        """Waits until `more` writes have been acknowledged from now on."""
        want = self.acks() + more
        wait_for(f"{more} more acknowledged writes", timeout_s, lambda: self.acks() >= want)

    def finish(self):
        """Ends the load and returns all writes, each acknowledged, refused or unknown."""
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(timeout=60)
        finally:
            self.abandon()
        if code:
            raise AssertionError("the recorder failed: "
                                 + self.record.with_suffix(".log").read_text())
        return write_record.read_record(self.record)

    def abandon(self):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._log.close()


class CountsOverLives:
    """Sums of the nodes' counters, of which a killed node's begin anew: the last of each life that
    was looked at counts. `patterns`: what a sum is called, and which series it is of."""

    def __init__(self, test, cluster, patterns):
        self._test = test
        self._cluster = cluster
        self._patterns = patterns
        self._ended = dict.fromkeys(patterns, 0)
        self._living = {}

    def look(self, node):
        try:
            self._living[node] = {name: self._test.metric(self._cluster, node, pattern)
                                  for name, pattern in self._patterns.items()}
        except OSError:
            pass  # it is down

    def note_death(self, node):
        for name, count in self._living.pop(node, {}).items():
            self._ended[name] += count

    def total(self, name):
        return int(self._ended[name] + sum(living[name] for living in self._living.values()))

    def totals(self):
        return {name: self.total(name) for name in self._patterns}


class ProcessTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="basalt-process-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    # --- clusters

    def make_cluster(self, nodes=3, shards=8, name="cluster", environment=None):
        """A cluster that is up, and that is taken down with the test. When the test fails, the
        ends of the nodes' logs are printed."""
        cluster = LocalCluster(self.folder / name, nodes=nodes, shards=shards,
                               environment=environment)
        self.addCleanup(cluster.down, wipe=False)
        self.addCleanup(self._show_logs, cluster)
        cluster.up()
        return cluster

    def _show_logs(self, cluster):
        outcome = self._outcome
        if not getattr(outcome, "result", None):
            return
        failed = [test for test, _ in [*outcome.result.failures, *outcome.result.errors]]
        if self not in failed and outcome.success:
            return
        for node in range(1, cluster.nodes + 1):
            try:
                print(f"--- the end of node {node}'s log\n"
                      + "\n".join(cluster.log(node).splitlines()[-15:]), file=sys.stderr)
            except OSError as error:
                print(f"--- node {node}'s log: {error}", file=sys.stderr)

    @staticmethod
    def metric(cluster, node, pattern):
        """The sum of a node's series whose names and labels match."""
        port = cluster.base_port + 10 * node + 2
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return sum(float(value) for value in re.findall(rf"(?m)^{pattern} (\S+)$", text))

    def start_recorder(self, cluster, name="acks", **options):
        recorder = Recorder(cluster, self.folder / f"{name}.tsv", **options)
        self.addCleanup(recorder.abandon)
        return recorder

    def assert_nothing_lost(self, cluster, writes, name="acks"):
        """Reads every key back and holds what is there against what was acknowledged."""
        out = self.folder / f"{name}-readback.tsv"
        done = subprocess.run(
            [str(binary("basalt_recorder")), "read", "--endpoints", cluster.endpoints, "--record",
             str(self.folder / f"{name}.tsv"), "--out", str(out), "--timeout", "20"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = write_record.contradictions(writes, write_record.read_values(out))
        self.assertEqual(found[:5], [], f"{len(found)} contradictions")

    # --- single processes

    def run_basaltd(self, *flags, timeout_s=20, environment=None):
        """A basaltd that is expected to end by itself."""
        return subprocess.run([str(binary("basaltd")), *map(str, flags)], text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s,
                              env={**os.environ, **(environment or {})})

    def node_flags(self, node=1, base=None, data_dir=None):
        base = base or free_base_port(node)
        port = base + 10 * node
        return port, ["--node-id", str(node), "--data-dir",
                      str(data_dir or self.folder / f"node{node}"), "--listen",
                      f"127.0.0.1:{port}", "--peer-listen", f"127.0.0.1:{port + 1}",
                      "--http-listen", f"127.0.0.1:{port + 2}"]

    def spawn_basaltd(self, *flags, name="basaltd"):
        """A basaltd that is expected to run; its log is `name`.log in the test's folder."""
        with open(self.folder / f"{name}.log", "ab") as log:
            process = subprocess.Popen([str(binary("basaltd")), *map(str, flags)],
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def end():
            if process.poll() is None:
                process.kill()
            process.wait()
        self.addCleanup(end)
        return process

    def wait_healthy(self, process, port, path="/healthz"):
        def answers():
            self.assertIsNone(process.poll(), "basaltd ended")
            return http_status(port + 2, path) == 200
        wait_for(f"{path} of port {port + 2}", 30, answers)

    def one_node(self, node=1, data_dir=None, **more):
        """A cluster of one real node, ready; returns (process, client port)."""
        port, flags = self.node_flags(node, data_dir=data_dir)
        process = self.spawn_basaltd(*flags, "--bootstrap-expect", "1", "--shards", "2", **more)
        self.wait_healthy(process, port, "/readyz")
        return process, port

    def kvctl(self, port, *words, **options):
        return subprocess.run([str(binary("kvctl")), "--endpoints", f"127.0.0.1:{port}",
                               *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60, **options)

    def assert_refused_to_start(self, done, code, saying):
        """Exit code `code`, and one line that matches `saying`."""
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertEqual(done.stdout, "")
        lines = [line for line in done.stderr.splitlines() if re.search(saying, line)]
        self.assertEqual(len(lines), 1, f"no one line says {saying!r}: {done.stderr}")
        self.assertLessEqual(len(done.stderr.splitlines()), 2, done.stderr)


def microseconds():
    return time.monotonic_ns() // 1000


__all__ = ["CountsOverLives", "LocalCluster", "ProcessTest", "binary", "free_base_port",
           "http_status", "is_alive", "json", "microseconds", "socket", "wait_for", "write_record"]

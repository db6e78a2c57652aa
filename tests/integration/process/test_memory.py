"""A node under --memory-limit takes what it has room for, and refuses the rest."""

import os
import pathlib
import signal
import subprocess
import unittest

from process_test_case import ProcessTest, binary, wait_for

MIB = 1 << 20
LIMIT = 512 * MIB
# Of RSS above the limit: what the allocator has not given back, and what lies in gRPC's buffers.
SLACK = 64 * MIB


class MemoryTest(ProcessTest):
    def start(self):
        cluster = self.make_cluster(shards=3, environment={
            "BASALT_MEMORY_LIMIT": f"{LIMIT // MIB}MiB", "BASALT_BLOCK_CACHE": "32MiB",
            "BASALT_WRITE_BUFFER": "64MiB", "BASALT_LOG_LEVEL": "warn"})
        cluster.wait_ready()
        return cluster

    def load(self, cluster, workload, value_size, clients, seconds, keys, timeout="3s"):
        """Runs kvctl bench, and returns the largest RSS of each node meanwhile."""
        process = subprocess.Popen(
            [str(binary("kvctl")), "--endpoints", cluster.endpoints, "--timeout", timeout, "bench",
             "--workload", workload, "--value-size", value_size, "--clients", str(clients),
             "--duration", f"{seconds}s", "--keys", str(keys), "--no-verify"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        largest = {}

        def ended():
            for node in range(1, cluster.nodes + 1):
                largest[node] = max(largest.get(node, 0), self.resident(cluster, node))
            return process.poll() is not None
        wait_for("the end of the load", seconds + 60, ended)
        return largest

    @staticmethod
    def resident(cluster, node):
        pages = pathlib.Path(f"/proc/{cluster.pid(node)}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE")

    @staticmethod
    def niceness_of_flushes(cluster, node):
        tasks = pathlib.Path(f"/proc/{cluster.pid(node)}/task")
        stats = [(task / "stat").read_text().rsplit(")", 1) for task in tasks.iterdir()]
        return [int(fields.split()[16]) for head, fields in stats if head.endswith("(rocksdb:high")]

    def refused_by(self, cluster, node):
        return self.metric(cluster, node, r'basalt_requests_total\{[^}]*code="overloaded"[^}]*\}')

    def assert_bounded(self, largest):
        for node, resident in largest.items():
            self.assertLess(resident, LIMIT + SLACK, f"node {node}: {resident / MIB:.0f} MiB")

    def test_writes_and_a_follower_that_acknowledges_nothing(self):
        cluster = self.start()
        os.kill(cluster.pid(3), signal.SIGSTOP)
        self.addCleanup(os.kill, cluster.pid(3), signal.SIGCONT)
        self.assert_bounded(self.load(cluster, "put", "256KiB", 2000, 12, 3000))
        self.assertGreater(self.refused_by(cluster, 1) + self.refused_by(cluster, 2), 0)
        self.assertIn(15, self.niceness_of_flushes(cluster, 1))  # --background-niceness

    def test_gets_of_large_values(self):
        cluster = self.start()
        # On a busy machine it takes longer than that to write what is then read.
        self.assert_bounded(self.load(cluster, "get", "1MiB", 400, 8, 400, timeout="30s"))
        self.assertGreater(sum(self.refused_by(cluster, node) for node in (1, 2, 3)), 0)

    def test_the_allocator_asks_for_huge_pages(self):
        given = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
        if not given.exists() or "[madvise]" not in given.read_text():
            self.skipTest("this kernel gives huge pages to all or none; "
                          "ends where transparent_hugepage/enabled says madvise")
        cluster = self.start()
        maps = pathlib.Path(f"/proc/{cluster.pid(1)}/smaps").read_text()
        flags = [line.split()[1:] for line in maps.splitlines() if line.startswith("VmFlags:")]
        self.assertTrue(any("hg" in words for words in flags))


if __name__ == "__main__":
    unittest.main()

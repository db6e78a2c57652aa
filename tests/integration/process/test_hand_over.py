"""SIGTERM of the node that leads most, under load: it hands its leaderships over instead of leaving
the others to miss it, and nothing acknowledged is lost."""

import os
import signal
import statistics
import time

from process_test_case import ProcessTest, is_alive, wait_for, write_record

from basalt_tools.local_cluster import shard_list
from basalt_tools.slots import ShardTable

RUNS = 3
# An election timeout is 600 ms, and an election begins after one to two of them.
MEDIAN_GAP_S = 0.3
EXIT_S = 10


class HandOverTest(ProcessTest):
    def test_the_busiest_leader_is_stopped(self):
        cluster = self.make_cluster()
        shards = ShardTable(shard_list(cluster.kvctl_json("shards")))
        gaps = []
        for run in range(RUNS):
            recorder = self.start_recorder(cluster, name=f"acks-{run}")
            recorder.wait_for_acks(2000)
            node, _ = cluster.busiest_node()
            self.stop_and_wait(cluster, node)
            recorder.wait_for_acks(2000)
            writes = recorder.finish()
            self.assert_nothing_lost(cluster, writes, name=f"acks-{run}")
            gaps.append(max(gap for gap, _ in write_record.longest_gap_us(
                writes, shards.shard_of).values()) / 1e6)
            cluster.start(node)
            cluster.wait_ready()
        self.assertLess(statistics.median(gaps), MEDIAN_GAP_S, gaps)

    def stop_and_wait(self, cluster, node):
        pid = cluster.pid(node)
        began = time.monotonic()
        os.kill(pid, signal.SIGTERM)
        wait_for(f"the end of node {node}", EXIT_S, lambda: not is_alive(pid), interval_s=0.005)
        self.assertLess(time.monotonic() - began, EXIT_S)
        log = cluster.log(node)
        self.assertNotIn("not handed over", log)
        # Said last, and followed by exit code 0.
        self.assertIn("stopped", log.splitlines()[-1])
        (cluster.directory / f"node{node}.pid").unlink()

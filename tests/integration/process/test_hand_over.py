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
# A hand-over that fails is tried again after some election timeouts.
GATHERED_S = 30


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

    def test_leaders_gather_at_the_willing_and_shun_the_unwilling(self):
        cluster = self.make_cluster()
        for node, priority in ((1, 0), (2, 2)):
            self.stop_and_wait(cluster, node)
            cluster.start(node, flags=f"--leader-priority={priority}")
            cluster.wait_ready()
        self.wait_for_all_led_by(cluster, 2)
        cluster.kill(2)
        self.wait_for_all_led_by(cluster, 3)
        cluster.kill(3)
        cluster.start(2)  # Of the usual priority; and the other one has a quorum again.
        cluster.kill(2)
        cluster.start(3, flags="--leader-priority=0")
        wait_for("leaders among those that would rather not", GATHERED_S,
                 lambda: sum(map(len, cluster.leaders().values())) == cluster.shards,
                 interval_s=0.1)

    def wait_for_all_led_by(self, cluster, node):
        wait_for(f"all shards led by node {node}", GATHERED_S,
                 lambda: len(cluster.leaders().get(node, [])) == cluster.shards, interval_s=0.1)

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

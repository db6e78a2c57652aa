"""kill -9 of one, two and all three nodes under load: nothing acknowledged is lost, nothing
refused is seen."""

from process_test_case import ProcessTest, wait_for


class KillTest(ProcessTest):
    def test_kill_of_one_node_at_a_time(self):
        cluster = self.make_cluster()
        recorder = self.start_recorder(cluster)
        for node in (1, 2, 3):
            recorder.wait_for_acks(1000)
            cluster.kill_now(node)
            recorder.wait_for_acks(1000)
            cluster.start(node)
            cluster.wait_ready()
        writes = recorder.finish()
        self.assert_nothing_lost(cluster, writes)

    def test_kill_of_two_nodes(self):
        cluster = self.make_cluster()
        recorder = self.start_recorder(cluster, timeout_s=2)
        recorder.wait_for_acks(1000)
        cluster.kill_now(1)
        cluster.kill_now(2)

        def fails_clearly():
            done = cluster.kvctl("--timeout", "2s", "put", "while-two-are-down", "v", check=False)
            self.assertIn(done.returncode, (3, 4), done.stderr)
            self.assertEqual(done.stdout, b"")
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            return done.returncode == 3
        wait_for("a write to be refused as not applied", 40, fails_clearly)
        read = cluster.kvctl("--timeout", "2s", "get", "while-two-are-down", check=False)
        self.assertEqual(read.returncode, 3, read.stderr)
        self.assertFalse(cluster.ready(3), "ready without a quorum")

        cluster.start(1)
        cluster.wait_ready((1, 3))
        recorder.wait_for_acks(1000)
        cluster.start(2)
        cluster.wait_ready()
        writes = recorder.finish()
        self.assert_nothing_lost(cluster, writes)

    def test_kill_of_all_nodes(self):
        cluster = self.make_cluster()
        recorder = self.start_recorder(cluster, timeout_s=2)
        recorder.wait_for_acks(3000)
        for node in (1, 2, 3):
            cluster.kill_now(node)
        cluster.up()
        recorder.wait_for_acks(1000)
        writes = recorder.finish()
        self.assert_nothing_lost(cluster, writes)

    def test_loss_is_seen(self):
        # What a lost or a changed write would look like must fail the check of all tests here.
        cluster = self.make_cluster(nodes=1, shards=2)
        recorder = self.start_recorder(cluster)
        recorder.wait_for_acks(2000)
        writes = recorder.finish()
        self.assert_nothing_lost(cluster, writes)
        acked = [write for write in writes if write.kind == "ack"]
        unique = next(write for write in acked if not write.key.endswith(":register"))
        register = [write for write in acked if write.key.endswith(":register")]
        older = next(write for write in register
                     if any(later.key == write.key for later in register[register.index(write) + 1:]))
        for words in (("del", unique.key), ("put", unique.key, "other"),
                      ("put", older.key, older.value)):
            before = cluster.kvctl("-o", "raw", "get", words[1]).stdout.decode()
            cluster.kvctl(*words)
            with self.assertRaisesRegex(AssertionError, "1 contradictions"):
                self.assert_nothing_lost(cluster, writes)
            cluster.kvctl("put", words[1], before)
        self.assert_nothing_lost(cluster, writes)

    def test_graceful_restart_of_each_node(self):
        cluster = self.make_cluster()
        recorder = self.start_recorder(cluster)
        for node in (1, 2, 3):
            recorder.wait_for_acks(500)
            cluster.stop(node)
            recorder.wait_for_acks(500)
            cluster.start(node)
            cluster.wait_ready()
        writes = recorder.finish()
        self.assert_nothing_lost(cluster, writes)

    def test_paused_leader(self):
        cluster = self.make_cluster()
        recorder = self.start_recorder(cluster)
        recorder.wait_for_acks(1000)
        node, _ = cluster.busiest_node()
        cluster.script("pause", node)
        try:
            recorder.wait_for_acks(3000)
        finally:
            cluster.script("resume", node)
        cluster.wait_ready()
        recorder.wait_for_acks(1000)
        writes = recorder.finish()
        self.assert_nothing_lost(cluster, writes)

    def test_node_that_starts_does_not_disturb(self):
        cluster = self.make_cluster()
        for node in (1, 2, 3):
            cluster.stop(node)
            cluster.start(node)  # alive, and perhaps not ready: clients need not care
            for number in range(20):
                done = cluster.kvctl("put", f"k{node}-{number}", "v", check=False)
                self.assertEqual(done.returncode, 0, done.stderr)
            cluster.wait_ready()

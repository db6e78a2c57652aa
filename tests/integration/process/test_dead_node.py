"""A node that hangs (SIGSTOP) or is gone (SIGKILL) is paid for once by a client, not again and
again."""

import subprocess
import threading

from process_test_case import ProcessTest, binary, wait_for

# Far above what a call takes on a busy machine, below what a hung node costs: 750 ms of silence,
# and a second in which it is asked whether it lives.
SLOW_US = 700_000


class CallTimes:
    """A `basalt_call_times` in the background, and what it has printed by now."""

    def __init__(self, *words):
        self.calls = []  # of (microseconds, outcome)
        self._process = subprocess.Popen([str(binary("basalt_call_times")), *words],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            microseconds, outcome = line.split()
            self.calls.append((int(microseconds), outcome))

    def wait_for_more(self, calls, timeout_s=60):
        want = len(self.calls) + calls
        wait_for(f"{calls} more calls", timeout_s, lambda: len(self.calls) >= want)

    def end(self):
        if self._process.poll() is None:
            self._process.stdin.close()
            try:
                self._process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join()
        self._process.stdout.close()


class DeadNodeTest(ProcessTest):
    def start_calls(self, cluster, verb, policy, timeout_ms):
        times = CallTimes(verb, cluster.endpoints, policy, str(timeout_ms))
        self.addCleanup(times.end)
        times.wait_for_more(100)
        return times

    def test_reads_by_index_pay_once_for_a_paused_node(self):
        cluster = self.make_cluster()
        times = self.start_calls(cluster, "get", "round-robin", 10_000)
        node, _ = cluster.busiest_node()
        before = len(times.calls)
        cluster.script("pause", node)
        try:
            times.wait_for_more(3000)
        finally:
            cluster.script("resume", node)
        cluster.wait_ready()
        times.wait_for_more(300)
        times.end()
        calls = times.calls[before:]
        self.assertEqual({outcome for _, outcome in calls}, {"ok"})
        slow = [took for took, _ in calls if took > SLOW_US]
        # One at the node. While it waited, others were elected.
        self.assertLessEqual(len(slow), 1, slow)

    def test_writes_pay_once_for_a_paused_leader(self):
        cluster = self.make_cluster()
        times = self.start_calls(cluster, "put", "leader", 1000)
        node, _ = cluster.busiest_node()
        before = len(times.calls)
        cluster.script("pause", node)
        try:
            times.wait_for_more(1000)
        finally:
            cluster.script("resume", node)
        cluster.wait_ready()
        times.wait_for_more(100)
        times.end()
        calls = times.calls[before:]
        # Sent and unanswered: unknown. What came behind it was not sent there.
        self.assertEqual([outcome for _, outcome in calls].count("unknown"), 1)

    def test_writes_do_not_wait_for_a_killed_node(self):
        cluster = self.make_cluster()
        times = self.start_calls(cluster, "put", "leader", 5000)
        node, _ = cluster.busiest_node()
        before = len(times.calls)
        cluster.kill_now(node)
        times.wait_for_more(1000)
        cluster.start(node)
        cluster.wait_ready()
        times.wait_for_more(100)
        times.end()
        calls = times.calls[before:]
        self.assertLessEqual([outcome for _, outcome in calls].count("unknown"), 1)
        self.assertEqual([outcome for _, outcome in calls].count("not-applied"), 0)

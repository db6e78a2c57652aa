"""64 clients move money between accounts on all shards, each transfer one transaction, while
leaders are killed every 3 s and come back after 1 s: in turns that of the shard that coordinates
half of all transfers, and one of shards that only take part in those. The sum holds in every
snapshot, nothing is stuck for more than 5 s after the cluster is whole, and each transfer is there
as often as was said: once or never.

BASALT_BANK_SECONDS=600 makes it the long run (docs/testing.md): so long leaders die, with a pause
every minute in which what is stuck would show. With BASALT_RECORD=1 it writes docs/runs/.
"""

import json
import os
import signal
import subprocess
import time
import unittest

from process_test_case import CountsOverLives, ProcessTest, binary, microseconds, wait_for
from basalt_tools import run_record
from basalt_tools.local_cluster import shard_list

# Taken out of the environment: basaltd refuses variables that it does not know.
SECONDS = float(os.environ.pop("BASALT_BANK_SECONDS", "15"))
RECORDS = os.environ.pop("BASALT_RECORD", "") == "1"
KILL_EVERY_S = 3.0
DOWN_S = 1.0
PAUSE_EVERY_S = 60.0
STUCK_S = 5.0
PAUSE_S = STUCK_S + 1.5
KILLS_LEAST = 4  # however slow the machine
NODES = (1, 2, 3)
COUNTED = ("commits", "aborts", "waits", "dies", "asks", "blocked_reads")


def longest_wait(calls, whole):
    """Of calls, each (begin, end, ...), the one that waited longest in one of the spans in which
    the cluster was whole; returns how long, and it."""
    waits = [(min(call[1], end) - max(call[0], begin), call)
             for call in calls for begin, end in whole]
    return max(waits, key=lambda wait: wait[0], default=(0, None))


class LongestWaitTest(unittest.TestCase):
    def test_counts_what_was_waited_while_the_cluster_was_whole(self):
        whole = [(100, 200), (300, 400)]
        self.assertEqual(longest_wait([], whole)[0], 0)
        self.assertEqual(longest_wait([(0, 150)], whole), (50, (0, 150)))
        self.assertEqual(longest_wait([(0, 90), (120, 180), (390, 900)], whole),
                         (60, (120, 180)))
        self.assertEqual(longest_wait([(0, 900)], whole)[0], 100)
        self.assertLess(longest_wait([(210, 290)], whole)[0], 0)


class BankTest(ProcessTest):
    def start_load(self, cluster, anchor):
        self.slow_calls = self.folder / "slow-calls.tsv"
        self.bank_log = self.folder / "bank.log"
        with open(self.bank_log, "ab") as log:
            load = subprocess.Popen(
                [str(binary("basalt_bank")), "--endpoints", cluster.endpoints, "--slow-calls",
                 str(self.slow_calls), "--anchor-first", str(anchor["first_slot"]),
                 "--anchor-count", str(anchor["slot_count"])],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        self.addCleanup(load.stdout.close)
        self.addCleanup(load.wait)
        self.addCleanup(load.kill)
        return load

    def lasts(self, load, seconds):
        """Lets the load run for so long; it ends only when it is told to."""
        try:
            load.wait(timeout=max(0, seconds))
        except subprocess.TimeoutExpired:
            return
        self.fail(f"the load ended: {self.bank_log.read_text()[-2000:]}")

    def victim(self, cluster, anchor, coordinator):
        """The node that leads the anchor shard, or one that does not and leads most others."""
        def leads():
            led = cluster.leaders()
            return led if sum(map(len, led.values())) == cluster.shards else None
        led = wait_for("a leader of every shard", 30, leads, interval_s=0.1)
        first = next(node for node in NODES if anchor["id"] in led[node])
        if coordinator:
            return first
        return max((node for node in NODES if node != first), key=lambda node: len(led[node]))

    def kill_leaders(self, cluster, anchor, load, counts):
        """Returns how many died, and since when the cluster has been whole, span by span; the last
        one is open."""
        kills, whole = 0, [[microseconds(), None]]
        began = time.monotonic()
        pause_at = began + PAUSE_EVERY_S
        next_kill = began + KILL_EVERY_S / 2
        while time.monotonic() < began + SECONDS or kills < KILLS_LEAST:
            self.lasts(load, next_kill - time.monotonic())
            next_kill = time.monotonic() + KILL_EVERY_S
            node = self.victim(cluster, anchor, coordinator=kills % 2 == 0)
            counts.look(node)
            whole[-1][1] = cluster.kill_now(node)
            counts.note_death(node)
            kills += 1
            self.lasts(load, DOWN_S)
            cluster.start(node)
            cluster.wait_ready()
            whole.append([microseconds(), None])
            if time.monotonic() > pause_at:
                self.lasts(load, PAUSE_S)
                next_kill = time.monotonic()
                pause_at = next_kill + PAUSE_EVERY_S
        return kills, whole

    def test_money_is_neither_made_nor_lost_while_leaders_die(self):
        cluster = self.make_cluster()
        anchor = next(shard for shard in shard_list(cluster.kvctl_json("shards"))
                      if shard["slot_count"])
        load = self.start_load(cluster, anchor)
        counts = CountsOverLives(self, cluster, {name: f"basalt_txn_{name}_total"
                                                 for name in COUNTED})
        kills, whole = self.kill_leaders(cluster, anchor, load, counts)
        self.lasts(load, PAUSE_S)
        load.send_signal(signal.SIGTERM)
        report = json.loads(load.communicate()[0])
        whole[-1][1] = microseconds()
        for node in NODES:
            counts.look(node)
        calls = [(int(begin), int(end), what, status) for what, begin, end, status in
                 (line.split("\t") for line in self.slow_calls.read_text().splitlines())]
        audits = [call for call in calls if call[2] == "audit"]
        stuck_us, longest = longest_wait(calls, whole)
        if RECORDS:
            run_record.write("bank", {
                **report, "leaders_killed": kills, "longest_wait_s": round(stuck_us / 1e6, 2),
                "longest_wait_of_audit_s": round(longest_wait(audits, whole)[0] / 1e6, 2)},
                {"counted": counts.totals()},
                command=f"BASALT_RECORD=1 BASALT_BANK_SECONDS={SECONDS:g} "
                "python3 -B -m unittest -v test_bank")
        print(f"{kills} leaders killed; {report}; longest wait while the cluster was whole "
              f"{stuck_us / 1e6:.2f} s, of an audit {longest_wait(audits, whole)[0] / 1e6:.2f} s; "
              f"{counts.totals()}")
        self.check(load, report, stuck_us, longest)

    def check(self, load, report, stuck_us, longest):
        said = self.bank_log.read_text()[-4000:]
        self.assertEqual(report["violations"], 0, said)
        self.assertEqual(load.returncode, 0, said)
        self.assertEqual(report["failed_reads"], 0, said)
        self.assertEqual(report["aborted"] + report["refused"], 0, said)
        self.assertGreaterEqual(report["acknowledged"], 20 * SECONDS, said)
        self.assertGreaterEqual(report["snapshots"], SECONDS, said)
        self.assertGreaterEqual(report["audits"], 1, said)
        self.assertGreaterEqual(report["traces"], report["acknowledged"])
        self.assertLess(stuck_us, STUCK_S * 1e6, longest)
        self.assertLess(report["closing_seconds"], STUCK_S)


if __name__ == "__main__":
    unittest.main()

"""One key incremented by 64 clients while the leader of its shard is killed every 3 s and comes
back after 1 s: each increment counts once.

Whether a death leaves writes that were applied and not answered is chance, so the short run begins
anew, with another key, until it has seen some answered from a session, five times at most.

BASALT_INCREMENTS=1000000 makes it the long run (docs/testing.md). With BASALT_RECORD=1 it writes
docs/runs/.
"""

import json
import os
import subprocess
import time
import unittest

from process_test_case import CountsOverLives, ProcessTest, binary, wait_for
from basalt_tools import run_record

# Taken out of the environment: basaltd refuses variables that it does not know.
COUNT = int(os.environ.pop("BASALT_INCREMENTS", "50000"))
RECORDS = os.environ.pop("BASALT_RECORD", "") == "1"
LONG = COUNT >= 1_000_000
RETRIES_WANTED = 100 if LONG else 1
ROUNDS_MAX = 1 if LONG else 5
FIRST_KILL_S = 0.3  # even a fast machine is not done by then
KILL_EVERY_S = 3.0
DOWN_S = 1.0


def ends_within(load, seconds):
    """Lets the load run for so long, or until it has ended."""
    try:
        load.wait(timeout=seconds)
        return True
    except subprocess.TimeoutExpired:
        return False


class IncrementsTest(ProcessTest):
    def leader_of_key(self, cluster, key):
        def leader():
            answer = cluster.kvctl_json("shard", "of", key)
            return answer.get("leader") or None
        return wait_for("a leader of the key's shard", 30, leader)

    def kill_leaders(self, cluster, key, load, replays):
        """Until the load has ended; returns how many died."""
        kills = 0
        next_kill = time.monotonic() + FIRST_KILL_S
        while not ends_within(load, 0.05):
            for node in (1, 2, 3):
                replays.look(node)
            if time.monotonic() < next_kill:
                continue
            next_kill = time.monotonic() + KILL_EVERY_S
            node = self.leader_of_key(cluster, key)
            replays.look(node)
            cluster.kill_now(node)
            replays.note_death(node)
            kills += 1
            ends_within(load, DOWN_S)
            cluster.start(node)
        for node in (1, 2, 3):
            replays.look(node)
        return kills

    def increment(self, cluster, key, replays):
        with open(self.folder / "increments.log", "ab") as log:
            load = subprocess.Popen(
                [str(binary("basalt_increments")), "--endpoints", cluster.endpoints, "--key", key,
                 "--count", str(COUNT), "--clients", "64", "--timeout", "60"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        self.addCleanup(load.stdout.close)
        self.addCleanup(load.wait)
        self.addCleanup(load.kill)
        kills = self.kill_leaders(cluster, key, load, replays)
        report = json.loads(load.stdout.read())
        if RECORDS:
            run_record.write("increments", {
                **report, "count": COUNT, "leaders_killed": kills,
                "answered_from_a_session": replays.total("replays")}, {"counted": replays.totals()},
                command=f"BASALT_RECORD=1 BASALT_INCREMENTS={COUNT} "
                "python3 -B -m unittest -v test_increments")
        print(f"{kills} leaders killed, {replays.total('replays')} writes answered from a session "
              f"so far: {report}")
        self.assertEqual(report["acknowledged"], COUNT, report)
        self.assertEqual(report["repeated_answers"], 0, report)
        self.assertEqual(load.wait(), 0)
        self.assertGreaterEqual(kills, 1)
        cluster.wait_ready()
        self.assertEqual(cluster.kvctl("-o", "raw", "get", key).stdout, str(COUNT).encode())

    def test_each_counts_once_while_leaders_die(self):
        cluster = self.make_cluster()
        replays = CountsOverLives(self, cluster, {"replays": "basalt_session_replays_total"})
        for number in range(ROUNDS_MAX):
            self.increment(cluster, f"counter-{number}", replays)
            if replays.total("replays") >= RETRIES_WANTED:
                return
        self.fail(f"{replays.total('replays')} writes were answered from a session, not "
                  f"{RETRIES_WANTED}")


if __name__ == "__main__":
    unittest.main()

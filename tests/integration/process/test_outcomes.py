"""Writes that name themselves, sent by processes that are killed, while leaders of their shards die
too: whoever asks what became of one is told the truth, and what is told never to be applied is not.
"""

import json
import random
import subprocess
import time
import unittest

from process_test_case import ProcessTest, binary

WRITES = 60
FENCED_WANTED = 3
APPLIED_WANTED = 3
ROUNDS_MAX = 2


class OutcomesTest(ProcessTest):
    def token(self, cluster, key):
        done = cluster.kvctl("request-token", key)
        return done.stdout.decode().strip()

    def time_of_a_put(self, cluster):
        took = []
        for number in range(5):
            begin = time.monotonic()
            cluster.kvctl("put", f"warm-{number}", "up")
            took.append(time.monotonic() - begin)
        return sorted(took)[2]

    def write_and_die(self, cluster, life_s, key, value, token):
        writer = subprocess.Popen(
            [str(binary("kvctl")), "--endpoints", cluster.endpoints, "put", key, value,
             "--request-token", token],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            writer.wait(timeout=life_s)
        except subprocess.TimeoutExpired:
            writer.kill()
        writer.wait()
        return writer.returncode

    def ask(self, cluster, token):
        """Until somebody tells: a leader may be dead."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            done = cluster.kvctl("-o", "json", "outcome", token, check=False)
            if done.stdout:
                return done.returncode, json.loads(done.stdout)
        self.fail(f"nobody told what became of {token}: {done.stderr.decode()}")

    def test_who_asks_is_told_the_truth_for_good(self):
        cluster = self.make_cluster()
        seeded = random.Random(11)
        # Some die before they have sent, and some after.
        life_max_s = 2 * self.time_of_a_put(cluster)
        told = {}
        for number in range(ROUNDS_MAX * WRITES):
            if number % WRITES == 0:
                fenced = sum(1 for _, answer in told.values() if answer["outcome"] == "not applied")
                if fenced >= FENCED_WANTED and len(told) - fenced >= APPLIED_WANTED:
                    break
            key, value = f"once-{number}", f"value {number}"
            token = self.token(cluster, key)
            leader = None
            if number % 20 == 10:
                leader = cluster.kvctl_json("shard", "of", key).get("leader")
            if leader:
                cluster.kill_now(leader)
            ended = self.write_and_die(cluster, seeded.uniform(0, life_max_s), key, value, token)
            code, answer = self.ask(cluster, token)
            if leader:
                cluster.start(leader)
            self.assertIn((code, answer["outcome"]), {(0, "applied"), (3, "not applied")})
            if ended == 0:
                self.assertEqual(answer["outcome"], "applied", key)
            told[key] = (token, answer)
        fenced = 0
        cluster.wait_ready()
        for key, (token, answer) in told.items():
            # What comes late changes nothing, neither does a second question.
            late = cluster.kvctl("put", key, "late", "--request-token", token, check=False)
            again = cluster.kvctl("put", key, f"value {key.removeprefix('once-')}",
                                  "--request-token", token, check=False)
            self.assertEqual(self.ask(cluster, token)[1], answer, key)
            found = cluster.kvctl("-o", "json", "get", key, check=False)
            if answer["outcome"] == "applied":
                # It is another write, of which nobody may believe that it was done.
                self.assertEqual(late.returncode, 5, late.stderr)
                self.assertIn(b"a request is for one write", late.stderr)
                self.assertEqual(again.returncode, 0, again.stderr)
                row = json.loads(found.stdout)
                self.assertEqual(row["value"], "value " + key.removeprefix("once-"))
                self.assertEqual(row["version"], answer["version"], key)
            else:
                fenced += 1
                self.assertEqual(late.returncode, 3, late.stderr)
                self.assertEqual(again.returncode, 3, again.stderr)
                self.assertEqual(found.returncode, 1, key)
        print(f"{len(told)} writes: {fenced} never applied, {len(told) - fenced} applied")
        self.assertGreaterEqual(fenced, FENCED_WANTED)
        self.assertGreaterEqual(len(told) - fenced, APPLIED_WANTED)


if __name__ == "__main__":
    unittest.main()

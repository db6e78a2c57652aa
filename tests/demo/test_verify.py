"""Every fault that is planted in a demo's files must make its verdict fail, and only faults do."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import planted_demo
from planted_demo import KILL_US, PlantedDemo

VERIFIER = planted_demo.load_verifier()
LIMITS = (VERIFIER.packages_index.STANZAS_MIN, VERIFIER.ACKS_MIN, VERIFIER.ACKS_BEFORE_KILL_MIN)
planted_demo.with_small_limits(VERIFIER)


def first(table, wanted=lambda key: True):
    return next(key for key in table if wanted(key))


class VerifierTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="basalt-verify-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.demo = PlantedDemo()

    def judge(self):
        self.demo.save(self.folder)
        return self.judge_files()

    def judge_files(self):
        return {what: (holds, seen)
                for what, holds, seen in VERIFIER.judge(VERIFIER.Demo(self.folder))}

    def assert_fails(self, what, saying=""):
        holds, seen = self.judge()[what]
        self.assertFalse(holds, f"{what}: held, and said {seen}")
        self.assertIn(saying, seen)

    def acked(self, number=0):
        """A unique key that was acknowledged."""
        keys = [w[4] for w in self.demo.writes if w[0] == "ack" and "register" not in w[4]]
        return keys[number]

    def forget(self, key):
        """The store loses `key`, everywhere alike."""
        self.demo.values[key] = None
        del self.demo.final[key]
        self.demo.fill_replicas()

    # --- nothing planted

    def test_good_demo_holds(self):
        for what, (holds, seen) in self.judge().items():
            self.assertTrue(holds, f"{what}: {seen}")

    def test_limits_are_those_of_the_demo(self):
        self.assertEqual(LIMITS, (30_000, 10_000, 1_000))

    def test_exit_codes_and_report(self):
        script = planted_demo.ROOT / "scripts" / "demo" / "verify"
        self.demo.save(self.folder)
        done = subprocess.run([sys.executable, script, self.folder], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1, "400 rows are too few for the real limits")
        self.assertIn("the input is real                FAIL  400 rows", done.stdout)
        report = json.loads((self.folder / "report.json").read_text())
        self.assertEqual([v["what"] for v in report["verdicts"] if not v["holds"]],
                         ["the input is real", "enough was acknowledged"])

    def test_nothing_at_all(self):
        self.assertFalse(any(holds for holds, _ in self.judge_files().values()))

    # --- import and export

    def test_missing_key(self):
        del self.demo.export[first(self.demo.export)]
        self.assert_fails("export equals the input", "is missing")

    def test_changed_byte(self):
        key = first(self.demo.export)
        self.demo.export[key] = self.demo.export[key].replace("1", "2", 1)
        self.assert_fails("export equals the input", "has other bytes")

    def test_made_up_key(self):
        self.demo.export["pkg:nobody"] = "x"
        self.assert_fails("export equals the input", "was never put in")

    def test_doubled_row(self):
        self.demo.save(self.folder)
        path = self.folder / "export.jsonl"
        rows = path.read_text().splitlines(keepends=True)
        path.write_text("".join([rows[0], *rows]))
        self.assertFalse(self.judge_files()["export equals the input"][0])

    def test_unsorted_export(self):
        self.demo.save(self.folder)
        path = self.folder / "export.jsonl"
        rows = path.read_text().splitlines(keepends=True)
        path.write_text("".join(reversed(rows)))
        self.assertFalse(self.judge_files()["export is in key order"][0])

    def test_wrong_count(self):
        self.demo.count -= 1
        self.assert_fails("count is right")

    def test_prefix_scan_misses_a_row(self):
        del self.demo.prefix[first(self.demo.prefix)]
        self.assert_fails("prefix scan is right", "is missing")

    def test_prefix_scan_of_everything(self):
        self.demo.prefix = dict(self.demo.input)
        self.assert_fails("prefix scan is right", "was never put in")

    def test_too_little_input(self):
        self.demo = PlantedDemo(stanzas=200)
        self.assert_fails("the input is real")

    def test_imported_row_lost_in_the_failover(self):
        del self.demo.final[first(self.demo.input)]
        self.assert_fails("the imported rows survived", "is missing")

    # --- writes

    def test_lost_acknowledged_write(self):
        self.forget(self.acked(number=500))
        self.assert_fails("no acknowledged write is lost", "is lost")

    def test_last_acknowledged_write_lost(self):
        self.forget(self.acked(number=-1))
        self.assert_fails("no acknowledged write is lost", "is lost")

    def test_acknowledged_write_changed(self):
        self.demo.values[self.acked()] += "x"
        self.assert_fails("no acknowledged write is lost", "another value")

    def test_acknowledged_write_not_read(self):
        del self.demo.values[self.acked()]
        self.assert_fails("no acknowledged write is lost", "not read back")

    def test_register_went_back(self):
        history = [w for w in self.demo.writes if w[0] == "ack" and "register" in w[4]]
        key = history[-1][4]
        self.demo.values[key] = next(w[5] for w in history if w[4] == key)
        self.assert_fails("no acknowledged write is lost", "holds neither")

    def test_refused_write_seen(self):
        write = next(w for w in self.demo.writes if w[0] == "refused" and "register" not in w[4])
        self.demo.values[write[4]] = write[5]
        self.assert_fails("no acknowledged write is lost", "was refused and is there")

    def test_unknown_write_with_strange_value(self):
        write = next(w for w in self.demo.writes if w[0] == "unknown" and "register" not in w[4])
        self.demo.values[write[4]] = "strange"
        self.assert_fails("no acknowledged write is lost", "nobody wrote")

    def test_failed_read(self):
        self.demo.save(self.folder)
        path = self.folder / "readback.tsv"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join([f"failed\t{self.acked()}\tunavailable\n", *lines[1:]]))
        self.assertFalse(self.judge_files()["no acknowledged write is lost"][0])

    def test_record_cut_off(self):
        self.demo.save(self.folder)
        path = self.folder / "acks.tsv"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[:-1]))
        self.assertFalse(self.judge_files()["no acknowledged write is lost"][0])
        path.write_text("".join(lines[:-100] + lines[-1:]))
        self.assertFalse(self.judge_files()["no acknowledged write is lost"][0])

    def test_too_few_writes(self):
        self.demo.writes = self.demo.writes[:1000]
        self.assert_fails("enough was acknowledged", "want 1000")

    def test_too_few_writes_before_the_kill(self):
        self.demo.writes = [w for w in self.demo.writes
                            if not KILL_US - 800_000 < w[2] < KILL_US]
        self.assert_fails("enough was acknowledged", "in the second before")

    def test_shard_without_writes_after_the_kill(self):
        owners = VERIFIER.ShardTable(self.demo.shards)
        self.demo.writes = [w for w in self.demo.writes
                            if w[2] < KILL_US or owners.shard_of(w[4].encode()) != 3]
        self.assert_fails("every shard took writes again", "3")

    def test_long_gap(self):
        self.demo.writes = [(w[0], w[1] + (w[1] > KILL_US) * 11_000_000,
                             w[2] + (w[1] > KILL_US) * 11_000_000, *w[3:])
                            for w in self.demo.writes]
        self.assert_fails("every shard took writes again", "took none for 11")

    def test_scan_disagrees_with_reads(self):
        del self.demo.final[self.acked()]
        self.assert_fails("a scan agrees with the reads", "is missing")

    # --- the kill

    def test_node_was_never_killed(self):
        self.demo.events["restart"]["pid"] = self.demo.events["kill"]["pid"]
        self.assert_fails("the busiest leader was killed", "from before")

    def test_killed_gently(self):
        self.demo.events["kill"]["signal"] = 15
        self.assert_fails("the busiest leader was killed", "signal 15")

    def test_killed_an_idle_node(self):
        self.demo.events["kill"]["node"] = 3
        self.assert_fails("the busiest leader was killed", "led more")

    def test_no_kill(self):
        del self.demo.events["kill"]
        self.assert_fails("the busiest leader was killed")

    # --- replicas

    def test_node_behind(self):
        self.demo.applied["2"]["2"] -= 1
        self.assert_fails("the node caught up", "unevenly")

    def test_node_missing(self):
        del self.demo.applied["2"]["2"]
        self.assert_fails("the node caught up")

    def test_differing_replica_value(self):
        rows = list(self.demo.replicas[2, 3])
        rows[5] = {**rows[5], "value": "c3RyYW5nZQ=="}
        self.demo.replicas[2, 3] = rows
        self.assert_fails("the replicas are equal", "nodes 1 and 3: version 5 differs")

    def test_differing_replica_stamp(self):
        rows = list(self.demo.replicas[1, 2])
        rows[-1] = {**rows[-1], "stamp": 4}
        self.demo.replicas[1, 2] = rows
        self.assert_fails("the replicas are equal", "differs")

    def test_replica_misses_a_version(self):
        self.demo.replicas[4, 1] = self.demo.replicas[4, 1][:-1]
        self.assert_fails("the replicas are equal", "versions")

    def test_differing_hash(self):
        rows = list(self.demo.replicas[1, 3])
        rows[0] = {**rows[0], "applied_hash": "f" * 16}
        self.demo.replicas[1, 3] = rows
        self.assert_fails("the replicas are equal", "applied hash")

    def test_differing_applied_index(self):
        rows = list(self.demo.replicas[1, 3])
        rows[0] = {**rows[0], "applied_index": 1}
        self.demo.replicas[1, 3] = rows
        self.assert_fails("the replicas are equal", "applied 71 and 1")

    def test_replica_without_a_dump(self):
        del self.demo.replicas[3, 2]
        self.assert_fails("the replicas are equal", "replica-3-2")

    def test_shard_with_two_replicas(self):
        del self.demo.shards[1]["replicas"][0]
        self.assert_fails("the replicas are equal", "2 replicas")

    def test_empty_replicas(self):
        self.demo.replicas = {at: rows[:1] for at, rows in self.demo.replicas.items()}
        self.assert_fails("the replicas are equal", "empty")

    def test_replicas_all_miss_a_key_that_clients_read(self):
        for at, rows in self.demo.replicas.items():
            self.demo.replicas[at] = [rows[0], *rows[3:]] if at[0] == 2 else rows
        self.assert_fails("replicas hold what clients read", "is missing")

    def test_key_in_a_foreign_shard(self):
        for node in (1, 2, 3):
            self.demo.replicas[2, node] = [*self.demo.replicas[2, node],
                                           self.demo.replicas[1, node][1]]
        self.assert_fails("replicas hold what clients read", "not its own")

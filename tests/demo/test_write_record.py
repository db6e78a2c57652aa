"""The record of writes is read strictly, and its gaps and slots are computed right."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
from basalt_tools import write_record  # noqa: E402
from basalt_tools.slots import ShardTable, slot_of  # noqa: E402
from basalt_tools.write_record import Write  # noqa: E402

GOOD = "ack\t10\t20\t0\tk1\tv1\nunknown\t20\t30\t0\tk2\tv2\nrefused\t30\t40\t0\tk3\tv3\n"


def ack(start, end, key):
    return Write("ack", start, end, 0, key, "v")


class RecordTest(unittest.TestCase):
    def read(self, text, reader=write_record.read_record):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "record"
            path.write_text(text)
            return reader(path)

    def test_good_record(self):
        writes = self.read(GOOD + "end\t1\t1\t1\n")
        self.assertEqual([w.kind for w in writes], ["ack", "unknown", "refused"])
        self.assertEqual(writes[1], Write("unknown", 20, 30, 0, "k2", "v2"))

    def test_damaged_records(self):
        for text in (GOOD, GOOD + "end\t2\t1\t1\n", GOOD + "end\t1\t1\t1\n" + GOOD,
                     "done\t1\t2\t0\tk\tv\nend\t1\t0\t0\n", "ack\t1\t2\t0\tk\nend\t1\t0\t0\n",
                     "ack\tx\t2\t0\tk\tv\nend\t1\t0\t0\n", ""):
            with self.assertRaises(ValueError, msg=repr(text)):
                self.read(text)

    def test_damaged_values(self):
        read = write_record.read_values
        self.assertEqual(self.read("found\ta\tb\nabsent\tc\nend\t2\n", read),
                         {"a": "b", "c": None})
        for text in ("found\ta\tb\n", "found\ta\tb\nend\t2\n", "failed\ta\twhy\nend\t1\n"):
            with self.assertRaises(ValueError, msg=repr(text)):
                self.read(text, read)

    def test_longest_gap(self):
        writes = [ack(0, 10, "a"), ack(0, 12, "b"), ack(100, 500, "a"), ack(12, 520, "b"),
                  Write("unknown", 20, 400, 0, "a", "v"), ack(500, 530, "a")]
        gaps = write_record.longest_gap_us(writes, lambda key: key.decode())
        self.assertEqual(gaps, {"a": (490, 10), "b": (508, 12)})

    def test_gap_at_the_end_counts(self):
        writes = [ack(0, 10, "a"), ack(0, 900, "b")]
        gaps = write_record.longest_gap_us(writes, lambda key: key.decode())
        self.assertEqual(gaps["a"], (890, 10))

    def test_shard_that_was_never_acknowledged_has_the_whole_as_gap(self):
        writes = [ack(0, 10, "a"), Write("unknown", 5, 900, 0, "b", "v")]
        gaps = write_record.longest_gap_us(writes, lambda key: key.decode())
        self.assertEqual(gaps["b"], (900, 0))


class SlotTest(unittest.TestCase):
    def test_vectors(self):
        self.assertEqual(slot_of(b"123456789"), 0x31C3 % 16384)
        self.assertEqual(slot_of(b"{user1}:a"), slot_of(b"{user1}:b"))
        self.assertEqual(slot_of(b"x{user1}:a"), slot_of(b"user1"))
        self.assertNotEqual(slot_of(b"{}a"), slot_of(b"{}b"))

    def test_table_refuses_holes_and_overlaps(self):
        def shard(number, first, count):
            return {"id": number, "first_slot": first, "slot_count": count}
        ShardTable([shard(0, 0, 0), shard(1, 0, 8192), shard(2, 8192, 8192)])
        with self.assertRaisesRegex(ValueError, "two shards"):
            ShardTable([shard(1, 0, 8193), shard(2, 8192, 8192)])
        with self.assertRaisesRegex(ValueError, "no shard"):
            ShardTable([shard(1, 0, 8191), shard(2, 8192, 8192)])

"""A leader is killed: every shard that it led takes writes again within two seconds."""

import pathlib
import sys

from process_test_case import ProcessTest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "scripts"))
from basalt_tools import failover  # noqa: E402

RUNS = 3
WORST_S = 2.0


class FailoverTest(ProcessTest):
    def test_first_acknowledged_write_within_two_seconds(self):
        cluster = self.make_cluster()
        for run in range(RUNS):
            sample = failover.measure(cluster, self.folder / f"acks-{run}.tsv")
            self.assertGreater(sample["shards_led"], 0)
            self.assertLess(sample["seconds"], WORST_S, sample)

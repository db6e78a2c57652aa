"""A leader is killed: every shard that it led takes writes again, within two seconds as a rule.

scripts/failover measures twenty runs on a quiet machine and holds each to the limit; here, where
the machine may be busy, the median is held to it.
"""

import statistics

from process_test_case import ProcessTest

from basalt_tools import failover

RUNS = 3
MEDIAN_S = 2.0
WORST_S = 4.0


class FailoverTest(ProcessTest):
    def test_first_acknowledged_write_within_two_seconds(self):
        cluster = self.make_cluster()
        samples = [failover.measure(cluster, self.folder / f"acks-{run}.tsv")
                   for run in range(RUNS)]
        for sample in samples:
            self.assertGreater(sample["shards_led"], 0)
            self.assertLess(sample["seconds"], WORST_S, sample)
        self.assertLess(statistics.median(s["seconds"] for s in samples), MEDIAN_S, samples)

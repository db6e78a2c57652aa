"""A million keys are read at one snapshot while others write them. A reader that stops in the midst
for as long as the writers go on holds up none of them, and reads what stood when it began. Readers
that do not stop leave the writers their share of the processors."""

import itertools
import json
import subprocess
import time
import unittest

from process_test_case import ProcessTest, binary

KEYS = 1_000_000
PREFIX = "million:"
ENDS = (f"{PREFIX}!", f"{PREFIX}~")  # below and above the million
LOAD_S = 4
# Of the rate without readers. One that does not stop keeps a processor busy.
RATE_LEAST = {"a reader that stops": 1 / 3, "readers that do not": 1 / 5}
WRITE_S = 2.0
SCAN_S = 20.0
ROWS_PER_PAGE = 1000
COUNTED = ("commits", "dies", "asks", "blocked_reads")
CHANGED = (0, KEYS // 2, KEYS - 2)


def key_of(number):
    return f"{PREFIX}{number:010}"  # as the bench names them


class Writers:
    """64 that write any of the million keys but the last for some seconds, and single writes beside
    them."""

    def __init__(self, test, cluster, number):
        self.number = number  # at both ends of the range
        self.slowest_s = 0
        self.rate = None  # of the 64
        self._test = test
        self._cluster = cluster
        self._bench = subprocess.Popen(
            [str(binary("kvctl")), "--endpoints", cluster.endpoints, "-o", "json", "bench",
             "--workload", "put", "--keys", str(KEYS - 1), "--key-prefix", PREFIX, "--value-size",
             "32", "--duration", f"{LOAD_S}s"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        test.addCleanup(self._bench.stdout.close)
        test.addCleanup(self._bench.wait)
        test.addCleanup(self._bench.kill)

    def go_on(self):
        return self._bench.poll() is None

    def write(self, *words, **options):
        began = time.monotonic()
        self._cluster.kvctl(*words, **options)
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)

    def write_ends(self):
        """First the lower, then the upper one."""
        self.number += 1
        for key in ENDS:
            self.write("put", key, self.number)

    def finish(self):
        """Goes on with single writes for as long as the others do."""
        while self.go_on():
            self.write_ends()
        report = json.loads(self._bench.communicate()[0])
        self._test.assertEqual((self._bench.returncode, report["errors"]), (0, 0), report)
        self.rate = report["throughput"]


class MillionKeysTest(ProcessTest):
    def counted(self, cluster, series):
        return int(sum(self.metric(cluster, node, series) for node in range(1, cluster.nodes + 1)))

    def pages_read(self, cluster):
        return self.counted(cluster, r'basalt_requests_total\{code="ok",operation="scan"\}')

    def fill(self, cluster, value):
        """Returns the rows as a scan prints them."""
        rows = [f"{key_of(number)}\t{value} {number}\n".encode() for number in range(KEYS)]
        cluster.kvctl("import", "--format", "tsv", "-", input=b"".join(rows))
        return rows

    def start_scan(self, cluster, out):
        scan = subprocess.Popen(
            [str(binary("kvctl")), "--endpoints", cluster.endpoints, "scan", "--prefix", PREFIX],
            stdin=subprocess.DEVNULL, stdout=out, bufsize=1 << 20)
        self.addCleanup(scan.wait)
        self.addCleanup(scan.kill)
        return scan

    def change(self, writers):
        """Changes, adds and deletes keys that a scan has read, and keys that it has not."""
        for number in CHANGED:
            writers.write("put", key_of(number), "changed")
            writers.write("put", f"{key_of(number)}:new", "new")
        writers.write("del", key_of(KEYS - 1))
        writers.write("txn", input="".join(f"put {key_of(number)} together\n" for number in
                                           range(1, KEYS, KEYS // 8)).encode())

    def check_rows(self, seen, expected):
        differ = [pair for pair in itertools.zip_longest(seen, expected) if pair[0] != pair[1]]
        self.assertEqual(differ[:3], [], f"{len(differ)} rows are not those of the snapshot")

    def scan_with_a_stop(self, cluster, number):
        """Returns the writers beside it, and how long it took but for the stop."""
        expected = self.fill(cluster, "second")
        expected = [f"{ENDS[0]}\t{number}\n".encode(), *expected, f"{ENDS[1]}\t{number}\n".encode()]
        pages = self.pages_read(cluster)
        began = time.monotonic()
        scan = self.start_scan(cluster, subprocess.PIPE)
        self.addCleanup(scan.stdout.close)
        seen = list(itertools.islice(scan.stdout, KEYS // 2))
        stops = time.monotonic()
        writers = Writers(self, cluster, number)
        self.change(writers)
        writers.finish()
        stopped_s = time.monotonic() - stops
        self.assertLess(self.pages_read(cluster) - pages, 0.6 * KEYS / ROWS_PER_PAGE, "it stopped")
        seen += scan.stdout
        self.assertEqual(scan.wait(), 0)
        took = time.monotonic() - began - stopped_s
        self.check_rows(seen, expected)
        return writers, took

    def scan_again_and_again(self, cluster, number, rows):
        """Returns the writers beside it, and how long each scan took. Each has all rows, and the
        ends of the range as they were together."""
        writers = Writers(self, cluster, number)
        took = []
        while writers.go_on():
            least = writers.number
            began = time.monotonic()
            with open(self.folder / "rows", "w+b") as out:
                scan = self.start_scan(cluster, out)
                while scan.poll() is None:
                    writers.write_ends()
                self.assertEqual(scan.returncode, 0)
                took.append(time.monotonic() - began)
                out.seek(0)
                seen = out.readlines()
            self.assertEqual(len(seen), rows)
            lower, upper = (int(row.split(b"\t")[1]) for row in (seen[0], seen[-1]))
            self.assertGreaterEqual(upper, least)
            self.assertIn(lower, (upper, upper + 1))
        writers.finish()
        return writers, took

    def test_a_scan_holds_up_no_writer(self):
        cluster = self.make_cluster()
        self.fill(cluster, "first")
        alone = Writers(self, cluster, 0)
        alone.finish()
        stopping, took = self.scan_with_a_stop(cluster, alone.number)
        changed = cluster.kvctl("mget", *map(key_of, CHANGED)).stdout
        self.assertNotIn(b"second", changed)
        again, each_took = self.scan_again_and_again(
            cluster, stopping.number, KEYS - 1 + len(CHANGED) + len(ENDS))
        alone_again = Writers(self, cluster, again.number)
        alone_again.finish()
        counts = {name: self.counted(cluster, f"basalt_txn_{name}_total") for name in COUNTED}
        beside = {"nobody": alone, "a reader that stops": stopping, "readers that do not": again,
                  "nobody again": alone_again}
        rates = {who: int(writers.rate) for who, writers in beside.items()}
        slowest = {who: round(writers.slowest_s, 2) for who, writers in beside.items()}
        print(f"writes/s beside {rates}; the slowest single ones {slowest} s; the scan took "
              f"{took:.2f} s but for its stop, each of {len(each_took)} others at most "
              f"{max(each_took):.2f} s; {counts}")
        for readers, least in RATE_LEAST.items():
            self.assertGreater(rates[readers],
                               least * min(rates["nobody"], rates["nobody again"]), readers)
        self.assertLess(max(stopping.slowest_s, again.slowest_s), WRITE_S)
        self.assertLess(max(took, *each_took), SCAN_S)
        # One transaction's locks are all that there were, and nobody who reads met them.
        self.assertGreaterEqual(counts.pop("commits"), 1)
        # Participants ask after a second, which a busy machine may take.
        counts.pop("asks")
        self.assertEqual(counts, {"dies": 0, "blocked_reads": 0})


if __name__ == "__main__":
    unittest.main()

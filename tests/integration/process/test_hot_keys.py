"""64 clients move money between four accounts, each in a shard of its own, as fast as they can.
Somebody gets through all the time, few give up, and whoever only reads the accounts or uses other
keys is served. Afterwards no account is locked."""

import concurrent.futures
import itertools
import json
import subprocess
import time
import unittest

from process_test_case import ProcessTest, binary, wait_for

CLIENTS = 64
PREFIX = "hot:"
ACCOUNTS = [f"{PREFIX}{number:010}" for number in range(4)]  # as the bench names them
OPENING = 1000  # what it puts into each
SECONDS = 8
TRANSFERS_PER_S_LEAST = 5
SILENCE_S = 2.0
OTHER_S = 2.0
OTHERS_LEAST = 10
AFTERWARDS_S = 5.0
COUNTED = ("commits", "aborts", "waits", "dies", "asks", "blocked_reads")


class HotKeysTest(ProcessTest):
    def timed(self, cluster, *words, **options):
        """How long a kvctl took, and what it printed."""
        began = time.monotonic()
        done = cluster.kvctl(*words, **options)
        return time.monotonic() - began, done.stdout.decode()

    def balances(self, rows):
        """Of the accounts in rows of scans: what they have, and how often they were touched."""
        values = [line.split("\t")[1].split(" ") for line in rows.splitlines() if "\t" in line]
        self.assertEqual(len(values), len(ACCOUNTS), rows)
        return sum(int(value[0]) for value in values), sum(int(value[1]) for value in values)

    def counted(self, cluster, name):
        return int(sum(self.metric(cluster, node, f"basalt_txn_{name}_total")
                       for node in range(1, cluster.nodes + 1)))

    def start_load(self, cluster):
        load = subprocess.Popen(
            [str(binary("kvctl")), "--endpoints", cluster.endpoints, "-o", "json", "bench",
             "--workload", "txn", "--clients", str(CLIENTS), "--keys", str(len(ACCOUNTS)),
             "--key-prefix", PREFIX, "--duration", f"{SECONDS}s"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.addCleanup(load.stdout.close)
        self.addCleanup(load.wait)
        self.addCleanup(load.kill)
        return load

    def be_served(self, cluster, load):
        """Uses other keys and reads the accounts until the load ends; returns how long each put and
        get took, and each read."""
        others, reads = [], []
        for number in itertools.count():
            if load.poll() is not None:
                return others, reads
            key = f"other:{number % 16}"  # in the accounts' shards, too
            took, _ = self.timed(cluster, "put", key, number)
            others.append(took)
            took, found = self.timed(cluster, "get", key)
            others.append(took)
            self.assertEqual(found, f"{number}\n")
            took, rows = self.timed(cluster, "mget", *ACCOUNTS)
            reads.append(took)
            self.assertEqual(self.balances(rows)[0], OPENING * len(ACCOUNTS))

    def longest_silence(self, cluster, load):
        """The longest time in which nothing committed, of those in which the load began transfers;
        they begin now."""
        began = time.monotonic()
        commits = [(began, 0)]

        def ended():
            count = self.counted(cluster, "commits")
            if count > commits[-1][1]:
                commits.append((time.monotonic(), count))
            return load.poll() is not None
        wait_for("the end of the load", SECONDS + 60, ended)
        # The last ones may be waited for after the load's time.
        times = [at for at, _ in commits if at < began + SECONDS]
        return max(later - at for at, later in itertools.pairwise(times))

    def slowest_afterwards(self, cluster):
        """The longest that a plain operation takes on an account."""
        took = []
        for account in ACCOUNTS:
            took.append(self.timed(cluster, "put", account, "free")[0])
            took.append(self.timed(cluster, "get", account)[0])
            took.append(self.timed(cluster, "txn", input=f"check {account} value free\n"
                                   f"put {account} still free\n".encode())[0])
        took.append(self.timed(cluster, "txn", input="".join(
            f"check {account} value still free\ndel {account}\n"
            for account in ACCOUNTS).encode())[0])
        return max(took)

    def test_64_clients_on_four_keys_make_progress(self):
        cluster = self.make_cluster()
        shards = {cluster.kvctl("-o", "raw", "shard", "of", account).stdout
                  for account in ACCOUNTS}
        self.assertEqual(len(shards), len(ACCOUNTS))
        load = self.start_load(cluster)
        wait_for("the accounts", 30, lambda: not cluster.kvctl("mget", *ACCOUNTS,
                                                               check=False).returncode)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            served = pool.submit(self.be_served, cluster, load)
            silence = self.longest_silence(cluster, load)
            others, reads = served.result()
        report = json.loads(load.communicate()[0])
        self.assertEqual(load.returncode, 0, report)
        _, rows = self.timed(cluster, "txn", input="".join(
            f"get {account}\n" for account in ACCOUNTS).encode())
        afterwards = self.slowest_afterwards(cluster)
        print(f"{report['throughput']:.0f} transfers/s, {report['latency_us']}, {report['txn']}; "
              f"longest time without a commit {silence:.2f} s; {len(others)} puts and gets of "
              f"other keys, the slowest {max(others):.2f} s; {len(reads)} reads of all accounts, "
              f"the slowest {max(reads):.2f} s; afterwards the slowest {afterwards:.2f} s; "
              f"{({name: self.counted(cluster, name) for name in COUNTED})}")
        self.check(report, rows)
        self.assertLess(silence, SILENCE_S)
        self.assertGreaterEqual(len(others), OTHERS_LEAST)
        self.assertLess(max(others), OTHER_S)
        self.assertLess(max(reads), OTHER_S)
        self.assertLess(afterwards, AFTERWARDS_S)

    def check(self, report, rows):
        told = report["txn"]
        given_up = told["not_applied"] + told["unknown"]
        self.assertGreaterEqual(told["transfers"], TRANSFERS_PER_S_LEAST * SECONDS)
        self.assertLess(3 * given_up, told["transfers"] + given_up, report["first_failure"])
        self.assertEqual((told["over_shards_percent"], told["wrong_books"]), (100, ""))
        self.assertEqual(report["verified_keys"], len(ACCOUNTS))
        balance, touched = self.balances(rows)
        self.assertEqual(balance, OPENING * len(ACCOUNTS))
        self.assertGreaterEqual(touched, 2 * told["transfers"])
        self.assertLessEqual(touched, 2 * (told["transfers"] + told["unknown"]))


if __name__ == "__main__":
    unittest.main()

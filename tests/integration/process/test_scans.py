"""Scans by pages, each in a process of its own, and deletion by prefix, while leaders are killed."""

import itertools
import json
import re
import subprocess
import unittest

from process_test_case import ProcessTest, binary, wait_for

SHARDS = 4
ROWS = 3000
PAGE = 800
KEYS_OF_A_TRANSACTION = 10_000


class ScansTest(ProcessTest):
    def fill(self, cluster, prefix, count):
        keys = [f"{prefix}{number:06}" for number in range(count)]
        lines = "".join(json.dumps({"key": key, "value": f"first {key}"}) + "\n" for key in keys)
        cluster.kvctl("import", "-", input=lines.encode())
        return keys

    def page(self, cluster, *words):
        """Its rows, and the token of the next, if there is one."""
        done = cluster.kvctl("--timeout", "30s", "scan", "--limit", PAGE, *words)
        token = re.search(rb"--resume (\S+)\n$", done.stderr)
        return done.stdout.decode().splitlines(), token and token.group(1).decode()

    def check_rows(self, seen, expected):
        differ = [pair for pair in itertools.zip_longest(seen, expected) if pair[0] != pair[1]]
        self.assertEqual(differ[:3], [], "rows are not those of the snapshot")

    def leader_of(self, cluster, key, other_than=None):
        return wait_for(f"a leader of {key}'s shard", 30, lambda: next(
            (node for node in [cluster.kvctl_json("shard", "of", key)["leader"]]
             if node and node != other_than), None))

    def check_pages(self, cluster, prefix, *flags):
        """Pages are whole, and of one instant, though leaders die and rows change in between."""
        keys = self.fill(cluster, prefix, ROWS)
        rows = [f"{key}\tfirst {key}" for key in keys]
        expected = rows[::-1] if flags else rows
        seen, token = self.page(cluster, "--prefix", prefix, *flags)
        self.check_rows(seen, expected[:PAGE])
        pages = 1
        while token:
            # Of rows to come.
            self.assertLess(len(seen), ROWS)
            changed, deleted, late = [expected[at].split("\t")[0] for at in
                                      (len(seen), len(seen) + 1, ROWS - 1)]
            killed = self.leader_of(cluster, changed)
            cluster.kvctl("put", changed, "second")
            cluster.kvctl("del", deleted)
            cluster.kvctl("put", f"{late}x{pages}", "of later")
            cluster.kill_now(killed)
            rows_more, token = self.page(cluster, "--resume", token)
            self.assertNotEqual(self.leader_of(cluster, changed, killed), killed)
            self.assertTrue(rows_more, "no empty page")
            seen += rows_more
            pages += 1
            cluster.start(killed)
            cluster.wait_ready([killed])
        self.check_rows(seen, expected)
        self.assertEqual(pages, -(-ROWS // PAGE))
        now = cluster.kvctl("--timeout", "30s", "scan", "--prefix", prefix).stdout.decode()
        self.assertEqual(len(set(now.splitlines()) - set(rows)), 2 * (pages - 1), "it did change")

    def test_pages_are_of_one_snapshot_though_leaders_die(self):
        cluster = self.make_cluster(shards=SHARDS)
        self.check_pages(cluster, "up:")
        self.check_pages(cluster, "down:", "--reverse")

    def check_deletion(self, cluster, prefix, nodes_killed, timeout):
        """What a deletion by prefix says of how far it came, when nodes die amid it, is what is
        left."""
        total = 4 * KEYS_OF_A_TRANSACTION
        self.fill(cluster, prefix, total)

        def left():
            return int(cluster.kvctl("--timeout", "30s", "count", "--prefix", prefix).stdout)
        self.assertEqual(left(), total)
        wiper = subprocess.Popen(
            [str(binary("kvctl")), "--endpoints", cluster.endpoints, "--timeout", timeout, "-o",
             "json", "del", "--prefix", prefix],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            wait_for("the first transaction", 60, lambda: left() < total)
            busiest, led = cluster.busiest_node()
            killed = [busiest, *(node for node in led if node != busiest)][:nodes_killed]
            for node in killed:
                cluster.kill_now(node)
            out, err = wiper.communicate(timeout=120)
        finally:
            wiper.kill()
            wiper.wait()
        told = json.loads(out)
        print(f"{nodes_killed} killed amid a deletion: {told}")
        self.assertGreaterEqual(told["transactions"], 1)
        if wiper.returncode == 0:
            self.assertEqual((told["deleted"], told["unknown"]), (total, 0))
        else:
            self.assertEqual((wiper.returncode, told["outcome"]), (4, "outcome unknown"), err)
            self.assertIn(b"keys were deleted by then", err)
        for node in killed:
            cluster.start(node)
        cluster.wait_ready()
        # A count waits for the locks of what is not decided.
        found = left()
        self.assertIn(found, {total - told["deleted"], total - told["deleted"] - told["unknown"]},
                      "a transaction takes all its keys or none")
        if found:
            rest = cluster.kvctl("--timeout", "30s", "-o", "json", "del", "--prefix", prefix)
            self.assertEqual(json.loads(rest.stdout)["deleted"], found)
        self.assertEqual(left(), 0)

    def test_a_deletion_by_prefix_says_how_far_it_came(self):
        cluster = self.make_cluster(shards=SHARDS)
        cluster.kvctl("put", "wipf", "stays")
        self.check_deletion(cluster, "wipe1:", 1, "20s")
        # Without a quorum it ends, unless the last transaction had gone by then.
        self.check_deletion(cluster, "wipe2:", 2, "3s")
        self.assertEqual(cluster.kvctl("get", "wipf").stdout, b"stays\n")


if __name__ == "__main__":
    unittest.main()

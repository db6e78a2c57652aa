"""`scripts/bench` measures Basalt and etcd as it says: short runs, whose figures mean nothing."""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[3] / "scripts" / "bench"
MISSING = [name for name in ("etcd", "strace") if shutil.which(name) is None]


@unittest.skipIf(MISSING, f"not installed: {', '.join(MISSING)}; ends with `./dev packages bench`")
class BenchTest(unittest.TestCase):
    def run_script(self, *words):
        return subprocess.run([sys.executable, "-B", str(SCRIPT), "--runs", "1", "--duration",
                               "300ms", "--warm-up", "300ms", *words], check=False,
                              capture_output=True, text=True)

    def test_all_kinds_of_rows(self):
        names = ["put_1", "put_unary_256", "get_lease_256", "get_read_index_256", "get_unary_256",
                 "put_txn_256", "put_half_rate_one_group", "txn_64"]
        done = self.run_script(*[word for name in names for word in ("--row", name)])
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        runs = re.findall(r"(?m)^run 1 (\w+) (\w+): ([\d,]+)/s.* [123] connections, 0 errors",
                          done.stdout)
        self.assertEqual([(system, name) for system, name, _ in runs], [
            ("etcd", "put_1"), ("basalt", "put_1"),
            ("etcd", "put_256"), ("etcd", "put_half_rate"),
            ("basalt", "put_unary_256"), ("basalt", "put_half_rate_one_group"),
            ("etcd", "get_256"), ("basalt", "get_lease_256"), ("basalt", "get_read_index_256"),
            ("basalt", "get_unary_256"),
            ("etcd", "txn_256"), ("basalt", "put_256"),
            ("etcd", "transfer_64"), ("basalt", "put_64"), ("basalt", "transfer_64")])
        self.assertTrue(all(int(rate.replace(",", "")) > 0 for _, _, rate in runs), done.stdout)
        puts_each = re.search(r"etcd txn_256: .* ([\d.]+) puts a Txn", done.stdout)
        self.assertGreater(float(puts_each.group(1)), 32, done.stdout)
        shares = re.search(r"basalt transfer_64: .* (\d+) % over shards, (\d+) % over leaders",
                           done.stdout)
        self.assertEqual(shares.group(1), "100", done.stdout)
        self.assertGreaterEqual(int(shares.group(2)), 60, done.stdout)
        for system in ("etcd", "basalt"):
            syncs = re.search(rf"(?m)^{system}: data on .* in [\d.]+ s: (.*)$", done.stdout)
            calls = re.findall(r"(\d+) fdatasync", syncs.group(1))
            self.assertEqual(len(calls), 3, done.stdout)
            self.assertTrue(all(int(count) > 0 for count in calls), done.stdout)
        table = [line for line in done.stdout.splitlines() if line.startswith("| ")]
        self.assertEqual(len(table), 1 + len(names), done.stdout)
        self.assertIn("etcd 3.", done.stdout)

    def test_data_directories_in_memory_are_refused(self):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            done = self.run_script("--row", "put_1", "--dir", folder)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("nothing there is durable", done.stderr)
        self.assertNotIn("run 1", done.stdout)


if __name__ == "__main__":
    unittest.main()

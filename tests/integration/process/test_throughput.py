"""Three nodes reach a third of the rates that `scripts/throughput` wants of a quiet machine."""

import pathlib
import subprocess
import sys
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[3] / "scripts" / "throughput"


class ThroughputTest(unittest.TestCase):
    def run_script(self, share, duration, *more):
        return subprocess.run(
            [sys.executable, "-B", str(SCRIPT), "--runs", "1", "--duration", duration, "--no-record",
             "--share", share, *more], check=False, capture_output=True, text=True)

    def test_a_third_of_the_goals(self):
        done = self.run_script("0.33", "3s")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_a_goal_that_nobody_meets_is_missed(self):
        done = self.run_script("1000", "1s")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"(?m)^put: [\d,]+ a second, not 20,000,000$")

    def test_one_alone(self):
        done = self.run_script("1000", "1s", "--only", "get")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"(?m)^median of 1: [\d,]+ gets/s; 0 errors$")
        self.assertNotIn("put", done.stdout)


if __name__ == "__main__":
    unittest.main()

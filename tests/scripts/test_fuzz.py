"""`scripts/fuzz` tells a run that found something, or did not get far, from a clean one."""

import contextlib
import importlib.machinery
import importlib.util
import io
import os
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Stands in for libFuzzer: the last lines of a run, and an input that broke something, if asked.
STUB = """#!/bin/sh
for argument; do case "$argument" in -artifact_prefix=*) prefix=${argument#*=} ;; esac; done
echo "INFO: Seed: 42" >&2
echo "#2 INITED cov: 7 ft: 8 corp: 1/1b" >&2
if [ -n "$BROKEN" ]; then
  echo "artifact_prefix='$prefix'; Test unit written to ${prefix}crash-1" >&2
  exit 77
fi
echo "#9 DONE cov: 11 ft: 12 corp: 2/4b" >&2
echo "stat::number_of_executed_units: 9" >&2
echo "stat::average_exec_per_sec:     3" >&2
exit "${CODE:-0}"
"""


def load_script():
    loader = importlib.machinery.SourceFileLoader("fuzz_script", str(ROOT / "scripts" / "fuzz"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("fuzz_script", loader))
    loader.exec_module(module)
    return module


class FuzzScriptTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.script = load_script()
        self.script.WORK = pathlib.Path(folder.name)
        binaries = pathlib.Path(folder.name) / "asan" / "fuzz-bin"
        binaries.mkdir(parents=True)
        (binaries / "fuzz_one").write_text(STUB)
        (binaries / "fuzz_one").chmod(0o755)
        (binaries.parent / "fuzzers.txt").write_text("one storage/crc32c.cc\n")
        self.asan = binaries.parent

    def run_script(self, *arguments, percent=99.0, **environment):
        output = io.StringIO()
        with mock.patch.object(self.script, "ASAN", self.asan), \
                mock.patch.object(self.script, "ROOT", self.asan.parent), \
                mock.patch.object(self.script, "lines_reached",
                                  lambda name, files: {file: percent for file in files}), \
                mock.patch.object(sys, "argv", ["fuzz", "--no-record", *arguments]), \
                mock.patch.dict(os.environ, environment), \
                contextlib.redirect_stdout(output):
            return self.script.main(), output.getvalue()

    def test_a_clean_run_passes(self):
        code, output = self.run_script("--budget", "1s")
        self.assertEqual(code, 0, output)
        self.assertRegex(output, r"one +9 +3 +11  storage/crc32c.cc 99.0 %")
        self.assertIn("1 fuzzers, 0 faults", output)

    def test_a_broken_input_fails_and_is_named(self):
        code, output = self.run_script("--budget", "1s", BROKEN="1")
        self.assertEqual(code, 1)
        self.assertRegex(output, r"one: broken by \S+one-crash-1; run it again: \S+fuzz_one \S+")

    def test_a_fuzzer_that_cannot_run_fails(self):
        code, output = self.run_script("--budget", "1s", CODE="3")
        self.assertEqual(code, 1)
        self.assertIn("one: ended with code 3", output)

    def test_too_few_lines_fail(self):
        code, output = self.run_script("--budget", "1s", percent=84.9)
        self.assertEqual(code, 1)
        self.assertIn("one: reaches 84.9 % of the lines of storage/crc32c.cc, not 85 %", output)

    def test_what_ended_clean_is_not_run_again(self):
        self.run_script("--budget", "1s")
        code, output = self.run_script("--budget", "1s", "--resume", BROKEN="1")
        self.assertEqual(code, 0, output)
        self.assertRegex(output, r"one: ended clean at \S+, not run again")
        self.assertIn("1 fuzzers, 0 faults", output)

    def test_only_a_clean_run_of_this_binary_and_budget_is_kept(self):
        self.run_script("--budget", "1s")
        self.assertEqual(self.run_script("--budget", "2s", "--resume", CODE="3")[0], 1)
        self.assertEqual(self.run_script("--budget", "2s", "--resume", CODE="3")[0], 1)
        self.run_script("--budget", "1s")
        with open(self.asan / "fuzz-bin" / "fuzz_one", "a", encoding="ascii") as binary:
            binary.write("# built anew\n")
        self.assertEqual(self.run_script("--budget", "1s", "--resume", CODE="3")[0], 1)

    def test_without_resume_all_run(self):
        self.run_script("--budget", "1s")
        self.assertEqual(self.run_script("--budget", "1s", CODE="3")[0], 1)

    def test_an_unknown_name_is_an_error(self):
        with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
            self.run_script("two")

    def test_no_fuzzers_are_an_error(self):
        (self.asan / "fuzzers.txt").write_text("")
        with self.assertRaisesRegex(SystemExit, "names no fuzzer"):
            self.run_script("--budget", "1s")

    def test_times(self):
        self.assertEqual([self.script.seconds_of(text) for text in ("10s", "10m", "1h")],
                         [10, 600, 3600])


if __name__ == "__main__":
    unittest.main()

"""`.ci/run` counts tests, fails what passes its limit, and is what docs/testing.md says it is."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", ".."))

# Stands in for ./dev: each command does what the test wants.
STUB = """#!/usr/bin/env bash
case "$1" in
  {case}) {action} ;;
esac
"""


# A project without a compiler, of one test that carries LABEL.
PROJECT = """cmake_minimum_required(VERSION 3.25)
project(planted LANGUAGES NONE)
enable_testing()
add_test(NAME one COMMAND ${{CMAKE_COMMAND}} -E true)
set_tests_properties(one PROPERTIES LABELS {label})
add_custom_target(tests_threaded)
"""


class CiRunTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = folder.name
        os.makedirs(os.path.join(self.root, ".ci"))
        shutil.copy(os.path.join(ROOT, ".ci", "run"), os.path.join(self.root, ".ci", "run"))

    def run_stages(self, stages, case="nothing", action="true", limit=None):
        script = os.path.join(self.root, ".ci", "run")
        if limit is not None:
            with open(script, encoding="utf-8") as file:
                text, count = re.subn(rf"^{stages[0]} \d+$", f"{stages[0]} {limit}", file.read(), flags=re.M)
            self.assertEqual(count, 1)
            with open(script, "w", encoding="utf-8") as file:
                file.write(text)
        dev = os.path.join(self.root, "dev")
        with open(dev, "w", encoding="utf-8") as file:
            file.write(STUB.format(case=case, action=action))
        os.chmod(dev, 0o755)
        # A file, not a pipe: what a stage leaves behind must not hold this test up either.
        log = tempfile.TemporaryFile("w+")
        self.addCleanup(log.close)
        result = subprocess.run([script, *stages], stdout=log, check=False)
        log.seek(0)
        return result.returncode, log.read()

    def test_passes_and_counts(self):
        summary = "echo '100% tests passed, 0 tests failed out of 7'"
        code, output = self.run_stages(["packages", "test"], "test", summary)
        self.assertEqual(code, 0, output)
        self.assertEqual(output.splitlines()[-1], "7 passed, 0 failed")
        self.assertRegex(output, r"(?m)^test +\d+ s of +\d+ s +passed$")

    def test_counts_failed_tests(self):
        summary = "echo '71% tests passed, 2 tests failed out of 7'; exit 8"
        code, output = self.run_stages(["test"], "test", summary)
        self.assertEqual(code, 1, output)
        self.assertEqual(output.splitlines()[-1], "5 passed, 2 failed")

    def test_a_stage_that_fails_without_a_test(self):
        code, output = self.run_stages(["static", "test"], "lint", "exit 3")
        self.assertEqual(code, 1, output)
        self.assertIn("static: failed (3)", output)
        self.assertIn("=== test: passed", output)
        self.assertEqual(output.splitlines()[-1], "0 passed, 1 failed")

    def test_what_failed_is_told_again_in_the_end(self):
        action = "echo 'a.cc:1: error: wrong'; for n in $(seq 40); do echo line $n; done; exit 1"
        code, output = self.run_stages(["static", "test"], "lint", action)
        self.assertEqual(code, 1, output)
        end = output[output.index("=== test: passed"):]
        self.assertIn("--- static failed, in short\na.cc:1: error: wrong\n", end)
        self.assertIn("line 40", end)
        self.assertNotIn("line 20", end)

    def test_no_stage_follows_a_failed_build(self):
        code, output = self.run_stages(["build", "test"], "build", "exit 1")
        self.assertEqual(code, 1, output)
        self.assertNotIn("=== test", output)

    def test_a_stage_over_its_limit(self):
        code, output = self.run_stages(["static"], "lint", "exec tail -f /dev/null", limit=1)
        self.assertEqual(code, 1, output)
        self.assertIn("static: over its limit", output)

    def test_a_process_left_behind_fails_and_hangs_nothing(self):
        code, output = self.run_stages(["static"], "lint", "setsid timeout 20 tail -f /dev/null &")
        self.assertEqual(code, 1, output)
        self.assertIn("static: left a process behind", output)

    def test_unknown_stage(self):
        self.assertEqual(self.run_stages(["nonsense"])[0], 2)
        self.assertEqual(self.run_stages(["test", "nonsense"])[0], 2)
        self.assertEqual(self.run_stages(["te.t"])[0], 2, "no pattern")

    def plant(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(full, 0o755)

    def plant_project(self, label):
        shutil.copy(os.path.join(ROOT, "CMakePresets.json"), self.root)
        os.makedirs(os.path.join(self.root, "scripts"), exist_ok=True)
        shutil.copy(os.path.join(ROOT, "scripts", "check_skips"), os.path.join(self.root, "scripts"))
        self.plant("CMakeLists.txt", PROJECT.format(label=label))

    def assert_one_failed(self, stages):
        code, output = self.run_stages(stages)
        self.assertEqual(code, 1, output)
        self.assertRegex(output, rf"(?m)^{stages[-1]} +\d+ s of +\d+ s +failed")
        self.assertEqual(output.splitlines()[-1].split(", ")[1], "1 failed")
        return output

    def test_a_stage_without_its_parts_fails(self):
        self.assert_one_failed(["fuzz"])
        self.plant_project("unit")
        self.assertIn("No tests were found", self.assert_one_failed(["tsan"]))
        self.plant_project("threaded")
        code, output = self.run_stages(["tsan"])
        self.assertEqual((code, output.splitlines()[-1]), (0, "1 passed, 0 failed"), output)

    def test_asan_wants_the_traces_of_stage_simulator(self):
        self.plant_project("unit")
        subprocess.run(["cmake", "--preset", "asan"], cwd=self.root, check=True,
                       stdout=subprocess.DEVNULL)
        self.assertIn("error: no traces to compare with", self.assert_one_failed(["asan-test"]))
        self.plant("build/trace-hashes.txt", "calm 1 0\n")
        self.plant("build/asan/bin/basalt_simulator", "#!/bin/sh\nexit 1\n")
        self.assert_one_failed(["asan-test"])
        self.plant("build/asan/bin/basalt_simulator", "#!/bin/sh\n[ \"$1\" = --compare ]\n")
        code, output = self.run_stages(["asan-test"])
        self.assertEqual((code, output.splitlines()[-1]), (0, "1 passed, 0 failed"), output)

    def test_traces_of_an_earlier_run_are_not_compared_with(self):
        self.plant("build/trace-hashes.txt", "calm 1 0\n")
        self.assertEqual(self.run_stages(["simulator"], "sim", "exit 1")[0], 1)
        self.assertFalse(os.path.exists(os.path.join(self.root, "build", "trace-hashes.txt")))

    def test_the_documented_table(self):
        listed = subprocess.run([os.path.join(ROOT, ".ci", "run"), "--list"], capture_output=True,
                                text=True, check=True).stdout
        stages = [(line.split()[0], int(line.split()[1]) // 60) for line in listed.splitlines()]
        with open(os.path.join(ROOT, "docs", "testing.md"), encoding="utf-8") as file:
            rows = re.findall(r"^\| `([\w-]+)` \| (\d+) \|", file.read(), flags=re.M)
        self.assertEqual(stages, [(name, int(minutes)) for name, minutes in rows])


if __name__ == "__main__":
    unittest.main()

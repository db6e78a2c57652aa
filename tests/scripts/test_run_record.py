"""A record names the whole hash of a commit of this repository, or is not written."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from basalt_tools import run_record  # noqa: E402
from basalt_tools.local_cluster import CommandFailed  # noqa: E402


class RunRecordTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        patch = mock.patch.object(run_record, "ROOT", self.root)
        patch.start()
        self.addCleanup(patch.stop)
        self.git("init", "-q")
        self.git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x")
        self.head = self.git("rev-parse", "HEAD")

    def git(self, *words):
        return subprocess.run(["git", "-C", str(self.root), *words], check=True,
                              capture_output=True, text=True).stdout.strip()

    def program(self, said):
        path = self.root / "program"
        path.write_text(f"#!/bin/sh\n[ \"$*\" = --commit ] && echo {said}\n", encoding="utf-8")
        path.chmod(0o755)
        return path

    def test_names_the_whole_hash(self):
        for commit in (self.head, self.head[:12], run_record.commit_of(self.program(self.head[:12]))):
            path = run_record.write("sim", {"runs": 1}, [1], commit)
            self.assertEqual(str(path), f"docs/runs/sim-{self.head[:12]}.json")
            record = json.loads((self.root / path).read_text(encoding="utf-8"))
            self.assertEqual(record["commit"], self.head)
            self.assertEqual(set(record["machine"]), {"cpus", "memory_gib", "kernel", "architecture",
                                                      "load_average"})

    def test_refuses_what_is_no_commit(self):
        for commit in (f"{self.head[:12]}-dirty", f"{self.head}-dirty", "unknown", "HEAD", "",
                       self.head.upper(), "0" * 40, self.head[:6]):
            with self.subTest(commit=commit):
                with self.assertRaisesRegex(CommandFailed, "no record"):
                    run_record.write("sim", {"runs": 1}, [1], commit)
                self.assertFalse((self.root / "docs").exists())

    def test_a_program_of_a_changed_tree_has_no_commit(self):
        with self.assertRaisesRegex(CommandFailed, "-dirty is no commit"):
            run_record.commit_of(self.program(f"{self.head[:12]}-dirty"))


class ToolsTest(unittest.TestCase):
    """They refuse before they measure."""

    def assert_refuses(self, binary, environment, *command):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / binary
            path.parent.mkdir(exist_ok=True)
            path.write_text("#!/bin/sh\n[ \"$*\" = --commit ] || echo measured >&2\necho abcdef012345-dirty\n",
                            encoding="utf-8")
            path.chmod(0o755)
            done = subprocess.run([str(ROOT / "scripts" / command[0]), *command[1:]], check=False,
                                  capture_output=True, text=True,
                                  env={**os.environ, environment: folder})
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.stderr, f"{command[0]}: no record: abcdef012345-dirty is no commit\n")
        self.assertEqual(done.stdout, "")

    def test_sim(self):
        self.assert_refuses("basalt_simulator", "BASALT_BIN", "sim", "--budget", "1s", "--record")
        self.assert_refuses("basalt_simulator", "BASALT_BIN", "sim", "--speed", "--record")

    def test_mutants(self):
        self.assert_refuses("test-bin/simulator_mutants", "BASALT_BUILD", "mutants", "--record")


if __name__ == "__main__":
    unittest.main()

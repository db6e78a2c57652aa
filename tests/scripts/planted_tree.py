"""A small tree in a temporary folder, into which a test plants a violation."""

import os
import subprocess
import sys
import tempfile
import unittest

SCRIPTS = os.path.join(os.path.dirname(__file__), "..", "..", "scripts")


class PlantedTreeTest(unittest.TestCase):
    """Runs one check of scripts/ over a tree of the test's own."""

    script = ""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = folder.name

    def plant(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)

    def run_check(self, *arguments):
        command = [sys.executable, os.path.join(SCRIPTS, self.script), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def assert_clean(self):
        result = self.run_check("--root", self.root)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def assert_violation(self, path, rule, text=""):
        result = self.run_check("--root", self.root)
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        found = [line for line in result.stdout.splitlines()
                 if line.startswith(path) and f"[{rule}]" in line and text in line]
        self.assertTrue(found, f"no [{rule}] for {path} in:\n{result.stdout}{result.stderr}")

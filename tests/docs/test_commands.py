"""Runs every ```sh block of the documents, line by line as a reader would, in a scratch folder that
looks like a built checkout. Blocks without a language are shown, not run: they are counted here, so
that none slips in."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from code_blocks import code_blocks

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from basalt_tools.local_cluster import binary, free_base_port  # noqa: E402

# document -> blocks that are shown only
SHOWN_ONLY = {
    "README.md": 1,  # ./dev demo and ./dev test: stages of their own
    "docs/operations.md": 2,  # systemd and Docker, which need what test machines lack
}


class CommandsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="basalt-docs-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "deploy").symlink_to(ROOT / "deploy")
        (self.folder / "build").mkdir()
        (self.folder / "build" / "bin").symlink_to(binary("kvctl").parent)
        self.base_port = free_base_port(3)
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.startswith("BASALT_")}
        self.environment["CLUSTER_BASE_PORT"] = str(self.base_port)
        self.addCleanup(self.run_shell, "deploy/local/cluster down --wipe")

    def run_shell(self, text):
        return subprocess.run(["bash", "-e"], input="set -x\n" + self.with_ports(text),
                              cwd=self.folder, text=True, env=self.environment,
                              capture_output=True, timeout=200)

    def with_ports(self, text):
        """The documents name the default ports; another cluster may have them here."""
        for node in range(1, 10):
            for offset in range(3):
                text = text.replace(f"127.0.0.1:{7400 + 10 * node + offset}",
                                    f"127.0.0.1:{self.base_port + 10 * node + offset}")
        return text

    def blocks(self, document, language="sh"):
        return [(line, text) for line, other, text in code_blocks(ROOT / document)
                if other == language]

    def run_document(self, document):
        blocks = self.blocks(document)
        self.assertGreater(len(blocks), 0)
        # One shell for the whole document, as its reader has.
        done = self.run_shell("\n".join(text for _, text in blocks))
        self.assertEqual(done.returncode, 0, f"{document}: {done.stdout}\n{done.stderr}")
        return done.stdout

    def test_readme(self):
        output = self.run_document("README.md")
        self.assertIn("hello", output)
        self.assertFalse((self.folder / ".basalt").exists())

    def test_operations(self):
        self.run_document("docs/operations.md")

    def test_readme_example(self):
        up = self.run_shell("deploy/local/cluster up")
        self.assertEqual(up.returncode, 0, up.stderr)
        done = subprocess.run(
            [str(binary("basalt_readme_example"))], capture_output=True, text=True, timeout=60,
            env={**os.environ, "EXAMPLE_ENDPOINT": f"127.0.0.1:{self.base_port + 10}"})
        self.assertEqual((done.returncode, done.stdout), (0, "hello\ngreeting\n"), done.stderr)

    def test_blocks_that_are_only_shown(self):
        for document, want in SHOWN_ONLY.items():
            shown = [line for line, language, _ in code_blocks(ROOT / document)
                     if language not in ("sh", "cpp", "yaml")]
            self.assertEqual(len(shown), want, f"{document}: lines {shown}")

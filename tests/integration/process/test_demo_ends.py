"""However the demo ends, it leaves no process; and it refuses input that is not real."""

import os
import pathlib
import signal
import subprocess

from process_test_case import ProcessTest, wait_for

RUN = pathlib.Path(__file__).resolve().parents[3] / "scripts" / "demo" / "run"


class DemoEndsTest(ProcessTest):
    def start_demo(self, environment=None):
        self.output = self.folder / "output"
        with open(self.output, "wb") as output:
            process = subprocess.Popen([str(RUN), "--folder", str(self.folder / "demo")],
                                       stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                       env={**os.environ, **(environment or {})})
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        return process

    def processes(self):
        """Command lines that name the demo's folder, but the demo's own."""
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue  # it has ended
            if str(RUN) not in words and any(str(self.folder / "demo") in word for word in words):
                found.append(" ".join(words))
        return found

    def assert_ends(self, process, code, saying=""):
        self.assertEqual(process.wait(timeout=60), code, self.output.read_text())
        self.assertIn(saying, self.output.read_text())
        self.assertEqual(self.processes(), [])

    def test_signal_while_nodes_run(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                process = self.start_demo()
                wait_for("three nodes", 60, lambda: sum(
                    "basaltd" in words for words in self.processes()) == 3)
                process.send_signal(number)
                self.assert_ends(process, 128 + number)

    def test_writer_that_dies(self):
        process = self.start_demo()
        writer = "basalt_recorder write"
        wait_for("the writer", 120, lambda: any(writer in words for words in self.processes()))
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().split(b"\0")
            except OSError:
                continue
            if b"write" in words and str(self.folder / "demo" / "acks.tsv").encode() in words:
                os.kill(int(path.parent.name), signal.SIGKILL)
        self.assert_ends(process, 1, "the writer")

    def test_too_few_packages(self):
        tools = self.folder / "tools"
        tools.mkdir()
        (tools / "apt-cache").write_text("#!/bin/sh\nprintf 'Package: a\\nVersion: 1\\n'\n")
        (tools / "apt-cache").chmod(0o755)
        process = self.start_demo({"PATH": f"{tools}:{os.environ['PATH']}"})
        self.assert_ends(process, 1, "apt-get update")

    def test_no_binaries(self):
        process = self.start_demo({"BASALT_BIN": str(self.folder / "none")})
        self.assert_ends(process, 1, "./dev build")

"""A disk that fills: writes are refused before it is full, with the documented exit code; reads go
on; writes go on when there is room again."""

import errno
import os
import subprocess
import unittest

from process_test_case import ProcessTest, wait_for

DISK_BYTES = 1 << 30
LEFT_BYTES = 32 << 20
REFUSED = 5


def can_mount():
    return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"],
                                                capture_output=True).returncode == 0


@unittest.skipUnless(can_mount(), "needs root and leave to mount; ends where both are given")
class FullDiskTest(ProcessTest):
    def setUp(self):
        super().setUp()
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "basalt-test",
                        str(self.disk)], check=True)
        self.addCleanup(subprocess.run, ["umount", str(self.disk)], check=True)
        self.process, self.port = self.one_node(data_dir=self.disk / "node1")

    def fill(self, left):
        """Takes room until no more than `left` bytes are free; the node writes meanwhile."""
        block = bytes(1 << 20)
        with open(self.disk / "ballast", "wb", buffering=0) as ballast:
            while os.statvfs(self.disk).f_bavail * os.statvfs(self.disk).f_frsize > left:
                try:
                    ballast.write(block)
                except OSError as error:
                    self.assertEqual(error.errno, errno.ENOSPC)
                    return

    def assert_reads_go_on(self):
        self.assertEqual(self.kvctl(self.port, "-o", "raw", "get", "k").stdout, "v")
        self.assertIsNone(self.process.poll(), "basaltd ended")

    def test_writes_are_refused_and_reads_go_on(self):
        self.assertEqual(self.kvctl(self.port, "put", "k", "v").returncode, 0)
        self.fill(LEFT_BYTES)
        wait_for("a refusal", 20, lambda: self.kvctl(
            self.port, "put", "more", "v").returncode == REFUSED)
        done = self.kvctl(self.port, "put", "more", "v")
        self.assertEqual((done.returncode, done.stdout), (REFUSED, ""))
        self.assertRegex(done.stderr, "^kvctl: .*not applied.*disk")
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assert_reads_go_on()
        (self.disk / "ballast").unlink()
        wait_for("writes to go on", 20, lambda: self.kvctl(
            self.port, "put", "more", "v").returncode == 0)

    def test_disk_that_is_full_at_once(self):
        self.assertEqual(self.kvctl(self.port, "put", "k", "v").returncode, 0)
        self.fill(0)
        done = self.kvctl(self.port, "--timeout", "3s", "put", "more", "v")
        self.assertNotEqual(done.returncode, 70, done.stderr)
        self.assert_reads_go_on()
        (self.disk / "ballast").unlink()
        wait_for("writes to go on", 20, lambda: self.kvctl(
            self.port, "put", "more", "v").returncode == 0)

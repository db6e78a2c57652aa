"""The power of all three nodes fails at once, on a file system that forgets what was not synced:
`xfs_io -c shutdown` on a loop-mounted XFS drops all that the disk does not have."""

import ctypes
import os
import shutil
import subprocess
import unittest

from process_test_case import LocalCluster, ProcessTest, binary, wait_for

IMAGE_BYTES = 3 << 30  # sparse
FLAGS = "--log-segment-size 16MiB"


def run(*words):
    subprocess.run([str(word) for word in words], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def missing_capability():
    """Why no file system can be cut off here; None when it can."""
    if os.geteuid() != 0:
        return "needs root"
    for tool in ("losetup", "mkfs.xfs", "xfs_io", "mount"):
        if not shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
            return f"needs {tool}"
    probe = subprocess.run(["losetup", "--find"], capture_output=True, text=True)
    if probe.returncode:
        return "needs a loop device: " + probe.stderr.strip()
    # A container may list a loop device that it cannot use.
    try:
        with open(probe.stdout.strip(), "rb"):
            return None
    except OSError as error:
        return f"needs a loop device: {error}"


MISSING = missing_capability()


@unittest.skipIf(MISSING, f"{MISSING}; ends as root with a loop device")
class PowerCutTest(ProcessTest):
    def setUp(self):
        super().setUp()
        image = self.folder / "image"
        with open(image, "wb") as file:
            file.truncate(IMAGE_BYTES)
        run("mkfs.xfs", "-q", image)
        self.device = subprocess.run(["losetup", "--find", "--show", str(image)], check=True,
                                     capture_output=True, text=True).stdout.strip()
        self.addCleanup(run, "losetup", "--detach", self.device)
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        run("mount", self.device, self.disk)
        self.addCleanup(self.unmount)

    def unmount(self):
        if os.path.ismount(self.disk):
            run("umount", self.disk)

    def make_disk_cluster(self):
        """Three nodes whose data directories are on the disk; logs and pid files are not."""
        cluster = LocalCluster(self.folder / "cluster", environment={"BASALTD_FLAGS": FLAGS})
        cluster.directory.mkdir()
        for node in (1, 2, 3):
            (self.disk / f"node{node}").mkdir()
            cluster.data_dir(node).symlink_to(self.disk / f"node{node}")
        self.addCleanup(cluster.down, wipe=False)
        cluster.up()
        return cluster

    def cut_power(self, cluster):
        run("xfs_io", "-x", "-c", "shutdown", self.disk)
        for node in (1, 2, 3):
            try:
                cluster.kill_now(node)
            except ProcessLookupError:
                pass  # it has ended by itself: its disk failed
        wait_for("the disk to be let go", 30, lambda: subprocess.run(
            ["umount", str(self.disk)], capture_output=True).returncode == 0)
        run("mount", self.device, self.disk)

    def write_and_cut_power(self, cluster):
        """Returns the writes that were recorded; the cluster is down, behind the power cut."""
        recorder = self.start_recorder(cluster, timeout_s=2)
        recorder.wait_for_acks(10_000, timeout_s=60)
        self.cut_power(cluster)
        return recorder.finish()

    def test_nothing_acknowledged_is_lost(self):
        cluster = self.make_disk_cluster()
        writes = self.write_and_cut_power(cluster)
        cluster.up()
        self.assert_nothing_lost(cluster, writes)
        recorder = self.start_recorder(cluster, name="afterwards")
        recorder.wait_for_acks(1000)
        self.assert_nothing_lost(cluster, recorder.finish(), name="afterwards")

    def test_without_syncs_the_loss_is_seen(self):
        library = binary("basalt_lost_syncs.so")
        self.assertTrue(library.exists(), library)
        ctypes.CDLL(str(library))  # a library that cannot be loaded would leave the syncs in place
        cluster = self.make_disk_cluster()
        # What makes a node is on the disk, so that only writes can be lost.
        cluster.down(wipe=False)
        run("sync", "-f", self.disk)
        cluster.environment["LD_PRELOAD"] = str(library)
        cluster.up()
        writes = self.write_and_cut_power(cluster)
        del cluster.environment["LD_PRELOAD"]
        up = cluster.script("up", check=False, timeout_s=200)
        if up.returncode:
            # It says itself that its files are damaged, which is as good.
            logs = "".join(cluster.log(node) for node in (1, 2, 3))
            self.assertRegex(logs, "(?i)basaltd: .*(damage|corrupt|torn|missing|checksum)")
            return
        with self.assertRaisesRegex(AssertionError, r"\d+ contradictions"):
            self.assert_nothing_lost(cluster, writes)

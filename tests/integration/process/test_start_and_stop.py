"""Starting and stopping one basaltd: exit codes, bad settings, and directories that it must not
touch."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time

from process_test_case import (ProcessTest, binary, free_base_port, http_status, is_alive, socket,
                               wait_for)

IDENTITY = "IDENTITY"


def crc32c(content):
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


class StartAndStopTest(ProcessTest):
    def test_help_and_version(self):
        for flag, saying in (("--help", "--data-dir"), ("--version", "0.1.0")):
            done = self.run_basaltd(flag)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(saying, done.stdout)

    def test_bad_settings_are_named(self):
        _, flags = self.node_flags()
        for more, saying in ((["--no-such-flag", "1"], "no-such-flag"),
                             (["--log-level", "loud"], "log-level.*loud"),
                             (["--election-timeout", "soon"], "election-timeout.*soon"),
                             (["--advertise", "nowhere"], "advertise.*nowhere"),
                             (["--join", "a:1,,b:2"], "join"),
                             (["stray"], "stray")):
            with self.subTest(more):
                self.assert_refused_to_start(self.run_basaltd(*flags, *more), 2, saying)
        for missing, words in (("node-id", flags[2:]), ("data-dir", flags[:2])):
            with self.subTest(missing):
                self.assert_refused_to_start(self.run_basaltd(*words), 2, missing)
        self.assertFalse((self.folder / "node1").exists(), "a usage error made a data directory")

    def test_bad_file_and_variable_are_named(self):
        config = self.folder / "basaltd.yaml"
        config.write_text("node_id: 1\nno_such_key: 2\n")
        self.assert_refused_to_start(self.run_basaltd("--config", config), 2,
                                     r"basaltd.yaml:2.*no_such_key")
        self.assert_refused_to_start(self.run_basaltd("--config", self.folder / "none.yaml"), 2,
                                     "none.yaml")
        _, flags = self.node_flags()
        done = self.run_basaltd(*flags, environment={"BASALT_LOG_LEVEL": "loud"})
        self.assert_refused_to_start(done, 2, "BASALT_LOG_LEVEL")

    def test_flag_over_variable_over_file(self):
        config = self.folder / "basaltd.yaml"
        config.write_text("node_id: 1\ndata_dir: /a\nlog_level: warn\nzone: f\n")
        done = self.run_basaltd("--config", config, "--data-dir", "/c", "--print-config",
                                environment={"BASALT_DATA_DIR": "/b", "BASALT_LOG_LEVEL": "debug"})
        self.assertEqual(done.returncode, 0, done.stderr)
        for line in ("data_dir: /c", "log_level: debug", "zone: f"):
            self.assertRegex(done.stdout, f"(?m)^{line}( |$)")

    def test_scheduling_holds_for_every_thread(self):
        usual = os.sched_getscheduler(0)
        batch = os.SCHED_BATCH if usual == os.SCHED_OTHER else usual
        for more, policy in (([], batch), (["--scheduling", "normal"], usual)):
            with self.subTest(more):
                port, flags = self.node_flags()
                process = self.spawn_basaltd(*flags, "--bootstrap-expect", "1", *more)
                self.wait_healthy(process, port, "/readyz")
                policies = []
                for thread in os.listdir(f"/proc/{process.pid}/task"):
                    with contextlib.suppress(ProcessLookupError):  # it has ended
                        policies.append(os.sched_getscheduler(int(thread)))
                self.assertGreater(len(policies), 5)
                self.assertEqual(set(policies), {policy})
                process.terminate()
                process.wait(timeout=20)

    def test_sigterm_ends_with_0_within_10_s(self):
        process, port = self.one_node()
        self.assertEqual(self.kvctl(port, "put", "k", "v").returncode, 0)
        began = time.monotonic()
        process.terminate()
        self.assertEqual(process.wait(timeout=30), 0)
        self.assertLess(time.monotonic() - began, 10)

    def test_sigterm_before_there_is_a_cluster(self):
        port, flags = self.node_flags()
        process = self.spawn_basaltd(*flags, "--join", f"127.0.0.1:{port + 1},127.0.0.1:9")
        self.wait_healthy(process, port)
        self.assertEqual(http_status(port + 2, "/readyz"), 503)
        process.terminate()
        self.assertEqual(process.wait(timeout=10), 0)

    def test_data_outlives_stop_and_kill(self):
        process, port = self.one_node()
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            self.assertEqual(self.kvctl(port, "put", f"k{signal_number}", "v").returncode, 0)
            process.send_signal(signal_number)
            process.wait(timeout=20)
            process, port = self.one_node()
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            self.assertEqual(self.kvctl(port, "-o", "raw", "get", f"k{signal_number}").stdout.strip(),
                             "v")

    def test_dev_needs_nothing_and_leaves_nothing(self):
        base = free_base_port(1)
        with open(self.folder / "dev.log", "wb") as log:
            process = subprocess.Popen(
                [str(binary("basaltd")), "--dev", "--listen", f"127.0.0.1:{base}", "--peer-listen",
                 f"127.0.0.1:{base + 1}", "--http-listen", f"127.0.0.1:{base + 2}"],
                env={**os.environ, "TMPDIR": str(self.folder)}, stdout=log, stderr=log)
        self.addCleanup(process.kill)
        self.wait_healthy(process, base, "/readyz")
        self.assertEqual(self.kvctl(base, "put", "k", "v").returncode, 0)
        self.assertEqual(self.kvctl(base, "-o", "raw", "get", "k").stdout.strip(), "v")
        process.terminate()
        self.assertEqual(process.wait(timeout=10), 0)
        self.assertEqual([path.name for path in self.folder.iterdir()], ["dev.log"])

    def test_port_in_use(self):
        for offset in range(3):
            with self.subTest(offset=offset):
                port, flags = self.node_flags()
                with socket.create_server(("127.0.0.1", port + offset)):
                    done = self.run_basaltd(*flags, "--bootstrap-expect", "1")
                self.assert_refused_to_start(done, 1, f"127.0.0.1:{port + offset}")

    def test_second_process_on_the_same_directory(self):
        process, port = self.one_node()
        _, flags = self.node_flags(base=free_base_port(1, first=32100, last=32700))
        self.assert_refused_to_start(self.run_basaltd(*flags), 1, "node1.*(in use|locked)")
        self.assertIsNone(process.poll())
        self.assertEqual(self.kvctl(port, "put", "k", "v").returncode, 0)

    def test_directory_of_another_node(self):
        process, _ = self.one_node()
        process.terminate()
        process.wait(timeout=20)
        _, flags = self.node_flags(node=2, data_dir=self.folder / "node1")
        self.assert_refused_to_start(self.run_basaltd(*flags), 1, "node 1.*2|2.*node 1")

    def test_directory_of_a_newer_format(self):
        process, _ = self.one_node()
        process.terminate()
        process.wait(timeout=20)
        path = self.folder / "node1" / IDENTITY
        good = path.read_bytes()
        newer = self.with_newer_format(good)
        path.write_bytes(newer)
        _, flags = self.node_flags()
        done = self.run_basaltd(*flags)
        self.assert_refused_to_start(done, 1, "(newer|format)")
        self.assertEqual(path.read_bytes(), newer, "the refused directory was changed")

    def with_newer_format(self, identity):
        """The identity file as a release with a higher format number would write it."""
        body, mark, _ = identity.partition(b'  "crc32c": "')
        self.assertTrue(mark, identity)
        changed = re.sub(rb'"format": \d+', b'"format": 10000', body)
        self.assertNotEqual(body, changed)
        return changed + mark + f'{crc32c(changed):08x}"\n}}\n'.encode()

    def test_damaged_identity(self):
        process, _ = self.one_node()
        process.terminate()
        process.wait(timeout=20)
        path = self.folder / "node1" / IDENTITY
        for content in (b"", b"\0" * 64, os.urandom(64)):
            path.write_bytes(content)
            _, flags = self.node_flags()
            self.assert_refused_to_start(self.run_basaltd(*flags), 1, IDENTITY)

    def test_data_directory_that_is_a_file(self):
        (self.folder / "node1").write_text("not a directory")
        _, flags = self.node_flags()
        self.assert_refused_to_start(self.run_basaltd(*flags), 1, "node1")
        self.assertEqual((self.folder / "node1").read_text(), "not a directory")

    def test_directory_full_of_something_else(self):
        (self.folder / "node1").mkdir()
        (self.folder / "node1" / "letter.txt").write_text("dear reader")
        _, flags = self.node_flags()
        self.assert_refused_to_start(self.run_basaltd(*flags), 1, "node1")
        self.assertEqual([path.name for path in (self.folder / "node1").iterdir()
                          if path.name != "LOCK"], ["letter.txt"])


class ForeignDirectoryTest(ProcessTest):
    def test_node_of_another_cluster(self):
        one = self.make_cluster(name="one")
        one.down(wipe=False)
        two = self.make_cluster(name="two")
        for node in (1, 2, 3):
            self.assertEqual(two.kvctl("put", f"k{node}", "of two").returncode, 0)
        two.stop(3)
        pid_file = two.directory / "node3.pid"
        shutil.rmtree(two.data_dir(3))
        shutil.copytree(one.data_dir(3), two.data_dir(3))
        two.script("start", 3, check=False)
        wait_for("the end of a node that is not of this cluster", 20, lambda: not pid_file.exists()
                 or not is_alive(two.pid(3)))
        self.assertRegex(two.log(3).splitlines()[-1], "^basaltd: .*cluster")
        for node in (1, 2, 3):
            self.assertEqual(two.kvctl("-o", "raw", "get", f"k{node}").stdout.strip(), b"of two")

    def test_emptied_folders_of_a_known_node(self):
        cluster = self.make_cluster()
        self.assertEqual(cluster.kvctl("put", "k", "v").returncode, 0)
        cluster.stop(3)
        for folder in ("log", "shards"):
            shutil.rmtree(cluster.data_dir(3) / folder)
            (cluster.data_dir(3) / folder).mkdir()
        cluster.script("start", 3, check=False)
        wait_for("the reason", 20, lambda: "is gone, with its votes" in cluster.log(3))
        self.assertEqual(list((cluster.data_dir(3) / "log").iterdir()), [], "something was made")

    def test_wiped_directory_of_a_known_node(self):
        cluster = self.make_cluster()
        self.assertEqual(cluster.kvctl("put", "k", "v").returncode, 0)
        cluster.stop(3)
        shutil.rmtree(cluster.data_dir(3))
        cluster.script("start", 3, check=False)
        wait_for("the reason", 20, lambda: "with another data directory" in cluster.log(3))
        self.assertFalse(cluster.ready(3))
        # It has forgotten its votes: with one other node it must not make a majority.
        cluster.kill_now(1)
        done = cluster.kvctl("--timeout", "3s", "put", "k", "forgotten", check=False)
        self.assertIn(done.returncode, (3, 4), done.stderr)

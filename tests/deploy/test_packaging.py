"""Unit file, sysusers, tmpfiles, Dockerfile and Compose file, checked as far as a machine without
systemd as its init and without a Docker daemon can."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("BASALT_BIN") or ROOT / "build" / "bin")
EXPOSURE_MAX = 2.0  # of 10; systemd calls anything below 2 "OK"


def run(*words):
    return subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)


class SystemdTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="basalt-systemd-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def unit(self, change=lambda text: text):
        """The unit with a program that is here, since the real one is not installed."""
        text = (ROOT / "deploy" / "systemd" / "basaltd.service").read_text()
        self.assertIn("/usr/bin/basaltd", text)
        path = self.folder / "basaltd.service"
        path.write_text(change(text.replace("/usr/bin/basaltd", "/bin/true")))
        return path

    @unittest.skipUnless(shutil.which("systemd-analyze"), "needs systemd-analyze; ends with systemd")
    def test_unit_is_valid(self):
        done = run("systemd-analyze", "verify", "--man=no", self.unit())
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        spoilt = self.unit(lambda text: text.replace("Type=notify", "Type=nothing"))
        self.assertIn("nothing", run("systemd-analyze", "verify", "--man=no", spoilt).stderr)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "needs systemd-analyze; ends with systemd")
    def test_unit_is_hardened(self):
        done = run("systemd-analyze", "security", "--offline=true", "--no-pager", self.unit())
        level = float(re.search(r"exposure level for \S+: ([\d.]+)", done.stdout).group(1))
        self.assertLess(level, EXPOSURE_MAX, done.stdout)

    @unittest.skipUnless(shutil.which("systemd-sysusers"), "needs systemd-sysusers; ends with systemd")
    def test_user_is_made(self):
        (self.folder / "etc").mkdir()
        done = run("systemd-sysusers", f"--root={self.folder}",
                   ROOT / "deploy" / "systemd" / "basalt.sysusers.conf")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex((self.folder / "etc" / "passwd").read_text(),
                         r"(?m)^basalt:.*:/var/lib/basalt:/usr/sbin/nologin$")

    def test_sample_settings_are_accepted(self):
        sample = ROOT / "deploy" / "systemd" / "basaltd.yaml"
        done = run(BIN / "basaltd", "--config", sample, "--check-config")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_unit_allows_the_stop_that_basaltd_promises(self):
        text = (ROOT / "deploy" / "systemd" / "basaltd.service").read_text()
        self.assertGreater(int(re.search(r"(?m)^TimeoutStopSec=(\d+)$", text).group(1)), 10)
        # A node that waits for its cluster is not ready, and not to be killed for it.
        self.assertIn("\nType=notify\n", text)
        self.assertIn("\nTimeoutStartSec=infinity\n", text)
        self.assertRegex(text, r"(?m)^User=basalt$")
        self.assertRegex(text, r"(?m)^LimitNOFILE=\d{6,}$")


class DockerTest(unittest.TestCase):
    def dockerfile(self):
        return (ROOT / "deploy" / "docker" / "Dockerfile").read_text()

    def runtime_packages(self):
        block = re.search(r"FROM debian:12-slim.*?--no-install-recommends(.*?)&&",
                          self.dockerfile(), re.S).group(1)
        return set(re.findall(r"[a-z][\w.+-]+", block.replace("\\", " ")))

    def test_image_has_every_library_of_the_binaries(self):
        # Those of the slim base image.
        present = {"libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libsystemd0", "libzstd1",
                   "libbz2-1.0", "liblz4-1", "libgcrypt20", "liblzma5", "libcap2", "libtinfo6",
                   "libmd0", "libgpg-error0", "libgmp10"}
        needed = set()
        for name in ("basaltd", "kvctl"):
            # What the binary asks for by itself: packages bring what their libraries need.
            dynamic = run("readelf", "-d", BIN / name)
            self.assertEqual(dynamic.returncode, 0, dynamic.stderr)
            wanted = set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic.stdout))
            for library, path in re.findall(r"(\S+) => (\S+)", run("ldd", BIN / name).stdout):
                if library in wanted:
                    needed.add(self.package_of(path))
        missing = needed - present - self.runtime_packages()
        self.assertEqual(missing, set(), "packages that the Dockerfile's second stage lacks")
        useless = self.runtime_packages() - needed - {"curl"}
        self.assertEqual(useless, set(), "packages that nothing needs")

    def package_of(self, path):
        for candidate in (path, os.path.realpath(path), "/usr" + path,
                          "/usr" + os.path.realpath(path)):
            done = run("dpkg", "-S", candidate)
            if done.returncode == 0:
                return done.stdout.split(":")[0]
        self.fail(f"{path} belongs to no package")

    def test_image_is_not_root_and_says_how_it_is(self):
        text = self.dockerfile()
        last_stage = text[text.rindex("\nFROM "):]
        self.assertRegex(last_stage, r"(?m)^USER basalt$")
        self.assertRegex(last_stage, r"(?m)^HEALTHCHECK ")
        self.assertRegex(last_stage, r'(?m)^ENTRYPOINT \["/usr/bin/basaltd"\]$')

    def compose_command(self):
        for words in (["docker", "compose"], ["docker-compose"]):
            if shutil.which(words[0]) and run(*words, "version").returncode == 0:
                return words
        return None

    def test_compose_file_is_valid(self):
        command = self.compose_command()
        if not command:
            self.skipTest("needs docker compose; ends where it is installed")
        done = run(*command, "-f", ROOT / "deploy" / "docker" / "compose.yaml", "config")
        self.assertEqual(done.returncode, 0, done.stderr)
        for node in ("node1", "node2", "node3"):
            self.assertIn(f"BASALT_ADVERTISE: {node}:7400", done.stdout)

    def test_compose_settings_are_accepted(self):
        text = (ROOT / "deploy" / "docker" / "compose.yaml").read_text()
        pairs = re.findall(r'(?m)^ +(BASALT_\w+): "?([^"\n]+)"?$', text + self.image_settings())
        self.assertGreater(len(pairs), 10)
        done = subprocess.run([BIN / "basaltd", "--check-config"], env={**os.environ, **dict(pairs)},
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)

    def image_settings(self):
        return "".join(f"\n  {name}: {value}" for name, value in
                       re.findall(r"(BASALT_\w+)=(\S+)", self.dockerfile()))

"""A local cluster, driven through deploy/local/cluster: start, hurt, ask, and take away again."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "deploy" / "local" / "cluster"


def binary(name):
    folder = pathlib.Path(os.environ.get("BASALT_BIN") or ROOT / "build" / "bin")
    return folder / name


class CommandFailed(Exception):
    """A command of ours failed. The message has its output."""


class NotInTime(Exception):
    """A state was waited for and did not come."""


def wait_for(what, timeout_s, condition, interval_s=0.05):
    """Polls until `condition()` is true, and returns what it returned."""
    deadline = time.monotonic() + timeout_s
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise NotInTime(f"{what}: not within {timeout_s} s")
        time.sleep(interval_s)


def _is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_base_port(nodes, first=20000, last=32000):
    """A base port whose `nodes` blocks of three ports are all free, below the range that the
    kernel hands out to clients. Differs by process, so that two searches rarely meet."""
    span = 10 * (nodes + 2)
    places = (last - first) // span
    start = (os.getpid() * 7919) % places
    for step in range(places):
        base = first + span * ((start + step) % places)
        ports = [base + 10 * node + offset for node in range(1, nodes + 1) for offset in range(3)]
        if all(_is_free(port) for port in ports):
            return base
    raise NotInTime("no free ports")


class LocalCluster:
    def __init__(self, directory, nodes=3, shards=8, base_port=None, environment=None):
        self.directory = pathlib.Path(directory).resolve()
        self.nodes = nodes
        self.shards = shards
        self.base_port = base_port or free_base_port(nodes)
        self.environment = {**os.environ, **(environment or {})}

    # --- deploy/local/cluster

    def script(self, *words, check=True, timeout_s=120, environment=None):
        done = subprocess.run(
            [str(SCRIPT), *map(str, words), "--dir", str(self.directory)],
            env={**self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s,
            check=False)
        if check and done.returncode:
            raise CommandFailed(f"cluster {' '.join(map(str, words))} failed with "
                                f"{done.returncode}: {done.stderr.strip()}")
        return done

    def up(self):
        self.script("up", self.nodes, "--shards", self.shards, "--base-port", self.base_port)

    def down(self, wipe=True):
        self.script("down", *(["--wipe"] if wipe else []))

    def kill(self, node):
        self.script("kill", node)

    def stop(self, node):
        self.script("stop", node)

    def start(self, node, flags=""):
        self.script("start", node, environment={"BASALTD_FLAGS": flags} if flags else {})

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            self.down(wipe=False)
            raise
        return self

    def __exit__(self, kind, *rest):
        self.down(wipe=kind is None)

    # --- the processes

    def pid(self, node):
        return int((self.directory / f"node{node}.pid").read_text(encoding="ascii"))

    def data_dir(self, node):
        return self.directory / f"node{node}"

    def log(self, node):
        return (self.directory / f"node{node}.log").read_text(encoding="utf-8", errors="replace")

    def kill_now(self, node):
        """SIGKILL without the script's start-up time. Returns CLOCK_MONOTONIC in microseconds,
        read just before the signal."""
        pid = self.pid(node)
        at_us = time.monotonic_ns() // 1000
        os.kill(pid, signal.SIGKILL)
        wait_for(f"the end of node {node}", 10, lambda: not is_alive(pid), interval_s=0.005)
        (self.directory / f"node{node}.pid").unlink()
        return at_us

    # --- what the cluster says

    @property
    def endpoints(self):
        return ",".join(f"127.0.0.1:{self.base_port + 10 * node}"
                        for node in range(1, self.nodes + 1))

    def kvctl(self, *words, check=True, timeout_s=120, **options):
        """Runs kvctl; `options` go to subprocess.run."""
        options.setdefault("stdin", subprocess.DEVNULL if "input" not in options else None)
        if options["stdin"] is None:
            del options["stdin"]
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        command = [str(binary("kvctl")), "--endpoints", self.endpoints, *map(str, words)]
        done = subprocess.run(command, timeout=timeout_s, check=False, **options)
        if check and done.returncode:
            error = done.stderr or b""
            raise CommandFailed(f"kvctl {' '.join(map(str, words))} exited with "
                                f"{done.returncode}: {error.decode(errors='replace').strip()}")
        return done

    def kvctl_json(self, *words, timeout="5s"):
        return json.loads(self.kvctl("--timeout", timeout, "-o", "json", *words).stdout)

    def leaders(self):
        """node -> list of the data shards that it leads."""
        led = {node: [] for node in range(1, self.nodes + 1)}
        for shard in shard_list(self.kvctl_json("shards")):
            if shard["slot_count"] and shard["leader"]:
                led[shard["leader"]].append(shard["id"])
        return led

    def busiest_node(self):
        """The node that leads most data shards, once every shard has a leader."""
        def all_led():
            led = self.leaders()
            return led if sum(map(len, led.values())) == self.shards else None
        led = wait_for("a leader of every shard", 30, all_led, interval_s=0.2)
        return max(led, key=lambda node: len(led[node])), led

    def applied(self):
        """shard id -> node id -> applied index, as strings, from every node that answers."""
        answer = self.kvctl_json("status")
        table = {}
        for node in answer["nodes"]:
            for replica in node.get("replicas", []):
                by_node = table.setdefault(str(replica["shard"]), {})
                by_node[str(node["id"])] = int(replica["applied_index"])
        return table

    def ready(self, node):
        return http_status(self.base_port + 10 * node + 2, "/readyz") == 200

    def wait_ready(self, nodes=None, timeout_s=60):
        for node in nodes or range(1, self.nodes + 1):
            wait_for(f"node {node} to be ready", timeout_s, lambda n=node: self.ready(n))


def shard_list(answer):
    """`kvctl shards -o json` prints a list, or an object that holds one."""
    return answer["shards"] if isinstance(answer, dict) else answer


def http_status(port, path, timeout_s=2):
    """The status code of GET `path` on loopback; 0 when there is no answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            first = connection.makefile("rb").readline().split()
            return int(first[1]) if len(first) > 1 else 0
    except (OSError, ValueError):
        return 0


def is_alive(pid):
    """Whether the process runs; one that has ended and was not waited for counts as ended. Not one
    whose first thread has ended and others have not: they hold its ports and files."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        return fields[0] != "Z" or int(fields[17]) > 1
    except OSError:
        return False

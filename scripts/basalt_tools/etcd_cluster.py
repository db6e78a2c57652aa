"""Three etcd nodes on loopback with etcd's defaults, for measurements side by side."""

import base64
import json
import pathlib
import shutil
import subprocess
import urllib.error
import urllib.request

from basalt_tools.local_cluster import CommandFailed, free_base_port, wait_for


def program():
    """The path of etcd's program, or None."""
    return shutil.which("etcd")


def version():
    first = subprocess.run([program(), "--version"], check=True, capture_output=True,
                           text=True).stdout.splitlines()[0]
    return first.removeprefix("etcd Version: ")


class EtcdCluster:
    def __init__(self, directory, nodes=3):
        self.directory = pathlib.Path(directory).resolve()
        self.nodes = nodes
        self.base_port = free_base_port(nodes)
        self._processes = {}

    # --- the processes

    def flags(self, node):
        """Names and addresses; all else is etcd's default."""
        client, peer = self._url(node, 0), self._url(node, 1)
        members = ",".join(f"n{other}={self._url(other, 1)}" for other in self._all())
        return ["--name", f"n{node}", "--data-dir", str(self.data_dir(node)),
                "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", members, "--initial-cluster-state", "new"]

    def pid(self, node):
        return self._processes[node].pid

    def data_dir(self, node):
        return self.directory / f"node{node}"

    def up(self):
        self.directory.mkdir(parents=True)
        for node in self._all():
            self._start(node)
        for node in self._all():
            wait_for(f"etcd node {node} to be healthy", 60, lambda n=node: self._healthy(n))

    def _start(self, node):
        with open(self._log_file(node), "ab") as log:
            self._processes[node] = subprocess.Popen(
                [program(), *self.flags(node)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self, node):
        """SIGKILL; returns once the process is gone."""
        self._processes[node].kill()
        self._processes[node].wait()

    def start(self, node):
        """Starts a killed node; returns when it is healthy."""
        self._start(node)
        wait_for(f"etcd node {node} to be healthy", 60, lambda: self._healthy(node))

    def down(self):
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, kind, *rest):
        self.down()
        if kind is None:
            shutil.rmtree(self.directory)

    # --- what the cluster says

    def client_port(self, node):
        return self.base_port + 10 * node

    @property
    def endpoints(self):
        return ",".join(self._address(node, 0) for node in self._all())

    def leader(self):
        return next(node for node in self._all() if self._leads(node))

    def put(self, node, key, value, timeout_s):
        """Through the node's JSON gateway. False: not acknowledged in that time."""
        body = json.dumps({name: base64.b64encode(text.encode()).decode()
                           for name, text in (("key", key), ("value", value))})
        request = urllib.request.Request(self._url(node, 0) + "/v3/kv/put", data=body.encode())
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False

    @property
    def leader_endpoints(self):
        """The leader's, once for each node: as many connections, all of them to the leader."""
        leader = self.leader()
        return ",".join(self._address(leader, 0) for _ in self._all())

    def _leads(self, node):
        request = urllib.request.Request(self._url(node, 0) + "/v3/maintenance/status", data=b"{}")
        with urllib.request.urlopen(request, timeout=5) as answer:
            status = json.load(answer)
        return status["leader"] == status["header"]["member_id"]

    def _healthy(self, node):
        if self._processes[node].poll() is not None:
            log = self._log_file(node).read_text(encoding="utf-8", errors="replace")
            raise CommandFailed(f"etcd node {node} ended: {log[-500:]}")
        try:
            with urllib.request.urlopen(self._url(node, 0) + "/health", timeout=2) as answer:
                return json.load(answer).get("health") == "true"
        except (OSError, urllib.error.URLError, ValueError):
            return False

    def _all(self):
        return range(1, self.nodes + 1)

    def _address(self, node, offset):
        return f"127.0.0.1:{self.client_port(node) + offset}"

    def _url(self, node, offset):
        return f"http://{self._address(node, offset)}"

    def _log_file(self, node):
        return self.directory / f"node{node}.log"

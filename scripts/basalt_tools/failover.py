"""One failover, measured: SIGKILL of the node that leads most shards, under writes to all shards; and
of etcd's leader, under writes."""

import signal
import subprocess
import threading
import time

from basalt_tools import write_record
from basalt_tools.local_cluster import CommandFailed, binary, shard_list, wait_for
from basalt_tools.slots import ShardTable

WARM_UP_ACKS = 1000
SETTLE_S = 60


def _start_writer(cluster, record):
    return subprocess.Popen(
        [str(binary("basalt_recorder")), "write", "--endpoints", cluster.endpoints, "--out",
         str(record), "--rate", "2000", "--prefix", f"failover-{record.stem}:"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _acks_since(record, at_us, shard_of):
    """Shard -> end of its first acknowledged write that was sent after `at_us`."""
    first = {}
    for line in record.read_text(encoding="utf-8").split("\n")[:-1]:
        fields = line.split("\t")
        if fields[0] == "ack" and int(fields[1]) > at_us:
            first.setdefault(shard_of(fields[4].encode()), int(fields[2]))
    return first


def measure(cluster, record):
    """Returns a sample: `seconds` is the time from the kill to the first acknowledged write, of
    those sent after the kill, in the slowest of the shards that the killed node led. The node is
    started again, and the cluster is whole when this returns."""
    cluster.wait_ready()
    owners = ShardTable(shard_list(cluster.kvctl_json("shards")))
    writer = _start_writer(cluster, record)
    try:
        wait_for("writers to warm up", 30, lambda: record.exists()
                 and record.read_bytes().count(b"ack\t") > WARM_UP_ACKS)
        node, leaders = cluster.busiest_node()
        at_us = cluster.kill_now(node)
        wait_for("writes to every shard", SETTLE_S, interval_s=0.2, condition=lambda: len(
            _acks_since(record, at_us, owners.shard_of)) == len(owners.shard_ids))
        writer.send_signal(signal.SIGTERM)
        if writer.wait(timeout=30):
            raise CommandFailed("the writer failed")
    finally:
        if writer.poll() is None:
            writer.kill()
            writer.wait()
    writes = write_record.read_record(record)
    first = _acks_since(record, at_us, owners.shard_of)
    seconds = {shard: (first[shard] - at_us) / 1e6 for shard in leaders[node]}
    cluster.start(node)
    cluster.wait_ready()
    return {"node": node, "shards_led": len(leaders[node]), "seconds": max(seconds.values()),
            "by_shard": {str(shard): round(value, 4) for shard, value in seconds.items()},
            "acknowledged": sum(1 for write in writes if write.kind == "ack"),
            "unknown": sum(1 for write in writes if write.kind == "unknown"),
            "refused": sum(1 for write in writes if write.kind == "refused"),
            "at_monotonic_s": round(time.monotonic(), 3)}


ETCD_WRITERS = 8
ETCD_TRY_S = 0.25  # a request that came before the new leader may wait for seconds


class _EtcdWriters:
    """Threads that put without pause, each to one node after the other; notes when puts that were sent
    after `since` were acknowledged."""

    def __init__(self, cluster):
        self._cluster = cluster
        self._stopping = threading.Event()
        self._mutex = threading.Lock()
        self._acknowledged = []  # (sent, answered)
        self._threads = [threading.Thread(target=self._write, args=(number,))
                         for number in range(ETCD_WRITERS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def acknowledged(self):
        with self._mutex:
            return list(self._acknowledged)

    def first_after(self, moment):
        """When the first put that was sent after `moment` was acknowledged; None: not yet."""
        answered = [answer for sent, answer in self.acknowledged() if sent > moment]
        return min(answered, default=None)

    def _write(self, number):
        tries = number
        while not self._stopping.is_set():
            tries += 1
            node = tries % self._cluster.nodes + 1
            sent = time.monotonic()
            if self._cluster.put(node, f"failover-{number}", str(tries), ETCD_TRY_S):
                with self._mutex:
                    self._acknowledged.append((sent, time.monotonic()))


def measure_etcd(cluster):
    """The same of etcd: from the kill of its leader to the first acknowledged of the puts that were
    sent after it. The node is started again."""
    with _EtcdWriters(cluster) as writers:
        wait_for("writers to warm up", 30,
                 lambda: len(writers.acknowledged()) > ETCD_WRITERS * 10)
        node = cluster.leader()
        at = time.monotonic()
        cluster.kill(node)
        wait_for("a put after the kill", SETTLE_S, lambda: writers.first_after(at) is not None)
        seconds = writers.first_after(at) - at
    cluster.start(node)
    return {"node": node, "seconds": seconds}

"""One failover, measured: SIGKILL of the node that leads most shards, under writes to all shards."""

import signal
import subprocess
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

"""A made-up demo folder that passes the verifier, small and quick to spoil."""

import base64
import importlib.machinery
import importlib.util
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from basalt_tools import packages_index  # noqa: E402
from basalt_tools.slots import ShardTable  # noqa: E402

NODES = (1, 2, 3)
SHARDS = 4
KILLED = 2
KILL_US = 5_000_000
RATE = 200  # writes a second
LANES = 16


def load_verifier():
    """scripts/demo/verify as a module."""
    loader = importlib.machinery.SourceFileLoader("demo_verify",
                                                  str(ROOT / "scripts" / "demo" / "verify"))
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def shards():
    width = 16384 // SHARDS
    meta = {"id": 0, "first_slot": 0, "slot_count": 0, "epoch": 1, "leader": 1,
            "replicas": [{"id": 900 + node, "node": node} for node in NODES]}
    return [meta] + [
        {"id": number, "first_slot": (number - 1) * width, "slot_count": width, "epoch": 1,
         "leader": NODES[number % 3],
         "replicas": [{"id": 10 * number + node, "node": node} for node in NODES]}
        for number in range(1, SHARDS + 1)]


def writes():
    """A lane after the other, each write 2 ms long; one in 50 in doubt, one in 70 refused."""
    for number in range(RATE * 10):
        lane = number % LANES
        start = number * 1_000_000 // RATE
        kind = "ack"
        if number % 50 == 49:
            kind = "unknown"
        elif number % 70 == 69:
            kind = "refused"
        key = f"demo:{{{lane * 37}}}:" + ("register" if number // LANES % 8 == 7
                                          else f"{number:08}")
        yield kind, start, start + 2000, lane, key, f"{key}={number}"


class PlantedDemo:
    """Tables of what the demo would have left; `save` writes them as its files."""

    def __init__(self, stanzas=400):
        self.input = {f"pkg:lib{number}" if number % 3 else f"pkg:app{number}":
                      f"Package: app{number}\nVersion: 1.{number}" for number in range(stanzas)}
        self.shards = shards()
        self.writes = list(writes())
        self.values = {}
        for kind, _, _, _, key, value in self.writes:
            if kind == "ack" or (kind == "unknown" and int(value.rpartition("=")[2]) % 100 == 99):
                self.values[key] = value
            else:
                self.values.setdefault(key, None)
        # A register may keep what came last even if it was in doubt; here it holds the last ack.
        for kind, _, _, _, key, value in self.writes:
            if key.endswith(":register") and kind == "ack":
                self.values[key] = value
        self.export = dict(self.input)
        self.prefix = {key: value for key, value in self.input.items()
                       if key.startswith("pkg:lib")}
        self.final = {**self.input, **{k: v for k, v in self.values.items() if v is not None}}
        self.count = len(self.input)
        self.fill_replicas()
        self.applied = {str(shard["id"]): {str(node): 70 + shard["id"] for node in NODES}
                        for shard in self.shards}
        self.events = {
            "nodes": 3, "replicas": 3, "prefix": "pkg:lib", "writer_prefix": "demo:",
            "steps": [{"name": "import", "start_us": 0, "end_us": 900_000, "rows": stanzas,
                       "bytes": 12345}],
            "kill": {"node": KILLED, "pid": 100, "signal": 9, "at_us": KILL_US,
                     "leaders": {"1": [3], "2": [1, 4], "3": [2]}},
            "restart": {"node": KILLED, "pid": 200, "at_us": KILL_US + 3_000_000}}

    def fill_replicas(self):
        """Every replica stores what `final` says."""
        owners = ShardTable(self.shards)
        self.replicas = {}
        for shard in self.shards[1:]:
            versions = []
            for key in sorted(self.final):
                if owners.shard_of(key.encode()) == shard["id"]:
                    versions.append(self.version(key, 7, self.final[key]))
                    versions.append(self.version(key, 3, None))
            for node in NODES:
                self.replicas[shard["id"], node] = [
                    {"applied_index": 70 + shard["id"], "applied_hash": f"{shard['id']:016x}"},
                    *versions]

    @staticmethod
    def version(key, stamp, value):
        return {"key": base64.b64encode(key.encode()).decode(), "stamp": stamp,
                "tombstone": value is None,
                "value": base64.b64encode((value or "").encode()).decode()}

    def save(self, folder):
        def lines(name, rows):
            (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows),
                                       encoding="utf-8")

        def table(name, rows, order=sorted):
            lines(name, [{"key": key, "value": rows[key]} for key in order(rows)])
        table("input.jsonl", self.input, order=list)
        table("export.jsonl", self.export)
        table("prefix.jsonl", self.prefix)
        table("export-final.jsonl", self.final)
        for (shard, node), rows in self.replicas.items():
            lines(f"replica-{shard}-{node}.jsonl", rows)
        for name, value in (("events", self.events), ("applied", self.applied),
                            ("shards", self.shards)):
            (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
        (folder / "count.txt").write_text(f"{self.count}\n", encoding="ascii")
        kinds = [write[0] for write in self.writes]
        (folder / "acks.tsv").write_text(
            "".join("\t".join(map(str, write)) + "\n" for write in self.writes)
            + f"end\t{kinds.count('ack')}\t{kinds.count('unknown')}\t{kinds.count('refused')}\n",
            encoding="utf-8")
        (folder / "readback.tsv").write_text(
            "".join(f"absent\t{key}\n" if value is None else f"found\t{key}\t{value}\n"
                    for key, value in self.values.items()) + f"end\t{len(self.values)}\n",
            encoding="utf-8")


def with_small_limits(module):
    """The verifier with limits that a planted demo reaches."""
    module.packages_index.STANZAS_MIN = 300
    module.ACKS_MIN = 1000
    module.ACKS_BEFORE_KILL_MIN = 100
    return module


__all__ = ["KILLED", "KILL_US", "PlantedDemo", "ROOT", "load_verifier", "packages_index",
           "with_small_limits"]

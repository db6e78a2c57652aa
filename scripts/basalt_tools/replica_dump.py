"""What `kvctl debug scan-replica SHARD --node N` prints: all that one replica stores.

The first line tells the applied index and the applied hash; each further line one stored version
of a key, tombstones too, key and value in base64, in the replica's order.
"""

import base64
import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Dump:
    applied_index: int
    applied_hash: str
    versions: tuple  # of lines, as bytes


def read_dump(path):
    with open(path, "rb") as file:
        head = json.loads(file.readline())
        versions = tuple(line.rstrip(b"\n") for line in file)
    for number in (0, len(versions) - 1):
        if versions:
            _version(versions[number])
    return Dump(int(head["applied_index"]), str(head["applied_hash"]), versions)


def difference(one, other):
    """A sentence on the first difference of two replicas' contents; None when they are equal."""
    if one.applied_index != other.applied_index:
        return f"applied {one.applied_index} and {other.applied_index}"
    for number, (left, right) in enumerate(zip(one.versions, other.versions), 1):
        if left != right:
            return f"version {number} differs: {left[:120]!r} and {right[:120]!r}"
    if len(one.versions) != len(other.versions):
        return f"{len(one.versions)} and {len(other.versions)} versions"
    if one.applied_hash != other.applied_hash:
        return f"applied hash {one.applied_hash} and {other.applied_hash}"
    return None


def _version(line):
    row = json.loads(line)
    return (base64.b64decode(row["key"], validate=True), int(row["stamp"]),
            bool(row.get("tombstone")), base64.b64decode(row.get("value", ""), validate=True))


def newest_values(dump):
    """key -> value of every key whose newest version is no tombstone."""
    newest = {}
    for line in dump.versions:
        key, stamp, tombstone, value = _version(line)
        if key not in newest or stamp > newest[key][0]:
            newest[key] = (stamp, tombstone, value)
    return {key: value for key, (_, tombstone, value) in newest.items() if not tombstone}

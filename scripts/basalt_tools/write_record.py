"""The record that `basalt_recorder write` leaves, and what it says about the store.

One line a finished write, tab-separated, in the order in which the writes finished:

    ack|unknown|refused  START_US  END_US  LANE  KEY  VALUE

`ack` was acknowledged, `refused` was answered "not applied", `unknown` may or may not have
happened. Times are CLOCK_MONOTONIC in microseconds. A lane has one write in flight at a time.
Every key is written once, but each lane's register (a key that ends in ":register"), which is
overwritten again and again. The last line is `end  ACKS  UNKNOWNS  REFUSALS`: without it, or
with other counts, the record is cut off and proves nothing.
"""

from dataclasses import dataclass

KINDS = ("ack", "unknown", "refused")
REGISTER_SUFFIX = ":register"


@dataclass(frozen=True)
class Write:
    kind: str
    start_us: int
    end_us: int
    lane: int
    key: str
    value: str


def read_record(path):
    """All writes of the record. Raises ValueError on a damaged or cut-off one."""
    writes = []
    counts = dict.fromkeys(KINDS, 0)
    ended = None
    with open(path, encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, 1):
            if ended is not None:
                raise ValueError(f"{path}:{number}: a line after the end")
            fields = line.rstrip("\n").split("\t")
            if fields[0] == "end" and len(fields) == 4:
                ended = tuple(int(field) for field in fields[1:])
                continue
            if fields[0] not in KINDS or len(fields) != 6 or not line.endswith("\n"):
                raise ValueError(f"{path}:{number}: not a write")
            counts[fields[0]] += 1
            writes.append(Write(fields[0], int(fields[1]), int(fields[2]), int(fields[3]),
                                fields[4], fields[5]))
    if ended is None:
        raise ValueError(f"{path}: the record has no end: the writer was cut off")
    if ended != tuple(counts[kind] for kind in KINDS):
        raise ValueError(f"{path}: counts {ended} do not match the lines")
    return writes


def read_values(path):
    """What `basalt_recorder read` found: key -> value, or None for a key that is absent."""
    values = {}
    ended = None
    with open(path, encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, 1):
            fields = line.rstrip("\n").split("\t")
            if fields[0] == "end" and len(fields) == 2:
                ended = int(fields[1])
            elif fields[0] == "found" and len(fields) == 3:
                values[fields[1]] = fields[2]
            elif fields[0] == "absent" and len(fields) == 2:
                values[fields[1]] = None
            else:
                raise ValueError(f"{path}:{number}: not a read that was answered: {line[:200]!r}")
    if ended != len(values):
        raise ValueError(f"{path}: cut off: {len(values)} reads, and the end says {ended}")
    return values


def contradictions(writes, values):
    """What `values` (key -> value or None) shows that `writes` forbid, as a list of sentences.

    Acknowledged: there, with its value. Refused: never seen. Unknown: either. A register holds
    its last acknowledged value, or that of an unknown write: one sent before the last
    acknowledged may still have come after it.
    """
    found = []
    registers = {}
    for write in writes:
        if write.key.endswith(REGISTER_SUFFIX):
            registers.setdefault(write.key, []).append(write)
            continue
        if write.key not in values:
            found.append(f"{write.key} was not read back")
            continue
        value = values[write.key]
        if write.kind == "ack" and value is None:
            found.append(f"{write.key} was acknowledged and is lost")
        elif write.kind == "ack" and value != write.value:
            found.append(f"{write.key} was acknowledged with another value")
        elif write.kind == "refused" and value is not None:
            found.append(f"{write.key} was refused and is there")
        elif write.kind == "unknown" and value not in (None, write.value):
            found.append(f"{write.key} has a value that nobody wrote")
    for key, history in registers.items():
        if key not in values:
            found.append(f"{key} was not read back")
            continue
        acked = [write.value for write in history if write.kind == "ack"]
        allowed = {write.value for write in history if write.kind == "unknown"}
        allowed.add(acked[-1] if acked else None)
        if values[key] not in allowed:
            found.append(f"{key} holds neither its last acknowledged value nor one in doubt")
    return found


def acks_within(writes, from_us, until_us):
    return sum(1 for write in writes
               if write.kind == "ack" and from_us <= write.end_us < until_us)


def longest_gap_us(writes, shard_of):
    """Per shard, the longest time between two acknowledgements, from the record's first write to
    its last: shard -> (gap in microseconds, when it began)."""
    if not writes:
        return {}
    begin = min(write.start_us for write in writes)
    end = max(write.end_us for write in writes)
    last = {}
    gaps = {}
    for write in sorted((w for w in writes), key=lambda w: w.end_us):
        shard = shard_of(write.key.encode())
        last.setdefault(shard, begin)
        gaps.setdefault(shard, (0, begin))
        if write.kind != "ack":
            continue
        gap = write.end_us - last[shard]
        if gap > gaps[shard][0]:
            gaps[shard] = (gap, last[shard])
        last[shard] = write.end_us
    for shard, time in last.items():
        if end - time > gaps[shard][0]:
            gaps[shard] = (end - time, time)
    return gaps

"""What a stage of basalt_stage_bench costs an operation, counted under valgrind, and how that
compares with what it cost before."""

import dataclasses
import json
import os
import pathlib
import platform
import re
import subprocess
import tempfile

from .local_cluster import CommandFailed, binary

COSTS = ("instructions", "allocations", "system_calls")
SHARE_MAX = 0.05  # by which a cost may differ from its baseline, either way
# Where a container grows now and then: one allocation in a hundred operations is not counted.
ALLOCATIONS_SLACK = 0.01
# Where a thread of RocksDB's holds a lock, one operation in a thousand has to wait for it.
SYSTEM_CALLS_SLACK = 0.005
PROGRAM = "basalt_stage_bench"

# Known by construction, whatever the baseline says; without them nothing is counted right.
CALIBRATION = "calibration"
CALIBRATED = {"allocations": 3, "system_calls": 1}

_MARKED = re.compile(r"^stage begins$(.*?)^stage ends$", re.M | re.S)
_CALL = re.compile(r"^SYSCALL\[\d+,1\]\(\s*\d+\) sys_(\w+)", re.M)  # of the first thread
# Without valgrind, these do not enter the kernel.
_USER_SPACE = {"clock_gettime", "clock_getres", "gettimeofday", "time", "getcpu"}

# The heap has its memory from the kernel once and keeps it: later calls would be the allocator's,
# and fall on whichever operation meets them.
_HEAP = ("glibc.malloc.top_pad=268435456:glibc.malloc.trim_threshold=2147483647:"
         "glibc.malloc.mmap_threshold=33554432")


class NotCounted(CommandFailed):
    """What came out is no count."""


def machine():
    """What instructions depend on beside the program: libraries choose by the processor."""
    flags = re.search(r"^flags\s*:(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    avx2 = flags is not None and "avx2" in flags.group(1).split()
    return platform.machine() + (" avx2" if avx2 else "")


def count_system_calls(trace):
    """Those between the marks in what `valgrind --trace-syscalls=yes` and the program wrote."""
    sections = _MARKED.findall(trace)
    if not sections:
        raise NotCounted("no mark of a stage in valgrind's trace")
    calls = 0
    for section in sections:
        names = _CALL.findall(section)
        if not names or names[-1] != "write":
            raise NotCounted("the mark at a stage's end was not traced")
        calls += sum(name not in _USER_SPACE for name in names[:-1])
    return calls


def read_instructions(profile):
    """The total of a callgrind.out file."""
    total = re.search(r"^totals: (\d+)$", profile, re.M)
    if total is None or int(total.group(1)) == 0:
        raise NotCounted("callgrind collected nothing")
    return int(total.group(1))


def costs_of(said, trace, profile):
    """Costs of one operation from a program's output, valgrind's trace and callgrind's file."""
    facts = dict(re.findall(r"^(\w+) (\d+)$", said, re.M))
    operations = int(facts["operations"])
    counted = (read_instructions(profile), int(facts["allocations"]), count_system_calls(trace))
    return {name: round(count / operations, 4)
            for name, count in zip(COSTS, counted, strict=True)}


def stages():
    done = subprocess.run([str(binary(PROGRAM)), "--list"], check=True, stdout=subprocess.PIPE,
                          text=True)
    return done.stdout.split()


def count(stage, runs):
    """Costs of one operation of `stage`, over `runs` runs of it."""
    with tempfile.TemporaryDirectory(prefix="basalt-stage-") as folder:
        scratch, profile = pathlib.Path(folder, "scratch"), pathlib.Path(folder, "callgrind.out")
        scratch.mkdir()
        command = ["valgrind", "--tool=callgrind", "--collect-atstart=no",
                   "--toggle-collect=*CountedRun*", "--trace-syscalls=yes",
                   f"--callgrind-out-file={profile}", str(binary(PROGRAM)), "--count", stage,
                   str(runs), str(scratch)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, errors="replace", check=False,
                              env={**os.environ, "GLIBC_TUNABLES": _HEAP})
        if done.returncode:
            raise CommandFailed(f"{' '.join(command)} exited with {done.returncode}: "
                                f"{done.stderr[-2000:]}")
        return costs_of(done.stdout, done.stderr, profile.read_text(errors="replace"))


def _text(number):
    return f"{number:,.0f}" if number >= 1000 else f"{number:.4g}"


@dataclasses.dataclass(frozen=True)
class Difference:
    stage: str
    cost: str
    was: float
    now: float

    def share(self):
        return (self.now - self.was) / self.was if self.was else float("inf")

    def __str__(self):
        change = f"{self.share():+.1%}" if self.was else "there was none"
        what = self.cost.replace("_", " ")
        advice = ("" if self.now > self.was else
                  "; that is less: hold on to it by scripts/stage_costs --update")
        return (f"{self.stage}: {_text(self.now)} {what} an operation, not {_text(self.was)} "
                f"({change}){advice}")


def is_within(cost, was, now):
    slack = SHARE_MAX * was
    if cost == "allocations" and was:
        slack = max(slack, ALLOCATIONS_SLACK)
    if cost == "system_calls":
        slack = max(slack, SYSTEM_CALLS_SLACK)
    return abs(now - was) <= slack


def miscounts(measured):
    """Where what is known by construction was not counted, as lines."""
    for name, number in CALIBRATED.items():
        if CALIBRATION in measured and measured[CALIBRATION][name] != number:
            yield (f"{CALIBRATION}: {measured[CALIBRATION][name]:g} {name.replace('_', ' ')} an "
                   f"operation are counted, and there are {number}: no count here holds")


def compare(baseline, measured, expected_stages):
    """What is wrong, as lines. `baseline` and `measured`: stage -> cost -> number."""
    for stage in expected_stages:
        if stage not in baseline:
            yield f"{stage}: not in the baseline; scripts/stage_costs --update"
    for stage in baseline:
        if stage not in expected_stages:
            yield f"{stage}: in the baseline, and no stage; scripts/stage_costs --update"
    for stage, costs in measured.items():
        for name in COSTS if stage in baseline else ():
            was = baseline[stage][name]
            if not is_within(name, was, costs[name]):
                yield str(Difference(stage, name, was, costs[name]))


def spread(repeated, name):
    """Of one cost over repeated counts: (highest - lowest) / lowest."""
    numbers = [costs[name] for costs in repeated]
    lowest, highest = min(numbers), max(numbers)
    if highest == lowest:
        return 0.0
    return (highest - lowest) / lowest if lowest else float("inf")


def table(baseline, measured):
    widths = (12, 8, 11, 8, 12, 8)
    heads = [head for name in COSTS for head in (name.replace("_", " "), "was")]

    def row(stage, cells):
        return f"{stage:16}" + "".join(f" {cell:>{width}}"
                                       for cell, width in zip(cells, widths, strict=True))
    yield row("an operation of", heads)
    for stage, costs in measured.items():
        was = baseline.get(stage)
        yield row(stage, [cell for name in COSTS for cell in
                          (_text(costs[name]), _text(was[name]) if was else "-")])


def read_baseline(path):
    """(machine, stage -> costs); (None, {}) when there is none yet."""
    if not path.exists():
        return None, {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return content["machine"], content["stages"]


def write_baseline(path, stages_costs):
    content = {"machine": machine(), "stages": stages_costs}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

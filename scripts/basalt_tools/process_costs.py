"""What running processes cost, as the kernel tells it: CPU time, syncs, connections; and where their
files lie."""

import contextlib
import os
import re
import signal
import subprocess

from basalt_tools.local_cluster import CommandFailed, wait_for

# Of these a write is durable when the call returns only by accident: there is no disk.
NO_DISK = ("tmpfs", "ramfs")
_SYNC_CALLS = ("fdatasync", "fsync", "sync_file_range", "msync")
_ESTABLISHED = "01"


def cpu_us(pids):
    """User and system time of all threads that the processes have had, in microseconds."""
    tick_us = 1_000_000 // os.sysconf("SC_CLK_TCK")
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            # The name, in brackets, may hold blanks.
            fields = file.read().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) * tick_us
    return total


def cpu_us_by_thread(pids):
    """The same by the threads' names, of those that live, all processes together."""
    tick_us = 1_000_000 // os.sysconf("SC_CLK_TCK")
    times = {}
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                with open(f"/proc/{pid}/task/{thread}/stat", encoding="ascii",
                          errors="replace") as file:
                    name, rest = file.read().split("(", 1)[1].rsplit(")", 1)
                fields = rest.split()
                times[name] = times.get(name, 0) + (int(fields[11]) + int(fields[12])) * tick_us
    return times


def connections(pid, ports):
    """How many established TCP connections the process has to these ports."""
    inodes = set()
    with contextlib.suppress(FileNotFoundError):  # it has ended
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                target = os.readlink(f"/proc/{pid}/fd/{descriptor}")
                if match := re.fullmatch(r"socket:\[(\d+)\]", target):
                    inodes.add(match.group(1))
    count = 0
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table, encoding="ascii") as file:
            for line in file.readlines()[1:]:
                fields = line.split()
                remote_port = int(fields[2].rsplit(":", 1)[1], 16)
                count += (fields[3] == _ESTABLISHED and fields[9] in inodes
                          and remote_port in ports)
    return count


def file_system(path):
    """(device, type) of the file system that holds `path`."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", str(path)], check=True, capture_output=True,
                          text=True).stdout.strip()
    return os.stat(path).st_dev, kind


def one_disk(paths):
    """The type of the file system that holds all of the paths. CommandFailed when there are two, or
    when it is none that a disk is behind."""
    found = {file_system(path) for path in paths}
    if len(found) != 1:
        raise CommandFailed(f"the data directories are on different file systems: {found}")
    (_, kind), = found
    if kind in NO_DISK:
        raise CommandFailed(f"the data directories are on {kind}: nothing there is durable")
    return kind


def parse_call_counts(summary):
    """Calls by name, of what `strace -c` wrote."""
    counts = {}
    for line in summary.splitlines():
        fields = line.split()
        if len(fields) >= 5 and fields[-1] in _SYNC_CALLS:
            counts[fields[-1]] = int(fields[3])
    return counts


class SyncCounter:
    """Counts the calls by which processes make files durable, by strace; slows them down. Use as a
    context; `counts` holds a dictionary for each process afterwards."""

    def __init__(self, pids, folder):
        self._pids = pids
        self._folder = folder
        self._tracers = []
        self.counts = []

    def _file(self, pid, kind):
        return self._folder / f"strace-{pid}.{kind}"

    def __enter__(self):
        for pid in self._pids:
            with open(self._file(pid, "log"), "wb") as log:
                self._tracers.append(subprocess.Popen(
                    ["strace", "-f", "-c", "-e", "trace=" + ",".join(_SYNC_CALLS), "-o",
                     str(self._file(pid, "calls")), "-p", str(pid)], stdin=subprocess.DEVNULL,
                    stdout=log, stderr=log))
        for pid, tracer in zip(self._pids, self._tracers):
            wait_for(f"strace of process {pid}", 20, lambda p=pid, t=tracer: self._attached(p, t))
        return self

    def _attached(self, pid, tracer):
        said = self._file(pid, "log").read_text(encoding="utf-8", errors="replace")
        if tracer.poll() is not None:
            raise CommandFailed(f"strace of process {pid} ended: {said.strip()}")
        return f"Process {pid} attached" in said

    def __exit__(self, *error):
        for tracer in self._tracers:
            tracer.send_signal(signal.SIGINT)
        for pid, tracer in zip(self._pids, self._tracers):
            tracer.wait(timeout=30)
            if error[0] is None:
                self.counts.append(parse_call_counts(
                    self._file(pid, "calls").read_text(encoding="utf-8")))

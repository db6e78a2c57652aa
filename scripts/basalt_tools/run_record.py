"""Writes docs/runs/<name>-<commit>.json, the record behind a figure of the docs."""

import datetime
import json
import os
import platform
import subprocess
import sys

from basalt_tools.local_cluster import ROOT, CommandFailed, binary

COMMIT_DIGITS = 12


def _git(*words):
    return subprocess.run(["git", "-C", str(ROOT), *words], check=True, capture_output=True,
                          text=True).stdout.strip()


def _memory_gib():
    with open("/proc/meminfo", encoding="ascii") as file:
        return round(int(file.readline().split()[1]) / 2**20, 1)


def clean_commit():
    """HEAD, or None when the tree differs from it."""
    return None if _git("status", "--porcelain") else _git("rev-parse", "HEAD")


def built_commit():
    """The commit that the binaries were built from; CommandFailed when it was none."""
    built = json.loads(subprocess.run([str(binary("kvctl")), "-o", "json", "version"], check=True,
                                      capture_output=True, text=True).stdout)["commit"]
    if not built.isalnum():
        raise CommandFailed(f"the binaries were built from {built}: a record would name a commit "
                            "that did not run")
    return _git("rev-parse", built)


def write(name, figures, samples, commit=None):
    """Returns the path written. `figures` are what the docs cite, `samples` the raw values;
    `commit` ran, by default the one that the binaries were built from."""
    commit = commit or built_commit()
    record = {
        "commit": commit,
        "command": " ".join([os.path.relpath(sys.argv[0], ROOT), *sys.argv[1:]]),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": {"cpus": os.cpu_count(), "memory_gib": _memory_gib(),
                    "kernel": platform.release(), "architecture": platform.machine(),
                    "load_average": os.getloadavg()},
        "figures": figures,
        "samples": samples,
    }
    folder = ROOT / "docs" / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{commit[:COMMIT_DIGITS]}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return path.relative_to(ROOT)

"""Writes docs/runs/<name>-<commit>.json, the record behind a figure of the docs."""

import datetime
import json
import os
import platform
import re
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


def whole_hash(commit):
    """The hash of a commit of this repository; CommandFailed for anything else, such as what a binary
    says that was built from a tree with changes: a record would name a commit that did not run."""
    if not re.fullmatch("[0-9a-f]{7,40}", commit):
        raise CommandFailed(f"no record: {commit} is no commit")
    try:
        return _git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    except subprocess.CalledProcessError:
        raise CommandFailed(f"no record: {commit} is no commit of this repository") from None


def built_commit():
    """The commit that the binaries were built from; CommandFailed when it was none."""
    return whole_hash(json.loads(subprocess.run(
        [str(binary("kvctl")), "-o", "json", "version"], check=True, capture_output=True,
        text=True).stdout)["commit"])


def commit_of(program):
    """Likewise, of a program that knows --commit."""
    return whole_hash(subprocess.run([str(program), "--commit"], check=True, capture_output=True,
                                     text=True).stdout.strip())


def _path(name, commit):
    return ROOT / "docs" / "runs" / f"{name}-{commit[:COMMIT_DIGITS]}.json"


def of_this_commit(name):
    """The record that the binaries' commit has already, or None."""
    path = _path(name, built_commit())
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def write(name, figures, samples, commit=None, command=None):
    """Returns the path written. `figures` are what the docs cite, `samples` the raw values;
    `commit` ran, by default the one that the binaries were built from, and `command`, by default
    this program's. CommandFailed when the commit is none."""
    commit = whole_hash(commit) if commit is not None else built_commit()
    record = {
        "commit": commit,
        "command": command or " ".join([os.path.relpath(sys.argv[0], ROOT), *sys.argv[1:]]),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": {"cpus": os.cpu_count(), "memory_gib": _memory_gib(),
                    "kernel": platform.release(), "architecture": platform.machine(),
                    "load_average": os.getloadavg()},
        "figures": figures,
        "samples": samples,
    }
    path = _path(name, commit)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return path.relative_to(ROOT)

"""Runs a load generator and takes what it measured."""

import json
import re
import subprocess
import tempfile

from basalt_tools.local_cluster import CommandFailed

WATCH_S = 0.02


def run(command, watch=None):
    """Runs the generator, which prints JSON, to its end; returns what it measured. `watch` is called
    now and then with its process id."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=error)
        while True:
            try:
                process.wait(timeout=WATCH_S if watch else None)
                break
            except subprocess.TimeoutExpired:
                watch(process.pid)
        out.seek(0)
        error.seek(0)
        said = error.read().decode(errors="replace").strip()
        if process.returncode:
            raise CommandFailed(f"{' '.join(command)} exited with {process.returncode}: {said}")
        result = json.load(out)
    if match := re.search(r"puts each: ([\d.]+)", said):
        result["puts_per_txn"] = float(match.group(1))
    return result

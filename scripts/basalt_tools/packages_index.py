"""The demo's input: the Debian package index of this machine, as `kvctl import` takes it.

Key `pkg:<name>`, value the stanza. Where the index has several stanzas of one name, the first
keeps the plain key and each later one gets `pkg:<name>=<version>` (and `#2`, `#3` ... should even
that be taken), so that nothing of the input is dropped.
"""

import json
import subprocess

STANZAS_MIN = 30_000
PREFIX = "pkg:"


class TooFewPackages(Exception):
    """The machine's package index is empty or nearly so."""


def stanzas(text):
    for block in text.split("\n\n"):
        block = block.strip("\n")
        if block:
            yield block


def _field(stanza, name):
    for line in stanza.split("\n"):
        if line.startswith(name + ": "):
            return line[len(name) + 2:].strip()
    return None


def rows(text):
    """(key, value) of each stanza, in the index's order; keys are distinct."""
    taken = set()
    for stanza in stanzas(text):
        name = _field(stanza, "Package")
        if name is None:
            raise ValueError(f"a stanza without a name: {stanza[:80]!r}")
        key = PREFIX + name
        if key in taken:
            key = f"{key}={_field(stanza, 'Version')}"
        plain, copy = key, 1
        while key in taken:
            copy += 1
            key = f"{plain}#{copy}"
        taken.add(key)
        yield key, stanza


def write_input(path, text=None, stanzas_min=STANZAS_MIN):
    """Writes JSON lines to `path`. Returns (rows, bytes of keys and values)."""
    if text is None:
        text = subprocess.run(["apt-cache", "dumpavail"], check=True,
                              stdout=subprocess.PIPE).stdout.decode("utf-8")
    count = size = 0
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for key, value in rows(text):
            file.write(json.dumps({"key": key, "value": value}, ensure_ascii=False) + "\n")
            count += 1
            size += len(key.encode()) + len(value.encode())
    if count < stanzas_min:
        raise TooFewPackages(
            f"the package index of this machine has {count} stanzas, and the demo wants at least "
            f"{stanzas_min}: run `apt-get update` as root, once, with a network")
    return count, size

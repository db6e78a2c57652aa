"""Reads tests/mutants/mutants.txt: bugs, and the lines of production sources that they change."""

import dataclasses
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = ROOT / "tests" / "mutants" / "mutants.txt"

_PLANTED = re.compile(r"\bPLANTED\b(?:\(([a-z0-9-]+)\))?")


class TableError(Exception):
    """The table cannot be read, or no longer fits the sources."""


@dataclasses.dataclass
class Hunk:
    path: str
    old: list = dataclasses.field(default_factory=list)
    new: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Mutant:
    name: str
    what: str
    seen_by: list = dataclasses.field(default_factory=list)
    breaks: str = ""
    hole: str = ""  # why no seeds are known to see it in every range; scenarios may
    hunks: list = dataclasses.field(default_factory=list)


def _add_line(mutants, path, line):
    if not mutants or path is None:
        raise TableError(f"a line outside of a file: {line}")
    hunks = mutants[-1].hunks
    fits = hunks and hunks[-1].path == path and (line[0] == "+" or not hunks[-1].new)
    if not fits:
        hunks.append(Hunk(path))
    (hunks[-1].old if line[0] == "-" else hunks[-1].new).append(line[1:])


def parse(text):
    mutants, path = [], None
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        if line[0] in "+-":
            _add_line(mutants, path, line)
        elif found := re.fullmatch(r"mutant ([a-z0-9-]+): (.+)", line):
            mutants.append(Mutant(*found.groups()))
            path = None
        elif found := re.fullmatch(r"seen by: (simulator [a-z]+|random_cluster|random_leases|txn_explorer)", line):
            mutants[-1].seen_by = found.group(1).split()
        elif found := re.fullmatch(r"breaks: (\w+)", line):
            mutants[-1].breaks = found.group(1)
        elif found := re.fullmatch(r"hole: (.+)", line):
            mutants[-1].hole = found.group(1)
        elif found := re.fullmatch(r"in ([\w/]+\.cc)", line):
            path = found.group(1)
        else:
            raise TableError(f"not understood: {line}")
    names = [mutant.name for mutant in mutants]
    if len(set(names)) != len(names) or not all(mutant.seen_by for mutant in mutants):
        raise TableError("every mutant has a name of its own and says what sees it")
    return mutants


def read():
    return parse(TABLE.read_text(encoding="utf-8"))


def choose(mutants, names):
    """(those whose scenarios count, those for which seeds are drawn); no names: all, all but holes."""
    if names:
        named = [mutant for mutant in mutants if mutant.name in names]
        return named, named
    return mutants, [mutant for mutant in mutants if not mutant.hole]


def paths_of(mutants):
    return sorted({hunk.path for mutant in mutants for hunk in mutant.hunks})


def _condition(mutants, own):
    places = {mutant.name: place for place, mutant in enumerate(mutants, 1)}

    def replace(match):
        name = match.group(1) or own
        if name not in places:
            raise TableError(f"no mutant is named {name}")
        return f"(::basalt::testing::PlantedMutant() == {places[name]})"
    return replace


def _cut(source, path, mutants):
    """(first line, line behind the last, lines in their place) of each hunk, by its place."""
    lines, cuts = source.splitlines(), []
    for mutant in mutants:
        for hunk in mutant.hunks:
            if hunk.path != path:
                continue
            count = len(hunk.old)
            found = [at for at in range(len(lines) - count + 1) if lines[at:at + count] == hunk.old]
            if count == 0 or len(found) != 1:
                raise TableError(f"{path} holds the lines of {mutant.name} {len(found)} times, "
                                 f"not once:\n" + "\n".join(hunk.old))
            new = [_PLANTED.sub(_condition(mutants, mutant.name), line) for line in hunk.new]
            cuts.append((found[0], found[0] + count, new))
    return lines, sorted(cuts)


def plant(source, path, mutants):
    """`source` with the bugs of all mutants in it; compilers still name the original's lines."""
    lines, cuts = _cut(source, path, mutants)
    planted, at = ['#include "tests/mutants/mutant.h"', f'#line 1 "{path}"'], 0
    for first, end, new in cuts:
        if first < at:
            raise TableError(f"{path}:{first + 1}: two mutants change one line")
        planted += lines[at:first] + new + [f"#line {end + 1}"]
        at = end
    return "\n".join(planted + lines[at:]) + "\n"

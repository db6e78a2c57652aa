"""docs/reliability.md names each hazard once, and each name in the last column of its tables is a test,
a scenario, a fuzzer or a fuzzer's kept input that exists."""

import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"
HAZARDS = 71


def sources(*patterns):
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "--cached", "--others",
                             "--exclude-standard", *patterns], check=True, capture_output=True,
                            text=True).stdout
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).exists()]


def existing_tests():
    names = set()
    for path in sources("tests/*.cc"):
        for suite, case in re.findall(r"^TEST(?:_F|_P)?\((\w+),\s+(\w+)", path.read_text(), re.M):
            names.add(f"{suite}.{case}")
    names.update(path.name for path in sources("tests/scenarios/raft/*.txt"))
    names.update(f"fuzz_{name}" for name in re.findall(
        r"basalt_fuzzer\(NAME (\w+)", (ROOT / "tests" / "fuzz" / "CMakeLists.txt").read_text()))
    names.update(path.name[:8] for path in (ROOT / "tests" / "fuzz" / "corpus").glob("*/*"))
    # A Python file test_x.py is ctest's entry <folder>_x.
    for path in sources("tests/*.py"):
        entry = f"{path.parent.name}_{path.stem.removeprefix('test_')}"
        names.update(f"{entry}:{test}"
                     for test in re.findall(r"^    def (test_\w+)", path.read_text(), re.M))
    return names


def rows(text):
    """The cells of each line of the tables, without their heads."""
    lines = text.splitlines()
    for line, next_line in zip(lines, [*lines[1:], ""]):
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("|") and not next_line.startswith("|---") and not line.startswith("|---"):
            yield cells


def numbers_of(cells):
    """The hazards of a line of three cells that begins with some."""
    if match := re.fullmatch(r"(\d+)(?:-(\d+))?", cells[0]):
        return list(range(int(match.group(1)), int(match.group(2) or match.group(1)) + 1))
    return []


def found_by_simulation(cell, tests, seeds):
    """Whether a bug's first cell names a kept seed or a test."""
    name = re.match(r"`([^`]+)`", cell)
    return name and (name.group(1) in seeds or name.group(1) in tests)


def faults(text, tests, seeds=frozenset()):
    seen = []
    for cells in rows(text):
        numbers = numbers_of(cells)
        seen.extend(numbers)
        names = re.findall(r"`([^`]+)`", cells[-1])
        if cells[-1] == "that test":
            names = re.findall(r"found by `([^`]+)`", cells[-2])
        if not names and not (numbers and re.match(r"none: \w{2,}", cells[-1])):
            yield f"{cells[0]}: neither a test nor a reason"
        for name in names:
            if name not in tests and name != "./dev demo":
                yield f"{cells[0]}: no such test: {name}"
        if len(cells) == 3 and not numbers and not found_by_simulation(cells[0], tests, seeds):
            yield f"{cells[0]}: neither a kept seed nor a test"
    if seen != list(range(1, HAZARDS + 1)):
        yield f"the hazards are numbered {seen}"


def kept_seeds():
    lines = (ROOT / "tests" / "simulator" / "seeds.txt").read_text().splitlines()
    return {" ".join(line.split()[:2]) for line in lines if line and not line.startswith("#")}


class ReliabilityTest(unittest.TestCase):
    def test_page(self):
        self.assertEqual(list(faults(PAGE.read_text(), existing_tests(), kept_seeds())), [])

    def test_faults_are_found(self):
        good = "".join(f"| {n} | x | `A.B` |\n" for n in range(1, HAZARDS + 1))
        self.assertEqual(list(faults(good, {"A.B"})), [])
        for bad in (good.replace("| 7 |", "| 8 |"), good.replace("`A.B`", "`A.C`", 1),
                    good.replace("`A.B`", "", 1), good.replace("`A.B`", "none", 1)):
            self.assertEqual(len(list(faults(bad, {"A.B"}))), 1, bad[:80])

    def test_faults_of_bugs_are_found(self):
        hazards = "".join(f"| {n} | x | `A.B` |\n" for n in range(1, HAZARDS + 1))
        simulated = "| seed | what | pinned by |\n|---|---|---|\n| `disk 44` | x | `A.B` |\n"
        reviewed = "| what | pinned by |\n|---|---|\n| y (found by `A.B`) | that test |\n"
        good = f"{hazards}\n{simulated}\n{reviewed}"
        self.assertEqual(list(faults(good, {"A.B"}, {"disk 44"})), [])
        for old, new in (("44` | x | `A.B`", "44` | x | `A.C`"), ("`disk 44`", "`disk 45`"),
                         ("x | `A.B` |\n\n| what", "x | none: such |\n\n| what"),
                         ("found by `A.B`", "found by `A.C`"), ("| that test", "| a test")):
            self.assertEqual(good.count(old), 1, old)
            bad = good.replace(old, new)
            self.assertEqual(len(list(faults(bad, {"A.B"}, {"disk 44"}))), 1, new)

"""docs/reliability.md names each hazard once, and each name that it gives is a test that exists."""

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
    # A Python file test_x.py is ctest's entry <folder>_x.
    for path in sources("tests/*.py"):
        entry = f"{path.parent.name}_{path.stem.removeprefix('test_')}"
        names.update(f"{entry}:{test}"
                     for test in re.findall(r"^    def (test_\w+)", path.read_text(), re.M))
    return names


def rows(text):
    """(numbers, shown by) of each line of the tables."""
    for first, last, shown in re.findall(r"^\| (\d+)(?:-(\d+))? \| .*? \| (.*) \|$", text, re.M):
        yield range(int(first), int(last or first) + 1), shown


def faults(text, tests):
    seen = []
    for numbers, shown in rows(text):
        seen.extend(numbers)
        names = re.findall(r"`([^`]+)`", shown)
        if not names and not re.match(r"none: \w{2,}", shown):
            yield f"{numbers[0]}: neither a test nor a reason"
        for name in names:
            if name not in tests and name != "./dev demo":
                yield f"{numbers[0]}: no such test: {name}"
    if seen != list(range(1, HAZARDS + 1)):
        yield f"the hazards are numbered {seen}"


class ReliabilityTest(unittest.TestCase):
    def test_page(self):
        self.assertEqual(list(faults(PAGE.read_text(), existing_tests())), [])

    def test_faults_are_found(self):
        good = "".join(f"| {n} | x | `A.B` |\n" for n in range(1, HAZARDS + 1))
        self.assertEqual(list(faults(good, {"A.B"})), [])
        for bad in (good.replace("| 7 |", "| 8 |"), good.replace("`A.B`", "`A.C`", 1),
                    good.replace("`A.B`", "", 1), good.replace("`A.B`", "none", 1)):
            self.assertEqual(len(list(faults(bad, {"A.B"}))), 1, bad[:80])

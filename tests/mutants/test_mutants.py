"""What is shipped holds no mutant; the twin holds them all, and without one it is the original."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from basalt_tools import mutant_table  # noqa: E402

BINARIES = pathlib.Path(os.environ["BASALT_BIN_DIR"])
BUILD = pathlib.Path(os.environ["BASALT_BUILD"])
WORDS = (b"PlantedMutant", b"BASALT_MUTANT", b"BASALT_CORE_CHECKS")
SOURCE = "int a;\nint b;\n"


def planted(table, source=SOURCE):
    return mutant_table.plant(source, "x/y.cc", mutant_table.parse(
        "mutant one: a bug\nseen by: random_cluster\nin x/y.cc\n" + table))


def marks():
    """What only a binary with mutants holds: their names, long enough to be no other word."""
    return [mutant.name.encode() for mutant in mutant_table.read()] + list(WORDS)


class ShippedTest(unittest.TestCase):
    def assert_holds_none(self, path):
        contents = path.read_bytes()
        for mark in marks():
            self.assertNotIn(mark, contents, path)

    def test_programs_and_library_hold_none(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["cmake", "--install", str(BUILD), "--prefix", folder], check=True,
                           stdout=subprocess.DEVNULL)
            files = [path for path in pathlib.Path(folder).rglob("*") if path.is_file()]
            names = {path.name for path in files}
            self.assertLessEqual({"basaltd", "kvctl"}, names)
            self.assertTrue([name for name in names if name.startswith("libbasalt.so")])
            for path in files:
                self.assert_holds_none(path)

    def test_twin_holds_all(self):
        contents = (BUILD / "test-bin" / "simulator_mutants").read_bytes()
        for mark in marks():
            self.assertIn(mark, contents)

    def test_production_sources_hold_none(self):
        for folder in ("base", "check", "client", "proto", "raft", "server", "storage"):
            for path in (ROOT / folder).rglob("*.[ch]*"):
                self.assertNotIn("mutant", path.read_text(encoding="utf-8").lower(), path)

    def test_without_a_mutant_the_twin_does_what_the_original_does(self):
        arguments = ["--family", "everything", "--seed", "11"]
        traces = []
        for program in (BINARIES / "basalt_simulator", BUILD / "test-bin" / "simulator_mutants"):
            done = subprocess.run([str(program), *arguments], check=True, capture_output=True,
                                  text=True)
            traces.append(re.search(r"^trace \w+$", done.stdout, re.MULTILINE).group(0))
        self.assertEqual(traces[0], traces[1])


class TableTest(unittest.TestCase):
    def test_lines_are_replaced_and_the_rest_keeps_its_number(self):
        text = planted("-int a;\n+int a = PLANTED;\n+int c;\n")
        self.assertIn("int a = (::basalt::testing::PlantedMutant() == 1);\nint c;\n#line 2\nint b;",
                      text)

    def test_a_source_that_has_moved_on_is_an_error(self):
        for table, source in (("-int z;\n+int y;\n", SOURCE), ("-int a;\n+int y;\n", SOURCE * 2)):
            with self.assertRaisesRegex(mutant_table.TableError, "not once"):
                planted(table, source)

    def test_two_mutants_change_no_line_both(self):
        with self.assertRaisesRegex(mutant_table.TableError, "one line"):
            planted("-int a;\n+int y;\n-int a;\n-int b;\n+int z;\n")

    def test_an_unknown_mutant_is_an_error(self):
        with self.assertRaisesRegex(mutant_table.TableError, "no mutant is named two"):
            planted("-int a;\n+int a = PLANTED(two);\n")

    def test_what_no_seeds_see_may_break_a_scenario(self):
        table = mutant_table.parse("mutant one: a bug\nseen by: random_cluster\nhole: rare\n"
                                   "breaks: figure_8\nmutant two: a bug\nseen by: random_leases\n")
        one, two = table
        self.assertEqual((one.hole, one.breaks), ("rare", "figure_8"))
        self.assertEqual(mutant_table.choose(table, []), ([one, two], [two]))
        self.assertEqual(mutant_table.choose(table, ["one"]), ([one], [one]))

    def test_what_is_not_understood_is_an_error(self):
        for text in ("mutant One: x", "seen by: luck", "nonsense", "+a line of no file"):
            with self.assertRaises((mutant_table.TableError, IndexError)):
                mutant_table.parse(text)

    def test_the_table_has_at_least_fifteen(self):
        self.assertGreaterEqual(len(mutant_table.read()), 15)


if __name__ == "__main__":
    unittest.main()

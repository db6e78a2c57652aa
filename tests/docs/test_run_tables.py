"""The tables of docs/performance.md are those of the newest records; empty as long as there is none."""

import json
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from basalt_tools import curve_points, doc_tables, operations, side_by_side  # noqa: E402

PAGE = ROOT / "docs" / "performance.md"


def lines_of_newest_record(name, tables):
    records = list((ROOT / "docs" / "runs").glob(f"{name}-*.json"))
    if not records:
        return []
    return doc_tables.lines_of(tables, max(
        records, key=lambda path: json.loads(path.read_text(encoding="utf-8"))["date"]))


class RunTablesTest(unittest.TestCase):
    def check(self, name, tables):
        self.assertEqual(doc_tables.shown(name, PAGE.read_text(encoding="utf-8")),
                         lines_of_newest_record(name, tables))

    def test_bench(self):
        self.check("bench", side_by_side.page_table)

    def test_budget(self):
        self.check("budget", side_by_side.budget_page_table)

    def test_curves(self):
        self.check("curves", curve_points.tables)

    def test_operations(self):
        self.check("operations", operations.table)


if __name__ == "__main__":
    unittest.main()

"""The table of mutants in docs/testing.md is that of the newest record."""

import importlib.machinery
import importlib.util
import json
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "testing.md"


def load_script():
    loader = importlib.machinery.SourceFileLoader("mutants_script", str(ROOT / "scripts" / "mutants"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("mutants_script", loader))
    loader.exec_module(module)
    return module


def newest_record():
    records = [(json.loads(path.read_text(encoding="utf-8")), path.name)
               for path in (ROOT / "docs" / "runs").glob("mutants-*.json")]
    return max(records, key=lambda record: record[0]["date"])


def rows_of_page():
    table = PAGE.read_text(encoding="utf-8").split("| mutant | seen by |")[1].split("\n\n")[0]
    return table.splitlines()[2:]


class MutantsTableTest(unittest.TestCase):
    def test_rows_are_those_of_the_newest_record(self):
        record, _ = newest_record()
        row_of = load_script().row_of
        self.assertEqual(rows_of_page(), [row_of(sample) for sample in record["samples"]])

    def test_sums_link_to_the_newest_record(self):
        linked = set(re.findall(r"\(runs/(mutants-\w+\.json)#", PAGE.read_text(encoding="utf-8")))
        self.assertEqual(linked, {newest_record()[1]})


if __name__ == "__main__":
    unittest.main()

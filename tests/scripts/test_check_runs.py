"""scripts/check_runs objects to every figure that no record carries."""

import json
import os
import pathlib
import re
import shutil
import unittest

from planted_tree import PlantedTreeTest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ("docs/testing.md", "docs/reliability.md")

COMMIT = "1a2b3c4d5e6f"
FILE = f"docs/runs/bench-put-{COMMIT}.json"


def record(**changes):
    fields = {"commit": COMMIT + "00", "command": "kvctl bench", "machine": "2 cores",
              "date": "2026-01-01", "samples": [1, 2, 3],
              "figures": {"throughput": 21307.4, "p50_ms": 4.12}}
    fields.update(changes)
    return json.dumps({key: value for key, value in fields.items() if value is not None})


class CheckRunsTest(PlantedTreeTest):
    script = "check_runs"

    def plant_document(self, text, path="README.md"):
        self.plant(FILE, record())
        self.plant(path, text + "\n")

    def assert_document_violates(self, text, rule):
        self.setUp()
        self.plant_document(text)
        self.assert_violation("README.md:1:", rule)

    def assert_document_is_clean(self, text):
        self.setUp()
        self.plant_document(text)
        self.assert_clean()

    def test_figures_with_their_record(self):
        self.assert_document_is_clean(f"It takes [21,300 puts/s]({FILE}#figures.throughput).")
        self.assert_document_is_clean(f"| put | [4.1 ms]({FILE}#figures.p50_ms) |")
        self.setUp()
        self.plant_document(f"[2 runs](runs/bench-put-{COMMIT}.json#samples.1)",
                            "docs/performance.md")
        self.assert_clean()

    def test_all_pages_are_read(self):
        for page in ("README.md", "docs/performance.md", *PAGES):
            with self.subTest(page=page):
                self.setUp()
                self.plant_document("It takes 21,300 puts/s.", page)
                self.assert_violation(f"{page}:1:", "bare")

    def test_any_changed_figure_of_the_real_pages(self):
        shutil.copytree(ROOT / "docs" / "runs", os.path.join(self.root, "docs", "runs"))
        for page in PAGES:
            text = (ROOT / page).read_text(encoding="utf-8")
            figures = list(re.finditer(r"\[(\d)[^\]]*\]\(runs/", text))
            self.assertTrue(figures, page)
            changed = text
            for figure in figures:
                at = figure.start(1)
                changed = changed[:at] + str((int(text[at]) + 1) % 10) + changed[at + 1:]
            self.plant(page, text)
            self.assert_clean()
            self.plant(page, changed)
            found = self.run_check("--root", self.root).stdout
            self.assertEqual(found.count(f"{page}:"), len(figures), found)
            self.plant(page, text)

    def test_bare_figures(self):
        for text in ("It takes 21,300 puts/s.", "30000 gets/s", "| put | 4.1 ms |", "| 21 s |",
                     "| wire | 12 MB/s |", "| 256 KiB |", "| 80 % |"):
            with self.subTest(text=text):
                self.assert_document_violates(text, "bare")

    def test_what_is_no_measurement(self):
        self.assert_document_is_clean("| goal | 20,000 puts/s | <!-- figure: goal -->")
        self.assert_document_is_clean("A lease ends after 10 s; run `bench --rate 10 puts/s`.")
        self.assert_document_is_clean("```\n| 4.1 ms |\n```")
        self.assert_document_violates("| 20,000 puts/s | <!-- figure: guess -->", "bare")

    def test_figure_that_the_record_denies(self):
        self.assert_document_violates(f"[25,000 puts/s]({FILE}#figures.throughput)", "figure")

    def test_figure_without_a_path_or_a_record(self):
        self.assert_document_violates(f"[21,300 puts/s]({FILE})", "figure")
        self.assert_document_violates(f"[21,300 puts/s]({FILE}#figures.gone)", "figure")
        self.assert_document_violates("[21,300 puts/s](docs/runs/gone-1a2b3c4.json#a)", "figure")

    def test_faulty_records(self):
        for name, text in [
            (FILE, "{"), (FILE, "[]"), (FILE, record(commit="ffffffffffff")),
            (FILE, record(machine=None)), (FILE, record(command="")), (FILE, record(date=None)),
            (FILE, record(samples=None)), (FILE, record(samples=["x" * 300000])),
            ("docs/runs/bench.json", record()),
        ]:
            with self.subTest(name=name, text=text[:80]):
                self.setUp()
                self.plant(name, text)
                self.assert_violation(name, "record")

    def test_too_many_records_of_a_name(self):
        for number in range(4):
            commit = f"{number}a2b3c4d5e6f"
            self.plant(f"docs/runs/bench-put-{commit}.json", record(commit=commit))
        self.assert_violation("docs/runs", "newest")


if __name__ == "__main__":
    unittest.main()

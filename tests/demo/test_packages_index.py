"""The package index becomes rows with distinct keys, all of it; too little of it is refused."""

import json
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
from basalt_tools import packages_index, rows  # noqa: E402

TEXT = """Package: curl
Version: 1
Description: Ünïcode, "quotes" and \\ back
 slashes

Package: bash
Version: 2

Package: curl
Version: 3

Package: curl
Version: 3
Architecture: arm64
"""


class PackagesIndexTest(unittest.TestCase):
    def test_every_stanza_has_a_key_of_its_own(self):
        self.assertEqual([key for key, _ in packages_index.rows(TEXT)],
                         ["pkg:curl", "pkg:bash", "pkg:curl=3", "pkg:curl=3#2"])

    def test_file_reads_back_as_the_stanzas(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "input.jsonl"
            count, size = packages_index.write_input(path, TEXT, stanzas_min=4)
            table = rows.read_table(path)
            self.assertEqual(count, 4)
            self.assertEqual("\n\n".join(v.decode() for v in table.values()) + "\n", TEXT)
            self.assertEqual(size, sum(len(k) + len(v) for k, v in table.items()))
            self.assertEqual(set(json.loads(path.read_text().splitlines()[0])), {"key", "value"})

    def test_too_few_stanzas_say_what_to_do(self):
        with tempfile.TemporaryDirectory() as folder:
            with self.assertRaisesRegex(packages_index.TooFewPackages, "apt-get update"):
                packages_index.write_input(pathlib.Path(folder) / "input.jsonl", TEXT)

    def test_stanza_without_a_name_is_an_error(self):
        with self.assertRaisesRegex(ValueError, "without a name"):
            list(packages_index.rows("Version: 1\n"))

    def test_rows_refuse_what_is_no_row(self):
        for line in ('{"key": "a"}', "[]", "{", '{"key": 1, "value": "x"}',
                     '{"key": "a", "value_base64": "?"}'):
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder) / "rows"
                path.write_text('{"key": "a", "value": "b"}\n' + line + "\n")
                with self.assertRaisesRegex(ValueError, "rows:2"):
                    rows.read_rows(path)

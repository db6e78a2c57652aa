"""Every relative link of a document leads to a file that is there."""

import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def documents():
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "--cached", "--others",
                             "--exclude-standard", "*.md"], check=True, capture_output=True,
                            text=True)
    return [ROOT / name for name in listed.stdout.split("\n") if name and (ROOT / name).exists()]


def dead_links(path, text):
    text = re.sub(r"(?ms)^```.*?^```$", "", text)  # what is shown is not a link
    for target in LINK.findall(text):
        if not re.match(r"[a-z]+:", target) and not (path.parent / target).exists():
            yield f"{path.relative_to(ROOT)}: {target}"


class LinksTest(unittest.TestCase):
    def test_links_lead_somewhere(self):
        self.assertGreater(len(documents()), 3)
        dead = [link for path in documents() for link in dead_links(path, path.read_text())]
        self.assertEqual(dead, [])

    def test_dead_link_is_found(self):
        text = "```md\n[z](nowhere.md)\n```\n[a](README.md) [b](https://example.org/x) [c](docs/nowhere.md#part)"
        self.assertEqual(list(dead_links(ROOT / "x.md", text)), ["x.md: docs/nowhere.md"])

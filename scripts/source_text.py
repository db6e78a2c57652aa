"""What the checks of this folder share: the tree's files, and C++ text without comments."""

import os
import re

# Top folders that hold C++; everything else is docs, scripts and deployment.
SOURCE_FOLDERS = ("base", "proto", "raft", "storage", "server", "client", "check", "tests")

_TOKEN = re.compile(
    r"""(?P<comment>//(?:[^\n\\]|\\\n|\\.)*|/\*.*?\*/)
      |(?P<raw>(?:u8|[uUL])?R"(?P<delimiter>[^()\s\\]{0,16})\(.*?\)(?P=delimiter)")
      |(?P<string>"(?:\\.|[^"\\\n])*")
      |(?P<number>(?<![\w])\.?\d(?:[\w.]|'(?=\w))*)
      |(?P<char>'(?:\\.|[^'\\\n])+')""",
    re.DOTALL | re.VERBOSE,
)


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


def code_of(text, keep_strings=False):
    """`text` with comments (and, unless kept, literals) blanked; lines stay where they are."""

    def replace(match):
        if match.group("comment") is not None:
            return _blank(match.group(0))
        if match.group("number") is not None or keep_strings:
            return match.group(0)
        return '"' + _blank(match.group(0)[1:-1]) + '"'

    return _TOKEN.sub(replace, text)


def comments_of(text):
    """The opposite: only the comments, each at its place."""
    kept, end = [], 0
    for match in _TOKEN.finditer(text):
        kept.append(_blank(text[end : match.start()]))
        is_comment = match.group("comment") is not None
        kept.append(match.group(0) if is_comment else _blank(match.group(0)))
        end = match.end()
    kept.append(_blank(text[end:]))
    return "".join(kept)


_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?P<name>"[^"\n]*"|<[^>\n]*>|[^\s"<]\S*)', re.M)


def includes_of(text):
    """Yields (line number, name with its quotes or brackets)."""
    code = code_of(text, keep_strings=True)
    for match in _INCLUDE.finditer(code):
        yield code.count("\n", 0, match.start()) + 1, match.group("name")


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def files_below(root, folders=None):
    """Paths relative to `root`, sorted; build trees, caches and hidden folders left out."""
    found = []
    for folder in [""] if folders is None else folders:
        for where, names, files in os.walk(os.path.join(root, folder)):
            relative = os.path.relpath(where, root)
            names[:] = sorted(
                name
                for name in names
                if name != "__pycache__"
                and not (relative == "." and (name == "build" or name.startswith(".")))
            )
            for file in files:
                found.append(os.path.normpath(os.path.join(relative, file)))
    return sorted(found)


def cpp_files(root):
    return [path for path in files_below(root, SOURCE_FOLDERS) if path.endswith((".cc", ".h"))]

"""Fenced code blocks of a Markdown file.

usage: code_blocks.py FILE OUT    writes the only C++ block to OUT; the address that it dials comes
                                  from EXAMPLE_ENDPOINT, since another cluster may have the port
"""

import pathlib
import sys


def code_blocks(path):
    """(first line number, language, text) of each fenced block."""
    blocks = []
    opened = None
    lines = []
    for number, line in enumerate(pathlib.Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            if opened is None:
                opened, lines = (number, line[3:].strip()), []
            else:
                blocks.append((*opened, "\n".join(lines) + "\n"))
                opened = None
        elif opened is not None:
            lines.append(line)
    if opened is not None:
        raise ValueError(f"{path}:{opened[0]}: the block does not end")
    return blocks


def main(path, out):
    found = [text for _, language, text in code_blocks(path) if language == "cpp"]
    if len(found) != 1 or found[0].count('"127.0.0.1:7410"') != 1:
        return f"{path}: want one C++ block that dials 127.0.0.1:7410 once"
    text = found[0].replace('"127.0.0.1:7410"', 'std::getenv("EXAMPLE_ENDPOINT")')
    pathlib.Path(out).write_text("#include <cstdlib>\n" + text, encoding="utf-8")
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

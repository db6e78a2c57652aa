"""Tables in documents that a script prints of a record: between a line `<!-- NAME: begin -->` and a
line `<!-- NAME: end -->`."""

import json
import pathlib
import sys


def _bounds(name, text):
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"no lines for the table {name}")
    return text.index(begin) + len(begin), text.index(end)


def shown(name, text):
    """The lines of the table in a document's text."""
    begin, end = _bounds(name, text)
    return text[begin:end].splitlines()


def replaced(name, text, lines):
    """The text with these lines there."""
    begin, end = _bounds(name, text)
    return text[:begin] + "".join(f"{line}\n" for line in lines) + text[end:]


def lines_of(tables, record):
    """What `tables(figures, link)` makes of a record; the document lies in docs."""
    path = pathlib.Path(record)
    figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
    return list(tables(figures, f"runs/{path.name}"))


def show(name, tables, record, page=None):
    """Prints it, or puts it into the page; the program's exit code: 1 where the record cannot be read or
    the page has no place for it."""
    try:
        lines = lines_of(tables, record)
        if page is None:
            print(*lines, sep="\n")
            return 0
        path = pathlib.Path(page)
        path.write_text(replaced(name, path.read_text(encoding="utf-8"), lines), encoding="utf-8")
    except (OSError, ValueError, KeyError) as error:
        print(f"no table {name} of {record}: {error}", file=sys.stderr)
        return 1
    return 0

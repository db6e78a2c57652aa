"""Rows as kvctl prints them: JSON lines of a key and a value, either of which is text, or base64
where the bytes are no UTF-8."""

import base64
import json


def _bytes_of(row, name):
    if name in row:
        return row[name].encode("utf-8")
    if name + "_base64" in row:
        return base64.b64decode(row[name + "_base64"], validate=True)
    raise KeyError(f"no {name} in {sorted(row)}")


def read_rows(path):
    """(key, value) pairs in the file's order."""
    pairs = []
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
                pairs.append((_bytes_of(row, "key"), _bytes_of(row, "value")))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{path}:{number}: not a row: {error}") from error
    return pairs


def read_table(path):
    """key -> value. A key that stands there twice is an error."""
    pairs = read_rows(path)
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError(f"{path}: {len(pairs) - len(table)} keys stand there twice")
    return table

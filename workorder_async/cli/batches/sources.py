"""The tickets' numbers in what `--from` names: one of four kinds of text, told by its first line.

    {"id": 1473, ...}          JSON, as `list --json` and `export` write it: objects with an id, or numbers, one after
    [1473, 1474]               the other or in arrays, also spread over lines, as jq does it
    id      title              TSV, as `list` writes it: the column headed id, or the first one without a header
    title,id                   CSV, likewise, with or without a byte order mark
    1473  # a remark           a number on each line; what follows a # is a remark

Nothing is guessed: a line that holds no number ends it with an error.
"""

import csv
import json
import re
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Final

from workorder_async.errors import ConfigError

ID_MAX: Final = 2**63 - 1

_BLANK: Final = re.compile(r"\s*")
# A cell may hold a ticket's whole text; the usual limit is 128 KiB.
_LONGEST_CELL: Final = 2**31 - 1


def numbers_from(source: str) -> list[int]:
    """Read numbers from a file or, for "-", from stdin, each once. Raises `ConfigError` that names the line."""
    name = "stdin" if source == "-" else repr(source)
    try:
        text = (sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()).decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"--from: cannot read {name}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"--from: {name} is not UTF-8 (byte {error.start}); convert it, as with iconv") from None
    first = _first_line(text).partition("#")[0].strip()
    has_cells = first.lower() == "id" or any(mark in first for mark in '\t,"')
    read = _in_json if first[:1] in ("{", "[") else _in_cells if has_cells else _on_lines
    once: dict[int, None] = {}
    for line, found in read(name, text):
        once[_number(name, line, found)] = None
    return list(once)


def _number(name: str, line: int, found: object) -> int:
    """Return a ticket's number. Raises `ConfigError` for anything else."""
    # int() also takes "1_000" and "+1", and refuses a number of thousands of digits in its own way.
    if isinstance(found, str) and found.isascii() and found.isdecimal() and len(found) <= 19:
        found = int(found)
    if isinstance(found, int) and not isinstance(found, bool) and 1 <= found <= ID_MAX:
        return found
    raise _refused(name, line, f"is {str(found)[:40]!r}; it must be a ticket's number, from 1")


def _refused(name: str, line: int, why: str) -> ConfigError:
    return ConfigError(f"--from: line {line} of {name} {why}")


def _in_json(name: str, text: str) -> Iterator[tuple[int, object]]:
    """Yield the id of each value, and the line that it begins on."""
    decoder = json.JSONDecoder()
    line, at = 1, 0
    while (begin := _BLANK.match(text, at).end()) < len(text):  # type: ignore[union-attr]  # it matches anywhere
        line += text.count("\n", at, begin)
        try:
            value, at = decoder.raw_decode(text, begin)
        except (ValueError, RecursionError) as error:
            where = error.lineno if isinstance(error, json.JSONDecodeError) else line
            raise _refused(name, where, "is no JSON, and the file begins as JSON") from None
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict) and "id" not in one:
                raise _refused(name, line, 'is an object without "id"')
            yield line, one["id"] if isinstance(one, dict) else one
        line += text.count("\n", begin, at)


def _on_lines(name: str, text: str) -> Iterator[tuple[int, str]]:
    """Yield the word on each line, and its number."""
    for number, line in enumerate(StringIO(text, newline=None), 1):
        if word := line.partition("#")[0].strip():
            yield number, word


def _in_cells(name: str, text: str) -> Iterator[tuple[int, str]]:
    """Yield the cell with the number in each row, and the line that it begins on."""
    is_tsv = "\t" in _first_line(text)
    csv.field_size_limit(_LONGEST_CELL)
    lines = StringIO(text, newline="")
    # `list` writes no quotes around its cells.
    rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE) if is_tsv else csv.reader(lines, strict=True)
    column, line = -1, 1
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            begin, line = line, rows.line_num + 1
            if column >= 0 and any(cells):
                yield begin, cells[column] if column < len(cells) else ""
            elif any(cells) and not cells[0].startswith("#"):
                column = next((at for at, cell in enumerate(cells) if cell.lower() == "id"), -1)
                if column < 0:
                    if len(cells) > 1 and all(cell.isdecimal() for cell in cells):
                        raise _refused(name, begin, "holds several numbers; write one on each line, or a header: id")
                    column = 0
                    yield begin, cells[0]
    except csv.Error as error:
        raise _refused(name, line, f"is no CSV: {error}") from None


def _first_line(text: str) -> str:
    """Return the first line that is neither blank nor a remark; "" where there is none."""
    return next((line for line in StringIO(text, newline=None) if not re.match(r"\s*(#|$)", line)), "")

"""JSON Lines: one object a line, with the names of the columns, or as the server wrote it."""

import re
from collections.abc import Callable, Sequence
from typing import Final, cast

from workorder_async.document import JSON
from workorder_async.document.json_text import LINE_FEED, READ_LINE, Unread, dumps, to_json
from workorder_async.exports.columns import Columns, Value
from workorder_async.exports.sink import INT64, Record, Sink, TextChanges, storable

# DEL, the controls above it, and the characters that turn the direction of writing; JSON escapes the others itself.
_OBEYED: Final = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]")
# A float from 1e16 on, as it is written, and the part of it that is quickly found to be missing.
_LARGE: Final = re.compile(rb"[0-9]e\+?[0-9]")
_EXPONENT: Final = dumps(1e30)[1:-2]


class JsonLines(Sink):
    """Rows of a model as lines of JSON, every one valid UTF-8 and on its own."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def encode(self, rows: Sequence[Record]) -> bytes:
        """Return a line for each row."""
        lines, fill = bytearray(), self._columns.fill
        cells: dict[str, Value] = {}  # of every row in turn
        for row in rows:
            # Added one by one: a list of them keeps so much memory that giving it back takes as long as the writing.
            fill(row, cells)
            try:
                lines += dumps(cells, option=LINE_FEED)
            except TypeError:  # half a surrogate pair
                made, changes = storable(cells.values())
                self.changes: TextChanges = self.changes + changes
                lines += dumps(dict(zip(cells, made, strict=True)), option=LINE_FEED)
        return bytes(lines)


class RawLines(Sink):
    """The server's objects as lines of JSON, with the fields that no model knows.

    A number of more than 64 bits has become a float when the answer was parsed, and a value that is no JSON a text;
    both are counted. Not counted are a number with a fraction or an exponent, which is the nearest float, and a field's
    name with broken bytes, which has half surrogate pairs for them.
    """

    def encode(self, rows: Sequence[Record]) -> bytes:
        """Return a line for each row."""
        lines = bytearray()
        for row in rows:
            try:
                line = dumps(row, option=READ_LINE)
            except TypeError:
                line = to_json(cast("JSON", row)) + b"\n"
                self.changes: TextChanges = self.changes + TextChanges(
                    broken=_count(row, lambda value: isinstance(value, Unread))
                )
            if _EXPONENT in line and _LARGE.search(line):
                self.changes += TextChanges(
                    rounded=_count(row, lambda value: isinstance(value, float) and abs(value) >= INT64.stop)
                )
            lines += line
        return bytes(lines)


def _count(value: object, is_odd: Callable[[object], bool]) -> int:
    """Return how many odd values are in a JSON value."""
    if isinstance(value, dict | list):
        return sum(_count(part, is_odd) for part in (value.values() if isinstance(value, dict) else value))
    return is_odd(value)


class Escaped(Sink):
    """Lines of JSON that a terminal may show: an escape of JSON stands for each character that it would obey.

    An escape is no change of the text.
    """

    def __init__(self, lines: JsonLines | RawLines) -> None:
        self._lines = lines

    def encode(self, rows: Sequence[Record]) -> bytes:
        """Return a line for each row."""
        content = _OBEYED.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), self._lines.encode(rows))
        self.changes: TextChanges = self._lines.changes
        return content

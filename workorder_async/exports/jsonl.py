"""JSON Lines: one object a line, with the names of the columns, or as the server wrote it."""

import re
from collections.abc import Sequence
from typing import Final, cast

from workorder_async.document import JSON
from workorder_async.document.json_text import LINE_FEED, dumps, to_json
from workorder_async.exports.columns import Columns, Value
from workorder_async.exports.sink import Record, Sink
from workorder_async.exports.texts import TextChanges, without_large_numbers, without_surrogates

# DEL, the controls above it, and the characters that turn the direction of writing; JSON escapes the others itself.
_OBEYED: Final = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]")


class JsonLines:
    """Rows of a model as lines of JSON, every one valid UTF-8 and on its own.

    `staged` is for lines that are converted later: a number that would be read back as a float, since it has more than
    64 bits, is left empty.
    """

    def __init__(self, columns: Columns, *, staged: bool = False) -> None:
        self.changes: TextChanges = TextChanges()
        self._staged = staged
        self._columns = columns

    def begin(self) -> bytes:
        """Return nothing."""
        return b""

    def encode(self, rows: Sequence[Record]) -> bytes:
        """Return a line for each row."""
        lines, fill = bytearray(), self._columns.fill
        cells: dict[str, Value] = {}  # of every row in turn
        for row in rows:
            # Added one by one: a list of them keeps so much memory that giving it back takes as long as the writing.
            fill(row, cells)
            try:
                lines += dumps(cells, option=LINE_FEED)
            except TypeError:  # half a surrogate pair, or a number of more than 64 bits
                lines += self._odd_line(cells)
        return bytes(lines)

    def _odd_line(self, row: dict[str, Value]) -> bytes:
        cells, changes = without_surrogates(row.values())
        self.changes += changes
        if self._staged:
            cells, changes = without_large_numbers(cells)
            self.changes += changes
        return to_json(cast("JSON", dict(zip(row, cells, strict=True)))) + b"\n"

    def end_part(self) -> bytes:
        """Return nothing: a line ends by itself."""
        return b""


class RawLines:
    """The server's objects as lines of JSON, fields that no model knows included."""

    def __init__(self) -> None:
        self.changes: TextChanges = TextChanges()

    def begin(self) -> bytes:
        """Return nothing."""
        return b""

    def encode(self, rows: Sequence[Record]) -> bytes:
        """Return a line for each row."""
        lines = bytearray()
        for row in rows:
            lines += to_json(cast("JSON", row)) + b"\n"
        return bytes(lines)

    def end_part(self) -> bytes:
        """Return nothing: a line ends by itself."""
        return b""


class Escaped:
    """Lines of JSON that a terminal may show: an escape of JSON stands for each character that it would obey."""

    def __init__(self, lines: Sink) -> None:
        self._lines = lines

    @property
    def changes(self) -> TextChanges:
        """What was changed in the rows; an escape is no change."""
        return self._lines.changes

    def begin(self) -> bytes:
        """Return nothing."""
        return self._lines.begin()

    def encode(self, rows: Sequence[Record]) -> bytes:
        """Return a line for each row."""
        return _OBEYED.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), self._lines.encode(rows))

    def end_part(self) -> bytes:
        """Return nothing: a line ends by itself."""
        return self._lines.end_part()

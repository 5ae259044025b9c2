"""The formats of lines: JSON Lines, CSV, and both compressed; none needs a conversion.

JSON Lines have one object a line, with the names of the columns, or as the server wrote it. CSV is as RFC 4180 has it:
a line of names, then one record a ticket, in UTF-8; true and false, and nothing for none.
"""

import re
import sys
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Sequence
from csv import writer
from functools import cache, partial
from io import StringIO
from typing import Any, Final, cast
from unicodedata import category

from workorder_async.document import JSON
from workorder_async.document.json_text import LINE_FEED, READ_LINE, Unread, dumps, to_json
from workorder_async.exports.columns import Columns, Value
from workorder_async.exports.sink import INT64, Record, Sink, TextChanges, storable
from workorder_async.extras import extra_module

# DEL, the controls above it, and the characters that turn the direction of writing; JSON escapes the others itself.
_OBEYED: Final = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]")
# A float from 1e16 on, as it is written, and the part of it that is quickly found to be missing.
_LARGE: Final = re.compile(rb"[0-9]e\+?[0-9]")
_EXPONENT: Final = dumps(1e30)[1:-2]
# Beside letters, digits, opening brackets and quotes, pictures, and half a pair, which becomes U+FFFD.
_PLAIN: Final = "\"'#*_<./\\!?！？…"
_PLAIN_KINDS: Final = ("L", "N", "Ps", "Pi", "So", "Cs")


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


class CsvLines(Sink):
    """Rows of a model as records of CSV.

    `bom` puts a byte order mark in front, without which Excel on Chinese Windows reads GBK. `defuse` puts an apostrophe
    in front of texts that a spreadsheet might take for formulas: those whose first character is not known to be plain.
    """

    def __init__(self, columns: Columns, *, bom: bool = True, defuse: bool = True) -> None:
        self._columns = columns
        self._bom = bom
        kinds = [column.arrow for column in columns.columns]
        self._defuse = [place for place, kind in enumerate(kinds) if defuse and kind == "string"]
        self._booleans = [place for place, kind in enumerate(kinds) if kind == "bool"]

    def begin(self) -> bytes:
        """Return the byte order mark and the line of names."""
        return (BOM_UTF8 if self._bom else b"") + _records([self._columns.names])

    def encode(self, rows: Sequence[Record]) -> bytes:
        """Return a record for each row."""
        records = [self._cells(self._columns.read(row)) for row in rows]
        try:
            return _records(records)
        except UnicodeEncodeError:
            made = list(map(storable, records))
            self.changes: TextChanges = sum((changes for _, changes in made), self.changes)
            return _records([cells for cells, _ in made])

    def _cells(self, cells: tuple[Value, ...]) -> list[Value]:
        made = list(cells)
        for place in self._booleans:
            made[place] = "true" if made[place] else "false"
        for place in self._defuse:
            text = made[place]
            if text and not _is_plain(str(text)[0]):
                made[place] = f"'{text}"
                self.changes += TextChanges(defused=1)
        return made


@cache
def _is_plain(first: str) -> bool:
    """Tell whether no spreadsheet takes a text that begins so for a formula."""
    return first in _PLAIN or category(first).startswith(_PLAIN_KINDS)


def _records(rows: Iterable[Sequence[Value]]) -> bytes:
    text = StringIO()
    writer(text).writerows(rows)
    return text.getvalue().encode()


class Compressed(Sink):
    """A sink of lines whose bytes are compressed; `kind` is gz or zst.

    The bytes in front, and every part, are one gzip member or zstd frame of their own. One after the other, they are
    one gzip or zstd file. The same rows give the same bytes: no time is written.
    """

    def __init__(self, lines: Sink, kind: str) -> None:
        self._lines = lines
        # It makes an object of zlib or of zstd. Level 6 of gzip saves a quarter, and takes up to six times as long.
        self._new_member: Callable[[], Any] = partial(zlib.compressobj, 1, wbits=16 + zlib.MAX_WBITS)
        if kind == "zst":
            zstd = zstd_module()
            self._new_member = partial(zstd.ZstdCompressor, options={zstd.CompressionParameter.checksum_flag: 1})
        self._member: Any = None

    def begin(self) -> bytes:
        """Return a member with the bytes in front of the lines, even if there are none: an empty file is no gzip."""
        return self._compress(self._lines.begin()) + self.end_part()

    def encode(self, rows: Sequence[Record]) -> bytes:
        """Return the bytes that have been compressed by now; the rest comes later."""
        content = self._compress(self._lines.encode(rows))
        self.changes: TextChanges = self._lines.changes
        return content

    def end_part(self) -> bytes:
        """Return the rest of the part's member; a part without a page has none."""
        member, self._member = self._member, None
        return b"" if member is None else member.flush()

    def _compress(self, content: bytes) -> bytes:
        if self._member is None:
            self._member = self._new_member()
        compressed: bytes = self._member.compress(content)
        return compressed


def zstd_module() -> Any:
    """Return the standard library's zstd, before Python 3.14 that of the extra `zst`."""
    return extra_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd", "zst")

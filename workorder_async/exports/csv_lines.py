"""CSV as RFC 4180 has it: a line of names, then one record a ticket, in UTF-8; true and false, and nothing for none."""

from codecs import BOM_UTF8
from collections.abc import Iterable, Sequence
from csv import writer
from functools import cache
from io import StringIO
from typing import Final
from unicodedata import category

from workorder_async.exports.columns import Columns, Value
from workorder_async.exports.sink import Record, Sink, TextChanges, storable

# Beside letters, digits, opening brackets and quotes, pictures, and half a pair, which becomes U+FFFD.
_PLAIN: Final = "\"'#*_<./\\!?！？…"
_PLAIN_KINDS: Final = ("L", "N", "Ps", "Pi", "So", "Cs")


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

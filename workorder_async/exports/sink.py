"""The seam of formats: rows go into a sink, bytes come out, and cells that a format cannot hold are changed.

    the value that came                         jsonl   csv       parquet  sqlite   xlsx
    half a surrogate pair                       becomes U+FFFD in all of them           counted as replaced
    a text that may begin like a formula        stays   ' first   stays    stays    stays     counted as defused
    a text of more than 32,767 UTF-16 units     stays   stays     stays    stays    cut       counted as cut

Everything else stays as it came: NUL and other control characters, line feeds, right-to-left marks, texts of megabytes.
XLSX has numbers of more than 15 digits as texts, since Excel would round them. Raw lines keep half a surrogate pair as
the escape that JSON has for it. A row is refused if a column shows a number of more than 64 bits, or a value that is no
JSON (a raw control character, broken bytes, NaN); raw lines keep both, and count them.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import add, ne
from typing import Final, Protocol, TypeAlias

from attrs import astuple, frozen

from workorder_async.document import TicketDetail, TicketSummary
from workorder_async.document.codec import Row
from workorder_async.document.json_text import SURROGATE
from workorder_async.exports.columns import Value

Record: TypeAlias = TicketSummary | TicketDetail | Row
"""A row of an export: of the model that the export is of, or in a raw export the server's object as it came."""

#: The whole numbers of 64 bits.
INT64: Final = range(-(2**63), 2**63)


@frozen
class TextChanges:
    """How many cells are not as they came, by the kind of change."""

    replaced: int = 0
    """Half a surrogate pair, which no UTF-8 has, became U+FFFD."""
    defused: int = 0
    """A text that a spreadsheet might take for a formula got an apostrophe in front."""
    cut: int = 0
    """A text was longer than a cell of Excel may be, and its end was cut off."""
    rounded: int = 0
    """A number of a raw line had more than 64 bits, and became the nearest one that a float can hold. Fractions and
    exponents below that are floats, too, and are not counted."""
    broken: int = 0
    """A value of a raw line was no JSON, as a text with broken bytes is, and was kept as a text."""

    def __add__(self, other: "TextChanges") -> "TextChanges":
        return TextChanges(*map(add, astuple(self), astuple(other)))

    def __bool__(self) -> bool:
        return self != TextChanges()


UNCHANGED: Final = TextChanges()


def storable(cells: Iterable[Value]) -> tuple[tuple[Value, ...], TextChanges]:
    """Return cells whose texts have UTF-8 bytes, and the changes that this took."""
    came = tuple(cells)
    made = tuple(SURROGATE.sub("\ufffd", cell) if isinstance(cell, str) else cell for cell in came)
    return made, TextChanges(replaced=sum(map(ne, made, came)))


class Sink(Protocol):
    """Makes the bytes of a file that can be cut after every part. One thread uses it at a time.

    The writer appends the bytes of `begin` to an empty file. For each part it appends the bytes of `encode` for each
    page, then those of `end_part`, and makes them durable. Another sink can go on after the end of a part; its `begin`
    is not called.
    """

    changes: TextChanges = UNCHANGED
    """The changes in the rows whose bytes this sink has returned: in all rows, once their part is ended."""

    def begin(self) -> bytes:
        """Return the bytes in front of all parts. They are complete by themselves."""
        return b""

    def encode(self, rows: Sequence[Record]) -> bytes:
        """Return the bytes of a page of rows; some of them may come with the next page, or at the end of the part."""
        ...

    def end_part(self) -> bytes:
        """Return the end of a part. The next part can be read, or cut off, without the parts before it."""
        return b""


# Formats that cannot be cut after a part are staged in another file, and converted once all rows are there. A
# conversion reads only the staged file, so it can be repeated whenever it was cut short.

Told: TypeAlias = Callable[[int], None]
"""Is told how many rows are converted by now; an exception that it raises ends the conversion, and is passed on."""

"""What is done to texts that a format cannot hold as they are, and how often it was done.

    what came                                   jsonl   csv       parquet  sqlite   xlsx
    half a surrogate pair                       becomes U+FFFD in all of them           counted as replaced
    a number of more than 64 bits               stays   stays     empty    empty    empty     counted as blanked
    a text that begins like a formula           stays   ' first   stays    stays    stays     counted as defused
    a text of more than 32,767 UTF-16 units     stays   stays     stays    stays    cut       counted as cut

Everything else stays as it came: NUL and other control characters, line feeds, right-to-left marks, texts of megabytes.
XLSX has numbers of more than 15 digits as texts, since Excel would round them. Raw lines keep half a surrogate pair as
the escape that JSON has for it.
"""

import re
from collections.abc import Iterable
from typing import Final

from attrs import frozen

from workorder_async.exports.columns import Value

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
#: What a whole number of 64 bits can be.
INT64: Final = range(-(2**63), 2**63)


@frozen
class TextChanges:
    """How many cells are not as they came, by what was done to them."""

    replaced: int = 0
    """Half a surrogate pair, which no UTF-8 has, became U+FFFD."""
    defused: int = 0
    """A text that a spreadsheet would take for a formula got an apostrophe in front."""
    cut: int = 0
    """A text was longer than a cell of Excel may be, and its end was cut off."""
    blanked: int = 0
    """A number had more than 64 bits, and its cell was left empty."""

    def __add__(self, other: "TextChanges") -> "TextChanges":
        return TextChanges(
            self.replaced + other.replaced,
            self.defused + other.defused,
            self.cut + other.cut,
            self.blanked + other.blanked,
        )

    def __bool__(self) -> bool:
        return self != TextChanges()


UNCHANGED: Final = TextChanges()


def without_surrogates(cells: Iterable[Value]) -> tuple[tuple[Value, ...], TextChanges]:
    """Return a row whose texts have UTF-8 bytes, and how many cells were changed for it."""
    made: list[Value] = []
    replaced = 0
    for cell in cells:
        if isinstance(cell, str) and _SURROGATE.search(cell):
            made.append(_SURROGATE.sub("\ufffd", cell))
            replaced += 1
        else:
            made.append(cell)
    return tuple(made), TextChanges(replaced=replaced)


def without_large_numbers(cells: Iterable[Value]) -> tuple[tuple[Value, ...], TextChanges]:
    """Return a row whose numbers have at most 64 bits, and how many cells were changed for it."""
    made: list[Value] = []
    blanked = 0
    for cell in cells:
        if isinstance(cell, int) and cell not in INT64:
            made.append(None)
            blanked += 1
        else:
            made.append(cell)
    return tuple(made), TextChanges(blanked=blanked)

"""The tickets' numbers in a file that a user names by --from.

The format of a --from file is told by its beginning:

    {"id": 1473, ...}          JSON, as `list --json` and `export` write it: objects with an id, or numbers, one after
    [1473, 1474]               the other or in arrays, also spread over lines, as jq does it
    id      title              TSV, as `list` writes it, CSV, or a workbook (.xlsx); its first row names the columns,
    标题,工单ID                 and one of these names is that of the column with the numbers (`_ID_NAMES`)
    1473  # a remark           a number on each line; a # begins a remark

The text is UTF-8, GBK as Excel in China writes it, or UTF-16 with a byte order mark. Nothing else is guessed, because a
number from the wrong cell would change a wrong ticket. These are errors: a table whose first row is no row of names, a
row with more cells than names, a line without a number, a row of TSV that goes over several lines, a row with fewer
cells than names where the file may be cut short, a row of totals, hidden rows, and rows in several sheets.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO, StringIO
from typing import Final, TypeAlias

from workorder_async.cli.values import content_of, decoded
from workorder_async.errors import ConfigError
from workorder_async.extras import extra_module

_BLANK: Final = re.compile(r"\s*")
_ID_NAMES: Final = ("id", "ticketid", "工单id", "工单编号", "工单号")
# The name of a row of totals, as a whole cell: 合计, Total:, Count (all). Such a row is refused: its sum in the column
# of numbers would be taken for a ticket.
_TOTAL: Final = (
    r"(合\s*计|总\s*计|小\s*计|共\s*计|汇\s*总|总?计数|总数|(grand |sub-?)?totals?|(grand )?count|sum)"
    r"\s*([:：]|[(（][^()（）]*[)）])?"
)
_TOTALS: Final = re.compile(_TOTAL, re.IGNORECASE)
# A subtotal of Excel: "GROUP Total" in one cell, a sum in another, and all others empty. A ticket's title may end
# with such a word, so this pattern is used only for rows with at most two filled cells, and more columns.
_SUBTOTALS: Final = re.compile(rf"(.*\s)?{_TOTAL}", re.IGNORECASE)
# Formulas of a row of totals.
_TOTAL_FORMULA: Final = re.compile(r"=\s*(SUM|SUBTOTAL|AGGREGATE|COUNT|MAX|MIN)", re.IGNORECASE)
# A number or a time: a first row with such a cell is a row of values, and not of column names.
_VALUE: Final = re.compile(r"[-+.,:/\d\sTZ]*\d[-+.,:/\d\sTZ]*")
# First bytes of files that are not text: gzip, Zstandard, Parquet, SQLite, and old (.xls) or encrypted files of Excel.
_BINARY: Final = (b"\x1f\x8b", b"(\xb5/\xfd", b"PAR1", b"SQLite format 3\0", b"\xd0\xcf\x11\xe0")
_SEPARATED: Final = "put quotes around each cell with a comma, a tab, a quote or a line feed, or use JSON"

_Found: TypeAlias = Iterator[tuple[str, object]]
"""The values that should be ticket numbers, not yet checked (`_number` does that), each after its place in the file."""


def numbers_from(source: str) -> list[int]:
    """Read numbers from a file or, for "-", from stdin, each once. Raises `ConfigError` that names the line."""
    name = "stdin" if source == "-" else repr(source)
    content = content_of("--from", source)
    if content.startswith(b"PK\x03\x04"):
        found = _in_workbook(name, content)
    elif content.startswith(_BINARY):
        mend = "give an export as .csv, .jsonl or .xlsx, or the JSON of `workorder list`"
        raise ConfigError("is packed, or a database, and no text", argument=f"--from: {name}", mend=mend)
    else:
        # Excel in China writes CSV in GBK. No digit, comma, tab or line feed is a byte of a longer character in GBK, so
        # even a wrong guess of the encoding does not change numbers and cells.
        found = _in_text(name, decoded("--from", source, content, or_gbk=True))
    return list(dict.fromkeys(_number(name, line, one) for line, one in found))


def _in_text(name: str, text: str) -> _Found:
    """Return the values in a text; its first line that is no remark tells its format."""
    if "\0" in text:
        problem = "has bytes that are 0: it is UTF-16 without its mark, or no text"
        raise ConfigError(problem, argument=f"--from: {name}", mend="save it as UTF-8")
    begin = next((line for line in _lines(text) if not re.match(r"\s*(#|$)", line)), "")
    first = begin.partition("#")[0].strip()
    if first[:1] in ("{", "["):
        return _in_json(name, text)
    if not first or first.isdecimal():
        words = ((at, line.partition("#")[0].strip()) for at, line in enumerate(_lines(text), 1))
        return ((f"line {at}", word) for at, word in words if word)
    is_tsv = "\t" in begin
    # A file without a line end may be cut short, even within the last number. So all its rows must have a cell for each
    # name. With a line end a shorter row is good: Excel leaves empty cells at the end out.
    return _in_column(name, _rows(name, text, is_tsv=is_tsv), is_even=is_tsv or not text.endswith(("\n", "\r")))


def _number(name: str, line: str, found: object) -> int:
    # int() also takes "1_000" and "+1", and refuses a number of thousands of digits in its own way.
    if isinstance(found, str) and found.isascii() and found.isdecimal() and len(found) <= 19:
        found = int(found)
    if isinstance(found, int) and not isinstance(found, bool) and 1 <= found < 2**63:
        return found
    raise _refused(name, line, f"is {str(found)[:40]!r}", "it must be a ticket's number, from 1")


def _refused(name: str, line: str, why: str, mend: str = "") -> ConfigError:
    return ConfigError(why, argument=f"--from: {line} of {name}", mend=mend)


def _in_json(name: str, text: str) -> _Found:
    """Yield the id of each JSON value or item of an array, with the line that the value begins on."""
    decoder = json.JSONDecoder()
    line, at = 1, 0
    while (begin := _BLANK.match(text, at).end()) < len(text):  # type: ignore[union-attr]  # it matches anywhere
        line += text.count("\n", at, begin)
        try:
            value, at = decoder.raw_decode(text, begin)
        except (ValueError, RecursionError) as error:
            where = error.lineno if isinstance(error, json.JSONDecodeError) else line
            raise _refused(name, f"line {where}", "is no JSON, and the file begins as JSON") from None
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict) and "id" not in one:
                raise _refused(name, f"line {line}", 'is an object without "id"')
            yield f"line {line}", one["id"] if isinstance(one, dict) else one
        line += text.count("\n", begin, at)


def _rows(name: str, text: str, *, is_tsv: bool) -> Iterator[tuple[str, list[str]]]:
    """Yield each row of a CSV or TSV, and the line that it begins on.

    Some programs put cells of TSV in quotes, others write a quote as a plain character. The csv module takes each for
    the first kind: a plain quote then joins lines, or joins cells. So a TSV row over several lines is refused here, and
    a row with fewer cells than names in `_in_column`. All other rows have the same number in both readings.
    """
    csv.field_size_limit(2**31 - 1)  # a cell may hold a ticket's whole text; the usual limit is 128 KiB
    rows = csv.reader(_lines(text), delimiter="\t" if is_tsv else ",", strict=not is_tsv)
    line = 1
    try:
        for row in rows:
            if is_tsv and rows.line_num > line:
                raise _refused(name, f"line {line}", "may be a row, or begin a cell in quotes", "use CSV or JSON")
            yield f"line {line}", row
            line = rows.line_num + 1
    except csv.Error as error:
        raise _refused(name, f"line {line}", f"is no {'TSV' if is_tsv else 'CSV'}: {error}", _SEPARATED) from None


def _in_workbook(name: str, content: bytes) -> _Found:
    """Yield the value in the id column of each row of each sheet, with the place of the row."""
    load = extra_module("openpyxl", "xlsx").load_workbook
    try:
        book = values = load(BytesIO(content))
        # openpyxl gives formulas or their results. The second reading is for the results; a formula without one, as no
        # program has computed it, is taken as its text.
        if any(cell.data_type == "f" for sheet in book.worksheets for cell in sheet._cells.values()):
            values = load(BytesIO(content), data_only=True)
    except Exception as error:  # noqa: BLE001 - openpyxl raises any of them for a damaged file
        raise ConfigError(f"{name} is no workbook that can be read: {error}", argument="--from:") from None
    if not book.worksheets:
        mend = "save it as Excel Workbook (.xlsx), not as Strict Open XML, or as CSV"
        raise ConfigError(f"{name} has no sheet that can be read", argument="--from:", mend=mend)
    filled = [sheet.title for sheet in book.worksheets if any(cell.value is not None for cell in sheet._cells.values())]
    # An export of more rows than a sheet may have goes on in "tickets 2".
    if apart := [title for title in filled[1:] if not re.fullmatch(rf"{re.escape(filled[0])} \d+", title)]:
        problem = f"{name} has rows in the sheets {filled[0]!r} and {apart[0]!r}"
        raise ConfigError(problem, argument="--from:", mend="copy the one that is meant to a file of its own")
    for sheet in book.worksheets:
        hidden = [number for number, row in sheet.row_dimensions.items() if row.hidden]
        if hidden or sheet.sheet_state != "visible":
            # A filter of Excel hides rows: a user who filtered the sheet does not mean the hidden tickets.
            where = f"row {hidden[0]} of sheet {sheet.title!r}" if hidden else f"sheet {sheet.title!r}"
            raise _refused(name, where, "is hidden", "show it, or copy the rows that are meant to another file")
        rows: dict[int, dict[int, object]] = {}
        # `iter_rows` would make each cell up to the last formatted one: billions, where somebody formatted far below.
        for (row, column), cell in sheet._cells.items():
            if cell.value is not None:
                found = values[sheet.title]._cells[row, column].value
                is_total = cell.data_type == "f" and _TOTAL_FORMULA.match(str(cell.value))
                # The text of a formula is no ticket's number: `_number` refuses it.
                rows.setdefault(row, {})[column] = cell.value if found is None or is_total else found
        whole = ((row, [cells.get(at) for at in range(1, max(cells) + 1)]) for row, cells in sorted(rows.items()))
        yield from _in_column(name, ((f"row {row} of sheet {sheet.title!r}", cells) for row, cells in whole))


def _in_column(name: str, rows: Iterable[tuple[str, Sequence[object]]], *, is_even: bool = False) -> _Found:
    """Yield the cell with the ticket's number in each row. The first row, after remarks, must name the columns.

    A row with more cells than names is refused: one cell was split in two (a comma without quotes), so the number may
    have moved to another column. With `is_even` a row with fewer cells is refused, too.
    """
    column, width = -1, 0
    for where, row in rows:
        cells = [cell.strip() if isinstance(cell, str) else "" if cell is None else cell for cell in row]
        if column >= 0 and any(cells):
            if len(cells) > width or (is_even and len(cells) < width):
                mend = _SEPARATED if len(cells) > width else f"write it anew if it was cut short, else {_SEPARATED}"
                raise _refused(name, where, f"has {len(cells)} cells, and {width} are named", mend)
            cell = cells[column] if column < len(cells) else ""
            named = _SUBTOTALS if sum(one != "" for one in cells) <= 2 < width else _TOTALS
            if total := next((one for one in cells if isinstance(one, str) and named.fullmatch(one)), ""):
                raise _refused(name, where, f"looks like a row of totals: {total!r}", "take it out, or use JSON")
            # Excel keeps numbers as floats; a whole number below 2**53 is exact.
            yield where, int(cell) if isinstance(cell, float) and cell.is_integer() and cell < 2**53 else cell
        elif any(cells) and not str(cells[0]).startswith("#"):
            places = [at for at, cell in enumerate(cells) if re.sub(r"[\s_-]", "", str(cell)).lower() in _ID_NAMES]
            if len(places) > 1:
                twice = " and ".join(repr(cells[at]) for at in places)
                raise _refused(name, where, f"names the column twice: {twice}", "take one of them out")
            # A cell that is "id" is not enough: in a row of values a ticket's title may be "id".
            if not places or not all(isinstance(cell, str) and not _VALUE.fullmatch(cell) for cell in cells):
                mend = "begin with the columns' names, one of them id, or write the numbers alone, one on each line"
                raise _refused(name, where, "does not name the column with the tickets' numbers", mend)
            [column], width = places, len(cells)


def _lines(text: str) -> StringIO:
    """Return the lines of a text. If the text has a line feed, a carriage return alone is part of a line."""
    return StringIO(text, newline="\n" if "\n" in text else "")

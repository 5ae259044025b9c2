"""XLSX, by XlsxWriter: one sheet "tickets", and further ones if there are more rows than a sheet may have.

Texts are texts: none is taken for a formula, a link or a number. Rows go to files on disk as they are written.
"""

import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from workorder_async.document.json_text import loads
from workorder_async.durable import written_through
from workorder_async.errors import ExportError
from workorder_async.exports.columns import Columns, Value
from workorder_async.exports.sink import TextChanges, Told
from workorder_async.extras import extra_module

#: So many rows a sheet of Excel may have, the line of names included.
SHEET_ROWS = 1_048_576
#: Excel keeps fifteen digits of a number.
_DIGITS_END = 10**15
# XlsxWriter returns this for a text that it had to cut.
_WAS_CUT = -2
# Characters that XML does not allow, and the first one of a text that reads as an escape, or would beside one.
_CONTROL = r"[\x00-\x08\x0b-\x1f\ufffe\uffff]"
_ESCAPED = re.compile(rf"{_CONTROL}|_(?=x[0-9a-fA-F]{{4}}(?:_|{_CONTROL}))")


def to_xlsx(staged: Path, target: Path, columns: Columns, on_progress: Told) -> TextChanges:
    """Convert staged rows to a workbook, and return its changes; its parts are in a folder beside it meanwhile."""
    with staged.open("rb") as lines, written_through(target) as file, _workbook(file, parts_of(target)) as workbook:
        sheets = _Sheets(workbook, columns)
        for line in lines:
            sheets.add(loads(line).values())
            on_progress(sheets.rows)
    return TextChanges(cut=sheets.cut)


def parts_of(target: Path) -> Path:
    """Return the folder that a workbook's parts are in while it is written."""
    return target.with_name(f"{target.name}.parts")


@contextmanager
def _workbook(file: BinaryIO, folder: Path) -> Iterator[Any]:
    """Make a workbook whose parts are in a folder of its own, so that a killed process leaves nothing elsewhere."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    options = {"constant_memory": True, "tmpdir": str(folder), "use_zip64": True}
    output = _Output(file)
    workbook = extra_module("xlsxwriter", "xlsx").Workbook(output, options)
    try:
        yield workbook
        workbook.close()
    except BaseException as error:
        output.is_given_up = True
        for sheet in workbook.worksheets():
            with suppress(OSError):
                sheet.row_data_fh.close()
        # XlsxWriter raises errors of its own around those of the disk.
        if error.args and isinstance(error.args[0], OSError):
            raise error.args[0] from None
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Output:
    """The file that a workbook goes to, until it is given up: an archive writes its end even when it is thrown away."""

    def __init__(self, file: BinaryIO) -> None:
        self.is_given_up = False
        self._file = file

    def __getattr__(self, name: str) -> Any:
        # A place in the file behind everything that was written.
        return (lambda *_: 2**62) if self.is_given_up else getattr(self._file, name)


def _escaped(data: object) -> object:
    """Escape a text as Excel does. XlsxWriter leaves one such as _x0041_x0042_ half escaped."""
    return _ESCAPED.sub(lambda found: f"_x{ord(found[0]):04X}_", data) if isinstance(data, str) else data


class _Sheets:
    """The rows of a workbook, in as many sheets as they need."""

    def __init__(self, workbook: Any, columns: Columns) -> None:
        self.rows = 0
        self.cut = 0
        self._workbook = workbook
        self._names = columns.names
        self._whole = workbook.add_format({"num_format": "0"})
        self._bold = workbook.add_format({"bold": True})
        self._begin_sheet()

    def _begin_sheet(self) -> None:
        number = len(self._workbook.worksheets()) + 1
        self._sheet: Any = self._workbook.add_worksheet("tickets" if number == 1 else f"tickets {number}")
        self._sheet.freeze_panes(1, 0)
        plain = self._sheet._xml_inline_string
        # XlsxWriter takes a text between <r> and </r> for a rich one of its own, and would write it as markup.
        self._sheet._xml_rich_inline_string = lambda string, attributes: plain(string, False, attributes)
        self._sheet._escape_control_characters = _escaped
        for place, name in enumerate(self._names):
            self._sheet.write_string(0, place, name, self._bold)

    def add(self, cells: Iterable[Value]) -> None:
        """Write one row; an empty text and none are an empty cell."""
        row = 1 + self.rows % (SHEET_ROWS - 1)
        if row == 1 and self.rows:
            self._begin_sheet()
        for place, cell in enumerate(cells):
            if cell is not None and cell != "":
                self._write(row, place, cell)
        self.rows += 1

    def _write(self, row: int, place: int, cell: int | str | bool) -> None:
        if isinstance(cell, str) or not -_DIGITS_END < cell < _DIGITS_END:
            result = self._sheet.write_string(row, place, str(cell))
        elif isinstance(cell, bool):
            result = self._sheet.write_boolean(row, place, cell)
        else:
            result = self._sheet.write_number(row, place, cell, self._whole)
        if result == _WAS_CUT:
            self.cut += 1
        elif result:
            raise ExportError(f"row {row} of a sheet was not written: XlsxWriter returned {result}")

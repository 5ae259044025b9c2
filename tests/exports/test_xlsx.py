"""XLSX: what kind each cell is, where a further sheet begins, what is cut, and what XlsxWriter might refuse."""

import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.support.export_rows import as_read, cells, read_back, tickets, write
from tests.support.slow import slow_after
from workorder_async import ExportError
from workorder_async.document import TicketSummary
from workorder_async.exports import xlsx
from workorder_async.exports.columns import TICKET_COLUMNS
from workorder_async.exports.sink import TextChanges


def _book(path: Path) -> Any:
    return import_module("openpyxl").load_workbook(path)


def test_kinds_of_cells(tmp_path: Path) -> None:
    """Texts are texts whatever they look like, numbers are numbers, nothing is empty; the names stay in sight."""
    target = tmp_path / "t.xlsx"
    texts = ["=1+1", "https://x.invalid/", "0012", "mailto:a@b", "TRUE", "2021-11-11", "{=1}", "internal:A1"]
    write(target, [TicketSummary(id=place, title=text, need_process=True) for place, text in enumerate(texts, 1)])
    book = _book(target)
    assert book.sheetnames == ["tickets"]
    sheet = book["tickets"]
    assert sheet.freeze_panes == "A2"
    assert [cell.value for cell in sheet["B"]] == ["title", *texts]
    assert {cell.data_type for cell in sheet["B"]} == {"s"}
    assert {cell.hyperlink for cell in sheet["B"]} == {None}
    assert [cell.value for cell in sheet["A"]][1:] == list(range(1, 9))
    names = [cell.value for cell in sheet[1]]
    assert sheet[2][names.index("need_process")].value is True
    assert sheet[2][names.index("created_at")].value is None
    assert sheet[2][names.index("id")].number_format == "0"


@pytest.mark.parametrize(
    "text",
    [
        "<r>&</r>",
        "<r><t>harmless</t></r>",
        "<r> a\n\x01 _x0041_ </r>",
        '<r><t>x</t></r></is></c><c r="ZZ2"><f>1+1</f><v>0</v></c><c r="ZZA2" t="inlineStr"><is><r><t>y</t></r>',
        '<r><t>x</t></r></is></c></row><row r="9"><c r="A9"><v>666</v></c><c r="B9" t="inlineStr"><is><r></r>',
        f"<r>{'&' * 32_760}</r>",
    ],
)
def test_texts_that_look_like_rich_ones(text: str, tmp_path: Path) -> None:
    """No text becomes markup of the sheet, whatever it begins and ends with: no formula, no row, no broken workbook."""
    target = tmp_path / "t.xlsx"
    write(target, [TicketSummary(id=7, title=text), TicketSummary(id=8)])
    rows = read_back(target)
    assert [(row["id"], row["title"]) for row in rows] == [(7, text), (8, None)]
    sheet = _book(target)["tickets"]
    assert (sheet.max_row, sheet.max_column) == (3, len(rows[0]))


@pytest.mark.parametrize("text", ["_x0041_x0042_", "_x0041\x01", "_x0041\ufffe", "_x0041_x0042_x0043_", "__x00zz_\x00"])
def test_escapes_that_share_a_character(text: str, tmp_path: Path) -> None:
    """A text that looks like several escapes in one, or like one together with that of a control, stays as it is."""
    target = tmp_path / "t.xlsx"
    write(target, [TicketSummary(id=7, title=text)])
    assert [row["title"] for row in read_back(target)] == [text]


def test_long_numbers(tmp_path: Path) -> None:
    """A number of which Excel would drop digits is a text."""
    target = tmp_path / "t.xlsx"
    numbers = [10**15 - 1, 10**15, -(10**15), 2**63 - 1]
    assert not write(target, [TicketSummary(id=1, handler=number) for number in numbers])
    assert [row["handler"] for row in read_back(target)] == [10**15 - 1, *map(str, numbers[1:])]


@pytest.mark.parametrize(
    ("text", "kept"),
    slow_after(
        4,
        [
            ("x" * 32_767, 32_767),
            ("x" * 32_768, 32_767),
            ("😀" * 16_383 + "x", 16_384),
            ("😀" * 16_384, 16_383),
            ("\0" * 32_767, 32_767),
        ],
    ),
)
def test_where_texts_are_cut(text: str, kept: int, tmp_path: Path) -> None:
    """A cell holds 32,767 units of UTF-16, which XlsxWriter counts, and no half of a pair."""
    target = tmp_path / "t.xlsx"
    changes = write(target, [TicketSummary(id=1, title=text, detail=text)])
    (row,) = read_back(target)
    assert row["title"] == row["detail"] == text[:kept]
    assert changes == TextChanges(cut=0 if kept == len(text) else 2)


def test_further_sheets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that a sheet has no room for stand in the next one, under the names again; none is lost at the edge."""
    monkeypatch.setattr(xlsx, "SHEET_ROWS", 11)
    target = tmp_path / "t.xlsx"
    rows = tickets(25)
    write(target, rows)
    sheets = _book(target).worksheets
    assert [(sheet.title, sheet.max_row) for sheet in sheets] == [("tickets", 11), ("tickets 2", 11), ("tickets 3", 6)]
    assert read_back(target) == [as_read(target, cells(ticket)) for ticket in rows]


def test_a_sheet_is_as_long_as_excel_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is XlsxWriter's own: a row behind it would be refused, and that refusal is an error, not a lost row."""
    monkeypatch.setattr(xlsx, "SHEET_ROWS", xlsx.SHEET_ROWS + 1)
    folder = tmp_path / "parts"
    with (tmp_path / "t.xlsx").open("wb") as file, xlsx._workbook(file, folder) as workbook:
        sheets = xlsx._Sheets(workbook, TICKET_COLUMNS)
        sheets.rows = 1_048_574
        sheets.add((1, "last"))
        with pytest.raises(ExportError, match="row 1048576 of a sheet was not written: XlsxWriter returned -1"):
            sheets.add((2, "one too many"))


def test_the_file_is_sound(tmp_path: Path) -> None:
    """Its parts are well-formed XML, hostile characters included, and it stands alone."""
    target = tmp_path / "t.xlsx"
    write(target, [TicketSummary(id=1, title="\0\x0b\ufffe\uffff]]>&<\r_x0041_", detail=" x ")])
    with zipfile.ZipFile(target) as file:
        assert file.testzip() is None
        for name in file.namelist():
            ET.fromstring(file.read(name))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.xlsx", "t.xlsx.part"]

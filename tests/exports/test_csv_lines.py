"""CSV: its bytes, its byte order mark, and texts that a spreadsheet would take for formulas."""

import csv
import io

from tests.support.export_rows import full_ticket
from tests.support.rows import each
from workorder_async.document import TicketStatus, TicketSummary
from workorder_async.exports.columns import DETAIL_COLUMNS, TICKET_COLUMNS
from workorder_async.exports.formats import CsvLines
from workorder_async.exports.sink import TextChanges


def test_bytes() -> None:
    """A byte order mark, names, then records: quoted where need be, true and false, nothing for none."""
    sink = CsvLines(TICKET_COLUMNS)
    assert sink.begin().startswith(b"\xef\xbb\xbfid,title,detail,status,status_name,type,")
    assert sink.begin().endswith(b",created_time,created_at,closed_time,closed_at\r\n")
    ticket = TicketSummary(
        id=7, title='a,"b"', detail="一\n二", status=TicketStatus.PENDING, need_process=True, handler=-5, created_time=1
    )
    assert sink.encode([ticket]).decode() == (
        '7,"a,""b""","一\n二",1,待处理,0,,0,0,0,,,,,,-5,0,true,,,0,,1,1970-01-01T08:00:01+08:00,0,\r\n'
    )
    assert sink.end_part() == b""
    assert not sink.changes


def test_without_byte_order_mark() -> None:
    """It can be left out."""
    assert CsvLines(TICKET_COLUMNS, bom=False).begin().startswith(b"id,title")


_SIGNS = ("=", "+", "-", "@")
_WIDE = tuple("＝＋－＠﹦﹢﹣﹫⁺⁼₊₌−⩴")
_BLANKS = (
    "\t",
    "\r",
    "\n",
    "\r\n",
    "\v",
    "\f",
    " ",
    "\xa0",
    "\u3000",
    "\u2028",
    "\u200b",
    "\ufeff",
    "\u202e",
    "\0",
    "\x1b",
)
_OTHERS = ("|", "%", ";", ",", "`", "\u0338", "\ue000")


@each("start", [*_SIGNS, *_WIDE, *_BLANKS, *_OTHERS])
def test_formulas(start: str) -> None:
    """A text gets an apostrophe if it begins with what is not known to be plain; numbers below 0 stay numbers."""
    ticket = TicketSummary(id=1, title=f"{start}1", creator_name=f"{start}x", tags=f"x{start}", handler=-7)
    for defuse, mark in ((True, "'"), (False, "")):
        sink = CsvLines(TICKET_COLUMNS, bom=False, defuse=defuse)
        content = sink.begin() + sink.encode([ticket])
        (row,) = csv.DictReader(io.StringIO(content.decode(), newline=""))
        assert (row["title"], row["creator_name"]) == (f"{mark}{start}1", f"{mark}{start}x")
        assert (row["tags"], row["handler"]) == (f"x{start}", "-7")
        assert sink.changes == TextChanges(defused=2 if defuse else 0)


@each("start", [*"aÉß工의あع۱7①【「《（([{<#_*./\\!?！？…'\"“‘", "😀", "🔥", "℃", "\ud83d"])
def test_plain_texts(start: str) -> None:
    """What people begin a text with stays as it is."""
    sink = CsvLines(TICKET_COLUMNS)
    sink.encode([TicketSummary(id=1, title=f"{start}=1")])
    assert not sink.changes.defused


def test_a_formula_with_half_a_pair() -> None:
    """A page that has to be written twice counts each change once."""
    sink = CsvLines(TICKET_COLUMNS)
    page = [TicketSummary(id=1, title="=1"), TicketSummary(id=2, title="=\ud800")]
    assert "2,'=\ufffd," in sink.encode(page).decode()
    assert sink.changes == TextChanges(replaced=1, defused=2)


def test_a_code_that_is_a_formula() -> None:
    """The unknown name of a status is a text of the server's like any other."""
    sink = CsvLines(TICKET_COLUMNS)
    assert ",'=cmd," in sink.encode([TicketSummary(id=1, status=TicketStatus("=cmd"))]).decode()


def test_full_records() -> None:
    """JSON stands in one cell, its quotes doubled."""
    sink = CsvLines(DETAIL_COLUMNS)
    (row,) = csv.DictReader(io.StringIO((sink.begin() + sink.encode([full_ticket()])).decode("utf-8-sig"), newline=""))
    assert row["form_values"] == '{"地域":"详情","数量":[1,2.5,null,true]}'

"""JSON Lines: what a line is, byte for byte, of columns and of the server's own objects."""

import gzip
import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.clients import make_client
from tests.support.raw_server import envelope, serving
from tests.support.slow import slow_after
from workorder_async import DecodeError, TicketQuery
from workorder_async.document import JSON, Priority, TicketStatus, TicketSummary, TicketType
from workorder_async.exports import export_tickets
from workorder_async.exports.columns import TICKET_COLUMNS
from workorder_async.exports.formats import JsonLines, RawLines
from workorder_async.exports.sink import TextChanges

_TICKET = TicketSummary(
    id=1473,
    title="无法登录",
    status=TicketStatus.CLOSED,
    type=TicketType.CONSULTATION,
    priority=Priority.HIGH,
    need_process=True,
    created_time=1_636_600_271,
)


def test_a_line() -> None:
    """A line is one object with the columns in their order, in UTF-8, and ends in a line feed."""
    sink = JsonLines(TICKET_COLUMNS)
    assert sink.begin() == sink.end_part() == b""
    assert sink.encode([_TICKET]).decode() == (
        '{"id":1473,"title":"无法登录","detail":"","status":3,"status_name":"已关闭","type":3,"type_name":"咨询",'
        '"sub_type":0,"second_subtype":0,"priority":2,"priority_name":"高级","product_group":"",'
        '"customer_organization_name":"","customer_user_id":"","creator_name":"","handler":0,"manager":0,'
        '"need_process":true,"tags":"","form_values":"","reported_time":0,"reported_at":null,'
        '"created_time":1636600271,"created_at":"2021-11-11T11:11:11+08:00","closed_time":0,"closed_at":null}\n'
    )


def test_lines_of_a_page() -> None:
    """Each is what it is alone: nothing of the row before is in it."""
    page = [_TICKET, TicketSummary(id=2), TicketSummary(id=3, title="\ud800", closed_time=2**53), _TICKET]
    alone = b"".join(JsonLines(TICKET_COLUMNS).encode([row]) for row in page)
    assert JsonLines(TICKET_COLUMNS).encode(page) == alone
    assert alone.count(b"\n") == 4


def test_no_line_of_a_page_breaks_the_others() -> None:
    """Only the line with half a surrogate pair differs; it is valid UTF-8, and counted by its cells."""
    sink = JsonLines(TICKET_COLUMNS)
    odd = TicketSummary(id=2, title="\ud800", detail="x\udfff")
    lines = sink.encode([_TICKET, odd, _TICKET]).splitlines()
    assert lines[0] == lines[2] == JsonLines(TICKET_COLUMNS).encode([_TICKET]).rstrip()
    assert orjson.loads(lines[1])["detail"] == "x\ufffd"
    assert sink.changes == TextChanges(replaced=2)


def test_raw() -> None:
    """The server's objects are kept: unknown fields, the order of fields, nulls, the kinds of numbers, half a pair."""
    rows: list[dict[str, JSON]] = [
        {"zz": 1, "id": "7", "new_field": {"a": [None, 1.0, 1]}, "status": "处理中"},
        {"id": 8, "title": "\ud83d", "big": 2**70},
    ]
    sink = RawLines()
    first, second = sink.encode(rows).splitlines()
    assert first.decode() == '{"zz":1,"id":"7","new_field":{"a":[null,1.0,1]},"status":"处理中"}'
    assert json.loads(second) == rows[1]
    assert not sink.changes


def test_raw_of_many_levels() -> None:
    """What can be read again is written, and counted, however deep it is."""
    deep: JSON = 1e300
    for _ in range(900):
        deep = [deep]
    sink = RawLines()
    assert b"[1e300]" in sink.encode([{"id": 1, "deep": deep, "half": "\ud83d"}]).replace(b"1e+300", b"1e300")
    assert sink.changes == TextChanges(rounded=1)


def test_raw_of_too_many_levels() -> None:
    """An object that nothing could read again is refused."""
    deep: JSON = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(DecodeError, match=r"ticket 1: too many lists and objects .*; an export without raw=True"):
        RawLines().encode([{"id": 1, "deep": deep}])


_OF_64_BITS = ("18446744073709551615", "-9223372036854775808", "9007199254740993", "1e16", "1e-30", '"1.5e30"')
_LARGER = (
    *("123456789012345678901234567890", "18446744073709551616", "-9223372036854775809", "1.5e30"),
    "12345678901234567890.5",
)
NUMBERS = dict.fromkeys(_OF_64_BITS, 0) | dict.fromkeys(_LARGER, 1) | {'[[[-1e300,1e300]],{"a":[1e20]}]': 3}


@pytest.mark.parametrize("large", [False, pytest.param(True, marks=pytest.mark.slow)])
async def test_numbers_of_a_server(large: bool, tmp_path: Path) -> None:
    """A raw number of more than 64 bits stays as it came, or its change is counted, however large the answer is."""
    pad = "x" * (3 << 20) if large else ""
    async with serving() as wire, make_client(wire.url) as client:
        for text, rounded in NUMBERS.items():
            row = f'{{"id":1,"created_time":1700000000,"strange":{{"x":{text},"pad":"{pad}"}}}}'
            page = f'{{"pagination":{{"page":1,"page_size":100,"total":1}},"tickets":[{row}]}}'
            wire.script[:] = [envelope(page)]
            report = await export_tickets(client, TicketQuery(), tmp_path / "t.jsonl", raw=True, overwrite=True)
            written = (tmp_path / "t.jsonl").read_bytes()
            kept = f'"x":{text},'.encode() in written
            assert kept or report.changes == TextChanges(rounded=rounded) or not rounded, text
            assert report.changes in (TextChanges(rounded=rounded), TextChanges()), text
            if not rounded:
                assert json.loads(written)["strange"]["x"] == json.loads(text)


@pytest.mark.parametrize("text", ["0.12345678901234567890", "12345678901234567.25", "9007199254740993.0", "1e-400"])
async def test_fractions_of_a_server(text: str, tmp_path: Path) -> None:
    """A raw number with a fraction is the nearest double, as the documentation says; it is not counted."""
    row = f'{{"id":1,"created_time":1700000000,"x":{text}}}'
    page = f'{{"pagination":{{"page":1,"page_size":100,"total":1}},"tickets":[{row}]}}'
    async with serving(envelope(page)) as wire, make_client(wire.url) as client:
        report = await export_tickets(client, TicketQuery(), tmp_path / "t.jsonl", raw=True)
    assert json.loads((tmp_path / "t.jsonl").read_bytes())["x"] == float(text)
    assert not report.changes


BROKEN = {
    "a control character": (b'"title":"a\x01b"', 1),
    "a raw line feed": (b'"title":"a\nb"', 1),
    "a cut character": (b'"title":"\xe5\xb7"', 1),
    "a byte of another code": (b'"title":"\xb9\xa4"', 1),
    "an escape that is none": (rb'"title":"\q"', 1),
    "NaN": (b'"handler":NaN', 1),
    "a number without end": (b'"handler":' + b"9" * 5000, 1),
    "where no model looks": (b'"new_field":{"a":[1,"\x02"]}', 1),
    "three of them": (b'"title":"\x01","new_field":["\xff",{"a":Infinity}]', 3),
    "escapes of the same": (rb'"title":"a\u0001\ud83d\n"', 0),
    "what is odd, and JSON": (b'"title":null,"handler":1.5,"status":"\x7f\xc2\x80"', 0),
    "many bits beside it": (b'"title":"\x01","handler":123456789012345678901', 1),
}


@pytest.mark.parametrize(
    ("name", "large", "on_bad_row"),
    slow_after(1, [("t.jsonl", False, "raise"), ("t.jsonl.gz", False, "skip"), ("t.jsonl", True, "raise")]),
)
async def test_what_is_no_json_is_counted(tmp_path: Path, name: str, large: bool, on_bad_row: Any) -> None:
    """A raw export keeps a row of broken JSON, and its report counts each value that did not stay as it came."""
    pad, target = b"x" * (3 << 20 if large else 0), tmp_path / name
    row = b'{"id":%d,"created_time":1700000000,%b,"pad":"%b"}'
    async with serving() as wire, make_client(wire.url) as client:
        for what, (fields, broken) in BROKEN.items():
            rows = b",".join([row % (1, b'"title":"a"', b""), row % (2, fields, b""), row % (3, b'"title":"b"', pad)])
            wire.script[:] = [envelope(b'{"pagination":{"page":1,"page_size":100,"total":3},"tickets":[%b]}' % rows)]
            report = await export_tickets(
                client, TicketQuery(), target, raw=True, on_bad_row=on_bad_row, overwrite=True
            )
            content = target.read_bytes()
            lines = (gzip.decompress(content) if name.endswith(".gz") else content).splitlines()
            assert [json.loads(line)["id"] for line in lines] == [1, 2, 3], what
            assert (report.changes, report.skipped_rows, report.exact) == (TextChanges(broken=broken), 0, True), what


async def test_other_formats_leave_it_out(tmp_path: Path) -> None:
    """Control: where the value has a column, the row is left out and counted; elsewhere it costs nothing."""
    rows = b'{"id":1,"created_time":1700000000,"title":"\x01"},{"id":2,"created_time":1700000000,"new":"\x01"}'
    page = b'{"pagination":{"page":1,"page_size":100,"total":2},"tickets":[%b]}' % rows
    async with serving(envelope(page)) as wire, make_client(wire.url) as client:
        report = await export_tickets(client, TicketQuery(), tmp_path / "t.jsonl", on_bad_row="skip")
    assert (report.rows, report.skipped_rows, report.changes) == (1, 1, TextChanges())

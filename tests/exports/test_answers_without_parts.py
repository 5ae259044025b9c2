"""An answer without its parts is no empty answer: no export of it is an exact one of nothing."""

import os
from pathlib import Path

import pytest

from tests.support.clients import make_client
from tests.support.raw_server import envelope, http, serving
from tests.support.slow import slow_after
from workorder_async import DecodeError, TicketQuery, WorkorderError
from workorder_async.exports import export_tickets

PAGES = '"pagination":{"page":1,"page_size":100,"total":'


WITHOUT_PARTS = (
    *("{}", "null", "[]", '""', "0", '"{}"', '{"tickets":[]}', '{"tickets":null}', '{"list":[],"total":500}'),
    *('{"pagination":null,"tickets":[]}', '{"pagination":{},"tickets":[]}', '{"pagination":[],"tickets":[]}'),
    *(f"{{{PAGES}500}}}}", f'{{{PAGES}500}},"tickets":null}}', f'{{{PAGES}null}},"tickets":[]}}'),
    *(f'{{{PAGES}500}},"tickets":""}}', f'{{{PAGES}500}},"tickets":{{}}}}', f'{{{PAGES}""}},"tickets":[]}}'),
)


@pytest.mark.parametrize("raw", slow_after(1, [False, True]))
async def test_no_parts(raw: bool, tmp_path: Path) -> None:
    """It is an error, and nothing is left."""
    async with serving() as wire, make_client(wire.url) as client:
        for data in WITHOUT_PARTS:
            wire.script[:] = [envelope(data)]
            try:
                report = await export_tickets(client, TicketQuery(), tmp_path / "t.jsonl", raw=raw, overwrite=True)
            except DecodeError:
                assert {*os.listdir(tmp_path)} <= {"t.jsonl"}, data
            else:
                assert not report.exact, data


async def test_no_data(tmp_path: Path) -> None:
    """The same without any data."""
    answer = http('{"errno":10000,"errmsg":"OK","request_id":"r-1"}')
    async with serving(answer) as wire, make_client(wire.url) as client:
        with pytest.raises(DecodeError):
            await export_tickets(client, TicketQuery(), tmp_path / "t.jsonl")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("total", "rows"), [(0, "[]"), (0, "null"), (1, "[]"), (500, "[]")])
async def test_no_rows(total: int, rows: str, tmp_path: Path) -> None:
    """A list that counts tickets and shows none is not exact; one that counts none is."""
    async with serving(envelope(f'{{{PAGES}{total}}},"tickets":{rows}}}')) as wire, make_client(wire.url) as client:
        report = await export_tickets(client, TicketQuery(), tmp_path / "t.jsonl")
    assert (report.rows, report.exact) == (0, not total)
    assert total == 0 or report.reason == f"the list counts {total} tickets, and shows none"


@pytest.mark.parametrize("data", ["{}", "null", "[]", '{"title":"x"}'])
async def test_no_record(data: str, tmp_path: Path) -> None:
    """A full record without its parts is no record."""
    rows = '{"id":7,"created_time":1700000000}'
    answers = [envelope(f'{{{PAGES}1}},"tickets":[{rows}]}}'), envelope(data)]
    async with serving(*answers) as wire, make_client(wire.url) as client:
        with pytest.raises(WorkorderError):
            await export_tickets(client, TicketQuery(), tmp_path / "t.jsonl", detail=True)

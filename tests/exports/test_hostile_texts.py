"""Every hostile text through every format: it comes back as it was, or changed in the documented way and counted."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import orjson
import pytest
from attrs import evolve

from tests.support.clients import make_client
from tests.support.export_rows import HOSTILE, REPLACED, as_read, cells, full_ticket, hostile_tickets, read_back, write
from tests.support.raw_server import http, serving
from tests.support.slow import slow_after, slow_but_every
from workorder_async import TicketQuery
from workorder_async.exports import export_tickets
from workorder_async.exports.formats import SUFFIXES
from workorder_async.exports.sink import TextChanges

_FORMULAS = {
    *("formula", "plus", "minus", "at", "tab", "carriage return"),
    *("blank", "controls", "separators", "comma", "right to left", "no characters"),
}
_LONG = {"long", "long astral", "megabyte"}


def _kind(suffix: str) -> str:
    return {"db": "sqlite"}.get(kind := suffix.split(".")[1], kind)


def _cut(text: str) -> str:
    """Return what a cell of Excel holds: at most 32,767 units of UTF-16, and no half of a pair."""
    return text.encode("utf-16-le")[: 2 * 32_767].decode("utf-16-le", "ignore")


def _expected(kind: str, name: str) -> object:
    text = REPLACED.get(name, HOSTILE[name])
    if kind == "csv" and name in _FORMULAS:
        return f"'{text}"
    return (_cut(text) or None) if kind == "xlsx" else text


def _changes(kind: str) -> TextChanges:
    defused = len(_FORMULAS) if kind == "csv" else 0
    return TextChanges(replaced=3, defused=defused, cut=3 if kind == "xlsx" else 0)


@pytest.mark.parametrize("suffix", slow_but_every(3, SUFFIXES))
def test_every_text(suffix: str, tmp_path: Path) -> None:
    """Each text comes back as the table at the head of exports/sink.py has it, and what was changed is counted.

    The least and the largest number of 64 bits, an unknown name and a time far away come back exactly.
    """
    target = tmp_path / f"tickets{suffix}"
    changes = write(target, hostile_tickets(), page=7, part=2)
    rows = read_back(target)
    kind = _kind(suffix)
    found = {name: row["title"] for name, row in zip(HOSTILE, rows, strict=False)}
    assert found == {name: _expected(kind, name) for name in HOSTILE}
    assert rows[-1] == as_read(target, cells(hostile_tickets()[-1]))
    assert changes == _changes(kind)


@pytest.mark.parametrize("suffix", slow_after(1, SUFFIXES))
async def test_every_text_of_a_server(suffix: str, tmp_path: Path) -> None:
    """The same from the answer of a server on, which writes them with the escapes of JSON: none ends the export."""
    target = tmp_path / f"tickets{suffix}"
    rows = [
        {"id": ticket.id, "title": ticket.title, "status": ticket.status.label, "created_time": ticket.created_time}
        for ticket in hostile_tickets()
    ]
    page = {"pagination": {"page_size": 100, "total": len(rows)}, "tickets": rows}
    answer = http(json.dumps({"errno": 10000, "errmsg": "", "request_id": "r1", "data": page}))
    async with serving(answer) as wire, make_client(wire.url) as client:
        report = await export_tickets(client, TicketQuery(created_end=1_800_000_000), target)
    assert report.rows == len(rows)
    kind = _kind(suffix)
    # A ticket without a created time comes before the others.
    written = sorted(read_back(target), key=lambda row: int(row["id"]))
    found = {name: row["title"] for name, row in zip(HOSTILE, written, strict=False)}
    assert found == {name: _expected(kind, name) for name in HOSTILE}
    assert report.changes == _changes(kind)


@pytest.mark.parametrize("suffix", slow_but_every(3, SUFFIXES))
def test_every_text_inside_lists(suffix: str, tmp_path: Path) -> None:
    """In a full record they come back inside the lists as well, whatever these are written as."""
    target, names = tmp_path / f"tickets{suffix}", [name for name in HOSTILE if name not in _LONG]
    write(target, [evolve(full_ticket(text=HOSTILE[name]), id=id) for id, name in enumerate(names, 1)], detail=True)
    for id, (name, row) in enumerate(zip(names, read_back(target), strict=True), 1):
        text = REPLACED.get(name, HOSTILE[name])
        if _kind(suffix) == "sqlite":
            with closing(sqlite3.connect(target)) as database:
                ask = database.execute
                assert ask("SELECT name FROM ticket_tags WHERE ticket_id = ?", (id,)).fetchall() == [(text,), ("乙",)]
                question = "SELECT max(detail), min(detail), count(*) FROM ticket_assigns_history WHERE ticket_id = ?"
                assert ask(question, (id,)).fetchall() == [(text, text, 3)]
        else:
            assert orjson.loads(row["tags"])[0]["name"] == text
            assert orjson.loads(row["assigns"])[0]["history"][1]["detail"] == text
        assert orjson.loads(row["form_values"]) == {"地域": text, "数量": [1, 2.5, None, True]}

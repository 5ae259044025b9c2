"""workorder_async.mirror.figures: the tickets of an exported file, as they were meant, or a refusal that says where."""

import gzip
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.exports import SUFFIXES
from tests.support.mirrors import asked, ids_of, update
from tests.support.slow import slow_after
from tests.support.virtual_loop import virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import ConfigError, TicketQuery
from workorder_async.exports import export_tickets
from workorder_async.mirror import figures as module, mirror_tickets
from workorder_async.mirror.figures import Figures, figures_of, opened
from workorder_async.mirror.page import page_of

_ROW: dict[str, Any] = {
    "id": 7,
    "title": "t",
    "status": "1",
    "type": 1,
    "created_time": 1_700_000_000,
    "closed_time": 0,
    "handler": 5,
    "product_group": "a",
}


def _of(path: Path, **fields: object) -> Figures:
    path.write_text(json.dumps({**_ROW, **fields}) + "\n")
    return figures_of(path)


@pytest.mark.parametrize("spelling", ["document", "java"])
@virtual_time
async def test_raw_lines(tmp_path: Path, spelling: Any) -> None:
    """The server's own objects say the same as columns, however the server spells them."""
    async with virtual_sandbox(60, spelling=spelling) as (_, client):
        await export_tickets(client, TicketQuery(), tmp_path / "t.csv")
        await export_tickets(client, TicketQuery(), tmp_path / "raw.jsonl", raw=True)
    assert figures_of(tmp_path / "raw.jsonl") == figures_of(tmp_path / "t.csv")


@pytest.mark.parametrize(
    "fields",
    [
        {"created_time": 1_700_000_000_000},
        {"created_time": "2023-11-15 06:13:20"},
        {"status": "待处理"},
        {"status": 1.0},
        {"title": "\ud800"},
    ],
)
def test_odd_raw_values(tmp_path: Path, fields: dict[str, object]) -> None:
    """What an answer may have is read as an answer is."""
    figures = _of(tmp_path / "t.jsonl", **fields)
    plain = _of(tmp_path / "plain.jsonl", title=str(fields.get("title", "t")).replace("\ud800", "\ufffd"))
    assert figures == plain
    assert figures.open == 1


@pytest.mark.parametrize("name", ["created_time", "handler", "status"])
def test_raw_values_that_do_not_fit(tmp_path: Path, name: str) -> None:
    """What no answer may have is refused, with the line and the field."""
    with pytest.raises(ConfigError, match=rf"line 1 of .*t\.jsonl' holds no ticket that can be read: \$\.{name} is"):
        _of(tmp_path / "t.jsonl", **{name: 2**64 - 1 if name != "status" else True})


def test_what_is_no_ticket(tmp_path: Path) -> None:
    """Lines of something else, and columns with what they cannot have, are refused."""
    path = tmp_path / "t.jsonl"
    for line in ('{"id": 7, "state": "done"}', '{"status_name": "x", "id": 7}'):
        path.write_text(line + "\n")
        with pytest.raises(ConfigError, match="holds no tickets"):
            figures_of(path)
    for fields in ({"product_group": ["a"]}, {"created_time": "yesterday"}, {"created_time": 2**63}):
        with pytest.raises(ConfigError, match="holds no tickets"):
            _of(path, status=1, status_name="待处理", **fields)
    path.write_text(json.dumps(_ROW) + "\n7\n")
    with pytest.raises(ConfigError, match="holds no tickets"):
        figures_of(path)


@pytest.mark.parametrize("name", ["type", "title", "closed_time"])
def test_a_column_that_was_left_out(tmp_path: Path, name: str) -> None:
    """An export of which somebody kept some columns is told which one it lacks: it is not damaged."""
    row = {"id": 7, "status": 1, "created_time": 1_700_000_000, "type": 1, "title": "x", "closed_time": 0}
    del row[name]
    (tmp_path / "t.csv").write_text(f"{','.join(row)}\n{','.join(map(str, row.values()))}\n")
    with pytest.raises(ConfigError, match=rf"t\.csv' has no column {name}"):
        figures_of(tmp_path / "t.csv")


@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
def test_a_long_text(tmp_path: Path, suffix: str) -> None:
    """A ticket's text may be longer than the cells that the csv module takes by itself."""
    content = f"id,status,type,created_time,closed_time,title,detail\n7,1,1,1700000000,0,t,{'x' * 140_000}\n".encode()
    path = tmp_path / f"t.{suffix}"
    path.write_bytes(gzip.compress(content) if suffix == "csv.gz" else content)
    assert (figures_of(path).tickets, figures_of(path).open) == (1, 1)


def test_product_lines(tmp_path: Path) -> None:
    """The twelve largest have their names, one without a name too, however few tickets it has; the rest are others."""
    path, counts = tmp_path / "t.jsonl", {"": 1, "a": 2}
    for names, last in ((counts, ("without a name", 1)), (counts | {f"b{n}": 3 for n in range(12)}, ("others", 3))):
        rows = [_ROW | {"product_group": name} for name, count in names.items() for _ in range(count)]
        path.write_text("".join(json.dumps(row | {"id": id}) + "\n" for id, row in enumerate(rows, 1)))
        assert figures_of(path).by_product_line[-1] == last


def test_raw_lines_with_the_least(tmp_path: Path) -> None:
    """What the server leaves out of its objects is as in an export of columns, in whatever row it is missing."""
    path, few = tmp_path / "t.jsonl", {name: _ROW[name] for name in ("id", "status", "created_time")}
    for rows in ([few, _ROW], [_ROW, few]):
        path.write_text("".join(json.dumps(row | {"id": id}) + "\n" for id, row in enumerate(rows, 1)))
        figures = figures_of(path)
        assert (figures.tickets, figures.open, figures.unhandled) == (2, 2, 1)
        assert figures.by_type == (("without a name", 1), ("问题排查", 1))


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "已挂起", "type": "新类型", "closed_time": 1_700_000_060},
        {"status": None, "status_name": "已挂起", "type": None, "type_name": "新类型", "closed_time": 1_700_000_060},
    ],
)
def test_unknown_names(tmp_path: Path, fields: dict[str, object]) -> None:
    """A status or type that came as a name, which no code stands for here, is counted by that."""
    figures = _of(tmp_path / "t.jsonl", **fields)
    assert (figures.by_status, figures.by_type) == ((("已挂起", 1),), (("新类型", 1),))
    assert [(one.name, one.median) for one in figures.to_close] == [("all", 60), ("新类型", 60)]


@pytest.mark.parametrize("fields", [{"title": ""}, {"status": 1, "status_name": "待处理", "title": ""}])
def test_a_ticket_without_a_title(tmp_path: Path, fields: dict[str, object]) -> None:
    """It has none among the oldest open ones either."""
    assert [ticket.title for ticket in _of(tmp_path / "t.jsonl", **fields).oldest] == [""]


def test_closes_of_early_weeks(tmp_path: Path) -> None:
    """Each week that is shown has its closes, however many later weeks have some, too."""
    path, week = tmp_path / "t.jsonl", 7 * 86400
    closed = [_ROW["created_time"] + week * number for number in range(40)]
    path.write_text("".join(json.dumps(_ROW | {"id": id, "closed_time": at}) + "\n" for id, at in enumerate(closed, 1)))
    assert [(one.created, one.closed) for one in figures_of(path).weeks] == [(40, 1)]


def test_a_ticket_that_is_dated_ahead(tmp_path: Path) -> None:
    """It hides no week before; where all are, they are shown."""
    path, ahead = tmp_path / "t.jsonl", 2**33
    for times, counts in (([_ROW["created_time"], ahead], [1]), ([ahead, ahead], [2])):
        path.write_text("".join(json.dumps(_ROW | {"created_time": at}) + "\n" for at in times))
        assert [week.created for week in figures_of(path).weeks] == counts


@pytest.mark.parametrize(("handler", "said"), [(0, "no"), (5, "yes"), (None, "")])
def test_whether_somebody_handles_it(tmp_path: Path, handler: int | None, said: str) -> None:
    """The full records of an export have no handler: of these the page does not say that somebody does."""
    fields = {"handler": handler} if handler is not None else {}
    row = {name: value for name, value in _ROW.items() if name != "handler"} | fields
    row |= {"status": 1, "status_name": "待处理"}
    (tmp_path / "t.jsonl").write_text(json.dumps(row) + "\n")
    page = "".join(page_of(figures_of(tmp_path / "t.jsonl"), "t"))
    assert f"<td>{said}</td></tr>\n</table></section>\n</body>" in page


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no file has such a name")
@virtual_time
async def test_a_name_that_is_no_utf_8(tmp_path: Path) -> None:
    """A file of any format is read, whatever bytes its name has."""
    async with virtual_sandbox(20) as (_, client):
        for suffix in SUFFIXES:
            path = tmp_path / f"t\udcff{suffix}"
            await export_tickets(client, TicketQuery(), path)
            assert figures_of(path).tickets == 20


@virtual_time
async def test_a_workbook_of_another_name(tmp_path: Path) -> None:
    """A workbook is known by its content, as other files are: its name may have no suffix."""
    path = tmp_path / "tickets"
    async with virtual_sandbox(30) as (_, client):
        await export_tickets(client, TicketQuery(), path, format="xlsx")
    assert figures_of(path).tickets == 30


@virtual_time
async def test_of_one_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run writes while a report is made is in none of its figures."""
    path, count_weeks = tmp_path / "m.db", module._weeks
    async with virtual_sandbox(60) as (_, client):
        await mirror_tickets(client, path)
    before = figures_of(path)

    def later(*asked: Any) -> Any:
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE tickets SET gone_at = 1")
        return count_weeks(*asked)

    monkeypatch.setattr(module, "_weeks", later)
    assert figures_of(path) == before
    assert figures_of(path).tickets == 0


@pytest.mark.parametrize("suffix", slow_after(2, [".csv", ".jsonl", ".xlsx"]))
@virtual_time
async def test_names_as_they_are(tmp_path: Path, suffix: str) -> None:
    """What a format puts into a text that a spreadsheet would take for a formula is taken out again."""
    async with virtual_sandbox(60) as (sandbox, client):
        marks = ["-", "=", "'", "\r", "@", ""]
        for id, mark in zip(await ids_of(sandbox, 3), marks, strict=False):
            await update(sandbox, id, title=f"{mark}弹性")
        await export_tickets(client, TicketQuery(), tmp_path / f"t{suffix}")
        titles = {ticket.title async for ticket in client.iter_tickets()}
    assert {f"{mark}弹性" for mark in marks} < titles
    with opened(tmp_path / f"t{suffix}") as database:
        assert {title for (title,) in database.execute("SELECT title FROM tickets")} == titles


def test_a_field_of_the_servers_own(tmp_path: Path) -> None:
    """An object that has one name of ours is the server's all the same."""
    assert _of(tmp_path / "t.jsonl", status="待处理", status_name="x").by_status == (("待处理", 1),)


@virtual_time
async def test_tickets_that_left_the_query(tmp_path: Path) -> None:
    """They are in no figure: nobody reads any more whether they are open."""
    path = tmp_path / "t.db"
    async with virtual_sandbox(60) as (sandbox, client):
        query = TicketQuery(product_group_id=(36,))
        some = [one.id async for one in client.iter_tickets(query) if one.status == 1]
        await mirror_tickets(client, path, query)
        before = figures_of(path)
        await update(sandbox, some[0], product_group_id=37)
        await mirror_tickets(client, path, query)
        report = await mirror_tickets(client, path, query)
    after = figures_of(path)
    assert (report.left, after.tickets, after.open) == ([some[0]], before.tickets - 1, before.open - 1)
    assert [after.tickets] == [count for (count,) in asked(path, "SELECT count(*) FROM tickets_present")]

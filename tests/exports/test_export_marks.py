"""Exports that are cut short at every part: what goes on from there has each ticket once, however the list behaves."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random
from typing import Any, Literal
from zlib import crc32

import orjson
import pytest

from tests.support.export_rows import read_back
from tests.support.exports import SUFFIXES, is_of, truth
from tests.support.list_server import BEGAN, Habits, ListServer, evenly
from tests.support.slow import slow_after
from workorder_async import ApiError, ExportError, Sandbox, TicketQuery, WorkorderClient
from workorder_async.document.envelope import Answer
from workorder_async.document.json_text import to_json
from workorder_async.exports import ExportProgress, ExportReport, export_tickets, parts, reading
from workorder_async.exports.parts import VERSION, Head, Line, Manifest
from workorder_async.exports.report import Part
from workorder_async.sandbox import Drift
from workorder_async.walks.options import walk_options
from workorder_async.walks.pages import Ask
from workorder_async.walks.walk import Walk
from workorder_async.walks.windows import WhatToWalk, window_of

EVERYTHING = TicketQuery()


class Dying:
    """Ends a call once it has added one part to the manifest, or just before it does; `parts` are those added.

    So it does at most so many times.
    """

    def __init__(
        self, patch: pytest.MonkeyPatch, moment: Literal["before", "after"] = "after", times: int = 500
    ) -> None:
        self.parts: list[Part] = []
        self.ended = 0
        add = Manifest.add

        def adds(manifest: Manifest, part: Line) -> None:
            if not isinstance(part, Part):
                add(manifest, part)
                return
            # Before its line is there a part does not count: every second one may have it.
            self.ended += 1
            if part.ended or moment == "after" or self.ended % 2 == 0:
                add(manifest, part)
                self.parts.append(part)
            if not part.ended and self.ended <= times:
                raise OSError(28, "No space left on device")

        patch.setattr(Manifest, "add", adds)


@pytest.fixture(autouse=True)
def _parts_are_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "ROWS_OF_A_PART", 1)


async def chain(
    client: WorkorderClient, query: TicketQuery | list[TicketQuery], target: Path, **options: Any
) -> tuple[ExportReport, list[int]]:
    """Call until it comes to its end; return the report, and how many rows each call went on from."""
    resumed: list[int] = []
    while len(resumed) <= 500:
        told: list[ExportProgress] = []
        try:
            report = await export_tickets(client, query, target, on_progress=told.append, **options)
        except ExportError as error:
            assert "No space left" in str(error)  # noqa: PT017 - which error it is
        else:
            return report, [*resumed, report.resumed_rows]
        resumed.append(told[0].resumed_rows)
    raise AssertionError("it does not end")


@pytest.mark.parametrize(
    ("suffix", "moment"), slow_after(1, [*((suffix, "before") for suffix in SUFFIXES), (".jsonl", "after")])
)
async def test_after_every_part(
    suffix: str, moment: Literal["before", "after"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut short at each part, before its line is written and after, every format ends in the same rows."""
    target = tmp_path / f"t{suffix}"
    monkeypatch.setattr(parts, "_BYTES_AT_ONCE", 10_000)
    async with Sandbox(tickets=700) as sandbox, sandbox.client() as client:
        dying = Dying(monkeypatch, moment)
        report, resumed = await chain(client, EVERYTHING, target)
        assert is_of(target, await truth(client))
    assert len(dying.parts) > 5
    assert resumed == sorted(resumed)
    assert (report.rows, report.exact, report.resumed_rows) == (700, True, resumed[-1])
    assert resumed[-1] > 500
    assert os.listdir(tmp_path) == [target.name]


@pytest.mark.slow
async def test_full_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut short at each part, no full record is read again that was on disk, and none twice by much."""
    target = tmp_path / "t.jsonl"
    async with Sandbox(tickets=500) as sandbox, sandbox.client() as client:
        dying = Dying(monkeypatch)
        report, resumed = await chain(client, EVERYTHING, target, detail=True)
        wanted = [ticket.id for ticket in await truth(client)]
        # The records of the next page are asked for while a part is written.
        assert sandbox.requests["get_ticket_detail"] <= 500 + len(resumed) * 100
    assert [row["id"] for row in read_back(target)] == wanted
    assert all(part.rows <= 100 for part in dying.parts)
    assert len(resumed) >= 5
    assert report.exact


@pytest.mark.slow
async def test_several_queries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut short in each of several queries, a query that is finished is not read again, and each ticket comes once."""
    target = tmp_path / "t.sqlite"
    queries = [TicketQuery(status=1), TicketQuery(status=3), EVERYTHING]
    async with Sandbox(tickets=1500) as sandbox, sandbox.client() as client:
        dying = Dying(monkeypatch)
        report, resumed = await chain(client, queries, target)
        assert is_of(target, await truth(client))
    assert {part.query for part in dying.parts if not part.ended} == {0, 1, 2}
    assert [part.query for part in dying.parts] == sorted(part.query for part in dying.parts)
    assert [part.query for part in dying.parts if part.ended] == [0, 1, 2]
    assert resumed == sorted(resumed)
    assert (report.rows, report.exact) == (1500, True)


@pytest.mark.slow
async def test_list_that_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tickets leave and enter during each call and between them: each that stays comes once, by an exact report."""
    target, query = tmp_path / "t.jsonl", TicketQuery(status=1)
    async with Sandbox(tickets=1500) as sandbox, sandbox.client() as client:
        before = {ticket.id for ticket in await truth(client, query)}
        Dying(monkeypatch)
        sandbox.drift = [Drift(after=1, every=2, close=3, reopen=3, create=1, delete=1)]
        report, resumed = await chain(client, query, target, page_size=20)
        drifted, sandbox.drift = sandbox.drifted, ()
        after = {ticket.id for ticket in await truth(client, query)}
    moved = {id for one in drifted for id in (*one.closed, *one.reopened, *one.created, *one.deleted)}
    ids = [row["id"] for row in read_back(target)]
    assert len(resumed) > 10
    assert len(ids) == len(set(ids)) == report.rows
    assert not (before & after) - moved - {*ids}
    assert report.exact, report.reason


# Lists that no sandbox has


@asynccontextmanager
async def served(server: ListServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WorkorderClient]:
    """Yield a client whose walks and counts read this list."""

    async def read(ask: Ask) -> Answer:
        await asyncio.sleep(0)
        return server.read(ask)

    def walk(query: WhatToWalk, **options: Any) -> Walk:
        return Walk(window_of(query), walk_options(**options), read)

    async def count(query: TicketQuery) -> int:
        answer: Any = await read(Ask(query.created_start, query.created_end, 1, 1))
        return int(answer.data["pagination"]["total"])

    async with Sandbox(tickets=0) as sandbox, sandbox.client() as client:
        monkeypatch.setattr(client, "walk", walk)
        monkeypatch.setattr(client, "count_tickets", count)
        yield client


def ids_in(path: Path) -> list[int]:
    """Return the ids of a raw export."""
    return [orjson.loads(line)["id"] for line in path.read_bytes().splitlines()]


def crowded(random: Random, count: int, crowd: int) -> list[tuple[int, int]]:
    """Return tickets of which so many share a second in the middle."""
    rows = evenly(random, count)
    second = rows[count // 2][0]
    return sorted([*rows, *((second, 10_000 + id) for id in range(crowd))])


# A call that goes on does not know how far the list is from being sorted, and may have to begin anew.
KILLS = {"nearly": 8}
HABITS = {
    "newest": Habits(),
    "exclusive": Habits(filter="exclusive"),
    "half": Habits(filter="half"),
    "oldest": Habits(order="oldest"),
    "oldest exclusive": Habits(order="oldest", filter="exclusive"),
    "nearly": Habits(order="nearly", skew=3),
    "none": Habits(order="none"),
    "ties": Habits(ties=True),
    "no totals": Habits(cap=100),
}


@pytest.mark.parametrize(
    ("name", "seconds"),
    slow_after(
        1,
        [
            *((name, 5.0) for name in HABITS),
            ("half", 1.0),
            ("oldest exclusive", 1.0),
            ("newest", 0.2),
            ("oldest", 0.2),
        ],
    ),
)
async def test_every_order(name: str, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order of the list, and however many tickets share a second: each comes once, exact or not."""
    server = ListServer(Random(name), evenly(Random(seconds), 450, seconds), HABITS[name])
    async with served(server, monkeypatch) as client:
        Dying(monkeypatch, times=KILLS.get(name, 500))
        report, resumed = await chain(client, EVERYTHING, tmp_path / "t.jsonl", raw=True, page_size=20, concurrency=3)
    assert sorted(ids_in(tmp_path / "t.jsonl")) == sorted(id for _, id in server.rows)
    assert report.exact, report.reason
    # Where tickets lie close, most of the list is one crowd.
    assert len(resumed) > 3 or seconds < 1


@pytest.mark.parametrize(
    ("order", "kills"),
    slow_after(1, [("turned", 1), ("nearly", 8), ("id", 25), *((order, 4) for order in ("turned", "nearly", "id"))]),
)
async def test_orders_that_no_single_page_shows(
    order: Any, kills: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies between two pages is seen where a call ends between them, too: none is lost, and called exact."""
    for seed in (1, 2, 3):
        target, random = tmp_path / f"{seed}.jsonl", Random(seed)
        late = [700 * (order == "id" and random.random() < 0.02) for _ in range(450)]
        rows = sorted((time + more, id) for (time, id), more in zip(evenly(random, 450, 5.0), late, strict=True))
        server = ListServer(Random(seed), rows, Habits(order=order, skew=3))
        async with served(server, monkeypatch) as client:
            with monkeypatch.context() as patched:
                Dying(patched, times=kills)
                report, resumed = await chain(client, EVERYTHING, target, raw=True, page_size=20, concurrency=3)
        assert sorted(ids_in(target)) == list(range(1, 451))
        assert report.exact, report.reason
        assert len(resumed) > 1


async def test_the_newest_page_alone_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many parts there are: those of this call, and those of calls before, know no other tickets."""
    target, known = tmp_path / "t.jsonl", list[int]()
    begun = reading.Reading.read

    async def read(this: reading.Reading) -> None:
        known.append(len(this._seen))
        await begun(this)

    monkeypatch.setattr(reading.Reading, "read", read)
    async with served(ListServer(Random(1), evenly(Random(1), 1000, 5.0), Habits()), monkeypatch) as client:
        with monkeypatch.context() as patched:
            dying = Dying(patched, times=5)
            report, _ = await chain(client, EVERYTHING, target, raw=True, page_size=20)
    assert report.rows == 1000
    assert known[0] == 0
    assert all(0 < count <= 60 for count in known[1:])
    assert len(dying.parts) >= 20
    # A part may be under way while the next one ends.
    assert sum(len(part.again) for part in dying.parts[-15:]) <= 80


async def test_crowd_that_cannot_be_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pages of one second never agree, no ticket comes twice, and the result is not exact, whoever ended it."""
    server = ListServer(Random("ties"), evenly(Random(0.2), 900, 0.01), HABITS["ties"])
    async with served(server, monkeypatch) as client:
        Dying(monkeypatch)
        report, _ = await chain(client, EVERYTHING, tmp_path / "t.jsonl", raw=True, page_size=20, concurrency=3)
    ids = ids_in(tmp_path / "t.jsonl")
    assert len(ids) == len(set(ids)) == report.rows
    assert not report.exact
    assert "they moved, or not all are shown" in report.reason


@pytest.mark.parametrize("bounds", slow_after(2, [{}, {"created_start": BEGAN + 450}, {"created_end": BEGAN + 1250}]))
@pytest.mark.parametrize("order", slow_after(1, ["newest", "oldest", "nearly", "none"]))
async def test_bounds_of_the_query(
    order: Any, bounds: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes on does not leave the range that the query asks for."""
    server = ListServer(Random(1), evenly(Random(1), 350), Habits(order=order, skew=3))
    async with served(server, monkeypatch) as client:
        Dying(monkeypatch, times=KILLS.get(order, 500))
        await chain(client, TicketQuery(**bounds), tmp_path / "t.jsonl", raw=True, page_size=20, concurrency=3)
    first, last = bounds.get("created_start", 0), bounds.get("created_end", 1 << 60)
    assert sorted(ids_in(tmp_path / "t.jsonl")) == sorted(id for time, id in server.rows if first <= time <= last)


@pytest.mark.parametrize("order", slow_after(1, ["newest", "oldest"]))
async def test_cut_short_in_a_crowd(order: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While thousands of one second are read nothing can be marked: the crowd is read again as a whole, each once."""
    server, target = ListServer(Random(1), crowded(Random(1), 600, 3000), Habits(order=order)), tmp_path / "t.jsonl"

    class EnoughError(Exception):
        pass

    def stops_at(rows: int) -> Callable[[ExportProgress], None]:
        def told(progress: ExportProgress) -> None:
            if progress.rows - progress.resumed_rows >= rows:
                raise EnoughError

        return told

    async with served(server, monkeypatch) as client:
        for rows in (400, 1200, 2000, 2900):
            with pytest.raises(EnoughError):
                await export_tickets(client, EVERYTHING, target, raw=True, on_progress=stops_at(rows))
        told: list[ExportProgress] = []
        report = await export_tickets(client, EVERYTHING, target, raw=True, on_progress=told.append)
    assert 0 < report.resumed_rows == told[0].resumed_rows <= 600
    assert sorted(ids_in(target)) == sorted(id for _, id in server.rows)
    assert report.exact, report.reason


def turning(server: ListServer, requests: int, order: Literal["none", "nearly"] = "none") -> None:
    """Let a list be in another order after so many requests more."""
    server.habits.order, turn = "newest", server.requests + requests
    server.drift = lambda _: setattr(server.habits, "order", order) if server.requests == turn else None


@pytest.mark.parametrize("order", slow_after(1, ["nearly", "none"]))
async def test_order_that_was_none(
    order: Literal["none", "nearly"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the list proves to be in another order, what was marked before does not count: the next call begins anew.

    A call that comes to its end has each ticket once all the same.
    """
    target, add, parts = tmp_path / "t.jsonl", Manifest.add, list[Part]()
    monkeypatch.setattr(reading, "ROWS_OF_A_PART", 300)

    def adds(manifest: Manifest, part: Line) -> None:
        add(manifest, part)
        if isinstance(part, Part):
            parts.append(part)
        if parts and parts[-1].is_void:
            raise OSError(28, "No space left on device")

    server = ListServer(Random(2), evenly(Random(2), 4000, 2.0), Habits(skew=4))
    async with served(server, monkeypatch) as client:
        with monkeypatch.context() as patched:
            patched.setattr(Manifest, "add", adds)
            turning(server, 150, order)
            with pytest.raises(ExportError, match="No space left"):
                await export_tickets(client, EVERYTHING, target, raw=True, page_size=20)
        assert len(parts) > 1
        assert [part.is_void for part in parts] == [False] * (len(parts) - 1) + [True]
        turning(server, 150, order)
        told: list[ExportProgress] = []
        report = await export_tickets(client, EVERYTHING, target, raw=True, page_size=20, on_progress=told.append)
    assert told[0].resumed_rows == report.resumed_rows == 0
    assert sorted(ids_in(target)) == list(range(1, 4001))
    assert os.listdir(tmp_path) == [target.name]


async def test_order_that_was_none_and_a_damaged_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what came after the other order was seen is damaged, nothing of before counts: each ticket comes once."""
    target = tmp_path / "t.jsonl"
    server = ListServer(Random(2), evenly(Random(2), 400, 2.0), Habits(skew=4))
    async with served(server, monkeypatch) as client:
        with monkeypatch.context() as patched:
            patched.setattr("workorder_async.exports.export.rename_whole", lambda *_: os.stat("/nowhere"))
            turning(server, 8)
            with pytest.raises(ExportError, match="No such file"):
                await export_tickets(client, EVERYTHING, target, raw=True, page_size=20, concurrency=1)
        part = tmp_path / "t.jsonl.part"
        part.write_bytes(part.read_bytes()[:-1])
        report = await export_tickets(client, EVERYTHING, target, raw=True, page_size=20)
    assert sorted(ids_in(target)) == list(range(1, 401))
    assert report.resumed_rows == 0


@pytest.mark.parametrize("suffix", slow_after(1, [".jsonl", ".sqlite"]))
async def test_order_that_another_call_saw(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that goes on, and finds another order than the one that its parts rest on, begins anew by itself."""
    target = tmp_path / f"t{suffix}"
    server = ListServer(Random(2), evenly(Random(2), 2000, 2.0), Habits(skew=4))
    raw = suffix == ".jsonl"
    async with served(server, monkeypatch) as client:
        with monkeypatch.context() as patched:
            Dying(patched)
            for _ in range(3):
                with pytest.raises(ExportError, match="No space left"):
                    await export_tickets(client, EVERYTHING, target, raw=raw)
        # Sorted on its first page, and in no order later on.
        turning(server, 4)
        told: list[ExportProgress] = []
        report = await export_tickets(client, EVERYTHING, target, raw=raw, on_progress=told.append)
    assert told[0].resumed_rows > 200
    assert told[-1].resumed_rows == report.resumed_rows == 0
    assert report.rows == 2000
    assert sorted(row["id"] for row in read_back(target)) == list(range(1, 2001))


# What stands against a result


class Undated(ListServer):
    """A list whose tickets without a created time are shown where nothing bounds the range below: at its end."""

    def _in_range(self, start: int | None, end: int | None) -> list[tuple[int, int]]:
        found = super()._in_range(start, end)
        if start is None and end is not None:
            found = [row for row in self.rows if row[1] in self._undated] + found
        return found


async def test_undated_come_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ticket without a created time that every call is shown comes once, and the result is not exact."""
    server = Undated(Random(3), evenly(Random(3), 400))
    # Two of them are on the first page, which nothing bounds.
    server._undated = {50, 150, 390, 395}
    async with served(server, monkeypatch) as client:
        Dying(monkeypatch)
        report, resumed = await chain(client, EVERYTHING, tmp_path / "t.jsonl", raw=True, page_size=20, concurrency=2)
    assert sorted(ids_in(tmp_path / "t.jsonl")) == list(range(1, 401))
    assert len(resumed) > 3
    assert not report.exact
    assert "have no created time" in report.reason


async def test_undated_that_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that goes on cannot see tickets that no range shows: it says so, and how to have them."""
    server = ListServer(Random(3), evenly(Random(3), 400), Habits(undated=0.05))
    dated, target = 400 - len(server._undated), tmp_path / "t.jsonl"
    async with served(server, monkeypatch) as client:
        with monkeypatch.context() as patched:
            Dying(patched)
            report, resumed = await chain(client, EVERYTHING, target, raw=True, page_size=20, concurrency=2)
        assert resumed[-1]
        assert not report.exact
        assert "have no created time" in report.reason or f"and {dated} by their created times" in report.reason
        again = await export_tickets(client, EVERYTHING, target, raw=True, page_size=20, overwrite=True)
    assert again.rows == 400


async def test_undated_while_others_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that goes on tells of tickets that no range shows also where more came meanwhile than these are."""
    server, target = ListServer(Random(3), evenly(Random(3), 400), Habits(order="oldest")), tmp_path / "t.jsonl"
    server._undated = {399, 400}
    async with served(server, monkeypatch) as client:
        with monkeypatch.context() as patched:
            Dying(patched)
            for _ in range(2):  # a call that goes on from the first page alone reads the whole list
                with pytest.raises(ExportError, match="No space left"):
                    await export_tickets(client, EVERYTHING, target, raw=True)
        server.create(10)
        report = await export_tickets(client, EVERYTHING, target, raw=True)
    assert report.resumed_rows
    assert report.rows == 408
    assert "counts 410 tickets, and 408 by their created times" in report.reason
    assert not report.exact


async def test_undated_while_others_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that goes on tells of a ticket that no range shows also where others leave between its questions."""
    server, target = ListServer(Random(3), evenly(Random(3), 400)), tmp_path / "t.jsonl"
    server._undated = {220}
    server.drift = lambda server: server.leave(1)
    async with served(server, monkeypatch) as client:
        Dying(monkeypatch, times=3)
        report, resumed = await chain(client, EVERYTHING, target, raw=True, page_size=20, concurrency=2)
    assert resumed[-1]
    assert 220 in {id for _, id in server.rows} - {*ids_in(target)}
    assert not report.exact
    assert "by their created times" in report.reason


@pytest.mark.parametrize("counts", [True, False])
async def test_tickets_that_left(counts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer rows than the list counted at first are no doubt where the others left meanwhile, and it can tell that.

    It may refuse ranges of many years, or to count what is dated at all.
    """
    server = ListServer(Random(3), evenly(Random(3), 400))
    server.drift = lambda server: server.leave(1)
    read = ListServer.read

    def asked(server: ListServer, ask: Ask) -> Answer:
        if ask.start == 1 and not (counts and ask.end is None):
            raise ApiError("a range of more than a year", errno=10002)
        return read(server, ask)

    monkeypatch.setattr(ListServer, "read", asked)
    async with served(server, monkeypatch) as client:
        Dying(monkeypatch)
        report, resumed = await chain(client, EVERYTHING, tmp_path / "t.jsonl", raw=True, page_size=20, concurrency=2)
    assert len(resumed) > 3
    assert report.rows < 400
    assert report.exact == counts, report.reason


async def test_bad_rows_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that cannot be read is told once, though several calls and several queries come across it."""
    server = ListServer(Random(3), evenly(Random(3), 100), Habits(bad=range(40, 43)))
    async with served(server, monkeypatch) as client:
        Dying(monkeypatch)
        queries = [TicketQuery(status=1), EVERYTHING]
        report, _ = await chain(client, queries, tmp_path / "t.jsonl", page_size=20, on_bad_row="skip")
    assert [row.id for row in report.skipped] == [42, 41, 40]
    assert (report.rows, report.skipped_rows) == (97, 3)
    assert "3 rows could not be read" in report.reason


async def test_flaw_of_an_earlier_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stood against the result at a part stands against the whole, also where the last call saw nothing of it."""
    server = ListServer(Random(3), evenly(Random(3), 400), Habits(order="oldest", undated=0.02))
    async with served(server, monkeypatch) as client:
        with monkeypatch.context() as patched:
            Dying(patched)
            with pytest.raises(ExportError, match="No space left"):
                await export_tickets(client, EVERYTHING, tmp_path / "t.jsonl", raw=True)
        server._undated.clear()
        report = await export_tickets(client, EVERYTHING, tmp_path / "t.jsonl", raw=True)
    assert report.resumed_rows
    assert not report.exact
    assert "have no created time" in report.reason


@pytest.mark.parametrize(
    ("rows", "seconds", "least", "most"), slow_after(2, [(10**9, 0.0, 8, 30), (300, 60.0, 3, 5), (10**9, 60.0, 1, 1)])
)
async def test_when_a_part_ends(
    rows: int, seconds: float, least: int, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part is on disk after so many rows, or so many seconds."""
    monkeypatch.setattr(reading, "ROWS_OF_A_PART", rows)
    monkeypatch.setattr(reading, "SECONDS_OF_A_PART", seconds)
    dying = Dying(monkeypatch, times=0)
    async with Sandbox(tickets=1200) as sandbox, sandbox.client() as client:
        await export_tickets(client, EVERYTHING, tmp_path / "t.jsonl")
    assert least <= len(dying.parts) <= most


def test_a_part_without_the_newest_fields(tmp_path: Path) -> None:
    """A manifest of a library that did not tell refused tickets from those that are gone is read."""
    head: Head = {"manifest": "workorder_async", "version": VERSION}
    part: dict[str, Any] = {"query": 0, "rows": 9, "gone": [7], "gone_tickets": 1, "end": 5, "crc": 6}
    content, total = b"", 0
    for line in (to_json(head)[:-1], to_json(part)[:-1]):
        total = crc32(line, total)
        content += line + b',"sum":"%08x"}\n' % total
    (tmp_path / "t.manifest").write_bytes(content)
    with closing(Manifest(tmp_path / "t.manifest")) as manifest:
        assert (manifest.head, manifest.parts) == (head, [Part(**part)])


def test_a_forgotten_part_that_voids_others(tmp_path: Path) -> None:
    """Where a part is forgotten that says that those before it do not count, none of them is kept."""
    head: Head = {"manifest": "workorder_async", "version": VERSION, "platform": "http://127.0.0.1"}
    with closing(Manifest(tmp_path / "t.manifest")) as manifest:
        manifest.add(head)
        for rest in ((None, BEGAN), None):
            manifest.add(Part(query=0, rows=1, rest=rest, exact=True, reason="", requests=1, read_at=1))
        manifest.keep(1)
        assert manifest.parts == []
    with closing(Manifest(tmp_path / "t.manifest")) as manifest:
        assert (manifest.head, manifest.parts) == (head, [])

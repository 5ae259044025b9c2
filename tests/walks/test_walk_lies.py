"""Walks over sockets of servers that lie or refuse: what a walk does then, and what its report says."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from attrs import define, field

from tests.support.clients import NOW as START
from tests.support.clients import make_client
from tests.support.raw_server import http, serving
from workorder_async import ApiError, ConfigError, ResponseError, RetryPolicy, Sandbox, TicketQuery, WalkDriftError
from workorder_async import WorkorderClient as Client
from workorder_async.models import JSON
from workorder_async.protocol.envelope import Answer
from workorder_async.walks.paging import PageWalk

NOW = int(START) - 10


@define
class Liar:
    """A list in memory, newest first, behind a socket; `lie` may change an answer's data or give another answer."""

    tickets: int
    lie: Callable[[dict[str, Any], dict[str, Any]], bytes | None] = field(default=lambda asked, data: None)
    filters: bool = True
    asked: list[dict[str, Any]] = field(factory=list)
    last: Callable[[], bytes] = field(default=lambda: b"")

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        asked = json.loads(self.last())
        self.asked.append(asked)
        low, high = asked.get("created_start", 0), asked.get("created_end", 2**40)
        rows = [{"id": id, "created_time": NOW - 60 * (self.tickets - id)} for id in range(self.tickets, 0, -1)]
        if self.filters:
            rows = [row for row in rows if low <= row["created_time"] <= high]
        number, size = asked["page"], asked["page_size"]
        data = {
            "pagination": {"page_size": size, "total": len(rows)},
            "tickets": rows[(number - 1) * size : number * size],
            "all": rows,
        }
        answer = self.lie(asked, data)
        del data["all"]
        writer.write(answer or http(json.dumps({"errno": 10000, "data": data})))
        await writer.drain()


@asynccontextmanager
async def lying(tickets: int, lie: Callable[..., bytes | None], **options: Any) -> AsyncIterator[tuple[Liar, Client]]:
    """Serve such a list, and give a client of it."""
    liar = Liar(tickets, lie, **options)
    async with serving(liar) as wire, make_client(wire.url, retry=RetryPolicy(attempts=1)) as client:
        liar.last = lambda: wire.requests[-1].partition(b"\r\n\r\n")[2]
        yield liar, client


async def walked(client: Client, **options: Any) -> tuple[list[int], Any]:
    """Walk to the end; return the ids that came, and the report."""
    async with client.walk(**options) as walk:
        came = [ticket.id async for tickets in walk for ticket in tickets]
    assert len(came) == len(set(came))
    return came, walk.report


def capped(most: int, *, hard: bool = False) -> Callable[..., None]:
    """Return a lie: no total is larger than this, and with `hard` no row is behind it either."""

    def lie(asked: dict[str, Any], data: dict[str, Any]) -> None:
        data["pagination"]["total"] = min(most, data["pagination"]["total"])
        if hard:
            data["tickets"] = data["tickets"][: max(0, most - (asked["page"] - 1) * asked["page_size"])]

    return lie


@pytest.mark.parametrize("options", [{}, {"verify": True}, {"window": 0}, {"concurrency": 1}])
@pytest.mark.parametrize(("tickets", "cap"), [(1500, 1000), (1500, 1050), (1040, 1000)])
async def test_capped_total(tickets: int, cap: int, options: dict[str, Any]) -> None:
    """Of a list whose total is capped, every ticket comes; exact is said only where windows or passes showed it.

    Rule 7.
    """
    async with lying(tickets, capped(cap)) as (_, client):
        came, report = await walked(client, **options)
    assert len(came) == tickets
    assert report.exact is (options != {"window": 0}), report


async def test_capped_list() -> None:
    """Where the server shows nothing behind its cap either, what is there is found by created time.

    Rule 7.
    """
    async with lying(1500, capped(1000, hard=True)) as (_, client):
        came, report = await walked(client)
        assert len(came) == 1500
        assert report.exact, report
        came, report = await walked(client, window=0)
        assert len(came) == 1000
        assert not report.exact, report


async def test_server_without_filters() -> None:
    """A server that does not filter by created time is not cut into windows, and a capped list comes whole."""
    async with lying(1500, capped(1000), filters=False) as (liar, client):
        came, report = await walked(client)
    assert len(came) == 1500
    assert not report.exact
    assert len(liar.asked) <= 50


@pytest.mark.parametrize("said", [1, 0, -1, 10**9])
@pytest.mark.parametrize("rows", [1, 100])
async def test_stray_page_size(said: int, rows: int) -> None:
    """One answer of ten with another page size, and as few rows, costs a request or two, and no ticket.

    Rule 2.
    """

    def lie(asked: dict[str, Any], data: dict[str, Any]) -> None:
        if len(liar.asked) % 10 == 3:
            data["pagination"]["page_size"] = said
            data["tickets"] = data["tickets"][:rows]

    async with lying(5050, lie) as (liar, client):
        came, report = await walked(client)
    assert len(came) == 5050
    assert report.exact, report
    assert len(liar.asked) <= 51 + (0 if rows == 100 else 12)


@pytest.mark.parametrize("total", [10**9, -5, 0, 1500])
@pytest.mark.parametrize("filters", [True, False])
@pytest.mark.parametrize("concurrency", [1, 8, 32])
async def test_page_ignored(total: int, concurrency: int, filters: bool) -> None:
    """A server that always gives the first page ends the walk after some dozens of requests, never as exact.

    Rule 9.
    """

    def lie(asked: dict[str, Any], data: dict[str, Any]) -> None:
        data["pagination"]["total"] = total
        data["tickets"] = data["all"][: asked["page_size"]]

    async with lying(1500, lie, filters=filters) as (liar, client):
        walk = client.walk(concurrency=concurrency)
        try:
            async for _ in walk:
                pass
        except WalkDriftError as error:
            assert error.report == walk.report  # noqa: PT017 - it may be raised or not
        assert not walk.report.exact
        assert len(liar.asked) <= 350


async def test_first_answer_empty() -> None:
    """A first answer without rows, of a list that has some, is read again, and sets no stride.

    Rule 2.
    """

    def lie(asked: dict[str, Any], data: dict[str, Any]) -> None:
        if len(liar.asked) == 1:
            data["pagination"]["page_size"] = 1
            data["tickets"] = []

    async with lying(1050, lie) as (liar, client):
        came, report = await walked(client)
    assert len(came) == 1050
    assert report.exact, report
    assert len(liar.asked) == 12


async def test_empty_pages_with_a_huge_total() -> None:
    """Pages without rows end a walk soon, whatever the total says, and it is not exact.

    Rule 7.
    """

    def lie(asked: dict[str, Any], data: dict[str, Any]) -> None:
        data["pagination"]["total"] = 10**9
        data["tickets"] = []

    async with lying(10, lie) as (liar, client):
        came, report = await walked(client)
    assert came == []
    assert not report.exact
    assert len(liar.asked) <= 60


REFUSALS: dict[str, bytes | None] = {
    "errno": http('{"errno":20001,"errmsg":"Result window is too large"}'),
    "400": http("<html>", "400 Bad Request"),
    "500": http("<html>", "500 Internal Server Error"),
    "empty": None,
}


def refusing(depth: int, how: str) -> Callable[..., bytes | None]:
    """Return a lie: pages that reach beyond this depth are refused."""

    def lie(asked: dict[str, Any], data: dict[str, Any]) -> bytes | None:
        if asked["page"] * asked["page_size"] <= depth:
            return None
        data["tickets"] = []
        return REFUSALS[how]

    return lie


@pytest.mark.parametrize("how", REFUSALS)
@pytest.mark.parametrize("tickets", [1200, 2950])
async def test_depth_refused(how: str, tickets: int) -> None:
    """Where pages beyond a depth are refused, the walk turns to windows: every ticket comes, and exact is true."""
    async with lying(tickets, refusing(1000, how)) as (liar, client):
        came, report = await walked(client)
        assert len(came) == tickets
        assert report.exact, report
        assert report.requests == len(liar.asked)


@pytest.mark.parametrize(("how", "error"), [("errno", ApiError), ("400", ResponseError)])
async def test_depth_refused_without_windows(how: str, error: type[Exception]) -> None:
    """Without windows a refused page is an error, after what came before it."""
    async with lying(1200, refusing(1000, how)) as (_, client):
        for options in ({"window": 0}, {"freeze": False}):
            with pytest.raises(error):
                await walked(client, **options)


async def test_page_behind_the_end_refused() -> None:
    """A server that refuses pages behind the last one is no reason to fail: what is behind is asked by time.

    Rule 7.
    """

    def lie(asked: dict[str, Any], data: dict[str, Any]) -> bytes | None:
        return None if data["tickets"] else REFUSALS["400"]

    async with lying(500, lie) as (_, client):
        came, report = await walked(client)
        assert len(came) == 500
        assert report.exact, report


@pytest.mark.parametrize("skips", [True, False])
async def test_bad_rows(skips: bool) -> None:
    """Rows that cannot be read end a walk, or are left out and named; they still count as positions."""

    def lie(asked: dict[str, Any], data: dict[str, Any]) -> None:
        for index, row in enumerate(data["tickets"]):
            if row["id"] % 50 == 7:
                data["tickets"][index] = [row["id"]]
            elif row["id"] % 50 == 9:
                row["created_time"] = [[[]], "x", "1.5.5", {"not": "a time"}][row["id"] // 50 % 4]

    async with lying(250, lie) as (_, client):
        if not skips:
            with pytest.raises(ResponseError):
                await walked(client)
            return
        came, report = await walked(client, on_bad_row="skip")
    assert len(came) == report.tickets == 240
    assert report.skipped_rows == len(report.skipped) == 10
    assert {row.id for row in report.skipped if row.id is not None} == {9, 59, 109, 159, 209}
    assert all(row.path.startswith("$.data.tickets[") for row in report.skipped)
    assert (report.exact, report.reason) == (False, "10 rows could not be read, and were skipped")
    async with make_client() as client:
        with pytest.raises(ConfigError, match="on_bad_row is 'ignore'"):
            client.walk(on_bad_row="ignore")  # type: ignore[arg-type]


async def test_giant_answer() -> None:
    """An answer of very many rows comes in pieces, and the loop turns between them."""

    def lie(asked: dict[str, Any], data: dict[str, Any]) -> None:
        data["tickets"] = data["all"]

    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with lying(20_000, lie) as (_, client), client.walk(TicketQuery(created_end=NOW)) as walk:
        await anext(walk)
        counting = asyncio.create_task(count())
        await asyncio.sleep(0)
        before = turns
        assert {len(await anext(walk)) for _ in range(10)} == {1000}
        assert turns - before >= 10
        counting.cancel()


@pytest.mark.parametrize("ahead", [0, 3600, 10**7, 10**9, 10**12])
async def test_created_times_ahead(ahead: int) -> None:
    """Tickets dated ahead of every clock are not frozen out; where new ones may then enter, exact is not said.

    Rule 1.
    """

    def lie(asked: dict[str, Any], data: dict[str, Any]) -> None:
        for row in data["tickets"]:
            row["created_time"] = str(row["created_time"] + ahead)

    came: list[int] = []
    async with lying(250, lie, filters=False) as (liar, client), client.walk() as walk:
        with suppress(StopAsyncIteration):
            while True:
                came += (await walk.next_page()).ids
        report = walk.report
    assert len(set(came)) == len(came) == 250
    ends = {asked.get("created_end") for asked in liar.asked[1:]}
    assert all(end is None or end > NOW + ahead - 5 for end in ends)
    assert report.exact is (ahead == 0), report
    assert ("a ticket is dated ahead" in report.reason) is (ahead in (3600, 10**7, 10**9)), report


@pytest.mark.parametrize("options", [{}, {"verify": True}, {"window": 0, "verify": True}])
@pytest.mark.parametrize("cap", [10**9, 1000])
async def test_milliseconds(cap: int, options: dict[str, Any]) -> None:
    """A server that keeps milliseconds, and compares its filters with them, does not lose tickets to a freeze.

    Rule 1.
    """

    def lie(asked: dict[str, Any], data: dict[str, Any]) -> None:
        rows = [row | {"created_time": row["created_time"] * 1000} for row in data["all"]]
        low, high = asked.get("created_start", 0), asked.get("created_end", 2**62)
        rows = [row for row in rows if low <= row["created_time"] <= high]
        first = (asked["page"] - 1) * asked["page_size"]
        data["tickets"] = rows[first : first + asked["page_size"]]
        data["pagination"]["total"] = min(cap, len(rows))

    async with lying(1250, lie, filters=False) as (_, client):
        came, report = await walked(client, **options)
    assert len(came) == 1250
    assert report.exact is ("verify" in options), report


@pytest.mark.parametrize("tickets", [100, 500, 450])
async def test_last_page_given_again(tickets: int) -> None:
    """A server that gives its last page for every later one too, as many do, is walked to an exact end.

    Rule 7.
    """

    def lie(asked: dict[str, Any], data: dict[str, Any]) -> None:
        start = (min(asked["page"], -(-tickets // 100)) - 1) * 100
        data["tickets"] = data["all"][start : start + 100]

    async with lying(tickets, lie) as (_, client):
        came, report = await walked(client)
    assert len(came) == tickets
    assert report.exact, report


@pytest.mark.parametrize(
    ("ahead", "exact"), [(0, True), (4, True), (-4, True), (40, False), (-40, False), (3600, False), (-86_400, False)]
)
async def test_clocks_that_differ_freeze_nothing_for_certain(ahead: int, *, exact: bool) -> None:
    """Where our clock and the server's `Date` differ, the end may be in the server's future: exact is not said.

    Rule 1.
    """
    async with Sandbox(250, date_offset=ahead) as sandbox, sandbox.client() as client:
        await client.list_tickets()
        async with client.walk() as walk:
            came = [ticket.id async for tickets in walk for ticket in tickets]
        assert len(set(came)) == 250
        assert walk.report.exact is exact, walk.report
        assert exact or "differ by" in walk.report.reason
        async with client.walk(verify=True) as walk:
            assert [ticket.id async for tickets in walk for ticket in tickets]
        assert walk.report.exact


@pytest.mark.parametrize("oldest_first", [True, False])
def test_a_ticket_that_enters_behind_what_was_read(*, oldest_first: bool) -> None:
    """Oldest first, one that enters at the end hides one that leaves at the front: the total stays. It is not exact.

    Rule 1.
    """
    rows: list[JSON] = [{"id": id, "created_time": int(START) - 1000 + id} for id in range(40)]
    if not oldest_first:
        rows.reverse()
    walk = PageWalk(TicketQuery(), page_size=10, concurrency=1)
    while not walk.finished:
        walk.take()
        read = walk.next_read()
        if read is None:
            continue
        first = (read.request.page - 1) * 10
        page: JSON = {"pagination": {"page_size": 10, "total": len(rows)}, "tickets": rows[first : first + 10]}
        walk.receive(read, Answer(page), START)
        if first == 0 and {"id": 99, "created_time": int(START)} not in rows:
            del rows[3]
            rows.insert(len(rows) if oldest_first else 0, {"id": 99, "created_time": int(START)})
    assert walk.report.exact is not oldest_first, walk.report
    assert (10 in walk.ledger.seen) is not oldest_first

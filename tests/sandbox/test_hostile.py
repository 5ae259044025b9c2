import asyncio
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from tests.support.rows import each
from tests.support.sandbox_faults import comment
from tests.support.sandbox_wire import Clock, Wire, ticket_request, wired
from tests.support.slow import slow_after
from workorder_async.errors import ConfigError
from workorder_async.sandbox import Errno, Fault, Kind, Sandbox


@pytest.mark.parametrize(
    ("kind", "status", "applied"),
    [
        ("500", 500, 0),
        ("500_after", 500, 1),
        ("502_after", 502, 1),
        ("504_after", 504, 1),
        ("401", 401, 0),
        ("403", 403, 0),
        ("errno", 200, 0),
        ("errno_after", 200, 1),
    ],
)
@pytest.mark.parametrize("errno", slow_after(1, [23000, 90777]))
async def test_a_failure_in_an_envelope(kind: Kind, status: int, applied: int, errno: int) -> None:
    """It has the status of its name and the errno asked for, whatever became of the mutation."""
    async with wired(Sandbox(3, faults=[Fault(kind, errno=errno)])) as wire:
        answer = await comment(wire)
        assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json")
        assert set(answer.envelope) == {"errno", "errmsg", "request_id"}
        assert answer.envelope["errno"] == errno
        assert len(wire.sandbox.applied) == applied


@pytest.mark.parametrize("kind", ["500", "500_after", "502_after", "504_after"])
async def test_a_failure_without_an_errno_has_an_invented_one(kind: Kind) -> None:
    """Nobody's table knows it."""
    async with wired(Sandbox(3, faults=[Fault(kind)])) as wire:
        assert (await comment(wire)).envelope["errno"] == int(Errno.FAULT) == 90011


@pytest.mark.parametrize("kind", ["401", "403"])
async def test_a_gateway_that_knows_nobody_says_so_in_a_page(kind: Kind) -> None:
    """Without an errno it is no envelope."""
    async with wired(Sandbox(3, faults=[Fault(kind)])) as wire:
        answer = await comment(wire)
    assert (answer.status, answer.headers["Content-Type"]) == (int(kind), "text/plain; charset=utf-8")
    assert not answer.body.startswith(b"{")


@pytest.mark.parametrize("retry_after", [0, 10**9, None])
async def test_busy_and_applied_all_the_same(retry_after: int | None) -> None:
    """A 503 after the mutation looks like one before it."""
    faults = [Fault(kind, retry_after=retry_after, times=1) for kind in ("429", "503", "503_after")]
    async with wired(Sandbox(3, faults=faults)) as wire:
        limited, before, after = [await comment(wire) for _ in range(3)]
        assert len(wire.sandbox.applied) == 1
    assert limited.status == 429
    assert limited.headers.get("Retry-After") == after.headers.get("Retry-After")
    assert (before.status, before.body) == (after.status, after.body) == (503, before.body)
    assert before.headers.get("Retry-After") == after.headers.get("Retry-After")
    assert after.headers.get("Retry-After") == (None if retry_after is None else str(retry_after))


@pytest.mark.parametrize(("kind", "applied"), [("portal", 0), ("portal_after", 1)])
async def test_a_captive_portal_says_success_in_html(kind: Kind, applied: int) -> None:
    """It is a 200 with a page of HTML."""
    async with wired(Sandbox(3, faults=[Fault(kind)])) as wire:
        answer = await comment(wire)
        assert len(wire.sandbox.applied) == applied
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.body.startswith(b"<!DOCTYPE html>")


def seconds_of(date: str) -> float:
    """Return what a Date header says, in seconds since the epoch."""
    return parsedate_to_datetime(date).timestamp()


@pytest.mark.parametrize("seconds", [-86400, 3600])
async def test_a_date_that_lies_once(seconds: float) -> None:
    """One answer's Date is off; what is too old is still told by the clock."""
    clock = Clock(1660298589.0)
    async with wired(Sandbox(3, faults=[Fault("date", seconds=seconds, times=1)], clock=clock)) as wire:
        wire.time = clock
        dates = [(await comment(wire)).headers["Date"] for _ in range(2)]
        assert [one.time for one in wire.sandbox.applied] == [clock.now] * 2
    assert [seconds_of(date) - clock.now for date in dates] == [seconds, 0]


async def test_every_date_lies() -> None:
    """`date_offset` moves each answer's Date, a 404's too, and no clock."""
    clock = Clock(1660298589.0)
    async with wired(Sandbox(3, date_offset=-86400, clock=clock)) as wire:
        wire.time = clock
        answers = [await comment(wire), await wire.send("GET", "nothing")]
        assert answers[0].envelope["errno"] == 10000
        assert wire.sandbox.applied[0].time == clock.now
    assert [seconds_of(one.headers["Date"]) - clock.now for one in answers] == [-86400, -86400]


async def test_a_date_before_1970_is_the_first_one() -> None:
    """An offset that leads nowhere is still a Date."""
    async with wired(Sandbox(3, date_offset=-(10**9), clock=Clock(5.0))) as wire:
        assert (await wire.send("GET", "nothing")).headers["Date"] == "Thu, 01 Jan 1970 00:00:00 GMT"


async def test_two_backends_tell_two_times() -> None:
    """Requests go to them in turn; each has its own Date, and its own mind of what is too old."""
    clock = Clock(1660298589.0)
    async with wired(Sandbox(3, backends=(-200, 200), clock=clock)) as wire:
        wire.time = clock
        answers = [await comment(wire) for _ in range(4)]
        assert [one.envelope["errno"] for one in answers] == [10000] * 4
        assert [seconds_of(one.headers["Date"]) - clock.now for one in answers] == [-200, 200, -200, 200]
        wire.time = lambda: clock.now + 150
        errnos = [(await comment(wire)).envelope["errno"] for _ in range(4)]
        assert errnos == [90002, 10000, 90002, 10000]
        assert {one.time for one in wire.sandbox.applied} == {clock.now}


@each(
    ("arguments", "named"),
    [
        ({"date_offset": "1"}, "date_offset"),
        ({"date_offset": float("inf")}, "date_offset"),
        ({"backends": 200}, "backends"),
        ({"backends": (200, None)}, r"backends\[1\]"),
        ({"rate": 0}, "rate"),
        ({"rate": 0.5}, "rate"),
        ({"retry_after": 1}, "give rate too"),
        ({"rate_errno": 90009}, "give rate too"),
        ({"rate": 1, "retry_after": -1}, "retry_after"),
        ({"rate": 1, "retry_after": 1, "rate_errno": 90009}, "one of them"),
        ({"rate": 1, "rate_errno": 10000}, "rate_errno"),
        ({"rate": 1, "rate_errno": "90009"}, "rate_errno"),
        ({"total_cap": -1}, "total_cap"),
        ({"page_depth": 0}, "page_depth"),
        ({"spelling": "Java"}, "spelling"),
    ],
)
def test_a_habit_that_cannot_be_is_refused(arguments: dict[str, Any], named: str) -> None:
    """The argument is named."""
    with pytest.raises(ConfigError, match=named):
        Sandbox(0, **arguments)


async def listed(wire: Wire, **fields: Any) -> dict[str, Any]:
    """Read a page of the list, and return its data."""
    envelope = await wire.post("list_tickets", fields)
    assert envelope["errno"] == 10000, envelope
    data: dict[str, Any] = envelope["data"]
    return data


def ids_of(data: dict[str, Any]) -> list[int]:
    """Return the ids of a page."""
    return [one["id"] for one in data["tickets"]]


async def test_totals_may_be_capped() -> None:
    """No total says more than the cap, and all the rows are there; below it totals are true."""
    async with wired(Sandbox(25, total_cap=20)) as wire:
        pages = [await listed(wire, page=page, page_size=10) for page in (1, 2, 3)]
        few = await listed(wire, creator_id=210001, page_size=100)
    assert [page["pagination"] for page in pages] == [{"page_size": 10, "total": 20}] * 3
    assert [len(page["tickets"]) for page in pages] == [10, 10, 5]
    assert few["pagination"]["total"] == len(few["tickets"]) < 20


async def test_deep_pages_may_be_refused() -> None:
    """A page that ends within the depth is given, one that goes beyond it is refused, and is no read of the list."""
    async with wired(Sandbox(50, page_depth=20)) as wire:
        assert len(ids_of(await listed(wire, page=2, page_size=10))) == 10
        refused = await wire.post("list_tickets", {"page": 3, "page_size": 10})
        assert refused["errno"] == int(Errno.PAGE_DEPTH) == 90010
        assert "data" not in refused
        assert (await wire.post("list_tickets", {"page": 3, "page_size": 7}))["errno"] == 90010
        assert (await wire.post("list_tickets", {"page_size": 21}))["errno"] == 90010
        assert (await wire.post("list_tickets", {"page": 4, "page_size": 5}))["errno"] == 10000


async def test_ties_may_be_shuffled() -> None:
    """Tickets of one second come in another order each time, by the seed; all others stay in their places."""
    now = Clock(1660298589.0)
    reads = []
    for seed in (1, 1, 2):
        async with wired(Sandbox(20, shuffle_ties=True, seed=seed, clock=now)) as wire:
            wire.time = now
            before = ids_of(await listed(wire, page_size=100))
            tied = [(await wire.post("create", ticket_request()))["data"]["id"] for _ in range(30)]
            pages = [ids_of(await listed(wire, page_size=100)) for _ in range(4)]
            assert all(sorted(page[-30:]) == tied for page in pages)
            assert all(sorted(page[:-30]) == sorted(before) for page in pages)
            assert len({tuple(page) for page in pages}) == 4
            reads.append(pages)
    assert reads[0] == reads[1] != reads[2]
    async with wired(Sandbox(0, clock=now)) as wire:
        wire.time = now
        tied = [(await wire.post("create", ticket_request()))["data"]["id"] for _ in range(9)]
        assert ids_of(await listed(wire)) == tied[::-1]


@pytest.mark.parametrize(
    ("fault", "pagination"),
    [
        (Fault("total", number=10**9, times=1), {"page_size": 10, "total": 10**9}),
        (Fault("total", number=0, times=1), {"page_size": 10, "total": 0}),
        (Fault("page_size", times=1), {"page_size": 1, "total": 25}),
        (Fault("page_size", number=0, times=1), {"page_size": 0, "total": 25}),
    ],
)
async def test_one_page_lies_about_the_list(fault: Fault, pagination: dict[str, int]) -> None:
    """What it says of the list is wrong, its rows are right, and the next page says the truth."""
    async with wired(Sandbox(25, faults=[fault])) as wire:
        await wire.get("base", id=1001)
        lying, right = await listed(wire), await listed(wire)
        assert [one.operation for one in wire.sandbox.struck] == ["list_tickets"]
    assert lying["pagination"] == pagination
    assert right["pagination"] == {"page_size": 10, "total": 25}
    assert lying["tickets"] == right["tickets"]


async def test_the_page_may_be_ignored() -> None:
    """Whichever page is asked for, it is the first."""
    async with wired(Sandbox(25, faults=[Fault("first_page")])) as wire:
        pages = [ids_of(await listed(wire, page=page)) for page in (1, 2, 3, 99)]
        wire.sandbox.faults = ()
        second = ids_of(await listed(wire, page=2))
    assert pages == [pages[0]] * 4
    assert not set(second) & set(pages[0])


async def test_a_row_may_mean_nothing() -> None:
    """The middle row's created_time is a list, and everything else is right; an empty page has no such row."""
    async with wired(Sandbox(25, faults=[Fault("bad_row", times=2)])) as wire:
        nothing, bad, right = await listed(wire, page=9), await listed(wire), await listed(wire)
    assert nothing["tickets"] == []
    assert bad["tickets"][5].pop("created_time") == [1]
    assert right["tickets"][5].pop("created_time") > 1
    assert bad == right


@pytest.mark.parametrize("name", ["base", "detail"])
@pytest.mark.parametrize(("asked", "answered"), [(1001, 1002), (1003, 1001), (77, 1001)])
async def test_another_ticket_may_answer(name: str, asked: int, answered: int) -> None:
    """It is the next one, whole; pages and mutations meet nothing."""
    async with wired(Sandbox(3, faults=[Fault("other_ticket")])) as wire:
        assert len(ids_of(await listed(wire))) == 3
        assert (await comment(wire)).envelope["errno"] == 10000
        got = await wire.get(name, id=asked)
        struck = [one.operation for one in wire.sandbox.struck]
        wire.sandbox.faults = ()
        right = await wire.get(name, id=answered)
    assert got["data"] == right["data"]
    assert struck == ["get_ticket" if name == "base" else "get_ticket_detail"]


async def test_another_ticket_needs_one() -> None:
    """Where there is none, nothing is found, as always."""
    async with wired(Sandbox(0, faults=[Fault("other_ticket")])) as wire:
        assert (await wire.get("base", id=1))["errno"] == 90005


@pytest.mark.slow
async def test_a_true_limit() -> None:
    """In no second more requests are let through than the rate, none is refused below it, and all are counted."""
    async with wired(Sandbox(3, rate=20)) as wire:
        statuses: list[int] = []
        while len(wire.sandbox.granted) < 25:
            answers = await asyncio.gather(*(comment(wire) for _ in range(8)))
            statuses += [one.status for one in answers]
            assert all("Retry-After" not in one.headers for one in answers)
        granted, refused = wire.sandbox.granted, wire.sandbox.refused
        assert set(statuses) == {200, 429}
        assert wire.sandbox.requests == {"comment_ticket": len(statuses)}
        assert refused == {"comment_ticket": statuses.count(429)}
        assert len(granted) == len(wire.sandbox.applied) == statuses.count(200)
    assert all(later - earlier >= 1 for earlier, later in zip(granted, granted[20:], strict=False))
    assert statuses[:24].count(200) >= 20, "the first ones are all let through"


@pytest.mark.parametrize(
    ("options", "status", "retry_after", "errno"),
    [
        ({}, 429, None, None),
        ({"retry_after": 7}, 429, "7", None),
        ({"rate_errno": 90009}, 200, None, 90009),
        ({"rate_errno": 4290}, 200, None, 4290),
    ],
)
async def test_how_a_request_beyond_the_rate_is_refused(
    options: dict[str, Any], status: int, retry_after: str | None, errno: int | None
) -> None:
    """With HTTP 429, with or without Retry-After, or with an errno; no fault strikes it."""
    async with wired(Sandbox(3, rate=1, faults=[Fault("date")], **options)) as wire:
        assert (await comment(wire)).envelope["errno"] == 10000
        answer = await comment(wire)
        assert len(wire.sandbox.struck) == len(wire.sandbox.applied) == 1
    assert (answer.status, answer.headers.get("Retry-After")) == (status, retry_after)
    assert (answer.envelope["errno"] if errno else None) == errno


async def test_without_a_rate_nothing_is_refused_or_kept() -> None:
    """The counters say so."""
    async with wired(Sandbox(3)) as wire:
        for _ in range(30):
            await comment(wire)
        assert (wire.sandbox.refused, wire.sandbox.granted) == ({}, [])

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.rows import each
from tests.support.sandbox_wire import Clock, Wire, ticket_request, wired
from workorder_async.document import TicketStatus
from workorder_async.errors import ConfigError
from workorder_async.sandbox import Drift, Sandbox


async def pages(wire: Wire, count: int, **filters: Any) -> list[list[int]]:
    """Read pages of ten of the pending tickets, one after the other, and return their ids."""
    asked = [{"status": 1, "page": page, "page_size": 10} | filters for page in range(1, count + 1)]
    answers = [await wire.post("list_tickets", body) for body in asked]
    return [[row["id"] for row in answer["data"]["tickets"]] for answer in answers]


async def ids(wire: Wire, status: int = 1) -> list[int]:
    """Return all ids of a status by the store itself, which counts no read."""
    return wire.sandbox._store.ids(status)


@each(
    ("arguments", "named"),
    [
        ({}, "changes nothing"),
        ({"close": -1}, r"Drift\.close"),
        ({"reopen": True}, r"Drift\.reopen"),
        ({"create": 1.5}, r"Drift\.create"),
        ({"delete": "1"}, r"Drift\.delete"),
        ({"close": 1, "after": 0}, r"Drift\.after"),
        ({"close": 1, "every": -1}, r"Drift\.every"),
        ({"close": 1, "times": 0}, r"Drift\.times"),
        ({"close": 1, "pick": "latest"}, r"Drift\.pick.*random.*newest.*oldest"),
        ({"close": 1, "status": TicketStatus.CLOSED}, r"Drift\.status"),
        ({"close": 1, "status": 1}, r"Drift\.status"),
    ],
)
def test_an_impossible_drift_is_refused(arguments: dict[str, Any], named: str) -> None:
    """A value that cannot be is named when the Drift is made."""
    with pytest.raises(ConfigError, match=named):
        Drift(**arguments)


@pytest.mark.parametrize("script", [Drift(close=1), [Drift(close=1), 5], 7])
def test_a_script_is_a_list_of_drifts(script: Any) -> None:
    """One Drift without brackets, or something else among them, is refused at once, and later too."""
    with pytest.raises(ConfigError, match="drift"):
        Sandbox(0, drift=script)
    sandbox = Sandbox(0)
    with pytest.raises(ConfigError, match="drift"):
        sandbox.drift = script
    assert sandbox.drift == ()


@pytest.mark.parametrize(
    ("drift", "due"),
    [
        (Drift(close=1), [1]),
        (Drift(after=3, close=1), [3]),
        (Drift(after=3, every=1, close=1), [3, 4, 5, 6, 7, 8]),
        (Drift(after=2, every=3, close=1), [2, 5, 8]),
        (Drift(after=2, every=3, times=2, close=1), [2, 5]),
        (Drift(after=2, times=2, close=1), [2]),
    ],
)
async def test_it_happens_after_the_reads_it_says(drift: Drift, due: list[int]) -> None:
    """After the first read named, then after every so many, at the most so often; the page read is not touched."""
    async with wired(Sandbox(400, drift=[drift])) as wire:
        before = await ids(wire)
        totals = []
        for _ in range(8):
            answer = await wire.post("list_tickets", {"status": 1, "page_size": 1})
            totals.append(answer["data"]["pagination"]["total"])
        assert [one.after for one in wire.sandbox.drifted] == due
        assert totals == [len(before) - sum(read < number for read in due) for number in range(1, 9)]
        assert wire.sandbox.applied == []


async def test_a_new_script_counts_anew_and_an_empty_one_ends_it() -> None:
    """To set `drift` begins at read 1; `()` stops; other endpoints and refused lists are no reads."""
    async with wired(Sandbox(100)) as wire:
        sandbox = wire.sandbox
        await pages(wire, 3)
        sandbox.drift = [Drift(after=2, every=1, close=1)]
        await wire.get("base", id=1001)
        assert (await wire.post("list_tickets", {"page": 0}))["errno"] == 90004
        await pages(wire, 3)
        assert [one.after for one in sandbox.drifted] == [2, 3]
        sandbox.drift = ()
        await pages(wire, 3)
        assert len(sandbox.drifted) == 2
        sandbox.drifted.clear()
        assert len(sandbox.drifted) == 2


async def test_what_is_closed_is_closed_as_by_its_creator() -> None:
    """A closed ticket has status, times and a last step; a pending one was chosen, and the record names it."""
    clock = Clock()
    async with wired(Sandbox(100, clock=clock)) as wire:
        wire.time = clock
        before = await ids(wire)
        changed = await wire.sandbox.change(close=3)
        assert (changed.reopened, changed.created, changed.deleted) == ((), (), ())
        assert (changed.after, changed.time) == (0, clock.now)
        assert len(set(changed.closed)) == 3
        assert await ids(wire) == [id for id in before if id not in changed.closed]
        detail = (await wire.get("detail", id=changed.closed[0]))["data"]
        assert wire.sandbox.drifted == [changed]
        assert wire.sandbox.applied == []
    now = int(clock.now)
    assert (detail["status"], detail["is_solved"]) == (3, True)
    assert (detail["closed_time"], detail["solved_time"], detail["updated_time"]) == (now, now, now)
    last = detail["assigns"][0]["history"][-1]
    assert (last["action"], last["creator_name"]) == (6, detail["creator_name"])


async def test_what_is_reopened_is_pending_again() -> None:
    """A reopened ticket is in the pending list at its old place, has no time of closing, and says so."""
    async with wired(Sandbox(100)) as wire:
        before = await ids(wire)
        closed = await wire.sandbox.change(close=5)
        everything = await wire.sandbox.change(reopen=10**6)
        assert set(closed.closed) < set(everything.reopened)
        assert await ids(wire, 3) == []
        after = await ids(wire)
        assert after == sorted({*before, *everything.reopened}, reverse=True)
        detail = (await wire.get("detail", id=everything.reopened[0]))["data"]
    assert (detail["status"], detail["is_solved"]) == (1, False)
    assert (detail["closed_time"], detail["solved_time"], detail["finished_time"]) == (0, 0, 0)
    assert detail["assigns"][0]["status"] == 1
    assert detail["assigns"][0]["history"][-1]["action"] == 7


async def test_what_is_created_is_the_newest() -> None:
    """New tickets are pending, are created now, get the next ids, and have what a seeded ticket has."""
    clock = Clock(1760298589.9)
    async with wired(Sandbox(20, clock=clock)) as wire:
        wire.time = clock
        changed = await wire.sandbox.change(create=3)
        assert changed.created == (1021, 1022, 1023)
        assert (await ids(wire))[:3] == [1023, 1022, 1021]
        detail = (await wire.get("detail", id=1022))["data"]
        base = (await wire.get("base", id=1022))["data"]
        assert (await wire.post("create", ticket_request()))["data"] == {"id": 1024}
    assert (base["status"], base["created_time"], base["started_time"]) == (1, 1760298589, 0)
    assert base["title"]
    assert detail["customer_info"]
    assert [one["display_name"] for one in detail["form_define"]] == list(detail["form_values"])
    assert detail["form_values"]["实例ID"].startswith(f"i-{1022:06x}")


async def test_in_an_empty_sandbox_tickets_can_be_created_and_nothing_closed() -> None:
    """Where there are fewer tickets than asked for it is those, none at all too."""
    async with wired(Sandbox(0)) as wire:
        nothing = await wire.sandbox.change(close=2, delete=2, reopen=2)
        assert (nothing.closed, nothing.deleted, nothing.reopened) == ((), (), ())
        assert (await wire.sandbox.change(create=1)).created == (1,)
        assert (await wire.sandbox.change(close=2)).closed == (1,)


async def test_what_is_deleted_is_gone() -> None:
    """A deleted ticket is in no list and under no id, and its id is not given again."""
    async with wired(Sandbox(20)) as wire:
        await wire.sandbox.change(create=1)
        assert (await wire.sandbox.change(delete=1, pick="newest")).deleted == (1021,)
        assert (await wire.get("base", id=1021))["errno"] == 90005
        assert 1021 not in await ids(wire)
        assert (await wire.sandbox.change(create=1)).created == (1022,)


async def test_newest_and_oldest_are_the_ends_of_the_list() -> None:
    """`pick` takes from the first row on, or from the last."""
    async with wired(Sandbox(100)) as wire:
        before = await ids(wire)
        newest = await wire.sandbox.change(close=2, delete=1, pick="newest")
        oldest = await wire.sandbox.change(close=2, delete=1, pick="oldest")
    assert (newest.closed, newest.deleted) == (tuple(before[:2]), (before[2],))
    assert (oldest.closed, oldest.deleted) == ((before[-1], before[-2]), (before[-3],))


async def test_the_list_in_process_moves_when_told() -> None:
    """With `status` PROCESSING the pending list stays, and what enters is in process."""
    async with wired(Sandbox(100)) as wire:
        pending, processing = await ids(wire), await ids(wire, 2)
        changed = await wire.sandbox.change(close=2, reopen=1, create=1, delete=1, status=TicketStatus.PROCESSING)
        assert await ids(wire) == pending
        gone = {*changed.closed, *changed.deleted}
        assert gone < set(processing)
        assert set(await ids(wire, 2)) == {*processing, *changed.reopened, *changed.created} - gone
        created = (await wire.get("detail", id=changed.created[0]))["data"]
        assert 0 < created["started_time"] <= created["updated_time"], "somebody has begun with it"
        assert created["assigns"][0]["user_id"]


async def test_one_change_touches_no_ticket_twice() -> None:
    """Closed, reopened, created and deleted tickets of one change are different ones, when it takes them all too."""
    async with wired(Sandbox(60)) as wire:
        pending, closed = await ids(wire), await ids(wire, 3)
        changed = await wire.sandbox.change(close=len(pending) - 2, delete=9, reopen=10**6, create=3)
        assert len(changed.deleted) == 2
        assert {*changed.closed, *changed.deleted} == set(pending)
        assert set(changed.reopened) == set(closed)
        assert set(await ids(wire)) == {*changed.reopened, *changed.created}


async def test_the_same_seed_changes_the_same_tickets() -> None:
    """Seed, script and requests decide which tickets change; another seed changes others."""
    script = [Drift(after=2, every=2, close=3, delete=1), Drift(after=3, every=1, reopen=2, create=1)]
    records = []
    for seed in (1, 1, 2):
        clock = Clock()
        async with wired(Sandbox(300, seed=seed, drift=script, clock=clock)) as wire:
            wire.time = clock
            await pages(wire, 6)
            records.append(wire.sandbox.drifted)
    assert records[0] == records[1]
    assert records[0] != records[2]
    assert [one.after for one in records[0]] == [2, 3, 4, 4, 5, 6, 6]


async def test_chance_reaches_every_ticket() -> None:
    """Among ten tickets each one is chosen first now and then, the ends too."""
    async with wired(Sandbox(0)) as wire:
        await wire.sandbox.change(create=10)
        chosen = set()
        for _ in range(150):
            (id,) = (await wire.sandbox.change(close=1)).closed
            await wire.sandbox.change(reopen=1)
            chosen.add(id)
    assert chosen == set(range(1, 11))


async def test_a_plain_walk_over_a_moving_list_misses_tickets() -> None:
    """Ten that leave per read push the rest over the pages' edges; by the record it is known which stayed."""
    async with wired(Sandbox(1000, drift=[Drift(every=1, close=10)])) as wire:
        before = await ids(wire)
        seen = [id for page in await pages(wire, 12) for id in page]
        left = {id for one in wire.sandbox.drifted for id in one.closed}
        stayed = set(before) - left
        assert stayed == set(await ids(wire))
    assert len(left) == 120
    assert stayed - set(seen)


async def test_side_by_side_every_read_is_counted_once() -> None:
    """A hundred reads at once, each followed by one closing: totals fall one by one, whatever the order."""
    async with wired(Sandbox(1500, drift=[Drift(every=1, close=1)])) as wire:
        count = len(await ids(wire))
        asked = [wire.post("list_tickets", {"status": 1, "page_size": 1}) for _ in range(100)]
        totals = [answer["data"]["pagination"]["total"] for answer in await asyncio.gather(*asked)]
        assert [one.after for one in wire.sandbox.drifted] == list(range(1, 101))
    assert sorted(totals, reverse=True) == [count - number for number in range(100)]


async def test_change_needs_a_running_sandbox() -> None:
    """Before it runs there is no list to change; a change of nothing is refused."""
    sandbox = Sandbox(0)
    with pytest.raises(ConfigError, match="not running"):
        await sandbox.change(close=1)
    with pytest.raises(ConfigError, match="changes nothing"):
        await sandbox.change()


def _costs(store: Any, drifting: Any, drift: Drift) -> Iterator[float]:
    for _ in range(30):
        began = time.perf_counter()
        drifting.change(store, drift)
        yield time.perf_counter() - began


@pytest.mark.slow
async def test_ten_closings_are_cheap() -> None:
    """Among 10,000 tickets ten closings take less than 10 ms (a millisecond or so, on a machine that is not busy)."""
    async with Sandbox(10_000) as sandbox:
        costs = list(_costs(sandbox._store, sandbox._drifting, Drift(close=10)))
    assert min(costs) < 0.010

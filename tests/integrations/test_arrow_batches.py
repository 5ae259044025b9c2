"""Windows as Arrow record batches: every ticket once, the columns of exports, and what cannot be exact."""

import asyncio
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest

from tests.support.engines import SandboxThread
from tests.support.export_rows import as_read, cells
from tests.support.exports import truth
from tests.support.garbage import collect_in
from tests.support.slow import slow_after
from workorder_async import (
    ConfigError,
    SchemeSigner,
    TicketQuery,
    TicketStatus,
    WalkDriftError,
    Window,
    WorkorderClient,
    blocking,
)
from workorder_async.exports import DETAIL_COLUMNS, TICKET_COLUMNS
from workorder_async.exports.sink import Record
from workorder_async.integrations import arrow_batches as module
from workorder_async.integrations.arrow_batches import ArrowOptions, arrow_batches, arrow_schema
from workorder_async.sandbox import Drift, Fault


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxThread]:
    """Give a sandbox in a thread of its own: these tests have no event loop."""
    with SandboxThread(tickets=3000) as sandbox:
        yield sandbox


def _planned(sandbox: SandboxThread, query: TicketQuery | None = None, max_tickets: int = 100) -> list[Window]:
    async def plan() -> list[Window]:
        async with sandbox.connect() as client:
            return await client.plan_windows(query or TicketQuery(), max_tickets=max_tickets)

    return asyncio.run(plan())


def _rows(batches: Any) -> list[dict[str, object]]:
    return [row for batch in batches for row in batch.to_pylist()]


def test_each_ticket_once(sandbox: SandboxThread) -> None:
    """Windows that are read one by one, from copies by pickle, give together what the list has, cell for cell."""
    found = []
    for window in _planned(sandbox):
        work = pickle.loads(pickle.dumps((window, sandbox.connect, ArrowOptions(batch_rows=300))))
        batches = list(arrow_batches(*work))
        assert all(batch.num_rows <= 300 and batch.schema == arrow_schema() for batch in batches)
        found += _rows(batches)

    async def listed() -> list[dict[str, object]]:
        async with sandbox.connect() as client:
            return [_cells(ticket) for ticket in await truth(client)]

    def by_id(row: dict[str, Any]) -> int:
        return int(row["id"])

    assert sorted(found, key=by_id) == sorted(asyncio.run(listed()), key=by_id)


def _cells(row: Record) -> dict[str, object]:
    return as_read(Path("t.parquet"), cells(row))


@pytest.mark.slow
def test_several_windows(sandbox: SandboxThread) -> None:
    """A list of windows is one iterator, in any order; none at all is an empty one, for which no client is made."""
    windows = _planned(sandbox)
    assert len(windows) > 20
    for some in (windows, windows[::-1], [*windows[2:], *windows[:2]]):
        ids = [row["id"] for row in _rows(arrow_batches(some, sandbox.connect))]
        assert len(ids) == len(set(ids)) == 3000
    assert list(arrow_batches([], pytest.fail)) == []


def test_windows_that_follow_each_other(sandbox: SandboxThread) -> None:
    """They are one walk, which costs what the whole list does; a gap, or another query, begins another one."""
    windows = _planned(sandbox)
    assert len(windows) > 20
    before = sandbox.requests["list_tickets"]
    assert len(_rows(arrow_batches(windows, sandbox.connect))) == 3000
    assert sandbox.requests["list_tickets"] - before < 40
    first, second, third = windows[0], windows[1], windows[2]
    assert module._merged([first, second, third]) == [Window(first.query, first.start, third.end)]
    other = Window(TicketQuery(status=TicketStatus.CLOSED), second.start, second.end)
    for some in ([first, third], [second, first], [first, other], [Window(TicketQuery())] * 2):
        assert module._merged(some) == some


@pytest.mark.parametrize("detail", [False, True])
def test_schema(detail: bool) -> None:
    """The schema is the table of exports, with the times that Spark reads."""
    table = DETAIL_COLUMNS if detail else TICKET_COLUMNS
    found = [(field.name, str(field.type)) for field in arrow_schema(ArrowOptions(detail=detail))]
    assert found == [(column.name, column.arrow.replace("ms", "us")) for column in table.columns]


def test_columns(sandbox: SandboxThread) -> None:
    """Columns can be chosen, in any order; a time does not need the seconds beside it."""
    options = ArrowOptions(columns=["created_at", "id"])
    (batch,) = arrow_batches(_planned(sandbox)[-1], sandbox.connect, ArrowOptions(columns=("created_at", "id")))
    assert batch.schema == arrow_schema(options)
    assert batch.schema.names == ["created_at", "id"]
    assert all(time is not None for time in batch.column(0).to_pylist())
    with pytest.raises(ConfigError, match="there is no column 'flow'; there are id, title"):
        ArrowOptions(columns=("id", "flow"))


def test_detail(sandbox: SandboxThread) -> None:
    """Full records are read with their own columns."""
    window = _planned(sandbox)[-1]
    options = ArrowOptions(detail=True)
    rows = _rows(arrow_batches(window, sandbox.connect, options))
    assert list(rows[0]) == list(DETAIL_COLUMNS.names)
    assert {row["id"] for row in rows} == {row["id"] for row in _rows(arrow_batches(window, sandbox.connect))}


@pytest.mark.parametrize(("errno", "how"), slow_after(1, [(90005, "gone"), (90404, "refused")]))
def test_details_that_are_missing(sandbox: SandboxThread, errno: int, how: str) -> None:
    """A ticket that is gone or refused when its full record is asked for is an error, unless that may be."""
    window = _planned(sandbox)[-1]
    with sandbox.failing(Fault("errno", errno=errno, operation="get_ticket_detail", every=2)):
        with pytest.raises(WalkDriftError, match=rf"tickets were {how} .* exact=False"):
            list(arrow_batches(window, sandbox.connect, ArrowOptions(detail=True)))
        rows = _rows(arrow_batches(window, sandbox.connect, ArrowOptions(detail=True, exact=False)))
    assert 0 < len(rows) < 200


def test_what_is_not_exact(sandbox: SandboxThread) -> None:
    """A walk that is not exact is an error that says why, and what helps; unless that is accepted."""
    windows = _planned(sandbox)[-2:]
    with sandbox.failing(Fault("bad_row", operation="list_tickets")):
        with pytest.raises(WalkDriftError, match=r"could not be read, .* exact=False") as caught:
            list(arrow_batches(windows, sandbox.connect, ArrowOptions(on_bad_row="skip")))
        options = ArrowOptions(on_bad_row="skip", exact=False)
        rows = _rows(arrow_batches(windows, sandbox.connect, options))
    assert caught.value.report is not None
    assert f"from {windows[0].span[0]} to {windows[1].span[1]} " in str(caught.value)
    assert caught.value.report.skipped_rows
    assert rows


def test_a_filter_that_people_change() -> None:
    """A list that moves while it is read is exact: each ticket that matched all along is there once."""
    with SandboxThread(tickets=3000) as moving:
        query = TicketQuery(status=TicketStatus.PENDING)
        pending = {row["id"] for row in moving.close_rows()}
        windows = _planned(moving, query)
        # Where more enter than a page has rows, a window cannot tell them from tickets that it did not see.
        moving.drift = [Drift(after=2, every=1, times=20, close=3, create=1)]
        ids = [row["id"] for row in _rows(arrow_batches(windows, moving.connect, ArrowOptions(page_size=20)))]
        closed = {id for drifted in moving.drifted for id in drifted.closed}
    assert closed & pending
    assert pending - closed <= set(ids)
    assert len(ids) == len(set(ids))


async def test_where_a_loop_runs(sandbox: SandboxThread) -> None:
    """A caller may have a loop of its own, as a notebook has."""
    async with sandbox.connect() as client:
        windows = await client.plan_windows(max_tickets=700)
    assert sum(batch.num_rows for batch in arrow_batches(windows, sandbox.connect)) == 3000


@pytest.mark.slow
def test_a_slow_caller(sandbox: SandboxThread) -> None:
    """Requests go on while a batch is used: no attempt runs into its time limit."""
    connect = partial(sandbox.connect, attempt_timeout=0.3, deadline=0.6)
    rows = 0
    for batch in arrow_batches(_planned(sandbox), connect, ArrowOptions(batch_rows=1500)):
        rows += batch.num_rows
        time.sleep(0.8)  # longer than a call may take
    assert rows == 3000


def test_left_early(sandbox: SandboxThread, caplog: pytest.LogCaptureFixture) -> None:
    """An iterator that is closed ends its thread and its requests, and nothing is amiss."""
    before, batches = _threads(), arrow_batches(_planned(sandbox), sandbox.connect)
    next(batches)
    assert _threads() == before + 1
    batches.close()
    assert _threads() == before
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_no_windows() -> None:
    """A task that has nothing to read closes its iterator as any other."""
    with closing(arrow_batches([])) as batches:
        assert list(batches) == []


def test_collected_in_its_own_thread(sandbox: SandboxThread) -> None:
    """An iterator in a cycle, as with an error that is kept, ends when it is collected, though that is in its loop."""
    loops: list[asyncio.AbstractEventLoop] = []

    def connect() -> WorkorderClient:
        loops.append(asyncio.get_running_loop())
        return sandbox.connect()

    before, cycle = {*threading.enumerate()}, list[object]()
    cycle += [cycle, batches := arrow_batches(_planned(sandbox), connect)]
    next(batches)
    (thread,) = {*threading.enumerate()} - before
    del cycle, batches
    collect_in(loops[0])
    thread.join(60)
    assert not thread.is_alive()


class _Waiting(WorkorderClient):
    """A client that is interrupted while it begins."""

    ended = False

    def __init__(self) -> None: ...

    async def __aenter__(self) -> Self:
        try:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            _Waiting.ended = True

        return self

    async def __aexit__(self, *_: object) -> None: ...


def test_interrupted(sandbox: SandboxThread) -> None:
    """Ctrl-C while a batch is awaited ends what is in flight, and the thread."""
    before = _threads()
    # A shell that runs the tests in the background lets them ignore it.
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            list(arrow_batches(Window(TicketQuery()), _Waiting))
    finally:
        signal.signal(signal.SIGINT, usual)
    assert _Waiting.ended
    assert _threads() == before


def _threads() -> int:
    return sum(thread.name == "workorder loop" for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        *(((windows, pytest.fail), r"windows(\[0\])? is .* (list of )?Window") for windows in ("all", [TicketQuery()])),
        ((Window(TicketQuery()), ArrowOptions(detail=True)), "connect is ArrowOptions.* a function"),
        (([], asyncio.sleep), "connect is .*; it must be a function, no `async def`, that makes a client"),
        (([], pytest.fail, {"detail": True}), "options is {'detail': True}; it must be an ArrowOptions"),
    ],
)
def test_arguments_that_cannot_work(given: tuple[Any, ...], words: str) -> None:
    """What is no window, no function, or no options, is refused at once."""
    with pytest.raises(ConfigError, match=words):
        arrow_batches(*given)


def test_no_client_is_refused() -> None:
    """What `connect` makes must be a client with coroutines; that is known when it is called."""
    signer = SchemeSigner("demo", "s3cret", "md5:{secret}")
    for made in (None, blocking.WorkorderClient("http://localhost:1", signer=signer)):
        connect: Any = partial(lambda one: one, made)
        with pytest.raises(ConfigError, match=r"what connect returned is .* a WorkorderClient with coroutines"):
            list(arrow_batches(Window(TicketQuery()), connect))


@pytest.mark.parametrize(
    "option",
    [
        *({"page_size": 0}, {"concurrency": 0}, {"batch_rows": 0}, {"on_bad_row": "drop"}, {"detail": "no"}),
        *({"exact": 0}, {"columns": 5}, {"columns": "id"}, {"columns": [["id"]]}),
        {"columns": ["id", "title", "id"]},
    ],
)
def test_options_that_cannot_work(option: dict[str, Any]) -> None:
    """Each is refused by its name."""
    with pytest.raises(ConfigError, match=next(iter(option))):
        ArrowOptions(**option)


def test_the_environment(sandbox: SandboxThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default client is the environment's; one that lacks a variable says so before anything is sent."""
    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)
    (window,) = _planned(sandbox, max_tickets=5000)
    assert sum(batch.num_rows for batch in arrow_batches(window)) == 3000
    monkeypatch.delenv("WORKORDER_APP_SECRET")
    with pytest.raises(ConfigError, match="WORKORDER_APP_SECRET"):
        list(arrow_batches(window, WorkorderClient.from_env))

"""Everything at once: many workers, every call, every fault; nothing hangs, leaks, happens twice or is misreported."""

import asyncio
import gc
import os
import time
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from attrs import define, field

from workorder_async import (
    CloseTicket,
    CommentTicket,
    CreateTicket,
    DecodeError,
    OutcomeUnknownError,
    RejectTicket,
    RetryPolicy,
    TicketQuery,
    TicketStatus,
    TicketSummary,
    WalkReport,
    WorkorderClient,
    WorkorderError,
    run_batch,
)
from workorder_async.batches.outcomes import SETTLED, State
from workorder_async.document import AssignStatus
from workorder_async.sandbox import Drift, Fault, Kind, Sandbox
from workorder_async.sandbox.faults import KINDS

DEADLINE = 6.0
WORKERS = 32
ANYBODY = "姜程"
# An applied mutation that is answered with HTTP 200 and an errno is refused, by the API document: left out.
LEFT_OUT = ("errno_after",)
ALWAYS: tuple[Kind, ...] = (
    *("refuse", "reset", "hang", "401", "403", "429", "500", "503", "html", "portal"),
    *("reset_after", "hang_after", "500_after", "502_after", "503_after", "504_after", "html_after", "portal_after"),
    *("truncate", "slow_headers", "slow_body", "date", "bomb", "deep", "drip", "many_headers", "long_header"),
    "endless",
)
LIES: list[Kind] = [kind for kind, row in KINDS.items() if row.operations != KINDS["reset"].operations]
RARE = (
    *("hang", "hang_after", "bomb", "deep", "drip", "endless", "many_headers", "long_header", "slow_headers"),
    "slow_body",
)
# What a server may do besides, by the number of the run.
HABITS: list[dict[str, Any]] = [
    {"rate": 150, "backends": (-200, 0, 200)},
    {"total_cap": 400},
    {"page_depth": 800, "date_offset": 3600.0},
    {"rate": 80, "retry_after": 1},
    {"page_size_cap": 30, "latency": 0.02},
]


def faults() -> list[Fault]:
    """Return every kind of fault, each by a small chance of its own."""
    made = [
        Fault(kind, chance=0.001 if kind in RARE else 0.004, seconds=0.3, retry_after=0, size=8 << 20)
        for kind in ALWAYS
    ]
    made.append(Fault("429", chance=0.004, retry_after=None))
    made += [Fault(kind, chance=0.01, operation=operation) for kind in LIES for operation in KINDS[kind].operations]
    return made


@define
class Walked:
    """A walk over a status that said it was exact: when, what came, and its report."""

    began: float
    ended: float
    came: set[int]
    report: WalkReport


@define
class World:
    """What the workers share, and what they were told."""

    sandbox: Sandbox
    client: WorkorderClient
    random: Random
    folder: Path
    rows: dict[int, TicketSummary]
    creators: dict[int, set[int]]
    #: Tickets in process, which nobody else changes; each is closed or rejected once.
    mine: list[int]
    said: dict[str, str] = field(factory=dict)
    closed: dict[int, str] = field(factory=dict)
    walks: list[Walked] = field(factory=list)
    journals: list[tuple[Path, list[CommentTicket | CloseTicket]]] = field(factory=list)
    calls: Counter[str] = field(factory=Counter)
    number: int = 0

    @property
    def id(self) -> int:
        """Any ticket's id."""
        return self.random.choice(list(self.rows))

    @property
    def deleted(self) -> set[int]:
        """The tickets that are gone."""
        return {id for drifted in self.sandbox.drifted for id in drifted.deleted}

    def text(self) -> str:
        """Return a text that nothing else has."""
        self.number += 1
        return f"混沌 {self.number}"

    async def read(self) -> None:
        """Read one ticket, both ways; it is the one that was asked for."""
        id = self.id
        if self.random.random() < 0.5:
            assert (await self.client.get_ticket(id)).id == id
        else:
            assert (await self.client.get_ticket_detail(id)).id == id

    async def page(self) -> None:
        """Read a page."""
        await self.client.list_tickets(page=self.random.randrange(1, 8), page_size=50)

    async def walk(self) -> None:
        """Walk over a creator's tickets; what is said to be exact holds all that were there from the beginning."""
        creator = self.random.choice(sorted(self.creators))
        async with self.client.walk(TicketQuery(creator_id=creator), page_size=20, on_bad_row="skip") as walk:
            came = [ticket.id async for tickets in walk for ticket in tickets]
        assert len(came) == len(set(came))
        if walk.report.exact:
            assert self.creators[creator] - self.deleted <= set(came), walk.report

    async def walk_status(self) -> None:
        """Walk over the pending tickets, which come and go."""
        began = time.time()
        async with self.client.walk(TicketQuery(status="pending"), on_bad_row="skip") as walk:
            rows = [ticket async for tickets in walk for ticket in tickets]
        came = {ticket.id for ticket in rows}
        assert len(rows) == len(came)
        assert {ticket.status for ticket in rows} <= {TicketStatus.PENDING}
        if walk.report.exact:
            came |= {row.id for row in walk.report.skipped if row.id is not None}
            self.walks.append(Walked(began, time.time(), came, walk.report))

    async def close(self) -> None:
        """Close a ticket."""
        if not self.mine:
            return
        row = self.rows[self.mine.pop()]
        self.closed[row.id] = "cancelled"
        close = CloseTicket(id=row.id, closer_id=1, closer_name=row.creator_name, solved_time=1_700_000_000)
        await self._mutate(self.closed, row.id, lambda: self.client.close_ticket(close))

    async def reject(self) -> None:
        """Reject a ticket."""
        if not self.mine:
            return
        rejection, text = RejectTicket(id=self.mine.pop(), detail=self.text()), f"混沌 {self.number}"
        await self._mutate(self.said, text, lambda: self.client.reject_ticket(rejection))

    async def comment(self) -> None:
        """Comment, and look where the answer is lost."""
        text = self.text()
        mutation = CommentTicket(id=self.id, detail=text)
        await self._mutate(self.said, text, lambda: self.client.comment_ticket(mutation, on_unknown="verify"))

    async def create(self) -> None:
        """Create, and look where the answer is lost."""
        text = self.text()
        ticket = CreateTicket(
            title=text, detail=text, reported_time=1, type=1, priority=1, customer_organization_id=5001,
            customer_organization_name="北京晨曦网络科技有限公司", repository_product_id=36, creator_id=999_999,
            creator_name="姜程",
        )  # fmt: skip
        await self._mutate(self.said, text, lambda: self.client.create_ticket(ticket, on_unknown="verify"))

    async def _mutate(self, said: dict[Any, str], key: object, change: Callable[[], Awaitable[object]]) -> None:
        said[key] = "cancelled"
        try:
            await change()
        except OutcomeUnknownError:
            said[key] = "unknown"
            raise
        except DecodeError:
            said[key] = "done"
            raise
        except WorkorderError:
            said[key] = "no"
            raise
        said[key] = "done"

    async def upload(self) -> None:
        """Upload a file."""
        content = self.random.randbytes(self.random.randrange(200_000))
        assert (await self.client.upload_file(content, file_name="a.bin")).file_size == len(content)

    async def batch(self) -> None:
        """Close and comment in a batch, with a journal or without."""
        texts = [self.text() for _ in range(6)]
        batch: list[CommentTicket | CloseTicket] = [CommentTicket(id=self.id, detail=text) for text in texts]
        batch.append(CloseTicket(id=self.id, closer_id=1, closer_name=ANYBODY, solved_time=1_700_000_000))
        self.said.update(dict.fromkeys(texts, "cancelled"))
        journal = self.folder / f"{self.number}.journal" if self.random.random() < 0.5 else None
        if journal is not None:
            self.journals.append((journal, batch))
        await self._run(batch, journal)

    async def _run(self, batch: list[CommentTicket | CloseTicket], journal: Path | None) -> None:
        outcomes = run_batch(self.client, batch, concurrency=4, journal=journal, patience=0.2)
        async with aclosing(outcomes):
            async for outcome in outcomes:
                if isinstance(outcome.mutation, CommentTicket):
                    told = "done" if outcome.state in SETTLED else "unknown" if outcome.state is State.UNKNOWN else "no"
                    self.said[outcome.mutation.detail or ""] = told

    async def go_on(self) -> None:
        """Run every batch with a journal once more, now that nothing goes wrong: it comes to its end."""
        for journal, batch in self.journals:
            await self._run(batch, journal)
            there = [one for one in batch if isinstance(one, CommentTicket) and one.id not in self.deleted]
            assert {self.said[one.detail or ""] for one in there} <= {"done", "unknown"}

    async def work(self, until: float) -> None:
        """Make one call after another; some are cancelled, all end in time, and only with errors of the library."""
        kinds = [self.read, self.read, self.page, self.walk, self.walk_status, self.comment, self.create, self.close]
        kinds += [self.reject, self.upload, self.batch]
        while time.monotonic() < until:
            kind = self.random.choice(kinds)
            patience = self.random.uniform(0, 0.5) if self.random.random() < 0.1 else None
            # A batch is several calls, and a walk too; each has the deadline.
            limit = 20 * DEADLINE if kind in (self.walk, self.walk_status, self.batch) else DEADLINE + 3
            impatient = asyncio.timeout(patience)
            try:
                async with asyncio.timeout(limit), impatient:
                    await kind()
            except WorkorderError as error:
                self.calls[f"{kind.__name__} {type(error).__name__}"] += 1
            except TimeoutError:
                assert impatient.expired(), f"{kind.__name__} did not end within {limit} s"
                self.calls[f"{kind.__name__} cancelled"] += 1
            else:
                self.calls[f"{kind.__name__} ok"] += 1

    def judge(self) -> None:
        """Compare what was said with what was done."""
        applied = Counter(
            one.request.get("title") if one.operation == "create_ticket" else one.request.get("detail")
            for one in self.sandbox.applied
        )
        closed = Counter(one.ticket_id for one in self.sandbox.applied if one.operation == "close_ticket")
        told: list[tuple[object, str, int]] = [(text, said, applied[text]) for text, said in self.said.items()]
        # One that was opened again meanwhile may be closed twice, and is left out.
        opened = {id for drifted in self.sandbox.drifted for id in drifted.reopened}
        told += [(id, said, closed[id]) for id, said in self.closed.items() if id not in opened]
        right = {"done": (1,), "no": (0,)}
        assert [one for one in told if one[2] not in right.get(one[1], (0, 1))] == []
        for walked in self.walks:
            assert self._pending_all_along(walked) <= walked.came, walked.report

    def _pending_all_along(self, walked: Walked) -> set[int]:
        events = defaultdict[int, list[tuple[float, bool]]](list)
        for drifted in self.sandbox.drifted:
            for ids, pending in ((drifted.closed, False), (drifted.deleted, False), (drifted.reopened, True)):
                for id in ids:
                    events[id].append((drifted.time, pending))
        for applied in self.sandbox.applied:
            if applied.operation == "close_ticket":
                events[applied.ticket_id].append((applied.time, False))
        stayed = set()
        for id, row in self.rows.items():
            told = sorted(events[id])
            first = bisect_left(told, (walked.began,))
            pending = told[first - 1][1] if first else row.status == TicketStatus.PENDING
            if pending and bisect_right(told, (walked.ended, True)) == first:
                stayed.add(id)
        return stayed


async def look_around(sandbox: Sandbox, client: WorkorderClient, seed: int, folder: Path) -> World:
    """Read what there is, before anything goes wrong."""
    rows = {ticket.id: ticket async for ticket in client.iter_tickets()}
    creators = dict[int, set[int]]()
    for id in Random(seed).sample(sorted(rows), 20):
        query = TicketQuery(creator_id=(await client.get_ticket(id)).creator_id)
        creators[query.creator_id or 0] = {ticket.id async for ticket in client.iter_tickets(query)}
    mine = []
    # A batch may close what this creator made.
    processing = [row for row in rows.values() if row.status == TicketStatus.PROCESSING and row.creator_name != ANYBODY]
    for id in [row.id for row in processing][:200]:
        assigns = (await client.get_ticket_detail(id)).assigns
        if not any(assign.status == AssignStatus.REJECTED for assign in assigns):
            mine.append(id)
    return World(sandbox, client, Random(seed), folder, rows, creators, mine)


def alive() -> Counter[str]:
    """Count the objects that live as long as a call, a walk, a batch or a client; those of other tests may be there."""
    gc.collect()
    ours = (type(one) for one in gc.get_objects() if str(type(one).__module__).startswith("workorder_async"))
    names = Counter(kind.__name__ for kind in ours)
    short = ("Call", "Walk", "WindowWalk", "Journal", "Workers", "Carrier", "_Waiter", "SignedSession")
    return Counter({name: names[name] for name in short})


async def chaos(seconds: float, seed: int, folder: Path) -> Counter[str]:
    """Let the workers loose for so long, and look what is left."""
    before, kept, files = asyncio.all_tasks(), alive(), len(os.listdir("/proc/self/fd"))
    # Exact walks of a list that loses tickets take it that tickets of one second keep their order: no `shuffle_ties`.
    sandbox = Sandbox(1500, seed=seed, spelling="java", **HABITS[seed % len(HABITS)])
    async with sandbox:
        retry = RetryPolicy(first=0.02)
        async with sandbox.client(attempt_timeout=1.0, deadline=DEADLINE, retry=retry, max_body=4 << 20) as client:
            world = await look_around(sandbox, client, seed, folder)
            sandbox.faults, sandbox.drift = faults(), [Drift(after=5, every=10, close=2, reopen=2, create=1, delete=1)]
            async with asyncio.TaskGroup() as group:
                for _ in range(WORKERS):
                    group.create_task(world.work(time.monotonic() + seconds))
            stats = client.stats()
            assert (stats.in_flight, stats.waiting) == (0, 0)
            sandbox.faults = sandbox.drift = ()
            await world.go_on()
        world.judge()
        struck = {one.fault.kind for one in sandbox.struck}
        assert len(struck) > len(ALWAYS) / 2
    await asyncio.sleep(0)
    # The server's own tasks wait for callers that are gone; they are not the client's.
    left = {task for task in asyncio.all_tasks() - before if "RequestHandler" not in repr(task.get_coro())}
    assert left == set()
    calls = world.calls
    del world, client, sandbox
    assert alive() - kept == Counter()
    assert len(os.listdir("/proc/self/fd")) <= files
    return calls


def test_the_left_out_kinds_are_known() -> None:
    """What is left out is left out by name."""
    assert set(LEFT_OUT) | {"errno"} == {kind for kind, row in KINDS.items() if row.errno == "must"}


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", [0, 2, *(pytest.param(seed, marks=pytest.mark.torture) for seed in (1, 3, 4, 5))])
async def test_a_minute_of_everything(seed: int, tmp_path: Path) -> None:
    """32 workers, all calls, all faults; five seconds with each seed, which decides the habits of the server."""
    calls = await chaos(5, seed, tmp_path)
    assert sum(count for name, count in calls.items() if name.endswith(" ok")) > 100


def resident() -> int:
    """Return the MiB of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


@pytest.mark.torture
@pytest.mark.timeout(1200)
async def test_minutes_of_everything(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Ten minutes, in which memory does not grow without end."""
    sizes = []
    for seed in range(10):
        folder = tmp_path / str(seed)
        folder.mkdir()
        calls = await chaos(60, seed, folder)
        sizes.append(resident())
        # Told by `-o junit_family=legacy --junitxml=FILE`.
        record_property(f"run {seed}", f"{sizes[-1]} MiB, {dict(calls)}")
    assert sizes[-1] - sizes[4] < 50

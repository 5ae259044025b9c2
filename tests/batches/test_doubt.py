"""hold.py, over sockets: how many requests a batch makes that is all refused, and what it goes on after."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest

from tests.support.batches import states
from tests.support.clients import make_client
from tests.support.raw_server import Wire, data, http, serving
from tests.support.slow import slow_after
from tests.support.virtual_loop import virtual_time
from workorder_async import (
    ApiError,
    AuthenticationError,
    CloseTicket,
    CommentTicket,
    Mutation,
    RetryPolicy,
    TicketStateError,
)
from workorder_async.batches.batch import run_batch
from workorder_async.batches.outcomes import BatchReport, Outcome, State

READS = ("list_tickets", "/base", "/detail")
Answer = Callable[[str, int], bytes | None]
"""Given the endpoint and how many requests of mutations came before; None closes the connection."""


class LockedError(ApiError):
    """What a user may give an errno as its meaning."""


def closes(count: int) -> list[Mutation]:
    """Return so many closes."""
    return [CloseTicket(id=id, closer_id=1, closer_name="姜程", solved_time=1) for id in range(1, count + 1)]


def comments(count: int) -> list[Mutation]:
    """Return so many comments."""
    return [CommentTicket(id=1, detail=f"备注 {number}") for number in range(count)]


def is_read(endpoint: str) -> bool:
    """Tell reads from mutations."""
    return any(read in endpoint for read in READS)


def counted(wire: Wire) -> tuple[int, int]:
    """Return how many requests of mutations came, and how many reads."""
    endpoints = [request.split(b" ", 2)[1].decode() for request in wire.requests]
    reads = sum(map(is_read, endpoints))
    return len(endpoints) - reads, reads


async def ran(
    batch: list[Mutation], answer: Answer, *, concurrency: int = 8, **options: object
) -> tuple[list[Outcome], BatchReport, tuple[int, int]]:
    """Run a batch against a server that answers so."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        endpoint = wire.requests[-1].split(b" ", 2)[1].decode()
        content = answer(endpoint, counted(wire)[0] - (not is_read(endpoint)))
        if content is None:
            writer.close()
        else:
            writer.write(content)

    report, outcomes = BatchReport(), list[Outcome]()
    async with asyncio.timeout(30), serving(serve) as wire, make_client(wire.url, **options) as client:
        async with aclosing(run_batch(client, batch, concurrency=concurrency, report=report)) as running:
            async for outcome in running:
                outcomes.append(outcome)
        return outcomes, report, counted(wire)


NOT_ALLOWED = data(None, 40001)
PENDING = data({"id": 1, "status": 2, "pagination": {"total": 0}, "tickets": []})


def closed(endpoint: str) -> bytes:
    """Answer a read: the ticket that was asked for is closed."""
    return data({"id": int(endpoint.partition("id=")[2] or 0), "status": 3, "pagination": {"total": 0}, "tickets": []})


@pytest.mark.parametrize("make", [closes, comments])
@pytest.mark.parametrize("concurrency", slow_after(1, [8, 1, 64]))
async def test_everything_is_refused(make: Callable[[int], list[Mutation]], concurrency: int) -> None:
    """A wrong secret stops a batch of 500 after those that are under way, and two reads (and a look for each close)."""
    outcomes, report, (mutations, reads) = await ran(make(500), lambda *_: NOT_ALLOWED, concurrency=concurrency)
    assert (mutations, reads) == (concurrency, 2 + (concurrency if make is closes else 0))
    assert states(outcomes) == {State.REJECTED: mutations, State.NOT_SENT: 500 - mutations}
    assert "every request is refused with errno 40001" in report.stopped
    assert "errnos={40001: AuthenticationError}" in report.stopped
    assert not report.settled


@pytest.mark.parametrize("concurrency", slow_after(1, [64, 1]))
@pytest.mark.parametrize("read", [PENDING, data(None, 40002), None], ids=["served", "another errno", "lost"])
async def test_every_mutation_is_refused(read: bytes | None, concurrency: int) -> None:
    """Where reading is not refused in the same way, the mutations are the cause: all are sent."""
    outcomes, report, (mutations, _) = await ran(
        comments(60),
        lambda endpoint, _: read if is_read(endpoint) else NOT_ALLOWED,
        concurrency=concurrency,
        retry=RetryPolicy(attempts=1),
    )
    assert mutations == 60
    assert states(outcomes) == {State.REJECTED: 60}
    assert report.stopped == ""


@pytest.mark.parametrize("concurrency", slow_after(1, [8, 1, 64]))
async def test_one_success_ends_the_doubt(concurrency: int) -> None:
    """Where one mutation was carried out, refusals by any errno are what they say: the batch goes on."""
    outcomes, report, (mutations, _) = await ran(
        comments(100),
        lambda endpoint, before: data(None, 10000 if is_read(endpoint) or before == 5 else 40001),
        concurrency=concurrency,
    )
    assert mutations == 100
    assert states(outcomes) == {State.REJECTED: 99, State.DONE: 1}
    assert report.stopped == ""


@pytest.mark.parametrize("concurrency", slow_after(1, [8, 1]))
async def test_everything_is_refused_from_the_middle_on(concurrency: int) -> None:
    """A secret that is replaced while the batch runs stops it, too, after some refusals in a row."""
    outcomes, report, (mutations, reads) = await ran(
        comments(500), lambda _, before: data(None) if before < 100 else NOT_ALLOWED, concurrency=concurrency
    )
    assert 120 <= mutations < 120 + concurrency
    assert reads == 2
    assert states(outcomes) == {State.DONE: 100, State.REJECTED: mutations - 100, State.NOT_SENT: 500 - mutations}
    assert "every request is refused with errno 40001" in report.stopped


@pytest.mark.parametrize("refused", [(50, 70, 90), range(1, 100, 4)], ids=["few", "every fourth"])
@pytest.mark.parametrize("concurrency", slow_after(1, [8, 1]))
async def test_some_are_refused_where_reading_always_is(concurrency: int, refused: Sequence[int]) -> None:
    """An AppId may be allowed to comment, and not to list: the errno for that says nothing of single refusals."""
    outcomes, report, counts = await ran(
        comments(100),
        lambda endpoint, before: data(None, 40001 if is_read(endpoint) or before in refused else 10000),
        concurrency=concurrency,
    )
    assert counts == (100, 0)
    assert states(outcomes) == {State.DONE: 100 - len(refused), State.REJECTED: len(refused)}
    assert report.stopped == ""


async def test_all_the_rest_is_refused_where_reading_fails() -> None:
    """A read without an answer tells nothing: the batch goes on, and asks less and less often."""
    outcomes, report, (mutations, reads) = await ran(
        comments(200),
        lambda endpoint, before: None if is_read(endpoint) else data(None, 40001 if before else 10000),
        concurrency=1,
        retry=RetryPolicy(attempts=1),
    )
    assert (mutations, reads) == (200, 4)
    assert states(outcomes) == {State.DONE: 1, State.REJECTED: 199}
    assert report.stopped == ""


async def test_a_success_while_the_list_is_read() -> None:
    """A read that is refused after something was accepted stops nothing."""
    reading, accepted = asyncio.Event(), asyncio.Event()
    report = BatchReport()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = wire.requests[-1]
        if b"list_tickets" in request:
            reading.set()
            await accepted.wait()
            writer.write(NOT_ALLOWED)
        elif b'"id":1,' in request.partition(b"\r\n\r\n")[2] + b",":
            writer.write(NOT_ALLOWED)
        else:
            await reading.wait()
            writer.write(data(None))

    batch: list[Mutation] = [CommentTicket(id=id, detail="备注") for id in range(1, 21)]
    outcomes: list[Outcome] = []
    async with (
        asyncio.timeout(30),
        serving(serve) as wire,
        make_client(wire.url) as client,
        aclosing(run_batch(client, batch, report=report)) as running,
    ):
        async for outcome in running:
            outcomes.append(outcome)
            if outcome.state is State.DONE:
                accepted.set()
    assert states(outcomes) == {State.REJECTED: 1, State.DONE: 19}
    assert report.stopped == ""


@pytest.mark.parametrize("other", slow_after(1, [40002, 23000]), ids=["another errno", "documented"])
async def test_another_answer_ends_the_doubt(other: int) -> None:
    """Refusals that differ are about the mutations."""
    _, report, (mutations, _) = await ran(
        comments(100),
        lambda endpoint, before: PENDING if is_read(endpoint) else data(None, other if before == 7 else 40001),
        concurrency=1,
    )
    assert (mutations, report.stopped) == (100, "")


async def test_already_closed_by_an_errno_without_a_meaning() -> None:
    """A batch of closes that were all done before is not stopped: looking shows that each is closed."""
    outcomes, report, (mutations, _) = await ran(
        closes(60), lambda endpoint, _: closed(endpoint) if is_read(endpoint) else NOT_ALLOWED
    )
    assert mutations == 60
    assert states(outcomes) == {State.ALREADY: 60}
    assert report.settled


@pytest.mark.parametrize(
    ("errno", "errnos"), slow_after(2, [(23000, {}), (40001, {40001: LockedError}), (40001, {40001: TicketStateError})])
)
async def test_errnos_with_a_meaning_are_not_counted(errno: int, errnos: dict[int, type[ApiError]]) -> None:
    """An errno that the document or the user gave a meaning stops nothing, and asks nothing of the list."""
    outcomes, report, counts = await ran(comments(60), lambda *_: data(None, errno), errnos=errnos)
    assert counts == (60, 0)
    assert states(outcomes) == {State.REJECTED: 60}
    assert report.stopped == ""


async def test_an_errno_that_means_authentication_stops_at_once() -> None:
    """As the message says: mapped, the first refusal stops it, where reading is refused as well."""
    outcomes, report, counts = await ran(
        comments(60), lambda *_: NOT_ALLOWED, errnos={40001: AuthenticationError}, concurrency=1
    )
    assert counts == (1, 2)
    assert states(outcomes) == {State.REJECTED: 1, State.NOT_SENT: 59}
    assert report.stopped.startswith("authentication failed")


@pytest.mark.parametrize("make", [closes, comments])
@pytest.mark.parametrize("which", slow_after(1, [range(20), [0], [50], [99], range(0, 100, 2), range(100)]), ids=str)
async def test_a_signature_that_is_refused_for_some(
    make: Callable[[int], list[Mutation]], which: Sequence[int]
) -> None:
    """What a firewall dislikes of some mutations stops nothing: reading is not refused. All others are made."""
    outcomes, report, _ = await ran(
        make(100),
        lambda endpoint, before: PENDING if is_read(endpoint) else data(None, 40001 if before in which else 10000),
        errnos={40001: AuthenticationError},
        concurrency=1,
    )
    assert states(outcomes) == Counter({State.REJECTED: len(which), State.DONE: 100 - len(which)}) + Counter()
    assert report.stopped == ""


@pytest.mark.parametrize("batches", slow_after(1, [1, 5]))
@virtual_time
async def test_a_page_of_a_firewall_for_one_comment(batches: int) -> None:
    """A page with 403, which is not the platform's, stops nothing either; 94 of 100 were never made."""
    page = http("<html>blocked</html>", "403 Forbidden")

    def answer(endpoint: str, before: int) -> bytes:
        return PENDING if is_read(endpoint) else page if before == 5 else data(None)

    for _ in range(batches):
        outcomes, report, _ = await ran(comments(100), answer, attempt_timeout=0.1)
        assert states(outcomes)[State.DONE] == 99
        assert report.stopped == ""


@pytest.mark.parametrize("refusal", [data(None, 40002), data(None, 40001)], ids=["another errno", "the same"])
@pytest.mark.parametrize("after", [0, 30])
async def test_a_signature_that_is_refused_for_all(refusal: bytes, after: int) -> None:
    """A secret that is changed at any time stops the batch after those under way, for reading is refused as well."""
    outcomes, report, (mutations, reads) = await ran(
        comments(100),
        lambda endpoint, before: refusal if is_read(endpoint) else data(None, 40001 if before >= after else 10000),
        errnos={40001: AuthenticationError, 40002: AuthenticationError},
        concurrency=1,
    )
    assert (mutations, reads) == (after + 1, 2)
    assert report.stopped.startswith("authentication failed: ")
    assert states(outcomes)[State.NOT_SENT] == 99 - after


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
@pytest.mark.parametrize("make", [closes, comments])
async def test_pages_for_all(make: Callable[[int], list[Mutation]], status: str) -> None:
    """Where a gateway refuses all by a page, reading too, no more is sent into it than was under way."""
    page = http("<html>who are you?</html>", status)
    outcomes, report, _ = await ran(make(100), lambda *_: page, concurrency=4)
    assert states(outcomes) == {State.UNKNOWN: 4, State.NOT_SENT: 96}
    assert report.stopped.startswith("authentication failed: ")


@pytest.mark.parametrize(
    "refusal", slow_after(1, [NOT_ALLOWED, http("<html>no</html>", "403 Forbidden"), data(None, 40002)])
)
@pytest.mark.parametrize("first", [None, data(None, 40001), data(None, 40002)], ids=["lost", "the same", "unknown"])
async def test_a_list_to_which_there_is_no_right(refusal: bytes, first: bytes | None) -> None:
    """Rights are given endpoint by endpoint: where the ticket can be read, a refused list stops nothing."""

    def answer(endpoint: str, before: int) -> bytes | None:
        if is_read(endpoint):
            return refusal if "list_tickets" in endpoint else PENDING
        return first if before == 0 else data(None)

    outcomes, report, (mutations, _) = await ran(
        comments(60), answer, concurrency=1, errnos={40001: AuthenticationError}, attempt_timeout=0.1
    )
    assert (mutations, report.stopped) == (60, "")
    assert states(outcomes)[State.DONE] == 59


@pytest.mark.parametrize("answer", slow_after(2, [None, http("", "502 Bad Gateway"), data(None, 40009)]))
async def test_reading_that_tells_nothing(answer: bytes | None) -> None:
    """Neither a lost answer to the read nor another refusal than of the signature stops a batch."""
    outcomes, report, _ = await ran(
        comments(30),
        lambda endpoint, before: answer if is_read(endpoint) else data(None, 40001 if before == 3 else 10000),
        errnos={40001: AuthenticationError},
        concurrency=1,
        retry=RetryPolicy(attempts=1),
    )
    assert states(outcomes) == {State.REJECTED: 1, State.DONE: 29}
    assert report.stopped == ""


async def test_lost_answers_keep_nobody_waiting() -> None:
    """What is lost says nothing of the signature, and its turn goes to the next."""
    outcomes, report, _ = await ran(
        comments(60), lambda endpoint, _: PENDING if is_read(endpoint) else None, concurrency=32, attempt_timeout=0.2
    )
    assert states(outcomes) == {State.UNKNOWN: 60}
    assert report.stopped == ""


async def test_what_the_journal_skips_keeps_nobody_waiting(tmp_path: Path) -> None:
    """What was done by an earlier run says nothing of the signature either."""
    batch, journal = comments(60), tmp_path / "batch.journal"
    answer = data(None)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    async with asyncio.timeout(30), serving(serve) as wire, make_client(wire.url) as client:
        async with aclosing(run_batch(client, iter(batch), journal=journal)) as running:
            assert [one.state async for one in running] == [State.DONE] * 60
        answer = NOT_ALLOWED
        report = BatchReport()
        more = iter([*batch, *(CommentTicket(id=2, detail=f"工单 {number}") for number in range(60))])
        async with aclosing(run_batch(client, more, journal=journal, report=report)) as running:
            outcomes = [one async for one in running]
    assert states(outcomes)[State.SKIPPED] == 60
    assert "errno 40001" in report.stopped
    assert len(wire.requests) <= 60 + 16 + 1

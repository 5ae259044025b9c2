"""carrier.py: one mutation at a time, by a real client and a real journal, without workers."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from attrs import evolve

from tests.support.clients import make_client
from tests.support.mutations import KINDS, OPERATIONS, creation, mutation_of
from tests.support.raw_server import Handler, data, drop, serving
from tests.support.slow import slow_but_every
from tests.support.virtual_loop import virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import (
    ApiError,
    BatchReport,
    CloseTicket,
    CommentTicket,
    CreateTicket,
    JournalError,
    Mutation,
    NotSentError,
    Outcome,
    OutcomeUnknownError,
    RetryPolicy,
    Sandbox,
    State,
    Ticket,
    TicketStateError,
    WorkorderClient,
    run_batch,
)
from workorder_async.batches.carrier import Carrier, Parked
from workorder_async.batches.journal import Journal
from workorder_async.batches.journal_file import Entry, JournalFile
from workorder_async.mutations.kinds import Prepared, prepare
from workorder_async.mutations.memory import EarlierRun
from workorder_async.sandbox import ClientOptions, Fault, Kind
from workorder_async.signing.clock import Ahead
from workorder_async.wire.limits import Lane

KEY = "k1"
QUICK: ClientOptions = {"retry": RetryPolicy(first=0.001, attempts=1), "attempt_timeout": 5}
CLOSE = CloseTicket(id=1, closer_id=40084, closer_name="田金秀", solved_time=1660298580)
COMMENT = CommentTicket(id=1, detail="已联系客户")


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[WorkorderClient]:
    """Give a client of it that tries once."""
    async with sandbox.client(**QUICK) as client:
        yield client


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give a journal that does not exist yet."""
    return tmp_path / "once.journal"


@asynccontextmanager
async def carrier_of(
    client: WorkorderClient, file: Path, *, verify: bool = True, deadline: float | None = None
) -> AsyncIterator[Carrier]:
    """Open the journal, and give what carries out single mutations with it."""
    async with Journal(file, {"batch": "once"}) as journal:
        yield Carrier(client, journal, Lane(1), verify=verify, deadline=deadline)


async def carried_out(carrier: Carrier, key: str, prepared: Prepared) -> Outcome:
    """Carry out a mutation, look for it if it is parked, and carry it out again if it did not happen."""
    while isinstance(end := await carrier.carry_out(key, prepared), Parked):
        outcome = await carrier.look(end)
        if outcome.state is not State.NOT_SENT or carrier.stopping.is_set():
            return outcome
    return end


def states(file: Path) -> list[str]:
    """Return what the journal says, line by line: INTENT, or the state of an outcome."""
    lines = [orjson.loads(line) for line in file.read_bytes().splitlines()[1:]]
    return ["INTENT" if "intent" in line else line["state"] for line in lines]


def move(here: Path, there: Path) -> None:
    """Move a file."""
    here.rename(there)


#: Seconds after which no request of an earlier run can be under way any more.
LONG_AGO = 600


async def begun_earlier(file: Path, mutation: Mutation, began: float) -> None:
    """Leave a journal as a killed run leaves it, whose clock agreed with the server's: an intent without an outcome."""
    ready = prepare(mutation)
    entry = Entry(
        KEY, type(mutation).__name__, ready.value, began, ready.place, ahead=Ahead(-1, 1), run=EarlierRun(within=60)
    )
    async with Journal(file, {"batch": "once"}) as journal:
        await journal.begin(entry)


async def until(condition: Callable[[], bool]) -> None:
    """Let others run until something is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for is a count of the client's, which tells nobody
            await asyncio.sleep(0.001)


# Answered


@pytest.mark.parametrize("kind", slow_but_every(2, KINDS))
async def test_done(sandbox: Sandbox, client: WorkorderClient, file: Path, kind: str) -> None:
    """It is begun in the journal, sent, and its outcome written down; the next time it is skipped."""
    mutation = await mutation_of(client, kind)
    async with carrier_of(client, file) as carrier:
        outcome = await carried_out(carrier, KEY, prepare(mutation))
        # Nothing is kept of what is written down.
        assert carrier.cut_short(KEY, mutation) == Outcome(mutation, State.NOT_SENT)
        again = await carried_out(carrier, KEY, prepare(mutation))
    (applied,) = sandbox.applied
    assert (outcome.state, outcome.error, outcome.attempts) == (State.DONE, None, 1)
    assert (outcome.mutation, outcome.ticket_id) == (mutation, applied.ticket_id)
    assert outcome.request_id
    assert outcome.elapsed > 0
    assert again.state is State.SKIPPED
    assert states(file) == ["INTENT", "DONE"]
    async with carrier_of(client, file) as carrier:
        assert (await carried_out(carrier, KEY, prepare(mutation))).state is State.SKIPPED
    assert len(sandbox.applied) == 1


@pytest.mark.parametrize(("verify", "state"), [(True, State.ALREADY), (False, State.REJECTED)])
async def test_already(sandbox: Sandbox, client: WorkorderClient, file: Path, *, verify: bool, state: State) -> None:
    """A close that is refused because the ticket is closed is ALREADY, if the ticket may be looked at."""
    close = await mutation_of(client, "close")
    await client.change(close)
    async with carrier_of(client, file, verify=verify) as carrier:
        outcome = await carried_out(carrier, KEY, prepare(close))
    assert (outcome.state, type(outcome.error)) == (state, TicketStateError)
    assert states(file) == ["INTENT", state.name]
    assert len(sandbox.applied) == 1


async def test_refused(sandbox: Sandbox, client: WorkorderClient, file: Path) -> None:
    """A refusal is REJECTED, and the next run sends it again."""
    comment = await mutation_of(client, "comment")
    sandbox.faults = [Fault("errno", errno=90005, operation="comment_ticket", times=1)]
    async with carrier_of(client, file) as carrier:
        outcome = await carried_out(carrier, KEY, prepare(comment))
    assert outcome.state is State.REJECTED
    assert isinstance(outcome.error, ApiError)
    async with carrier_of(client, file) as carrier:
        assert (await carried_out(carrier, KEY, prepare(comment))).state is State.DONE
    assert states(file) == ["INTENT", "REJECTED", "INTENT", "DONE"]


@pytest.mark.parametrize(("mark", "verify"), [("", True), ("m-1", True), ("", False)])
async def test_created_without_a_number(file: Path, mark: str, *, verify: bool) -> None:
    """A creation that succeeded, and whose answer does not tell which ticket it made, is DONE, and not sent again.

    So it is where the list does not show it, whatever a mark that is missing there would prove of a lost one, and where
    nobody looks.
    """
    empty = data({"pagination": {"total": 0}, "tickets": []})
    async with serving(data({"id": None}), empty) as wire, make_client(wire.url, attempt_timeout=10) as client:
        async with carrier_of(client, file, verify=verify) as carrier:
            outcome = await carried_out(carrier, KEY, prepare(creation(), mark))
        assert (outcome.state, outcome.ticket_id, outcome.error) == (State.DONE, 0, None)
        async with carrier_of(client, file) as carrier:
            assert (await carried_out(carrier, KEY, prepare(creation(), mark))).state is State.SKIPPED
        assert sum(b"/create " in request for request in wire.requests) == 1
    assert states(file) == ["INTENT", "DONE"]


# Not sent


async def test_stopped_before(sandbox: Sandbox, client: WorkorderClient, file: Path) -> None:
    """What is begun when the batch stops is not sent, and free to be sent by the next run."""
    comment = await mutation_of(client, "comment")
    before = sandbox.requests.total()
    async with carrier_of(client, file) as carrier:
        carrier.stopping.set()
        outcome = await carried_out(carrier, KEY, prepare(comment))
        assert (outcome.state, outcome.error) == (State.NOT_SENT, None)
        assert sandbox.requests.total() == before
    async with carrier_of(client, file) as carrier:
        assert (await carried_out(carrier, KEY, prepare(comment))).state is State.DONE
    assert states(file) == ["INTENT", "NOT_SENT", "INTENT", "DONE"]


async def test_nobody_there(file: Path) -> None:
    """Where nothing listens, nothing was sent."""
    async with serving(drop) as gone:
        pass
    async with make_client(gone.url, retry=RetryPolicy(attempts=1)) as client, carrier_of(client, file) as carrier:
        outcome = await carried_out(carrier, KEY, prepare(COMMENT, "m-1"))
    assert (outcome.state, type(outcome.error), outcome.mark) == (State.NOT_SENT, NotSentError, "")
    assert states(file) == ["INTENT", "NOT_SENT"]


async def test_a_look_that_is_under_way(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks meanwhile gets one that begins later; one is enough for all of them."""
    looks, goes_on = 0, threading.Event()
    async with Journal(file, {"batch": "once"}) as journal:
        check_place = journal._file.check_place

        def look() -> None:
            nonlocal looks
            looks += 1
            goes_on.wait(10)
            check_place()

        monkeypatch.setattr(journal._file, "check_place", look)
        asked = [asyncio.create_task(journal.check_place())]
        await until(lambda: looks == 1)
        asked += [asyncio.create_task(journal.check_place()) for _ in range(3)]
        await asyncio.sleep(0)
        goes_on.set()
        await asyncio.gather(*asked)
    assert looks == 2


async def test_the_journal_is_removed_while_it_waits_for_its_turn(file: Path) -> None:
    """A mutation that is begun in a file that others do not find any more is not sent; the file itself says so."""
    outcomes, elsewhere = list[Outcome](), file.with_name("elsewhere")

    async def run(client: WorkorderClient, first: "asyncio.Task[Ticket]") -> None:
        async with carrier_of(client, file) as carrier:
            second = asyncio.create_task(carried_out(carrier, KEY, prepare(COMMENT)))
            await until(lambda: client.stats().waiting == 1)
            move(file, elsewhere)
            first.cancel()
            await asyncio.wait([first])
            outcomes.append(await second)

    async with serving(hang) as wire, make_client(wire.url, max_in_flight=1) as client:
        first = asyncio.create_task(client.get_ticket(1))
        await wire.arrived.wait()
        with pytest.raises(JournalError, match="removed or replaced"):
            await run(client, first)
        assert (outcomes[0].state, len(wire.requests)) == (State.NOT_SENT, 1)
        assert "it was removed or replaced" in str(outcomes[0].error)
    assert states(elsewhere) == ["INTENT", "NOT_SENT"]


class SlowLook:
    """Lets the last look at a journal's place hang in its thread until it is let go."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.begun, self.goes_on = threading.Event(), threading.Event()
        look = JournalFile.check_place

        def hang(file: JournalFile) -> None:
            self.begun.set()
            assert self.goes_on.wait(20)
            look(file)

        patch.setattr(JournalFile, "check_place", hang)


@pytest.mark.parametrize("end", ["it comes back", "it is moved", "its time is over", "it is cancelled"])
async def test_a_disk_that_hangs_before_the_first_byte(file: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """The loop goes on meanwhile; the mutation is sent once its journal was seen, and never where that is not known."""
    look, elsewhere = SlowLook(monkeypatch), file.with_name("elsewhere")
    outcomes: list[Outcome] = []

    async def run(client: WorkorderClient) -> None:
        deadline = 0.3 if end == "its time is over" else None
        async with carrier_of(client, file, deadline=deadline) as carrier:
            task = asyncio.create_task(carried_out(carrier, KEY, prepare(COMMENT)))
            await until(look.begun.is_set)
            assert (await client.get_ticket(1)).id == 1  # the loop is free
            if end == "it is moved":
                move(file, elsewhere)
            elif end == "it is cancelled":
                task.cancel()
            if end in ("it is cancelled", "its time is over"):
                await asyncio.wait([task])
            look.goes_on.set()
            await asyncio.wait([task])
            outcomes.append(carrier.cut_short(KEY, COMMENT) if task.cancelled() else task.result())
            await asyncio.sleep(0.05)  # whatever would still be written would be by now

    async with serving(data({"id": 1})) as wire, make_client(wire.url) as client:
        if end == "it is moved":
            with pytest.raises(JournalError, match="removed or replaced"):
                await run(client)
        else:
            await run(client)
        sent = sum(request.startswith(b"POST") for request in wire.requests)
    assert (outcomes[0].state, sent) == ((State.DONE, 1) if end == "it comes back" else (State.NOT_SENT, 0))
    assert states(elsewhere if end == "it is moved" else file) == ["INTENT", outcomes[0].state.name]


@pytest.mark.parametrize("comes", ["a stray answer", "half of one", "its first byte", "the end"])
async def test_what_comes_while_the_journal_is_looked_at(
    file: Path, monkeypatch: pytest.MonkeyPatch, comes: str
) -> None:
    """The connection is looked at after the journal: what came meanwhile is no answer, and costs no mutation."""
    look, writers = SlowLook(monkeypatch), list[asyncio.StreamWriter]()

    async def first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(data({"id": 1}))

    async with serving(first, data(None, errno=5)) as wire, make_client(wire.url) as client:
        await client.get_ticket(1)
        async with carrier_of(client, file) as carrier:
            task = asyncio.create_task(carried_out(carrier, KEY, prepare(COMMENT)))
            await until(look.begun.is_set)
            if comes == "the end":
                writers[0].close()
            else:
                writers[0].write(data({"id": 1})[: {"half of one": 25, "its first byte": 1}.get(comes)])
            for _ in range(20):
                await asyncio.sleep(0)
            look.goes_on.set()
            outcome = await task
    assert isinstance(outcome.error, ApiError)
    assert (outcome.state, outcome.error.errno, len(wire.requests)) == (State.REJECTED, 5, 2)


# Lost


@pytest.mark.parametrize("kind", slow_but_every(2, KINDS))
async def test_lost_and_found(sandbox: Sandbox, client: WorkorderClient, file: Path, kind: str) -> None:
    """It happened, its answer was lost, and it is found."""
    mutation = await mutation_of(client, kind)
    sandbox.faults = [Fault("reset_after", operation=OPERATIONS[kind])]
    async with carrier_of(client, file) as carrier:
        outcome = await carried_out(carrier, KEY, prepare(mutation))
    (applied,) = sandbox.applied
    assert (outcome.state, outcome.error, outcome.attempts) == (State.DONE, None, 1)
    assert outcome.ticket_id == applied.ticket_id
    assert states(file) == ["INTENT", "DONE"]


@pytest.mark.parametrize(
    ("kind", "fault", "verify"),
    slow_but_every(
        2,
        [
            ("comment", "reset", True),
            ("create", "reset", True),
            ("comment", "reset_after", False),
            ("create", "reset_after", False),
        ],
    ),
)
@virtual_time
async def test_lost_and_unknown(file: Path, kind: str, fault: Kind, *, verify: bool) -> None:
    """It is not there, or nobody looks: that proves nothing, and it is not sent again."""
    async with virtual_sandbox(150) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        sandbox.faults = [Fault(fault, operation=OPERATIONS[kind])]
        async with carrier_of(client, file, verify=verify, deadline=0.5) as carrier:
            outcome = await carried_out(carrier, KEY, prepare(mutation))
            sandbox.faults = []
            assert (await carried_out(carrier, KEY, prepare(mutation))).state is State.SKIPPED
        assert outcome.state is State.UNKNOWN
        assert isinstance(outcome.error, OutcomeUnknownError)
        assert await outcome.error.verify(client) is (None if verify else True)
        assert states(file) == ["INTENT", "UNKNOWN"]
        assert sandbox.requests[OPERATIONS[kind]] == 1


async def test_lost_among_others_alike(sandbox: Sandbox, client: WorkorderClient, file: Path) -> None:
    """What is found may be of another mutation that the journal knows: then it is unknown."""
    comment = await mutation_of(client, "comment")
    assert isinstance(comment, CommentTicket)
    twin = evolve(comment, detail=f" {comment.detail}")
    await begun_earlier(file, twin, client.now())
    sandbox.faults = [Fault("reset_after", operation="comment_ticket")]
    async with carrier_of(client, file) as carrier:
        assert (await carried_out(carrier, "k2", prepare(comment))).state is State.UNKNOWN
    assert len(sandbox.applied) == 1


# Cancelled


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Never answer."""
    await reader.read()


async def cancelled(carrier: Carrier, mutation: Mutation, ready: Callable[[], bool]) -> Any:
    """Cancel what carries out a mutation as soon as something is so; return what it says of the mutation then."""
    task = asyncio.create_task(carried_out(carrier, KEY, prepare(mutation)))
    await until(ready)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return carrier.cut_short(KEY, mutation)


async def test_cancelled_before_it_was_sent(file: Path) -> None:
    """While it waits for its turn nothing is sent, and the journal says so."""
    async with serving(hang) as wire, make_client(wire.url, max_in_flight=1) as client:
        first = asyncio.create_task(client.get_ticket(1))
        await wire.arrived.wait()
        async with carrier_of(client, file) as carrier:
            outcome = await cancelled(carrier, COMMENT, lambda: client.stats().waiting == 1)
        first.cancel()
        await asyncio.wait([first])
        assert (outcome.state, outcome.error, len(wire.requests)) == (State.NOT_SENT, None, 1)
    assert states(file) == ["INTENT", "NOT_SENT"]


@pytest.mark.parametrize("mutation", [CLOSE, COMMENT, creation()])
@pytest.mark.parametrize(
    ("script", "number"),
    [([hang], 1), ([drop, hang], 2)],
    ids=["while it is answered", "while it is settled"],
)
async def test_cancelled_after_it_was_sent(
    file: Path, mutation: Mutation, script: list[Handler | bytes], number: int
) -> None:
    """It may have happened, and is left open in the journal for the next run to settle."""
    async with serving(*script) as wire, make_client(wire.url) as client, carrier_of(client, file) as carrier:
        outcome = await cancelled(carrier, mutation, lambda: len(wire.requests) == number)
    assert outcome.state is State.UNKNOWN
    assert isinstance(outcome.error, OutcomeUnknownError)
    assert (outcome.error.mutation, outcome.error.began > 0) == (mutation, True)
    assert outcome.ticket_id == (0 if isinstance(mutation, CreateTicket) else 1)
    assert states(file) == ["INTENT"]


async def test_cancelled_after_it_was_refused(file: Path) -> None:
    """It did not happen: while somebody looks why, it is written down as refused."""
    refused = data(None, 23000)
    async with serving(refused, hang) as wire, make_client(wire.url) as client, carrier_of(client, file) as carrier:
        outcome = await cancelled(carrier, CLOSE, lambda: len(wire.requests) == 2)
    assert (outcome.state, type(outcome.error)) == (State.REJECTED, TicketStateError)
    assert states(file) == ["INTENT", "REJECTED"]


# What an earlier run left open


@pytest.mark.parametrize("asked_for", [True, False], ids=["asked for", "left"])
@pytest.mark.parametrize("kind", slow_but_every(2, KINDS))
async def test_an_earlier_run_did_it(
    sandbox: Sandbox, client: WorkorderClient, file: Path, kind: str, *, asked_for: bool
) -> None:
    """What happened then is found, and not sent."""
    mutation = await mutation_of(client, kind)
    await begun_earlier(file, mutation, client.now())
    async with sandbox.client(**QUICK) as earlier:
        await earlier.change(mutation)
    assert (await settled(client, file, mutation, asked_for=asked_for)).state is State.DONE
    assert states(file) == ["INTENT", "DONE"]
    assert len(sandbox.applied) == 1


@pytest.mark.parametrize("asked_for", [True, False], ids=["asked for", "left"])
@pytest.mark.parametrize("kind", slow_but_every(2, KINDS))
async def test_an_earlier_run_did_not_do_it(
    sandbox: Sandbox, client: WorkorderClient, file: Path, kind: str, *, asked_for: bool
) -> None:
    """A close or rejection that did not happen is sent, if it is asked for; of the others that cannot be known."""
    mutation = await mutation_of(client, kind)
    await begun_earlier(file, mutation, client.now() - LONG_AGO)
    outcome = await settled(client, file, mutation, asked_for=asked_for)
    if kind in ("comment", "create"):
        assert (outcome.state, type(outcome.error)) == (State.UNKNOWN, OutcomeUnknownError)
    else:
        assert outcome.state is (State.DONE if asked_for else State.NOT_SENT)
    assert len(sandbox.applied) == (outcome.state is State.DONE)
    told = "INTENT" if outcome.state is State.UNKNOWN and not asked_for else outcome.state.name
    assert states(file)[-1] == told


async def settled(client: WorkorderClient, file: Path, mutation: Mutation, *, asked_for: bool) -> Any:
    """Go on with a journal: with the mutation itself, or with what the journal holds of it."""
    async with Journal(file, {"batch": "once"}) as journal:
        carrier = Carrier(client, journal, Lane(1), verify=True)
        if asked_for:
            return await carried_out(carrier, KEY, prepare(mutation))
        (entry,) = await journal.left_open()
        return await carrier.look(carrier.park(entry))


async def test_an_earlier_run_and_a_batch_that_has_stopped(
    sandbox: Sandbox, client: WorkorderClient, file: Path
) -> None:
    """Nothing is read for it; it stays unknown, and the next run looks."""
    mutation = await mutation_of(client, "close")
    await begun_earlier(file, mutation, client.now() - LONG_AGO)
    before = sandbox.requests.total()
    async with carrier_of(client, file) as carrier:
        carrier.stopping.set()
        assert (await carried_out(carrier, KEY, prepare(mutation))).state is State.UNKNOWN
    assert sandbox.requests.total() == before
    async with carrier_of(client, file) as carrier:
        assert (await carried_out(carrier, KEY, prepare(mutation))).state is State.DONE


async def left_while_it_hangs(client: WorkorderClient, file: Path, hangs: Callable[[], bool]) -> Outcome:
    """Leave a batch at once as soon as it hangs; return what it says of its one mutation."""
    report = BatchReport()
    running = run_batch(client, [CLOSE], journal=file, report=report, patience=0)
    first = asyncio.create_task(anext(running))
    await until(hangs)
    first.cancel()
    await asyncio.wait([first])
    await running.aclose()
    (outcome,) = report.unsettled
    return outcome


async def test_cancelled_while_an_earlier_run_is_looked_for(file: Path) -> None:
    """It is as unknown as before."""
    async with serving(hang) as wire, make_client(wire.url) as client:
        sent = await left_while_it_hangs(client, file, lambda: len(wire.requests) == 1)
        looked = await left_while_it_hangs(client, file, lambda: len(wire.requests) == 2)
    assert b"/close_ticket " in wire.requests[0]
    assert b"/detail" in wire.requests[1]
    for outcome in (sent, looked):
        assert (outcome.state, type(outcome.error)) == (State.UNKNOWN, OutcomeUnknownError)
    assert states(file) == ["INTENT"]


async def test_a_journal_that_was_changed_by_hand(client: WorkorderClient, file: Path) -> None:
    """An intent that is no mutation is told, and nothing is sent for it."""
    async with carrier_of(client, file) as carrier:
        with pytest.raises(JournalError, match="the journal's intent k1 is no mutation that can have been sent"):
            await carrier.look(carrier.park(Entry(KEY, "CloseTicket", {"id": 0}, 1.0)))

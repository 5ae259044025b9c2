"""sending.py and the looks of kinds.py, over sockets: what was asked, said and done, where answers are lost."""

import asyncio
import pickle
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from email.utils import formatdate
from math import inf, nan
from typing import Any

import aiohttp
import orjson
import pytest
from attrs import evolve

from tests.support.clients import NOW, make_client
from tests.support.mutations import KINDS, OPERATIONS, creation, mutation_of
from tests.support.raw_server import Handler, Wire, data, drop, http, serving
from tests.support.slow import slow_after
from tests.support.virtual_loop import running_loop, taking, virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import (
    ApiError,
    CloseTicket,
    CommentTicket,
    ConfigError,
    NotSentError,
    OutcomeUnknownError,
    RejectTicket,
    RetryPolicy,
    Settlement,
    TicketStateError,
    WorkorderClient,
)
from workorder_async.client import OnUnknown
from workorder_async.sandbox import ClientOptions, Fault, Kind, Sandbox

_DATE = f"\r\nDate: {formatdate(NOW, usegmt=True)}\r\n".encode()
LOST_AFTER: tuple[Kind, ...] = ("reset_after", "html_after", "truncate", "hang_after")
LOST_BEFORE: tuple[Kind, ...] = ("reset", "html", "hang")
QUICK: ClientOptions = {"retry": RetryPolicy(first=0.001), "attempt_timeout": 0.15}


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[WorkorderClient]:
    """Give a client of it that waits for little."""
    async with sandbox.client(**QUICK) as client:
        yield client


# After it happened, and before


@pytest.mark.parametrize("fault", slow_after(2, LOST_AFTER))
@pytest.mark.parametrize("kind", KINDS)
@virtual_time
async def test_found(kind: str, fault: Kind) -> None:
    """A mutation that happened and whose answer was lost is found, and not sent again."""
    async with virtual_sandbox(40, client=QUICK) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        sandbox.faults = [Fault(fault, operation=OPERATIONS[kind])]
        changed = await client.change(mutation, on_unknown="verify")
        assert [(one.operation, one.ticket_id) for one in sandbox.applied] == [(OPERATIONS[kind], changed.ticket_id)]
        assert sandbox.requests[OPERATIONS[kind]] == changed.attempts == 1


@pytest.mark.parametrize("fault", slow_after(2, LOST_BEFORE))
@pytest.mark.parametrize("kind", ["close", "reject"])
@virtual_time
async def test_repeated(kind: str, fault: Kind) -> None:
    """A close or rejection that did not happen is sent again until it did, within the attempts of the policy."""
    async with virtual_sandbox(40, client=QUICK) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        sandbox.faults = [Fault(fault, operation=OPERATIONS[kind], times=2)]
        changed = await client.change(mutation)
        assert [one.operation for one in sandbox.applied] == [OPERATIONS[kind]]
        assert sandbox.requests[OPERATIONS[kind]] == changed.attempts == 3


@pytest.mark.parametrize("kind", ["close", "reject"])
@virtual_time
async def test_repeated_in_vain(kind: str) -> None:
    """Where every answer is lost, the attempts of the policy are an end, and the error counts them."""
    async with virtual_sandbox(40, client=QUICK) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        sandbox.faults = [Fault("reset", operation=OPERATIONS[kind])]
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.change(mutation)
        assert sandbox.requests[OPERATIONS[kind]] == caught.value.attempts == RetryPolicy().attempts
        assert caught.value.mutation == mutation
        assert sandbox.applied == []


@pytest.mark.parametrize("fault", slow_after(1, LOST_BEFORE))
@pytest.mark.parametrize("on_unknown", ["raise", "verify"])
@pytest.mark.parametrize("kind", ["comment", "create"])
@virtual_time
async def test_never_repeated(kind: str, on_unknown: OnUnknown, fault: Kind) -> None:
    """A comment or creation is sent once; that it is not there does not prove that it will not come."""
    async with virtual_sandbox(40, client=QUICK) as (sandbox, client):
        mutation = await mutation_of(client, kind)
        sandbox.faults = [Fault(fault, operation=OPERATIONS[kind])]
        with pytest.raises(OutcomeUnknownError, match="may or may not have happened") as caught:
            await client.change(mutation, on_unknown=on_unknown)
        assert sandbox.requests[OPERATIONS[kind]] == caught.value.attempts == 1
        assert await caught.value.verify(client) is None
        assert sandbox.applied == []


@pytest.mark.parametrize("kind", ["comment", "create"])
async def test_not_looked_for_unless_asked(sandbox: Sandbox, client: WorkorderClient, kind: str) -> None:
    """With on_unknown="raise" nothing is read; verify finds it later, also by a copy of the error from a pickle."""
    mutation = await mutation_of(client, kind)
    sandbox.faults = [Fault("reset_after", operation=OPERATIONS[kind])]
    before = sandbox.requests.total()
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.change(mutation)
    assert sandbox.requests.total() == before + 1
    error: OutcomeUnknownError = pickle.loads(pickle.dumps(caught.value))
    assert (error.mutation, error.began, str(error)) == (mutation, caught.value.began, str(caught.value))
    assert abs(error.began - time.time()) < 10
    assert await error.verify(client) is True
    assert error.ticket_id == (sandbox.applied[0].ticket_id if kind == "create" else 0)


async def test_two_alike(sandbox: Sandbox, client: WorkorderClient) -> None:
    """Of two creations alike, none is taken for one's own."""
    sandbox.faults = [Fault("reset_after", operation="create_ticket")]
    errors = await asyncio.gather(*(client.create_ticket(creation()) for _ in range(2)), return_exceptions=True)
    for error in errors:
        assert isinstance(error, OutcomeUnknownError)
        assert (await error.verify(client), error.ticket_id) == (None, 0)
    assert len(sandbox.applied) == 2


@pytest.mark.slow
async def test_many_at_once_are_told_apart(sandbox: Sandbox) -> None:
    """Creations that differ in their title get each its own id, on more than one page of them."""
    titles = [f"工单 {number}" for number in range(105)]
    sandbox.faults = [Fault("reset_after", operation="create_ticket")]
    async with sandbox.client() as client:
        ids = await asyncio.gather(*(client.create_ticket(creation(title), on_unknown="verify") for title in titles))
    assert {one.ticket_id: one.request["title"] for one in sandbox.applied} == dict(zip(ids, titles, strict=True))


async def test_a_new_ticket_that_was_pushed_to_the_next_page_is_one() -> None:
    """A creation is found, though other new tickets made its row come on two pages."""
    made = creation()
    row = {
        "id": 7,
        "title": made.title,
        "detail": made.detail,
        "customer_organization_name": made.customer_organization_name,
        "type": made.type.value,
        "priority": made.priority.value,
        "reported_time": made.reported_time,
        "created_time": int(NOW),
    }
    others = [{"id": 100 + number} for number in range(99)]
    pages = [{"pagination": {"total": 102}, "tickets": rows} for rows in ([*others, row], [row, {"id": 5}])]
    first = data({"pagination": {"total": 0}, "tickets": []}).replace(b"\r\n", _DATE, 1)
    async with serving(first, *map(data, pages)) as wire, make_client(wire.url) as client:
        error = OutcomeUnknownError("lost", mutation=made, began=NOW)
        assert await error.verify(client) is True
        assert error.ticket_id == 7


async def test_older_ones_do_not_count(sandbox: Sandbox) -> None:
    """A comment said, or a ticket created, a minute before is no proof, also where the clocks differ by an hour."""
    skewed = {**QUICK, "now": lambda: time.time() + 3600}
    async with (
        sandbox.client(**skewed) as client,  # type: ignore[arg-type]
        sandbox.client(**skewed) as other,  # type: ignore[arg-type]
    ):
        comment = await mutation_of(client, "comment")
        assert isinstance(comment, CommentTicket)
        for mutation in (comment, creation()):
            await client.change(mutation)
            error = OutcomeUnknownError("lost", mutation=mutation, began=time.time() + 3600)
            # A client that sent it itself knows better.
            assert await error.verify(client) is None
            assert await error.verify(other) is True
            error = OutcomeUnknownError("lost", mutation=mutation, began=error.began + 60)
            assert await error.verify(other) is None


# A question on values


@pytest.mark.parametrize("kind", KINDS)
async def test_settled_without_an_error(sandbox: Sandbox, client: WorkorderClient, kind: str) -> None:
    """What was written down is enough to ask: the mutation, and when it was to be sent."""
    mutation = await mutation_of(client, kind)
    async with sandbox.client(**QUICK) as other:
        before = await other.settle(mutation, other.now())
        assert before == Settlement(None)
    began = client.now()
    sandbox.faults = [Fault("reset_after", operation=OPERATIONS[kind], times=1)]
    with suppress(OutcomeUnknownError):
        await client.change(mutation, began=began)
    created = sandbox.applied[0].ticket_id if kind == "create" else 0
    async with sandbox.client(**QUICK) as stranger:
        for one in (client, stranger):
            assert await one.settle(mutation, began) == Settlement(True, created)
    assert sandbox.requests[OPERATIONS[kind]] == len(sandbox.applied) == 1


@pytest.mark.parametrize("began", [None, "now", True, nan, -inf, 1_700_000_000_000])
async def test_settled_since_nothing(client: WorkorderClient, began: Any) -> None:
    """A moment that is none is refused by its name."""
    with pytest.raises(ConfigError, match=f"began is {began!r}; it must be seconds since the epoch"):
        await client.settle(CLOSE, began)


@pytest.mark.parametrize("name", ["ahead", "run"])
@pytest.mark.parametrize("value", [(0.0, 1.0), {"least": 0, "most": 1}, 0.5])
async def test_settled_by_what_is_none(client: WorkorderClient, name: str, value: Any) -> None:
    """What a program has kept of these in a form of its own is refused by its name, and leaves no mutation behind."""
    options = {name: value}
    with pytest.raises(ConfigError, match=rf"{name} is .*; it must be of the class "):
        await client.settle(CLOSE, 1.0, **options)
    assert await client.settle(CLOSE, client.now()) == Settlement(None)


async def test_verify_keeps_what_it_found(sandbox: Sandbox, client: WorkorderClient) -> None:
    """`verify` fills in the new ticket's id, and a later read that fails does not take it back."""
    sandbox.faults = [Fault("reset_after", operation="create_ticket", times=1)]
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.create_ticket(creation())
    assert (await caught.value.verify(client), caught.value.ticket_id) == (True, sandbox.applied[0].ticket_id)
    async with sandbox.client(**QUICK) as other:
        sandbox.faults = [Fault("reset")]
        assert (await caught.value.verify(other), caught.value.ticket_id) == (True, sandbox.applied[0].ticket_id)


async def test_verify_asks_the_platform_that_it_was_sent_to(sandbox: Sandbox, client: WorkorderClient) -> None:
    """Another platform, where nothing happened, is not asked: its answer would be taken for this one's."""
    sandbox.faults = [Fault("reset_after", operation="create_ticket", times=1)]
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.create_ticket(creation(), mark="om-1")
    kept = pickle.loads(pickle.dumps(caught.value))
    async with Sandbox() as elsewhere, elsewhere.client(**QUICK) as stranger:
        for error in (caught.value, kept):
            with pytest.raises(
                ConfigError, match=rf"client asks {stranger.base_url}; use a client of {client.base_url}"
            ):
                await error.verify(stranger)
        assert not elsewhere.requests
    assert await kept.verify(client) is True


# The deadline


@pytest.mark.parametrize("kind", KINDS)
@virtual_time
async def test_one_deadline(kind: str) -> None:
    """Sending, looking and sending again end together within the deadline, when everything hangs."""
    # A few looks more for an answer at the end of each attempt.
    async with virtual_sandbox(40) as (sandbox, client), taking(90, within=0.05):
        mutation = await mutation_of(client, kind)
        sandbox.faults = [Fault("hang")]
        with pytest.raises(OutcomeUnknownError):
            await client.change(mutation, on_unknown="verify")
        assert len(sandbox.struck) == 3


# Scripts: a lost answer to a close, and what comes after it

CLOSE = CloseTicket(id=1, closer_id=2, closer_name="田金秀", solved_time=1660298580)


OPEN, REFUSED = data({"id": 1, "status": 2}), data(None, 23000)
FORBIDDEN = data(None, 40001)
PAGE = http("<html>", "400 Bad Request")


def dated(answer: bytes) -> bytes:
    """Give an answer the date of virtual time."""
    date = formatdate(running_loop().wall_clock(), usegmt=True)
    return answer.replace(b"\r\n", f"\r\nDate: {date}\r\n".encode(), 1)


async def closed(reader: object, writer: asyncio.StreamWriter) -> None:
    """Show the ticket as it is after the close."""
    now = int(running_loop().wall_clock())
    writer.write(dated(data({"id": 1, "status": 3, "closed_time": now, "solved_time": CLOSE.solved_time})))


def made_now(url: str, **options: Any) -> WorkorderClient:
    """Make a client with the clock of virtual time, whose attempts take two seconds at the most."""
    return make_client(url, now=running_loop().wall_clock, attempt_timeout=2, **options)


async def opened(reader: object, writer: asyncio.StreamWriter) -> None:
    """Show an open ticket."""
    writer.write(OPEN)


def scripted(*answers: Handler | bytes) -> Handler:
    """Answer closes by these in turn, the last one again and again; a look shows an open ticket after a drop."""
    left = list(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        step = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(step, bytes):
            writer.write(step)
        else:
            await step(reader, writer)

    return answer


def by_kind(wire: list[Wire], closes: Handler, looks: Handler, later: Handler | None = None) -> Handler:
    """Answer a close by `closes`, and a look by `looks`, or by `later` after a second close."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/close_ticket" in wire[0].requests[-1]:
            await closes(reader, writer)
        else:
            await (looks if later is None or closes_of(wire[0]) < 2 else later)(reader, writer)

    return answer


def closes_of(wire: Wire) -> int:
    """Return how many closes were sent."""
    return sum(b"/close_ticket" in request for request in wire.requests)


@pytest.mark.parametrize(
    ("closes", "looks", "later", "sent"),
    [
        ([drop], [closed], [closed], 1),
        # It was on its way while we looked.
        ([drop], [OPEN, closed], [OPEN], 1),
        ([drop, data(None)], [OPEN], [OPEN], 2),
        ([drop, drop], [OPEN], [closed], 2),
        ([drop, REFUSED], [OPEN], [closed], 2),
        ([drop, FORBIDDEN], [OPEN], [closed], 2),
    ],
)
@virtual_time
async def test_lost_close(
    closes: list[Handler | bytes], looks: list[Handler | bytes], later: list[Handler | bytes], sent: int
) -> None:
    """A close that is found to have happened is a success, however late, and by whatever a repetition is refused."""
    wires: list[Wire] = []
    async with serving(by_kind(wires, scripted(*closes), scripted(*looks), scripted(*later))) as wire:
        wires.append(wire)
        async with made_now(wire.url) as client:
            changed = await client.change(CLOSE)
            assert changed.attempts == sent == closes_of(wire)


@pytest.mark.parametrize(("lost", "after"), [(drop, 0.1), (http("<html>", "503 Busy", Retry_After="60"), 40)])
@virtual_time
async def test_a_lost_close_whose_client_is_closed(lost: Handler | bytes, after: float) -> None:
    """What waits for its next look, or to be sent again, ends at once, and says that it was sent and is unknown."""
    wires: list[Wire] = []
    async with serving(by_kind(wires, scripted(lost), opened)) as wire:
        wires.append(wire)
        async with made_now(wire.url) as client:
            closing = asyncio.create_task(client.close_ticket(CLOSE))
            await asyncio.sleep(after)
            async with taking(0, within=0.01):
                await client.aclose()
                with pytest.raises(OutcomeUnknownError) as caught:
                    await closing
            assert caught.value.attempts == closes_of(wire) == 1


@pytest.mark.parametrize(
    ("closes", "looks", "later", "error"),
    [
        ([REFUSED], [closed], [closed], TicketStateError),
        ([FORBIDDEN], [closed], [closed], ApiError),
        # That its state does not allow it, and that it is open, contradict each other.
        ([drop, REFUSED], [OPEN], [OPEN], OutcomeUnknownError),
        ([drop, FORBIDDEN], [OPEN], [OPEN], OutcomeUnknownError),
        ([drop], [PAGE], [PAGE], OutcomeUnknownError),
        # What the repetition is refused for may be the first one.
        ([drop, REFUSED], [OPEN], [PAGE], OutcomeUnknownError),
        ([drop, FORBIDDEN], [OPEN], [PAGE], OutcomeUnknownError),
        # That the repetition was turned away says nothing of the first one.
        ([drop, http("", "503 Busy", Retry_After="1000")], [OPEN], [OPEN], OutcomeUnknownError),
    ],
)
@virtual_time
async def test_lost_close_that_fails(
    closes: list[Handler | bytes],
    looks: list[Handler | bytes],
    later: list[Handler | bytes],
    error: type[Exception],
) -> None:
    """A refusal is passed on if nothing was lost; otherwise it is not known."""
    wires: list[Wire] = []
    async with serving(by_kind(wires, scripted(*closes), scripted(*looks), scripted(*later))) as wire:
        wires.append(wire)
        async with made_now(wire.url, retry=RetryPolicy(attempts=2, first=0.001)) as client:
            with pytest.raises(error) as caught:
                await client.change(CLOSE)
            assert type(caught.value) is error
            assert closes_of(wire) == len(closes)


@virtual_time
async def test_lost_and_then_nobody_there() -> None:
    """A close that was sent, and could not be sent again, is not said not to have been sent."""
    looks = 0

    async def look(reader: object, writer: asyncio.StreamWriter) -> None:
        nonlocal looks
        looks += 1
        if running_loop().time() >= 2:
            server.close()
            writer.write(OPEN.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            await writer.drain()
            writer.close()
        else:
            writer.write(OPEN)

    wires: list[Wire] = []
    wire = Wire(script=[by_kind(wires, drop, look)])
    wires.append(wire)
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    async with made_now(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client:
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.change(CLOSE)
        assert isinstance(caught.value.__cause__, NotSentError)
        assert caught.value.attempts == RetryPolicy().attempts
        assert looks > 1


@virtual_time
async def test_a_close_takes_no_more_attempts_than_another_call() -> None:
    """What was sent before a look counts: a close is not given its attempts anew after it."""
    busy = http("", "503 Busy", Retry_After="0")
    wires: list[Wire] = []
    async with serving(by_kind(wires, scripted(busy, drop, busy), opened)) as wire:
        wires.append(wire)
        async with made_now(wire.url, retry=RetryPolicy(attempts=3, first=0.001)) as client:
            with pytest.raises(OutcomeUnknownError) as caught:
                await client.change(CLOSE)
            assert caught.value.attempts == 3 == closes_of(wire)


@virtual_time
async def test_closes_share_the_clients_budget_of_repetitions() -> None:
    """Sending again after a look draws on the budget too: closes that are all lost stop being repeated."""
    wires: list[Wire] = []
    async with serving(by_kind(wires, drop, opened)) as wire:
        wires.append(wire)
        retry = RetryPolicy(attempts=10, first=0.001)
        options: dict[str, Any] = {"now": running_loop().wall_clock, "attempt_timeout": 0.1, "retry": retry}
        async with make_client(wire.url, **options) as client:
            client._session._earn = lambda: None  # type: ignore[method-assign]
            for _ in range(20):
                with pytest.raises(OutcomeUnknownError):
                    await client.change(CLOSE)
        # A repetition costs one, and there are fifty to begin with.
        assert closes_of(wire) == 20 + 50


# Whose rejection, whose comment


def assigned(*shares: tuple[int, int, str]) -> bytes:
    """Return a ticket's detail with these product lines, statuses and comments, said in the year of `NOW`."""
    date = formatdate(NOW, usegmt=True)
    answer = data(
        {
            "id": 1,
            "assigns": [
                {
                    "product_group_id": line,
                    "status": status,
                    "history": [{"action": 3, "created_time": 1_700_000_000, "detail": said}],
                }
                for line, status, said in shares
            ],
        }
    )
    return answer.replace(b"\r\n", f"\r\nDate: {date}\r\n".encode(), 1)


@pytest.mark.parametrize(
    ("line", "shares", "happened", "holds"),
    [
        (3, [(3, 4, ""), (5, 1, "")], True, True),
        (3, [(3, 1, ""), (5, 4, "")], None, False),
        (7, [(3, 4, ""), (5, 4, "")], None, False),
        (None, [(3, 4, "")], True, True),
        (None, [(3, 2, "")], None, False),
        (None, [(3, 1, ""), (5, 2, "")], None, False),
        (None, [(3, 4, ""), (5, 1, "")], True, False),
        # The last word of a rejected share is another one.
        (3, [(3, 4, "好的")], None, True),
        (None, [], None, False),
    ],
)
async def test_whose_rejection(
    line: int | None, shares: list[tuple[int, int, str]], happened: bool | None, *, holds: bool
) -> None:
    """A rejection without words is told by the last step of its product line's share; one of no line by any."""
    async with serving(assigned(*shares)) as wire, make_client(wire.url) as client:
        found = await client.settle(RejectTicket(id=1, productGroupId=line), NOW)
        assert (found.happened, found.holds) == (happened, holds)


@pytest.mark.parametrize(
    ("line", "shares", "happened"),
    [
        (3, [(3, 1, "已处理"), (5, 1, "")], True),
        (5, [(3, 1, "已处理"), (5, 1, "")], None),
        (None, [(3, 1, ""), (5, 1, "已处理")], True),
        (None, [(3, 1, "已处理。")], None),
    ],
)
async def test_whose_comment(line: int | None, shares: list[tuple[int, int, str]], happened: bool | None) -> None:
    """A comment is told by its text, where its product line speaks; the same words of another line are not it."""
    async with serving(assigned(*shares)) as wire, make_client(wire.url) as client:
        error = OutcomeUnknownError(
            "lost", mutation=CommentTicket(id=1, detail="已处理", productGroupId=line), began=NOW
        )
        assert await error.verify(client) is happened
        assert len(wire.requests) == 1


@pytest.mark.parametrize(
    ("mutation", "shown", "happened"),
    [
        # The control: an open ticket on which nothing has happened.
        (CLOSE, {"status": 2}, False),
        (RejectTicket(id=1), {"assigns": [{"product_group_id": 3, "status": 1}]}, False),
        (CLOSE, {"status": 2, "updated_time": int(NOW) - 2000}, False),
        # Closed and rejected, and nobody knows since when; closed and opened again, or changed, since then.
        (CLOSE, {"status": 3}, None),
        (CLOSE, {"status": 3, "updated_time": int(NOW) - 2000}, None),
        (CLOSE, {"status": 3, "updated_time": int(NOW) - 2000, "closed_time": int(NOW) - 2000}, False),
        (RejectTicket(id=1), {"assigns": [{"product_group_id": 3, "status": 4}]}, None),
        (CLOSE, {"status": 2, "closed_time": int(NOW) - 950}, None),
        (CLOSE, {"status": 2, "updated_time": int(NOW) - 10}, None),
        (CLOSE, {"status": 2, "updated_progress_time": int(NOW) - 950}, None),
        (CLOSE, {"status": 2, "assigns": [{"product_group_id": 3, "history": [{"action": 6}]}]}, None),
    ],
)
async def test_what_shows_that_nothing_happened(
    mutation: CloseTicket | RejectTicket, shown: dict[str, Any], happened: bool | None
) -> None:
    """Only a ticket on which nothing has changed since, long after it was sent."""
    answer = data({"id": 1} | shown).replace(b"\r\n", _DATE, 1)
    async with serving(answer) as wire, make_client(wire.url) as client:
        assert (await client.settle(mutation, NOW - 1000)).happened is happened
        assert (await client.settle(mutation, NOW - 10)).happened is None


async def test_two_who_say_the_same() -> None:
    """Where more say the same than is accounted for, somebody else does, and may be the only one."""
    for texts, happened in ((["已处理"], True), (["已处理"] * 2, None)):
        shares = data(
            {
                "id": 1,
                "assigns": [
                    {
                        "product_group_id": 3,
                        "history": [{"created_time": int(NOW), "detail": text} for text in texts],
                    }
                ],
            }
        ).replace(b"\r\n", _DATE, 1)
        async with serving(shares) as wire, make_client(wire.url) as client:
            assert (await client.settle(CommentTicket(id=1, detail="已处理"), NOW)).happened is happened


async def test_unknown_mutation() -> None:
    """An error that is about nothing that can be looked for stays unknown, and asks nothing."""
    async with serving(OPEN) as wire, make_client(wire.url) as client:
        assert await OutcomeUnknownError("lost").verify(client) is None
        assert wire.requests == []


# Sent or not sent


@pytest.mark.parametrize("own", [True, False], ids=["own session", "user's session"])
@pytest.mark.parametrize("limit", ["attempt_timeout", "deadline"])
@pytest.mark.parametrize("attempts", [1, 4])
@virtual_time
async def test_ten_behind_a_pool_of_two(*, own: bool, limit: str, attempts: int) -> None:
    """Of ten comments behind two connections to a server that hangs, each error says truthfully whether it was sent."""
    seen: list[str] = []
    async with AsyncExitStack() as stack:

        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(orjson.loads(wire.requests[-1].rpartition(b"\r\n\r\n")[2])["detail"])
            await reader.read()

        wire = await stack.enter_async_context(serving(hang))
        options: dict[str, Any] = {"attempt_timeout": 0.15, "deadline": 0.4} | {limit: 0.15}
        options["retry"] = RetryPolicy(first=0.001, attempts=attempts)
        if own:
            options["max_in_flight"] = 2
        else:
            connector = aiohttp.TCPConnector(limit=2)
            options["session"] = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        client = await stack.enter_async_context(make_client(wire.url, **options))
        comments = [CommentTicket(id=1, detail=f"备注 {number}") for number in range(10)]
        errors = await asyncio.gather(*map(client.comment_ticket, comments), return_exceptions=True)
    said = {comment.detail: type(error) for comment, error in zip(comments, errors, strict=True)}
    assert Counter(seen) == Counter(text for text, error in said.items() if error is OutcomeUnknownError)
    assert {text for text, error in said.items() if error is NotSentError} == said.keys() - set(seen)
    # How many is a matter of time: where many limits end at one moment, the pool may still hand connections on.
    assert seen


async def test_a_creation_of_another_kind_is_not_taken_for_it(sandbox: Sandbox, client: WorkorderClient) -> None:
    """A lost creation is not told by a ticket with the same texts and another priority."""
    made = creation("同名工单")
    await client.create_ticket(made)
    sandbox.faults = [Fault("reset", operation="create_ticket")]
    with pytest.raises(OutcomeUnknownError):
        await client.create_ticket(evolve(made, priority=1), on_unknown="verify")
    assert [applied.operation for applied in sandbox.applied] == ["create_ticket"]

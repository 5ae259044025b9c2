"""client.py, over sockets: a call's own deadline, as a chat bot needs it, and what is known when it is past."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from time import perf_counter
from typing import Any, TypeAlias

import pytest

from tests.support.clients import make_client
from tests.support.mutations import KINDS, OPERATIONS, mutation_of
from tests.support.raw_server import serving
from workorder_async import (
    CommentTicket,
    DeadlineExceededError,
    Mutation,
    NotSentError,
    OutcomeUnknownError,
    WorkorderClient,
)
from workorder_async.sandbox import Fault, Sandbox

Call: TypeAlias = Callable[..., Awaitable[object]]
SHORT = 0.3
READS: dict[str, Call] = {
    "ping": lambda c, **time: c.ping(**time),
    "list_tickets": lambda c, **time: c.list_tickets(**time),
    "plan_windows": lambda c, **time: c.plan_windows(**time),
    "get_ticket": lambda c, **time: c.get_ticket(1, **time),
    "upload_file": lambda c, **time: c.upload_file(b"x", file_name="x.txt", **time),
    "get_ticket_detail": lambda c, **time: c.get_ticket_detail(1, **time),
}
OWN: dict[str, Call] = {
    "close": lambda c, mutation, **time: c.close_ticket(mutation, **time),
    "reject": lambda c, mutation, **time: c.reject_ticket(mutation, **time),
    "comment": lambda c, mutation, **time: c.comment_ticket(mutation, **time),
    "create": lambda c, mutation, **time: c.create_ticket(mutation, **time),
    "any": lambda c, mutation, **time: c.change(mutation, **time),
}


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Give a sandbox with a few tickets."""
    async with Sandbox(40) as sandbox:
        yield sandbox


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[WorkorderClient]:
    """Give a client of it as it is made where nothing is said."""
    async with sandbox.client() as client:
        yield client


class Took:
    """How long a block took: about the short time, which neither an attempt nor a client's own deadline is."""

    def __enter__(self) -> None:
        self._began = perf_counter()

    def __exit__(self, *_: object) -> None:
        assert SHORT - 0.01 < perf_counter() - self._began < SHORT + 2


@pytest.mark.parametrize("name", READS)
async def test_read(sandbox: Sandbox, client: WorkorderClient, name: str) -> None:
    """A read that hangs ends with its own deadline."""
    sandbox.faults = [Fault("hang")]
    with Took(), pytest.raises(DeadlineExceededError, match=rf"no answer within {SHORT} s"):
        await READS[name](client, deadline=SHORT)


@pytest.mark.parametrize("name", OWN)
async def test_mutation(sandbox: Sandbox, client: WorkorderClient, name: str) -> None:
    """A mutation that hangs is unknown when its deadline is past, and can be settled later."""
    kind = "close" if name == "any" else name
    mutation = await mutation_of(client, kind)
    sandbox.faults = [Fault("hang_after", operation=OPERATIONS[kind])]
    with Took(), pytest.raises(OutcomeUnknownError) as caught:
        await OWN[name](client, mutation, deadline=SHORT)
    sandbox.faults = []
    assert caught.value.mutation == mutation
    assert await caught.value.verify(client) is True
    assert [one.operation for one in sandbox.applied] == [OPERATIONS[kind]]


@pytest.mark.parametrize("kind", KINDS)
async def test_what_settles_shares_the_deadline(sandbox: Sandbox, client: WorkorderClient, kind: str) -> None:
    """Sending and looking end together within it, when everything hangs."""
    mutation = await mutation_of(client, kind)
    async with sandbox.client(attempt_timeout=SHORT / 2) as hasty:
        sandbox.faults = [Fault("hang")]
        with Took(), pytest.raises(OutcomeUnknownError):
            await hasty.change(mutation, on_unknown="verify", deadline=SHORT)


async def test_settle(sandbox: Sandbox, client: WorkorderClient) -> None:
    """To look may have its own deadline, too: what was not found by then is not known."""
    mutation = await mutation_of(client, "close")
    sandbox.faults = [Fault("hang")]
    with Took():
        assert (await client.settle(mutation, client.now(), deadline=SHORT)).happened is None


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Never answer."""
    await reader.read()


async def test_not_sent() -> None:
    """A mutation whose turn does not come by then was not sent, and says so."""
    comment: Mutation = CommentTicket(id=1, detail="已联系客户")
    async with serving(hang) as wire, make_client(wire.url, max_in_flight=1) as client:
        first = asyncio.create_task(client.get_ticket(1))
        await wire.arrived.wait()
        with Took(), pytest.raises(NotSentError, match="nothing happened"):
            await client.change(comment, deadline=SHORT)
        first.cancel()
        await asyncio.wait([first])
        assert len(wire.requests) == 1


async def test_a_long_one(sandbox: Sandbox) -> None:
    """A call may also have more time than the client gives otherwise."""
    sandbox.faults = [Fault("slow_headers", seconds=0.4)]
    async with sandbox.client(deadline=0.1) as client:
        assert (await client.list_tickets(deadline=20)).pagination.total == 40


async def test_a_timeout_around_a_mutation_tells_nothing(sandbox: Sandbox, client: WorkorderClient) -> None:
    """What the docstrings say: after `asyncio.timeout` nobody is told that it happened."""
    mutation: Any = await mutation_of(client, "comment")
    sandbox.faults = [Fault("hang_after", operation="comment_ticket")]
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(SHORT):
            await client.comment_ticket(mutation)
    assert not isinstance(caught.value, OutcomeUnknownError)
    assert len(sandbox.applied) == 1

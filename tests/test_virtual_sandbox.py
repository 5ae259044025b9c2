"""virtual_sandbox.py: a whole sandbox and a whole client in virtual time, and what goes wrong between them."""

import asyncio

import aiohttp
import pytest
from attrs import evolve

from tests.support.clients import make_client
from tests.support.mutations import creation
from tests.support.observed import Seen
from tests.support.virtual_loop import running_loop, taking, virtual_run, virtual_time
from tests.support.virtual_sandbox import virtual_sandbox
from workorder_async import (
    ApiError,
    CommentTicket,
    DeadlineExceededError,
    NoAnswerError,
    OutcomeUnknownError,
    RetryPolicy,
    SchemeSigner,
)
from workorder_async.sandbox import ClientOptions, Fault, Sandbox
from workorder_async.wire.observing import AttemptEnded

COMMENT = CommentTicket(id=1001, detail="已联系客户")
ONCE: ClientOptions = {"retry": RetryPolicy(attempts=1)}


@virtual_time
async def test_a_walk_takes_the_time_of_its_pages() -> None:
    """A walk of 2,000 tickets gives each of them, and takes as many latencies as it makes requests, one by one."""
    async with virtual_sandbox(2000, latency=0.05) as (sandbox, client):
        async with taking(21 * 0.05):
            one_by_one = [ticket.id async for ticket in client.iter_tickets(concurrency=1)]
        assert sandbox.requests == {"list_tickets": 21}
        began = running_loop().time()
        at_once = [ticket.id async for ticket in client.iter_tickets(concurrency=8)]
        latencies = (running_loop().time() - began) / 0.05
        assert latencies == pytest.approx(round(latencies), abs=1e-6)
        assert 3 <= round(latencies) <= 6
    assert len(one_by_one) == len(set(one_by_one)) == 2000
    assert at_once == one_by_one


@pytest.mark.parametrize(
    ("kind", "seconds", "why"),
    [
        ("reset", 0, "reset by peer"),
        ("reset_after", 0, "reset by peer"),
        ("refuse", 0, "Server disconnected"),
        ("truncate", 0, "payload is not completed"),
        # An attempt that is out of time looks three times more for an answer.
        ("hang", 30.03, "not within 30 s"),
        ("hang_after", 30.03, "not within 30 s"),
        ("slow_headers", 7, None),
        ("slow_body", 7, None),
        ("drip", 30.04, "not within 30 s"),
    ],
)
@virtual_time
async def test_faults(kind: str, seconds: float, why: str | None) -> None:
    """Each fault of the wire is what it is over sockets, and takes its time; the next attempt is answered."""
    fault = Fault(kind, seconds=7, times=1)  # type: ignore[arg-type]
    async with virtual_sandbox(3, faults=[fault], client=ONCE) as (sandbox, client):
        async with taking(seconds):
            if why is None:
                await client.get_ticket(1001)
            else:
                with pytest.raises(NoAnswerError, match=why):
                    await client.get_ticket(1001)
        async with taking(0):
            assert (await client.get_ticket(1001)).id == 1001
        assert [struck.fault for struck in sandbox.struck] == [fault]


@pytest.mark.parametrize("kind", ["reset", "reset_after", "refuse", "truncate"])
def test_faults_are_the_same_over_sockets(kind: str) -> None:
    """The client tells what the kernel's connections do in the same words."""
    fault = Fault(kind)  # type: ignore[arg-type]

    async def lose() -> str:
        async with Sandbox(3, faults=[fault]) as sandbox, sandbox.client(**ONCE) as client:
            with pytest.raises(NoAnswerError) as caught:
                await client.get_ticket(1001)
        return str(caught.value).replace(sandbox.url, "")

    assert virtual_run(lose()) == asyncio.run(lose())


@pytest.mark.parametrize(("kind", "applied"), [("reset", 0), ("reset_after", 1), ("hang_after", 1), ("truncate", 1)])
@virtual_time
async def test_a_mutation_whose_answer_is_lost(kind: str, applied: int) -> None:
    """The sandbox does what it was asked before the answer is lost."""
    async with virtual_sandbox(3, faults=[Fault(kind, operation="comment_ticket")]) as (sandbox, client):  # type: ignore[arg-type]
        with pytest.raises(OutcomeUnknownError):
            await client.comment_ticket(COMMENT)
        assert len(sandbox.applied) == applied
        assert all(one.time == running_loop().wall_clock() for one in sandbox.applied) or kind == "hang_after"


@virtual_time
async def test_retries_with_backoff() -> None:
    """A call takes what its waits take, and their bounds double."""
    seen = Seen()
    retry: ClientOptions = {"retry": RetryPolicy(attempts=6, first=2, longest=20), "observers": [seen]}
    async with virtual_sandbox(3, faults=[Fault("503", times=5)], client=retry) as (sandbox, client):
        await client.get_ticket(1001)
        waits = [event.wait for event in seen.events if isinstance(event, AttemptEnded) and event.wait is not None]
        assert len(waits) == sandbox.requests["get_ticket"] - 1 == 5
        assert running_loop().time() == pytest.approx(sum(waits))
        assert all(wait <= most for wait, most in zip(waits, (2, 4, 8, 16, 20), strict=True))


@pytest.mark.parametrize("kind", ["429", "503"])
@virtual_time
async def test_retry_after(kind: str) -> None:
    """What the server asks for is waited for, to the second."""
    fault = Fault(kind, retry_after=45, times=1)  # type: ignore[arg-type]
    async with virtual_sandbox(3, faults=[fault]) as (_, client), taking(45):
        await client.get_ticket(1001)


@virtual_time
async def test_a_deadline() -> None:
    """A call ends with its deadline, after the last looks, and says where its time went."""
    patient: ClientOptions = {"attempt_timeout": 600}
    async with virtual_sandbox(3, faults=[Fault("hang")], client=patient) as (_, client), taking(90.03):
        with pytest.raises(DeadlineExceededError, match=r"within 90 s \(0\.0 s queue, 90\.0 s request"):
            await client.get_ticket(1001)


@virtual_time
async def test_the_limit_of_the_sandbox() -> None:
    """The sandbox counts its requests per second in virtual time."""
    async with virtual_sandbox(3, rate=10, retry_after=1) as (sandbox, client):
        await asyncio.gather(*(client.get_ticket(1001) for _ in range(30)))
        assert sandbox.refused.total() > 0
        granted = sandbox.granted
        assert all(later - earlier >= 1 for earlier, later in zip(granted, granted[10:], strict=False))
        assert 2 <= granted[-1] <= 60


@virtual_time
async def test_the_gate_of_the_sandbox() -> None:
    """A wrong secret and a wrong clock are refused as always."""
    async with virtual_sandbox(3) as (sandbox, client):
        stranger = SchemeSigner("sandbox-app", "another", "hmac-sha256:{app_id}:{timestamp}:{method}:{path}:{body}")
        async with make_client(sandbox.url, signer=stranger, now=running_loop().wall_clock) as other:
            with pytest.raises(ApiError, match="Sign"):
                await other.get_ticket(1001)
        late_clock = running_loop().wall_clock() - 3600
        async with sandbox.client(now=lambda: late_clock) as late:
            await late.get_ticket(1001)
            assert late.clock_offset == pytest.approx(3600, abs=1)
        assert client.clock_offset == 0


@virtual_time
async def test_files() -> None:
    """A large file goes up and comes down again, piece by piece."""
    content = bytes(range(256)) * 20_000
    async with virtual_sandbox(3) as (_, client):
        attachment = await client.upload_file(content, file_name="log.bin")
        id = await client.create_ticket(evolve(creation(), attachment=(attachment,)))
        (kept,) = (await client.get_ticket_detail(id)).attachment
        async with aiohttp.ClientSession() as http, http.get(kept.file_path) as answer:
            assert await answer.read() == content


@virtual_time
async def test_idle_connections_are_closed_in_virtual_time() -> None:
    """An idle connection is kept for 15 s, virtual ones, by aiohttp."""
    async with virtual_sandbox(3) as (_, client):
        connections: list[tuple[object, float]] = []
        for pause in (0, 10, 20):
            await asyncio.sleep(pause)
            await client.get_ticket(1001)
            http = client._session._pool.http
            assert http is not None
            assert http.connector is not None
            connections.append(*next(iter(http.connector._conns.values())))
        first, second, third = (protocol for protocol, _ in connections)
        assert first is second is not third

"""attempt.py: how an attempt ends in time, and which session sends it."""

import asyncio

import aiohttp
import pytest

from tests.support.rows import each
from tests.support.virtual_loop import running_loop, taking, virtual_time
from workorder_async import ConfigError
from workorder_async.wire.attempt import AttemptLimit, Pool
from workorder_async.wire.call import Deadline
from workorder_async.wire.options import client_options


async def until_up(limit: AttemptLimit) -> None:
    """Wait for the time to be up."""
    with limit:
        await asyncio.Event().wait()


@each(("deadline", "own", "ends_call"), [(20, 60, True), (60, 20, False), (20, None, True)])
@virtual_time
async def test_the_sooner_limit_fires(deadline: float, own: float | None, ends_call: bool) -> None:
    """Of the call's deadline and the attempt's own time the sooner one ends the attempt, and says which it was."""
    limit = AttemptLimit(own or 7, Deadline.after(deadline))
    if own is not None:
        limit.begin(Deadline.after(deadline))
    # Three looks, a hundredth of a second each, and nothing came in.
    async with taking(20.03):
        with pytest.raises(TimeoutError):
            await until_up(limit)
    assert limit.ends_call == ends_call


@virtual_time
async def test_a_limit_that_is_set_anew() -> None:
    """Only the last one counts, and none once it was cancelled."""
    with AttemptLimit(2, Deadline.after(1)) as limit:
        limit.begin(Deadline.after(60))
        assert not limit.ends_call
        await asyncio.sleep(1.5)
    await asyncio.sleep(3600)
    assert not limit.expired


@virtual_time
async def test_a_limit_that_comes_nearer() -> None:
    """The timer of the later one is gone: it would cancel what the task does after its attempt."""
    with AttemptLimit(10, Deadline.after(60)) as limit:
        await asyncio.sleep(5)
        limit.begin(Deadline.after(60))
        await asyncio.sleep(6)  # at 10 the timer was set anew, for 15
        limit.begin(Deadline.after(2))
    await asyncio.sleep(3600)
    assert not limit.expired


@each(("waits", "up_at"), [(5, 15.03), (25, 35.03), (59, 60.03), (70, 60.03)])
@virtual_time
async def test_an_attempt_that_begins_late(waits: float, up_at: float) -> None:
    """Until it begins, only the deadline of the call counts; from then on, its own time as well."""

    async def attempt() -> None:
        with AttemptLimit(10, Deadline.after(60)) as limit:
            await asyncio.sleep(waits)
            limit.begin(Deadline(60, 60))
            await asyncio.Event().wait()

    async with taking(up_at):
        with pytest.raises(TimeoutError):
            await attempt()


@virtual_time
async def test_an_attempt_that_begins_again_and_again() -> None:
    """Each piece of a file that is taken gives it its whole time anew."""

    async def attempt() -> None:
        with AttemptLimit(10, Deadline.after(60)) as limit:
            for _ in range(5):
                limit.begin(Deadline.after(60))
                await asyncio.sleep(9)
            limit.begin(Deadline.after(60))
            await asyncio.Event().wait()

    async with taking(9 * 5 + 10.03):
        with pytest.raises(TimeoutError):
            await attempt()


@each(
    ("every", "comes_for", "up_at"),
    [
        (0.01, 0.2, 10.24),  # the look at 10.2 s finds the last byte, and four more find none
        (0.04, 0.2, 10.21),  # three looks between bytes may find none
        (0.05, 0.2, 10.05),  # four may not: the time is up before the second byte
        (0.01, 60, 11),
    ],
)
@virtual_time
async def test_bytes_that_come_in_are_waited_for(every: float, comes_for: float, up_at: float) -> None:
    """While bytes come in, the time is not up, for a second at the most; once none come, it is."""
    limit = AttemptLimit(10, Deadline.after(60))
    limit.begin(Deadline.after(60))
    coming = asyncio.create_task(come_in(limit, every, comes_for))
    async with taking(up_at):
        with pytest.raises(TimeoutError):
            await until_up(limit)
    coming.cancel()


@virtual_time
async def test_an_answer_that_comes_in_is_read() -> None:
    """An answer whose bytes came in from the end of the time on, and whose last byte came within a second, counts."""
    limit = AttemptLimit(10, Deadline.after(60))
    limit.begin(Deadline.after(60))
    coming = asyncio.create_task(come_in(limit, 0.01, 0.9))
    with limit:
        assert await coming == 90
    assert not limit.expired


async def come_in(limit: AttemptLimit, every: float, comes_for: float) -> int:
    """Let a byte come in now and then, between two looks, when 10 seconds are over; return how many came."""
    await asyncio.sleep(10.005)
    while running_loop().time() < 10 + comes_for:
        limit.received += 1
        await asyncio.sleep(every)
    return limit.received


async def test_a_cancellation_by_others_passes() -> None:
    """Who is cancelled while the time is up as well is cancelled; who is not has no cancellation left over."""
    limit = AttemptLimit(0.01, Deadline.after(1))

    async def wait() -> None:
        limit.begin(Deadline.after(1))
        await until_up(limit)

    task = asyncio.create_task(wait())
    with pytest.raises(TimeoutError):
        await task
    assert task.cancelling() == 0
    limit = AttemptLimit(0.01, Deadline.after(1))
    task = asyncio.create_task(wait())
    while not limit.expired:  # noqa: ASYNC110 - in the very turn of the loop
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_opened_once() -> None:
    """The session is made when first asked for, is the same afterwards, and is closed."""
    pool = Pool("http://127.0.0.1", client_options())
    assert pool.http is None
    session = pool.opened()
    assert pool.opened() is session
    await pool.aclose()
    assert session.closed


@each("brings", [False, True])
async def test_a_closed_client_opens_nothing(brings: bool) -> None:
    """What still waited for its turn is not sent, over a new session or the one that was brought along."""
    async with aiohttp.ClientSession() as brought:
        pool = Pool("http://127.0.0.1", client_options(session=brought if brings else None))
        await pool.aclose()
        with pytest.raises(ConfigError, match="this client is closed"):
            pool.opened()
        with pytest.raises(ConfigError, match="this client is closed"):
            pool.check_usable()
        assert not brought.closed


async def test_one_loop() -> None:
    """A client is used in the event loop where it was used first."""
    pool = Pool("http://127.0.0.1", client_options())
    pool.check_usable()

    async def check() -> None:
        pool.check_usable()

    with pytest.raises(ConfigError, match="belongs to another event loop"):
        await asyncio.to_thread(asyncio.run, check())


async def test_a_session_of_another_loop() -> None:
    """A session that was made in another loop is told of before anything is sent over a connection of it."""

    async def bring() -> aiohttp.ClientSession:
        async with aiohttp.ClientSession() as session:
            return session

    session = await asyncio.to_thread(asyncio.run, bring())
    with pytest.raises(ConfigError, match="the session that was brought along, belongs to another event loop"):
        Pool("http://127.0.0.1", client_options(session=session)).check_usable()

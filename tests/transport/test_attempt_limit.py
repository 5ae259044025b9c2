"""attempt_limit.py: which limit is up, told by the one that was set, and that what came in by then is waited for."""

import asyncio

import pytest

from workorder_async.transport.attempt_limit import AttemptLimit
from workorder_async.transport.deadline import Deadline


async def until_up(timeout: asyncio.Timeout) -> None:
    """Wait for the time to be up."""
    async with timeout:
        await asyncio.Event().wait()


@pytest.mark.parametrize(("deadline", "own", "ends_call"), [(0.02, 60, True), (60, 0.02, False), (0.02, None, True)])
async def test_the_sooner_limit_fires(deadline: float, own: float | None, ends_call: bool) -> None:
    """Of the call's deadline and the attempt's own time the sooner one ends the attempt, and says which it was."""
    timeout = asyncio.timeout(None)
    limit = AttemptLimit(timeout)
    limit.set(Deadline.after(deadline), own)
    with pytest.raises(TimeoutError):
        await until_up(timeout)
    assert limit.ends_call == ends_call


async def test_a_limit_that_is_set_anew() -> None:
    """Only the last one counts, and none once it was cancelled."""
    timeout = asyncio.timeout(None)
    limit = AttemptLimit(timeout)
    async with timeout:
        limit.set(Deadline.after(0.01))
        limit.set(Deadline.after(60), 0.02)
        assert not limit.ends_call
        limit.cancel()
        await asyncio.sleep(0.15)


async def test_bytes_that_come_in_are_waited_for() -> None:
    """While bytes come in, the time is not up; once none come, it is."""
    loop = asyncio.get_running_loop()
    timeout = asyncio.timeout(None)
    limit = AttemptLimit(timeout)
    started = loop.time()

    async def come_in() -> None:
        while loop.time() < started + 0.2:
            limit.note(1)
            await asyncio.sleep(0.001)

    limit.set(Deadline.after(0.01))
    async with asyncio.TaskGroup() as group:
        group.create_task(come_in())
        with pytest.raises(TimeoutError):
            await until_up(timeout)
    assert loop.time() >= started + 0.2

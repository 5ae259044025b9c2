"""tasks.py: some work for each of many things."""

import asyncio

import pytest

from workorder_async.tasks import for_each


async def test_no_more_than_so_many_at_once() -> None:
    """`for_each` keeps to its bound, reaches it, does everything once, and tells the results in the things' order."""
    running, most, done = 0, 0, []

    async def act(item: int) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(item % 7):
            await asyncio.sleep(0)
        running -= 1
        done.append(item)
        return str(item)

    results = await for_each(range(50), act, at_once=4)
    assert (most, sorted(done)) == (4, list(range(50)))
    assert done != sorted(done)
    assert results == [str(item) for item in range(50)]


async def test_the_first_failure_of_many_comes_out_as_itself() -> None:
    """`for_each` raises what one item raised, and cancels the others."""

    async def act(item: int) -> None:
        if item:
            await asyncio.Event().wait()
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await for_each([1, 0], act)

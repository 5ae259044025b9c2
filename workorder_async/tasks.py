"""Work for each of many things, side by side; and work that a cancelled task awaits to its end."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

_S = TypeVar("_S")
_T = TypeVar("_T")


async def for_each(
    things: Iterable[_S], work: Callable[[_S], Awaitable[_T]], *, at_once: int | None = None
) -> list[_T]:
    """Do some work for each thing, at most `at_once` at a time, and return the results in the order of the things.

    Without `at_once` all of them are begun at once. The first failure cancels the others, and is raised as itself.
    """
    things = list(things)
    left, results = iter(enumerate(things)), dict[int, _T]()

    async def take() -> None:
        for place, thing in left:
            results[place] = await work(thing)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(things), at_once or len(things))):
                group.create_task(take())
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [results[place] for place in range(len(things))]


async def to_its_end(work: Awaitable[_T]) -> _T:
    """Await some work to its end, however often the task is cancelled meanwhile; then pass the cancellation on."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # nobody asks for it any more
        raise cancelled
    return task.result()

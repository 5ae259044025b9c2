"""A batch's journal: what was about to be sent and what became of it, so that a killed batch goes on where it stopped.

An intent is on disk (fsync) before its mutation is sent; an outcome is written after. The file is locked against other
processes while it is open. Nothing is begun when others no longer find this file under its name.

One thread does all disk work (`journal_file.py`). The loop gives it orders; they gather while the thread is busy, and
then it follows all of them with one fsync. Without a file the standings alone remain: they tell that a mutation was
already in this batch.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from attrs import define

from workorder_async.batches.journal_file import JournalFile
from workorder_async.batches.standings import Entry, Standing
from workorder_async.document import JSON
from workorder_async.durable import MovedError
from workorder_async.errors import JournalError

T = TypeVar("T")


@define
class _Order:
    """Work for the thread. `done` gets what `work` returns, when everything that it wrote is on disk."""

    work: Callable[[], object]
    done: "asyncio.Future[Any] | None"


class Journal:
    """An open journal, used from one event loop. With `path` None it remembers nothing beyond this batch.

    `identity` says which batch this is; a file that says otherwise is refused. Raises `JournalError` if the file cannot
    be read, written or locked.
    """

    def __init__(self, path: "str | os.PathLike[str] | None", identity: dict[str, JSON]) -> None:
        self._path = None if path is None else Path(path)
        self._file = JournalFile(self._path, identity)
        self._thread = ThreadPoolExecutor(1, "workorder-journal")
        self._process = os.getpid()
        self._orders: list[_Order] = []
        self._busy: asyncio.Task[None] | None = None
        self._failure: JournalError | None = None

    async def __aenter__(self) -> "Journal":
        try:
            await self._in_thread(self._file.open)
        except BaseException:
            await to_its_end(self._finish())
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await to_its_end(self._finish())
        if self._failure is not None and kind is not asyncio.CancelledError:
            raise self._failure

    async def begin(self, entry: Entry) -> tuple[Standing, float]:
        """Return the standing of a mutation, and when it was first begun; the intent of a NEW one is on disk then.

        If this is cancelled, the mutation is left as it was found: a NEW one is written down as not sent.
        """
        found: Standing | None = None

        def begin() -> tuple[Standing, float]:
            nonlocal found
            found, began = self._file.begin(entry)
            return found, began

        try:
            return await self._order(begin)
        except asyncio.CancelledError:
            self._order_soon(lambda: self._file.take_back(entry.key, found))
            raise

    def end(self, key: str, state: str, **facts: JSON) -> None:
        """Write an outcome, soon: with the next intent at the latest, or when the journal closes.

        What is "DONE" or "ALREADY" is never sent again, "UNKNOWN" is settled first, any other may be sent again.
        """
        self._order_soon(lambda: self._file.end(key, state, facts))

    def is_in_place(self) -> bool:
        """Tell whether others find this file under the journal's name; true if there is no file."""
        return self._file.is_in_place()

    async def has_twin(self, entry: Entry) -> bool:
        """Tell whether another mutation that was begun, in this run or an earlier one, leaves the same trace."""
        return await self._order(lambda: self._file.standings.has_twin(entry))

    async def left_open(self) -> list[Entry]:
        """Return what an earlier run left open and this one has not begun."""
        return await self._order(self._file.standings.left_open)

    async def _order(self, work: Callable[[], T]) -> T:
        """Let the thread do this; return what it returns, when what it wrote is on disk."""
        if self._failure is not None:
            raise self._failure
        if os.getpid() != self._process:
            raise self._told(MovedError("it belongs to the process that this one was forked from"))
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._orders.append(_Order(work, done))
        self._start()
        return await done

    def _order_soon(self, work: Callable[[], None]) -> None:
        """Let the thread do this too, and do not wait for it."""
        self._orders.append(_Order(work, None))
        self._start()

    def _start(self) -> "asyncio.Task[None]":
        if self._busy is None or self._busy.done():
            self._busy = asyncio.create_task(self._carry_out())
        return self._busy

    async def _carry_out(self) -> None:
        """Give the thread all orders that have gathered, again and again until there are none."""
        while self._orders:
            orders, self._orders = self._orders, []
            work = partial(self._file.work, [order.work for order in orders])
            try:
                # A loop that is shut down cancels this task too; what was ordered is written all the same.
                results = await asyncio.shield(self._in_thread(work))
            except Exception as error:  # noqa: BLE001 - every order must be answered
                failure = error if isinstance(error, JournalError) else self._told(error)
                self._failure = failure
                results = [failure] * len(orders)
            for order, result in zip(orders, results, strict=True):
                if order.done is None or order.done.done():
                    continue
                if isinstance(result, BaseException):
                    order.done.set_exception(result)
                else:
                    order.done.set_result(result)

    def _told(self, error: Exception) -> JournalError:
        """Return what a user is told of an error of the file."""
        lost = ", and what ended since is not written where it is looked for" if isinstance(error, MovedError) else ""
        return JournalError(f"cannot write the journal {str(self._path)!r}: {error}; nothing more was sent{lost}")

    async def _finish(self) -> None:
        """Write what was ordered, even if the task that wrote was cancelled, and close the file."""
        if os.getpid() != self._process:
            return  # the thread stayed with the parent
        while self._orders or (self._busy is not None and not self._busy.done()):
            await asyncio.wait({self._start()})
        await self._in_thread(self._file.close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


async def to_its_end(work: Coroutine[object, object, T]) -> T:
    """Await this to its end, however often the task is cancelled meanwhile; then pass the cancellation on."""
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return task.result()

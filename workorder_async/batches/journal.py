"""A batch's journal: its mutations and their outcomes, so that a killed batch goes on from there.

`Journal` is the event loop's side. It gives orders, which are functions of a `JournalFile`, and a thread calls them.
Nothing is begun if others no longer find this file under its name. Without a file only the standings are kept, which
tell that a mutation was already in this batch.
"""

import asyncio
import errno
import os
import sqlite3
from collections.abc import Callable, Collection
from concurrent.futures import Executor, Future
from math import inf
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from workorder_async.batches.journal_file import Entry, JournalFile, Standing, no_table
from workorder_async.document import JSON
from workorder_async.durable import MovedError
from workorder_async.errors import JournalError
from workorder_async.tasks import to_its_end

T = TypeVar("T")


class Journal:
    """An open journal, used from one event loop. With `path` None it remembers nothing beyond this batch.

    `identity` says which batch this is; a file that says otherwise is refused. Raises `JournalError` if the file cannot
    be read, written or locked. Orders gather while the thread is busy; then it follows all of them with one fsync.

    A disk may hang: an order is waited for until a time that the caller gives, and the end for `patience` seconds. If
    the disk comes back later, the orders are still written; the lock is kept until then.
    """

    def __init__(
        self, path: "str | os.PathLike[str] | None", identity: dict[str, JSON], patience: float = 10.0
    ) -> None:
        self._path = None if path is None else Path(path)
        self._file = JournalFile(self._path, identity)
        self._patience = patience
        self._thread = _Disk()
        self._process = os.getpid()
        # Each order, and the future that gets its result when all that the order wrote is on disk.
        self._orders: list[tuple[Callable[[], object], asyncio.Future[Any] | None]] = []
        self._busy: asyncio.Task[None] | None = None
        self._orders_done: asyncio.Future[list[object]] | None = None
        self._failure: JournalError | None = None
        # The error of a full disk, as long as the latest lines are not on it: they are written with the next ones.
        self._unwritten: JournalError | None = None
        # The newest check of the file's place, and whether it still waits for the check before it. As long as it does,
        # it serves all calls of `check_place`. It has a thread of its own: it does not wait for lines that are written.
        self._place_disk = _Disk()
        self._place_check: asyncio.Task[None] | None = None
        self._place_check_waits = False
        #: When the file was locked, by the loop's clock: from then on no earlier run sends anything.
        self.opened: float = inf

    async def __aenter__(self) -> "Journal":
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._file.open)
            self.opened = loop.time()
        except BaseException:
            await to_its_end(self._finish())
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await to_its_end(self._finish())
        failure = self._failure or self._unwritten
        if failure is not None and kind is not asyncio.CancelledError:
            raise failure

    async def begin(self, entry: Entry, until: float | None = None) -> tuple[Standing, Entry]:
        """Begin a mutation. Return the standing in which it was found, and its intent: the first one if it was OPEN.

        The intent of a NEW one is on disk when this returns. If this is cancelled, or the disk has not answered at
        `until`, by the loop's clock, the standing stays as it was found: a NEW one is written down as not sent.
        """
        found: Standing | None = None

        def begin() -> tuple[Standing, Entry]:
            nonlocal found
            found, first = self._file.begin(entry)
            return found, first

        try:
            return await self._order(begin, until)
        except (asyncio.CancelledError, _HangingError):
            self._order_soon(lambda: self._file.take_back(entry.key, found))
            raise

    def end(self, key: str, state: str, **facts: JSON) -> None:
        """Write an outcome, soon: with the next intent at the latest, or when the journal closes.

        A mutation that is "DONE" or "ALREADY" is never sent again, an "UNKNOWN" one is settled first, any other may be
        sent again.
        """
        self._order_soon(lambda: self._file.end(key, state, facts))

    async def check_place(self, until: float | None = None) -> None:
        """Raise `JournalError` unless others find this file under the journal's name, or there is no file."""
        if self._path is None:
            return
        self._check_usable()
        if self._place_check is None or not self._place_check_waits:
            self._place_check_waits = True  # before the task: it may begin at once
            self._place_check = asyncio.create_task(self._check_place_after(self._place_check))
        # A check that has begun already is not enough: the file may have been replaced since.
        await self._in_time(self._place_check, until)
        self._check_usable()

    async def _check_place_after(self, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await asyncio.wait({before})
        self._place_check_waits = False
        try:
            await asyncio.get_running_loop().run_in_executor(self._place_disk, self._file.check_place)
        except Exception as error:  # noqa: BLE001 - told to all who asked
            self._failure = self._failure or self._journal_error(error)

    async def has_twin(self, entry: Entry, until: float | None = None) -> bool:
        """Tell whether another mutation that an earlier run began may look like this one."""
        return await self._order(lambda: self._file.has_twin(entry), until)

    def made_like(self, entry: Entry) -> tuple[int, int] | None:
        """Return a ticket that an earlier run made for the product line of this creation, and its creator."""
        return self._file.made_like(entry)

    def forget(self, keys: Collection[str], *, rewrites: bool = False) -> None:
        """Forget mutations that are over: each is NEW from then on, and would be sent again.

        Their lines stay in the file, unless this `rewrites` it, before anything is begun, and it can be replaced.
        """
        self._order_soon(lambda: self._file.forget(keys, rewrites=rewrites))

    async def left_open(self, until: float | None = None) -> list[Entry]:
        """Return the mutations that an earlier run left open and this one has not begun."""
        return await self._order(self._file.left_open, until)

    async def _order(self, work: Callable[[], T], until: float | None) -> T:
        """Give an order; return its result when all that it wrote is on disk."""
        self._check_usable()
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._order_soon(work, done)
        try:
            await self._in_time(done, until)
            return done.result()
        finally:
            done.cancel()

    async def _in_time(self, work: asyncio.Future[Any], until: float | None) -> None:
        """Wait for some work of the disk until then. Raises `JournalError` where that has not ended."""
        left = None if until is None else max(0.0, until - asyncio.get_running_loop().time())
        # And a moment longer: while the event loop was blocked, or the whole program stopped, nobody heard of its end.
        for seconds in (left, 0.1):
            await asyncio.wait({work}, timeout=seconds)
        if not work.done() or work.cancelled():
            raise self._hanging("nothing more was sent")

    def _check_usable(self) -> None:
        if self._failure is not None:
            # A new error: the traceback of one that is raised again and again would grow for ever.
            raise JournalError(f"{self._failure.message}; nothing is begun until it is opened anew")
        if os.getpid() != self._process:
            raise self._journal_error(MovedError("it belongs to the process that this one was forked from"))

    def _hanging(self, so: str) -> "_HangingError":
        return _HangingError(f"the disk of the journal {str(self._path)!r} does not answer in time, so {so}")

    def _order_soon(self, work: Callable[[], object], done: "asyncio.Future[Any] | None" = None) -> None:
        """Give an order, and do not wait for it."""
        self._orders.append((work, done))
        if self._busy is None or self._busy.done():
            self._busy = asyncio.create_task(self._give_orders())

    async def _give_orders(self) -> None:
        """Hand all orders that have gathered to the thread, again and again until there are none."""
        while self._orders:
            orders, self._orders = self._orders, []
            try:
                # A loop that is shut down cancels this task too; the orders are written all the same.
                works = [work for work, _ in orders]
                self._orders_done = asyncio.get_running_loop().run_in_executor(self._thread, self._file.work, works)
                results, self._unwritten = await asyncio.shield(self._orders_done), None
            except Exception as error:  # noqa: BLE001 - every order must be answered
                results = [error] * len(orders)
            for (_, done), result in zip(orders, results, strict=True):
                told = self._noted(result) if isinstance(result, Exception) else None
                if done is None or done.done():
                    continue
                if told is not None:
                    done.set_exception(told)
                else:
                    done.set_result(result)

    def _noted(self, error: Exception) -> JournalError:
        """Note the failure of an order, and return the error to raise there: of several, the first is the cause."""
        told = error if isinstance(error, JournalError) else self._journal_error(error)
        if _is_full(error):
            self._unwritten = told
        else:
            self._failure = self._failure or told
        return JournalError((self._failure or told).message)

    def _journal_error(self, error: Exception) -> JournalError:
        """Return the `JournalError` that users get for an error of the file."""
        if isinstance(error, sqlite3.Error):
            return JournalError(f"{no_table(error)}; nothing more was sent")
        lost = (
            ", and the outcomes since then are not in the file that a later run reads"
            if isinstance(error, MovedError)
            else ""
        )
        mend = "; make room" if _is_full(error) else ""
        return JournalError(f"cannot write the journal {str(self._path)!r}: {error}; nothing more was sent{lost}{mend}")

    async def _finish(self) -> None:
        """Hand over all orders, even if the task that did so was cancelled, and close the file."""
        if os.getpid() != self._process:
            return  # the thread stayed with the parent
        if self._place_check is not None and not self._place_check.done():
            self._place_check.cancel()
            await asyncio.wait({self._place_check})
        try:
            async with asyncio.timeout(self._patience):
                if self._unwritten is not None:
                    self._order_soon(bool)  # any order: the lines are written with it
                while self._orders or (self._busy is not None and not self._busy.done()):
                    if self._busy is None or self._busy.done():
                        self._busy = asyncio.create_task(self._give_orders())
                    await asyncio.wait({self._busy})
                await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        except TimeoutError:
            self._failure = self._hanging("the latest outcomes may not be written: a later run settles their mutations")
            if self._busy is not None and self._orders_done is not None:
                self._busy.cancel()
                self._orders_done.cancel()  # the thread goes on, and nobody asks for its result
                await asyncio.wait({self._busy})
            self._thread.submit(self._file.work, [work for work, _ in self._orders])
            self._thread.submit(self._file.close)


def _is_full(error: Exception) -> bool:
    """Tell whether a disk had no room. After any other error of it, nobody knows what it holds."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


class _HangingError(JournalError):
    """The disk of a journal does not answer in the time of one order: it may for the next."""


class _Disk(Executor):
    """Calls functions in threads, one after the other. None holds up the program's end: a disk may hang for ever."""

    def __init__(self) -> None:
        self._last: Thread | None = None

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """Let a thread call a function."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()

        def work(before: Thread | None) -> None:
            if before is not None:
                before.join()  # a lock would not keep the order
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
                future.set_exception(error)

        thread = Thread(target=work, args=(self._last,), name="workorder-journal", daemon=True)
        thread.start()
        self._last = thread
        return future

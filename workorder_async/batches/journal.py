"""A batch's journal: what was about to be sent, and what became of it, so that a killed batch goes on where it stopped.

One JSON object a line. The first line says whose journal it is; an intent is on disk (fsync) before its mutation is
sent, an outcome is written after. A torn last line, as a crash leaves it, is cut off; any other line that cannot be
read is an error. The file is locked against a second process for as long as it is open, and nothing is begun once it
is not the one that others find under its name.

All disk work is done by one thread, which takes whatever has gathered while it was busy and makes one fsync of it. What
was begun or done is kept in a temporary SQLite index on disk, so that memory stays flat however long a batch is; where
there is no file the index alone remains, and tells a mutation that was already in this batch.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import orjson
from attrs import define

from workorder_async.batches.standings import Entry, Standing, Standings
from workorder_async.durable import InUseError, LockedFile, MovedError
from workorder_async.errors import JournalError
from workorder_async.models import JSON
from workorder_async.protocol.codec import to_json

__all__ = ["Entry", "Journal", "Standing", "to_its_end"]

VERSION = 1
_HEAD = b'{"journal":"workorder_async","version":'
_INTENT = b'{"intent":'
T = TypeVar("T")


@define
class _Order:
    """Work for the thread: returns what `work` returns once everything written with it is on disk."""

    work: Callable[[], object]
    done: "asyncio.Future[Any] | None"


class Journal:
    """An open journal, used from one event loop; `path` None keeps nothing beyond this batch.

    `identity` says which batch this is; a file that says otherwise is refused. Raises `JournalError` for a file that
    cannot be read, written or shared.
    """

    def __init__(self, path: "str | os.PathLike[str] | None", identity: dict[str, JSON]) -> None:
        self._path = None if path is None else Path(path)
        self._identity = identity
        self._thread = ThreadPoolExecutor(1, "workorder-journal")
        self._process = os.getpid()
        self._file: LockedFile | None = None
        self._orders: list[_Order] = []
        self._busy: asyncio.Task[None] | None = None
        self._failure: JournalError | None = None
        self._pending: list[bytes] = []
        self._begins = False  # whether something is to be sent once what is pending is on disk
        self._standings = Standings()

    async def __aenter__(self) -> "Journal":
        try:
            await self._in_thread(self._open)
        except BaseException:
            await to_its_end(self._finish())
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await to_its_end(self._finish())
        if self._failure is not None and kind is not asyncio.CancelledError:
            raise self._failure

    async def _finish(self) -> None:
        """Write what was ordered, also where the task that wrote was cancelled, and close."""
        if os.getpid() != self._process:
            return  # the thread stayed with the parent
        while self._orders or (self._busy is not None and not self._busy.done()):
            await asyncio.wait({self._start()})
        await self._in_thread(self._close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def begin(self, entry: Entry) -> tuple[Standing, float]:
        """Tell what is known of a mutation, and when it was first begun; the intent of a new one is on disk by then.

        Where this is cancelled, the mutation is left as it was found: one that was new is written down as not sent.
        """
        found: list[Standing] = []

        def begin() -> tuple[Standing, float]:
            standing, began = self._begin(entry)
            found.append(standing)
            return standing, began

        try:
            return await self._order(begin)
        except asyncio.CancelledError:
            self._orders.append(_Order(lambda: self._leave(entry.key, found), None))
            self._start()
            raise

    def end(self, key: str, state: str, **facts: JSON) -> None:
        """Write an outcome, soon: with the next intent at the latest, or when the journal closes.

        What is "DONE" or "ALREADY" is never sent again, "UNKNOWN" is looked for, any other may be sent again.
        """
        self._orders.append(_Order(lambda: self._end(key, state, facts), None))
        self._start()

    def is_in_place(self) -> bool:
        """Tell whether others find this file under the journal's name; true where there is none."""
        try:
            if self._file is not None:
                self._file.check_place()
        except MovedError:
            return False
        return True

    async def has_twin(self, entry: Entry) -> bool:
        """Tell whether another mutation that was begun, in this run or an earlier one, leaves the same trace."""
        return await self._order(lambda: self._standings.has_twin(entry))

    async def left_open(self) -> list[Entry]:
        """Return what an earlier run left open and this one has not come upon."""
        return await self._order(lambda: list(self._standings.left_open()))

    # The event loop's side: orders gather while the thread is busy

    async def _order(self, work: Callable[[], T]) -> T:
        if self._failure is not None:
            raise self._failure
        if os.getpid() != self._process:
            raise self._told(MovedError("it belongs to the process that this one was forked from"))
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._orders.append(_Order(work, done))
        self._start()
        return await done

    def _start(self) -> "asyncio.Task[None]":
        if self._busy is None or self._busy.done():
            self._busy = asyncio.create_task(self._carry_out())
        return self._busy

    async def _carry_out(self) -> None:
        while self._orders:
            orders, self._orders = self._orders, []
            try:
                # A loop that is shut down cancels this task too; what was ordered is written all the same.
                results = await asyncio.shield(self._in_thread(partial(self._work, orders)))
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
        lost = ", and what ended since is not written where it is looked for" if isinstance(error, MovedError) else ""
        return JournalError(f"cannot write the journal {str(self._path)!r}: {error}; nothing more was sent{lost}")

    # The thread's side

    def _work(self, orders: list[_Order]) -> list[object]:
        self._pending, self._begins = [], False
        results = [order.work() for order in orders]
        if self._file is not None:
            self._flush(self._file)
        return results

    def _flush(self, file: LockedFile) -> None:
        """Put what is pending on disk; where others do not see the file, its outcomes only, and raise."""
        if not self._pending and not self._begins:
            return
        before = file.size
        try:
            file.check_place()
            file.append(b"".join(self._pending))
            file.check_place()
        except MovedError:
            # What is begun here is not sent. Whoever finds the file again wants to know what became of the others.
            if file.size != before:
                file.cut(before)
            file.append(b"".join(line for line in self._pending if not line.startswith(_INTENT)))
            raise

    def _write(self, line: dict[str, JSON]) -> None:
        if self._file is not None:
            self._pending.append(_line(line))

    def _open(self) -> None:
        self._standings.open()
        if self._path is None:
            return
        try:
            self._file = LockedFile(self._path)
            self._file.cut(self._read(self._file.lines()))
            if self._file.size == 0:
                self._file.append(_line({"journal": "workorder_async", "version": VERSION, **self._identity}))
        except InUseError:
            raise JournalError(
                f"the journal {str(self._path)!r} is in use by another batch; wait for its end, "
                "or leave it by `contextlib.aclosing` where it was yours and left by `break`"
            ) from None
        except (OSError, ValueError) as error:
            why = (isinstance(error, OSError) and error.strerror) or error
            raise JournalError(f"cannot open the journal {str(self._path)!r}: {why}; choose another file") from None

    def _read(self, file: Iterable[bytes]) -> int:
        """Read every line into the index; return where the last whole line ends."""
        end = 0
        for number, line in enumerate(file, 1):
            # A first line that is torn is ours only if it begins as ours does.
            if not line.endswith(b"\n") and (number > 1 or line[: len(_HEAD)] == _HEAD[: len(line)]):
                break
            try:
                self._take_in(number, _parsed(line))
            except (ValueError, KeyError, TypeError, RecursionError):
                raise JournalError(
                    f"line {number} of the journal {str(self._path)!r} cannot be read: it is no journal of this "
                    "library, or was changed by hand"
                ) from None
            end += len(line)
        return end

    def _take_in(self, number: int, line: dict[str, JSON]) -> None:
        if number == 1:
            self._check_identity(line)
        elif "intent" in line:
            key, began = str(line["intent"]), float(str(line["began"]))
            if not isinstance(line["operation"], str) or not isinstance(line["mutation"], dict):
                raise TypeError("no mutation")
            self._standings.take_in_intent(key, began, _line(line), str(line.get("trace", "")))
        else:
            self._standings.take_in_outcome(str(line["outcome"]), str(line["state"]))

    def _check_identity(self, header: dict[str, JSON]) -> None:
        if header["journal"] != "workorder_async" or header["version"] != VERSION:
            raise JournalError(f"{str(self._path)!r} is a journal of another version; choose another file")
        found = {name: value for name, value in header.items() if name not in ("journal", "version")}
        if found != self._identity:
            raise JournalError(
                f"the journal {str(self._path)!r} belongs to another batch ({_words(found)}, "
                f"not {_words(self._identity)}); choose another file"
            )

    def _begin(self, entry: Entry) -> tuple[Standing, float]:
        standing, began = self._standings.begin(entry)
        if standing is not Standing.DONE:
            self._begins = True
        if standing is Standing.NEW:
            self._write(
                {
                    "intent": entry.key,
                    "operation": entry.operation,
                    "mutation": entry.mutation,
                    "began": entry.began,
                    "trace": entry.trace,
                }
            )
        return standing, began

    def _leave(self, key: str, found: list[Standing]) -> None:
        """Undo a beginning that was cancelled, where it came to that."""
        if found == [Standing.NEW]:
            self._end(key, "NOT_SENT", {})
        elif found == [Standing.OPEN]:
            self._standings.leave_open(key)

    def _end(self, key: str, state: str, facts: dict[str, JSON]) -> None:
        self._standings.end(key, state)
        self._write({"outcome": key, "state": state, "at": round(time.time(), 3), **facts})

    def _close(self) -> None:
        self._standings.close()
        if self._file is not None:
            self._file.close()


async def to_its_end(work: Coroutine[object, object, T]) -> T:
    """Await this to its end, however often the task is cancelled meanwhile, and pass the cancellation on then."""
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


def _line(value: dict[str, JSON]) -> bytes:
    return to_json(value) + b"\n"


def _parsed(line: bytes) -> dict[str, JSON]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        value = json.loads(line)  # it takes the lone surrogates that to_json escapes
    if not isinstance(value, dict):
        raise TypeError("no object")
    return value


def _words(identity: dict[str, JSON]) -> str:
    return ", ".join(f"{name} {value}" for name, value in identity.items() if value) or "no name"

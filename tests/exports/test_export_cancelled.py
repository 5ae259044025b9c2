"""An export that is cancelled wherever it waits: it ends at once, lets go of everything, and is gone on with."""

import asyncio
import contextlib
import gc
import os
import threading
from pathlib import Path

import pytest

from tests.support.exports import is_of, truth
from workorder_async import Sandbox, TicketQuery, WorkorderClient
from workorder_async.exports import ExportOptions, ExportProgress, export_tickets, reading


@pytest.fixture(autouse=True)
def _parts_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "ROWS_OF_A_PART", 50)


SERVER = {
    "RequestHandler.start",
    "RequestHandler._handle_request",
    "BaseSelectorEventLoop._accept_connection2",
}
OPTIONS = ExportOptions(concurrency=2, page_size=20)


class _Turns:
    """Cancels a task after so many turns of the loop; tells whether the task had ended before."""

    def __init__(self, task: "asyncio.Task[object]", turns: int) -> None:
        self._task = task
        self._turns = turns

    async def pass_by(self) -> bool:
        """Wait for those turns, then cancel."""
        for _ in range(self._turns):
            if self._task.done():
                return False
            await asyncio.sleep(0.0005)
        return self._task.cancel()


def open_files() -> set[str]:
    """Return what is open but sockets and pipes: the client and the sandbox open connections as they need them."""
    found = set()
    for descriptor in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        with contextlib.suppress(OSError):  # the one by which the folder itself was read
            found.add(os.readlink(f"/proc/self/fd/{descriptor}"))
    return {name for name in found if os.path.isabs(name)}


async def cancelled_after(client: WorkorderClient, target: Path, turns: int, options: ExportOptions) -> bool:
    """Cancel an export after so many turns; tell whether it was, having seen that nothing of it is left running."""
    before = open_files()
    task = asyncio.create_task(export_tickets(client, TicketQuery(), target, **options))
    await _Turns(task, turns).pass_by()
    (result,) = await asyncio.gather(task, return_exceptions=True)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("workorder-export")]
    # The sandbox's server is in this loop, too.
    others = {getattr(one.get_coro(), "__qualname__", "") for one in asyncio.all_tasks() - {asyncio.current_task()}}
    assert others <= SERVER
    gc.collect()
    assert open_files() <= before
    if isinstance(result, BaseException):
        assert isinstance(result, asyncio.CancelledError), result
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "detail"), [(".jsonl", False), (".sqlite", True), (".xlsx", False)])
async def test_at_every_turn(suffix: str, detail: bool, tmp_path: Path) -> None:
    """Whenever it is cancelled, the next call is not in its way, and the last one makes the whole file."""
    target = tmp_path / f"t{suffix}"
    options = OPTIONS.copy()
    options["detail"] = detail
    async with Sandbox(tickets=200) as sandbox, sandbox.client(max_in_flight=4) as client:
        turns = cancelled = 0
        while await cancelled_after(client, target, turns, options):
            turns += 1 + turns // 4
            cancelled += 1
            if target.exists():  # cancelled after it had its name
                break
        assert cancelled > 5
        assert os.listdir(tmp_path) == [target.name]
        if not detail:
            assert is_of(target, await truth(client))


async def test_lock_is_released(tmp_path: Path) -> None:
    """Cancelled between two parts, it has released its lock, and what is durable is not read again."""
    target = tmp_path / "t.jsonl"
    async with Sandbox(tickets=600) as sandbox, sandbox.client() as client:
        task: asyncio.Task[object]

        def told(progress: ExportProgress) -> None:
            if progress.rows >= 300:
                task.cancel()

        options = OPTIONS.copy()
        options["on_progress"] = told
        task = asyncio.create_task(export_tickets(client, TicketQuery(), target, **options))
        with pytest.raises(asyncio.CancelledError):
            await task
        report = await export_tickets(client, TicketQuery(), target)
        assert 100 < report.resumed_rows < 400
        assert is_of(target, await truth(client))


async def test_timeout_while_nobody_reads(tmp_path: Path) -> None:
    """A pipe that nobody reads from does not hold up the end."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    async with Sandbox(tickets=1000) as sandbox, sandbox.client() as client:
        for is_open in (False, True):
            reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK) if is_open else None
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await export_tickets(client, TicketQuery(), pipe, format="jsonl")
            if reader is not None:
                os.close(reader)


@pytest.mark.slow
async def test_error_of_the_user(tmp_path: Path) -> None:
    """What `on_progress` raises is passed on; the same call without it goes on."""
    target = tmp_path / "t.xlsx"

    def told(progress: ExportProgress) -> None:
        if progress.phase == "converting":
            raise RuntimeError("enough")

    async with Sandbox(tickets=600) as sandbox, sandbox.client() as client:
        with pytest.raises(RuntimeError, match="enough"):
            await export_tickets(client, TicketQuery(), target, on_progress=told)
        requests = sandbox.requests.total()
        await export_tickets(client, TicketQuery(), target)
        assert sandbox.requests.total() == requests
        assert is_of(target, await truth(client))

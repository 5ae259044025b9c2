"""journal.py and what others do to its file: removed, renamed, written to, or inherited by a child of a fork."""
# ruff: noqa: ASYNC240 - the files are temporary

import asyncio
import errno
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from tests.support.batches import TASKS
from tests.support.clients import make_client
from tests.support.raw_server import http, serving
from tests.support.slow import slow_after, slow_but_every
from workorder_async import CommentTicket, JournalError
from workorder_async.batches.batch import run_batch
from workorder_async.batches.journal import Journal
from workorder_async.batches.journal_file import Entry, Standing, read_records
from workorder_async.batches.outcomes import BatchReport, Outcome, State

IDENTITY: dict[str, Any] = {"batch": "七月"}
POSIX = pytest.mark.skipif(os.name != "posix", reason="forks and modes are POSIX")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a file that does not exist yet."""
    return tmp_path / "closes.journal"


def entry(key: str) -> Entry:
    """Return an entry."""
    return Entry(key, "CommentTicket", {"id": 1, "detail": key}, 100.5)


def remove(path: Path) -> None:
    """Delete it."""
    path.unlink()


def rotate(path: Path) -> None:
    """Rename it, as logrotate does."""
    path.rename(path.with_suffix(".1"))


def replace(path: Path) -> None:
    """Put a copy in its place, as an editor does when it saves."""
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)


def move_folder(path: Path) -> None:
    """Rename the folder it is in."""
    path.parent.rename(path.parent.with_suffix(".old"))


def truncate(path: Path) -> None:
    """Empty it where it is, as logrotate's copytruncate does."""
    os.truncate(path, 0)


def write(path: Path) -> None:
    """Write to it, without asking for its lock."""
    with path.open("ab") as file:
        file.write(b'{"outcome":"a","state":"NOT_SENT","at":1.0}\n')


MOVED = (remove, rotate, replace, move_folder)
CHANGED = (truncate, write)


@pytest.mark.parametrize("attack", [*MOVED, *CHANGED])
async def test_nothing_begins_in_a_file_that_others_do_not_see(path: Path, attack: Callable[[Path], None]) -> None:
    """A new mutation, one left open and one that was not sent are all refused, now and for ever; the error says why."""
    async with Journal(path, IDENTITY) as journal:
        await journal.begin(entry("open"))

    async def run() -> None:
        async with Journal(path, IDENTITY) as journal:
            await journal.begin(entry("a"))
            journal.end("a", "NOT_SENT")
            await journal.has_twin(entry("a"))  # the outcome is on disk then
            attack(path)
            failures = await asyncio.gather(
                *(journal.begin(entry(key)) for key in ("open", "a", "b")), return_exceptions=True
            )
            assert all(isinstance(failure, JournalError) for failure in failures), failures
            with pytest.raises(JournalError):
                await journal.begin(entry("c"))

    why = "removed or replaced" if attack in MOVED else "somebody else"
    with pytest.raises(JournalError, match=rf"closes\.journal.* {why}.* nothing more was sent"):
        await run()


@pytest.mark.parametrize("attack", MOVED)
async def test_one_left_open_is_not_taken_up_in_a_file_that_others_do_not_see(
    path: Path, attack: Callable[[Path], None]
) -> None:
    """What an earlier run left open needs no line, and is refused all the same: it may be sent again."""
    async with Journal(path, IDENTITY) as journal:
        await journal.begin(entry("open"))

    async def run() -> None:
        async with Journal(path, IDENTITY) as journal:
            attack(path)
            await journal.begin(entry("open"))

    with pytest.raises(JournalError, match="removed or replaced"):
        await run()


@pytest.mark.parametrize("when", ["before the write", "while it is written"])
async def test_outcomes_are_kept_in_a_file_that_was_renamed(
    path: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renamed back, the file tells what became of what was under way, and holds no intent that was not sent."""
    moved = path.with_suffix(".1")
    real = os.fsync

    def fsync(file: int) -> None:
        real(file)
        if path.exists():
            path.rename(moved)

    async def run() -> None:
        async with Journal(path, IDENTITY) as journal:
            await journal.begin(entry("a"))
            await journal.begin(entry("b"))
            journal.end("a", "DONE", ticket_id=1)
            if when == "before the write":
                path.rename(moved)
            else:
                monkeypatch.setattr(os, "fsync", fsync)
            with pytest.raises(JournalError):
                await journal.begin(entry("c"))
            journal.end("b", "DONE", ticket_id=1)

    with pytest.raises(JournalError, match="removed or replaced"):
        await run()
    said = [(line.get("intent"), line.get("outcome")) for line in map(json.loads, moved.read_bytes().splitlines())]
    assert said == [(None, None), ("a", None), ("b", None), (None, "a"), (None, "b")]
    assert {record.state for record in read_records(moved).by_key.values()} == {State.DONE}


async def test_removed_before_the_last_outcomes(path: Path) -> None:
    """Where outcomes alone were still to come, the journal says at its end that they are not where one would look."""

    async def run() -> None:
        async with Journal(path, IDENTITY) as journal:
            await journal.begin(entry("a"))
            path.unlink()
            journal.end("a", "DONE")

    with pytest.raises(JournalError, match="removed or replaced"):
        await run()


async def test_a_file_that_was_emptied_is_not_written_to(path: Path) -> None:
    """Outcomes without their intents would be no journal."""

    async def run() -> None:
        async with Journal(path, IDENTITY) as journal:
            await journal.begin(entry("a"))
            os.truncate(path, 0)
            journal.end("a", "DONE")

    with pytest.raises(JournalError, match="somebody else"):
        await run()
    assert path.read_bytes() == b""


async def test_another_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that goes to another folder meanwhile has not moved a journal with a relative name."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    async with Journal("closes.journal", IDENTITY) as journal:
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert (await journal.begin(entry("a")))[0] is Standing.NEW
    assert not (tmp_path / "elsewhere" / "closes.journal").exists()


@POSIX
@pytest.mark.parametrize("link", [os.symlink, os.link])
async def test_two_names_of_one_file(path: Path, link: Callable[[Path, Path], None]) -> None:
    """A journal under another name is the same journal: locked, and its own file."""
    other = path.with_suffix(".link")
    async with Journal(path, IDENTITY) as journal:
        link(path, other)
        with pytest.raises(JournalError, match="in use by another program"):
            await Journal(other, IDENTITY).__aenter__()
        await journal.begin(entry("a"))
    async with Journal(other, IDENTITY) as journal:
        assert (await journal.begin(entry("a")))[0] is Standing.OPEN
        assert (await journal.begin(entry("b")))[0] is Standing.NEW


@POSIX
async def test_a_link_that_is_turned_to_another_file(path: Path) -> None:
    """A symbolic link that points elsewhere now is a journal that others do not see."""
    link = path.with_suffix(".link")
    link.symlink_to(path)

    async def run() -> None:
        async with Journal(link, IDENTITY) as journal:
            await journal.begin(entry("a"))
            link.unlink()
            link.symlink_to(path.with_suffix(".other"))
            await journal.begin(entry("b"))

    with pytest.raises(JournalError, match="removed or replaced"):
        await run()


# Who may read it


@pytest.fixture(params=[0o000, 0o022, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Set the umask."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@POSIX
@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("linked", [False, True])
async def test_a_new_file_is_for_its_owner(path: Path, *, linked: bool) -> None:
    """A journal holds what is said to customers: nobody else reads it, whatever the umask, and its owner does."""
    name = path
    if linked:
        name = path.with_suffix(".link")
        name.symlink_to(path)
    async with Journal(name, IDENTITY):
        pass
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@POSIX
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o666])
@pytest.mark.parametrize("before", ["empty", "a journal"])
async def test_a_file_that_was_there_is_for_its_owner(path: Path, mode: int, before: str) -> None:
    """The rights of others are taken away, also where nothing new is written; another batch's journal is let alone."""
    path.touch()
    if before == "a journal":
        async with Journal(path, IDENTITY):
            pass
    path.chmod(mode)
    async with Journal(path, IDENTITY):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(mode)
    with pytest.raises(JournalError, match="another batch"):
        await Journal(path, {"batch": "八月"}).__aenter__()
    assert stat.S_IMODE(path.stat().st_mode) == mode


@POSIX
async def test_a_file_whose_mode_cannot_be_changed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused by a sentence, before anything is sent."""
    path.touch()
    path.chmod(0o644)
    monkeypatch.setattr(os, "chmod", lambda *_: None)
    with pytest.raises(JournalError, match=r"others may read it \(mode 0644\).*; choose another file"):
        await Journal(path, IDENTITY).__aenter__()


@POSIX
async def test_a_disk_that_cannot_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not said to be in use."""
    import fcntl

    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(JournalError, match="it cannot be locked: No locks available; choose another file"):
        await Journal(path, IDENTITY).__aenter__()


# Children


def fork(work: Callable[[], int]) -> int:
    """Run this in a child of a fork, which ends with what it returns; return its pid."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    return child


def code_of(child: int) -> int:
    """Wait for a child's end."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@POSIX
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
async def test_a_child_does_not_keep_the_lock(path: Path) -> None:
    """A child that was forked while the journal was open lives on; another batch opens it after the end."""
    reading, writing = os.pipe()
    async with Journal(path, IDENTITY) as journal:
        await journal.begin(entry("a"))

        def wait() -> int:
            os.close(writing)
            return len(os.read(reading, 1))

        child = fork(wait)
    async with Journal(path, IDENTITY) as journal:
        assert (await journal.begin(entry("a")))[0] is Standing.OPEN
    os.write(writing, b"x")
    assert code_of(child) == 1
    os.close(reading)
    os.close(writing)


# In a process of its own, where no other thread asks for the interpreter's lock. Python does not mend that lock in a
# child that it knows nothing of: the child would wait for ever for a thread that it does not have.
# No thread but the main one may live when the C library forks: the child would keep its locks, and hang.
FORKING_UNNOTICED = """
import asyncio, ctypes, os, sys, threading
from workorder_async.batches.journal import Journal
from workorder_async.batches.journal_file import Entry
sys.setswitchinterval(60)
async def main():
    reading, writing = os.pipe()
    async with Journal(sys.argv[1], {"batch": "七月"}) as journal:
        await journal.begin(Entry("a", "CommentTicket", {"id": 1, "detail": "a"}, 100.5))
        for other in {*threading.enumerate()} - {threading.main_thread()}:
            other.join()
        child = ctypes.PyDLL(None).fork()
        if child == 0:
            os.close(writing)
            os._exit(len(os.read(reading, 1)))
    async with Journal(sys.argv[1], {"batch": "七月"}) as journal:
        standing, _ = await journal.begin(Entry("a", "CommentTicket", {"id": 1, "detail": "a"}, 100.5))
    os.write(writing, b"x")
    print(standing.name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
asyncio.run(main())
"""


@POSIX
def test_a_child_that_python_does_not_know_of(path: Path) -> None:
    """Nothing was closed in a child that the C library forked; another batch opens the journal all the same."""
    command = [sys.executable, "-W", "ignore", "-c", FORKING_UNNOTICED, str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert (done.stdout.split(), done.stderr) == (["OPEN", "1"], "")


@POSIX
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
async def test_a_child_cannot_write(path: Path) -> None:
    """The child has nothing of the file: no descriptor, and a journal that begins nothing; its parent goes on."""
    async with Journal(path, IDENTITY) as journal:
        await journal.begin(entry("a"))
        before = path.read_bytes()
        inode = path.stat().st_ino

        def look() -> int:
            async def begin() -> int:
                try:
                    await asyncio.wait_for(journal.begin(entry("b")), 5)
                except JournalError as error:
                    return 0 if "process" in str(error) else 3
                return 4

            for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
                try:
                    if os.fstat(int(name)).st_ino == inode:
                        return 2
                except OSError:
                    continue
            asyncio._set_running_loop(None)
            return asyncio.new_event_loop().run_until_complete(begin())

        assert code_of(fork(look)) == 0
        assert path.read_bytes() == before
        assert (await journal.begin(entry("b")))[0] is Standing.NEW


FORKING = """
import asyncio, os, sys, time
from workorder_async.batches.journal import Journal
from workorder_async.batches.journal_file import Entry
async def main():
    async with Journal(sys.argv[1], {"batch": "七月"}) as journal:
        await journal.begin(Entry("a", "CommentTicket", {"id": 1, "detail": "a"}, 100.5))
        child = os.fork()
        if child == 0:
            os.close(1)
            time.sleep(60)
            os._exit(0)
        print(child, flush=True)
        time.sleep(60)
asyncio.run(main())
"""


@POSIX
async def test_a_child_does_not_keep_the_lock_of_a_parent_that_was_killed(path: Path) -> None:
    """The lock dies with the process that had the journal, though its child lives."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-c", FORKING, str(path), stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    try:
        async with Journal(path, IDENTITY) as journal:
            assert (await journal.begin(entry("a")))[0] is Standing.OPEN
    finally:
        os.kill(child, signal.SIGKILL)


# A whole batch


@pytest.mark.parametrize("attack", slow_but_every(4, [*MOVED, *CHANGED]))
async def test_a_second_batch_on_the_same_name(path: Path, attack: Callable[[Path], None]) -> None:
    """While a batch runs its journal goes, and another one starts: what was not under way is sent by one of them."""
    batch = [CommentTicket(id=1, detail=f"备注 {number}") for number in range(60)]
    sent: list[str] = []
    report, outcomes = BatchReport(), list[Outcome]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent.append(wire.requests[-1].rpartition(b"\r\n\r\n")[2].decode())
        writer.write(http('{"errno":10000,"errmsg":"","request_id":"r"}'))

    async with serving(answer) as wire, make_client(wire.url) as client:

        async def first() -> None:
            async with aclosing(run_batch(client, batch, concurrency=4, journal=path, report=report)) as running:
                async for outcome in running:
                    outcomes.append(outcome)
                    if len(outcomes) == 20:
                        attack(path)
                        sent.clear()

        with pytest.raises(JournalError, match=r"closes\.journal"):
            await first()
        # What had its intent on disk went its way; nothing else did.
        assert len(sent) <= 4
        assert len(outcomes) == 60
        assert [one.state for one in outcomes if one.state not in (State.DONE, State.NOT_SENT)] == []
        assert sum(one.state is State.DONE for one in outcomes) <= 24 + 4
        assert "closes.journal" in report.stopped


@pytest.mark.parametrize("attack", slow_after(1, MOVED))
async def test_removed_while_mutations_wait_for_their_turn(path: Path, attack: Callable[[Path], None]) -> None:
    """What has its intent on disk and waits in the client's queue is not sent once the file is gone."""
    batch = [CommentTicket(id=1, detail=f"备注 {number}") for number in range(30)]
    answer, outcomes = http('{"errno":10000,"errmsg":"","request_id":"r"}'), list[Outcome]()
    async with serving(answer) as wire, make_client(wire.url, rate=10) as client:

        async def run() -> None:
            async with aclosing(run_batch(client, batch, concurrency=4, journal=path)) as running:
                async for outcome in running:
                    outcomes.append(outcome)
                    if len(outcomes) == 1:
                        attack(path)

        with pytest.raises(JournalError, match=r"closes\.journal"):
            await run()
        assert len(wire.requests) <= 2
        done = [one for one in outcomes if one.state is State.DONE]
        assert len(done) == len(wire.requests)
        assert all(one.state is State.NOT_SENT for one in outcomes if one not in done)
        assert len(outcomes) == 30


@pytest.mark.parametrize("tasks", TASKS)
async def test_each_looks_for_the_file_when_its_turn_comes(path: Path, tasks: Any) -> None:
    """The look of the first, which is under way when the file goes, is none for the second; however tasks begin."""
    asyncio.get_running_loop().set_task_factory(tasks)
    batch, outcomes = [CommentTicket(id=1, detail=detail) for detail in "ab"], list[Outcome]()
    one_ended = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(wire.requests) == 1:
            remove(path)
            await one_ended.wait()
        writer.write(http('{"errno":10000,"errmsg":"","request_id":"r"}'))

    async with serving(answer) as wire, make_client(wire.url, rate=10) as client:

        async def run() -> None:
            async with aclosing(run_batch(client, batch, journal=path)) as running:
                async for outcome in running:
                    outcomes.append(outcome)
                    one_ended.set()

        with pytest.raises(JournalError, match="removed or replaced"):
            await run()
    assert (len(wire.requests), [one.state for one in outcomes]) == (1, [State.NOT_SENT, State.DONE])

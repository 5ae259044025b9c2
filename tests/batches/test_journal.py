"""journal.py, on real files: what is on disk when, what a restart makes of it, what is refused."""

import asyncio
import errno
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, closing, suppress
from functools import partial
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from tests.support.batches import sealed
from tests.support.mutations import KEYS
from tests.support.rows import each
from tests.support.slow import slow_but_every
from workorder_async import JournalError
from workorder_async.batches.batch import identity_of
from workorder_async.batches.journal import Journal
from workorder_async.batches.journal_file import _TABLE, Entry, JournalFile, Standing, read_lines, read_records
from workorder_async.batches.outcomes import State
from workorder_async.document import JSON

IDENTITY: dict[str, Any] = {"platform": "http://workorder.test", "batch": "七月"}
HEADER = (
    b'{"journal":"workorder_async","version":2,"platform":"http://workorder.test","batch":"\xe4\xb8\x83\xe6\x9c\x88"}\n'
)
INTENT = b'{"intent":"a","operation":"CloseTicket","mutation":{"id":1},"began":100.5,"trace":""}\n'
DONE = b'{"outcome":"a","state":"DONE","at":101.0,"ticket_id":1}\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a file that does not exist yet."""
    return tmp_path / "closes.journal"


def entry(key: str, *, began: float = 100.5) -> Entry:
    """Return an entry whose mutation says its key."""
    return Entry(key, "CommentTicket", {"id": 1, "detail": key}, began)


async def begun(journal: Journal, entry: Entry) -> tuple[Standing, float]:
    """Begin a mutation, and return its standing, and when it was first begun."""
    standing, first = await journal.begin(entry)
    return standing, first.began


def content(path: Path) -> bytes:
    """Return what is in a file, as anybody may read it."""
    return path.read_bytes()


def write(path: Path, content: bytes) -> None:
    """Write a file."""
    path.write_bytes(content)


def lines(path: Path) -> list[dict[str, Any]]:
    """Return what a journal says, line by line."""
    found = content(path)
    assert found.endswith(b"\n")
    return [json.loads(line) for line in found.splitlines()]


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until something is so."""
    async with asyncio.timeout(20):
        while True:
            if condition():
                return
            await asyncio.sleep(0)


async def test_intent_is_on_disk_before_begin_returns(path: Path) -> None:
    """A stranger reads the header and the intent as soon as begin has returned."""
    async with Journal(path, IDENTITY) as journal:
        assert content(path) == sealed([HEADER])
        assert await begun(journal, Entry("a", "CloseTicket", {"id": 1}, 100.5)) == (Standing.NEW, 100.5)
        assert content(path) == sealed([HEADER, INTENT])


async def test_intent_is_synced_before_begin_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fsync comes after the write, and before begin returns."""
    synced: list[bytes] = []
    real = os.fsync

    def fsync(file: int) -> None:
        real(file)
        synced.append(content(path))

    async with Journal(path, IDENTITY) as journal:
        monkeypatch.setattr(os, "fsync", fsync)
        await journal.begin(entry("a"))
        assert b'"intent":"a"' in synced[-1]


async def test_outcome_is_written_soon(path: Path) -> None:
    """An outcome needs neither another intent nor the end to be written."""
    async with Journal(path, IDENTITY) as journal:
        await journal.begin(entry("a"))
        journal.end("a", "DONE", ticket_id=1)
        await until(lambda: b"outcome" in content(path))
        journal.end("b", "UNKNOWN", error="没有回答")
    assert [line.get("outcome") for line in lines(path)] == [None, None, "a", "b"]
    assert lines(path)[-1]["error"] == "没有回答"
    assert abs(lines(path)[-1]["at"] - time.time()) < 10


async def test_same_run(path: Path) -> None:
    """What was begun or done is DONE for the same run; what was refused or not sent is free again."""
    async with Journal(path, IDENTITY) as journal:
        for key, state in (("a", ""), ("b", "DONE"), ("c", "UNKNOWN"), ("d", "REJECTED"), ("e", "NOT_SENT")):
            await journal.begin(entry(key))
            if state:
                journal.end(key, state)
        standings = [(await journal.begin(entry(key, began=200.0)))[0] for key in "abcde"]
        assert standings == [Standing.DONE] * 3 + [Standing.NEW] * 2
        assert await journal.left_open() == []


@pytest.mark.parametrize(
    ("states", "standing", "began"),
    [
        ([], Standing.OPEN, 100.5),
        (["DONE"], Standing.DONE, 300.0),
        (["ALREADY"], Standing.DONE, 300.0),
        (["UNKNOWN"], Standing.OPEN, 100.5),
        (["UNKNOWN", "UNKNOWN"], Standing.OPEN, 100.5),
        (["UNKNOWN", "DONE"], Standing.DONE, 300.0),
        (["UNKNOWN", "NOT_SENT"], Standing.NEW, 300.0),
        (["REJECTED"], Standing.NEW, 300.0),
        (["NOT_SENT"], Standing.NEW, 300.0),
    ],
)
async def test_restart(path: Path, states: list[str], standing: Standing, began: float) -> None:
    """A restart takes up each mutation where the outcomes of earlier runs, one a run, have left it."""
    for state in states or [""]:
        async with Journal(path, IDENTITY) as journal:
            await journal.begin(entry("a"))
            if state:
                journal.end("a", state)
    async with Journal(path, IDENTITY) as journal:
        left = await journal.left_open()
        assert left == ([entry("a")] if standing is Standing.OPEN else [])
        assert await begun(journal, entry("a", began=300.0)) == (standing, began)
        assert await journal.left_open() == []
    assert sum("intent" in line for line in lines(path)) == (2 if standing is Standing.NEW else 1)


async def test_first_began_is_kept(path: Path) -> None:
    """What was left open, not found and sent again is looked for from its first beginning on."""
    write(path, sealed([HEADER, INTENT, INTENT.replace(b"100.5", b"400.5")]))
    async with Journal(path, IDENTITY) as journal:
        assert await begun(journal, entry("a", began=500.0)) == (Standing.OPEN, 100.5)


@pytest.mark.parametrize("state", ["REJECTED", "NOT_SENT", "DONE", "ALREADY"])
async def test_began_anew_after_an_end(path: Path, state: str) -> None:
    """A mutation that had ended and was begun again is looked for from its second beginning on."""
    ended = DONE.replace(b"DONE", state.encode())
    write(path, sealed([HEADER, INTENT, ended, INTENT.replace(b"100.5", b"400.5")]))
    async with Journal(path, IDENTITY) as journal:
        assert await begun(journal, entry("a", began=500.0)) == (Standing.OPEN, 400.5)


def test_the_identity_of_a_batch_stays() -> None:
    """A list or tuple is told from others by its length and its mutations in their order; any other iterable is not."""
    mutations = [mutation for mutation, _ in KEYS]
    platform: dict[str, JSON] = {"platform": "http://workorder.test", "batch": "七月"}
    found = identity_of(mutations, "http://workorder.test", "七月")
    assert found == platform | {"list": "6 mutations, 10dcada76785389c"}
    assert identity_of(tuple(mutations), "http://workorder.test", "七月") == found
    assert identity_of(mutations[::-1], "http://workorder.test", "七月") != found
    assert identity_of(iter(mutations), "http://workorder.test", "七月") == platform


# A tail that is torn, and lines that are broken

WHOLE = sealed([HEADER, INTENT, DONE])


def test_torn_tail(path: Path) -> None:
    """A file cut off anywhere is good for another run, which knows what the whole lines say, and reads well after.

    A line is whole without its line feed, too, which editors take away from the end of a file.
    """
    left = Entry("a", "CloseTicket", {"id": 1}, 100.5)
    ends = {place for place, byte in enumerate(WHOLE, 1) if byte == ord("\n")}
    places = {*range(0, len(WHOLE), 7), *(end - before for end in ends for before in (0, 1, 2))}
    for cut in sorted(places - {len(WHOLE)}):
        write(path, WHOLE[:cut])
        whole = len(re.findall(rb'"sum":"[0-9a-f]{8}"}', WHOLE[:cut]))
        one = entry("a", began=200.0)
        standing = [(Standing.NEW, one), (Standing.NEW, one), (Standing.OPEN, left), (Standing.DONE, one)][whole]
        with closing(JournalFile(path, IDENTITY)) as journal:
            journal.open()
            assert journal.work([partial(journal.begin, one)]) == [standing], cut
            if whole < 3:
                journal.work([partial(journal.end, "a", "DONE", {})])
        assert [next(iter(line)) for line in lines(path)] == ["journal", "intent", "outcome"], cut
        with closing(JournalFile(path, IDENTITY)) as journal:
            journal.open()
            assert journal.begin(entry("a"))[0] is Standing.DONE, cut


@each(
    "broken",
    [
        b"no JSON\n",
        b"\n",
        b"\x00\x00\x00\n",
        b"[1]\n",
        b'"intent"\n',
        b"7\n",
        b"{}\n",
        b'{"intent":"a"}\n',
        b'{"outcome":"a"}\n',
        b'{"intent":"a","operation":"CloseTicket","mutation":{},"began":"soon"}\n',
        b'{"intent":"\xff"}\n',
        b'{"intent":"b","began":1.0,"mutation":{}}\n',
        b'{"intent":"b","began":1.0,"operation":"CloseTicket"}\n',
        b'{"intent":"b","began":1.0,"operation":7,"mutation":{}}\n',
        b'{"intent":"b","began":1.0,"operation":"DeleteTicket","mutation":{}}\n',
        b'{"outcome":"a","state":"UNDONE","at":1.0}\n',
        b'{"outcome":"a","state":"done","at":1.0}\n',
        b'{"outcome":"a","state":null,"at":1.0}\n',
        b'{"outcame":"a","state":"DONE","at":1.0}\n',
        b'{"outcome":"b","state":"UNKNOWN","at":1.0}\n',
        b"[" * 100_000 + b"\n",
        INTENT[:20] + b"\n",
    ],
)
async def test_broken_line(path: Path, broken: bytes) -> None:
    """A line in the middle that cannot be read is named, and the file stays as it is."""
    # A line with a checksum that fits, unless it has no end.
    before = sealed([HEADER, INTENT, broken if broken.endswith(b"}\n") else broken[:-1] + b"}\n", DONE])
    write(path, before)
    with pytest.raises(JournalError, match="line 3 of the journal"):
        await Journal(path, IDENTITY).__aenter__()
    assert content(path) == before


@each(
    ("before", "words"),
    [
        (b"1001\n1002\n", "line 1"),
        (b"1001", "line 1"),
        (b"id,title\n1,x\n", "line 1"),
        (b"{}", "line 1"),
        (b'{"journal":"something else","version":1}\n', "another version"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "line 1"),
        (HEADER.replace(b'"version":2', b'"version":1') + INTENT, "another version.* go on with that version"),
        (sealed([HEADER.replace(b'"version":2', b'"version":3'), INTENT]), "another version"),
        (HEADER + INTENT, "line 1"),
        (sealed([HEADER]) + INTENT, "line 2"),
        (sealed([HEADER.replace(b"\xe4\xb8\x83", b"\xe5\x85\xab"), INTENT]), "another batch .*八月.*七月"),
        (sealed([HEADER.replace(b".test", b".example"), INTENT]), "another batch .*http://workorder.example"),
        (sealed([HEADER.replace(b"}\n", b',"list":"2 mutations, 00"}\n')]), "another batch .*2 mutations"),
    ],
)
async def test_not_this_batchs_journal(path: Path, before: bytes, words: str) -> None:
    """A file that is no journal, or another batch's, is refused by what it is and not changed."""
    write(path, before)
    with pytest.raises(JournalError, match=words):
        await Journal(path, IDENTITY).__aenter__()
    assert content(path) == before


# Damage

THREE = [HEADER, INTENT, DONE, INTENT.replace(b'"a"', b'"b"'), DONE.replace(b'"a"', b'"b"')]
DAMAGES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "a line is missing": lambda whole: whole[:2] + whole[3:],
    "a line is there twice": lambda whole: [*whole[:3], *whole[2:]],
    "two lines have changed places": lambda whole: [whole[0], whole[3], whole[1], whole[2], whole[4]],
    "a line of another journal": lambda whole: [*whole[:3], *sealed([HEADER, THREE[3]]).splitlines(True)[1:]],
    "a line by hand": lambda whole: [*whole, b'{"outcome":"b","state":"NOT_SENT","at":1.0}\n'],
    "no checksum any more": lambda whole: [*whole[:4], THREE[4]],
    "no line feed": lambda whole: [*whole[:3], whole[3][:-1], whole[4]],
    "another line feed": lambda whole: [*whole[:4], whole[4][:-1] + b"\x0b"],
    "another line feed, and a torn line": lambda whole: [*whole[:3], whole[3][:-1] + b"\x1a", whole[4][:20]],
    "a block of zeros": lambda whole: [*whole[:3], bytes(len(whole[3])), whole[4]],
    "a word that this version does not know": lambda whole: sealed(
        [*THREE[:4], THREE[4].replace(b"DONE", b"DOZE")]
    ).splitlines(True),
}


@each("damage", DAMAGES)
async def test_a_damaged_journal(path: Path, damage: str) -> None:
    """A journal that does not say what was written is an error, for a run and for people; it stays as it is."""
    whole = sealed(THREE).splitlines(True)
    write(path, b"".join(whole))
    async with Journal(path, IDENTITY) as journal:
        assert (await journal.begin(entry("b")))[0] is Standing.DONE
    damaged = b"".join(DAMAGES[damage](whole))
    write(path, damaged)
    with pytest.raises(JournalError, match=r"line \d of the journal .* cannot be read.* nothing was sent"):
        await Journal(path, IDENTITY).__aenter__()
    with pytest.raises(JournalError, match=r"line \d of the journal"):
        read_records(path)
    assert content(path) == damaged


def test_a_flipped_bit() -> None:
    """Wherever one bit is flipped, that is an error."""
    whole = sealed(THREE)
    with closing(JournalFile(None, IDENTITY)) as journal:
        journal.open()
        for place, bit in product(range(len(whole)), range(8)):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            with pytest.raises(JournalError):
                read_lines(Path("j"), BytesIO(flipped), journal.read)


# The temporary file


@pytest.mark.parametrize("when", ["at once", "later"])
@pytest.mark.parametrize("is_kept", [True, False])
async def test_no_room_for_temporary_files(
    path: Path, monkeypatch: pytest.MonkeyPatch, when: str, *, is_kept: bool
) -> None:
    """The error names the temporary file, not the journal; what ended is on disk all the same, and nothing begins."""
    pages = 1 if when == "at once" else 6
    monkeypatch.setattr(
        "workorder_async.batches.journal_file._TABLE",
        f"PRAGMA page_size = 512; PRAGMA max_page_count = {pages}; {_TABLE}",
    )
    begun = []

    async def run() -> None:
        async with Journal(path if is_kept else None, IDENTITY) as journal:
            with suppress(JournalError):
                for number in range(1000):
                    await journal.begin(entry(str(number)))
                    begun.append(str(number))
            for key in begun:
                journal.end(key, "DONE")

    said = r"the temporary file of the batch.*database or disk is full.*SQLITE_TMPDIR.*nothing (more )?was sent"
    with pytest.raises(JournalError, match=said):
        await run()
    assert bool(begun) is (when == "later")
    if is_kept and begun:
        monkeypatch.undo()
        assert {key: record.state for key, record in read_records(path).by_key.items()} == dict.fromkeys(
            begun, State.DONE
        )


# Places that cannot be written

LOCKER = """
import asyncio, sys
from workorder_async.batches.journal import Journal
async def main():
    async with Journal(sys.argv[1], {"batch": "child"}):
        print("open", flush=True)
        sys.stdin.readline()
asyncio.run(main())
"""


async def test_locked_by_a_process(path: Path) -> None:
    """A journal that another process has open is refused, until that process is gone, however it went."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LOCKER, str(path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert await child.stdout.readline() == b"open\n"
    before = content(path)
    with pytest.raises(JournalError, match="in use by another program"):
        await Journal(path, {"batch": "child"}).__aenter__()
    assert content(path) == before
    child.kill()
    await child.communicate()
    async with Journal(path, {"batch": "child"}) as journal:
        assert await begun(journal, entry("a")) == (Standing.NEW, 100.5)


async def test_locked_by_this_process(path: Path) -> None:
    """A second journal of one file is refused in the same process, and does not unlock the first by that."""
    async with Journal(path, IDENTITY) as journal:
        for _ in range(2):
            with pytest.raises(JournalError, match="in use by another program, or elsewhere in this one; wait"):
                await Journal(path, IDENTITY).__aenter__()
        assert await begun(journal, entry("a")) == (Standing.NEW, 100.5)
    async with Journal(path, IDENTITY) as journal:
        assert (await journal.begin(entry("a")))[0] is Standing.OPEN


@pytest.mark.parametrize(
    "place",
    [
        lambda folder: folder,
        lambda folder: folder / "missing" / "closes.journal",
        lambda folder: folder / ("x" * 300),
        lambda folder: f"{folder}/nul\0byte",
        lambda _: "/dev/null",
        lambda _: "/dev/zero",
    ],
    ids=["folder", "missing folder", "long name", "NUL", "null", "zero"],
)
async def test_no_place_for_a_file(tmp_path: Path, place: Callable[[Path], "str | Path"]) -> None:
    """Where no file can be, the journal says so by name."""
    with pytest.raises(JournalError, match="cannot open the journal"):
        await Journal(place(tmp_path), IDENTITY).__aenter__()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="nothing is read-only for this user")
@pytest.mark.parametrize("what", ["file", "folder"])
async def test_read_only(path: Path, what: str) -> None:
    """A file or folder that may not be written is refused."""
    if what == "file":
        write(path, HEADER)
    locked, mode = (path, 0o400) if what == "file" else (path.parent, 0o500)
    locked.chmod(mode)
    try:
        with pytest.raises(JournalError, match="cannot open the journal"):
            await Journal(path, IDENTITY).__aenter__()
    finally:
        locked.chmod(0o700)


# Disks that fail


class Disk:
    """An fsync that does as it is told: fails, or takes its time; counts its calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.error: OSError | None = None
        self.free = threading.Event()
        self.free.set()
        self.busy = threading.Event()
        self._real = os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, file: int) -> None:
        """Stand in for os.fsync."""
        self.calls += 1
        self.busy.set()
        assert self.free.wait(20)
        if self.error is not None:
            raise self.error
        self._real(file)


async def test_fsync_fails(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is begun after the disk failed, though it may work again, and the file holds no sign of it."""
    disk = Disk(monkeypatch)

    async def run() -> None:
        async with Journal(path, IDENTITY) as journal:
            await journal.begin(entry("a"))
            disk.error = OSError(5, "Input/output error")
            failures = await asyncio.gather(*(journal.begin(entry(key)) for key in "bcd"), return_exceptions=True)
            assert all(isinstance(failure, JournalError) for failure in failures)
            disk.error = None
            with pytest.raises(JournalError, match=r"closes\.journal.*nothing more was sent"):
                await journal.begin(entry("e"))
            journal.end("a", "DONE")

    with pytest.raises(JournalError, match="Input/output error"):
        await run()
    assert [line.get("intent") or line.get("outcome") for line in lines(path)] == [None, "a", "a"]


async def test_a_disk_that_is_full_for_a_while(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is begun meanwhile; then all goes on, and the outcomes are in the file as well."""
    disk, full = Disk(monkeypatch), OSError(errno.ENOSPC, "No space left on device")
    async with Journal(path, IDENTITY) as journal:
        await journal.begin(entry("a"))
        disk.error = full
        journal.end("a", "DONE")
        for key in "bc":
            with pytest.raises(JournalError, match="No space left on device; nothing more was sent; make room"):
                await journal.begin(entry(key))
        disk.error = None
        assert (await journal.begin(entry("b")))[0] is Standing.NEW
        journal.end("b", "DONE")
        disk.error = full
        with pytest.raises(JournalError):
            await journal.begin(entry("c"))
        disk.error = None
    assert [line.get("intent") or line.get("outcome") for line in lines(path)] == [None, "a", "a", "b", "b"]


async def test_a_disk_that_is_full_at_the_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the last outcomes are not in the file is an error."""
    disk = Disk(monkeypatch)

    async def run() -> None:
        async with Journal(path, IDENTITY) as journal:
            await journal.begin(entry("a"))
            disk.error = OSError(errno.EDQUOT, "Disk quota exceeded")
            journal.end("a", "DONE")

    with pytest.raises(JournalError, match="Disk quota exceeded"):
        await run()
    disk.error = None
    async with Journal(path, IDENTITY) as journal:
        disk.error = OSError(errno.ENOSPC, "No space left on device")
        with pytest.raises(JournalError):
            await journal.begin(entry("a"))
        disk.error = None
        assert [one.key for one in await journal.left_open()] == ["a"]
        assert (await journal.begin(entry("a")))[0] is Standing.OPEN


async def test_an_error_that_is_raised_again_does_not_grow(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot that logs each one with its traceback would fill the disk with them."""
    disk, said, frames = Disk(monkeypatch), list[str](), list[int]()

    async def run() -> None:
        async with Journal(path, IDENTITY) as journal:
            disk.error = OSError(5, "Input/output error")
            for key in "abcd":
                with pytest.raises(JournalError, match="nothing more was sent") as caught:
                    await journal.begin(entry(key))
                said.append(str(caught.value))
                frames.append(len(caught.traceback))

    with pytest.raises(JournalError, match="Input/output error"):
        await run()
    assert frames[1] == frames[3]
    assert said[3].endswith("nothing is begun until it is opened anew")


FULL = """
import asyncio, resource, signal, sys
from tests.support.batches import sealed
from tests.support.mutations import KEYS
from workorder_async import JournalError
from workorder_async.batches.journal import Journal
from workorder_async.batches.journal_file import Entry
async def main():
    begun = 0
    try:
        async with Journal(sys.argv[1], {"batch": "七月", "platform": "http://workorder.test"}) as journal:
            for number in range(100):
                await journal.begin(Entry(str(number), "CommentTicket", {"detail": "x" * 100}, 1.0))
                begun += 1
    except JournalError as error:
        print(begun, error)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.dont_write_bytecode = True
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no limit for the size of files")
async def test_disk_full(path: Path) -> None:
    """Where a line finds room for half of itself only, that half goes, and just what was begun is on disk."""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", FULL, str(path), stdout=subprocess.PIPE)
    output, _ = await child.communicate()
    begun, _, message = output.decode().partition(" ")
    assert "File too large" in message
    assert 10 < int(begun) < 30
    assert [line["intent"] for line in lines(path)[1:]] == [str(number) for number in range(int(begun))]
    async with Journal(path, IDENTITY) as journal:
        assert len(await journal.left_open()) == int(begun)


async def test_slow_disk_does_not_block_the_loop(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk syncs, other tasks run, and begin does not return."""
    disk = Disk(monkeypatch)
    async with Journal(path, IDENTITY) as journal:
        disk.free.clear()
        disk.busy.clear()
        begin = asyncio.create_task(journal.begin(entry("a")))
        await until(disk.busy.is_set)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert not begin.done()
        disk.free.set()
        assert (await begin)[0] is Standing.NEW


async def test_a_disk_that_hangs_is_left(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a beginning nor the end waits longer than it may; what the disk writes once it is back is true."""
    disk = Disk(monkeypatch)
    loop = asyncio.get_running_loop()

    async def run() -> None:
        async with Journal(path, IDENTITY, patience=0.05) as journal:
            await journal.begin(entry("a"))
            await journal.begin(entry("b"))
            disk.free.clear()
            journal.end("a", "DONE")
            with pytest.raises(JournalError, match=r"disk of the journal .* does not answer in time"):
                await journal.begin(entry("c"), loop.time() + 0.05)
            with pytest.raises(JournalError, match="nothing more was sent"):
                await journal.begin(entry("d"), loop.time() + 0.05)
            with pytest.raises(JournalError):
                await journal.has_twin(entry("b"), loop.time() + 0.05)
            journal.end("b", "UNKNOWN")

    with pytest.raises(JournalError, match="latest outcomes may not be written"):
        await run()
    with pytest.raises(JournalError, match="in use"):
        await Journal(path, IDENTITY).__aenter__()
    assert not disk.free.is_set()
    disk.free.set()
    async with asyncio.timeout(20):
        while True:
            try:
                async with Journal(path, IDENTITY) as journal:
                    standings = [(await journal.begin(entry(key)))[0] for key in "abcd"]
                break
            except JournalError:  # the thread has not closed the file yet
                await asyncio.sleep(0)
    assert standings == [Standing.DONE, Standing.OPEN, Standing.NEW, Standing.NEW]


@pytest.mark.parametrize("way", ["begin", "look"])
async def test_a_loop_that_was_blocked(path: Path, way: str) -> None:
    """Where the program held up its own event loop until the time was over, the disk is not said to hang."""
    async with Journal(path, IDENTITY) as journal:
        soon = asyncio.get_running_loop().time() + 0.05
        asked = asyncio.create_task(journal.begin(entry("a"), soon) if way == "begin" else journal.check_place(soon))
        for _ in range(3):  # until the thread has its order
            await asyncio.sleep(0)
        time.sleep(0.1)  # noqa: ASYNC251 - as code does that is not meant for an event loop
        await asked


async def test_a_disk_that_hangs_while_it_opens(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An opening can be cancelled, and the file is free again when the disk is back."""
    disk = Disk(monkeypatch)
    disk.free.clear()
    opening = asyncio.create_task(Journal(path, IDENTITY, patience=0.05).__aenter__())
    await until(disk.busy.is_set)
    opening.cancel()
    await asyncio.wait([opening])
    assert opening.cancelled() or isinstance(opening.exception(), JournalError)
    disk.free.set()


HANGING = """
import asyncio, os, sys, threading
from workorder_async import JournalError
from workorder_async.batches.journal import Journal
from workorder_async.batches.journal_file import Entry
async def main():
    async with Journal(sys.argv[1], {"batch": ""}, patience=0.05) as journal:
        os.fsync = lambda _: threading.Event().wait()
        try:
            await journal.begin(Entry("a", "CommentTicket", {"id": 1}, 1.0), asyncio.get_running_loop().time() + 0.05)
        except JournalError as error:
            print(error)
try:
    asyncio.run(main())
except JournalError as error:
    print(error)
"""


async def test_a_program_with_a_disk_that_hangs_for_ever(path: Path) -> None:
    """It ends, without a word but ours."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HANGING, str(path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    async with asyncio.timeout(20):
        output, _ = await child.communicate()
    assert [line.partition("does not answer in time")[2] for line in output.decode().splitlines()] == [
        ", so nothing more was sent",
        ", so the latest outcomes may not be written: a later run settles their mutations",
    ]
    assert child.returncode == 0
    async with Journal(path, {"batch": ""}) as journal:
        assert [one.key for one in await journal.left_open()] == ["a"]


async def test_many_begins_share_a_sync(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What gathers while the disk is busy is written with one fsync."""
    disk = Disk(monkeypatch)
    async with Journal(path, IDENTITY) as journal:
        disk.calls = 0
        disk.free.clear()
        disk.busy.clear()
        first = asyncio.create_task(journal.begin(entry("first")))
        await until(disk.busy.is_set)
        others = [asyncio.create_task(journal.begin(entry(str(number)))) for number in range(200)]
        await asyncio.sleep(0)
        disk.free.set()
        await asyncio.gather(first, *others)
        assert disk.calls == 2
    assert len(lines(path)) == 202


@pytest.mark.parametrize("how", ["task", "close"])
async def test_cancelled_while_the_disk_is_busy(path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """A cancellation passes, and every outcome is on disk all the same, also when it meets the close."""
    disk = Disk(monkeypatch)

    async def run() -> None:
        async with Journal(path, IDENTITY) as journal:
            await journal.begin(entry("a"))
            disk.free.clear()
            disk.busy.clear()
            journal.end("a", "DONE")
            await until(disk.busy.is_set)
            journal.end("b", "DONE")
            if how == "task":
                await journal.begin(entry("c"))

    task = asyncio.create_task(run())
    await until(lambda: disk.busy.is_set() and not disk.free.is_set())
    for _ in range(10):
        await asyncio.sleep(0)
    task.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    disk.free.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    ended = {line["outcome"]: line["state"] for line in lines(path) if "outcome" in line}
    assert ended == {"a": "DONE", "b": "DONE"} | ({"c": "NOT_SENT"} if how == "task" else {})
    async with Journal(path, IDENTITY) as journal:
        assert (await journal.begin(entry("a")))[0] is Standing.DONE


async def test_a_loop_that_is_shut_down_writes_what_was_ordered(path: Path) -> None:
    """All tasks are cancelled while the order waits for the thread: the outcome is on disk all the same."""
    free = threading.Event()
    async with Journal(path, IDENTITY) as journal:
        await journal.begin(entry("a"))
        journal._thread.submit(free.wait, 20)
        journal.end("a", "DONE")
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        free.set()
    assert lines(path)[-1]["state"] == "DONE"


async def test_the_thread_keeps_the_order(path: Path) -> None:
    """What was ordered while the disk was busy is done in the order in which it was ordered."""
    async with Journal(path, IDENTITY) as journal:
        free, done = threading.Event(), list[int]()
        journal._thread.submit(free.wait, 20)
        last = [journal._thread.submit(done.append, number) for number in range(200)][-1]
        free.set()
        await asyncio.wrap_future(last)
    assert done == list(range(200))


async def test_same_keys_at_once(path: Path) -> None:
    """Of many begins of one key, one alone is NEW."""
    async with Journal(path, IDENTITY) as journal:
        answers = await asyncio.gather(*(journal.begin(entry("a", began=float(n))) for n in range(50)))
    assert sorted(standing.value for standing, _ in answers) == ["done"] * 49 + ["new"]
    assert len(lines(path)) == 2


async def test_without_a_file() -> None:
    """A journal without a path is the index of one batch."""
    async with Journal(None, IDENTITY) as journal:
        assert (await journal.begin(entry("a")))[0] is Standing.NEW
        assert (await journal.begin(entry("a")))[0] is Standing.DONE
        journal.end("a", "NOT_SENT")
        assert (await journal.begin(entry("a")))[0] is Standing.NEW
        assert await journal.left_open() == []


ODD = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(ODD, min_size=1, max_size=4))
@example(texts=["\ud83d", "\0\n😀\u2028", "\udc00"])
async def test_odd_texts(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    """Lone surrogates, NULs, line feeds and emoji come back as they were, wherever they stand."""
    # Two surrogates in a row are one character to JSON.
    texts = [text for text in texts if text == json.loads(json.dumps(text))] or ["\ud83d", "\0\n😀\u2028"]
    path = tmp_path_factory.mktemp("odd") / "closes.journal"
    identity: dict[str, Any] = {"batch": texts[0]}
    entries = [Entry(str(number), "CommentTicket", {"detail": text}, 1.0) for number, text in enumerate(texts)]
    async with AsyncExitStack() as stack:
        journal = await stack.enter_async_context(Journal(path, identity))
        for one in entries:
            await journal.begin(one)
        journal.end("other", "REJECTED", error=texts[-1])
    async with Journal(path, identity) as journal:
        assert sorted(await journal.left_open(), key=lambda one: int(one.key)) == entries


# Cancelled between the intent and the sending


@pytest.mark.parametrize("steps", slow_but_every(4, range(1, 12)))
async def test_begin_that_is_cancelled(path: Path, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a beginning is cancelled, the mutation stays as it was: free, left open by an earlier run, or done."""
    Disk(monkeypatch)
    async with Journal(path, IDENTITY) as journal:
        await journal.begin(entry("open"))
    async with Journal(path, IDENTITY) as journal:
        await journal.begin(entry("under way"))
        tasks = [asyncio.create_task(journal.begin(entry(key))) for key in ("new", "open", "under way")]
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        cancelled = [task.cancelled() for task in tasks]
        expected = [Standing.NEW, Standing.OPEN, Standing.DONE]
        standings = [(await journal.begin(entry(key)))[0] for key in ("new", "open", "under way")]
        assert standings == [
            standing if gone else Standing.DONE for standing, gone in zip(expected, cancelled, strict=True)
        ]
        for key in ("new", "under way"):
            journal.end(key, "NOT_SENT")
    async with Journal(path, IDENTITY) as journal:
        assert [one.key for one in await journal.left_open()] == ["open"]


async def test_one_left_open_whose_beginning_was_cancelled(path: Path) -> None:
    """What an earlier run left open is whole again for the same run, too."""
    async with Journal(path, IDENTITY) as journal:
        await journal.begin(entry("open"))
    async with Journal(path, IDENTITY) as journal:
        begin = asyncio.create_task(journal.begin(entry("open")))
        await asyncio.sleep(0)
        begin.cancel()
        await asyncio.wait([begin])
        assert begin.cancelled()
        assert await journal.left_open() == [entry("open")]


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_cancelled_again_and_again_while_it_closes(
    path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """However often the end is cancelled, the outcomes are on disk, and the lock is gone."""
    disk = Disk(monkeypatch)

    async def run() -> None:
        async with Journal(path, IDENTITY) as journal:
            await journal.begin(entry("a"))
            disk.free.clear()
            disk.busy.clear()
            journal.end("a", "DONE")
            await until(disk.busy.is_set)

    task = asyncio.create_task(run())
    await until(lambda: disk.busy.is_set() and not disk.free.is_set())
    for _ in range(times):
        for _ in range(10):
            await asyncio.sleep(0)
        task.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not task.done()
    disk.free.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with Journal(path, IDENTITY) as journal:
        assert (await journal.begin(entry("a")))[0] is Standing.DONE


async def test_cancelled_while_it_opens(path: Path) -> None:
    """A journal whose opening was cancelled is unlocked."""
    for steps in range(6):
        task = asyncio.create_task(Journal(path, IDENTITY).__aenter__())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            await task.result().__aexit__(None)
        async with Journal(path, IDENTITY):
            pass

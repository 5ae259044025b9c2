"""durable.py, on real files: what is on disk when, who may have it, and what a failure leaves."""

import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from workorder_async.durable import InUseError, LockedFile, MovedError, rename_whole, written_whole
from workorder_async.errors import ConfigError

POSIX = pytest.mark.skipif(os.name != "posix", reason="modes, links and limits are POSIX")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a file that does not exist yet, alone in its folder."""
    folder = tmp_path / "导出"
    folder.mkdir()
    return folder / "tickets.jsonl"


@pytest.fixture(params=[0o000, 0o022, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Set the umask."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    """Return who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


# A file that is added to


def test_a_torn_tail_is_seen_and_cut_off(path: Path) -> None:
    """The lines come back with what a crash left of the last one; cut off, it leaves no trace."""
    path.write_bytes("一\n\n二\n三".encode())
    with closing(LockedFile(path)) as file:
        lines = list(file.lines())
        assert lines == ["一\n".encode(), b"\n", "二\n".encode(), "三".encode()]
        file.cut(file.size - len(lines[-1]))
        file.append("四\n".encode())
        assert list(file.lines())[-1] == "四\n".encode()
    assert path.read_text("utf-8") == "一\n\n二\n四\n"


def test_what_was_added_is_on_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fsync comes after the write and before the return, and the name of a new file is synced too."""
    synced: list[bytes | str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        synced.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else path.read_bytes())

    monkeypatch.setattr(os, "fsync", fsync)
    with closing(LockedFile(path)) as file:
        assert synced == ["folder"]
        file.append(b"one\n")
        assert synced == ["folder", b"one\n"]
    with closing(LockedFile(path)) as file:
        file.append(b"two\n")
    assert synced == ["folder", b"one\n", b"one\ntwo\n"]


LOCKER = """
import sys
from workorder_async.durable import LockedFile
file = LockedFile(sys.argv[1])
print("open", flush=True)
sys.stdin.readline()
"""


def test_locked_by_another_process(path: Path) -> None:
    """Somebody else's file is refused until its process is gone, however it went."""
    child = subprocess.Popen(
        [sys.executable, "-c", LOCKER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        with pytest.raises(InUseError):
            LockedFile(path)
        child.kill()
    LockedFile(path).close()


def test_locked_by_this_process(path: Path) -> None:
    """A second one in the same process is refused, and does not undo the lock of the first."""
    with closing(LockedFile(path)):
        for _ in range(2):
            with pytest.raises(InUseError):
                LockedFile(path)
    LockedFile(path).close()


@POSIX
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_locked_under_another_name(path: Path, link: Callable[[Path, Path], None]) -> None:
    """The lock belongs to the file, not to its name."""
    other = path.with_suffix(".link")
    with closing(LockedFile(path)):
        link(path, other)
        with pytest.raises(InUseError):
            LockedFile(other)
    LockedFile(other).close()


def removed(path: Path) -> None:
    """Delete it."""
    path.unlink()


def renamed(path: Path) -> None:
    """Give it another name."""
    path.rename(path.with_suffix(".1"))


def replaced(path: Path) -> None:
    """Put a copy in its place."""
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)


def folder_renamed(path: Path) -> None:
    """Rename the folder that it is in."""
    path.parent.rename(path.parent.with_suffix(".old"))


@POSIX
@pytest.mark.parametrize("attack", [removed, renamed, replaced, folder_renamed])
def test_no_longer_under_its_name(path: Path, attack: Callable[[Path], None]) -> None:
    """Whoever asks is told that others do not find this file any more."""
    with closing(LockedFile(path)) as file:
        file.append(b"one\n")
        file.check_place()
        attack(path)
        with pytest.raises(MovedError, match="removed or replaced"):
            file.check_place()


@pytest.mark.parametrize("content", [b"", b"one\nsomebody's\n"], ids=["emptied", "added to"])
def test_not_as_it_was_left(path: Path, content: bytes) -> None:
    """Nothing is added to a file that somebody emptied or wrote to without asking for its lock."""
    with closing(LockedFile(path)) as file:
        file.append(b"one\n")
        path.write_bytes(content)
        with pytest.raises(MovedError, match="somebody else"):
            file.append(b"two\n")
    assert path.read_bytes() == content


def test_a_relative_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that goes to another folder has not moved the file."""
    monkeypatch.chdir(path.parent)
    with closing(LockedFile(path.name)) as file:
        monkeypatch.chdir(path.parent.parent)
        file.check_place()


def test_closed(path: Path) -> None:
    """A closed file says so, and can be closed again."""
    file = LockedFile(path)
    file.close()
    file.close()
    for use in (file.check_place, lambda: file.append(b"x"), lambda: file.cut(0), lambda: list(file.lines())):
        with pytest.raises(MovedError, match="closed"):
            use()


@POSIX
@pytest.mark.parametrize("place", ["/dev/null", "/dev/full", "."])
def test_no_regular_file(place: str) -> None:
    """A device and a folder cannot be read again, or not be opened."""
    with pytest.raises(OSError, match=r"no file that can be read again|directory"):
        LockedFile(place)


FULL = """
import resource, signal, sys
from workorder_async.durable import LockedFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
file = LockedFile(sys.argv[1])
file.append(b"one\\n")
try:
    file.append(b"too long\\n")
except OSError as error:
    print(error.strerror, file.size)
file.append(b"two\\n")
"""


@POSIX
def test_no_room_for_a_whole_line(path: Path) -> None:
    """A line that finds room for half of itself leaves nothing, and a shorter one can be added after it."""
    ran = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], check=True, capture_output=True, text=True, timeout=30
    )
    assert ran.stdout == "File too large 4\n"
    assert path.read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize("written", [0, 3])
def test_a_disk_that_does_not_sync(path: Path, monkeypatch: pytest.MonkeyPatch, written: int) -> None:
    """What is not known to be on disk is taken back."""
    with closing(LockedFile(path)) as file:
        if written:
            file.append(b"x" * written)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing(errno.EIO, folders=False))
            with pytest.raises(OSError, match=os.strerror(errno.EIO)):
                file.append(b"one\n")
        assert (file.size, path.read_bytes()) == (written, b"x" * written)


@POSIX
@pytest.mark.usefixtures("umask")
def test_a_new_file_is_for_its_owner(path: Path) -> None:
    """Whatever the umask, its owner may read and write it, and nobody else."""
    LockedFile(path).close()
    assert mode(path) == 0o600


@POSIX
@pytest.mark.parametrize("bits", [0o644, 0o620])
@pytest.mark.parametrize("when", ["empty", "added to", "cut", "loosened while open"])
def test_others_rights_are_taken_from_a_file_that_was_there(path: Path, bits: int, when: str) -> None:
    """Nothing is added to a file that others may read; what is only looked at keeps its mode until then."""
    path.write_bytes(b"" if when == "empty" else b"one\n")
    path.chmod(0o600 if when == "loosened while open" else bits)
    with closing(LockedFile(path)) as file:
        assert mode(path) == {"empty": 0o600, "loosened while open": 0o600}.get(when, bits)
        path.chmod(0o600 if when == "empty" else bits)
        if when == "cut":
            file.cut(4)
        else:
            file.append(b"two\n")
    assert mode(path) == 0o600


@POSIX
@pytest.mark.parametrize("how", ["refused", "without effect"])
def test_rights_that_cannot_be_taken(path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Where others keep their rights, as in somebody else's file or on a disk without modes, nothing is added."""

    def chmod(file: int, bits: int) -> None:
        if how == "refused":
            raise PermissionError(1, "Operation not permitted")

    path.write_bytes(b"one\n")
    path.chmod(0o644)
    monkeypatch.setattr(os, "chmod", chmod)
    with closing(LockedFile(path)) as file:
        with pytest.raises(PermissionError, match=r"others may read it \(mode 0644\)"):
            file.append(b"two\n")
        with pytest.raises(PermissionError, match=r"others may read it \(mode 0644\)"):
            file.cut(0)
    assert path.read_bytes() == b"one\n"


@POSIX
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EINTR, errno.EIO, errno.EBADF])
def test_a_disk_that_cannot_lock(path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Only what means that somebody else has the lock says so."""
    import fcntl

    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match=f"cannot be locked: {os.strerror(number)}") as caught:
        LockedFile(path)
    assert not isinstance(caught.value, InUseError)


# A file that appears when it is whole


def failing(number: int, *, folders: bool) -> Callable[[int], None]:
    """Return an fsync that fails for folders, or for all else."""
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) is folders:
            raise OSError(number, os.strerror(number))
        real(descriptor)

    return fsync


@pytest.mark.parametrize("old", [None, b"old"])
def test_written_whole(path: Path, old: bytes | None) -> None:
    """The name leads to what was there before until the block ends, then to what was written; nothing else stays."""
    if old is not None:
        path.write_bytes(old)
    with written_whole(path) as file:
        file.write(b"new")
        file.flush()
        assert (path.read_bytes() if path.exists() else None) == old
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_not_written_whole(path: Path, error: BaseException) -> None:
    """Whatever ends the block early passes, the old file stays, and nothing else does."""

    def write() -> None:
        with written_whole(path) as file:
            file.write(b"new")
            raise error

    path.write_bytes(b"old")
    with pytest.raises(type(error)) as caught:
        write()
    assert caught.value is error
    assert getattr(error, "filename", str(path)) == str(path)
    assert (os.listdir(path.parent), path.read_bytes()) == ([path.name], b"old")


@pytest.mark.parametrize("folders", [False, True])
def test_a_new_file_that_does_not_sync(path: Path, monkeypatch: pytest.MonkeyPatch, *, folders: bool) -> None:
    """A failure to put the content or the name on disk is told; what has no sure content has no name."""
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", failing(errno.EIO, folders=folders))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)), written_whole(path) as file:
        file.write(b"new")
    assert (os.listdir(path.parent), path.read_bytes()) == ([path.name], b"new" if folders else b"old")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EINVAL])
def test_a_folder_that_cannot_be_synced(path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Some systems sync no folder, and some folders may be written to and not be read: the file has its name."""
    part = path.with_suffix(".part")
    part.write_bytes(b"new")
    monkeypatch.setattr(os, "fsync", failing(number, folders=True))
    rename_whole(part, path)
    assert (os.listdir(path.parent), path.read_bytes()) == ([path.name], b"new")
    with closing(LockedFile(path.with_suffix(".journal"))) as journal:
        journal.append(b"new\n")


def test_the_content_is_on_disk_before_the_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the content is synced, while the name leads nowhere, then the folder, with the name in it."""
    synced: list[tuple[bool, list[str]]] = []
    monkeypatch.setattr(
        os, "fsync", lambda file: synced.append((stat.S_ISDIR(os.fstat(file).st_mode), os.listdir(path.parent)))
    )
    with written_whole(path) as file:
        file.write(b"new")
    (first, [part]), second = synced
    assert (first, second) == (False, (True, [path.name]))
    assert part.startswith(".tickets.jsonl.")
    assert part.endswith(".part")


@POSIX
@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("old", [False, True])
def test_what_is_written_is_its_owners_alone(path: Path, *, old: bool) -> None:
    """Whatever the umask, while it is written and after, also in place of a file that others read."""
    if old:
        path.touch()
        path.chmod(0o666)
    with written_whole(path) as file:
        file.write(b"x")
        [part] = [one for one in path.parent.iterdir() if one != path]
        assert mode(part) == 0o600
    assert mode(path) == 0o600


@POSIX
@pytest.mark.parametrize("exists", [False, True])
def test_what_a_link_leads_to_is_replaced(path: Path, *, exists: bool) -> None:
    """A symbolic link stays one, also one that leads to no file yet."""
    link = path.with_suffix(".link")
    link.symlink_to(path)
    if exists:
        path.write_bytes(b"old")
    with written_whole(link) as file:
        file.write(b"new")
        assert path.exists() is exists
    assert link.is_symlink()
    assert path.read_bytes() == b"new"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_device_is_written_to(path: Path) -> None:
    """A device takes what it takes, says its name where it fails, and is neither replaced nor removed."""
    full = Path("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"), written_whole(full) as file:
        file.write(b"x" * 100_000)
    assert stat.S_ISCHR(full.stat().st_mode)


@POSIX
def test_a_pipe_is_written_to(path: Path) -> None:
    """A pipe gets the bytes and stays, also after a failure."""
    os.mkfifo(path)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    with suppress(ValueError), written_whole(path) as file:
        file.write(b"line")
        raise ValueError
    reader.join()
    assert read == [b"line"]
    assert path.is_fifo()


@pytest.mark.parametrize(("name", "why"), [("", "it is a folder"), ("none/tickets.jsonl", "No such file")])
def test_a_file_that_cannot_be_made(tmp_path: Path, name: str, why: str) -> None:
    """A folder, and a file in a folder that is not there, are refused by name before anything is written."""
    path = tmp_path / name
    with pytest.raises(ConfigError, match=f"cannot write '{path}': {why}"), written_whole(path):
        raise AssertionError("entered")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="nothing is read-only for this user")
def test_a_folder_that_may_not_be_written_to(path: Path) -> None:
    """The folder is named, since the mend is there."""
    path.parent.chmod(0o500)
    with pytest.raises(ConfigError, match=f"Permission denied in the folder '{path.parent}'"), written_whole(path):
        raise AssertionError("entered")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="everything may be read by this user")
def test_a_folder_that_may_not_be_read(path: Path) -> None:
    """A folder like a letter box takes a file, though it cannot be synced."""
    path.parent.chmod(0o300)
    with written_whole(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"

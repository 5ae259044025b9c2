"""Files that survive a crash: a file that is added to, and a file that appears under its name when it is whole.

A `LockedFile` is added to: an addition is on disk when `append` returns, and after a crash the next one to open the
file cuts off a torn tail. The lock belongs to the file, not to its name, and to this process: a child of a fork does
not inherit it. Nothing is added to a file that others than its owner may read: such a mode is taken away first.
`open_private` opens a file at a name that we chose, where somebody else may have put a link; `made_private` makes one
for SQLite.

`written_whole` writes a new file beside the old one and gives it the name at the end; `rename_whole` does the last step
alone, for a file that took several runs to write. Files that are made here are for their owner alone. `on_disk` does
such work in a thread.
"""

import asyncio
import errno
import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from io import FileIO
from pathlib import Path
from typing import BinaryIO, TypeVar
from weakref import WeakSet

from workorder_async.errors import ConfigError, ExportError
from workorder_async.tasks import to_its_end

_T = TypeVar("_T")

# The errors of a system that does not let a folder be read, or be synced.
_NO_SYNC = {errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENOTSUP}


class InUseError(OSError):
    """The file is locked by somebody else."""


class MovedError(OSError):
    """Others find another file under this name, or none, or have changed the file."""


class LockedFile:
    """A regular file that is read and added to, and locked until it is closed; made if there is none.

    One thread uses it at a time; `check_place` may be called beside that. Opening raises `InUseError` if somebody has
    locked it, else `OSError` or `ValueError`. `size` is how long it is, as far as this process has read or written it.
    With `is_ours` we chose the name, and it is opened as `open_private` does.
    """

    def __init__(self, path: "str | os.PathLike[str]", *, is_ours: bool = False) -> None:
        # The process may go to another folder while the file is open.
        self._path = os.path.abspath(path)
        opener = open_private if is_ours else partial(os.open, mode=0o600)
        # Closed by `close`.
        self._file: FileIO | None = open(self._path, "a+b", buffering=0, opener=opener)  # noqa: SIM115
        _OPEN.add(self)
        try:
            self.size: int = self._checked(self._file)
        except BaseException:
            self._file.close()
            raise

    def _checked(self, file: FileIO) -> int:
        """Lock the file, make sure that others see it under its name, and return its size."""
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is no file that can be read again")
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if isinstance(error, _LOCKED):
                raise InUseError("it is in use: another process or call writes it") from None
            raise OSError(error.errno, f"it cannot be locked: {error.strerror}") from None
        self.check_place()
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            _take_from_others(file.fileno())  # a umask may have taken more
            sync_folder(os.path.dirname(self._path))
        return size

    def lines(self) -> Iterable[bytes]:
        """Yield every line from the start. The last one is torn if it has no line feed."""
        descriptor = self._opened().fileno()
        os.lseek(descriptor, 0, os.SEEK_SET)
        with open(descriptor, "rb", closefd=False) as lines:
            yield from lines

    def cut(self, size: int) -> None:
        """Cut off what comes after the first `size` bytes."""
        file = self._opened()
        _take_from_others(file.fileno())
        file.truncate(size)
        self.size = size

    def append(self, content: bytes | bytearray) -> None:
        """Add some bytes, and return when they are on disk. If that fails, none of them stays.

        Raises `MovedError` if the file is longer or shorter than this process left it.
        """
        file = self._opened()
        if _take_from_others(file.fileno()).st_size != self.size:
            raise MovedError("it was written to or emptied by somebody else while it was in use")
        try:
            left = memoryview(content)
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                file.truncate(self.size)
            raise
        self.size += len(content)

    def rename(self, target: str) -> None:
        """Give the file another name, in place of any file that has it; it stays open and locked."""
        self.check_place()
        rename_whole(Path(self._path), Path(target))
        self._path = os.path.abspath(target)

    def check_place(self, what: str = "it") -> None:
        """Raise `MovedError` if the name leads to another file by now, or to none; it calls the file `what`."""
        check_place(self._path, os.fstat(self._opened().fileno()), what)

    def close(self, *, keeps_lock: bool = False) -> None:
        """Unlock the file and close it. In a child of a fork the parent keeps the lock that both hold."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                # A child of a fork may still have the file open: closing alone would leave it locked.
                if sys.platform != "win32" and not keeps_lock:
                    import fcntl

                    fcntl.flock(file, fcntl.LOCK_UN)
            with suppress(OSError):
                file.close()

    def _opened(self) -> FileIO:
        if self._file is None:
            raise MovedError("it belongs to the process that opened it, and was closed there or left behind by a fork")
        return self._file


def check_place(path: "str | os.PathLike[str]", opened: os.stat_result, what: str = "it") -> None:
    """Raise `MovedError` if a name leads to another file than the one with these facts, or to none."""
    with suppress(OSError):
        if os.path.samestat(os.stat(path), opened):
            return
    raise MovedError(f"{what} was removed or replaced while it was in use, so that others no longer see it")


_OPEN: WeakSet[LockedFile] = WeakSet()


def _leave_to_parent() -> None:
    for file in list(_OPEN):
        file.close(keeps_lock=True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


# The system's error for a file that somebody else has locked; any other error is of the disk.
_LOCKED = PermissionError if sys.platform == "win32" else BlockingIOError


def _take_from_others(file: "int | str | os.PathLike[str]") -> os.stat_result:
    """Leave a file to its owner alone, and return its facts. Raises `OSError` where the system does not allow that."""
    found = os.stat(file)
    if sys.platform == "win32" or stat.S_IMODE(found.st_mode) == 0o600:
        return found
    with suppress(OSError):
        os.chmod(file, 0o600)
    found = os.stat(file)
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise PermissionError(errno.EPERM, f"others may read it (mode {mode:04o}), and that cannot be changed here")
    return found


def open_private(path: "str | os.PathLike[str]", flags: int) -> int:
    """Open a file at a name of ours for its owner alone, made if it is missing, and return its descriptor.

    Raises `OSError` for a link, a file that has a second name, or a pipe: somebody else may have put it there.
    """
    flags |= os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise OSError(error.errno, "it is a link", os.fspath(path)) from None
        raise
    try:
        _refuse_foreign(path, os.fstat(descriptor))
        _take_from_others(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def made_private(path: "str | os.PathLike[str]") -> os.stat_result:
    """Make a file as `open_private` does, if it is missing, and return its facts; one that is there is not opened.

    SQLite locks a file for all of a process, and closing the file anywhere in it takes all these locks away.
    """
    with suppress(FileExistsError):
        os.close(open_private(path, os.O_RDWR | os.O_EXCL))
    _refuse_foreign(path, os.lstat(path))
    return _take_from_others(path)


def _refuse_foreign(path: "str | os.PathLike[str]", found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        what = "it has a second name" if stat.S_ISREG(found.st_mode) else "it is no file"
        raise OSError(errno.EEXIST, "it is a link" if stat.S_ISLNK(found.st_mode) else what, os.fspath(path))


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put this path into an `OSError` of the block that names no file."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


@contextmanager
def written_through(path: Path, target: Path | None = None) -> Iterator[BinaryIO]:
    """Make a file of this name for its owner alone, and have it on disk at the end; if that fails, it is removed.

    With `target` it takes that name then.
    """
    path.unlink(missing_ok=True)
    try:
        with open(path, "xb", opener=open_private) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target is not None:
            rename_whole(path, target)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name when the block ends well. Otherwise the file is removed.

    Its owner alone may read it, for tickets hold customers' data. The target of a symbolic link is replaced, not the
    link. A device or a pipe is written to directly. Raises `ConfigError` if the file cannot be made, and `OSError` with
    the path if it cannot be filled.
    """
    special = path.exists() and not path.is_file() and not path.is_dir()
    # If /dev/stdout is a pipe, its target is no path that could be opened.
    target = path if special else Path(os.path.realpath(path))
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    opened = ExitStack()
    try:
        if target.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        file = opened.enter_context(path.open("wb") if special else written_through(part, target))
    except OSError as error:
        place = f" in the folder {str(target.parent)!r}" if isinstance(error, PermissionError) else ""
        raise ConfigError(f"cannot write {str(path)!r}: {error.strerror}{place}") from None
    with naming(path), opened:
        yield file


def rename_whole(part: Path, target: Path) -> None:
    """Give a file its name, in place of any file that has it. Its content must be on disk.

    When this returns, the name is on disk too: see `sync_folder`.
    """
    os.replace(part, target)
    sync_folder(target.parent)


def sync_folder(folder: "str | os.PathLike[str]") -> None:
    """Put the names in a folder on disk, unless the system does not let the folder be read or synced.

    Windows cannot open a folder, and does that itself; so do systems that share folders over a network.
    """
    if sys.platform == "win32":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


async def on_disk(path: Path, work: Callable[[], _T]) -> _T:
    """Do some work with a file in a thread, and return when it has ended, even if the task is cancelled meanwhile.

    Raises `ExportError` with the path if the disk does not do its part.
    """
    try:
        # The cancelled task closes the file next, so the file must not be in use then.
        return await to_its_end(asyncio.get_running_loop().run_in_executor(None, work))
    except OSError as error:
        raise ExportError(
            f"cannot write {str(path)!r}: {error.strerror or error}; mend that and begin again, it goes on from here"
        ) from None

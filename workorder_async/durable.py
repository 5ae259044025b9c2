"""A file that lines are added to and that survives a crash: locked, on disk when said so, and still under its name.

The lock belongs to the file, whatever it is called, and to this process: a child of a fork does not inherit it. Files
that are made here are for their owner alone.
"""

import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from io import FileIO
from weakref import WeakSet


class InUseError(OSError):
    """The file is locked by somebody else."""


class MovedError(OSError):
    """The file is not the one that others find under its name, or others have changed it."""


class LockedFile:
    """A regular file, opened to be read and added to, made if need be, and locked until it is closed.

    Used by one thread at a time. Raises `InUseError` where it is locked, else `OSError` or `ValueError`.
    """

    def __init__(self, path: "str | os.PathLike[str]") -> None:
        # The process may go to another folder while the file is open.
        self._path = os.path.abspath(path)
        is_new = not os.path.exists(self._path)
        self._file: FileIO | None = open(  # noqa: SIM115 - closed by `close`
            self._path, "a+b", buffering=0, opener=lambda name, flags: os.open(name, flags, 0o600)
        )
        _OPEN.add(self)
        try:
            self.size = self._checked(self._file, is_new=is_new)
        except BaseException:
            self._file.close()
            raise

    def _checked(self, file: FileIO, *, is_new: bool) -> int:
        """Return the size of a file that was locked, and is still the one that others see."""
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is no file that can be read again")
        if is_new and sys.platform != "win32":
            os.fchmod(file.fileno(), 0o600)  # a umask may have taken more
        try:
            _lock(file)
        except OSError as error:
            raise InUseError(str(error)) from None
        self.check_place()
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            _sync_folder(os.path.dirname(self._path))
        return size

    def lines(self) -> Iterable[bytes]:
        """Yield every line from the start; the last one may be torn."""
        descriptor = self._opened().fileno()
        os.lseek(descriptor, 0, os.SEEK_SET)
        with open(descriptor, "rb", closefd=False) as lines:
            yield from lines

    def cut(self, size: int) -> None:
        """Cut off what is behind this."""
        self._opened().truncate(size)
        self.size = size

    def append(self, content: bytes) -> None:
        """Add this, and return once it is on disk; where that fails, nothing of it stays.

        Raises `MovedError` where the file is not as long as it was left.
        """
        file = self._opened()
        if os.fstat(file.fileno()).st_size != self.size:
            raise MovedError("it was written to or emptied by somebody else while it was in use")
        try:
            written = 0
            while written < len(content):
                written += file.write(content[written:])
            os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                file.truncate(self.size)
            raise
        self.size += len(content)

    def check_place(self) -> None:
        """Raise `MovedError` where another file, or none, is found under the name by now."""
        opened = os.fstat(self._opened().fileno())
        with suppress(OSError):
            if os.path.samestat(os.stat(self._path), opened):
                return
        raise MovedError("it was removed or replaced while it was in use, so that others no longer see it")

    def close(self) -> None:
        """Unlock and close it."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                _unlock(file)
            with suppress(OSError):
                file.close()

    def forget(self) -> None:
        """Close it in a child of a fork: the lock, which both processes hold as one, stays the parent's."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()

    def _opened(self) -> FileIO:
        if self._file is None:
            raise MovedError("it belongs to the process that opened it, and was closed there or left behind by a fork")
        return self._file


_OPEN: WeakSet[LockedFile] = WeakSet()


def _forget_all() -> None:
    for file in list(_OPEN):
        file.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def _lock(file: FileIO) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _unlock(file: FileIO) -> None:
    """End the lock also where a child of a fork still has the file open: closing would leave it locked there."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_UN)


def _sync_folder(folder: str) -> None:
    """Make a new file's name durable, where a folder can be opened."""
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

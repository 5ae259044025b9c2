"""The memory of an export: a head that says which export it is, then a line for each part that is on disk.

    {"manifest":"workorder_async","version":5,"platform":...,"app_id":...,"queries":[...],"format":...}
    {"query":0,"rows":5000,"rest":[null,1636600271],"end":1890432,"crc":3735928559,...}
    {"query":0,...}
    {"named":[inode, size],...}                                    written just before the file gets its name

`rest` is the rest of the query that is to be read: everything before it has been given out, and will not come again.
About one page of it has come; `again` has the ids. The same call goes on from there, and needs to know no other ids.
Times in the head are absolute, so that a call of tomorrow asks the same query. The last member of a line is a checksum
of it and of all lines before it.

A line is added when its part is on disk, and is itself on disk before the next part is. A torn last line, as a crash
leaves it, is dropped. So is everything from the first line on that cannot be read: its parts are read again. A head
that was changed is an error: nothing else says whose rows these are.

If a walk finds that the list has another order than it assumed, it adds a part that has no `rest` and is not the last
one of its query. Then all parts before rest on a wrong order, and the next call begins anew.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final, TypeAlias
from zlib import crc32

from attrs import fields_dict, frozen
from cattrs import Converter

from workorder_async.document import TicketQuery
from workorder_async.document.codec import encode
from workorder_async.document.json_text import to_json
from workorder_async.durable import InUseError, LockedFile, MovedError, naming
from workorder_async.errors import ConfigError, ExportError
from workorder_async.exports.report import Part
from workorder_async.exports.sink import UNCHANGED, TextChanges

#: Of this layout, and of the bytes that each format is written in: raised when either changes.
VERSION: Final = 5
_BEGINS: Final = b'{"manifest":"workorder_async",'
_SUM: Final = b',"sum":"%08x"}\n'
_CONVERTER: Final = Converter()
# Lines are read by the standard library: orjson refuses half a surrogate pair, as a path has it that is no UTF-8.


@frozen(kw_only=True)
class Head:
    """Which export it is: another one is not gone on with."""

    manifest: str = "workorder_async"
    version: int = VERSION
    platform: str
    app_id: str = ""
    queries: tuple[dict[str, Any], ...]
    format: str
    columns: tuple[str, ...]
    raw: bool
    detail: bool
    attachments: str | None
    csv_bom: bool
    csv_defuse: bool

    def differences(self, other: "Head") -> str:
        """Say in which points another one is another export; "" if in none."""
        return "; ".join(
            f"{name} was {to_json(before).decode()}, and is {to_json(now).decode()}"
            for name in fields_dict(Head)
            if (before := getattr(self, name)) != (now := getattr(other, name))
        )


@frozen(kw_only=True)
class Renamed:
    """A file that is about to get its name, or has it."""

    named: tuple[int, int]
    """Its inode and its size, by which it is told from any other file of that name."""
    changes: TextChanges = UNCHANGED
    """The changes of its conversion."""

    def is_at(self, path: Path) -> bool:
        """Tell whether that file has this name."""
        try:
            found = path.stat()
        except OSError:
            return False
        return self.named == (found.st_ino, found.st_size)


Line: TypeAlias = Head | Part | Renamed


class Manifest:
    """A manifest, locked until it is closed; made if there is none. One thread uses it at a time.

    `head` is None in a new one; with `resume` False no line is read. Raises `ExportError` if another process has it or
    nobody can read it, `ConfigError` if it cannot be made.
    """

    def __init__(self, path: Path, *, resume: bool = True) -> None:
        self.path = path
        self.head: Head | None = None
        self.parts: list[Part] = []
        self.named: Renamed | None = None
        # Where the lines end, and their checksums.
        self._ends: list[tuple[int, int]] = []
        try:
            self._file = LockedFile(path, is_ours=True)
        except (InUseError, MovedError):
            raise ExportError(
                f"{str(path)!r} is in use: another process exports to the same file; wait for its end"
            ) from None
        except OSError as error:
            why = error.strerror or error
            mend = "choose another place for the target"
            raise ConfigError(f"cannot write {str(path)!r}: {why}", mend=mend) from None
        try:
            self._read(resume=resume)
        except BaseException:
            self._file.close()
            raise

    def _read(self, *, resume: bool) -> None:
        for line in self._file.lines():
            if not self._ends and not (line.startswith(_BEGINS) or _BEGINS.startswith(line)):
                raise ExportError(
                    f"{str(self.path)!r} is no manifest of an export; move it away, or choose another target"
                )
            if not resume:
                return
            end, total = self._last
            content = line[: -len(_SUM % 0)]
            total = crc32(content, total)
            try:
                said = self._said(line, content + b"}" if line.endswith(_SUM % total) else b"")
            except ExportError:
                raise
            except Exception:  # noqa: BLE001 - torn, in whatever way
                if self.head is None and line.endswith(b"\n"):
                    mend = "move it away with its part, or begin anew with resume=False"
                    raise ExportError(f"{str(self.path)!r} is damaged in its first line", mend=mend) from None
                break
            self._take_in(said, end + len(line), total)
        self._file.cut(self._last[0])

    @property
    def _last(self) -> tuple[int, int]:
        return self._ends[-1] if self._ends else (0, 0)

    def _said(self, line: bytes, content: bytes) -> Line:
        """Return what a line says; its content is empty if its checksum is not right."""
        if self.head is None:
            value = json.loads(line)
            if value["version"] != VERSION:
                raise ExportError(
                    f"{str(self.path)!r} was written by another version of this library ({value['version']}, not "
                    f"{VERSION})",
                    mend="end the export with that one, or begin anew with resume=False",
                )
            return _CONVERTER.structure(json.loads(content), Head)
        # Its checksum covers all lines before it, so it stands where it was written.
        value = json.loads(content)
        return _CONVERTER.structure(value, Renamed) if "named" in value else _CONVERTER.structure(value, Part)

    def _take_in(self, said: Line, end: int, total: int) -> None:
        self._ends.append((end, total))
        if isinstance(said, Head):
            self.head = said
        elif isinstance(said, Part):
            self.parts.append(said)
        else:
            self.named = said

    def add(self, line: Line) -> None:
        """Write a line: the head, a part whose rows are on disk, or that a file is about to get its name."""
        content = to_json(_CONVERTER.unstructure(line))[:-1]
        total = crc32(content, self._last[1])
        with naming(self.path):
            self.check_place()
            self._file.append(content + _SUM % total)
        self._take_in(line, self._file.size, total)

    def check_place(self) -> None:
        """Raise `OSError` if the name leads to another manifest by now: what lies beside it is another process's."""
        self._file.check_place()

    def keep(self, parts: int) -> None:
        """Forget all parts but the first so many, and that a file was to get its name.

        If the last one, or a forgotten one, says that the parts before it do not count, none is kept.
        """
        if any(part.is_void for part in self.parts[max(0, parts - 1) :]):
            parts = 0
        del self.parts[parts:]
        del self._ends[parts + 1 :]
        self.named = None
        self._file.cut(self._last[0])

    def clear(self) -> None:
        """Forget everything."""
        self._file.cut(0)
        self.head, self.named, self.parts, self._ends = None, None, [], []

    def remove(self) -> None:
        """Take it away, while nobody else can have it; on Windows nobody can take away an open file."""
        if sys.platform == "win32":
            self._file.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Unlock it; an empty one is taken away."""
        try:
            if self._file.size == 0:
                self.check_place()
                self.remove()
        finally:
            self._file.close()


def said_of(query: TicketQuery) -> dict[str, Any]:
    """Return a query as a head has it."""
    said: dict[str, Any] = json.loads(to_json(encode(query)))
    return said

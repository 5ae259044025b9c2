"""The formats of an export, and its target: the format that a file name means, its writer, and the file's place.

The formats of lines, JSON Lines and CSV, compressed or not, need no conversion, and are here.
"""

import os
import re
import shutil
import sys
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from csv import writer
from functools import cache, partial
from io import StringIO
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Final, cast
from unicodedata import category

from attrs import frozen

from workorder_async import arguments
from workorder_async.document import JSON
from workorder_async.document.json_text import LINE_FEED, READ_LINE, Unread, dumps, to_json
from workorder_async.durable import naming
from workorder_async.errors import ConfigError, DecodeError, ExportError
from workorder_async.exports.columns import TICKET_COLUMNS, Columns, Value
from workorder_async.exports.parquet import ArrowStreams, to_parquet
from workorder_async.exports.sink import INT64, Record, Sink, TextChanges, Told, storable
from workorder_async.exports.sqlite import LONGEST_PATH, TablePages, application_of, to_sqlite
from workorder_async.exports.xlsx import parts_of, to_xlsx
from workorder_async.extras import extra_module

#: File names end in one of these; each stands for the format of the same name.
SUFFIXES: Final = (
    *(".jsonl", ".jsonl.gz", ".jsonl.zst", ".csv", ".csv.gz", ".csv.zst"),
    *(".parquet", ".sqlite", ".db", ".xlsx"),
)
_CONVERTERS: Final = {"parquet": to_parquet, "sqlite": to_sqlite, "xlsx": to_xlsx}
# SQLite databases of this library that are no exports, by their application_id. No export replaces one of them.
_KEPT: Final = {b"WOmi": "a mirror", b"WOsb": "the database of a sandbox"}
# Characters that a terminal obeys and JSON does not escape: DEL, the control characters from U+0080 on, and those that
# change the direction of writing.
_OBEYED: Final = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]")
# A float from 1e16 on, as orjson writes it. `_EXPONENT` is a part of all such texts: most lines lack it, and need no
# regular expression.
_LARGE: Final = re.compile(rb"[0-9]e\+?[0-9]")
_EXPONENT: Final = dumps(1e30)[1:-2]
# First characters with which no spreadsheet takes a text for a formula: these, and the Unicode categories of letters,
# digits, opening brackets and quotes, pictures, and half a surrogate pair, which becomes U+FFFD.
_PLAIN: Final = "\"'#*_<./\\!?！？…"
_PLAIN_KINDS: Final = ("L", "N", "Ps", "Pi", "So", "Cs")


class JsonLines(Sink):
    """Rows of a model as lines of JSON, every one valid UTF-8 and on its own, with the names of the columns."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def encode(self, rows: Sequence[Record]) -> bytes:
        """Return a line for each row."""
        lines, fill = bytearray(), self._columns.fill
        cells: dict[str, Value] = {}  # one dict for all rows, filled anew for each
        for row in rows:
            # Lines are added one by one: freeing a list of all lines would take as long as writing them.
            fill(row, cells)
            try:
                lines += dumps(cells, option=LINE_FEED)
            except TypeError:  # half a surrogate pair
                made, changes = storable(cells.values())
                self.changes: TextChanges = self.changes + changes
                lines += dumps(dict(zip(cells, made, strict=True)), option=LINE_FEED)
        return bytes(lines)


class RawLines(Sink):
    """The server's own objects as lines of JSON, with the fields that no model knows.

    When the answer was parsed, a number of more than 64 bits became a float, and a value that is no JSON became a text:
    both are counted as changes. Not counted are a number with a fraction or an exponent, which becomes the nearest
    float, and a field's name with broken bytes, which become half surrogate pairs.
    """

    def encode(self, rows: Sequence[Record]) -> bytes:
        """Return a line for each row."""
        lines = bytearray()
        for row in rows:
            try:
                line = dumps(row, option=READ_LINE)
            except TypeError:
                line = _line_of(cast("dict[str, JSON]", row))
                self.changes: TextChanges = self.changes + TextChanges(
                    broken=_count(row, lambda value: isinstance(value, Unread))
                )
            if _EXPONENT in line and _LARGE.search(line):
                self.changes += TextChanges(
                    rounded=_count(row, lambda value: isinstance(value, float) and abs(value) >= INT64.stop)
                )
            lines += line
        return bytes(lines)


def _line_of(row: dict[str, JSON]) -> bytes:
    try:
        return to_json(row) + b"\n"
    except DecodeError as error:
        mend = "an export without raw=True leaves the fields out that it does not know"
        raise DecodeError(
            f"ticket {row.get('id')}: {error.message}; {mend}", expected=error.expected, got=error.got
        ) from None


def _count(value: object, is_counted: Callable[[object], bool]) -> int:
    """Return for how many values inside a JSON value, at any depth, `is_counted` is true."""
    left, count = [value], 0
    while left:
        one = left.pop()
        if isinstance(one, dict | list):
            left += one.values() if isinstance(one, dict) else one
        else:
            count += is_counted(one)
    return count


class Escaped(Sink):
    """Lines of JSON for a terminal: characters that a terminal would obey are written as escapes of JSON.

    A parser of the line gets the same text, so an escape does not count as a change.
    """

    def __init__(self, lines: JsonLines | RawLines) -> None:
        self._lines = lines

    def encode(self, rows: Sequence[Record]) -> bytes:
        """Return a line for each row."""
        content = _OBEYED.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), self._lines.encode(rows))
        self.changes: TextChanges = self._lines.changes
        return content


class CsvLines(Sink):
    """Rows of a model as records of CSV, as RFC 4180 has it: a line of names, then one record a ticket, in UTF-8.

    Booleans are written as true and false; a value that does not exist is an empty cell.
    `bom` puts a byte order mark in front, without which Excel on Chinese Windows reads GBK. `defuse` puts an apostrophe
    in front of texts that a spreadsheet might take for formulas: those whose first character is not known to be plain.
    """

    def __init__(self, columns: Columns, *, bom: bool = True, defuse: bool = True) -> None:
        self._columns = columns
        self._bom = bom
        kinds = [column.arrow for column in columns.columns]
        self._defuse = [place for place, kind in enumerate(kinds) if defuse and kind == "string"]
        self._booleans = [place for place, kind in enumerate(kinds) if kind == "bool"]

    def begin(self) -> bytes:
        """Return the byte order mark and the line of names."""
        return (BOM_UTF8 if self._bom else b"") + _records([self._columns.names])

    def encode(self, rows: Sequence[Record]) -> bytes:
        """Return a record for each row."""
        records = [self._cells(self._columns.read(row)) for row in rows]
        try:
            return _records(records)
        except UnicodeEncodeError:
            made = list(map(storable, records))
            self.changes: TextChanges = sum((changes for _, changes in made), self.changes)
            return _records([cells for cells, _ in made])

    def _cells(self, cells: tuple[Value, ...]) -> list[Value]:
        made = list(cells)
        for place in self._booleans:
            made[place] = "true" if made[place] else "false"
        for place in self._defuse:
            text = made[place]
            if text and not _is_plain(str(text)[0]):
                made[place] = f"'{text}"
                self.changes += TextChanges(defused=1)
        return made


@cache
def _is_plain(first: str) -> bool:
    """Tell whether no spreadsheet takes a text with this first character for a formula."""
    return first in _PLAIN or category(first).startswith(_PLAIN_KINDS)


def undefused(text: str) -> str:
    """Return a text of a record without the apostrophe that `defuse` put in front of it."""
    return text[1:] if text[:1] == "'" and text[1:] and not _is_plain(text[1]) else text


def _records(rows: Iterable[Sequence[Value]]) -> bytes:
    text = StringIO()
    writer(text).writerows(rows)
    return text.getvalue().encode()


class Compressed(Sink):
    """A sink of lines whose bytes are compressed; `kind` is gz or zst.

    The bytes of `begin`, and those of each part, are a gzip member or zstd frame of their own, so that the file can be
    cut between two parts. Members in a row are a valid gzip or zstd file. The same rows give the same bytes: no time is
    written.
    """

    def __init__(self, lines: Sink, kind: str) -> None:
        self._lines = lines
        # Makes a compressor of zlib or zstd. Level 6 of gzip saves a quarter, and takes up to six times the time of 1.
        self._new_member: Callable[[], Any] = partial(zlib.compressobj, 1, wbits=16 + zlib.MAX_WBITS)
        if kind == "zst":
            zstd = zstd_module()
            self._new_member = partial(zstd.ZstdCompressor, options={zstd.CompressionParameter.checksum_flag: 1})
        self._member: Any = None

    def begin(self) -> bytes:
        """Return a member with the bytes in front of the lines, even if there are none: an empty file is no gzip."""
        return self._compress(self._lines.begin()) + self.end_part()

    def encode(self, rows: Sequence[Record]) -> bytes:
        """Return the bytes that the compressor gives by now; it gives the others later."""
        content = self._compress(self._lines.encode(rows))
        self.changes: TextChanges = self._lines.changes
        return content

    def end_part(self) -> bytes:
        """Return the rest of the part's member; empty if the part has no page, and so no member."""
        member, self._member = self._member, None
        return b"" if member is None else member.flush()

    def _compress(self, content: bytes) -> bytes:
        self._member = self._member or self._new_member()
        return bytes(self._member.compress(content))


def zstd_module() -> Any:
    """Return the standard library's zstd, before Python 3.14 that of the extra `zst`."""
    return extra_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd", "zst")


@frozen
class Format:
    """One format; `format_of` makes it."""

    name: str
    """jsonl, csv, parquet, sqlite or xlsx; the first two also with .gz or .zst."""

    @property
    def is_staged(self) -> bool:
        """Whether the file that `sink` makes is only a stage, which `convert` turns into this format at the end."""
        return self.name in _CONVERTERS

    def sink(
        self,
        columns: Columns = TICKET_COLUMNS,
        *,
        raw: bool = False,
        bom: bool = True,
        defuse: bool = True,
        escaped: bool = False,
    ) -> Sink:
        """Return a new sink, of staged rows if the format is converted at the end.

        `raw` is for the server's own objects, `bom` and `defuse` are CSV's, `escaped` is for JSON Lines that a terminal
        may show. Raises `ConfigError` if the format cannot be raw.
        """
        kind, _, compression = self.name.partition(".")
        if raw and kind != "jsonl":
            raise ConfigError(
                f"writes the server's own objects, for which {self.name} has no columns",
                argument="raw",
                mend="use .jsonl",
            )
        if kind == "parquet":
            return ArrowStreams(columns)
        if kind == "sqlite":
            return TablePages(columns)
        if kind == "csv":
            lines: Sink = CsvLines(columns, bom=bom, defuse=defuse)
        else:
            objects = RawLines() if raw else JsonLines(columns)
            lines = Escaped(objects) if escaped and not compression else objects
        return Compressed(lines, compression) if compression else lines

    def convert(self, staged: Path, target: Path, on_progress: Told, columns: Columns = TICKET_COLUMNS) -> TextChanges:
        """Convert the rows of `sink` to a new file, which is on disk then, and return the changes that this took.

        For a thread. If it fails, no file is left. Raises `OSError` with a name if the disk does not do its part.
        """
        with naming(target):
            return _CONVERTERS[self.name](staged, target, columns, on_progress)

    def names(self, path: Path) -> list[Path]:
        """Return the names that a file takes: its own, then the side files that SQLite takes for the database's."""
        sides = ("", "-journal", "-wal", "-shm") if self.name == "sqlite" else ("",)
        return [path.with_name(f"{path.name}{side}") for side in sides]


def format_of(target: "str | PathLike[str]", format: str | None = None) -> Format:
    """Return the format that is asked for, or that the file's name ends in; `-`, which is stdout, is JSON Lines.

    Raises `ConfigError` if neither says a format, and if an extra is missing.
    """
    path = fspath(target)
    if format is not None:
        suffix = f".{format.strip().lower().removeprefix('.')}"
    else:
        suffix = ".jsonl" if path == "-" else next((one for one in SUFFIXES if path.lower().endswith(one)), "")
    if suffix not in SUFFIXES:
        known = f"use one of: {' '.join(SUFFIXES)}"
        if format is not None:
            raise ConfigError(f"{format!r} is not known", argument="format", mend=known)
        raise ConfigError(f"{path!r} says no format by its suffix", argument="target", mend=f"add format=, or {known}")
    found = Format({".db": "sqlite"}.get(suffix, suffix[1:]))
    if found.name == "parquet":
        extra_module("pyarrow.parquet", "parquet")
    elif found.name == "xlsx":
        extra_module("xlsxwriter", "xlsx")
    elif found.name.endswith(".zst"):
        zstd_module()
    return found


class Target:
    """A file that gets its name at the end, or a stream that is written to at once: stdout, a pipe, a device."""

    def __init__(self, path: Path, format: Format, *, is_stream: bool) -> None:
        self.path = path
        self.format = format
        self.is_stream = is_stream
        #: The file that grows: the rows, in the final format or staged.
        self.part: Path = path.with_name(f"{path.name}.part")
        #: The file that staged rows are converted to.
        self.converted: Path = path.with_name(f"{path.name}.converted")
        #: The file that remembers how far the export is; locked while a call uses it.
        self.manifest: Path = path.with_name(f"{path.name}.manifest")

    def leftovers(self) -> list[Path]:
        """Return the files and the folder that a call may leave beside the target, without the manifest."""
        made = [self.converted] if self.format.is_staged else []
        parts = [parts_of(self.converted)] if self.format.name == "xlsx" else []
        return [self.part, *made, *parts]

    def remove_leftovers(self) -> None:
        """Remove the files beside the target, but not the manifest; the only folder removed is the workbook's parts."""
        for path in self.leftovers():
            if path.suffix == ".parts" and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def refuse_existing(self, *, is_late: bool = False) -> None:
        """Raise an error if a file has one of the target's names; `is_late`: the rows were written already."""
        taken = next((one for one in self.format.names(self.path) if os.path.lexists(one)), None)
        if taken is None:
            return
        self.refuse_kept()
        if is_late:
            raise ExportError(
                f"{str(taken)!r} appeared meanwhile; the rows are kept",
                mend="run it again with overwrite=True, to replace it, or move it away and run it again",
            )
        raise ConfigError(f"{str(taken)!r} exists", argument="target", mend="overwrite=True replaces it")

    def refuse_kept(self) -> None:
        """Raise an error if the target is a mirror or a sandbox's database: nobody could restore its history."""
        if kept := _KEPT.get(application_of(self.path)):
            raise ConfigError(f"{str(self.path)!r} is {kept}", argument="target", mend="choose another name")


def target_of(target: object, format: str | None) -> Target:
    """Return where to write. Raises `ConfigError` for a place that cannot have a file, or a name without a format."""
    name = arguments.path("target", target)
    found = format_of(name, format)
    path = Path(name)
    if not path.name:
        raise ConfigError(f"{name!r} is no name of a file", argument="target")
    try:
        if name == "-" or (path.exists() and not path.is_file() and not path.is_dir()):
            if found.is_staged:
                problem = f"{found.name} cannot be written to {'stdout' if name == '-' else repr(name)}"
                raise ConfigError(problem, mend="name a file, or use jsonl or csv")
            return Target(path, found, is_stream=True)
        # The target of a symbolic link is replaced, not the link.
        path = Path(os.path.realpath(path))
        if path.is_dir() or name.endswith(("/", os.sep)):
            raise ConfigError(f"{name!r} is a folder", argument="target", mend="name a file in it")
        if not path.parent.is_dir():
            problem = f"{name!r}: there is no folder {str(path.parent)!r}"
            raise ConfigError(problem, argument="target", mend="make it first")
        target = Target(path, found, is_stream=False)
        for beside in (target.manifest, *target.leftovers()):
            with suppress(FileNotFoundError):
                beside.lstat()  # fails if the name is too long for the file system
        if found.name == "sqlite" and len(os.fsencode(target.converted)) > LONGEST_PATH:
            raise OSError(0, "SQLite opens no path of so many bytes")
    except OSError as error:
        raise ConfigError(f"cannot write to {name!r}: {error.strerror}", mend="choose another target") from None
    return target

"""The formats of an export, and its target: the format that a file name means, its writer, and the file's place."""

import os
import shutil
from contextlib import suppress
from os import PathLike, fspath
from pathlib import Path
from typing import Final

from attrs import frozen

from workorder_async import arguments
from workorder_async.durable import naming
from workorder_async.errors import ConfigError, ExportError
from workorder_async.exports.columns import TICKET_COLUMNS, Columns
from workorder_async.exports.lines import Compressed, CsvLines, Escaped, JsonLines, RawLines, zstd_module
from workorder_async.exports.parquet import ArrowStreams, to_parquet
from workorder_async.exports.sink import Sink, TextChanges, Told
from workorder_async.exports.sqlite import LONGEST_PATH, TablePages, to_sqlite
from workorder_async.exports.xlsx import parts_of, to_xlsx
from workorder_async.extras import extra_module

#: File names end in one of these; each stands for the format of the same name.
SUFFIXES: Final = (
    *(".jsonl", ".jsonl.gz", ".jsonl.zst", ".csv", ".csv.gz", ".csv.zst"),
    *(".parquet", ".sqlite", ".db", ".xlsx"),
)
_CONVERTERS: Final = {"parquet": to_parquet, "sqlite": to_sqlite, "xlsx": to_xlsx}


@frozen
class Format:
    """One format; `format_of` makes it."""

    name: str
    """jsonl, csv, parquet, sqlite or xlsx; the first two also with .gz or .zst."""

    @property
    def is_staged(self) -> bool:
        """Whether what `sink` makes is converted at the end."""
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
        """Return the names that a file takes: its own, then those that SQLite believes to be of the same database."""
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
        #: The file that grows: rows, or rows that are converted at the end.
        self.part: Path = path.with_name(f"{path.name}.part")
        #: The file that staged rows are converted to.
        self.converted: Path = path.with_name(f"{path.name}.converted")
        #: The file that remembers how far it is; locked while it is in use.
        self.manifest: Path = path.with_name(f"{path.name}.manifest")

    def leftovers(self) -> list[Path]:
        """Return the files, and the folder of a workbook's parts, that may lie beside it, but for the manifest."""
        parts = [parts_of(self.converted)] if self.format.name == "xlsx" else []
        return [self.part, self.converted, *parts]

    def remove_leftovers(self) -> None:
        """Take away what lies beside it, but for the manifest: no folder but that of a workbook's parts."""
        for path in self.leftovers():
            if path.suffix == ".parts" and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def refuse_existing(self, *, is_late: bool = False) -> None:
        """Raise an error if one of its names is taken."""
        taken = next((one for one in self.format.names(self.path) if os.path.lexists(one)), None)
        if taken is None:
            return
        if is_late:
            raise ExportError(
                f"{str(taken)!r} appeared meanwhile; the rows are kept",
                mend="run it again with overwrite=True, to replace it, or move it away and run it again",
            )
        raise ConfigError(f"{str(taken)!r} exists", argument="target", mend="overwrite=True replaces it")


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
                beside.lstat()  # its name may be too long
        if found.name == "sqlite" and len(os.fsencode(target.converted)) > LONGEST_PATH:
            raise OSError(0, "SQLite opens no path of so many bytes")
    except OSError as error:
        raise ConfigError(f"cannot write to {name!r}: {error.strerror}", mend="choose another target") from None
    return target

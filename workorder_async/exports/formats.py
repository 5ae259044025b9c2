"""The formats of an export: which there are, which one a file name means, and what writes each."""

from os import PathLike, fspath
from pathlib import Path
from typing import Final, Literal

from attrs import frozen

from workorder_async.errors import ConfigError
from workorder_async.exports.columns import DETAIL_COLUMNS, TICKET_COLUMNS, Columns
from workorder_async.exports.compressed import Compressed, zstd_module
from workorder_async.exports.csv_lines import CsvLines
from workorder_async.exports.extras import extra_module
from workorder_async.exports.jsonl import Escaped, JsonLines, RawLines
from workorder_async.exports.parquet import ArrowStreams, to_parquet
from workorder_async.exports.sink import Sink, Store
from workorder_async.exports.sqlite import SqliteStore, journal_of
from workorder_async.exports.staging import Converted, Progress
from workorder_async.exports.xlsx import parts_of, to_xlsx

#: What each way of writing needs of whoever drives it: see `Format.way`.
Way = Literal["lines", "staged", "database"]

#: File names end in one of these; each stands for the format of the same name.
SUFFIXES: Final = (
    *(".jsonl", ".jsonl.gz", ".jsonl.zst", ".csv", ".csv.gz", ".csv.zst"),
    *(".parquet", ".sqlite", ".db", ".xlsx"),
)
_CONVERTERS: Final = {"parquet": to_parquet, "xlsx": to_xlsx}


@frozen
class Format:
    """One format; `format_of` makes it."""

    name: str
    """jsonl, csv, parquet, sqlite or xlsx; the first two also with .gz or .zst."""

    @property
    def way(self) -> Way:
        """How it is written: "lines" by `sink`; "staged" by `sink`, then `convert`; "database" by `store`."""
        return "database" if self.name == "sqlite" else "staged" if self.name in _CONVERTERS else "lines"

    def columns(self, *, detail: bool = False) -> Columns:
        """Return the columns of the list, or of full records."""
        return DETAIL_COLUMNS if detail else TICKET_COLUMNS

    def sink(
        self,
        *,
        detail: bool = False,
        raw: bool = False,
        bom: bool = True,
        defuse: bool = True,
        escaped: bool = False,
    ) -> Sink:
        """Return a new sink, of staged rows where the format is converted at the end.

        `detail` is for full records, `raw` for the server's own objects, `bom` and `defuse` are CSV's, `escaped` is for
        JSON Lines that a terminal may show. Raises `ConfigError` where the format cannot be raw.
        """
        kind, _, compression = self.name.partition(".")
        if raw and kind != "jsonl":
            raise ConfigError(
                f"raw=True writes the server's own objects, for which {self.name} has no columns; use .jsonl"
            )
        columns = self.columns(detail=detail)
        lines: Sink = RawLines() if raw else JsonLines(columns, staged=self.way == "staged")
        if kind == "parquet":
            return ArrowStreams(columns)
        if kind == "csv":
            lines = CsvLines(columns, bom=bom, defuse=defuse)
        elif escaped and not compression:
            lines = Escaped(lines)
        return Compressed(lines, compression) if compression else lines

    def convert(self, staged: Path, target: Path, on_progress: Progress, *, detail: bool = False) -> Converted:
        """Convert rows of `sink` to a new file, which is on disk then; for a thread. If it fails, no file is left.

        Raises `OSError` where the disk does not do its part.
        """
        return _CONVERTERS[self.name](staged, target, self.columns(detail=detail), on_progress)

    def store(self, path: Path, *, detail: bool = False) -> Store:
        """Open the database of this name; made if need be. Raises `OSError` where that cannot be done."""
        return SqliteStore(path, self.columns(detail=detail).model)

    def beside(self, path: Path) -> Path | None:
        """Return what may lie beside the file that `convert` or `store` was writing when it was killed; None: nothing.

        The same call again takes it away. Whoever gives the file up removes it, too: XLSX has a folder, SQLite a file.
        """
        found = {"xlsx": parts_of, "sqlite": journal_of}.get(self.name)
        return None if found is None else found(path)


def format_of(target: "str | PathLike[str]", format: str | None = None) -> Format:
    """Return the format that is asked for, or that the file's name ends in; `-`, which is stdout, is JSON Lines.

    Raises `ConfigError` where that says nothing, where stdout cannot have it, and where an extra is missing.
    """
    path = fspath(target)
    suffix = _suffix_of(path) if format is None else f".{format.strip().lower().removeprefix('.')}"
    if suffix not in SUFFIXES:
        asked = f"format={format!r} is not known" if format is not None else f"{path!r} says no format by its suffix"
        raise ConfigError(f"{asked}; use one of: {' '.join(SUFFIXES)}")
    found = Format({".db": "sqlite"}.get(suffix, suffix[1:]))
    if path == "-" and found.way != "lines":
        raise ConfigError(f"{found.name} cannot be written to stdout; name a file, or use jsonl or csv")
    if found.name == "parquet":
        extra_module("pyarrow.parquet", "parquet")
    elif found.name == "xlsx":
        extra_module("xlsxwriter", "xlsx")
    elif found.name.endswith(".zst"):
        zstd_module()
    return found


def _suffix_of(path: str) -> str | None:
    if path == "-":
        return ".jsonl"
    return next((suffix for suffix in SUFFIXES if path.lower().endswith(suffix)), None)

"""Windows of a list as Arrow record batches, for engines such as Spark and Daft (extra `parquet` has pyarrow).

    for batch in arrow_batches(windows):
        ...

A window from `plan_windows` owns its tickets: no other window of the plan has them. So an engine may read the windows
in any process, in any order, and again after a crash: together they have each ticket once. Windows that follow each
other are read as one, which is quicker. The columns are those of exports, with Arrow types that Spark reads.
"""

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal

from attrs import field, frozen

from workorder_async.arguments import as_validator, flag, is_plain, items, must_be, one_of, whole
from workorder_async.client import WorkorderClient, with_coroutines
from workorder_async.document.fields import Column
from workorder_async.errors import ConfigError, WalkDriftError
from workorder_async.exports.columns import DETAIL_COLUMNS, TICKET_COLUMNS, Columns
from workorder_async.exports.parquet import batch_of, schema_of
from workorder_async.exports.reading import DETAILS_AT_ONCE, Details
from workorder_async.exports.report import Part, doubts_of_details
from workorder_async.exports.sink import Record
from workorder_async.loop_thread import LoopThread
from workorder_async.walk_report import WalkReport
from workorder_async.walks.options import WalkOptions, a_page_size
from workorder_async.walks.windows import Window

if TYPE_CHECKING:
    import pyarrow as pa


def _names(columns: Sequence[str]) -> Sequence[str]:
    return items("columns", columns, str)


@frozen(kw_only=True)
class ArrowOptions:
    """How windows are read, and which columns of them; picklable."""

    detail: bool = field(default=False, validator=as_validator(flag))
    """Whether the full record of each ticket is read, one request each."""
    columns: Sequence[str] = field(default=(), converter=_names)
    """Names of columns to keep, in this order; empty for all of them."""
    exact: bool = field(default=True, validator=as_validator(flag))
    """Whether a walk that is not exact raises `WalkDriftError`."""
    page_size: int = field(default=100, validator=as_validator(a_page_size))
    """Tickets to ask for per request."""
    concurrency: int = field(default=8, validator=as_validator(whole))
    """Requests in flight at once, at the most."""
    on_bad_row: Literal["raise", "skip"] = field(default="raise", validator=as_validator(one_of, ("raise", "skip")))
    """What to do about a ticket that cannot be read: raise a `DecodeError`, or skip it, which is not exact."""
    batch_rows: int = field(default=1000, validator=as_validator(whole))
    """Rows of a batch, at the most."""

    def __attrs_post_init__(self) -> None:
        unknown = [name for name in self.columns if name not in self.table.names]
        if unknown:
            raise ConfigError(f"there is no column {unknown[0]!r}", mend=f"there are {', '.join(self.table.names)}")
        if len(set(self.columns)) < len(self.columns):
            raise ConfigError(f"are {', '.join(self.columns)}", argument="columns", mend="name each of them once")

    @property
    def table(self) -> Columns:
        """The columns of the list, or of full records."""
        return DETAIL_COLUMNS if self.detail else TICKET_COLUMNS

    @property
    def kept(self) -> tuple[Column, ...]:
        """The columns of a batch."""
        found = {column.name: column for column in self.table.columns}
        return tuple(found[name] for name in self.columns or found)

    @property
    def walk(self) -> WalkOptions:
        """How the list is walked."""
        size = min(self.page_size, DETAILS_AT_ONCE) if self.detail else self.page_size
        return WalkOptions(page_size=size, concurrency=self.concurrency, on_bad_row=self.on_bad_row)


_DEFAULTS: Final = ArrowOptions()
#: Checks an argument that must be `ArrowOptions`.
arrow_options: Final = must_be("an ArrowOptions", lambda value: isinstance(value, ArrowOptions))


def arrow_schema(options: ArrowOptions = _DEFAULTS) -> "pa.Schema":
    """Return the schema of the batches: the columns of exports, times as `timestamp[us, UTC]`.

    Raises `ConfigError` where pyarrow is missing.
    """
    return schema_of(arrow_options("options", options).kept, "us")


def arrow_batches(
    windows: Window | Sequence[Window],
    connect: Callable[[], WorkorderClient] = WorkorderClient.from_env,
    options: ArrowOptions = _DEFAULTS,
) -> "Generator[pa.RecordBatch, None, None]":
    """Yield the tickets of a window, or of several, as record batches; for callers without an event loop, and with one.

    * `connect` makes the client, which is closed at the end. The default reads the process's environment;
      `partial(WorkorderClient.from_env, rate=15)` can be pickled, too.
    * Windows that follow each other edge to edge are walked as one; others one after the other.
    * The requests run in a thread of their own, so they go on while a batch is used. Close the iterator to end them.

    Raises the errors of a walk, and, unless `options.exact` is False, `WalkDriftError` at the end of a walk that is not
    exact: throw away all batches that came before it. A cell that Arrow cannot hold is treated as in a Parquet export.
    Raises `ConfigError` for arguments that cannot work, before the first batch is asked for.
    """
    listed = [windows] if isinstance(windows, Window) else items("windows", windows, Window)
    must_be("a function, no `async def`, that makes a client", is_plain)("connect", connect)
    schema = arrow_schema(options)
    return _turned(_batches(listed, connect, options, schema)) if listed else (batch for batch in list[Any]())


def _turned(batches: AsyncGenerator[Any, None]) -> Generator[Any, None, None]:
    """Turn an asynchronous generator into a plain one, which runs it in a thread with a loop of its own."""

    async def end() -> None:
        with suppress(RuntimeError):  # another thread waits for a batch just now: the end of the loop cancels that
            await batches.aclose()

    with LoopThread(at_end=end) as loop:
        while (batch := loop.run(_next_of(batches))) is not None:
            yield batch


async def _next_of(batches: AsyncGenerator[Any, None]) -> Any:
    return await anext(batches, None)


async def _batches(
    windows: Sequence[Window], connect: Callable[[], WorkorderClient], options: ArrowOptions, schema: Any
) -> AsyncGenerator[Any, None]:
    """Yield the batches of all windows; raise at the end of a window that is not exact."""
    rows, part = list[Record](), Part(query=0)
    with_coroutines("what connect returned", client := connect())
    async with client:
        details = Details(client, None, options.walk) if options.detail else None
        for window in _merged(windows):
            async with client.walk(window, **options.walk) as walk:
                async for tickets in walk:
                    rows += await details.read([one.id for one in tickets], part) if details else tickets
                    while len(rows) >= options.batch_rows:
                        yield batch_of(rows[: options.batch_rows], options.kept, schema)[0]
                        del rows[: options.batch_rows]
            if options.exact:
                _check(walk.report, window, part)
    if rows:
        yield batch_of(rows, options.kept, schema)[0]


def _merged(windows: Sequence[Window]) -> list[Window]:
    """Join windows that follow each other: one long walk is faster than several short ones."""
    merged: list[Window] = []
    for window in windows:
        if merged and window.query == merged[-1].query and window.start == merged[-1].end is not None:
            before = merged.pop()
            window = Window(window.query, before.start, window.end, before.total + window.total)  # noqa: PLW2901
        merged.append(window)
    return merged


def _check(report: WalkReport, window: Window, part: Part) -> None:
    """Raise `WalkDriftError` if a walk was not exact, or if full records are missing."""
    reason = "; ".join(doubts_of_details([part])) if report.exact else report.reason
    if part.skipped_rows:
        reason = reason or f"{part.skipped_rows} full records could not be read, and were skipped"
    if reason:
        start, end = window.span
        problem = f"the window of created time from {start} to {end} is not exact: {reason}"
        mend = "read it again, or take it as it is with exact=False"
        raise WalkDriftError(f"{problem}; {mend}", report=report, operation="list_tickets")

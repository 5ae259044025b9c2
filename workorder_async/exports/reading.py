"""Reads the queries of an export, each in one walk, and has what came on disk while the walk goes on.

A page of a walk says what is left of the list once it was taken. There the rows so far can become a part: who goes on
from that part walks what was left. A page that cannot say it, as in a crowd, makes the part longer.
"""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final

from attrs import evolve

from workorder_async.client import WorkorderClient
from workorder_async.document import TicketQuery
from workorder_async.exports.attachments import AttachmentFolder
from workorder_async.exports.details import Details
from workorder_async.exports.disk import Disk
from workorder_async.exports.growing import GrowingPart
from workorder_async.exports.options import ExportSettings
from workorder_async.exports.parts import Parts
from workorder_async.exports.report import ExportProgress, Part, Phase
from workorder_async.exports.sink import Record
from workorder_async.walks.ends import DATED
from workorder_async.walks.jobs import WalkedPage
from workorder_async.walks.options import WalkOptions
from workorder_async.walks.walk import Walk
from workorder_async.walks.windows import Window

# So many full records are read between two writes.
_DETAILS_AT_ONCE: Final = 100


class UnfoundedError(Exception):
    """What an earlier call wrote rests on an order that the list proved not to have: all is to be read anew."""


class Progress:
    """Counts rows, and tells the user's function."""

    def __init__(self, parts: Parts, on_progress: Callable[[ExportProgress], None] | None, began: float) -> None:
        self._on_progress = on_progress
        self._began = began
        self.rows: int = sum(part.rows for part in parts.done)
        self.resumed_rows: int = self.rows
        self.total: int = self.rows

    def tell(self, phase: Phase, rows: int) -> None:
        """Tell how far it is."""
        if self._on_progress is not None:
            self._on_progress(
                ExportProgress(
                    phase=phase,
                    rows=rows,
                    total=max(self.total, rows),
                    resumed_rows=self.resumed_rows,
                    seconds=perf_counter() - self._began,
                )
            )


def left_of(queries: Sequence[TicketQuery], done: Sequence[Part]) -> list[tuple[int, Window]]:
    """Return what is left of queries behind the parts that are done, with the places of the queries."""
    whole = [(number, Window(query)) for number, query in enumerate(queries)]
    if not done:
        return whole
    last = done[-1]
    behind = whole[last.query + 1 :]
    return behind if last.rest is None else [(last.query, Window(queries[last.query], *last.rest)), *behind]


class Reading:
    """Reads what is left of some queries."""

    def __init__(
        self,
        client: WorkorderClient,
        settings: ExportSettings,
        disk: Disk,
        *,
        queries: Sequence[TicketQuery],
        parts: Parts,
        progress: Progress,
        folder: AttachmentFolder | None,
    ) -> None:
        self._client = client
        self._settings = settings
        self._queries = queries
        self._parts = parts
        self._disk = disk
        self._progress = progress
        # The tickets that may come again, where several queries may match one, or a ticket has no created time.
        self._seen = {id for part in parts.done for id in part.ids}
        self._number = len(parts.done)
        self._details: Details | None = None
        if settings.is_detailed:
            skips = settings.on_bad_row == "skip"
            self._details = Details(client, folder, concurrency=settings.concurrency, skips_bad_rows=skips)

    async def read(self) -> None:
        """Read all that is left; it is durable then. Raises `UnfoundedError`."""
        done = [*self._parts.done]
        for query, window in left_of(self._queries, done):
            await self._read(query, window, [part for part in done if part.query == query])
        await self._disk.settle()
        self._progress.tell("reading", self._progress.rows)

    async def _read(self, query: int, window: Window, earlier: Sequence[Part]) -> None:
        """Read a query, of which earlier calls wrote these parts."""
        progress, rows_before, requests = self._progress, self._progress.rows, 0
        async with self._client.walk(window, **self._settings.walk) as walk:
            if self._settings.raw or self._settings.is_detailed:
                walk.raw()
            part = GrowingPart(query, walk, self._details, earlier[-1] if earlier else None)
            while (page := await _page_of(walk)) is not None:
                progress.total = rows_before + page.total
                if not part.is_resumed:
                    part.total = page.total
                await self._take(part, page)
                await self._check(walk, part)
                if page.rest is not None and not walk.is_restarted and part.is_due():
                    await self._end(part, page.rest)
            await self._check(walk, part)
        rows = sum(one.rows for one in earlier) + progress.rows - rows_before
        if part.is_resumed and rows < part.total:
            requests = await self._look_for_more(self._queries[query], part)
        await self._end(part, None, ended=True, requests=requests)

    async def _check(self, walk: Walk, part: GrowingPart) -> None:
        """Let nobody go on from a part of a list that proved not to be what it was taken for then."""
        if walk.is_restarted and part.is_founded:
            if part.is_resumed:
                raise UnfoundedError
            await self._end(part, None)

    async def _take(self, part: GrowingPart, page: WalkedPage) -> None:
        """Take in a page of the list."""
        rows, ids = page.rows, page.ids
        if self._seen:
            fresh = [place for place, id in enumerate(ids) if id not in self._seen]
            page.rows, page.ids = rows, ids = [rows[place] for place in fresh], [ids[place] for place in fresh]
        if len(self._queries) > 1:
            part.ids += ids
            self._seen.update(ids)
        elif page.is_undated:
            part.ids += ids
        if self._details is None:
            await self._write(part, rows)
        self._progress.tell("reading", self._progress.rows)
        if self._details is not None:
            for start in range(0, len(ids), _DETAILS_AT_ONCE):
                await self._write(part, await self._details.read(ids[start : start + _DETAILS_AT_ONCE], part.counts))
                self._progress.tell("details", self._progress.rows)

    async def _write(self, part: GrowingPart, rows: Sequence[Record]) -> None:
        part.rows += len(rows)
        self._progress.rows += len(rows)
        work = self._parts.add(rows)
        if work is not None:
            await self._disk.submit(work)

    async def _end(self, part: GrowingPart, rest: Window | None, *, ended: bool = False, requests: int = 0) -> None:
        """Begin to have a part on disk."""
        whole = part.end(self._number, rest, self._client.now(), ended=ended, requests=requests)
        self._number += 1
        await self._disk.submit(self._parts.end_part(whole))

    async def _look_for_more(self, query: TicketQuery, part: GrowingPart) -> int:
        """Find out whether the list counts tickets that no range of created time shows; return how many requests.

        A walk of the whole list does so by itself, and reads them; one of what is left cannot.
        """
        if query.created_start is not None or query.created_end is not None:
            return 0
        ranged = evolve(query, created_start=DATED[0], created_end=DATED[1])
        requests, totals = 0, list[int]()
        for one in (ranged, query, ranged):
            # Only the first page is wanted: none is read ahead.
            alone: WalkOptions = {**self._settings.walk, "concurrency": 1}
            async with self._client.walk(one, **alone) as walk:
                page = await _page_of(walk)
                totals.append(0 if page is None else page.total)
                requests += walk.report.requests
        shown = max(totals[0], totals[2])
        if totals[1] > shown:
            part.doubts.append(
                f"the list counts {totals[1]} tickets, and {shown} by their created times; an export that is not "
                "cut short looks for the others: begin anew with resume=False"
            )
        return requests


async def _page_of(walk: Walk) -> WalkedPage | None:
    """Return the next page; None at the end."""
    try:
        return await walk.next_page()
    except StopAsyncIteration:
        return None

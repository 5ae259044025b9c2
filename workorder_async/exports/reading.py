"""Reads windows in one walk, newest first, and has each of them durable while the next one is read."""

from collections.abc import Callable, Sequence
from time import perf_counter

from attrs import Factory, define

from workorder_async.client.client import WorkorderClient
from workorder_async.exports.attachments import AttachmentFolder
from workorder_async.exports.details import DetailCounts, Details
from workorder_async.exports.disk import Disk
from workorder_async.exports.options import ExportSettings
from workorder_async.exports.parts import Parts
from workorder_async.exports.report import ExportProgress, Part, Phase
from workorder_async.exports.sink import Record
from workorder_async.walk_report import SKIPPED_ROWS_NAMED, WalkReport
from workorder_async.walks.handing_out import WalkedPage
from workorder_async.walks.walk import Walk
from workorder_async.walks.windows import Window

# So many full records are read between two writes.
_DETAILS_AT_ONCE = 100


class Progress:
    """Counts rows, and tells the user's function."""

    def __init__(
        self,
        windows: Sequence[Window],
        parts: Parts,
        on_progress: Callable[[ExportProgress], None] | None,
        began: float,
    ) -> None:
        self._parts = parts
        self._on_progress = on_progress
        self._began = began
        self._windows = len(windows)
        self._total = sum(window.total for window in windows)
        self.resumed_windows: int = len(parts.done)
        self.rows: int = sum(part.rows for part in parts.done)
        self._resumed_rows = self.rows

    def tell(self, phase: Phase, rows: int) -> None:
        """Tell how far it is."""
        if self._on_progress is None:
            return
        self._on_progress(
            ExportProgress(
                phase=phase,
                rows=rows,
                total=self._total,
                windows_done=len(self._parts.done),
                windows=self._windows,
                resumed_windows=self.resumed_windows,
                resumed_rows=self._resumed_rows,
                seconds=perf_counter() - self._began,
            )
        )


@define
class _Window:
    """The window that is being read."""

    number: int
    rows: int = 0
    ids: list[int] = Factory(list)
    counts: DetailCounts = Factory(DetailCounts)


class Reading:
    """Reads windows; `seen` are the ids of earlier rows where several queries may match one ticket."""

    def __init__(
        self,
        client: WorkorderClient,
        settings: ExportSettings,
        disk: Disk,
        *,
        parts: Parts,
        progress: Progress,
        folder: AttachmentFolder | None,
        seen: set[int] | None,
    ) -> None:
        self._client = client
        self._settings = settings
        self._parts = parts
        self._disk = disk
        self._progress = progress
        self._seen = seen
        self._details: Details | None = None
        if settings.is_detailed:
            skips = settings.on_bad_row == "skip"
            self._details = Details(client, folder, concurrency=settings.concurrency, skips_bad_rows=skips)

    async def read(self, windows: list[Window], first: int) -> None:
        """Read these windows, of which the first one has this number; all of them are durable then."""
        if not windows:
            return
        window = _Window(first)
        async with self._client.walk(windows, **self._settings.walk) as walk:
            while True:
                try:
                    page = await walk.next_page()
                except StopAsyncIteration:
                    break
                if page.ends_window:
                    await self._end(window, walk.report_of(page))
                    window = _Window(window.number + 1)
                else:
                    await self._take(window, walk, page)
        await self._disk.settle()
        self._progress.tell("reading", self._progress.rows)

    async def _take(self, window: _Window, walk: Walk, page: WalkedPage) -> None:
        """Take in a page of the list."""
        if self._seen is not None:
            fresh = [(row, id) for row, id in zip(page.rows, page.ids, strict=True) if id not in self._seen]
            page.rows, page.ids = [row for row, _ in fresh], [id for _, id in fresh]
            self._seen.update(page.ids)
        if self._seen is not None or self._details is not None:
            window.ids += page.ids
        if self._details is None:
            await self._write(window, page.rows if self._settings.raw else walk.decode(page))
        self._progress.tell("reading", self._progress.rows)

    async def _write(self, window: _Window, rows: Sequence[Record]) -> None:
        window.rows += len(rows)
        self._progress.rows += len(rows)
        work = self._parts.add(rows)
        if work is not None:
            await self._disk.submit(work)

    async def _end(self, window: _Window, report: WalkReport) -> None:
        """Read the full records of a window, where they are wanted, and begin to make it durable."""
        before = 0 if self._details is None else self._details.requests
        if self._details is not None:
            for start in range(0, len(window.ids), _DETAILS_AT_ONCE):
                ids = window.ids[start : start + _DETAILS_AT_ONCE]
                await self._write(window, await self._details.read(ids, window.counts))
                self._progress.tell("details", self._progress.rows)
        counts, details = window.counts, 0 if self._details is None else self._details.requests - before
        skipped, gone = report.skipped_rows + counts.skipped_rows, counts.gone_tickets
        reason = report.reason
        if report.exact and gone:
            reason = f"{gone} tickets were gone when their full records were asked for"
        elif report.exact and skipped:
            reason = f"{skipped} rows could not be read, and were skipped"
        part = Part(
            window=window.number,
            rows=window.rows,
            exact=report.exact and not gone and not skipped,
            reason=reason,
            requests=report.requests + details,
            drifts=report.drifts,
            read_at=int(self._client.now()),
            skipped=(*report.skipped, *counts.skipped)[:SKIPPED_ROWS_NAMED],
            skipped_rows=skipped,
            gone=tuple(counts.gone),
            gone_tickets=gone,
            attachments=counts.attachments,
            ids=() if self._seen is None else tuple(window.ids),
        )
        await self._disk.submit(self._parts.end_window(part))

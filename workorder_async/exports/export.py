"""An export, from its arguments to a file that has its name, in four steps.

    opened      the manifest is locked and read; a new one gets a head
    read        one walk for each query, or for the rest of it; part after part is made durable
    converted   if the format cannot be cut after a part, the rows become a file of that format
    named       the file gets its name; nothing else is left beside it

If a call is cut short at any moment, the same call goes on from there.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from datetime import datetime
from functools import partial
from os import PathLike
from pathlib import Path
from time import perf_counter
from typing import TypeAlias, Unpack

from attrs import define, field

from workorder_async.arguments import kind_of
from workorder_async.client import WorkorderClient, with_coroutines
from workorder_async.document import TicketQuery
from workorder_async.document.codec import encode
from workorder_async.document.fields import CHINA_STANDARD_TIME
from workorder_async.durable import rename_whole
from workorder_async.errors import ConfigError, ExportError
from workorder_async.exports.attachments import AttachmentFolder
from workorder_async.exports.columns import DETAIL_COLUMNS, TICKET_COLUMNS, Columns
from workorder_async.exports.formats import Target, target_of
from workorder_async.exports.parts import VERSION, Disk, GrowingFile, Head, Lines, Manifest, Renamed, Stream
from workorder_async.exports.reading import Reading, UnfoundedError
from workorder_async.exports.report import (
    NO_ATTACHMENTS,
    ExportOptions,
    ExportReport,
    InexactExportError,
    Part,
    checked_options,
    doubts_of_details,
    first_refusal,
)
from workorder_async.exports.sink import UNCHANGED, Sink, TextChanges
from workorder_async.walk_report import SKIPPED_ROWS_NAMED
from workorder_async.walks.queries import doubts_of

WhatToExport: TypeAlias = TicketQuery | Sequence[TicketQuery]
"""One query, or several that are read one after the other; a ticket that matches several of them comes once."""


def _queries_of(query: WhatToExport) -> tuple[TicketQuery, ...]:
    queries = (query,) if isinstance(query, TicketQuery) else query
    if isinstance(queries, list | tuple) and queries and all(isinstance(one, TicketQuery) for one in queries):
        return tuple(queries)
    raise ConfigError(f"must be a TicketQuery, or a list of them, not {kind_of(query)}", argument="query")


async def export_tickets(
    client: WorkorderClient, query: WhatToExport, target: "str | PathLike[str]", **options: Unpack[ExportOptions]
) -> ExportReport:
    """Write all tickets that match to a file, each once, and say whether the result is exact.

    `query` is one query or several, one after the other. `target` names the file; its suffix says the format: .jsonl
    and .csv, both also with .gz or .zst, .parquet, .sqlite or .db, .xlsx. `-` is stdout. `options` are those of
    `ExportOptions`.

    **Going on.** The file has its name only once it is complete. Until then rows are in TARGET.part, and
    TARGET.manifest remembers down to which second of created time all rows are on disk there: that is written every
    second or 2,000 rows, with full records after each page. However a call ends, by Ctrl-C, a full disk or `kill -9`:
    the same call again reads the rest, and ends in the file, row for row, that an undisturbed call would have made. If
    the list comes newest first, the second call asks for older tickets only, so tickets that were created
    meanwhile stay out; if it comes oldest first, they are at its end. A call that differs from the first one (query,
    host, AppId, format, options that change the file) is refused if rows are on disk, and so is a file that another
    process is writing.

    The same call begins anew, and `ExportProgress.resumed_rows` is 0, if the list cannot be asked by created time, if
    it proved to have another order than assumed, and if the rows go to stdout, a pipe or a device.

    **Exact.** As for `client.walk`: `report.exact` is true only if the walks of all calls are exact, and no ticket can
    have passed from one of several queries to another, unseen by both. The list is as of `report.read_from`. A call
    that goes on cannot see tickets without a created time: it asks for totals, and says so if there are such tickets.
    With `detail=True` a ticket that is gone (`NotFoundError`), or refused twice, when its full record is asked for is
    left out, told in `report.gone` or `report.refused`, and the result is not exact. With `strict=True` an inexact
    result is an `InexactExportError` with the report. Its rows stay in TARGET.part: the same call raises again, without
    a request; with `strict=False` it takes them as they are, with `resume=False` it begins anew.

    Raises `ConfigError` before the first request for an argument that cannot work, `ExportError` if the disk does not
    do its part, and the errors that every request may raise. Memory does not grow with the number of tickets, except
    for their ids if several queries are given.
    """
    with_coroutines("client", client)
    checked = checked_options(options)
    queries = _queries_of(query)
    async with Disk() as disk:
        place = await disk.run(partial(target_of, target, checked["format"]))
        export = _Export(client, queries, place, checked, disk)
        return await (export.to_stream() if place.is_stream else export.to_file())


@define(eq=False)
class _Export:
    _client: WorkorderClient
    _queries: tuple[TicketQuery, ...]
    _target: Target
    _options: ExportOptions
    _disk: Disk
    _began: float = field(factory=perf_counter, init=False)
    _resumed: int = field(default=0, init=False)
    _columns: Columns = field(init=False)
    _new_sink: Callable[[], Sink] = field(init=False)
    _head: Head = field(init=False)
    _manifest: Manifest = field(init=False)
    _parts: Lines = field(init=False)

    def __attrs_post_init__(self) -> None:
        options, folder = self._options, self._options["attachments"]
        self._columns = DETAIL_COLUMNS if options["detail"] else TICKET_COLUMNS
        self._new_sink = partial(
            self._target.format.sink,
            self._columns,
            raw=options["raw"],
            bom=options["csv_bom"],
            defuse=options["csv_defuse"],
            escaped=self._target.is_stream,
        )
        self._new_sink()  # refuses options that the format cannot have
        target = self._target
        taken = [target.path, target.manifest, *target.leftovers()]
        if folder is not None and Path(folder).absolute() in map(Path.absolute, taken):
            problem = f"is {str(folder)!r}, where the export writes"
            raise ConfigError(problem, argument="attachments", mend="name a folder beside it")
        self._head = {
            "manifest": "workorder_async",
            "version": VERSION,
            "platform": self._client.base_url,
            "app_id": self._client.app_id,
            "queries": list(map(encode, self._queries)),
            "format": self._target.format.name,
            "columns": [] if options["raw"] else [*self._columns.names],
            "raw": options["raw"],
            "detail": options["detail"],
            "attachments": None if folder is None else str(Path(folder).absolute()),
            "csv_bom": options["csv_bom"],
            "csv_defuse": options["csv_defuse"],
        }

    async def to_stream(self) -> ExportReport:
        """Write the rows as they come; no later call can go on from them."""
        await self._disk.run(self._open_stream)
        await self._read()
        done = self._parts.done
        return self._checked(self._report(done, done[-1].end))

    async def to_file(self) -> ExportReport:
        """Read all that is left, and give the file its name."""
        disk = self._disk
        await disk.run(self._open_manifest)
        manifest = self._manifest
        if (named := manifest.named) is not None:
            # An earlier call was killed after the file got its name: only the files beside it are left to be removed.
            self._resumed = sum(part.rows for part in manifest.parts)
            self._checked(self._report(manifest.parts, named.named[1], named.changes), self._target.path)
            return await disk.run(partial(self._end, named))
        reading = await self._read()
        self._resumed = reading.resumed_rows
        self._checked(self._report(manifest.parts, 0), self._target.part)
        await disk.run(self._parts.close)
        made, changes = self._target.part, UNCHANGED
        if self._target.format.is_staged:
            made, changes = self._target.converted, await self._convert(reading)
        return await disk.run(partial(self._name, made, changes))

    async def _read(self) -> Reading:
        """Read all that is left; for a file, open its part first."""
        client, options, disk, folder = self._client, self._options, self._disk, self._options["attachments"]
        fetching = partial(AttachmentFolder, client=client, private_addresses=options["private_addresses"])
        async with nullcontext() if folder is None else fetching(folder) as attachments:
            if not self._target.is_stream:
                await disk.run(self._open_parts)
            while True:
                reading = Reading(client, self._queries, options, attachments, self._parts, self._began)
                try:
                    await reading.read()
                except UnfoundedError:
                    await disk.run(self._parts.close)
                    await disk.run(partial(self._manifest.keep, 0))
                    await disk.run(self._open_parts)
                else:
                    return reading

    # In the disk's thread

    def _open_stream(self) -> None:
        path = self._target.path
        try:
            output = self._disk.opened.enter_context(closing(Stream(path, self._disk.check)))
        except OSError as error:
            raise ConfigError(f"cannot write to {str(path)!r}: {error.strerror or error}") from None
        done: list[Part] = []
        self._parts = Lines(output, self._new_sink, done, done.append, self._disk)

    def _open_manifest(self) -> None:
        """Open the manifest; refuse one of another export; without `resume` clear it."""
        target, options = self._target, self._options
        manifest = self._manifest = Manifest(target.manifest, resume=options["resume"])
        self._disk.opened.callback(manifest.close)
        differences = manifest.differences(self._head)
        if differences and manifest.parts:
            raise ExportError(
                f"{str(target.manifest)!r} is of another export: {differences}",
                mend="say the same again, with the same times, to go on with it, or begin anew with resume=False",
            )
        if manifest.named is not None and not manifest.named.is_at(target.path):
            manifest.named = None  # the file did not get its name
        if not options["overwrite"] and manifest.named is None:
            target.refuse_existing()
        target.refuse_kept()
        if differences or not options["resume"]:
            self._clear()  # another export's manifest comes here only without a part: no row is lost
            return
        beside = next(filter(os.path.lexists, target.leftovers()), None)
        if manifest.head is None and beside is not None:
            raise ExportError(
                f"{str(beside)!r} is there without a manifest",
                mend="move it away, or begin anew with resume=False",
            )

    def _open_parts(self) -> None:
        """Open the file that the rows go to, behind the parts in it that are intact."""
        self._disk.opened.callback(self._clear_if_nothing)
        if self._manifest.head is None:
            self._manifest.add(self._head)
        file = GrowingFile(self._target.part, self._manifest, self._disk.check)
        self._disk.opened.callback(file.close)
        self._parts = Lines(file, self._new_sink, self._manifest.parts, self._manifest.add, self._disk)

    def _clear_if_nothing(self) -> None:
        """Leave nothing beside the target if no call can go on from it."""
        if not self._manifest.parts:
            self._clear()

    def _clear(self) -> None:
        self._manifest.check_place()
        self._target.remove_leftovers()
        self._manifest.clear()

    def _name(self, made: Path, changes: TextChanges) -> ExportReport:
        """Give a finished file its name, and remove the others; `changes` are those of its conversion."""
        target, found = self._target, made.stat()
        named = Renamed(named=(found.st_ino, found.st_size), changes=changes)
        if not self._options["overwrite"]:
            target.refuse_existing(is_late=True)
        self._manifest.add(named)
        for beside in target.format.names(target.path)[1:]:
            beside.unlink(missing_ok=True)
        rename_whole(made, target.path)
        return self._end(named)

    def _end(self, named: Renamed) -> ExportReport:
        self._target.remove_leftovers()
        self._manifest.remove()
        return self._report(self._manifest.parts, named.named[1], named.changes)

    # The result

    async def _convert(self, reading: Reading) -> TextChanges:
        """Convert the staged rows to the file that is to get its name."""
        rows = 0

        def told(count: int) -> None:
            nonlocal rows
            self._disk.check()
            rows = count

        target = self._target
        convert = partial(target.format.convert, target.part, target.converted, told, self._columns)
        return await self._disk.run(convert, lambda: reading.tell("converting", rows))

    def _report(self, parts: Sequence[Part], size: int, changes: TextChanges = UNCHANGED) -> ExportReport:
        """Add up the parts; `changes` are those of a conversion."""
        last = {part.query: part for part in parts}.values()
        named = [row for part in parts for row in part.skipped]
        # Two queries, or two calls, may have skipped the same ticket: it counts once, if it has an id.
        rows = {(row.id, place if row.id is None else 0): row for place, row in enumerate(named)}
        skipped = sum(part.skipped_rows for part in parts) - len(named) + len(rows)
        doubts = [*doubts_of(self._queries), *dict.fromkeys(part.reason for part in last if not part.exact)]
        doubts += doubts_of_details(parts)
        if skipped:
            doubts.append(f"{skipped} rows could not be read, and were skipped")
        proofs = [part.reason for part in last]
        proof = proofs[0] if len(proofs) == 1 else f"each of {len(proofs)} walks is exact"
        if self._resumed:
            proof += f"; the list as of {datetime.fromtimestamp(parts[0].read_from, CHINA_STANDARD_TIME)}"
        return ExportReport(
            target=self._target.path,
            rows=sum(part.rows for part in parts),
            bytes=size,
            requests=sum(part.requests for part in parts),
            seconds=perf_counter() - self._began,
            resumed_rows=self._resumed,
            changes=sum((part.changes for part in parts), changes),
            skipped=tuple(rows.values())[:SKIPPED_ROWS_NAMED],
            skipped_rows=skipped,
            gone=tuple(id for part in parts for id in part.gone)[:SKIPPED_ROWS_NAMED],
            gone_tickets=sum(part.gone_tickets for part in parts),
            refused=tuple(id for part in parts for id in part.refused)[:SKIPPED_ROWS_NAMED],
            refused_tickets=sum(part.refused_tickets for part in parts),
            refusal=first_refusal(parts),
            attachments=sum((part.attachments for part in parts), NO_ATTACHMENTS),
            read_from=parts[0].read_from,
            read_until=parts[-1].read_at,
            exact=not doubts,
            reason="; ".join(doubts) or proof,
        )

    def _checked(self, report: ExportReport, place: Path | None = None) -> ExportReport:
        """Return the report. With `strict` raises `ExportError` if it is not exact; `place` is where the rows stay."""
        if not self._options["strict"] or report.exact:
            return report
        problem = f"the export is not exact: {report.reason}"
        if place is None:
            raise InexactExportError(f"{problem}; its rows are written, and not to be relied on", report=report)
        problem += f"; the rows stay in {str(place)!r}"
        mend = "the same without strict=True takes them as they are, resume=False begins anew"
        raise InexactExportError(problem, mend=mend, report=report)

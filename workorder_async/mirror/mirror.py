"""`mirror_tickets`: a SQLite database that keeps up with the platform."""

from os import PathLike
from pathlib import Path
from typing import Final, Unpack

from workorder_async.arguments import kind_of, path, with_defaults
from workorder_async.client import WorkorderClient
from workorder_async.document import TicketQuery
from workorder_async.errors import ConfigError
from workorder_async.exports.manifest import said_of
from workorder_async.mirror.options import MirrorOptions
from workorder_async.mirror.report import MirrorReport
from workorder_async.mirror.run import Disk, Run
from workorder_async.walks.options import refuse_unknown

_EVERYTHING: Final = TicketQuery()


async def mirror_tickets(
    client: WorkorderClient,
    database: "str | PathLike[str]",
    query: TicketQuery = _EVERYTHING,
    **options: Unpack[MirrorOptions],
) -> MirrorReport:
    """Bring a SQLite database up to date with the tickets that match, and say what changed.

    `database` is made by the first run, which reads everything. Later runs read the open tickets, the new ones, and
    those that are open no more. `query` has no status, for a mirror follows tickets from one status to the next.
    `options` are those of `MirrorOptions`. `workorder_async.mirror.database` tells the tables.

    **What the database holds after a run.** Every ticket that was created before the run began, less the lag, is there.
    Open tickets are as the list showed them. Each ticket that was known to be open, and has left the lists of open
    tickets, was read. What the audit found missing is named. Of a ticket whose row cannot be read, what was there
    stays; where nothing was, the report is not exact, and names it.

    **What it does not see** until a ticket is read again: an edit of a closed ticket; a close, a reopening and a close
    between two runs; a deletion and a late creation in the same range of created time, which cancel each other out;
    with `detail`, a new comment or file on an open ticket, which leaves no trace in the list: `recheck` reads full
    records again, the oldest first, and `full` reads every ticket.

    **Absent is not gone.** A lost right, a filter or a replica that is behind look like a deletion. A ticket that is
    absent from an answer that should show it has `missing_since`. The next run asks for it: if the platform does not
    know it any more, it has `gone_at`; if it exists, it has `left_at`: it does not match the query any more, or is not
    listed. A row stays, and if the list shows it again, all that is taken back. That a ticket without a created time is
    absent, or open no more, only `full` can tell. If more than 20 tickets, and more than one in a hundred, are absent
    at once, none is marked, and the report says so; `accept_gone=True` marks them. Only a `NotFoundError` says that a
    ticket is gone: the client has to know the platform's errno for it (`errnos=`).

    **Going on.** The rows of a page, what differs and how far it is are one transaction. If a run is cut short at any
    moment, the next one goes on from there, or reads everything anew where tickets have no created time, which no rest
    of the list shows. Each row tells by `read_at` as of when it is. Durations, and the URLs of attachments, which are
    others with each read, are no changes.

    Raises `ConfigError` before the first request for an argument that cannot work; `ExportError` if the disk does not
    do its part, and for a database that another program writes (it is named), or that is of another platform, AppId or
    query; and the errors that every request may raise.
    """
    async with opened(client, database, query) as disk:
        return await Run(client, query, disk, checked(options)).run()


def checked(given: MirrorOptions) -> MirrorOptions:
    """Return all options, checked; `detail` is set if something needs it."""
    refuse_unknown(given, MirrorOptions.__annotations__, "a mirror")
    options = with_defaults(MirrorOptions, given)
    options["detail"] = options["detail"] or options["attachments"] is not None or options["recheck"] > 0
    return options


def opened(client: WorkorderClient, database: object, query: object) -> Disk:
    """Return the database of a query, for `async with`. Raises `ConfigError` for a query that it cannot be of."""
    if not isinstance(query, TicketQuery):
        raise ConfigError(f"must be a TicketQuery, not {kind_of(query)}", argument="query")
    if query.status is not None:
        mend = "leave it out: a mirror follows tickets from one status to the next; select in the database"
        raise ConfigError(f"asks for status {query.status}", argument="query", mend=mend)
    identity = {"platform": client.base_url, "app_id": client.app_id, "query": said_of(query)}
    return Disk(Path(path("database", database)), identity)

"""`workorder changes`: what the runs of a mirror saw happen."""

from pathlib import Path
from typing import Annotated, Final

from attrs import asdict
from cyclopts import Parameter

from workorder_async.cli.failures import OK
from workorder_async.cli.terminal import moment, note, print_table, write_json
from workorder_async.cli.times import TIME_HELP, Time
from workorder_async.cli.values import AS_WRITTEN, ExistingFile

_YESTERDAY: Final = Time("yesterday", "--since")
_NAMES: Final = ("seen", "ticket", "what", "field", "old", "new", "title")


def changes(
    database: Annotated[ExistingFile, Parameter(name="DB", help="The database that `workorder mirror` wrote.")],
    /,
    *,
    since: Annotated[
        Time, AS_WRITTEN, Parameter(help=f"Seen at or after the beginning of it: {TIME_HELP}.")
    ] = _YESTERDAY,
    until: Annotated[Time | None, AS_WRITTEN, Parameter(help="Seen until the end of it, written likewise.")] = None,
    json: Annotated[bool, Parameter(help="Print one JSON object per change.")] = False,
) -> int:
    """Print what the runs of a mirror saw happen: new tickets, changed fields, missing and gone ones.

    A change happened between the run that saw it and the run before.
    """
    from workorder_async.mirror.asking import changes_since

    found = changes_since(Path(database), since.first(), None if until is None else until.last())
    if json:
        write_json(asdict(one) for one in found)
        return OK
    rows = (
        (_minute(one.seen_at), str(one.ticket), one.kind, one.field, str(one.old), str(one.new), one.title)
        for one in found
    )
    print_table(_NAMES, rows, whole=4)
    tickets = len({one.ticket for one in found})
    note(f"{len(found):,} changes of {tickets:,} tickets since {_minute(since.first())}")
    return OK


def _minute(seconds: int) -> str:
    return moment(seconds)[:16]

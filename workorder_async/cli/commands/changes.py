"""`workorder changes`: what the runs of a mirror saw happen."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

from attrs import asdict
from cyclopts import Parameter
from rich.table import Column, Table
from rich.text import Text

from workorder_async.cli.failures import OK
from workorder_async.cli.terminal import moment, note, one_line, out, write_json, write_rows
from workorder_async.cli.times import TIME_HELP, Time
from workorder_async.cli.values import AS_WRITTEN, ExistingFile
from workorder_async.document import CHINA_STANDARD_TIME

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
    rows = [
        (_at(one.seen_at), str(one.ticket), one.kind, one.field, one_line(one.old), one_line(one.new), one.title)
        for one in found
    ]
    console = out()
    if not console.is_terminal:
        write_rows([_NAMES, *rows])
    elif rows:
        columns = [Column(name, no_wrap=name in _NAMES[:4], overflow="fold") for name in _NAMES]
        table = Table(*columns, box=None, padding=(0, 1, 0, 0))
        for row in rows:
            table.add_row(*(Text(one_line(cell)) for cell in row))
        console.print(table)
    tickets = len({one.ticket for one in found})
    note(f"{len(found):,} changes of {tickets:,} tickets since {_at(since.first())}")
    return OK


def _at(seconds: int) -> str:
    return moment(datetime.fromtimestamp(seconds, CHINA_STANDARD_TIME))[:16]

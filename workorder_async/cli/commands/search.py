"""`workorder search`: tickets of a mirror by their words, which the platform cannot look for."""

from pathlib import Path
from typing import Annotated, Final

from attrs import asdict
from cyclopts import Parameter

from workorder_async.cli.failures import FAILED, OK
from workorder_async.cli.terminal import moment, note, print_table, write_json
from workorder_async.cli.values import ExistingFile, Whole

_NAMES: Final = ("id", "status", "created", "title", "text")


def search(
    database: Annotated[ExistingFile, Parameter(name="DB", help="The database that `workorder mirror` wrote.")],
    text: Annotated[str, Parameter(name="TEXT", help="Words that a ticket's title or text must have, all of them.")],
    /,
    *,
    limit: Annotated[Whole, Parameter(help="Print so many at the most, the newest.")] = 50,
    json: Annotated[bool, Parameter(help="Print one JSON object per ticket.")] = False,
) -> int:
    """Print the tickets of a mirror that have these words in their title or text, the newest first.

    Exit code 1 if there are none.
    """
    from workorder_async.mirror.asking import search_tickets

    found = search_tickets(Path(database), text, limit)
    if json:
        write_json(asdict(one) for one in found)
        return OK if found else FAILED
    rows = ((str(one.id), one.status, moment(one.created_time)[:10], one.title, one.text) for one in found)
    print_table(_NAMES, rows, whole=3)
    note(f"{len(found):,} tickets{f'; --limit {2 * limit} shows more' if len(found) == limit else ''}")
    return OK if found else FAILED

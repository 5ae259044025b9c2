"""`workorder show`: everything about one ticket."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from workorder_async.cli.connection import BY_ENVIRONMENT, Connection, Flag
from workorder_async.cli.terminal.output import write_json
from workorder_async.cli.terminal.running import run
from workorder_async.cli.terminal.ticket import print_detail
from workorder_async.cli.values import Whole
from workorder_async.document.codec import encode

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient


def show(
    id: Annotated[Whole, Parameter(help="The ticket's number.")],
    /,
    *,
    json: Annotated[Flag, Parameter(help="Print one JSON object.")] = False,
    connection: Connection = BY_ENVIRONMENT,
) -> int:
    """Show everything about a ticket: fields, product lines, history and files."""
    return run(_show(connection.client(), id, as_json=json))


async def _show(client: "WorkorderClient", id: int, *, as_json: bool) -> int:
    async with client:
        detail = await client.get_ticket_detail(id)
    if as_json:
        write_json([encode(detail)])
    else:
        print_detail(detail)
    return 0

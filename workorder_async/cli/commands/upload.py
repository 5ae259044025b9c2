"""`workorder upload`: one file, for a ticket that is created or closed later."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from workorder_async.cli.attachments import upload_all
from workorder_async.cli.connection import BY_ENVIRONMENT, Connection, Flag
from workorder_async.cli.terminal.output import print_fields, write_json
from workorder_async.cli.terminal.running import run
from workorder_async.cli.terminal.ticket import attachment_fields
from workorder_async.cli.values import ExistingFile
from workorder_async.document.codec import encode

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient


def upload(
    file: Annotated[ExistingFile, Parameter(help="The file.")],
    /,
    *,
    json: Annotated[Flag, Parameter(help="Print one JSON object.")] = False,
    connection: Connection = BY_ENVIRONMENT,
) -> int:
    """Upload a file, and print what a ticket needs of it; `create` and `close` do so by themselves with --attach."""
    return run(_upload(connection.client(), file, as_json=json))


async def _upload(client: "WorkorderClient", file: Path, *, as_json: bool) -> int:
    async with client:
        [attachment] = await upload_all(client, [file])
    if as_json:
        write_json([encode(attachment)])
    else:
        print_fields(attachment_fields(attachment))
    return 0

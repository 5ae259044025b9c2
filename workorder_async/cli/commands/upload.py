"""`workorder upload`: one file, for a ticket that is created or closed later; and the files of these commands."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from attrs import evolve
from cyclopts import Parameter

from workorder_async.cli.commands.show import attachment_fields
from workorder_async.cli.connection import Connection
from workorder_async.cli.terminal import Bar, print_fields, write_json
from workorder_async.cli.values import ExistingFile, Whole
from workorder_async.document import Attachment
from workorder_async.document.codec import encode

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient

_ATTACH = Parameter(name="--attach", help="A file to upload first; may be repeated.")
Files: TypeAlias = Annotated[tuple[ExistingFile, ...], _ATTACH]
"""The files of a ticket that is created or closed."""

_AUTHOR = Parameter(name="--author", help="User id of who uploads; by default as the platform says.")
Author: TypeAlias = Annotated[Whole | None, _AUTHOR]
"""Who uploads them, where the platform's word is not wanted."""


def upload(
    file: Annotated[ExistingFile, Parameter(help="The file.")],
    /,
    *,
    json: Annotated[bool, Parameter(help="Print one JSON object.")] = False,
    connection: Connection = Connection(),
) -> int:
    """Upload a file, and print what a ticket needs of it; `create` and `close` do so by themselves with --attach."""
    [attachment] = connection.run(lambda client: upload_all(client, [file]))
    if json:
        write_json([encode(attachment)])
    else:
        print_fields(attachment_fields(attachment))
    return 0


async def upload_all(client: "WorkorderClient", files: Sequence[Path], author: int | None = None) -> list[Attachment]:
    """Upload files one after the other, with a bar for each that takes its time; `author` replaces the platform's."""
    attachments = []
    for file in files:
        with Bar(f"uploading {file.name}", unit="bytes") as bar:
            attachment = await client.upload_file(file, on_progress=bar)
        attachments.append(attachment if author is None else evolve(attachment, author=author))
    return attachments

"""The files that `create`, `close` and `upload` send to the platform, each with a bar."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from attrs import evolve
from cyclopts import Parameter

from workorder_async.cli.terminal.progress import Bar
from workorder_async.cli.values import ExistingFile, Whole
from workorder_async.document import Attachment

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient

Files: TypeAlias = Annotated[
    tuple[ExistingFile, ...],
    Parameter(name="--attach", help="A file to upload first; may be repeated.", show_default=False),
]
"""The files of a ticket that is created or closed."""

Author: TypeAlias = Annotated[
    Whole | None, Parameter(name="--author", help="User id of who uploads; by default as the platform says.")
]
"""Who uploads them, where the platform's word is not wanted."""


async def upload_all(client: "WorkorderClient", files: Sequence[Path], author: int | None = None) -> list[Attachment]:
    """Upload files one after the other, with a bar for each that takes its time; `author` replaces the platform's."""
    attachments = []
    for file in files:
        with Bar(f"uploading {file.name}", unit="bytes") as bar:
            attachment = await client.upload_file(file, on_progress=bar)
        attachments.append(attachment if author is None else evolve(attachment, author=author))
    return attachments

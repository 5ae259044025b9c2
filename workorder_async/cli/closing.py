"""`workorder close`: one ticket or many at once, with a line for each."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from attrs import define, evolve, field
from cyclopts import Parameter

from workorder_async.cli.changing import upload_all
from workorder_async.cli.connection import BY_ENVIRONMENT, Connection, Flag
from workorder_async.cli.failures import UNKNOWN, as_json, exit_code, sentence
from workorder_async.cli.output import note, tell, write_json
from workorder_async.cli.running import each, run
from workorder_async.cli.values import TIME_HELP, ExistingFile, point_in_time, text_or_stdin
from workorder_async.errors import ConfigError, WorkorderError
from workorder_async.models import Attachment, CloseTicket

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient


def close(
    ids: Annotated[list[int], Parameter(name="IDS", help="The tickets' numbers.")],
    /,
    *,
    closer_id: Annotated[int, Parameter(help="Your staff number in the address book (通讯录工号).")],
    closer_name: Annotated[str, Parameter(help="Your name; only a ticket's creator may close it.")],
    solved_time: Annotated[str, Parameter(help=f"When the customer confirmed the solution: {TIME_HELP}.")] = "now",
    detail: Annotated[str | None, Parameter(help="A remark; - reads it from stdin.")] = None,
    is_solved: Annotated[
        bool | None, Parameter(help="The cause was found (是否已定位原因).", negative="--no-is-solved")
    ] = None,
    attach: Annotated[
        tuple[ExistingFile, ...], Parameter(help="A file to upload first; may be repeated.", show_default=False)
    ] = (),
    author: Annotated[int | None, Parameter(help="User id of who uploads; by default as the platform says.")] = None,
    json: Annotated[Flag, Parameter(help="Print one JSON object per ticket.")] = False,
    connection: Connection = BY_ENVIRONMENT,
) -> int:
    """Close tickets, at most 16 at a time; prints a line for each, and fails if any of them did."""
    remark = None if detail is None else text_or_stdin(detail, "--detail")
    at = point_in_time(solved_time, "--solved-time")
    tickets = [
        CloseTicket(
            id=id, closer_id=closer_id, closer_name=closer_name, solved_time=at, detail=remark, is_solved=is_solved
        )
        for id in dict.fromkeys(ids)
    ]
    return run(_close(connection.client(), tickets, attach, author, as_json=json))


async def _close(
    client: "WorkorderClient", tickets: list[CloseTicket], files: Sequence[Path], author: int | None, *, as_json: bool
) -> int:
    async with client:
        attachments = _authored(await upload_all(client, files, author))
        closes = Closes(client, as_json=as_json)
        await closes.carry_out([evolve(ticket, handle_attachment=attachments) for ticket in tickets])
    return closes.code


def _authored(attachments: list[Attachment]) -> list[Attachment]:
    for attachment in attachments:
        if attachment.author is None:
            raise ConfigError(f"the platform did not say who uploaded {attachment.file_name!r}; add --author USER_ID")
    return attachments


@define
class Closes:
    """Closes of several tickets: what is printed for each, and the exit code for all."""

    client: "WorkorderClient"
    as_json: bool = field(kw_only=True)
    code: int = 0

    async def carry_out(self, tickets: list[CloseTicket]) -> None:
        """Close them, at most 16 at a time; what is cut short says of which tickets it does not know."""
        pending = {ticket.id for ticket in tickets}

        async def close(ticket: CloseTicket) -> None:
            try:
                await self.client.close_ticket(ticket)
            except WorkorderError as error:
                self._print_failure(ticket.id, error)
            else:
                self._print_closed(ticket.id)
            pending.discard(ticket.id)

        try:
            await each(tickets, close)
        finally:
            if pending:
                note(f"workorder: cut short; not known to be closed: {', '.join(map(str, sorted(pending)))}")

    def _print_closed(self, id: int) -> None:
        if self.as_json:
            write_json([{"id": id, "outcome": "closed"}])
        else:
            tell(f"{id} closed")

    def _print_failure(self, id: int, error: WorkorderError) -> None:
        code = exit_code(error)
        self.code = max(self.code, code)
        if self.as_json:
            write_json([{"id": id, "outcome": "unknown" if code == UNKNOWN else "failed", **as_json(error)}])
        else:
            note(f"workorder: ticket {id}: {sentence(error)}")

"""`workorder close`, `comment` and `reject`: one ticket, or many as a batch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from attrs import evolve, frozen
from cyclopts import Parameter

from workorder_async.cli.carrying_out import Task, carry_out
from workorder_async.cli.choosing import BatchOptions, Chosen, TicketNumbers
from workorder_async.cli.commands.create import Author, Files, upload_all
from workorder_async.cli.values import MARK, TIME_HELP, Time, Whole, YesNo
from workorder_async.document import CloseTicket, CommentTicket, RejectTicket
from workorder_async.errors import ConfigError

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient


@Parameter(name="*")
@frozen(kw_only=True)
class Closing:
    """Who closes tickets, when, and with which remark and files."""

    closer_id: Whole
    """Your staff number in the address book (通讯录工号), which no ticket tells."""
    closer_name: str | None = None
    """Your name; only a ticket's creator may close it."""
    as_creator: bool = False
    """Instead of --closer-name: each ticket's creator, as the platform names him or her."""
    solved_time: Annotated[str, Parameter(help=f"When the customer confirmed the solution: {TIME_HELP}.")] = "now"
    detail: str | None = None
    """A remark; - reads it from stdin."""
    is_solved: YesNo = None
    """The cause was found (是否已定位原因)."""
    attach: Files = ()
    author: Author = None

    async def with_files(self, client: "WorkorderClient", closes: list[CloseTicket]) -> Sequence[CloseTicket]:
        """Upload the files once, and add them to each of the closes."""
        attachments = await upload_all(client, self.attach, self.author)
        return [evolve(one, handle_attachment=attachments) for one in closes]


def close(ids: TicketNumbers = (), /, *, how: Closing, batch: BatchOptions = BatchOptions()) -> int:
    """Close tickets: by number, those in a file, or those that match filters; each once.

    Tickets of a file or of filters are shown first, and closed when you confirm. A ticket that was closed before is no
    failure. Exits with 1 where a ticket was refused or not sent, with 3 where an outcome is unknown.
    """
    if (how.closer_name is None) is not how.as_creator:
        raise ConfigError("say who closes: either --closer-name, or --as-creator for each ticket's creator")
    remark = None if how.detail is None else batch.text(how.detail)
    at, who = Time(how.solved_time, "--solved-time").moment(), how.closer_id

    def change(one: Chosen) -> CloseTicket:
        name = one.creator if how.closer_name is None else how.closer_name
        return CloseTicket(
            id=one.id, closer_id=who, closer_name=name, solved_time=at, detail=remark, is_solved=how.is_solved
        )

    name = f"close as {who} {'the creator' if how.closer_name is None else how.closer_name}"
    task = Task(change=change, name=name, needs_creator=how.as_creator, finish=how.with_files)
    return carry_out(task, ids, batch)


def comment(
    ids: TicketNumbers = (),
    /,
    *,
    detail: Annotated[str, Parameter(help="The comment's text; - reads it from stdin.")],
    as_product_group: Annotated[Whole | None, Parameter(help="The product line that speaks.")] = None,
    mark: Annotated[bool, MARK] = False,
    batch: BatchOptions = BatchOptions(),
) -> int:
    """Comment on tickets: by number, those in a file, or those that match filters; on each once.

    Tickets of a file or of filters are shown first, and commented on when you confirm. Exits with 1 where a comment was
    refused or not sent, with 3 where an outcome is unknown.
    """
    text = batch.text(detail)
    task = Task(change=lambda one: CommentTicket(id=one.id, detail=text, productGroupId=as_product_group), mark=mark)
    return carry_out(task, ids, batch)


def reject(
    ids: TicketNumbers = (),
    /,
    *,
    detail: Annotated[str | None, Parameter(help="The reason; - reads it from stdin.")] = None,
    as_product_group: Annotated[Whole | None, Parameter(help="The product line that rejects.")] = None,
    batch: BatchOptions = BatchOptions(),
) -> int:
    """Reject tickets on behalf of a product line: by number, those in a file, or those that match filters; each once.

    Tickets of a file or of filters are shown first, and rejected when you confirm. A ticket that was rejected before is
    no failure. Exits with 1 where a rejection was refused or not sent, with 3 where an outcome is unknown.
    """
    text = None if detail is None else batch.text(detail)
    task = Task(change=lambda one: RejectTicket(id=one.id, detail=text, productGroupId=as_product_group))
    return carry_out(task, ids, batch)

"""`workorder comment`: on one ticket, or on many as a batch."""

from typing import Annotated

from cyclopts import Parameter

from workorder_async.cli.batches.carrying_out import Task, carry_out
from workorder_async.cli.batches.choosing import BatchOptions, Chosen, TicketNumbers, choice
from workorder_async.cli.connection import Connection
from workorder_async.cli.filters import OtherTicketFilters
from workorder_async.cli.values import MARK, Whole
from workorder_async.document import CommentTicket
from workorder_async.mutations.kinds import KINDS, words_of


def comment(
    ids: TicketNumbers = (),
    /,
    *,
    detail: Annotated[str, Parameter(help="The comment's text; - reads it from stdin.")],
    product_group_id: Annotated[Whole | None, Parameter(help="The product line that speaks.")] = None,
    mark: Annotated[bool, MARK] = False,
    batch: BatchOptions = BatchOptions(),
    filters: OtherTicketFilters = OtherTicketFilters(),
    connection: Connection = Connection(),
) -> int:
    """Comment on tickets: by number, those in a file, or those that match filters; on each once.

    Tickets of a file or of filters are shown first, and commented on when you confirm. Exits with 1 where a comment was
    refused or not sent, with 3 where an outcome is unknown.
    """
    text = batch.text(detail)
    made = choice(ids, batch, filters)

    def change(one: Chosen) -> CommentTicket:
        return CommentTicket(id=one.id, detail=text, productGroupId=product_group_id)

    task = Task(kind=KINDS[CommentTicket], name=words_of(change(Chosen(1))), change=change, mark=mark)
    return carry_out(task, made, batch, connection)

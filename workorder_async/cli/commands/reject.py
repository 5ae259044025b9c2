"""`workorder reject`: one ticket, or many as a batch, on behalf of a product line."""

from typing import Annotated

from cyclopts import Parameter

from workorder_async.cli.batches.carrying_out import Task, carry_out
from workorder_async.cli.batches.choosing import BatchOptions, Chosen, TicketNumbers, choice
from workorder_async.cli.connection import Connection
from workorder_async.cli.filters import OtherTicketFilters
from workorder_async.cli.values import Whole
from workorder_async.document import RejectTicket
from workorder_async.mutations.kinds import KINDS, words_of


def reject(
    ids: TicketNumbers = (),
    /,
    *,
    detail: Annotated[str | None, Parameter(help="The reason; - reads it from stdin.")] = None,
    product_group_id: Annotated[Whole | None, Parameter(help="The product line that rejects.")] = None,
    batch: BatchOptions = BatchOptions(),
    filters: OtherTicketFilters = OtherTicketFilters(),
    connection: Connection = Connection(),
) -> int:
    """Reject tickets on behalf of a product line: by number, those in a file, or those that match filters; each once.

    Tickets of a file or of filters are shown first, and rejected when you confirm. A ticket that was rejected before is
    no failure. Exits with 1 where a rejection was refused or not sent, with 3 where an outcome is unknown.
    """
    text = None if detail is None else batch.text(detail)
    made = choice(ids, batch, filters)

    def change(one: Chosen) -> RejectTicket:
        return RejectTicket(id=one.id, detail=text, productGroupId=product_group_id)

    task = Task(kind=KINDS[RejectTicket], name=words_of(change(Chosen(1))), change=change)
    return carry_out(task, made, batch, connection)

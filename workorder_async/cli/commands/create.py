"""`workorder create`: one new ticket, with its files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from attrs import evolve, frozen
from cyclopts import Parameter

from workorder_async.cli import interrupting
from workorder_async.cli.attachments import Author, Files, upload_all
from workorder_async.cli.connection import BY_ENVIRONMENT, Connection, Flag
from workorder_async.cli.terminal.output import tell, write_json
from workorder_async.cli.terminal.running import run
from workorder_async.cli.times import TIME_HELP, past_moment
from workorder_async.cli.values import Whole, customer_account, text_or_stdin
from workorder_async.models import CreateTicket, Priority, TicketType

if TYPE_CHECKING:
    from workorder_async.client.client import WorkorderClient


@Parameter(name="*")
@frozen(kw_only=True)
class NewTicket:
    """The ticket that is to be created, as its options say."""

    title: Annotated[str, Parameter(help="Title (工单标题).")]
    detail: Annotated[str, Parameter(help="The ticket's text (工单详情); - reads it from stdin.")]
    reported_time: Annotated[str, Parameter(help=f"When the customer called: {TIME_HELP}.")]
    type: Annotated[str, Parameter(help="troubleshooting, 'feature request', consultation; or 1 to 3, or 咨询 ...")]
    priority: Annotated[str, Parameter(help="urgent, high, normal; or 1 to 3, or 紧急 ...")]
    customer_organization_id: Annotated[Whole, Parameter(help="Id of the customer (客户ID).")]
    customer_organization_name: Annotated[str, Parameter(help="Name of the customer (客户名称).")]
    repository_product_id: Annotated[Whole, Parameter(help="Product line's id in the product repository (产品库).")]
    creator_id: Annotated[Whole, Parameter(help="Creator's long staff number (长工号).")]
    creator_name: Annotated[str, Parameter(help="Name of the creator.")]
    whether_product_group_id: Annotated[
        bool | None,
        Parameter(help="The product line's id is your own's (自有产品线ID).", negative="--no-whether-product-group-id"),
    ] = None
    sub_type: Annotated[Whole | None, Parameter(help="Id of the sub-type.")] = None
    second_subtype: Annotated[Whole | None, Parameter(help="Id of the second-level sub-type.")] = None
    tag: Annotated[
        tuple[Whole, ...], Parameter(name=["--tag", "--tags"], help="Id of a tag; may be repeated.", show_default=False)
    ] = ()
    customer_info: Annotated[
        tuple[str, ...],
        Parameter(help="A customer's account: its user_id, or a JSON object; may be repeated.", show_default=False),
    ] = ()
    attach: Files = ()
    author: Author = None
    need_process: Annotated[
        bool | None, Parameter(help="It must be passed on (是否需要流转).", negative="--no-need-process")
    ] = None
    relate_to_ticket_id: Annotated[Whole | None, Parameter(help="A ticket that it is tied to.")] = None
    use_relate_status: Annotated[
        bool | None, Parameter(help="It shares that ticket's status.", negative="--no-use-relate-status")
    ] = None

    def ticket(self) -> CreateTicket:
        """Return the ticket, without its files. Raises `ConfigError` that names the option."""
        return CreateTicket(
            title=self.title,
            detail=text_or_stdin(self.detail, "--detail"),
            reported_time=past_moment(self.reported_time, "--reported-time"),
            type=TicketType.parse(self.type),
            priority=Priority.parse(self.priority),
            customer_organization_id=self.customer_organization_id,
            customer_organization_name=self.customer_organization_name,
            repository_product_id=self.repository_product_id,
            creator_id=self.creator_id,
            creator_name=self.creator_name,
            whether_product_group_id=self.whether_product_group_id,
            sub_type=self.sub_type,
            second_subtype=self.second_subtype,
            tags=self.tag,
            customer_info=[customer_account(text) for text in self.customer_info],
            need_process=self.need_process,
            relate_to_ticket_id=self.relate_to_ticket_id,
            use_relate_status=self.use_relate_status,
        )


def create(
    *,
    new: NewTicket,
    json: Annotated[Flag, Parameter(help="Print one JSON object.")] = False,
    connection: Connection = BY_ENVIRONMENT,
) -> int:
    """Create a ticket and print its number.

    Where no answer comes, or Ctrl-C does, the ticket is looked for; exits with 3 where it may exist all the same.
    """
    ticket = new.ticket()
    return run(_create(connection.client(), ticket, new.attach, new.author, as_json=json))


async def _create(
    client: "WorkorderClient", ticket: CreateTicket, files: Sequence[Path], author: int | None, *, as_json: bool
) -> int:
    """Upload the files, create the ticket with them, and tell its number as soon as it is known."""

    def tell_number(id: int) -> None:
        if as_json:
            write_json([{"id": id, "outcome": "created"}])
        else:
            tell(f"{id} created")

    async with client:
        attachments = await upload_all(client, files, author)
        await interrupting.create(client, evolve(ticket, attachment=attachments), tell_number)
    return 0

"""`workorder create`: one new ticket, with its files."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import attrs
from attrs import evolve, frozen
from cyclopts import Group, Parameter

from workorder_async.cli import interrupting
from workorder_async.cli.attachments import Author, Files, upload_all
from workorder_async.cli.connection import BY_ENVIRONMENT, Connection, Flag
from workorder_async.cli.terminal.output import tell, write_json
from workorder_async.cli.terminal.running import run
from workorder_async.cli.ticket_json import in_file, read_ticket
from workorder_async.cli.times import TIME_HELP, past_moment
from workorder_async.cli.values import Whole, customer_account, member, text_or_stdin
from workorder_async.document import CreateTicket, Priority, TicketType
from workorder_async.errors import ConfigError

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient


_NEEDED: Final = Parameter(group=Group("What every ticket needs", sort_key=1))
_REQUIRED: Final = tuple(field.name for field in attrs.fields(CreateTicket) if field.default is attrs.NOTHING)


@Parameter(name="*")
@frozen(kw_only=True)
class NewTicket:
    """The ticket that is to be created, as its options say, or a JSON object; an option goes before its field."""

    from_json: Annotated[
        str | None,
        Parameter(help="A file with the ticket as a JSON object of the fields below (reported_time ...); - for stdin."),
    ] = None
    title: Annotated[str | None, _NEEDED, Parameter(help="Title (工单标题).")] = None
    detail: Annotated[str | None, _NEEDED, Parameter(help="The ticket's text (工单详情); - reads it from stdin.")] = (
        None
    )
    type: Annotated[
        str | None,
        _NEEDED,
        Parameter(help="troubleshooting, feature-request, consultation; or 1 to 3, or 咨询 ..."),
    ] = None
    priority: Annotated[str | None, _NEEDED, Parameter(help="urgent, high, normal; or 1 to 3, or 紧急 ...")] = None
    customer_organization_id: Annotated[Whole | None, _NEEDED, Parameter(help="Id of the customer (客户ID).")] = None
    customer_organization_name: Annotated[str | None, _NEEDED, Parameter(help="Name of the customer (客户名称).")] = (
        None
    )
    repository_product_id: Annotated[
        Whole | None, _NEEDED, Parameter(help="Product line's id in the product repository (产品库).")
    ] = None
    creator_id: Annotated[Whole | None, _NEEDED, Parameter(help="Creator's long staff number (长工号).")] = None
    creator_name: Annotated[str | None, _NEEDED, Parameter(help="Name of the creator.")] = None
    reported_time: Annotated[str | None, Parameter(help=f"When the customer called, now if not said: {TIME_HELP}.")] = (
        None
    )
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
        """Return the ticket, without its files of --attach. Raises `ConfigError` that names the option or the field."""
        if self.from_json == self.detail == "-":
            raise ConfigError("--from-json - and --detail - cannot go together, for there is one stdin")
        given = {} if self.from_json is None else read_ticket(self.from_json)
        options = self._options()
        fields: dict[str, Any] = {"reported_time": past_moment("now", "--reported-time")} | given | options
        if missing := [_option(name) for name in _REQUIRED if name not in fields]:
            raise ConfigError(
                f"missing: {', '.join(missing)}; write them, or their fields into the file of --from-json. "
                "See `workorder create --help`"
            )
        try:
            return CreateTicket(**fields)
        except ConfigError as error:
            name = str(error).partition(" ")[0].removeprefix("CreateTicket.")
            if self.from_json is None or name in options or name not in given:
                raise
            raise ConfigError(str(error).replace(f"CreateTicket.{name}", in_file(name, self.from_json), 1)) from None

    def _options(self) -> dict[str, Any]:
        """Return the fields that were written as options."""
        given = {name: value for name, value in attrs.asdict(self, recurse=False).items() if value not in (None, ())}
        for name in ("from_json", "attach", "author"):
            given.pop(name, None)
        readers: dict[str, Callable[[Any], object]] = {
            "detail": lambda text: text_or_stdin(text, "--detail"),
            "reported_time": lambda text: past_moment(text, "--reported-time"),
            "type": lambda text: member(TicketType, text, "--type"),
            "priority": lambda text: member(Priority, text, "--priority"),
            "customer_info": lambda texts: [customer_account(text) for text in texts],
        }
        read = {name: readers[name](value) if name in readers else value for name, value in given.items()}
        return {"tags" if name == "tag" else name: value for name, value in read.items()}


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


_NOTHING_SAID: Final = NewTicket()


def create(
    *,
    new: NewTicket = _NOTHING_SAID,
    json: Annotated[Flag, Parameter(help="Print one JSON object.")] = False,
    connection: Connection = BY_ENVIRONMENT,
) -> int:
    """Create a ticket and print its number.

    What it needs is said by options, or by the fields of a JSON object in a file; an option goes before its field.
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
        whole = evolve(ticket, attachment=(*ticket.attachment, *attachments))
        await interrupting.create(client, whole, tell_number)
    return 0

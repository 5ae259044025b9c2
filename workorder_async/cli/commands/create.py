"""`workorder create` and `upload`: one new ticket, and its files.

The fields of the ticket come from options, and from a JSON object in a file or on stdin (--from-json).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import attrs
from attrs import evolve, frozen
from cyclopts import Group, Parameter
from cyclopts.types import ExistingFile

from workorder_async.arguments import is_whole, unknown_name
from workorder_async.cli.commands.list import scalars
from workorder_async.cli.connection import PATIENCE, Client, Connection
from workorder_async.cli.failures import option
from workorder_async.cli.terminal import Bar, note, print_fields, tell, write_json
from workorder_async.cli.values import MARK, TIME_HELP, Time, Whole, YesNo, member, text_of, text_or_stdin
from workorder_async.document import JSON, Attachment, CreateTicket, CustomerInfo, Priority, TicketType
from workorder_async.document.codec import encode, make_converter
from workorder_async.document.json_text import dumps, loads
from workorder_async.errors import ConfigError, OutcomeUnknownError
from workorder_async.mutations.kinds import new_mark
from workorder_async.tasks import to_its_end

_NEEDED: Final = Parameter(group=Group("What every ticket needs", sort_key=1))
_FIELDS: Final = attrs.fields_dict(CreateTicket)
_LISTS: Final = ("tags", "customer_info", "attachment")
_CODES: Final = {"type": TicketType, "priority": Priority}
_PARTS: Final[Mapping[str, tuple[type, str]]] = {
    "customer_info": (CustomerInfo, """be a user_id or a JSON object such as '{"user_id": 73001, "level": 3}'"""),
    "attachment": (Attachment, "hold the output of `workorder upload --json`"),
}
_REPORTED: Final = f"When the customer called, now if not said: {TIME_HELP}."

Files: TypeAlias = Annotated[tuple[ExistingFile, ...], Parameter(help="A file to upload first; may be repeated.")]
Author: TypeAlias = Annotated[Whole | None, Parameter(help="User id of who uploads; by default as the platform says.")]


def refuse_author_of_nothing(files: Sequence[Path], author: int | None) -> None:
    """Raise `ConfigError` for --author without a file to upload."""
    if author is not None and not files:
        raise ConfigError("says who uploads, and there is no file", argument="--author", mend="add --attach FILE")


@Parameter(name="*")
@frozen(kw_only=True)
class NewTicket:
    """The new ticket: a field of the JSON object counts unless its option is given."""

    from_json: str | None = None
    """A file with the ticket as a JSON object of the fields below (reported_time ...); - for stdin."""
    title: Annotated[str | None, _NEEDED] = None
    """Title (工单标题)."""
    detail: Annotated[str | None, _NEEDED] = None
    """The ticket's text (工单详情); - reads it from stdin."""
    type: Annotated[str | None, _NEEDED] = None
    """troubleshooting, feature-request, consultation; or 1 to 3, or 咨询 ..."""
    priority: Annotated[str | None, _NEEDED] = None
    """urgent (1 高), high (2 中), normal (3 低); or 1 to 3, or 紧急 ..."""
    customer_organization_id: Annotated[Whole | None, _NEEDED] = None
    """Id of the customer (客户ID)."""
    customer_organization_name: Annotated[str | None, _NEEDED] = None
    """Name of the customer (客户名称)."""
    repository_product_id: Annotated[Whole | None, _NEEDED] = None
    """Product line's id in the product repository (产品库)."""
    creator_id: Annotated[Whole | None, _NEEDED] = None
    """Creator's long staff number (长工号)."""
    creator_name: Annotated[str | None, _NEEDED] = None
    """Name of the creator."""
    reported_time: Annotated[str | None, Parameter(help=_REPORTED)] = None
    whether_product_group_id: YesNo = None
    """The product line's id is your own's (自有产品线ID)."""
    sub_type: Whole | None = None
    """Id of the sub-type."""
    second_subtype: Whole | None = None
    """Id of the second-level sub-type."""
    tags: Annotated[tuple[Whole, ...], Parameter(name=["--tag", "--tags"])] = ()
    """Id of a tag; may be repeated."""
    customer_info: tuple[str, ...] = ()
    """A customer's account: its user_id, or a JSON object; may be repeated."""
    attach: Files = ()
    author: Author = None
    need_process: YesNo = None
    """It must be passed on (是否需要流转)."""
    relate_to_ticket_id: Whole | None = None
    """A ticket that it is tied to."""
    use_relate_status: YesNo = None
    """It shares that ticket's status."""

    def ticket(self) -> CreateTicket:
        """Return the ticket, without its files of --attach. Raises `ConfigError` that names the option or the field."""
        if self.from_json == self.detail == "-":
            raise ConfigError("--from-json - and --detail - cannot go together, for there is one stdin")
        refuse_author_of_nothing(self.attach, self.author)
        given = {} if self.from_json is None else _read_ticket(self.from_json)
        written = {name: value for name, value in attrs.asdict(self, recurse=False).items() if value not in (None, ())}
        options = {name: _read(name, value, option(name)) for name, value in written.items() if name in _FIELDS}
        fields: dict[str, Any] = {"reported_time": Time("now", "").moment(), **given, **options}
        needed = [name for name, field in _FIELDS.items() if field.default is attrs.NOTHING]
        if missing := [option(name) for name in needed if name not in fields]:
            mend = "write them, or their fields into the file of --from-json. See `workorder create --help`"
            raise ConfigError(f"missing: {', '.join(missing)}", mend=mend)
        try:
            return CreateTicket(**fields)
        except ConfigError as error:
            name = error.argument.removeprefix("CreateTicket.")
            if name in options or name not in given:
                raise
            where = f"{name} in --from-json {self.from_json}"
            raise ConfigError(error.problem, argument=where, mend=error.mend) from None


def _read_ticket(source: str) -> dict[str, Any]:
    """Return the fields of `CreateTicket` in the JSON object of a file, or of stdin for `-`; null is no field.

    Codes and times may be written as on the command line. Raises `ConfigError` that names the field.
    """
    where = f"--from-json {source}"
    try:
        found = loads(text_of("--from-json", source))
    except ValueError as error:
        raise ConfigError(f"is no JSON: {error}", argument=where) from None
    if not isinstance(found, dict):
        raise ConfigError("is no object", argument=where, mend='write one ticket, such as {"title": ...}')
    if wrong := unknown_name("a ticket has no field", found, _FIELDS):
        raise ConfigError(wrong, argument=f"{where}:")
    return {name: _read(name, value, f"{name} in {where}") for name, value in found.items() if value is not None}


def _read(name: str, value: Any, where: str) -> object:
    """Return the value of a field from its spelling in an option or in JSON; `where` names it in errors.

    Codes may be names and times may be words such as "yesterday". Other values are left for `CreateTicket` to check.
    """
    if name in _LISTS and not isinstance(value, list | tuple):
        raise _refused(where, "be a list", value)
    if name in _PARTS:
        return [_part(name, one, where) for one in value]
    if name in _CODES or name == "reported_time":
        text = value if isinstance(value, str) else dumps(value).decode()
        return member(_CODES[name], text, where) if name in _CODES else Time(text, where).moment()
    return text_or_stdin(str(value), where) if where == "--detail" else value


def _part(name: str, value: JSON, where: str) -> object:
    """Return a customer's account (its `user_id` is enough), or an attachment, from JSON. Raises `ConfigError`."""
    model, what = _PARTS[name]
    try:
        found = loads(value) if isinstance(value, str) else value
        if name == "customer_info" and is_whole(found):
            found = {"user_id": found}
        # The model ignores unknown fields: a misspelt name would lose its value without an error.
        if isinstance(found, dict) and (wrong := unknown_name("has no field", found, attrs.fields_dict(model))):
            raise ConfigError(wrong, argument=where)
        return make_converter().structure(found, model)
    except (TypeError, ValueError):
        raise _refused(where, what, value) from None


def _refused(where: str, what: str, value: JSON) -> ConfigError:
    return ConfigError(f"must {what}, not {dumps(value).decode():.60}", argument=where)


def create(
    *,
    new: NewTicket = NewTicket(),
    mark: Annotated[bool, MARK] = False,
    json: Annotated[bool, Parameter(help="Print one JSON object.")] = False,
    connection: Connection = Connection(),
) -> None:
    """Create a ticket and print its number.

    What it needs is said by options, or by the fields of a JSON object in a file; an option goes before its field.
    Where no answer comes, or Ctrl-C does, the ticket is looked for, if --timeout leaves time: an attempt takes up to
    30 s. Exits with 3 where it may exist all the same.
    """
    ticket, reference = new.ticket(), new_mark() if mark else ""

    def tell_number(id: int) -> None:
        line = f"{id} created{f', mark {reference}' if mark else ''}"
        try:
            if json:
                write_json([{"id": id, "outcome": "created", **({"mark": reference} if mark else {})}])
            else:
                tell(line)
        except OSError:
            note(f"workorder: {line}")
            raise

    async def upload_and_create(client: Client) -> None:
        attachments = await upload_all(client, new.attach, new.author)
        if mark:
            note(f"workorder: below its text stands the mark {reference}")
        await _create(client, evolve(ticket, attachment=(*ticket.attachment, *attachments)), tell_number, reference)

    connection.run(upload_and_create)


async def _create(client: Client, ticket: CreateTicket, tell: Callable[[int], None], mark: str) -> None:
    """Create a ticket, and `tell` its number as soon as it is known.

    An interruption before the request is sent ends the call at once. After it was sent, the answer is awaited, and if
    none comes, the ticket is looked for; a second interruption ends that. The interruption is raised in the end, also
    if the number was told. Raises `OutcomeUnknownError` if the ticket may exist.
    """
    # Not empty while a request was sent that the platform has not turned away.
    under_way, began = set[int](), client.now()
    change = client.change(
        ticket,
        on_unknown="verify",
        on_send=lambda: under_way.add(1),
        on_turned_away=under_way.clear,
        began=began,
        mark=mark,
    )
    call = asyncio.create_task(change)
    try:
        tell((await asyncio.shield(call)).ticket_id)
    except asyncio.CancelledError:
        hurried = False
        if under_way and not call.done():
            note(f"workorder: waiting up to {PATIENCE:.0f} s for the answer; Ctrl-C again does not wait")
            try:
                await asyncio.wait([call], timeout=PATIENCE)
            except asyncio.CancelledError:
                hurried = True
        call.cancel()
        try:
            tell((await to_its_end(call)).ticket_id)
        except asyncio.CancelledError:
            if under_way:
                tell(await _found(client, ticket, began, mark, hurried=hurried))
            else:
                note("workorder: nothing was sent, so no ticket was created")
        raise


async def _found(client: Client, ticket: CreateTicket, began: float, mark: str, *, hurried: bool) -> int:
    """Settle a creation without an answer, unless the user is `hurried`; return the new ticket's number.

    Raises `OutcomeUnknownError` if the ticket is not found.
    """
    if not hurried:
        note("workorder: no answer; looking for the ticket")
        with suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(PATIENCE):
                if id := (await client.settle(ticket, began, mark=mark)).ticket_id:
                    return id
    said = f"interrupted before an answer came, so a ticket may exist: {ticket.title!r} of creator {ticket.creator_id}"
    raise OutcomeUnknownError(said, mutation=ticket, began=began, operation="create_ticket") from None


def upload(
    file: Annotated[ExistingFile, Parameter(help="The file.")],
    /,
    *,
    json: Annotated[bool, Parameter(help="Print one JSON object.")] = False,
    connection: Connection = Connection(),
) -> None:
    """Upload a file, and print what a ticket needs of it; `create` and `close` do so by themselves with --attach."""
    [attachment] = connection.run(lambda client: upload_all(client, [file]))
    if json:
        write_json([encode(attachment)])
    else:
        print_fields(scalars(attachment))


async def upload_all(client: Client, files: Sequence[Path], author: int | None = None) -> list[Attachment]:
    """Upload files one after the other, with a bar for each slow one; `author` replaces the author that is answered."""
    attachments = []
    for file in files:
        with Bar(f"uploading {file.name}", unit="bytes") as bar:
            attachment = await client.upload_file(file, on_progress=bar)
        attachments.append(attachment if author is None else evolve(attachment, author=author))
    return attachments

"""`workorder show`: everything about one ticket, its fields by their names in the API document."""

from collections.abc import Iterator
from typing import Annotated

import attrs
from cyclopts import Parameter

from workorder_async.cli.connection import Connection
from workorder_async.cli.terminal import moment, print_fields, print_heading, write_json
from workorder_async.cli.values import Whole
from workorder_async.document import Attachment, OpenEnum, TicketDetail
from workorder_async.document.codec import encode
from workorder_async.document.json_text import to_json
from workorder_async.errors import DecodeError

_DEEPER = 2


def show(
    id: Annotated[Whole, Parameter(help="The ticket's number.")],
    /,
    *,
    json: Annotated[bool, Parameter(help="Print one JSON object.")] = False,
    connection: Connection = Connection(),
) -> None:
    """Show everything about a ticket: fields, product lines, history and files."""
    ticket = connection.run(lambda client: client.get_ticket_detail(id))
    if json:
        write_json([encode(ticket)])
    else:
        print_detail(ticket)


def print_detail(ticket: TicketDetail) -> None:
    """Print a ticket; fields that are empty or 0 are left out."""
    print_heading(f"#{ticket.id} {ticket.title}")
    print_fields(_scalars(ticket, "id", "title"))
    print_fields([("tags", ", ".join(f"{tag.name} ({tag.id})" for tag in ticket.tags))])
    for name, value in ticket.form_values.items():
        print_fields([(f"form: {name}", value if isinstance(value, str) else to_json(value).decode())])
    for account in ticket.customer_info:
        print_heading(f"customer account {account.user_id}")
        print_fields(_scalars(account, "user_id"), _DEEPER)
    for assign in ticket.assigns:
        print_heading(f"product line {assign.product_group_name} ({assign.product_group_id})")
        print_fields(_scalars(assign, "product_group_name", "product_group_id"), _DEEPER)
        for step in assign.history:
            who = f"{step.creator_name} ({step.creator_id})" if step.creator_id else step.creator_name
            said = f"action {step.action} by {who}"
            print_fields([(_time(step, "created_at"), f"{said}: {step.detail}" if step.detail else said)], _DEEPER)
    for title, files in (("attachment", ticket.attachment), ("handle_attachment", ticket.handle_attachment)):
        for file in files:
            print_heading(f"{title} {file.file_name}")
            print_fields(attachment_fields(file), _DEEPER)


def attachment_fields(file: Attachment) -> Iterator[tuple[str, str]]:
    """Yield a file's fields, its size even where that is 0."""
    for name, text in _scalars(file):
        yield name, f"{file.file_size:,} bytes" if name == "file_size" else text


def _scalars(model: object, *without: str) -> Iterator[tuple[str, str]]:
    """Yield the fields of a model that are no lists or maps, as text; empty where they are empty or 0."""
    for field in attrs.fields(type(model)):  # type: ignore[arg-type]  # every model is an attrs class
        value: object = getattr(model, field.name)
        if field.name in without or isinstance(value, list | dict):
            continue
        if field.name.endswith("_time"):
            yield field.name, _time(model, field.name.removesuffix("_time") + "_at")
        elif isinstance(value, OpenEnum):
            # A code with its name in the API document; 0 is a missing one.
            text = f"{value.label} ({value.value})" if value.is_known else value.label
            yield field.name, text if value.value else ""
        elif isinstance(value, bool):
            yield field.name, "yes" if value else "no"
        elif isinstance(value, int) and field.name.endswith("_duration"):
            yield field.name, f"{value:,} s" if value else ""
        else:
            yield field.name, str(value or "")


def _time(model: object, name: str) -> str:
    """Return a time as text; where it cannot be one, the reason."""
    try:
        return moment(getattr(model, name))
    except DecodeError as error:
        return error.message

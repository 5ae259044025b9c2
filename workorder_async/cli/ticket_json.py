"""A new ticket as a JSON object, in a file or on stdin: its fields by their names in the API document."""

from pathlib import Path
from typing import Any, Final

import attrs

from workorder_async.arguments import kind_of
from workorder_async.cli.times import past_moment
from workorder_async.cli.values import customer_account, member, near, text_or_stdin
from workorder_async.document import JSON, Attachment, CreateTicket, Priority, TicketType
from workorder_async.document.codec import make_converter
from workorder_async.document.json_text import dumps, loads
from workorder_async.errors import ConfigError

_FIELDS: Final = tuple(field.name for field in attrs.fields(CreateTicket))


def read_ticket(source: str) -> dict[str, Any]:
    """Return the fields of `CreateTicket` that a file, or stdin for `-`, gives; null gives none.

    Codes and times may be written as on the command line. Raises `ConfigError` that names what cannot be.
    """
    found = _object(source)
    unknown = [f"{name!r}{near(name, _FIELDS)}" for name in found if name not in _FIELDS]
    if unknown:
        raise ConfigError(
            f"--from-json {source}: no field of a ticket: {', '.join(unknown)}; the fields are {', '.join(_FIELDS)}"
        )
    return {name: _value(name, value, in_file(name, source)) for name, value in found.items() if value is not None}


def in_file(name: str, source: str) -> str:
    """Name a field of the object, for a message."""
    return f"{name} in --from-json {source}"


def _object(source: str) -> dict[str, JSON]:
    try:
        text = text_or_stdin(source, "--from-json") if source == "-" else Path(source).read_text("utf-8-sig")
        found = loads(text)
    except OSError as error:
        raise ConfigError(f"--from-json {source}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"--from-json {source} is not UTF-8 (byte {error.start}); convert it, as with iconv"
        ) from None
    except ValueError as error:
        raise ConfigError(f"--from-json {source} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ConfigError(f'--from-json {source} is no object; write one ticket, such as {{"title": ...}}')
    return found


def _value(name: str, value: JSON, where: str) -> object:
    """Read a value as its option would; what is left as it is, `CreateTicket` judges."""
    if name == "reported_time":
        return past_moment(_written(value, where), where)
    if name == "type":
        return member(TicketType, _written(value, where), where)
    if name == "priority":
        return member(Priority, _written(value, where), where)
    if name == "customer_info":
        return [customer_account(dumps(one).decode(), where) for one in _list(value, where)]
    if name == "attachment":
        return [_attachment(one, where) for one in _list(value, where)]
    return value


def _written(value: JSON, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ConfigError(f"{where} must be a text or a whole number, not {kind_of(value)}")
    return str(value)


def _list(value: JSON, where: str) -> list[JSON]:
    if not isinstance(value, list):
        raise ConfigError(f"{where} must be a list, not {kind_of(value)}")
    return value


def _attachment(value: JSON, where: str) -> Attachment:
    try:
        return make_converter().structure(value, Attachment)
    except (TypeError, ValueError):
        raise ConfigError(f"{where} must hold what `workorder upload --json` prints, not {kind_of(value)}") from None

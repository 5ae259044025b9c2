"""What a value that is sent may be: the converters and validators that queries and mutations share.

A validator refuses a value with a `ConfigError` that names the class and the field, and says what would do. So no
request is made that the platform could only refuse.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

from workorder_async.arguments import is_whole, kind_of, whole_within
from workorder_async.document.enums import OpenEnum, Priority, TicketStatus, TicketType
from workorder_async.document.tickets import Attachment, CustomerInfo
from workorder_async.errors import ConfigError

if TYPE_CHECKING:
    from attrs import Attribute

_INT32_MAX = 2**31 - 1
_INT64_MAX = 2**63 - 1
# The year 5138: a larger number is milliseconds.
_SECONDS_MAX = 10**11
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_T = TypeVar("_T")


def seconds(value: int | datetime) -> int:
    """Turn an aware datetime into whole seconds since the epoch, rounded down; `is_seconds` judges the rest."""
    if isinstance(value, datetime) and value.utcoffset() is not None:
        return (value - _EPOCH) // timedelta(seconds=1)
    return cast("int", value)


def optional_seconds(value: int | datetime | None) -> int | None:
    """Do the same, and let None pass."""
    return None if value is None else seconds(value)


def _read(kind: type[OpenEnum], value: int | str | OpenEnum) -> OpenEnum:
    """Read a member; what is none is left as it is."""
    try:
        return kind.parse(value)
    except ConfigError:
        return cast("OpenEnum", value)


def ticket_type(value: int | str | TicketType) -> TicketType:
    """Read a code, a label or a member; anything else is left to `is_code`."""
    return cast("TicketType", _read(TicketType, value))


def optional_type(value: int | str | TicketType | None) -> TicketType | None:
    """Do the same, and let None pass."""
    return None if value is None else ticket_type(value)


def optional_status(value: int | str | TicketStatus | None) -> TicketStatus | None:
    """Read a code, a label, a member or None; anything else is left to `is_code`."""
    return None if value is None else cast("TicketStatus", _read(TicketStatus, value))


def priority(value: int | str | Priority) -> Priority:
    """Read a code, a label or a member; anything else is left to `is_code`."""
    return cast("Priority", _read(Priority, value))


def ids(values: Iterable[int]) -> tuple[int, ...]:
    """Make a tuple; a text or something that is not iterable is left to `are_ids`."""
    return _several(values)


def attachments(values: Iterable[Attachment]) -> tuple[Attachment, ...]:
    """Make a tuple; something that is not iterable is left to `are_attachments`."""
    return _several(values)


def customers(values: Iterable[CustomerInfo]) -> tuple[CustomerInfo, ...]:
    """Make a tuple; something that is not iterable is left to `are_customers`."""
    return _several(values)


def _several(values: Iterable[_T]) -> tuple[_T, ...]:
    """Make a tuple; what cannot be one is left as it is."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        return cast("tuple[_T, ...]", values)
    return tuple(values)


def refuse(instance: object, attribute: "Attribute[Any]", why: str) -> ConfigError:
    """Return the error that names the class and the field."""
    return ConfigError(f"{_named(instance, attribute)} {why}")


def _named(instance: object, attribute: "Attribute[Any]") -> str:
    """Return CLASS.FIELD, for a message."""
    return f"{type(instance).__name__}.{attribute.name}"


def _within(instance: object, attribute: "Attribute[Any]", value: Any, low: int, high: int) -> None:
    """Accept a whole number from `low` to `high`."""
    # Mutations are made by the ten thousand, so the name is made only for a value that is refused.
    if not (is_whole(value) and low <= value <= high):
        whole_within(_named(instance, attribute), value, low, high)


def is_id(instance: object, attribute: "Attribute[Any]", value: Any) -> None:
    """Accept an int64 of at least 1."""
    _within(instance, attribute, value, 1, _INT64_MAX)


def is_count(instance: object, attribute: "Attribute[Any]", value: Any) -> None:
    """Accept an int32 of at least 1."""
    _within(instance, attribute, value, 1, _INT32_MAX)


def is_seconds(instance: object, attribute: "Attribute[Any]", value: Any) -> None:
    """Accept whole seconds since the epoch."""
    if isinstance(value, datetime):
        raise refuse(
            instance, attribute, "is a datetime without a zone; give it one, for example datetime.now(timezone.utc)"
        )
    if isinstance(value, int) and value > _SECONDS_MAX:
        raise refuse(instance, attribute, f"is {value}, which looks like milliseconds; it must be in seconds")
    _within(instance, attribute, value, 0, _SECONDS_MAX)


def is_text(instance: object, attribute: "Attribute[Any]", value: Any) -> None:
    """Accept text that has UTF-8 bytes, the empty one too."""
    if not isinstance(value, str):
        raise refuse(instance, attribute, f"must be text, not {kind_of(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise refuse(
            instance, attribute, f"holds a lone surrogate at index {error.start}, which cannot be sent; remove it"
        ) from None


def is_filled_text(instance: object, attribute: "Attribute[Any]", value: Any) -> None:
    """Accept text that is more than white space."""
    is_text(instance, attribute, value)
    if not str(value).strip():
        raise refuse(instance, attribute, "is empty; the platform needs a text here")


def is_bool(instance: object, attribute: "Attribute[Any]", value: Any) -> None:
    """Accept True and False."""
    if not isinstance(value, bool):
        raise refuse(instance, attribute, f"must be True or False, not {kind_of(value)}")


def is_code(instance: object, attribute: "Attribute[Any]", value: Any) -> None:
    """Accept a member with an integer code, a code that the document does not list too."""
    kind = {"status": TicketStatus, "type": TicketType, "priority": Priority}[attribute.name]
    if not isinstance(value, kind):
        known = ", ".join(f"{member.value} {member.label}" for member in kind)
        raise refuse(instance, attribute, f"cannot be {kind_of(value)}; use a {kind.__name__}: {known}")
    if not isinstance(value.value, int):
        raise refuse(instance, attribute, f"is {value.value!r}, which has no code to send")
    _within(instance, attribute, value.value, -_INT32_MAX - 1, _INT32_MAX)


def are_ids(instance: object, attribute: "Attribute[Any]", values: Any) -> None:
    """Accept a tuple of ids."""
    if not isinstance(values, tuple):
        raise refuse(instance, attribute, f"must be a list of ids, not {kind_of(values)}")
    for value in values:
        is_id(instance, attribute, value)


def are_attachments(instance: object, attribute: "Attribute[Any]", values: Any) -> None:
    """Accept what `upload_file` returned."""
    if not isinstance(values, tuple):
        raise refuse(instance, attribute, f"must be a list of Attachment, not {kind_of(values)}")
    for index, value in enumerate(values):
        _check_attachment(instance, attribute, index, value)


def are_authored_attachments(instance: object, attribute: "Attribute[Any]", values: Any) -> None:
    """Accept what `upload_file` returned, with an author (close_ticket: 以下参数均为必填)."""
    are_attachments(instance, attribute, values)
    for index, value in enumerate(cast("tuple[Attachment, ...]", values)):
        if value.author is None:
            raise refuse(instance, attribute, f"[{index}] has no author; close_ticket needs all five fields")


def _check_attachment(instance: object, attribute: "Attribute[Any]", index: int, value: object) -> None:
    """Accept an attachment that can be sent."""
    if not isinstance(value, Attachment):
        raise refuse(instance, attribute, f"[{index}] must be an Attachment from upload_file, not {kind_of(value)}")
    for name in ("file_name", "file_path", "file_type"):
        if not _is_sendable(getattr(value, name), required=True):
            raise refuse(instance, attribute, f"[{index}] has no {name}; send what upload_file returned")
    if not _is_number(value.file_size) or value.file_size < 0:
        raise refuse(instance, attribute, f"[{index}] has no file_size; send what upload_file returned")
    if value.author is not None and not _is_number(value.author):
        raise refuse(instance, attribute, f"[{index}].author must be a user's id, not {kind_of(value.author)}")
    if "://" in value.file_path:
        raise refuse(
            instance, attribute, f"[{index}].file_path is a temporary URL; only what upload_file returned may be sent"
        )


def are_customers(instance: object, attribute: "Attribute[Any]", values: Any) -> None:
    """Accept customer accounts that have a `user_id`."""
    if not isinstance(values, tuple):
        raise refuse(instance, attribute, f"must be a list of CustomerInfo, not {kind_of(values)}")
    for index, value in enumerate(values):
        if not isinstance(value, CustomerInfo):
            raise refuse(instance, attribute, f"[{index}] must be a CustomerInfo, not {kind_of(value)}")
        if not _is_number(value.user_id) or value.user_id < 1:
            raise refuse(instance, attribute, f"[{index}] has no user_id; the platform needs it")
        for name in ("attribute", "business_director_id", "level"):
            number = getattr(value, name)
            if number is not None and not _is_number(number):
                raise refuse(instance, attribute, f"[{index}].{name} must be a whole number, not {kind_of(number)}")
            if name == "level" and number is not None and abs(number) > _INT32_MAX:
                raise refuse(instance, attribute, f"[{index}].level is {number}; it must have no more than 32 bits")
        director = value.business_director_name
        if director is not None and not _is_sendable(director):
            raise refuse(instance, attribute, f"[{index}].business_director_name must be text, not {kind_of(director)}")


def _is_number(value: object) -> bool:
    """Tell whether this is a whole number of at most 64 bits."""
    return is_whole(value) and -_INT64_MAX <= value <= _INT64_MAX


def _is_sendable(value: object, *, required: bool = False) -> bool:
    """Tell whether this is text that has UTF-8 bytes, and more than white space where it is required."""
    if not isinstance(value, str) or (required and not value.strip()):
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)

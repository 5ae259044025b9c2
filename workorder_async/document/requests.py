"""The values that users send: the filters of a list, and one frozen value for each mutation.

A field that stays None or empty is not sent. Every field is checked when the value is made: for a wrong one a
`ConfigError` names the class, the field, and the mend. So no request is sent that the platform can only refuse. Do not
mix up two staff numbers: `creator_id` is a long staff number of the business platform (业务平台长工号), `closer_id` a
staff number of the address book (通讯录工号).
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, Self, TypeAlias, TypeVar, cast, get_args

from attrs import Attribute, field, frozen

from workorder_async import arguments
from workorder_async.arguments import (
    Check,
    as_int,
    as_validator,
    has_bytes,
    is_whole,
    kind_of,
    shown,
    unknown_name,
    whole_within,
)
from workorder_async.document.decoding import decoder_of
from workorder_async.document.enums import OpenEnum, Priority, TicketStatus, TicketType
from workorder_async.document.fields import CHINA_STANDARD_TIME, fields_of
from workorder_async.document.json_text import JSON
from workorder_async.document.model import Model, picked
from workorder_async.document.tickets import Attachment, CustomerInfo
from workorder_async.errors import ConfigError

__all__ = ["CloseTicket", "CommentTicket", "CreateTicket", "Mutation", "RejectTicket", "TicketQuery"]

_INT32_MAX = 2**31 - 1
_INT64_MAX = 2**63 - 1
#: A second of the year 5138. A larger number is refused: it is in milliseconds, or stands for "no end".
SECONDS_MAX = 10**11
# The last second of the year 9999, after which there is no datetime.
_LAST_SECOND = 253_402_300_799
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_T = TypeVar("_T")


# Converters. A converter returns a value that it cannot convert as it is: the check of the field refuses it. Type
# checkers read the type of an argument off its converter, but not off a generic one: so each type has its own.


def _seconds(value: int | datetime) -> int:
    """Turn an aware datetime into whole seconds since the epoch, rounded down."""
    if isinstance(value, datetime):
        # NaT of pandas, a datetime that is no time, raises an error.
        with suppress(Exception):
            if value.utcoffset() is not None:
                return (value - _EPOCH) // timedelta(seconds=1)
    return cast("int", value)


def _optional_seconds(value: int | datetime | None) -> int | None:
    return None if value is None else _seconds(value)


def _read(kind: type[OpenEnum], value: int | str | OpenEnum) -> OpenEnum:
    try:
        return kind.parse(value)
    except ConfigError:
        return cast("OpenEnum", value)


def _ticket_type(value: int | str | TicketType) -> TicketType:
    return cast("TicketType", _read(TicketType, value))


def _optional_type(value: int | str | TicketType | None) -> TicketType | None:
    return None if value is None else _ticket_type(value)


def _optional_status(value: int | str | TicketStatus | None) -> TicketStatus | None:
    return None if value is None else cast("TicketStatus", _read(TicketStatus, value))


def _priority(value: int | str | Priority) -> Priority:
    return cast("Priority", _read(Priority, value))


def _ids(values: Iterable[int]) -> tuple[int, ...]:
    return _several(values)


def _attachments(values: Iterable[Attachment]) -> tuple[Attachment, ...]:
    return _several(values)


def _customers(values: Iterable[CustomerInfo]) -> tuple[CustomerInfo, ...]:
    return _several(values)


def _several(values: Iterable[_T]) -> tuple[_T, ...]:
    if isinstance(values, str | bytes | bytearray | Mapping) or not isinstance(values, Iterable):
        return cast("tuple[_T, ...]", values)
    return tuple(values)


# Checks, of the same kind as in `arguments.py`. `_naming` turns a check into the validator of a field; its error names
# the class as well.

_naming: Final = partial(as_validator, names_class=True)
_is_id: Final = partial(whole_within, low=1, high=_INT64_MAX)
_is_size: Final = partial(whole_within, low=0, high=_INT64_MAX)
_is_int64: Final = partial(whole_within, low=-_INT64_MAX, high=_INT64_MAX)
_is_count: Final = partial(whole_within, low=1, high=_INT32_MAX)
_is_int32: Final = partial(whole_within, low=-_INT32_MAX - 1, high=_INT32_MAX)


def _is_second(name: str, value: object) -> object:
    """Accept whole seconds since the epoch, until `SECONDS_MAX`; the error for another value says how to mend it."""
    if isinstance(value, datetime):
        if value != value:  # noqa: PLR0124 - true of NaT of pandas alone, which stands for no time
            raise ConfigError(f"is {shown(value)}", argument=name, mend="where there is no time, leave it out")
        mend = "give it one, for example datetime.now(timezone.utc)"
        raise ConfigError("is a datetime without a zone", argument=name, mend=mend)
    if not is_whole(value):
        mend = f"it must be whole seconds{as_int(value)}, or a datetime with a zone"
        raise ConfigError(f"is {kind_of(value)}", argument=name, mend=mend)
    if value > _LAST_SECOND:
        problem = f"is {shown(value)}, which looks like milliseconds"
        raise ConfigError(problem, argument=name, mend="it must be in seconds")
    if value > SECONDS_MAX:
        mend = "it must be in seconds; where there is no end, leave it out"
        raise ConfigError(f"is {shown(value)}, which is after the year 5138", argument=name, mend=mend)
    return whole_within(name, value, 0, SECONDS_MAX)


def _is_text(name: str, value: object) -> object:
    """Accept text that has UTF-8 bytes, the empty one too."""
    if not isinstance(value, str):
        raise ConfigError(f"must be text, not {kind_of(value)}", argument=name)
    if not has_bytes(value):
        raise ConfigError("holds a lone surrogate, which cannot be sent", argument=name, mend="remove it")
    return value


def _is_filled_text(name: str, value: object) -> object:
    """Accept text that is more than white space."""
    if not str(_is_text(name, value)).strip():
        raise ConfigError("is empty", argument=name, mend="it must have a text")
    return value


def _is_key(name: str, value: object) -> object:
    """Accept the storage key of an uploaded file, in any form that `upload_file` may answer.

    A URL with a query, as details have it, is signed for some minutes only.
    """
    if all(sign in str(_is_filled_text(name, value)) for sign in ("://", "?")):
        mend = "only a result of upload_file may be sent"
        raise ConfigError("is a temporary URL", argument=name, mend=mend)
    return value


def _is_member(kind: type[OpenEnum]) -> Check:
    """Accept a member with a whole number as its code, even if the API document does not list the code."""

    def check(name: str, value: object) -> object:
        if not isinstance(value, kind):
            known = ", ".join(f"{member.value} {member.label}" for member in kind)
            mend = f"use a {kind.__name__}: {known}"
            raise ConfigError(f"cannot be {kind_of(value)}", argument=name, mend=mend)
        if not isinstance(value.value, int):
            raise ConfigError(f"is {value.value!r}, which has no code to send", argument=name)
        _is_int32(name, value.value)
        return value

    return check


def _are_ids(name: str, values: object) -> object:
    if not isinstance(values, tuple):
        raise ConfigError(f"must be a list of ids, not {kind_of(values)}", argument=name)
    return [_is_id(name, value) for value in values]


def _are(kind: type, checks: Mapping[str, Check]) -> Check:
    """Accept a tuple of models of this kind whose fields pass these checks."""

    def check(name: str, values: object) -> object:
        if not isinstance(values, tuple):
            raise ConfigError(f"must be a list of {kind.__name__}, not {kind_of(values)}", argument=name)
        for index, value in enumerate(values):
            if not isinstance(value, kind):
                raise ConfigError(f"[{index}] must be of class {kind.__name__}, not {kind_of(value)}", argument=name)
            for part, is_right in checks.items():
                try:
                    is_right(part, getattr(value, part))
                except ConfigError as error:
                    raise ConfigError(f"[{index}].{part} {error.problem}", argument=name, mend=error.mend) from None
        return values

    return check


def _or_none(check: Check) -> Check:
    return lambda name, value: None if value is None else check(name, value)


_ATTACHMENT: Final[dict[str, Check]] = {
    "file_name": _is_filled_text,
    "file_path": _is_key,
    "file_size": _is_size,
    "file_type": _is_filled_text,
    "author": _or_none(_is_int64),
}
_CUSTOMER: Final[dict[str, Check]] = {
    "user_id": _is_id,
    "attribute": _or_none(_is_int64),
    "business_director_id": _or_none(_is_int64),
    "business_director_name": _or_none(_is_text),
    "level": _or_none(_is_int32),
}
#: The check of a field by its type, unless the field has a check of its own. An optional text may be empty.
_CHECKS: Final[Mapping[object, Check]] = {
    int: _is_id,
    str: _is_filled_text,
    str | None: _or_none(_is_text),
    bool: arguments.flag,
    TicketStatus: _is_member(TicketStatus),
    TicketType: _is_member(TicketType),
    Priority: _is_member(Priority),
    tuple[int, ...]: _are_ids,
    tuple[Attachment, ...]: _are(Attachment, _ATTACHMENT),
    tuple[CustomerInfo, ...]: _are(CustomerInfo, _CUSTOMER),
}


def _checked(_: type, fields: "list[Attribute[Any]]") -> "list[Attribute[Any]]":
    """Give each field the check of its type."""
    return [field if field.validator else field.evolve(validator=_naming(_check_of(field.type))) for field in fields]


def _check_of(kind: object) -> Check:
    return _CHECKS[kind] if kind in _CHECKS else _or_none(_CHECKS[get_args(kind)[0]])


class Request(Model):
    """A value that is sent. Its constructor checks it, and raises `ConfigError` if it cannot be sent."""

    __slots__ = ()

    @classmethod
    def _of(cls, value: Mapping[str, JSON]) -> Self:
        known = fields_of(cls)
        names = value.keys() - {field.beside for field in known.values() if field.beside}
        if wrong := unknown_name(f"{cls.__name__} has no field", names, known):
            raise ConfigError(wrong)
        fields: dict[str, Any] = picked(cls, value)
        if missing := [name for name, field in known.items() if field.is_required and name not in fields]:
            raise ConfigError(f"needs {', '.join(missing)}", argument=cls.__name__)
        for name, found in fields.items():
            kind = known[name].kind
            if known[name].is_code and is_whole(found):
                fields[name] = kind(found)  # here: the constructor would refuse a code that the document does not list
            elif known[name].is_model and isinstance(found, list):
                fields[name] = [decoder_of(kind).read(part, name=f"{kind.__name__}: ") for part in found]
        return cls(**fields)


@frozen(kw_only=True, field_transformer=_checked)
class TicketQuery(Request):
    """Which tickets: the filters of TicketListThirdRequest. A filter that is left out is not sent.

    `list_tickets`, `iter_pages`, `iter_tickets` and exports take the same value; it is hashable and picklable. It is
    not documented whether tickets created in the second `created_end` match. Raises `ConfigError`, naming the field.
    """

    created_start: int | None = field(
        default=None, converter=_optional_seconds, validator=_naming(_or_none(_is_second))
    )
    """Created at or after, in seconds since the epoch or as an aware datetime (创建开始时间)."""
    created_end: int | None = field(default=None, converter=_optional_seconds, validator=_naming(_or_none(_is_second)))
    """Created until, in seconds since the epoch or as an aware datetime (创建截止时间)."""
    creator_id: int | None = None
    """The creator, by long staff number of the business platform (工单发起人, 业务平台长工号)."""
    customer_organization_name: str | None = field(default=None, validator=_naming(_or_none(_is_filled_text)))
    """Name of the customer (客户名称)."""
    product_group_id: tuple[int, ...] = field(default=(), converter=_ids)
    """Any of these product lines (产品线ID); empty: every one."""
    status: TicketStatus | None = field(default=None, converter=_optional_status)
    """Status, as a member, a code or a name (工单状态)."""
    type: TicketType | None = field(default=None, converter=_optional_type)
    """Type, as a member, a code or a name (工单类型)."""
    sub_type: int | None = field(default=None, validator=_naming(_or_none(_is_count)))
    """Id of the sub-type (工单子类型ID)."""
    second_subtype: int | None = field(default=None, validator=_naming(_or_none(_is_count)))
    """Id of the second-level sub-type (工单二级子分类ID)."""

    def __attrs_post_init__(self) -> None:
        if self.created_end == 0:
            problem, mend = "is 0, which the API document's example writes for no end", "leave it out"
            raise ConfigError(problem, argument="TicketQuery.created_end", mend=mend)
        if self.created_start is not None and self.created_end is not None and self.created_start > self.created_end:
            ends = (self.created_start, self.created_end)
            start, end = (datetime.fromtimestamp(at, CHINA_STANDARD_TIME) for at in ends)
            problem = f"({start}) is after TicketQuery.created_end ({end})"
            raise ConfigError(problem, argument="TicketQuery.created_start", mend="swap them")


@frozen
class PageRequest:
    """One request to `list_tickets` (schema TicketListThirdRequest): the filters, and which page of how many rows.

    Raises `ConfigError` for a page or a size below 1.
    """

    query: TicketQuery = field(factory=TicketQuery)
    """Which tickets."""
    page: int = field(default=1, validator=as_validator(_is_count))
    """Number of the page, from 1 (起始页)."""
    page_size: int = field(default=10, validator=as_validator(_is_count))
    """Rows per page (分页大小); the server may give fewer."""

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.query, TicketQuery):
            raise ConfigError(f"must be a TicketQuery, not {type(self.query).__name__}", argument="query")


@frozen(kw_only=True, field_transformer=_checked)
class CreateTicket(Request):
    """A ticket to be created (schema TicketCreateRequest).

    The document's `form_id` and `form_values` are "not supported yet" (暂不支持) and are not offered.
    """

    title: str
    """Title (工单标题)."""
    detail: str
    """The ticket's text (工单详情)."""
    reported_time: int = field(converter=_seconds, validator=_naming(_is_second))
    """When the customer called, in seconds or as an aware datetime (客户来访时间)."""
    type: TicketType = field(converter=_ticket_type)
    """Type, as a member, a code or a name (工单类型)."""
    priority: Priority = field(converter=_priority)
    """Priority, as a member, a code or a name (优先级, 受影响程度)."""
    customer_organization_id: int
    """Id of the customer (客户ID)."""
    customer_organization_name: str
    """Name of the customer (客户名称)."""
    repository_product_id: int
    """Id of a product line: of the product repository (产品库), or with `whether_product_group_id=True` your own."""
    creator_id: int
    """The creator's long staff number (创建人id, 长工号)."""
    creator_name: str
    """Name of the creator (创建人姓名)."""
    whether_product_group_id: bool | None = None
    """Whether `repository_product_id` is an own product line's id (是否自有产品线ID); left out means False."""
    sub_type: int | None = None
    """Id of the sub-type (工单子类型ID)."""
    second_subtype: int | None = None
    """Id of the second-level sub-type (工单二级子分类ID)."""
    tags: tuple[int, ...] = field(default=(), converter=_ids)
    """Ids of tags (工单标签id列表)."""
    customer_info: tuple[CustomerInfo, ...] = field(default=(), converter=_customers)
    """The customer's accounts (客户信息)."""
    attachment: tuple[Attachment, ...] = field(default=(), converter=_attachments)
    """Files, as `upload_file` returned them (附件)."""
    need_process: bool | None = None
    """Whether it must be passed on (是否需要流转)."""
    relate_to_ticket_id: int | None = None
    """Id of the ticket that the new one is tied to (关联工单id)."""
    use_relate_status: bool | None = None
    """Whether the two tickets share one status (是否共用关联工单状态)."""


@frozen(kw_only=True, field_transformer=_checked)
class CommentTicket(Request):
    """A comment on a ticket (schema TicketAutoOperateRequest, endpoint comment_ticket)."""

    id: int
    """The ticket (工单ID)."""
    detail: str
    """The comment's text (备注反馈内容)."""
    productGroupId: int | None = None  # noqa: N815 - the wire's name
    """The product line that comments (产品线ID). The API document spells this name in camel case; it is kept."""


@frozen(kw_only=True, field_transformer=_checked)
class RejectTicket(Request):
    """A product line's rejection of a ticket (schema TicketAutoOperateRequest, endpoint reject_handle)."""

    id: int
    """The ticket (工单ID)."""
    detail: str | None = None
    """The reason (备注反馈内容)."""
    productGroupId: int | None = None  # noqa: N815 - the wire's name
    """The product line that rejects (产品线ID). The API document spells this name in camel case; it is kept."""


@frozen(kw_only=True, field_transformer=_checked)
class CloseTicket(Request):
    """A ticket to be closed (endpoint close_ticket); only its creator may (仅工单的创建人可关闭工单)."""

    id: int
    """The ticket (工单ID)."""
    closer_id: int
    """The closer, by staff number of the address book (关单操作人员工号, 通讯录工号)."""
    closer_name: str
    """The closer's name (关单操作人姓名)."""
    solved_time: int = field(converter=_seconds, validator=_naming(_is_second))
    """When the customer confirmed the solution, in seconds or as an aware datetime (客户确认问题解决时间)."""
    detail: str | None = None
    """A remark (关闭工单时的备注反馈内容)."""
    is_solved: bool | None = None
    """Whether the cause was found (是否已定位原因)."""
    handle_attachment: tuple[Attachment, ...] = field(
        default=(), converter=_attachments, validator=_naming(_are(Attachment, _ATTACHMENT | {"author": _is_int64}))
    )
    """Files of the investigation, as `upload_file` returned them, each with an author (问题处理排查附件)."""


Mutation: TypeAlias = CreateTicket | CommentTicket | RejectTicket | CloseTicket
"""Any of the four mutations."""

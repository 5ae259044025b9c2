"""The values that users send: the filters of a list, and one frozen value for each mutation.

A field that stays None or empty is not sent. Every field is checked when the value is made: a wrong one is refused with
a `ConfigError` that names the class and the field, and tells the mend. So no request is made that the platform
could only refuse. Do not mix up two staff numbers: `creator_id` is a long staff number of the business platform
(业务平台长工号), `closer_id` one of the address book (通讯录工号).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, TypeVar, cast, get_args

from attrs import field, frozen
from attrs.validators import optional

from workorder_async import arguments
from workorder_async.arguments import as_validator, has_bytes, is_whole, kind_of, shown, unknown_name, whole_within
from workorder_async.document.enums import OpenEnum, Priority, TicketStatus, TicketType
from workorder_async.document.fields import CHINA_STANDARD_TIME, fields_of
from workorder_async.document.json_text import JSON
from workorder_async.document.model import Model, decoded, picked
from workorder_async.document.tickets import Attachment, CustomerInfo
from workorder_async.errors import ConfigError

if TYPE_CHECKING:
    from attrs import Attribute

__all__ = ["CloseTicket", "CommentTicket", "CreateTicket", "Mutation", "RejectTicket", "TicketQuery"]

_INT32_MAX = 2**31 - 1
_INT64_MAX = 2**63 - 1
#: The year 5138: a larger number is milliseconds.
SECONDS_MAX = 10**11
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_T = TypeVar("_T")


# Converters. Each leaves a value that it cannot turn to the check of its field. Type checkers read the type of an
# argument off its converter and cannot do so with a generic one, so there is one for each type.


def _seconds(value: int | datetime) -> int:
    """Turn an aware datetime into whole seconds since the epoch, rounded down."""
    if isinstance(value, datetime):
        # One that is none, such as NaT of pandas, raises.
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
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        return cast("tuple[_T, ...]", values)
    return tuple(values)


# Checks

Check: TypeAlias = "Callable[[object, Attribute[Any], Any], None]"


def _refused(instance: object, attribute: "Attribute[Any]", problem: str, mend: str = "") -> ConfigError:
    """Return the error that names the class and the field."""
    return ConfigError(problem, argument=f"{type(instance).__name__}.{attribute.name}", mend=mend)


_is_id: Final = as_validator(whole_within, 1, _INT64_MAX, names_class=True)
_is_count: Final = as_validator(whole_within, 1, _INT32_MAX, names_class=True)
_is_int32: Final = as_validator(whole_within, -_INT32_MAX - 1, _INT32_MAX, names_class=True)
_is_second: Final = as_validator(whole_within, 0, SECONDS_MAX, names_class=True)


def _is_seconds(instance: object, attribute: "Attribute[Any]", value: Any) -> None:
    if isinstance(value, datetime):
        mend = "give it one, for example datetime.now(timezone.utc)"
        raise _refused(instance, attribute, "is a datetime without a zone", mend)
    if not is_whole(value):
        mend = "it must be whole seconds, or a datetime with a zone"
        raise _refused(instance, attribute, f"is {kind_of(value)}", mend)
    if value > SECONDS_MAX:
        problem = f"is {shown(value)}, which looks like milliseconds"
        raise _refused(instance, attribute, problem, "it must be in seconds")
    _is_second(instance, attribute, value)


def _is_text(instance: object, attribute: "Attribute[Any]", value: Any) -> None:
    """Accept text that has UTF-8 bytes, the empty one too."""
    if not isinstance(value, str):
        raise _refused(instance, attribute, f"must be text, not {kind_of(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        problem = f"holds a lone surrogate at index {error.start}, which cannot be sent"
        raise _refused(instance, attribute, problem, "remove it") from None


def _is_filled_text(instance: object, attribute: "Attribute[Any]", value: Any) -> None:
    """Accept text that is more than white space."""
    _is_text(instance, attribute, value)
    if not str(value).strip():
        raise _refused(instance, attribute, "is empty", "the platform needs a text here")


def _code(kind: type[OpenEnum]) -> Check:
    """Accept a member with an integer code, also one that the document does not list."""

    def check(instance: object, attribute: "Attribute[Any]", value: Any) -> None:
        if not isinstance(value, kind):
            known = ", ".join(f"{member.value} {member.label}" for member in kind)
            raise _refused(instance, attribute, f"cannot be {kind_of(value)}", f"use a {kind.__name__}: {known}")
        if not isinstance(value.value, int):
            raise _refused(instance, attribute, f"is {value.value!r}, which has no code to send")
        _is_int32(instance, attribute, value.value)

    return check


def _are_ids(instance: object, attribute: "Attribute[Any]", values: Any) -> None:
    if not isinstance(values, tuple):
        raise _refused(instance, attribute, f"must be a list of ids, not {kind_of(values)}")
    for value in values:
        _is_id(instance, attribute, value)


def _each(plural: str, complaints: Callable[[Any], Iterator[tuple[str, str]]]) -> Check:
    """Accept a tuple without a complaint about any of its values. A complaint is a problem and its mend."""

    def check(instance: object, attribute: "Attribute[Any]", values: Any) -> None:
        if not isinstance(values, tuple):
            raise _refused(instance, attribute, f"must be a list of {plural}, not {kind_of(values)}")
        for index, value in enumerate(values):
            for problem, mend in complaints(value):
                raise _refused(instance, attribute, f"[{index}]{problem}", mend)

    return check


def _about_attachment(value: object) -> Iterator[tuple[str, str]]:
    if not isinstance(value, Attachment):
        yield f" must be an Attachment from upload_file, not {kind_of(value)}", ""
        return
    for name in ("file_name", "file_path", "file_type"):
        if not _is_sendable(getattr(value, name), required=True):
            yield f" has no {name}", "send what upload_file returned"
    if not _is_number(value.file_size) or value.file_size < 0:
        yield " has no file_size", "send what upload_file returned"
    if value.author is not None and not _is_number(value.author):
        yield f".author must be a user's id, not {kind_of(value.author)}", ""
    if "://" in value.file_path:
        yield ".file_path is a temporary URL", "only what upload_file returned may be sent"


def _about_authored(value: object) -> Iterator[tuple[str, str]]:
    """Say why an attachment cannot be sent with close_ticket (以下参数均为必填)."""
    yield from _about_attachment(value)
    if isinstance(value, Attachment) and value.author is None:
        yield " has no author", "close_ticket needs all five fields"


def _about_customer(value: object) -> Iterator[tuple[str, str]]:
    if not isinstance(value, CustomerInfo):
        yield f" must be a CustomerInfo, not {kind_of(value)}", ""
        return
    if not _is_number(value.user_id) or value.user_id < 1:
        yield " has no user_id", "the platform needs it"
    for name in ("attribute", "business_director_id", "level"):
        number = getattr(value, name)
        if number is not None and not _is_number(number):
            yield f".{name} must be a whole number, not {kind_of(number)}", ""
    if value.level is not None and abs(value.level) > _INT32_MAX:
        yield f".level is {value.level}", "it must have no more than 32 bits"
    director = value.business_director_name
    if director is not None and not _is_sendable(director):
        yield f".business_director_name must be text, not {kind_of(director)}", ""


def _is_number(value: object) -> bool:
    """Tell whether this is a whole number of at most 64 bits."""
    return is_whole(value) and -_INT64_MAX <= value <= _INT64_MAX


def _is_sendable(value: object, *, required: bool = False) -> bool:
    """Tell whether this is text that has UTF-8 bytes, and more than white space if it is required."""
    return isinstance(value, str) and has_bytes(value) and (not required or bool(value.strip()))


#: How a field of a type is checked, unless it has a check of its own. A text that may be left out may also be empty.
_CHECKS: Final[Mapping[object, Check]] = {
    int: _is_id,
    str: _is_filled_text,
    str | None: optional(_is_text),
    bool: as_validator(arguments.flag, names_class=True),
    TicketStatus: _code(TicketStatus),
    TicketType: _code(TicketType),
    Priority: _code(Priority),
    tuple[int, ...]: _are_ids,
    tuple[Attachment, ...]: _each("Attachment", _about_attachment),
    tuple[CustomerInfo, ...]: _each("CustomerInfo", _about_customer),
}


def _checked(_: type, fields: "list[Attribute[Any]]") -> "list[Attribute[Any]]":
    """Give each field the check of its type."""
    return [field if field.validator else field.evolve(validator=_check_of(field.type)) for field in fields]


def _check_of(kind: object) -> Check:
    if kind in _CHECKS or not isinstance(kind, UnionType):
        return _CHECKS[kind]
    return optional(_CHECKS[get_args(kind)[0]])


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
                fields[name] = kind(found)  # the document may not list it
            elif known[name].is_model and isinstance(found, list):
                fields[name] = [decoded(kind, part) for part in found]
        return cls(**fields)


@frozen(kw_only=True, field_transformer=_checked)
class TicketQuery(Request):
    """Which tickets: the filters of TicketListThirdRequest. A filter that is left out is not sent.

    One value for `list_tickets`, `iter_pages`, `iter_tickets` and exports alike; hashable and picklable. Whether
    `created_end` itself is inside is not documented. Raises `ConfigError`, naming the field.
    """

    created_start: int | None = field(default=None, converter=_optional_seconds, validator=optional(_is_seconds))
    """Created at or after, in seconds or as an aware datetime (创建开始时间)."""
    created_end: int | None = field(default=None, converter=_optional_seconds, validator=optional(_is_seconds))
    """Created until, in seconds or as an aware datetime (创建截止时间)."""
    creator_id: int | None = None
    """Its creator, by long staff number of the business platform (工单发起人, 业务平台长工号)."""
    customer_organization_name: str | None = field(default=None, validator=optional(_is_filled_text))
    """Name of the customer (客户名称)."""
    product_group_id: tuple[int, ...] = field(default=(), converter=_ids)
    """Any of these product lines (产品线ID); empty: every one."""
    status: TicketStatus | None = field(default=None, converter=_optional_status)
    """Status, as a member, a code or a name (工单状态)."""
    type: TicketType | None = field(default=None, converter=_optional_type)
    """Type, as a member, a code or a name (工单类型)."""
    sub_type: int | None = field(default=None, validator=optional(_is_count))
    """Id of the sub-type (工单子类型ID)."""
    second_subtype: int | None = field(default=None, validator=optional(_is_count))
    """Id of the second-level sub-type (工单二级子分类ID)."""

    def __attrs_post_init__(self) -> None:
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
    page: int = field(default=1, validator=as_validator(whole_within, 1, _INT32_MAX))
    """Number of the page, from 1 (起始页)."""
    page_size: int = field(default=10, validator=as_validator(whole_within, 1, _INT32_MAX))
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
    reported_time: int = field(converter=_seconds, validator=_is_seconds)
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
    """The ticket it is tied to (关联工单id)."""
    use_relate_status: bool | None = None
    """Whether it shares that ticket's status (是否共用关联工单状态)."""


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
    """Who closes it, by staff number of the address book (关单操作人员工号, 通讯录工号)."""
    closer_name: str
    """Name of who closes it (关单操作人姓名)."""
    solved_time: int = field(converter=_seconds, validator=_is_seconds)
    """When the customer confirmed the solution, in seconds or as an aware datetime (客户确认问题解决时间)."""
    detail: str | None = None
    """A remark (关闭工单时的备注反馈内容)."""
    is_solved: bool | None = None
    """Whether the cause was found (是否已定位原因)."""
    handle_attachment: tuple[Attachment, ...] = field(
        default=(), converter=_attachments, validator=_each("Attachment", _about_authored)
    )
    """Files of the investigation, as `upload_file` returned them, each with an author (问题处理排查附件)."""


Mutation: TypeAlias = CreateTicket | CommentTicket | RejectTicket | CloseTicket
"""Any of the four."""

"""What to list: the filters, and one request for a page of what they match."""

from datetime import datetime

from attrs import field, frozen
from attrs.validators import optional

from workorder_async.document import fields
from workorder_async.document.enums import TicketStatus, TicketType
from workorder_async.document.model import Model
from workorder_async.document.moments import CHINA_STANDARD_TIME
from workorder_async.errors import ConfigError


@frozen(kw_only=True)
class TicketQuery(Model):
    """Which tickets: the filters of TicketListThirdRequest; what is left out is not sent, and filters nothing.

    One value for `list_tickets`, `iter_pages`, `iter_tickets` and exports alike; hashable and picklable. Whether
    `created_end` itself is inside is not documented. Raises `ConfigError`, naming the field.
    """

    created_start: int | None = field(
        default=None, converter=fields.optional_seconds, validator=optional(fields.is_seconds)
    )
    """Created at or after, in seconds or as an aware datetime (创建开始时间)."""
    created_end: int | None = field(
        default=None, converter=fields.optional_seconds, validator=optional(fields.is_seconds)
    )
    """Created until, in seconds or as an aware datetime (创建截止时间)."""
    creator_id: int | None = field(default=None, validator=optional(fields.is_id))
    """Its creator, by long staff number of the business platform (工单发起人, 业务平台长工号)."""
    customer_organization_name: str | None = field(default=None, validator=optional(fields.is_filled_text))
    """Name of the customer (客户名称)."""
    product_group_id: tuple[int, ...] = field(default=(), converter=fields.ids, validator=fields.are_ids)
    """Any of these product lines (产品线ID); empty: every one."""
    status: TicketStatus | None = field(
        default=None, converter=fields.optional_status, validator=optional(fields.is_code)
    )
    """Status, as a member, a code or a name (工单状态)."""
    type: TicketType | None = field(default=None, converter=fields.optional_type, validator=optional(fields.is_code))
    """Type, as a member, a code or a name (工单类型)."""
    sub_type: int | None = field(default=None, validator=optional(fields.is_count))
    """Id of the sub-type (工单子类型ID)."""
    second_subtype: int | None = field(default=None, validator=optional(fields.is_count))
    """Id of the second-level sub-type (工单二级子分类ID)."""

    def __attrs_post_init__(self) -> None:
        if self.created_start is not None and self.created_end is not None and self.created_start > self.created_end:
            start, end = (
                datetime.fromtimestamp(at, CHINA_STANDARD_TIME) for at in (self.created_start, self.created_end)
            )
            raise ConfigError(
                f"TicketQuery.created_start ({start}) is after TicketQuery.created_end ({end}); swap them"
            )


@frozen
class PageRequest:
    """One request to `list_tickets` (schema TicketListThirdRequest): the filters, and which page of how many rows.

    Raises `ConfigError` for a page or a size below 1.
    """

    query: TicketQuery = field(factory=TicketQuery)
    """Which tickets."""
    page: int = field(default=1, validator=fields.is_count)
    """Number of the page, from 1 (起始页)."""
    page_size: int = field(default=10, validator=fields.is_count)
    """Rows per page (分页大小); the server may give fewer."""

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.query, TicketQuery):
            raise ConfigError(f"PageRequest.query must be a TicketQuery, not {type(self.query).__name__}")

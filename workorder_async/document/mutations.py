"""What can be changed: one frozen value per mutation, which is what its coroutine takes.

A field that stays None or empty is not sent. Every field is checked when the value is made; a wrong one is refused with
a `ConfigError` that names it. Do not mix up two staff numbers: `creator_id` is a long staff number of the business
platform (业务平台长工号), `closer_id` one of the address book (通讯录工号).
"""

from typing import TypeAlias

from attrs import field, frozen
from attrs.validators import optional

from workorder_async.document import fields
from workorder_async.document.enums import Priority, TicketType
from workorder_async.document.model import Model
from workorder_async.document.tickets import Attachment, CustomerInfo


@frozen(kw_only=True)
class CreateTicket(Model):
    """A ticket to be created (schema TicketCreateRequest).

    The document's `form_id` and `form_values` are "not supported yet" (暂不支持) and are not offered.
    """

    title: str = field(validator=fields.is_filled_text)
    """Title (工单标题)."""
    detail: str = field(validator=fields.is_filled_text)
    """The ticket's text (工单详情)."""
    reported_time: int = field(converter=fields.seconds, validator=fields.is_seconds)
    """When the customer called, in seconds or as an aware datetime (客户来访时间)."""
    type: TicketType = field(converter=fields.ticket_type, validator=fields.is_code)
    """Type, as a member, a code or a name (工单类型)."""
    priority: Priority = field(converter=fields.priority, validator=fields.is_code)
    """Priority, as a member, a code or a name (优先级, 受影响程度)."""
    customer_organization_id: int = field(validator=fields.is_id)
    """Id of the customer (客户ID)."""
    customer_organization_name: str = field(validator=fields.is_filled_text)
    """Name of the customer (客户名称)."""
    repository_product_id: int = field(validator=fields.is_id)
    """Id of a product line: of the product repository (产品库), or with `whether_product_group_id=True` your own."""
    creator_id: int = field(validator=fields.is_id)
    """The creator's long staff number (创建人id, 长工号)."""
    creator_name: str = field(validator=fields.is_filled_text)
    """Name of the creator (创建人姓名)."""
    whether_product_group_id: bool | None = field(default=None, validator=optional(fields.is_bool))
    """Whether `repository_product_id` is an own product line's id (是否自有产品线ID); left out means False."""
    sub_type: int | None = field(default=None, validator=optional(fields.is_id))
    """Id of the sub-type (工单子类型ID)."""
    second_subtype: int | None = field(default=None, validator=optional(fields.is_id))
    """Id of the second-level sub-type (工单二级子分类ID)."""
    tags: tuple[int, ...] = field(default=(), converter=fields.ids, validator=fields.are_ids)
    """Ids of tags (工单标签id列表)."""
    customer_info: tuple[CustomerInfo, ...] = field(
        default=(), converter=fields.customers, validator=fields.are_customers
    )
    """The customer's accounts (客户信息)."""
    attachment: tuple[Attachment, ...] = field(
        default=(), converter=fields.attachments, validator=fields.are_attachments
    )
    """Files, as `upload_file` returned them (附件)."""
    need_process: bool | None = field(default=None, validator=optional(fields.is_bool))
    """Whether it must be passed on (是否需要流转)."""
    relate_to_ticket_id: int | None = field(default=None, validator=optional(fields.is_id))
    """The ticket it is tied to (关联工单id)."""
    use_relate_status: bool | None = field(default=None, validator=optional(fields.is_bool))
    """Whether it shares that ticket's status (是否共用关联工单状态)."""


@frozen(kw_only=True)
class CommentTicket(Model):
    """A comment on a ticket (schema TicketAutoOperateRequest, endpoint comment_ticket)."""

    id: int = field(validator=fields.is_id)
    """The ticket (工单ID)."""
    detail: str = field(validator=fields.is_filled_text)
    """The comment's text (备注反馈内容)."""
    productGroupId: int | None = field(default=None, validator=optional(fields.is_id))  # noqa: N815 - the wire's name
    """The product line that speaks (产品线ID)."""


@frozen(kw_only=True)
class RejectTicket(Model):
    """A product line's rejection of a ticket (schema TicketAutoOperateRequest, endpoint reject_handle)."""

    id: int = field(validator=fields.is_id)
    """The ticket (工单ID)."""
    detail: str | None = field(default=None, validator=optional(fields.is_text))
    """The reason (备注反馈内容)."""
    productGroupId: int | None = field(default=None, validator=optional(fields.is_id))  # noqa: N815 - the wire's name
    """The product line that rejects (产品线ID)."""


@frozen(kw_only=True)
class CloseTicket(Model):
    """A ticket to be closed (endpoint close_ticket); only its creator may (仅工单的创建人可关闭工单)."""

    id: int = field(validator=fields.is_id)
    """The ticket (工单ID)."""
    closer_id: int = field(validator=fields.is_id)
    """Who closes it, by staff number of the address book (关单操作人员工号, 通讯录工号)."""
    closer_name: str = field(validator=fields.is_filled_text)
    """Name of who closes it (关单操作人姓名)."""
    solved_time: int = field(converter=fields.seconds, validator=fields.is_seconds)
    """When the customer confirmed the solution, in seconds or as an aware datetime (客户确认问题解决时间)."""
    detail: str | None = field(default=None, validator=optional(fields.is_text))
    """A remark (关闭工单时的备注反馈内容)."""
    is_solved: bool | None = field(default=None, validator=optional(fields.is_bool))
    """Whether the cause was found (是否已定位原因)."""
    handle_attachment: tuple[Attachment, ...] = field(
        default=(), converter=fields.attachments, validator=fields.are_authored_attachments
    )
    """Files of the investigation, as `upload_file` returned them, each with an author (问题处理排查附件)."""


Mutation: TypeAlias = CreateTicket | CommentTicket | RejectTicket | CloseTicket
"""Any of the four."""

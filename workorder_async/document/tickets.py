"""The answers of the platform: one class per schema of the API document, under the wire's own field names.

Times stay as the wire's whole seconds since the epoch in fields that end in `_time` (0: has not happened). The property
that ends in `_at` reads them as aware datetimes in China Standard Time (None: has not happened). A field that an answer
lacks, or holds as null, has the default written here. An answer must have a ticket's `id`, and a page its `tickets` and
`total`: a page without them is refused, not taken for an empty list.
The classes are plain values, compared field by field. `Attachment` and `CustomerInfo` are also sent: they are frozen.
"""

from typing import Any, ClassVar

from attrs import Attribute, Factory, define, field, frozen

from workorder_async.document.enums import AssignStatus, FormFieldType, Priority, TicketStatus, TicketType
from workorder_async.document.fields import ALONE, LEAST, NEEDED, WIRE, Moment
from workorder_async.document.json_text import JSON, parse
from workorder_async.document.model import Model
from workorder_async.errors import DecodeError

__all__ = ["Pagination", "Ticket", "TicketDetail", "TicketPage", "TicketSummary"]
__all__ += ["Attachment", "CustomerInfo", "Tag", "TicketAssign", "TicketFlowHistory", "TicketFormField"]

#: Metadata of a field of `TicketDetail`: the field of `Ticket` behind which it stands. A field without it stands behind
#: the field declared before it.
_AFTER = "after"


def in_order(kind: type, fields: "list[Attribute[Any]]") -> "list[Attribute[Any]]":
    """Return the fields of `TicketDetail` in the order of the columns of exported files, which must not change."""
    placed, place = [one for one in fields if one.name not in kind.__annotations__], 0
    for one in fields[len(placed) :]:
        names = [base.name for base in placed]
        place = names.index(one.metadata[_AFTER]) + 1 if _AFTER in one.metadata else place + 1
        placed.insert(place, one)
    return placed


@define
class Pagination(Model):
    """The size of a page and of the whole list (schema Pagination)."""

    page_size: int = 0
    """Rows per page as the server counts them (分页大小); 0 if it does not say."""
    total: int = field(default=0, metadata={NEEDED: True, LEAST: 0})
    """Rows of the whole list at the moment of the read (总记录数)."""


@define
class TicketSummary(Model):
    """One row of `list_tickets` (schema TicketListThirdResponse)."""

    id: int = field(metadata={LEAST: 1})
    """The ticket's id (工单ID)."""
    title: str = ""
    """Title (工单标题)."""
    detail: str = ""
    """The ticket's text (工单详情)."""
    status: TicketStatus = field(default=TicketStatus(0), metadata={WIRE: str})
    """Status (工单状态); a string on the wire, as a code or a name."""
    type: TicketType = field(default=TicketType(0))
    """Type (工单类型)."""
    sub_type: int = 0
    """Id of the sub-type (工单子类型ID)."""
    second_subtype: int = 0
    """Id of the second-level sub-type (工单二级子分类ID)."""
    priority: Priority = field(default=Priority(0), metadata={WIRE: str})
    """Priority (优先级); a string on the wire, as a code or a name."""
    product_group: str = ""
    """Name of the product line (产品线名称)."""
    customer_organization_name: str = ""
    """Name of the customer (客户名称)."""
    customer_user_id: str = ""
    """Id of the customer's sub-account (客户子账号ID)."""
    creator_name: str = ""
    """Name of the creator (创建人姓名); `get_ticket` also tells the id."""
    handler: int = 0
    """The handler, by long staff number of the business platform (处理人, 业务平台长工号)."""
    manager: int = 0
    """The person responsible, by long staff number of the business platform (负责人, 业务平台长工号)."""
    need_process: bool = field(default=False, metadata={WIRE: int})
    """Whether it must be passed on (是否需要流转); 0 or 1 on the wire."""
    tags: str = ""
    """Tags in one string, as they came (标签); how names are joined is not documented. A list comes as its JSON."""
    form_values: str = ""
    """Values of the additional form in one string, as they came (附加表单数据); an object comes as its JSON."""
    reported_time: int = 0
    """When the customer called, in seconds (客户来访时间)."""
    created_time: int = 0
    """When it was created, in seconds (创建时间)."""
    closed_time: int = 0
    """When it was closed, in seconds (工单关闭时间); 0 if it was not."""

    reported_at: ClassVar[Moment] = Moment()
    created_at: ClassVar[Moment] = Moment()
    closed_at: ClassVar[Moment] = Moment()

    @property
    def form_values_json(self) -> JSON:
        """`form_values` parsed as JSON; None if it is empty. Raises `DecodeError` if it is not JSON, or too deep."""
        if not self.form_values.strip():
            return None
        try:
            return parse(self.form_values)
        except ValueError as error:
            said = f"form_values of ticket {self.id} is not JSON: {error}"
            raise DecodeError(said, path="$.form_values", expected="JSON") from None


@define
class TicketPage(Model):
    """One page of `list_tickets` (schema TicketPage)."""

    pagination: Pagination = field(factory=Pagination, metadata={NEEDED: True})
    """The size of the page and of the list (分页相关)."""
    tickets: list[TicketSummary] = field(factory=list, metadata={NEEDED: True})
    """The rows of the page (列表)."""


@define
class Ticket(Model):
    """A ticket's base record, as `get_ticket` reads it (schema Ticket工单表)."""

    id: int = field(metadata={LEAST: 1})
    """The ticket's id (工单ID)."""
    title: str = ""
    """Title (工单标题)."""
    detail: str = ""
    """The ticket's text (工单详情)."""
    status: TicketStatus = field(default=TicketStatus(0))
    """Status (工单状态)."""
    type: TicketType = field(default=TicketType(0))
    """Type (工单类型)."""
    priority: Priority = field(default=Priority(0))
    """Priority (优先级)."""
    need_process: bool = False
    """Whether it must be passed on (是否需要流转); of a `TicketDetail`, whether it must be handled (是否需要处理)."""
    is_solved: bool = False
    """Whether it is solved (是否解决)."""
    is_suspended_notice: bool = False
    """Whether it is suspended (是否挂起)."""
    creator_id: int = 0
    """The creator's id (创建人ID): as we read it a long staff number, which the list's filter `creator_id` takes."""
    creator_name: str = ""
    """Name of the creator (创建人姓名)."""
    customer_organization_id: int = 0
    """Id of the customer's company (客户公司ID)."""
    customer_organization_name: str = ""
    """Name of the customer's company (客户公司名称)."""
    product_group_id: int = 0
    """Id of the product line chosen first (初选产品线ID)."""
    reported_time: int = 0
    """When the customer called, in seconds (客户联系时间)."""
    created_time: int = 0
    """When it was created, in seconds (创建时间)."""
    started_time: int = 0
    """When work began, in seconds (开始处理时间)."""
    suspended_time: int = 0
    """When it was suspended, in seconds (挂起时间)."""
    finished_time: int = 0
    """When work was finished, in seconds (完成时间)."""
    solved_time: int = 0
    """When the customer confirmed the solution, in seconds (客户确认解决时间)."""
    closed_time: int = 0
    """When it was closed, in seconds (关单时间)."""
    updated_time: int = 0
    """When it last changed, in seconds (更新时间)."""
    updated_progress_time: int = 0
    """When its progress was last updated, in seconds (更新进展时间)."""

    reported_at: ClassVar[Moment] = Moment()
    created_at: ClassVar[Moment] = Moment()
    started_at: ClassVar[Moment] = Moment()
    suspended_at: ClassVar[Moment] = Moment()
    finished_at: ClassVar[Moment] = Moment()
    solved_at: ClassVar[Moment] = Moment()
    closed_at: ClassVar[Moment] = Moment()
    updated_at: ClassVar[Moment] = Moment()
    updated_progress_at: ClassVar[Moment] = Moment()


@frozen
class Attachment(Model):
    """A file that belongs to a ticket (schema Attachment).

    The result of `upload_file` is sent on with `CreateTicket` and `CloseTicket`. `file_path` is then a storage key; in
    an answer of `get_ticket_detail` it is a temporary URL, good for about 600 seconds, which cannot be sent.
    """

    file_name: str = ""
    """Name of the file (文件名)."""
    file_path: str = ""
    """Storage key, or in `TicketDetail` a temporary URL (文件路径, ks3生成的临时文件路径, 默认600秒)."""
    file_size: int = 0
    """Size in bytes (文件大小)."""
    file_type: str = ""
    """MIME type (文件类型)."""
    author: int | None = None
    """Id of the user who uploaded it (上传用户id); `CloseTicket` needs it."""


@frozen
class CustomerInfo(Model):
    """One account of the customer (schema CustomerInfo); `CreateTicket` needs its `user_id`."""

    user_id: int = 0
    """Id of the customer's account (客户账号id)."""
    attribute: int | None = None
    """Attribute of the customer, a code that is not documented (客户属性)."""
    business_director_id: int | None = None
    """Id of the person responsible for the business (业务负责人id)."""
    business_director_name: str | None = None
    """Name of the person responsible for the business (业务负责人姓名)."""
    level: int | None = None
    """Level of the customer, a code that is not documented (客户等级)."""
    ticket_id: int | None = None
    """The ticket it belongs to (工单ID); never sent."""


@define
class Tag(Model):
    """A tag on a ticket (schema Tag工单标签)."""

    id: int = 0
    """The tag's id; `CreateTicket.tags` takes it."""
    name: str = field(default="", metadata={ALONE: True})
    """Name (标签名称); a tag may come as its name alone."""
    is_enabled: bool = False
    """Whether it is in use (是否启用)."""
    is_deleted: bool = False
    """Whether it was deleted (是否删除)."""
    created_time: int = 0
    """When it was created, in seconds (创建时间)."""
    updated_time: int = 0
    """When it last changed, in seconds (更新时间)."""

    created_at: ClassVar[Moment] = Moment()
    updated_at: ClassVar[Moment] = Moment()


@define
class TicketFormField(Model):
    """Definition of one field of a ticket's additional form (schema TicketFormField)."""

    id: int = 0
    """The field's id."""
    form_id: int = 0
    """The form it belongs to (自定义表单ID)."""
    type: FormFieldType = field(default=FormFieldType(0))
    """Kind of field (数据格式)."""
    display_name: str = ""
    """Its name on the screen (字段展示名称); in the sandbox also the key of its value in `TicketDetail.form_values`."""
    display_order: int = 0
    """Its place in the form (排序)."""
    display_remarks: str = ""
    """A remark shown beside it (字段备注)."""
    options: str = ""
    """The options to choose from, in one string (字段选项值)."""
    is_required: bool = field(default=False, metadata={WIRE: int})
    """Whether it must be filled in (是否必填); 0 or 1 on the wire."""
    is_deleted: bool = False
    """Whether it was deleted (是否删除)."""
    created_time: int = 0
    """When it was created, in seconds (创建时间)."""
    updated_time: int = 0
    """When it last changed, in seconds (更新时间)."""

    created_at: ClassVar[Moment] = Moment()
    updated_at: ClassVar[Moment] = Moment()


@define
class TicketFlowHistory(Model):
    """One step in a ticket's history, comments and rejections among them (schema TicketFlowHistory)."""

    id: int = 0
    """The step's id."""
    action: int = 0
    """The action, a code of a dictionary that is not documented (操作类型)."""
    detail: str = ""
    """The step's text (操作详情)."""
    creator_id: int = 0
    """The operator's id (操作人ID)."""
    creator_name: str = ""
    """The operator's name (操作人姓名)."""
    creator_product_group_id: int = 0
    """Id of the product line that the operator acts for (操作人代表业务线ID)."""
    creator_user_group_id: int = 0
    """Id of the group of users that the operator acts for (操作人代表用户组ID)."""
    created_time: int = 0
    """When the step was done, in seconds (操作时间); seconds or a date-time string on the wire."""

    created_at: ClassVar[Moment] = Moment()


@define
class TicketAssign(Model):
    """One product line's share of a ticket (schema TicketAssign工单分配表)."""

    id: int = 0
    """The share's id."""
    ticket_id: int = 0
    """The ticket it belongs to (工单ID)."""
    status: AssignStatus = field(default=AssignStatus(0))
    """How far this product line is (产品线处理状态)."""
    product_group_id: int = 0
    """Id of the product line (产品线ID)."""
    product_group_name: str = ""
    """Name of the product line (产品线名称)."""
    manager_name: str = ""
    """Name of the person responsible (负责人姓名)."""
    user_group_id: int = 0
    """Id of the group of users (用户组ID)."""
    user_id: int = 0
    """Id of the handler (处理人ID)."""
    user_name: str = ""
    """Name of the handler (处理人姓名)."""
    is_handler: bool = False
    """Whether the caller of the API is the handler, as we read it (是否是处理人)."""
    created_time: int = 0
    """When it was assigned, in seconds (分配时间)."""
    handled_time: int = 0
    """When work began, in seconds (处理时间)."""
    finished_time: int = 0
    """When it was finished, in seconds (完成时间)."""
    updated_time: int = 0
    """When it last changed, in seconds (更新时间)."""
    history: list[TicketFlowHistory] = Factory(list)
    """The history, step by step (处理历史记录)."""

    created_at: ClassVar[Moment] = Moment()
    handled_at: ClassVar[Moment] = Moment()
    finished_at: ClassVar[Moment] = Moment()
    updated_at: ClassVar[Moment] = Moment()


@define(field_transformer=in_order)
class TicketDetail(Ticket):
    """Everything about a ticket, as `get_ticket_detail` reads it (schema TicketDetail): its base record, and more.

    On the wire its `reported_time` and `created_time` are date-time strings. The API document gives no unit to
    `pending_duration`, `process_duration` and `total_duration`; we read seconds, as it gives to the other durations.
    """

    sub_type: int = field(default=0, metadata={_AFTER: "type"})
    """Id of the sub-type (工单子类型ID)."""
    sub_type_name: str = ""
    """Name of the sub-type (工单子类型名称)."""
    second_subtype: int = 0
    """Id of the second-level sub-type (工单二级子类型)."""
    second_subtype_name: str = ""
    """Name of the second-level sub-type (工单二级子类型名称)."""
    feedback: str = field(default="", metadata={_AFTER: "priority"})
    """How the work was rated, a code of a dictionary that is not documented (工单质量评价)."""
    is_creator: bool = field(default=False, metadata={_AFTER: "is_suspended_notice"})
    """Whether the caller of the API is the creator, as we read it (是否是创建人)."""
    customer_info: list[CustomerInfo] = field(factory=list, metadata={_AFTER: "customer_organization_name"})
    """The customer's accounts (客户信息)."""
    product_group_name: str = field(default="", metadata={_AFTER: "product_group_id"})
    """Name of the product line (产品线名称)."""
    relate_to_ticket_id: int = 0
    """Id of the ticket that this one is tied to (关联工单ID); 0 for none."""
    use_relate_status: bool = False
    """Whether the two tickets share one status (是否共用关联工单状态)."""
    feishu_group_id: str = ""
    """Id of the ticket's Feishu chat (工单飞书群ID)."""
    im_group_id: str = ""
    """Id of the ticket's chat; this field stands in the document's example only."""
    assigns: list[TicketAssign] = Factory(list)
    """The ticket's shares, one for each product line that handles it (指派人信息)."""
    attachment: list[Attachment] = Factory(list)
    """Files of the ticket (附件)."""
    handle_attachment: list[Attachment] = Factory(list)
    """Files of the investigation (处理排查附件)."""
    tags: list[Tag] = Factory(list)
    """Tags (工单标签列表)."""
    form_id: int = 0
    """Id of the additional form (附加表单id)."""
    form_define: list[TicketFormField] = Factory(list)
    """Fields of the additional form (表单字段定义)."""
    form_values: dict[str, JSON] = Factory(dict)
    """Values of the additional form, by field name (自定义表单值)."""
    created_duration: int = field(default=0, metadata={_AFTER: "updated_progress_time"})
    """From the customer's call to creation, in seconds (提单时长)."""
    pending_duration: int = 0
    """Time until work began, in seconds (接单时长)."""
    process_duration: int = 0
    """From creation to the end of work, in seconds (处理时长)."""
    suspended_duration: int = 0
    """How long the ticket was suspended, in seconds (挂起时长)."""
    confirm_duration: int = 0
    """From the end of work to the customer's confirmation, in seconds (确认时长)."""
    close_duration: int = 0
    """Time until the ticket was closed, in seconds (关单时长)."""
    total_duration: int = 0
    """From the customer's call to the customer's confirmation, in seconds (总时长)."""

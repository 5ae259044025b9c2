"""The words of the API document: enumerations, what is asked, what is answered, what is changed."""

from workorder_async.document.enums import AssignStatus, FormFieldType, OpenEnum, Priority, TicketStatus, TicketType
from workorder_async.document.fields import CHINA_STANDARD_TIME
from workorder_async.document.json_text import JSON
from workorder_async.document.requests import (
    CloseTicket,
    CommentTicket,
    CreateTicket,
    Mutation,
    PageRequest,
    RejectTicket,
    TicketQuery,
)
from workorder_async.document.tickets import (
    Attachment,
    CustomerInfo,
    Pagination,
    Tag,
    Ticket,
    TicketAssign,
    TicketDetail,
    TicketFlowHistory,
    TicketFormField,
    TicketPage,
    TicketSummary,
)

__all__ = [
    "CHINA_STANDARD_TIME",
    "JSON",
    "AssignStatus",
    "Attachment",
    "CloseTicket",
    "CommentTicket",
    "CreateTicket",
    "CustomerInfo",
    "FormFieldType",
    "Mutation",
    "OpenEnum",
    "PageRequest",
    "Pagination",
    "Priority",
    "RejectTicket",
    "Tag",
    "Ticket",
    "TicketAssign",
    "TicketDetail",
    "TicketFlowHistory",
    "TicketFormField",
    "TicketPage",
    "TicketQuery",
    "TicketStatus",
    "TicketSummary",
    "TicketType",
]

"""The words of the API document: enumerations, requests, answers."""

from workorder_async.document import requests
from workorder_async.document.enums import AssignStatus, FormFieldType, OpenEnum, Priority, TicketStatus, TicketType
from workorder_async.document.fields import CHINA_STANDARD_TIME
from workorder_async.document.json_text import JSON
from workorder_async.document.requests import *  # noqa: F403 - a new request stands in its own file alone
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
    "CustomerInfo",
    "FormFieldType",
    "OpenEnum",
    "Pagination",
    "Priority",
    "Tag",
    "Ticket",
    "TicketAssign",
    "TicketDetail",
    "TicketFlowHistory",
    "TicketFormField",
    "TicketPage",
    "TicketStatus",
    "TicketSummary",
    "TicketType",
]
__all__ += requests.__all__

"""The words of the API document: enumerations, requests, answers."""

from workorder_async.document import requests, tickets
from workorder_async.document.enums import AssignStatus, FormFieldType, OpenEnum, Priority, TicketStatus, TicketType
from workorder_async.document.fields import CHINA_STANDARD_TIME
from workorder_async.document.json_text import JSON
from workorder_async.document.requests import *  # noqa: F403 - a new request stands in its own file alone
from workorder_async.document.requests import PageRequest
from workorder_async.document.tickets import *  # noqa: F403 - and so does a new answer

__all__ = ["CHINA_STANDARD_TIME", "JSON", "PageRequest"]
__all__ += ["AssignStatus", "FormFieldType", "OpenEnum", "Priority", "TicketStatus", "TicketType"]
__all__ += requests.__all__
__all__ += tickets.__all__

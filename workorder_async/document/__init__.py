"""The words of the API document: enumerations, requests, answers."""

from workorder_async.document import enums, requests, tickets
from workorder_async.document.enums import *  # noqa: F403 - a new enumeration stands in its own file alone
from workorder_async.document.enums import OpenEnum
from workorder_async.document.fields import CHINA_STANDARD_TIME
from workorder_async.document.json_text import JSON
from workorder_async.document.requests import *  # noqa: F403 - likewise
from workorder_async.document.requests import PageRequest
from workorder_async.document.tickets import *  # noqa: F403 - likewise

__all__ = ["CHINA_STANDARD_TIME", "JSON", "OpenEnum", "PageRequest"]
__all__ += enums.__all__
__all__ += requests.__all__
__all__ += tickets.__all__

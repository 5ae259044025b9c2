"""The client to compare with that is made of httpx2 and pydantic v2; importing this file needs the group `bench`."""

from collections.abc import Awaitable, Callable
from enum import IntEnum

import httpx2
from pydantic import BaseModel

from benchmarks.others import WORKERS
from benchmarks.pages import PAGE_SIZE
from workorder_async.document.endpoints import LIST_TICKETS


class Status(IntEnum):
    """Status of a ticket (工单状态)."""

    PENDING = 1
    PROCESSING = 2
    CLOSED = 3
    CANCELLED = 4


class Kind(IntEnum):
    """Type of a ticket (工单类型)."""

    TROUBLESHOOTING = 1
    FEATURE_REQUEST = 2
    CONSULTATION = 3


class Priority(IntEnum):
    """Priority of a ticket (优先级)."""

    URGENT = 1
    HIGH = 2
    NORMAL = 3


class Ticket(BaseModel):
    """One row of the list (schema TicketListThirdResponse), with the same types as `TicketSummary`."""

    id: int
    title: str
    detail: str
    status: Status
    type: Kind
    sub_type: int
    second_subtype: int
    priority: Priority
    product_group: str
    customer_organization_name: str
    customer_user_id: str
    creator_name: str
    handler: int
    manager: int
    need_process: bool
    tags: str
    form_values: str
    reported_time: int
    created_time: int
    closed_time: int


class Pagination(BaseModel):
    """Where a page stands (schema Pagination)."""

    page_size: int
    total: int


class Page(BaseModel):
    """One page (schema TicketPage)."""

    pagination: Pagination
    tickets: list[Ticket]


class Envelope(BaseModel):
    """The whole answer."""

    errno: int
    errmsg: str
    request_id: str
    data: Page


async def httpx2_and_pydantic(
    base_url: str, drive: Callable[[Callable[[int], Awaitable[tuple[int, int]]]], Awaitable[int]]
) -> int:
    """Read all pages into models, and touch every ticket; returns how many there were."""
    url = base_url + LIST_TICKETS.path
    limits = httpx2.Limits(max_connections=WORKERS, max_keepalive_connections=WORKERS)
    async with httpx2.AsyncClient(limits=limits, trust_env=False) as client:

        async def read(number: int) -> tuple[int, int]:
            response = await client.post(url, json={"page": number, "page_size": PAGE_SIZE})
            data = Envelope.model_validate_json(response.content).data
            return sum(1 for ticket in data.tickets if ticket.id), data.pagination.total

        return await drive(read)

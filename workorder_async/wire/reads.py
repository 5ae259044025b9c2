"""Reads of a platform: pages of the list, single tickets, and the questions of settling."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from math import inf
from typing import Any, TypeVar

from attrs import evolve, frozen

from workorder_async.arguments import as_int, is_whole, shown
from workorder_async.document import (
    PageRequest,
    Ticket,
    TicketDetail,
    TicketPage,
    TicketQuery,
    TicketSummary,
    codec,
    endpoints,
)
from workorder_async.document.endpoints import Endpoint
from workorder_async.document.envelope import Answer
from workorder_async.document.json_text import to_json
from workorder_async.errors import ConfigError, ResponseError
from workorder_async.wire.bodies import JsonBody
from workorder_async.wire.call import Deadline
from workorder_async.wire.limits import Lane
from workorder_async.wire.session import SignedSession

# No honest server has more pages than these of one creator's tickets since a mutation began.
_PAGES_OF_CREATED = 100
# How often a list that moves is read, before that is given up.
_READINGS = 5
T = TypeVar("T", bound=Ticket)
D = TypeVar("D")


@frozen
class Reads:
    """Reads over one session; `until` is the deadline of all of them, None for one each."""

    session: SignedSession
    until: Deadline | None = None
    lane: Lane | None = None

    async def answer(self, request: PageRequest) -> Answer:
        """Read one page of the list, and return it as it came."""
        body = JsonBody(codec.encode_page_request(request))
        return await self.session.call(endpoints.LIST_TICKETS, body=body, lane=self.lane, until=self.until)

    async def page(self, request: PageRequest) -> TicketPage:
        """Read one page of the list."""
        return await _decoded(partial(codec.decode_page, page=request.page), await self.answer(request))

    async def ticket(self, id: int) -> Ticket:
        """Read a ticket's base record."""
        return await self._get(endpoints.GET_TICKET, Ticket, id)

    async def detail(self, id: int) -> TicketDetail:
        """Read everything about a ticket."""
        return await self._get(endpoints.GET_TICKET_DETAIL, TicketDetail, id)

    async def created(self, query: TicketQuery) -> tuple[list[TicketSummary], bool]:
        """Read the tickets that a query with a `created_start` matches; and whether these are all.

        A list of several pages may move while it is read. It is read again until a reading shows no ticket that the
        readings before it should have shown. Tickets are missing where the list counts more than it shows.
        """
        rows, newest = dict[int, TicketSummary](), inf
        for _ in range(_READINGS):
            found, pages, total = await self._read_through(query)
            new = found.keys() - rows.keys()
            rows |= found
            if pages == 1 or all(rows[id].created_time > newest for id in new):
                return list(rows.values()), len(rows) >= total
            newest = max(row.created_time for row in rows.values())
        raise ResponseError("the list of tickets created since moves faster than it is read")

    async def _read_through(self, query: TicketQuery) -> tuple[dict[int, TicketSummary], int, int]:
        """Read all pages of a list; return its rows, how many pages that took, and how many rows it counts."""
        rows, total = dict[int, TicketSummary](), 0
        for number in range(1, _PAGES_OF_CREATED + 1):
            page = await self.page(PageRequest(query, number, 100))
            known, total = len(rows), max(total, page.pagination.total)
            rows.update((row.id, row) for row in page.tickets)
            # The end is a page without news, or one that is not full once the total is reached: a total alone may be
            # wrong, and a page alone may be short.
            full = min(page.pagination.page_size or 100, 100)  # the server may give fewer than it is asked for
            if len(rows) == known or (len(page.tickets) < full and len(rows) >= total):
                return rows, number, total
        raise ResponseError(f"the list of tickets created since does not end after {_PAGES_OF_CREATED} pages")

    async def learn_time(self) -> None:
        """Read a page where no answer has told the server's time yet."""
        if not self.session.clock.is_known:
            await self.answer(PageRequest(page_size=1))

    async def _get(self, endpoint: Endpoint, model: type[T], id: int) -> T:
        number = str(ticket_number(id, endpoint.operation))
        answer = await self.session.call(endpoint, query=(("id", number),), until=self.until, lane=self.lane)
        ticket = await _decoded(partial(codec.decode, model, name=f"ticket {number}: "), answer)
        if ticket.id != id:
            what = f"asked for ticket {id}, and answered with ticket {ticket.id}"
            raise answer.told_in(ResponseError(f"{what}: a cache or gateway mixes answers up", status=200))
        return ticket


def ticket_number(value: object, operation: str) -> int:
    """Return the number of a ticket. Raises `ConfigError`, with the operation, for a value that can be none."""
    if not is_whole(value) or not 1 <= value < 2**63:
        mend = f"it must be a ticket's number, from 1{as_int(value)}"
        raise ConfigError(f"is {shown(value)}", argument="id", mend=mend, operation=operation)
    return value


async def _decoded(decode: Callable[[Answer], D], answer: Answer) -> D:
    """Decode an answer; a large one in a thread, where it does not hold up the event loop."""
    return await asyncio.to_thread(decode, answer) if answer.large else decode(answer)


class ListReads:
    """Reads pages of the tickets that one query matches, over one session and in one lane; `until` is as for `Reads`.

    The filters are encoded once, for a walk reads thousands of pages. The range of created time is given with each
    read, in place of the query's own.
    """

    def __init__(
        self, session: SignedSession, query: TicketQuery, lane: Lane | None = None, until: Deadline | None = None
    ) -> None:
        self._call = partial(session.call, endpoints.LIST_TICKETS, lane=lane, until=until)
        filters = to_json(codec.encode(evolve(query, created_start=None, created_end=None)))
        self._filters = filters[1:-1] + b"," if len(filters) > 2 else b""

    def read(
        self, created_start: int | None, created_end: int | None, page: int, page_size: int
    ) -> Coroutine[Any, Any, Answer]:
        """Read one page (from 1) of the tickets created from the one second until the other; None sets no bound.

        Raises the errors of every call.
        """
        start = b"" if created_start is None else b'"created_start":%d,' % created_start
        end = b"" if created_end is None else b'"created_end":%d,' % created_end
        # The same as `codec.encode_page_request` writes, but for the order of the fields.
        content = b'{%b%b%b"page":%d,"page_size":%d}' % (self._filters, start, end, page, page_size)
        return self._call(body=JsonBody(content))

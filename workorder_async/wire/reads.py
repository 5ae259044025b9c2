"""What can be read of a platform: pages of the list, single tickets, what settling asks for; and the reads of a walk.

A walk reads pages of one list by the thousand. `SignedSession.call` is made for all that can happen to a request; to
nearly all reads of a walk nothing happens. So `ListReads` makes them by one coroutine: in the same turns, with the same
signatures, over the same wire, within the same times. Where anything is odd (an error, a status, a body), the session
takes over and goes on as if it had made the attempt itself: nothing is sent twice for that. Where anybody is told of
attempts, the session makes the whole call.
"""

import asyncio
from collections.abc import Mapping
from typing import TypeVar

from attrs import Factory, define, evolve, frozen

from workorder_async.arguments import is_whole
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
from workorder_async.document.endpoints import LIST_TICKETS, Endpoint
from workorder_async.document.envelope import SUCCESS, Answer
from workorder_async.document.json_text import loads, to_json
from workorder_async.errors import ConfigError, ResponseError, WorkorderError
from workorder_async.wire.attempt import AttemptLimit, Reply
from workorder_async.wire.bodies import BytesPayload, JsonBody
from workorder_async.wire.call import Call, Deadline, Trial
from workorder_async.wire.limits import Lane, TurnTimeoutError
from workorder_async.wire.session import SignedSession, fail, two_turns

# One creator's tickets since a mutation began: no honest server has more pages of them than these.
_PAGES_OF_CREATED = 100
T = TypeVar("T", Ticket, TicketDetail)
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
        return await _decoded(TicketPage, await self.answer(request))

    async def ticket(self, id: int) -> Ticket:
        """Read a ticket's base record."""
        return await self._get(endpoints.GET_TICKET, Ticket, id)

    async def detail(self, id: int) -> TicketDetail:
        """Read everything about a ticket."""
        return await self._get(endpoints.GET_TICKET_DETAIL, TicketDetail, id)

    async def created(self, creator_id: int, since: int) -> list[TicketSummary]:
        """Read the tickets of a creator since a moment by the server's clock, in seconds."""
        query, rows = TicketQuery(creator_id=creator_id, created_start=since), dict[int, TicketSummary]()
        for number in range(1, _PAGES_OF_CREATED + 1):
            page = await self.page(PageRequest(query, number, 100))
            known = len(rows)
            rows.update((row.id, row) for row in page.tickets)
            # Neither a total nor a page that repeats itself is trusted to be the end, or not to be it.
            if len(rows) == known or (len(page.tickets) < 100 and len(rows) >= page.pagination.total):
                return list(rows.values())
        raise ResponseError(f"the list of what was created since does not end after {_PAGES_OF_CREATED} pages")

    async def offset(self) -> float:
        """Return how many seconds the server's clock is ahead of ours; reads a page first where that is not known."""
        if not self.session.clock.is_known:
            await self.answer(PageRequest(page_size=1))
        return self.session.clock.safe_offset

    async def _get(self, endpoint: Endpoint, model: type[T], id: int) -> T:
        if not is_whole(id) or not 1 <= id < 2**63:
            raise ConfigError(f"{endpoint.operation}: id is {id!r}; it must be a ticket's number, from 1")
        answer = await self.session.call(endpoint, query=(("id", str(id)),), until=self.until, lane=self.lane)
        ticket = await _decoded(model, answer)
        if ticket.id != id:
            raise ResponseError(
                f"asked for ticket {id}, and answered with ticket {ticket.id}: a cache or gateway mixes answers up",
                status=200,
                operation=answer.operation,
                attempts=answer.attempts,
                request_id=answer.request_id,
            )
        return ticket


async def _decoded(model: type[D], answer: Answer) -> D:
    """Decode an answer; a large one in a thread, where it does not hold up the event loop."""
    return await asyncio.to_thread(codec.decode, model, answer) if answer.large else codec.decode(model, answer)


def _now() -> float:
    """Return the time by the clock that deadlines and pauses are of."""
    return asyncio.get_running_loop().time()


class ListReads:
    """Reads pages of what one query matches, over one session and in one lane.

    The filters are encoded once. The range of created time is given with each read, in place of the query's own.
    """

    def __init__(self, session: SignedSession, query: TicketQuery, lane: Lane) -> None:
        self._session = session
        self._lane = lane
        filters = to_json(codec.encode(evolve(query, created_start=None, created_end=None)))
        self._filters = filters[1:-1] + b"," if len(filters) > 2 else b""

    async def read(self, created_start: int | None, created_end: int | None, page: int, page_size: int) -> Answer:
        """Read one page (from 1) of what was created from the one second until the other; None sets no bound.

        Raises what any call raises.
        """
        session, lane = self._session, self._lane
        content = self._body(created_start, created_end, page, page_size)
        if session.is_observed:
            return await session.call(LIST_TICKETS, body=JsonBody(content), lane=lane)
        session.check_usable()
        first = _FirstAttempt(content, BytesPayload(content), session.deadline())
        try:
            started = await session.limiter.start(lane, first.deadline.until)
        except (TurnTimeoutError, WorkorderError) as error:
            fail(first.as_call(session, lane, attempts=0), error)
        outcome: Reply | BaseException
        is_on_wire, limit = False, AttemptLimit()
        try:
            signed = first.sign(session)
            limit.set(first.deadline, session.options.attempt_timeout)
            is_on_wire = True
            with limit:
                outcome = reply = await session.wire.transfer(LIST_TICKETS, (), first.payload, signed, limit)
            is_on_wire = False
            first.take_in(session, reply)
            if reply.is_opened_first:
                return session.open(first.as_call(session, lane), started, reply)
        except BaseException as error:  # noqa: BLE001 - raised where the session takes over, cancellation too
            outcome = session.wire.failure(first.as_call(session, lane), limit, error) if is_on_wire else error
        finally:
            session.limiter.end(lane)
        if isinstance(outcome, Reply):
            await two_turns()
            answer = _plain_answer(outcome)
            if answer is not None:
                session.served(started)
                return answer
        return await session.take_over(first.as_call(session, lane), started, outcome)

    def _body(self, created_start: int | None, created_end: int | None, page: int, page_size: int) -> bytes:
        """Return what `codec.encode_page_request` would, but for the order of the fields."""
        start = b"" if created_start is None else b'"created_start":%d,' % created_start
        end = b"" if created_end is None else b'"created_end":%d,' % created_end
        return b'{%b%b%b"page":%d,"page_size":%d}' % (self._filters, start, end, page, page_size)


@define
class _FirstAttempt:
    """The first attempt of a read, and what a call would know of it."""

    content: bytes
    payload: BytesPayload
    deadline: Deadline
    asked: float = Factory(_now)
    begun: float = 0.0  # when its turn came
    sent_at: float = 0.0  # by our own clock
    used: float = 0.0  # the clock that signed it
    seen: float | None = None  # the clock that its answer told
    status: int | None = None

    def sign(self, session: SignedSession) -> Mapping[str, str]:
        """Return the headers that sign it, now that its turn has come."""
        self.begun, self.used = _now(), session.clock.signing_offset
        signed = session.wire.sign(LIST_TICKETS, (), (self.content,), self.used)
        self.sent_at = session.clock.local()
        return signed

    def take_in(self, session: SignedSession, reply: Reply) -> None:
        """Note what its answer says beside its body."""
        self.status = reply.status
        self.seen = session.clock.observe(reply.headers.get("Date"), self.sent_at, session.clock.local())

    def as_call(self, session: SignedSession, lane: Lane, attempts: int = 1) -> Call:
        """Return the call as it is with this attempt, or before it where its turn never came."""
        trial = Trial(session.clock, session.errnos, LIST_TICKETS.safety)
        trial.used, trial.seen = self.used, self.seen
        body, retry = JsonBody(self.content), session.options.retry
        call = Call(LIST_TICKETS, (), body, lane, self.deadline, retry, trial, attempts, since=self.asked)
        call.began, call.sent, call.status = self.sent_at, self.payload.is_begun, self.status
        if attempts:
            call.turn_to("request", self.begun)
        return call


def _plain_answer(reply: Reply) -> Answer | None:
    """Return what a reply plainly holds; None where it takes a closer look."""
    if reply.is_large or reply.content is None:
        return None
    try:
        value = loads(reply.content)
    except ValueError:
        return None
    if type(value) is not dict or value.get("errno") != SUCCESS or type(value.get("request_id")) is not str:
        return None
    return Answer(value.get("data"), value["request_id"], LIST_TICKETS.operation)

"""The reads of a walk: pages of one list, by the thousand, on a lean road.

`SignedSession.call` is made for all that can happen to a request. To nearly all reads of a walk nothing happens, so
they are made here, by one coroutine: in the same turns, with the same signatures, over the same wire, within the same
times. Where anything is odd (an error, a status, a body) the session takes over what there is, and goes on as if it had
made the attempt itself: nothing is sent twice for that. Where anybody is told of attempts, it makes the whole call.
"""

import asyncio
from collections.abc import Mapping

import orjson
from attrs import Factory, define, evolve

from workorder_async.document import TicketQuery, codec
from workorder_async.document.endpoints import LIST_TICKETS
from workorder_async.document.envelope import SUCCESS, Answer
from workorder_async.errors import WorkorderError
from workorder_async.wire.attempt_limit import AttemptLimit
from workorder_async.wire.bodies import BytesPayload, JsonBody
from workorder_async.wire.call import Call
from workorder_async.wire.deadline import Deadline
from workorder_async.wire.replies import Reply
from workorder_async.wire.session import SignedSession, fail, two_turns
from workorder_async.wire.trial import Trial
from workorder_async.wire.waiting import Lane, TurnTimeoutError


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
        filters = codec.to_json(codec.encode(evolve(query, created_start=None, created_end=None)))
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
        value = orjson.loads(reply.content)
    except orjson.JSONDecodeError:
        return None
    if type(value) is not dict or value.get("errno") != SUCCESS or type(value.get("request_id")) is not str:
        return None
    return Answer(value.get("data"), value["request_id"], LIST_TICKETS.operation)

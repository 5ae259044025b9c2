"""How one mutation is sent, at most once, and how its outcome is found if its answer is lost."""

import asyncio
from collections.abc import Callable
from math import inf
from random import Random

from attrs import evolve, frozen

from workorder_async.arguments import plain
from workorder_async.document import Mutation
from workorder_async.document.codec import decode_created
from workorder_async.document.envelope import Answer
from workorder_async.errors import (
    ApiError,
    DecodeError,
    NotSentError,
    OutcomeUnknownError,
    Settlement,
    TicketStateError,
    WorkorderError,
)
from workorder_async.mutations.kinds import Prepared, kind_of, place_of_ticket, trace_of_text
from workorder_async.mutations.memory import EarlierRun, Sending, Sendings
from workorder_async.signing.clock import Ahead
from workorder_async.wire.bodies import BeforeWrite, JsonBody
from workorder_async.wire.call import Deadline
from workorder_async.wire.limits import Lane
from workorder_async.wire.reads import Reads
from workorder_async.wire.session import SignedSession

# Seconds before the second look for a lost mutation; each further pause is twice as long.
_FIRST_PAUSE = 0.5
# The least seconds in `Settlement.again`, where another look is due at once: 0 would mean that none is.
_SOON = 0.001


@frozen
class Changed:
    """The facts of a mutation that happened."""

    ticket_id: int
    """The ticket; of a creation, the new one."""
    request_id: str
    """The platform's id of the last answer."""
    attempts: int
    """Requests that were started for it; reads that settled it do not count."""


class MutationSender:
    """Sends the mutations of one client, and knows which of them may have happened."""

    def __init__(self, session: SignedSession) -> None:
        self._session = session
        # For how many seconds the platform may carry out a request that was written.
        self._request_lasts = session.options["attempt_timeout"]
        self._sendings = Sendings(session.clock, session.options["deadline"], self._request_lasts)
        self._random = Random()  # noqa: S311 - jitter, no secret

    async def send(
        self,
        prepared: Prepared,
        on_send: Callable[[], None] | None,
        on_turned_away: Callable[[], None] | None,
        *,
        settles: bool,
        patient: bool,
        until: Deadline,
        began: float | None = None,
        lane: Lane | None = None,
        may_send: BeforeWrite | None = None,
    ) -> Changed:
        """Send a mutation; with `settles` look for it after a lost answer. The rest: see `WorkorderClient.change`."""
        kind, mutation, sending = prepared.kind, prepared.mutation, prepared.sending(began)
        body = self._body(prepared, sending, on_send, on_turned_away, may_send)
        reads, made, lost, time = Reads(self._session, until, lane), 0, None, asyncio.get_running_loop().time
        while True:
            try:
                answer = await self._session.call(kind.endpoint, body=body, lane=lane, until=until, attempts=made)
                return self._answered(prepared, sending, answer)
            except asyncio.CancelledError:
                self._sendings.note_end(sending, self._request_lasts)
                raise
            except WorkorderError as error:
                made, pause_ends = error.attempts or made, time() + (error.retry_after or 0.0)
                if isinstance(error, OutcomeUnknownError):
                    lost = self._note_lost(prepared, sending, error)
                if lost is None:  # after an unknown errno it may have left a sign all the same
                    (self._sendings.note_end if type(error) is ApiError else self._sendings.drop)(sending)
                    raise
                # After a lost answer, a refusal may be caused by the lost request, and "not sent" is said of the last
                # request only. So only a look tells. If it contradicts a refusal, it may show the past.
                self._sendings.note_end(sending, self._request_lasts)
                look = settles and await self.look(mutation, sending, reads, until, patient=patient)
                found = look or Settlement(None)
                if found.happened and (id := found.ticket_id or kind.ticket_id(mutation)):  # else of an unknown one
                    return Changed(id, error.request_id, made)
                if found.happened is False and error is not lost and _agrees(error, found):
                    raise
                repeats = found.happened is False and error is lost and kind.converges and pause_ends < until.until
                if not repeats or not self._session.may_repeat(made):
                    lost.attempts = made
                    raise lost from lost.__cause__ if error is lost else error
                await self._session.pause(pause_ends - time())  # the looks took a part of the pause

    def find(self, prepared: Prepared, began: float, ahead: Ahead | None, run: EarlierRun | None) -> Sending:
        """Return the record of a mutation that was sent at `began`, by this client or by another `run`."""
        wanted = prepared.sending()
        wanted.began, wanted.ahead = began, ahead
        return self._sendings.find(wanted, run)

    async def look(
        self, mutation: Mutation, sending: Sending, reads: Reads, until: Deadline, *, patient: bool
    ) -> Settlement:
        """Look for a mutation; if `patient`, again and again until its outcome is known or a later look tells no more.

        A pause that would end after the deadline ends the looks as well. A read that fails leaves it unknown.
        """
        pause = _FIRST_PAUSE
        while True:
            found = await self._settled(mutation, sending, reads)
            wait = min(pause * self._random.uniform(0.5, 1), found.again or 0.0)
            is_last = found.happened is not None or not patient or not wait or wait >= until.left()
            if is_last or not await self._session.pause(wait):
                return found
            pause *= 2

    async def _settled(self, mutation: Mutation, sending: Sending, reads: Reads) -> Settlement:
        """Look for a mutation, unless it was found before, and forget it if it did not happen."""
        if sending.happened and (sending.ticket_id or not kind_of(mutation).creates):
            return Settlement(True, sending.ticket_id)
        asked = self._sendings.steady()
        try:
            found = await kind_of(mutation).look(mutation, sending, reads, self._sendings)
        except ApiError:  # the read is refused, and would be again
            return Settlement(sending.happened or None)
        except Exception:  # noqa: BLE001 - nor may an error of the user's clock hide that it was sent
            found = Settlement(None)
        if sending.happened:
            found = evolve(found, happened=True)  # the answer said so, but not which ticket it made
        if found.happened:
            self._note_happened(mutation, sending, found.ticket_id)
        elif found.happened is False:
            self._sendings.drop(sending)
        left = self._sendings.left(sending)
        was_late = left + self._sendings.steady() - asked <= 0
        return found if found.happened is not None or was_late or left == inf else evolve(found, again=max(left, _SOON))

    def _body(
        self,
        prepared: Prepared,
        sending: Sending,
        on_send: Callable[[], object] | None,
        on_turned_away: Callable[[], object] | None,
        may_send: BeforeWrite | None,
    ) -> JsonBody:
        """Return the request's body, which notes that it is written, and that it was turned away."""

        async def before_write() -> None:
            if may_send is not None:
                await may_send()
            if on_send is not None:
                plain("on_send", on_send())
            self._sendings.enter(sending)

        def note_turned_away() -> None:
            self._sendings.turned_away(sending)
            if on_turned_away is not None:
                plain("on_turned_away", on_turned_away())

        ticket_id = prepared.kind.ticket_id(prepared.mutation)
        return JsonBody(prepared.content, before_write, note_turned_away, ticket_id)

    def _answered(self, prepared: Prepared, sending: Sending, answer: Answer) -> Changed:
        """Note that it happened.

        Raises `OutcomeUnknownError` if the answer to a creation names no ticket, or one that another creation made.
        """
        id = prepared.kind.ticket_id(prepared.mutation)
        if prepared.kind.creates:
            try:
                id = decode_created(answer)
            except DecodeError as error:
                self._sendings.note_happened(sending)  # it did happen, even if no later look shows it
                unknown = answer.told_in(OutcomeUnknownError(error.message))
                unknown.happened = True
                raise unknown from error
            if self._sendings.is_of_another(sending, id):
                mixed = f"it is answered with ticket {id}, which another creation made"
                raise answer.told_in(OutcomeUnknownError(f"{mixed}: a cache or gateway mixes answers up"))
        self._note_happened(prepared.mutation, sending, id)
        return Changed(id, answer.request_id, answer.attempts)

    def _note_happened(self, mutation: Mutation, sending: Sending, ticket_id: int) -> None:
        """Note that it happened. A new ticket's history may begin with its text, which must not pass for a comment."""
        if not kind_of(mutation).creates:
            self._sendings.note_happened(sending)
        elif ticket_id:
            self._sendings.note_happened(sending, ticket_id)
            # With the time of the creation: the user's clock may fail, and is not asked any more.
            place, trace = place_of_ticket(ticket_id), trace_of_text(ticket_id, mutation.detail)
            self._sendings.note_happened(evolve(sending, place=place, trace=trace, mark="", intent=None, ticket_id=0))

    def _note_lost(self, prepared: Prepared, sending: Sending, error: OutcomeUnknownError) -> OutcomeUnknownError:
        """Put the facts for settling into the error: the mutation, and when the first of its lost requests was sent."""
        if not sending.began:
            self._sendings.enter(sending)
        sending.lost, error.mutation, error.mark = True, prepared.mutation, prepared.mark
        error.began, error.ahead, error.platform = sending.began, sending.ahead, self._session.base_url
        error.run = EarlierRun(within=self._sendings.steady() - sending.start, attempt=self._request_lasts)
        return error


def _agrees(error: WorkorderError, found: Settlement) -> bool:
    """Tell whether a refusal after a lost answer agrees with a look by which nothing happened.

    A refusal by the ticket's state contradicts a ticket that is still open; an unknown errno may mean such a refusal.
    """
    doubtful = isinstance(error, TicketStateError) or type(error) is ApiError
    return isinstance(error, ApiError | NotSentError) and (found.holds or not doubtful)

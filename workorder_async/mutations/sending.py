"""How one mutation is sent, at most once, and how its outcome is found if its answer is lost."""

from collections.abc import Callable

from attrs import frozen

from workorder_async.document import Mutation
from workorder_async.document.codec import decode_created
from workorder_async.document.envelope import Answer
from workorder_async.errors import ApiError, OutcomeUnknownError, Settlement, WorkorderError
from workorder_async.mutations.kinds import Prepared, kind_of
from workorder_async.mutations.recently_sent import Sending, Sendings
from workorder_async.mutations.settling import note_creation
from workorder_async.wire.bodies import JsonBody
from workorder_async.wire.call import Deadline
from workorder_async.wire.limits import Lane
from workorder_async.wire.reads import Reads
from workorder_async.wire.session import SignedSession


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
        self._sendings = Sendings(session.clock.local)

    async def send(
        self,
        prepared: Prepared,
        on_send: Callable[[], None] | None,
        on_turned_away: Callable[[], None] | None,
        *,
        verify: bool,
        until: Deadline,
        began: float | None = None,
        lane: Lane | None = None,
    ) -> Changed:
        """Send a mutation. After a lost answer settle it, and send it again if it did not happen.

        Comments and creations are settled only with `verify`. The other arguments are as in `WorkorderClient.change`.
        Raises the session's errors; after a lost answer `OutcomeUnknownError`, unless the mutation did not happen.
        """
        kind, mutation = prepared.kind, prepared.mutation
        sending = Sending(prepared.trace, kind.line(mutation), began)
        body = self._body(prepared.content, sending, on_send, on_turned_away)
        settles, made, lost = verify or kind.converges, 0, None
        while True:
            try:
                answer = await self._session.call(kind.endpoint, body=body, lane=lane, until=until, attempts=made)
            except WorkorderError as error:
                made = error.attempts
                if isinstance(error, OutcomeUnknownError):
                    lost = self._note_lost(mutation, sending, error, lost)
                # After a lost answer a refusal may be caused by the lost request, and a request that was not sent this
                # time may have been sent before.
                found = Settlement(None)
                if lost and settles:
                    found = await self._settled(mutation, sending, Reads(self._session, until, lane))
                if found.happened:
                    self._sendings.note(sending, found.ticket_id)
                    return Changed(found.ticket_id or kind.ticket_id(mutation), error.request_id, made)
                if lost is None or (found.happened is False and isinstance(error, ApiError)):
                    self._note_refused(sending, error)
                    raise
                if found.happened is None or error is not lost or not self._session.may_repeat(made):
                    lost.attempts = made
                    raise lost from lost.__cause__ if error is lost else error
            else:
                return self._answered(prepared, sending, answer)

    async def settle(
        self, mutation: Mutation, began: float, *, until: Deadline, lane: Lane | None = None
    ) -> Settlement:
        """Find out whether a mutation happened that was sent at `began`; a read that fails leaves it unknown."""
        kind = kind_of(mutation)
        trace, line = kind.trace(mutation), kind.line(mutation)
        sending = Sending(trace, line) if kind.converges else self._sendings.find(trace, line, began)
        return await self._settled(mutation, sending, Reads(self._session, until, lane))

    async def _settled(self, mutation: Mutation, sending: Sending, reads: Reads) -> Settlement:
        """Look for a mutation. A mutation that was found once is not looked for again."""
        if sending.happened:
            return Settlement(True, sending.ticket_id)
        try:
            return await kind_of(mutation).look(mutation, sending, reads, self._sendings)
        except WorkorderError:
            return Settlement(None)

    def _body(
        self,
        content: bytes,
        sending: Sending,
        on_send: Callable[[], None] | None,
        on_turned_away: Callable[[], None] | None,
    ) -> JsonBody:
        """Return the request's body, which notes when it is written and when it was turned away."""

        def note_write() -> None:
            if on_send is not None:
                on_send()
            self._sendings.enter(sending)

        def note_turned_away() -> None:
            self._sendings.drop(sending)
            if on_turned_away is not None:
                on_turned_away()

        return JsonBody(content, note_write, note_turned_away)

    def _answered(self, prepared: Prepared, sending: Sending, answer: Answer) -> Changed:
        """Note that it happened. Raises `DecodeError` if a creation's answer does not tell which ticket it made."""
        self._sendings.note(sending)
        id = prepared.kind.ticket_id(prepared.mutation)
        if prepared.kind.creates:
            id = decode_created(answer)
            note_creation(prepared.mutation, id, sending, self._sendings)
        return Changed(id, answer.request_id, answer.attempts)

    def _note_refused(self, sending: Sending, error: WorkorderError) -> None:
        """Note that it did not happen; an errno without a meaning does not say so for certain."""
        if type(error) is ApiError:
            self._sendings.answered(sending)
        else:
            self._sendings.drop(sending)

    def _note_lost(
        self, mutation: Mutation, sending: Sending, error: OutcomeUnknownError, earlier: OutcomeUnknownError | None
    ) -> OutcomeUnknownError:
        """Keep the mutation, and the time of its first request, in the error."""
        self._sendings.enter(sending)
        error.mutation = mutation
        error.began = earlier.began if earlier else sending.began or error.began
        return error

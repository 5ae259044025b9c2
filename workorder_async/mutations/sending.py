"""How one mutation is sent, at most once, and what becomes of it where its answer is lost."""

from collections.abc import Awaitable, Callable
from functools import partial

from attrs import frozen

from workorder_async.document import CommentTicket, CreateTicket, Mutation
from workorder_async.document.codec import decode_created
from workorder_async.document.endpoints import Safety
from workorder_async.document.envelope import Answer
from workorder_async.errors import ApiError, DecodeError, OutcomeUnknownError, Settlement, WorkorderError
from workorder_async.mutations.prepared import Prepared
from workorder_async.mutations.recently_sent import Sending, Sendings
from workorder_async.mutations.settling import note_creation, sending_of, settle
from workorder_async.wire.bodies import JsonBody
from workorder_async.wire.call import Deadline
from workorder_async.wire.limits import Lane
from workorder_async.wire.reads import Reads
from workorder_async.wire.session import SignedSession


@frozen
class Changed:
    """What is known of a mutation that happened."""

    ticket_id: int
    """The ticket; of a creation, the new one."""
    request_id: str
    """The platform's id of the last answer."""
    attempts: int
    """Requests that were started for it; reads that settled it do not count."""


@frozen
class Hooks:
    """Who is told of a mutation's requests, for a record of what may have been sent."""

    on_send: Callable[[], None] | None = None
    """Called just before a request with the mutation is written; where it raises, nothing is written."""
    on_turned_away: Callable[[], None] | None = None
    """Called when such a request was turned away and changed nothing."""


class MutationSender:
    """Sends the mutations of one client, and knows which of them may have happened."""

    def __init__(self, session: SignedSession) -> None:
        self._session = session
        self._sendings = Sendings(session.clock.local)

    async def send(
        self,
        prepared: Prepared,
        hooks: Hooks,
        *,
        verify: bool,
        until: Deadline,
        began: float | None = None,
        lane: Lane | None = None,
    ) -> Changed:
        """Send a mutation. After a lost answer settle it, and send it again where it did not happen.

        Comments and creations are settled only with `verify`. `began` is when its caller wrote down that it would be
        sent. Raises what the session raises; after a lost answer `OutcomeUnknownError`, unless it is known that the
        mutation did not happen.
        """
        sending = sending_of(prepared.mutation, trace=prepared.trace, intent=began)
        body = self._body(prepared, sending, hooks)
        call = partial(self._session.call, prepared.endpoint, body=body, lane=lane, until=until)
        verify = verify or prepared.endpoint.safety is Safety.CONVERGENT
        reads = Reads(self._session, until, lane) if verify else None
        try:
            changed = await self._until_known(prepared.mutation, sending, lambda made: call(attempts=made), reads)
        except OutcomeUnknownError:
            raise
        except DecodeError:
            self._sendings.note(sending)  # a creation whose answer does not tell which ticket it made
            raise
        except WorkorderError as error:
            # What an errno without a meaning stands for is not known: something may be there.
            if type(error) is ApiError:
                self._sendings.answered(sending)
            else:
                self._sendings.drop(sending)
            raise
        if isinstance(prepared.mutation, CreateTicket):
            note_creation(prepared.mutation, changed.ticket_id, sending, self._sendings)
        else:
            self._sendings.note(sending)
        return changed

    async def settle(
        self, mutation: Mutation, began: float, *, until: Deadline, lane: Lane | None = None
    ) -> Settlement:
        """Find out whether a mutation happened that was sent at `began`; a read that fails leaves it unknown."""
        sending = sending_of(mutation)
        if isinstance(mutation, CommentTicket | CreateTicket):
            sending = self._sendings.find(sending.trace, sending.line, began)
        return await self._settled(mutation, sending, Reads(self._session, until, lane))

    def _body(self, prepared: Prepared, sending: Sending, hooks: Hooks) -> JsonBody:
        """Return the request's body, which notes when it is written and when it was turned away."""

        def note_write() -> None:
            if hooks.on_send is not None:
                hooks.on_send()
            self._sendings.enter(sending)

        def note_turned_away() -> None:
            self._sendings.drop(sending)
            if hooks.on_turned_away is not None:
                hooks.on_turned_away()

        return JsonBody(prepared.content, note_write, note_turned_away)

    async def _until_known(
        self,
        mutation: Mutation,
        sending: Sending,
        call: Callable[[int], Awaitable[Answer]],
        reads: Reads | None,
    ) -> Changed:
        """Send, settle by `reads` where they are given, and send again, until it is known or nothing more may be done.

        `call` is told how many requests were made before.
        """
        made, lost = 0, None
        while True:
            try:
                answer = await call(made)
            except WorkorderError as error:
                made = error.attempts
                if isinstance(error, OutcomeUnknownError):
                    lost = self._note_lost(mutation, sending, error, lost)
                if lost is None:
                    raise
                # After a lost answer a refusal may be of what the lost request did, and a request that was not sent
                # this time may have been sent before.
                found = Settlement(None) if reads is None else await self._settled(mutation, sending, reads)
                if found.happened:
                    return Changed(found.ticket_id or _ticket_of(mutation), error.request_id, made)
                if found.happened is False and isinstance(error, ApiError):
                    raise
                if found.happened is None or error is not lost or not self._session.may_repeat(made):
                    lost.attempts = made
                    raise lost from lost.__cause__ if error is lost else error
            else:
                id = decode_created(answer) if isinstance(mutation, CreateTicket) else mutation.id
                return Changed(id, answer.request_id, answer.attempts)

    def _note_lost(
        self, mutation: Mutation, sending: Sending, error: OutcomeUnknownError, earlier: OutcomeUnknownError | None
    ) -> OutcomeUnknownError:
        """Say in the error what was sent, and when first."""
        self._sendings.enter(sending)
        error.mutation = mutation
        error.began = earlier.began if earlier else sending.began or error.began
        return error

    async def _settled(self, mutation: Mutation, sending: Sending, reads: Reads) -> Settlement:
        try:
            return await settle(mutation, sending, reads, self._sendings)
        except WorkorderError:
            return Settlement(None)


def _ticket_of(mutation: Mutation) -> int:
    return 0 if isinstance(mutation, CreateTicket) else mutation.id

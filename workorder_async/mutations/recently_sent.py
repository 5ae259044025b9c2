"""The mutations that one client has sent, so that the sign of one mutation is not taken for the sign of another.

A mutation leaves a trace: a new ticket, or a text in a ticket's history. Two mutations with the same trace look the
same afterwards. Only their number, and the ids that answers gave, tell which is which.
"""

import hashlib
from collections.abc import Callable
from math import inf, nextafter
from time import monotonic

from attrs import define

from workorder_async.document import CreateTicket, TicketSummary

#: For so many seconds after its answer a mutation may look as if it had just happened: the platform's machines may
#: disagree on the time.
_BLUR = 600.0
#: The same limit for forgotten mutations. It is short, or a fast batch could never be settled.
_BLUR_OF_FORGOTTEN = 6.0
#: Moments nearer to each other than this count as one; the smallest step that a float can take tells them apart.
_MOMENT = 0.001


def trace_of_text(ticket_id: int, text: str) -> str:
    """Return the trace of a text in a ticket's history. Blanks do not count: a platform may trim them."""
    return _digest("text", ticket_id, text)


def trace_of_ticket(ticket: CreateTicket) -> str:
    """Return the trace of a new ticket. Blanks do not count."""
    return _digest("ticket", ticket.creator_id, *shown_of(ticket))


def shown_of(ticket: CreateTicket | TicketSummary) -> tuple[object, ...]:
    """Return the values that a new ticket has in common with its row in the list."""
    texts = (ticket.title, ticket.detail, ticket.customer_organization_name)
    return (*texts, ticket.type, ticket.priority, ticket.reported_time)


def _digest(*left: object) -> str:
    folded = tuple(" ".join(part.split()) if isinstance(part, str) else part for part in left)
    return hashlib.sha256(repr(folded).encode()).hexdigest()[:32]


@define(eq=False)
class Sending:
    """One mutation that may have been sent, from the first byte written on."""

    trace: str
    """The trace that it leaves; "" if no other mutation can leave the same."""
    line: int | None = None
    """The product line that speaks; None for any."""
    intent: float | None = None
    """When its caller wrote down that it would be sent, by our own clock."""
    began: float = 0.0
    """When it was sent, by our own clock; no two mutations with one trace have the same."""
    start: float = 0.0
    """The same by the clock that is never set."""
    end: float = inf
    """When its answer came, by that clock; it cannot have happened later."""
    happened: bool = False
    """Whether it is known to have happened."""
    ticket_id: int = 0
    """The ticket that it created; 0 if that is not known."""


class Sendings:
    """The latest mutations that one client sent, `most` of them; `now` is our own clock, in seconds since the epoch."""

    def __init__(self, now: Callable[[], float], most: int = 20_000) -> None:
        self._now = now
        self._most = most
        self._kept: dict[Sending, None] = {}  # the oldest first
        self._alike: dict[str, dict[Sending, None]] = {}
        self._owners: dict[int, Sending] = {}
        self._forgotten = -inf  # a forgotten mutation cannot have happened later

    def enter(self, sending: Sending) -> None:
        """Keep a mutation that is being sent; a second call changes nothing."""
        if not sending.trace or sending in self._kept:
            return
        sending.began, sending.start = self._now(), monotonic()
        latest = next(reversed(self._alike.get(sending.trace, {})), None)
        if latest is not None and 0 <= latest.began - sending.began < _MOMENT:
            sending.began = nextafter(latest.began, inf)
        self._keep(sending)

    def find(self, trace: str, line: int | None, began: float) -> Sending:
        """Return the mutation that was sent at this moment.

        A mutation that this client does not know was sent by somebody else, and is kept from now on.
        """
        found = [one for one in self._alike.get(trace, ()) if began in (one.began, one.intent)]
        if len(found) == 1:
            return found[0]
        stranger = Sending(trace, line, began=began, start=monotonic() - (self._now() - began))
        if trace:
            self._keep(stranger)
        return stranger

    def note(self, sending: Sending, ticket_id: int = 0) -> None:
        """Note that it happened, and which ticket it created."""
        self.enter(sending)
        self.answered(sending)
        sending.happened = True
        if ticket_id and sending in self._kept:
            sending.ticket_id = ticket_id
            self._owners[ticket_id] = sending

    def answered(self, sending: Sending) -> None:
        """Note that it cannot happen any more."""
        sending.end = min(sending.end, monotonic())

    def drop(self, sending: Sending) -> None:
        """Forget a mutation that certainly left nothing."""
        if sending in self._kept:
            del self._kept[sending]
            alike = self._alike[sending.trace]
            del alike[sending]
            if not alike:
                del self._alike[sending.trace]
            if self._owners.get(sending.ticket_id) is sending:
                del self._owners[sending.ticket_id]

    def rivals(self, sending: Sending) -> list[Sending] | None:
        """Return the others with its trace that may look as if they had happened since it was sent.

        None if some of them may be forgotten.
        """
        if sending.start - _BLUR_OF_FORGOTTEN <= self._forgotten:
            return None
        alike = self._alike.get(sending.trace, ())
        return [one for one in alike if one is not sending and one.end + _BLUR >= sending.start]

    def is_anothers(self, ticket_id: int, sending: Sending) -> bool:
        """Tell whether another mutation is known to have created this ticket."""
        return self._owners.get(ticket_id, sending) is not sending

    def _keep(self, sending: Sending) -> None:
        self._kept[sending] = None
        self._alike.setdefault(sending.trace, {})[sending] = None
        if len(self._kept) > self._most:
            oldest = next(iter(self._kept))
            self.drop(oldest)
            self._forgotten = max(self._forgotten, min(oldest.end, monotonic()))

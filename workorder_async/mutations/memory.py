"""The latest mutations that a client sent, and when each of them can have happened.

A mutation leaves its sign at a place: a text in a ticket's history, or a new ticket among those of its creator. The
platform may store a text otherwise than it was sent, so any two mutations at one place may look the same afterwards.
Only their number, their times, and the ids that answers gave, tell which is which: `Sendings` keeps those.
"""

import asyncio
from collections.abc import Awaitable, Callable
from math import inf, nextafter
from typing import TypeVar

from attrs import define, field, frozen

from workorder_async.signing.clock import BELIEVED_BEHIND, Ahead, ServerClock

_T = TypeVar("_T")
#: For so many seconds after its answer a mutation may look as if it had just happened: the platform's machines may
#: disagree on the time.
_BLUR = 600.0
#: The same limit for forgotten mutations. It is short, or a fast batch could never be settled.
_BLUR_OF_FORGOTTEN = 6.0
#: Moments nearer to each other than this count as one; the smallest step that a float can take tells them apart.
_MOMENT = 0.001
#: The server writes times in whole seconds, and the machine that writes them may not be the one that tells the time.
TOLERANCE = 3.0
#: The clock of the tickets may be so many seconds off the clock of `Date`.
APART = 60.0
#: Clocks that differ by more in the length of the same time were set meanwhile, or stood still.
_STEP = 2.0


@frozen
class Span:
    """The seconds by the server's clock in which a mutation can have happened; without bounds if they are not known."""

    since: float = -inf
    until: float = inf
    first: float = -inf
    """The beginning by the earlier of two clocks, of which nobody says which one dates the tickets: that of `Date`, and
    our own, by which signatures are accepted."""
    last: float = inf
    """The end by the later one."""

    def has(self, time: int) -> bool:
        """Tell whether a time on a ticket lies in it for certain; a time that is absent does not."""
        return self.since > -inf and self.since <= time <= self.until

    def may_have(self, time: int) -> bool:
        """Tell whether a time may lie in it; one that is absent may."""
        return not time or self.since <= time <= self.until

    def may_have_by_any(self, time: int) -> bool:
        """Tell the same where the clock that dates the tickets is not known, and may be somewhat off."""
        return not self.follows(time) and time <= self.last + APART

    def follows(self, time: float) -> bool:
        """Tell whether a time on a ticket is certainly before it, also by a clock that is somewhat behind."""
        return 0 < time < self.first - APART


@define(eq=False)
class Sending:
    """One mutation that may have been sent, from the first byte written on."""

    place: str
    """Where it leaves its sign. See `MutationKind.place`."""
    trace: str = ""
    """The sign that it leaves there, as far as the platform keeps texts as they are."""
    line: int | None = None
    """The product line that speaks; None for any."""
    mark: str = ""
    """The caller's reference at the end of its text; "" for none."""
    solution: tuple[int, bool] | None = None
    """How a close says that the ticket was solved; None for any other mutation."""
    intent: float | None = None
    """When its caller wrote down that it would be sent, by our own clock."""
    began: float = 0.0
    """When it was sent, by our own clock; no two mutations at one place have the same."""
    ahead: Ahead | None = None
    """How far the server's clock was ahead of ours then; None if that was not known."""
    is_timed: bool = True
    """Whether `start` is known; else only `began` and `ahead` are known of its time."""
    start: float = 0.0
    """When it was sent, by the clock that is never set."""
    end: float = inf
    """When it has happened or never will, by that clock."""
    over: float = inf
    """For a mutation of another client: when no request of it can be under way any more, by that clock."""
    lost: bool = False
    """Whether the answer to a request of it was lost."""
    happened: bool = False
    """Whether it is known to have happened."""
    ticket_id: int = 0
    """The ticket that it created; 0 if that is not known."""


@frozen
class EarlierRun:
    """Another run that sent a mutation, as far as it is known, by the event loop's clock of this one."""

    start: float | None = None
    """When it began with it; None if this machine was started again since, or that was another one."""
    within: float = inf
    """For how many seconds it could send it."""
    attempt: float = 0.0
    """For how many seconds its requests may be carried out, where that is longer than those of this client."""
    ended: float = inf
    """When it was certainly gone."""


@frozen
class Known:
    """The circumstances of a mutation, as they are known after a look."""

    span: Span
    """When it can have happened."""
    rivals: list[Sending] | None
    """See `Sendings.rivals`."""
    is_late: bool
    """Whether the look began when the mutation had happened or never would."""


@define(eq=False)
class Sendings:
    """The latest mutations that one client sent, `most` of them, and when each can have happened.

    Another client of which nothing else is known sends a mutation `within` so many seconds, and a request of its may be
    carried out for `attempt` seconds.
    """

    _clock: ServerClock = field(alias="clock")
    _within: float = field(default=inf, alias="within")
    _attempt: float = field(default=0.0, alias="attempt")
    _most: int = field(default=20_000, alias="most", kw_only=True)
    steady: Callable[[], float] = field(default=lambda: asyncio.get_running_loop().time(), kw_only=True)
    _kept: dict[Sending, None] = field(init=False, factory=dict)  # the oldest first
    _at: dict[str, dict[Sending, None]] = field(init=False, factory=dict)
    _forgotten: float = field(init=False, default=-inf)  # a forgotten mutation cannot have happened later

    def enter(self, sending: Sending) -> None:
        """Keep a mutation that is being sent. Each further call says that it is sent again, and may happen later."""
        sending.end = inf
        # A mutation that was forgotten, since it seemed not to have happened, still began when it was sent first.
        if not sending.began:
            sending.began, sending.start, sending.ahead = self._clock.local(), self.steady(), self._clock.ahead()
            latest = next(reversed(self._at.get(sending.place, {})), None)
            if latest is not None and 0 <= latest.began - sending.began < _MOMENT:
                sending.began = nextafter(latest.began, inf)
        self._keep(sending)

    def find(self, wanted: Sending, run: EarlierRun | None = None) -> Sending:
        """Return the mutation of this place and trace that was sent when `wanted` says that it began.

        A mutation that this client does not know was sent by somebody else, of whom `run` tells, and is kept from now
        on, unless it was not sent at all: then it began at no time, which is `inf`.
        """
        run = run or EarlierRun(within=self._within)
        attempt = max(run.attempt, self._attempt)
        wanted.over = run.ended + attempt
        # A clock may be coarse: two closes of one moment differ by how they say that the ticket was solved.
        what = (wanted.trace, wanted.line, wanted.solution)
        alike = [one for one in self._at.get(wanted.place, ()) if (one.trace, one.line, one.solution) == what]
        found = [one for one in alike if wanted.began in (one.began, one.intent)]
        if len(found) == 1:
            found[0].over = min(found[0].over, wanted.over)
            return found[0]
        wanted.start = self.steady()
        if wanted.began < inf:
            wanted.start -= self._clock.local() - wanted.began
            # A wide gap: our clock was set since, the machine slept, or the event loops count from different moments.
            gap = inf if run.start is None else run.start - wanted.start
            wanted.is_timed = abs(gap) <= _STEP
            wanted.start += gap if wanted.is_timed else 0.0
            wanted.end = wanted.start + run.within + attempt
            if wanted.is_timed:
                wanted.end = min(wanted.end, wanted.over)
            self._keep(wanted)
        return wanted

    def note(self, sending: Sending, ticket_id: int = 0) -> None:
        """Note that it happened, and which ticket it created."""
        if sending not in self._kept:
            self.enter(sending)
        self.ended(sending)
        sending.happened = True
        if ticket_id:
            sending.ticket_id = ticket_id

    def ended(self, sending: Sending, after: float = 0.0) -> None:
        """Note that it cannot happen any more, so many seconds from now."""
        sending.end = min(sending.end, self.steady() + after)

    def drop(self, sending: Sending) -> None:
        """Forget a mutation that certainly left nothing. A refusal by an errno without a meaning does not say that."""
        if sending in self._kept:
            del self._kept[sending]
            there = self._at[sending.place]
            del there[sending]
            if not there:
                del self._at[sending.place]

    def turned_away(self, sending: Sending) -> None:
        """Forget a request that certainly left nothing. If none before it was lost, the next one begins it anew."""
        self.drop(sending)
        if not sending.lost:
            sending.began = 0.0

    def rivals(self, sending: Sending) -> list[Sending] | None:
        """Return the others at its place that may look as if they had happened since it was sent.

        None if some of them may be forgotten.
        """
        if sending.start - _BLUR_OF_FORGOTTEN <= self._forgotten:
            return None
        others = [one for one in self._at.get(sending.place, ()) if one is not sending]
        # Times by clocks that may have been wrong are not compared.
        return [one for one in others if one.end + _BLUR >= sending.start or not (one.is_timed and sending.is_timed)]

    def created(self, creator_id: int, since: float) -> set[int]:
        """Return the tickets that this client made for a creator since then, by our own clock."""
        begin = f"creator {creator_id} "
        return {one.ticket_id for one in self._kept if one.place.startswith(begin) and one.began >= since} - {0}

    def of_others(self, sending: Sending) -> set[int]:
        """Return the tickets that other mutations are known to have created."""
        return {one.ticket_id for one in self._kept if one is not sending}

    def is_of_another(self, sending: Sending, ticket_id: int) -> bool:
        """Tell whether a creation of another trace is known to have made this ticket."""
        return any(one.ticket_id == ticket_id and one.trace != sending.trace for one in self._kept)

    def span(self, sending: Sending) -> Span:
        """Return when it can have happened, by the server's clock.

        The span that was known when it was sent and the one of now must agree. If not, a clock was set, and nothing is
        known. A program that is gone, and did not know the server's clock, leaves no span, unless it ran on this
        machine: the clock that is never set dates its mutations, too.
        """
        now = self._clock.ahead()
        then = sending.ahead or (now if sending.is_timed or sending.over == inf else None)
        if then is None:
            return Span()
        since, latest = sending.began + then.least, sending.began + then.most
        if sending.is_timed:
            moment = self._clock.local() - (self.steady() - sending.start)
            if now is None or moment + now.least - latest > _STEP or since - (moment + now.most) > _STEP:
                return Span()
        until = latest + (sending.end - sending.start)
        if not sending.is_timed and now is not None:
            # By the server's clock alone: ours may have been set since it began.
            until = min(until, self._clock.local() - (self.steady() - sending.over) + now.most)
            if until < since:
                return Span()
        # A clock of a `Date` that signs may be some minutes off. Our own may be right all the same: a read that was
        # refused for another reason, and then served, is enough to sign by the other.
        signs = self._clock.signing_offset and self._clock.signing_offset - BELIEVED_BEHIND
        first = -inf if now is None else since + min(0.0, -now.most, signs - now.most)
        last = inf if now is None else until + max(0.0, -now.least)
        return Span(since - TOLERANCE, until + TOLERANCE, first - TOLERANCE, last + TOLERANCE)

    def left(self, sending: Sending) -> float:
        """Return the seconds until it has happened or never will; not above 0 once that is so.

        If its `start` is not known, the server's clock tells, if that is known for then and for now, and our own was
        not set: not between the two, nor since the first look. Otherwise it is over when its sender has been gone for
        so long; if nobody knows since when, our clock is believed.
        """
        if sending.is_timed:
            return sending.end - self.steady()
        then, now = sending.ahead, self._clock.ahead()
        moved = self._clock.local() - (self.steady() - sending.start) - sending.began
        agrees = then and now and max(then.least - now.most, now.least - then.most) <= _STEP and abs(moved) <= _STEP
        if now and (agrees or (then is None and sending.over == inf)):
            return self.span(sending).until - (self._clock.local() + now.least)
        return sending.over - self.steady()

    async def read(self, sending: Sending, reading: Awaitable[_T]) -> "tuple[_T, Known]":
        """Return the result of a read, and the knowledge about a mutation by then."""
        asked = self.steady()
        found = await reading
        is_late = self.left(sending) + (self.steady() - asked) <= 0
        return found, Known(self.span(sending), self.rivals(sending), is_late)

    def _keep(self, sending: Sending) -> None:
        self._kept[sending] = None
        self._at.setdefault(sending.place, {})[sending] = None
        if len(self._kept) > self._most:
            oldest = next(iter(self._kept))
            self.drop(oldest)
            self._forgotten = max(self._forgotten, min(oldest.end, self.steady()))

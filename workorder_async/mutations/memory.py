"""The latest mutations that a client sent, and when each of them can have happened.

A mutation leaves its sign at a place: a text in a ticket's history, or a new ticket among those of its creator. The
platform may store a text otherwise than it was sent, so any two mutations at one place may look the same afterwards.
Only their number, their times, and the ids that answers gave, tell which is which: `Sendings` keeps those.

Times are of three clocks. *Ours* (`began`, `intent`) may be set. The *steady* one (`start`, `end`, `gone_by`) is that
of the event loop: it is never set, but another run or machine counts it from another moment. The *server's* dates the
tickets: a `Span` is by it, and `ahead` says how far it is ahead of ours.
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
#: No two mutations at one place have the same `began`. If our clock shows that of the latest one there once more, or a
#: time that is fewer seconds than this before it, the next float after it is taken.
_MOMENT = 0.001
#: Seconds by which a time on a ticket may differ from the server's clock: times are whole seconds, and another machine
#: of the platform may write them.
TOLERANCE = 3.0
#: Seconds by which the clock that dates tickets may differ from that of `Date` at the worst. Where an error would prove
#: that a mutation did not happen, this much is allowed for.
APART = 60.0
#: If two clocks measure the same time, and differ by more seconds than these, one was set meanwhile, or stood still.
_STEP = 2.0


@frozen
class Span:
    """The seconds by the server's clock in which a mutation can have happened; without bounds if they are not known."""

    since: float = -inf
    until: float = inf
    first: float = -inf
    """`since` by the earlier of two clocks, either of which may date the tickets: that of `Date`, and our own, by which
    signatures are accepted."""
    last: float = inf
    """`until` by the later one of these."""

    def has(self, time: int) -> bool:
        """Tell whether a time on a ticket certainly lies in the span. An absent one (0) does not."""
        return self.since > -inf and self.since <= time <= self.until

    def may_have(self, time: int) -> bool:
        """Tell whether a time on a ticket may lie in the span. An absent one (0) may."""
        return not time or self.since <= time <= self.until

    def may_have_by_any_clock(self, time: int) -> bool:
        """Tell whether a time may lie in the span by either clock that may date the tickets, or one `APART` from it."""
        return not self.is_after(time) and time <= self.last + APART

    def is_after(self, time: float) -> bool:
        """Tell whether the span is certainly after a time on a ticket, even if the tickets' clock is `APART` behind."""
        return 0 < time < self.first - APART


@define(eq=False)
class Sending:
    """One mutation that may have been sent, from the first byte written on."""

    place: str
    """Where it leaves its sign. See `MutationKind.place`."""
    trace: str = ""
    """A digest of its sign. A platform that stores texts otherwise than they were sent shows another."""
    line: int | None = None
    """The product line that speaks; None for any."""
    mark: str = ""
    """The caller's reference at the end of its text; "" for none."""
    solution: tuple[int, bool] | None = None
    """How a close says that the ticket was solved; None for any other mutation."""
    product: tuple[int, bool] | None = None
    """The product line of a new ticket, and whether that number is an own one; None for any other mutation."""
    intent: float | None = None
    """When its caller wrote down that it would be sent, by our own clock; None if it did not."""
    began: float = 0.0
    """When it was first sent, by our own clock; no two mutations at one place have the same."""
    ahead: Ahead | None = None
    """How far the server's clock was ahead of ours when it began; None if that was not known."""
    is_timed: bool = True
    """Whether `start` is certain; else only `began` and `ahead` tell when it was sent."""
    start: float = 0.0
    """When it was first sent, by the steady clock."""
    end: float = inf
    """From when on it cannot happen any more, by the steady clock."""
    gone_by: float = inf
    """If another run sent it: from when on no request of that run can be under way, by the steady clock."""
    lost: bool = False
    """Whether the answer to a request of it was lost."""
    happened: bool = False
    """Whether it is known to have happened."""
    ticket_id: int = 0
    """The ticket that it created; 0 if that is not known."""


@frozen
class EarlierRun:
    """The run that sent a mutation, if it is not this one; times are by the steady clock of this run."""

    start: float | None = None
    """When it began with the mutation; None if that was on another machine, or this one was started again since."""
    within: float = inf
    """For how many seconds from then on it could send the mutation."""
    attempt: float = 0.0
    """For how many seconds the platform may carry out one of its requests, if longer than for one of this client."""
    ended: float = inf
    """When that run had certainly ended."""
    made: tuple[int, int] | None = None
    """Of a creation: a ticket that such a run made for the same product line, and its creator."""


@frozen
class Known:
    """The facts that a look for a mutation is judged by."""

    span: Span
    """When the mutation can have happened."""
    rivals: list[Sending] | None
    """See `Sendings.rivals`."""
    is_late: bool
    """Whether the look began after the last moment in which the mutation could happen."""


@define(eq=False)
class Sendings:
    """The latest mutations that one client sent, `most` of them, and when each can have happened.

    A mutation of another run, of which nothing else is known, was sent `within` so many seconds from its beginning, and
    the platform may carry out each request for `attempt` seconds.
    """

    _clock: ServerClock = field(alias="clock")
    _within: float = field(default=inf, alias="within")
    _attempt: float = field(default=0.0, alias="attempt")
    _most: int = field(default=20_000, alias="most", kw_only=True)
    steady: Callable[[], float] = field(default=lambda: asyncio.get_running_loop().time(), kw_only=True)
    _kept: dict[Sending, None] = field(init=False, factory=dict)  # the one that is kept the longest stands first
    _at: dict[str, dict[Sending, None]] = field(init=False, factory=dict)
    _made_before: dict[tuple[int, bool] | None, tuple[int, int]] = field(init=False, factory=dict)  # by other runs
    _forgotten: float = field(init=False, default=-inf)  # a forgotten mutation cannot have happened later

    def enter(self, sending: Sending) -> None:
        """Keep a mutation before each of its requests is written: after a further request it may happen later."""
        sending.end = inf
        # A mutation that was dropped, since it seemed not to have happened, still began when it was first sent.
        if not sending.began:
            sending.began, sending.start, sending.ahead = self._clock.local(), self.steady(), self._clock.ahead()
            latest = next(reversed(self._at.get(sending.place, {})), None)
            if latest is not None and 0 <= latest.began - sending.began < _MOMENT:
                sending.began = nextafter(latest.began, inf)
        self._keep(sending)

    def find(self, wanted: Sending, run: EarlierRun | None = None) -> Sending:
        """Return the mutation that is kept with the place, trace, line, solution and beginning of `wanted`.

        If there is none, or more than one, another `run` sent it: its other times are worked out, and `wanted` itself
        is kept from now on. A `wanted` that began at `inf` was not sent at all: it is returned, and not kept.
        """
        run = run or EarlierRun(within=self._within)
        attempt = max(run.attempt, self._attempt)
        wanted.gone_by = run.ended + attempt
        if run.made:
            self._made_before[wanted.product] = run.made
        # Two closes may begin in the same moment of a coarse clock: they differ by their solutions.
        identity = (wanted.trace, wanted.line, wanted.solution)
        alike = [one for one in self._at.get(wanted.place, ()) if (one.trace, one.line, one.solution) == identity]
        found = [one for one in alike if wanted.began in (one.began, one.intent)]
        if len(found) == 1:
            found[0].gone_by = min(found[0].gone_by, wanted.gone_by)
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
                wanted.end = min(wanted.end, wanted.gone_by)
            self._keep(wanted)
        return wanted

    def note_happened(self, sending: Sending, ticket_id: int = 0) -> None:
        """Note that a mutation happened, and which ticket it created."""
        if sending not in self._kept:
            self.enter(sending)
        self.note_end(sending)
        sending.happened = True
        if ticket_id:
            sending.ticket_id = ticket_id

    def note_end(self, sending: Sending, after: float = 0.0) -> None:
        """Note that a mutation cannot happen later than `after` seconds from now."""
        sending.end = min(sending.end, self.steady() + after)

    def drop(self, sending: Sending) -> None:
        """Forget a mutation that certainly left no sign. After a refusal with an unknown errno that is not certain."""
        if sending in self._kept:
            del self._kept[sending]
            there = self._at[sending.place]
            del there[sending]
            if not there:
                del self._at[sending.place]

    def turned_away(self, sending: Sending) -> None:
        """Forget a request that was turned away. If no earlier one was lost, the mutation begins with the next."""
        self.drop(sending)
        if not sending.lost:
            sending.began = 0.0

    def rivals(self, sending: Sending) -> list[Sending] | None:
        """Return the other mutations at its place that may look as if they had happened since it was sent.

        None if some of these may be forgotten.
        """
        if sending.start - _BLUR_OF_FORGOTTEN <= self._forgotten:
            return None
        others = [one for one in self._at.get(sending.place, ()) if one is not sending]
        # Times are compared only if both starts are certain. If not, the other mutation counts as a rival.
        return [one for one in others if one.end + _BLUR >= sending.start or not (one.is_timed and sending.is_timed)]

    def created(self, creator_id: int, since: float) -> set[int]:
        """Return the tickets that this client made for a creator since then, by our own clock."""
        begin = f"creator {creator_id} "
        return {one.ticket_id for one in self._kept if one.place.startswith(begin) and one.began >= since} - {0}

    def nearest_made(self, sending: Sending) -> tuple[int, int] | None:
        """Return the ticket that this client made nearest in time for the same product line, and its creator.

        Else one that an earlier run made, if any is known.
        """
        made = [one for one in self._kept if one.ticket_id and one.product == sending.product]
        nearest = min(made, key=lambda one: abs(one.began - sending.began), default=None)
        if nearest is None:
            return self._made_before.get(sending.product)
        return nearest.ticket_id, int(nearest.place.split()[1])

    def of_others(self, sending: Sending) -> set[int]:
        """Return the tickets that other mutations are known to have created."""
        return {one.ticket_id for one in self._kept if one is not sending}

    def is_of_another(self, sending: Sending, ticket_id: int) -> bool:
        """Tell whether a creation of another trace is known to have made this ticket."""
        return any(one.ticket_id == ticket_id and one.trace != sending.trace for one in self._kept)

    def span(self, sending: Sending) -> Span:
        """Return when a mutation can have happened, by the server's clock.

        Its beginning is dated by our clock and the `ahead` of then; if `start` is certain, also by the steady clock and
        the `ahead` of now. If the two do not agree, a clock was set, and nothing is known. If the `ahead` of then was
        not known, that of now takes its place. But nothing is known in that case if `start` is not certain and the run
        that sent it has ended: our clock may have been set since.
        """
        now = self._clock.ahead()
        then = sending.ahead or (now if sending.is_timed or sending.gone_by == inf else None)
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
            until = min(until, self._clock.local() - (self.steady() - sending.gone_by) + now.most)
            if until < since:
                return Span()
        # If the clock of a `Date` signs, it may be some minutes off, and our own may be right all the same: one read
        # that was refused for another reason, and then served, is enough for the client to sign by the other clock.
        slowest = self._clock.signing_offset and self._clock.signing_offset - BELIEVED_BEHIND
        first = -inf if now is None else since + min(0.0, -now.most, slowest - now.most)
        last = inf if now is None else until + max(0.0, -now.least)
        return Span(since - TOLERANCE, until + TOLERANCE, first - TOLERANCE, last + TOLERANCE)

    def left(self, sending: Sending) -> float:
        """Return the seconds until a mutation cannot happen any more; 0 or less once that is so.

        They are counted by the steady clock if `start` is certain. If not, they are counted by the server's clock: that
        must be known for its beginning and for now, and our own not have been set between these, or since the first
        look. Else they end when no request of the run that sent it can be under way; if it is not known when that run
        ended, they never do. But if the server's clock was not known at the beginning either, our own is believed, once
        the server's is known.
        """
        if sending.is_timed:
            return sending.end - self.steady()
        then, now = sending.ahead, self._clock.ahead()
        moved = self._clock.local() - (self.steady() - sending.start) - sending.began
        agrees = then and now and max(then.least - now.most, now.least - then.most) <= _STEP and abs(moved) <= _STEP
        if now and (agrees or (then is None and sending.gone_by == inf)):
            return self.span(sending).until - (self._clock.local() + now.least)
        return sending.gone_by - self.steady()

    async def read(self, sending: Sending, reading: Awaitable[_T]) -> "tuple[_T, Known]":
        """Await a read; return its result, and the facts about a mutation by which to judge it."""
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

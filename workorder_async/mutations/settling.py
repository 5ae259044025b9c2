"""Whether a mutation happened whose answer was lost: found out by reading, never guessed.

A mutation leaves its sign at a place: a text in a ticket's history, or a new ticket among those of its creator. The
platform may store a text otherwise than it was sent, so any two mutations at one place may look the same afterwards.
Only their number, their times, and the ids that answers gave, tell which is which: `Sendings` keeps those.

A state is no evidence, nor is its absence: a ticket may have been closed by somebody else, or be open because a replica
is behind, the server is still at it, or somebody reopened it. What proves that a mutation happened is a sign that only
it can have left, in the time in which it was under way by the server's clock. What proves that it did not is a look
after the longest time that a request may take, where nothing has changed since that others do not account for.

Each `look_for...` takes the mutation, its `Sending`, and the reads, and raises the errors of the reads. It notes
nothing. The rows in `kinds` say which kind of mutation has which function.
"""

import asyncio
import hashlib
import html
import re
import unicodedata
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from math import inf, nextafter
from typing import TYPE_CHECKING, TypeVar

from attrs import define, field, frozen

from workorder_async.document import (
    AssignStatus,
    CloseTicket,
    CommentTicket,
    CreateTicket,
    RejectTicket,
    TicketDetail,
    TicketStatus,
    TicketSummary,
)
from workorder_async.document.tickets import TicketFlowHistory
from workorder_async.errors import Settlement
from workorder_async.signing.clock import BELIEVED_BEHIND, Ahead, ServerClock

if TYPE_CHECKING:
    from workorder_async.wire.reads import Reads

_T = TypeVar("_T")
#: For so many seconds after its answer a mutation may look as if it had just happened: the platform's machines may
#: disagree on the time.
_BLUR = 600.0
#: The same limit for forgotten mutations. It is short, or a fast batch could never be settled.
_BLUR_OF_FORGOTTEN = 6.0
#: Moments nearer to each other than this count as one; the smallest step that a float can take tells them apart.
_MOMENT = 0.001
#: The server writes times in whole seconds, and the machine that writes them may not be the one that tells the time.
_TOLERANCE = 3.0
#: The clock of the tickets may be so many seconds off the clock of `Date`.
APART = 60.0
#: Clocks that differ by more in the length of the same time were set meanwhile, or stood still.
_STEP = 2.0
# A list is asked for a marked ticket from so much earlier on: a wrong clock must not hide it.
_DAY = 86400
# Platforms show texts as HTML. A number of so many digits is no character, and Python refuses to read very long ones.
_TAG = re.compile(r"<[^<>]*>")
_NO_CHARACTER = re.compile(r"&#(?=\d{8})")
# What may be left of a tag or an escape where a platform cuts a text off.
_CUT = re.compile("[<&][^<>&;]*$")


def folded(text: str | None) -> str:
    """Return a text without the blanks that a platform may trim."""
    return " ".join((text or "").split())


def place_of_ticket(ticket_id: int) -> str:
    """Return the place of all that is done to a ticket."""
    return f"ticket {ticket_id}"


def place_of_creation(ticket: CreateTicket) -> str:
    """Return the place of a new ticket. It has the numbers, since a platform stores these as they are."""
    return f"creator {ticket.creator_id} {ticket.type.value} {ticket.priority.value} {ticket.reported_time}"


def trace_of_text(ticket_id: int, text: str | None) -> str:
    """Return the trace of a text in a ticket's history."""
    return _digest(ticket_id, text or "")


def trace_of_ticket(ticket: CreateTicket | TicketSummary) -> str:
    """Return the trace of a new ticket, by what it has in common with its row in the list."""
    texts = (ticket.title, ticket.detail, ticket.customer_organization_name)
    return _digest("ticket", *texts, ticket.type, ticket.priority, ticket.reported_time)


def _digest(*left: object) -> str:
    parts = tuple(folded(part) if isinstance(part, str) else part for part in left)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


@frozen
class Span:
    """The seconds by the server's clock in which a mutation can have happened; without bounds if they are not known."""

    since: float = -inf
    until: float = inf
    first: float = -inf
    """The beginning by the earlier of two clocks, of which nobody says which one dates the tickets: that of `Date`, and
    our own, by which signatures are accepted."""

    def has(self, time: int) -> bool:
        """Tell whether a time on a ticket lies in it for certain; a time that is absent does not."""
        return self.since > -inf and self.since <= time <= self.until

    def may_have(self, time: int, off: float = 0.0) -> bool:
        """Tell whether a time may lie in it, by a clock that is so many seconds off: one that is absent may."""
        return not time or self.since - off <= time <= self.until + off

    def follows(self, time: float) -> bool:
        """Tell whether a time on a ticket is certainly before it, also by a clock that is somewhat behind."""
        return 0 < time < self.first - APART


@define(eq=False)
class Sending:
    """One mutation that may have been sent, from the first byte written on."""

    place: str
    """Where it leaves its sign. See `place_of_ticket`, `place_of_creation`."""
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
    """Of another client's: when no request of it can be under way any more, by that clock, whenever it began."""
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

    Where nobody says more of another client, it sends a mutation `within` so many seconds, and what it sent may be
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
        if sending in self._kept:
            return
        # What was forgotten, since it seemed not to have happened, still began when it was sent first.
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
        alike = [one for one in self._at.get(wanted.place, ()) if (one.trace, one.line) == (wanted.trace, wanted.line)]
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

    def span(self, sending: Sending) -> Span:
        """Return when it can have happened, by the server's clock.

        What was known when it was sent, and what is known now, must agree. Else a clock was set, and nothing is known.
        Nor is it of what a program sent that is gone, and did not know the server's clock: its own may have been wrong.
        Unless that was on this machine, whose clock that is never set tells the same.
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
        # Where our own clock is refused, signatures are made by one of a `Date`, too, which may be some minutes off.
        signs = self._clock.signing_offset and self._clock.signing_offset - BELIEVED_BEHIND
        first = -inf if now is None else since + min(0.0, signs - now.most)
        return Span(since - _TOLERANCE, until + _TOLERANCE, first - _TOLERANCE)

    def left(self, sending: Sending) -> float:
        """Return the seconds until it has happened or never will; not above 0 once that is so.

        Of a mutation whose `start` is not known, the server's clock tells, if it is known for then and for now, and our
        own was not set: not between the two, nor since it was looked for first. Else it is over when its sender is gone
        for so long; where nobody knows since when, our clock is believed.
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
        """Return what reading gives, and what is known of a mutation by then."""
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


async def look_for_close(close: CloseTicket, sending: Sending, reads: "Reads", sendings: Sendings) -> Settlement:
    """Tell by the time and the solution of the ticket's close, and by its remark where the history has one."""
    detail, known = await sendings.read(sending, reads.detail(close.id))
    holds, solution = detail.status == TicketStatus.CLOSED, (detail.solved_time, detail.is_solved)
    remarks = {folded(step.detail) for step in _steps(detail) if known.span.has(step.created_time)}
    if (
        known.rivals is not None
        and known.span.has(detail.closed_time)
        and solution == sending.solution
        and (not remarks or folded(close.detail) in remarks)
        and not any(one.solution == solution for one in known.rivals)
    ):
        return Settlement(True, holds=holds)
    like = holds and (solution == sending.solution or not known.span.follows(detail.closed_time))
    return _by_what_changed(detail, known, sendings, holds=holds, like=like)


async def look_for_rejection(
    rejection: RejectTicket, sending: Sending, reads: "Reads", sendings: Sendings
) -> Settlement:
    """Tell by the step in the product line's history. If no line is named, all shares are looked at."""
    detail, known = await sendings.read(sending, reads.detail(rejection.id))
    shares = [assign for assign in detail.assigns if rejection.productGroupId in (None, assign.product_group_id)]
    rejected = [assign for assign in shares if assign.status == AssignStatus.REJECTED]
    holds = bool(shares) and rejected == shares
    # A step without words is no sign by itself.
    if _is_said(detail, sending, known, sendings) and (folded(rejection.detail) or rejected):
        return Settlement(True, holds=holds)
    traces = {trace_of_text(detail.id, step.detail) for step in _steps(detail)}
    # Where a rejected share shows no history, nobody knows who rejected it, and when; nor where no share is shown.
    like = not shares or (
        bool(rejected) and (sending.trace in traces or not all(assign.history for assign in rejected))
    )
    return _by_what_changed(detail, known, sendings, holds=holds, like=like)


async def look_for_comment(comment: CommentTicket, sending: Sending, reads: "Reads", sendings: Sendings) -> Settlement:
    """Tell by its text in the ticket's history, or by its mark alone."""
    detail, known = await sendings.read(sending, reads.detail(comment.id))
    if sending.mark:
        shown = [(step.detail, step.created_time) for step in _steps(detail)]
        happened = _by_mark(comment.detail, shown, sending, known)
        lines = {assign.product_group_id for assign in detail.assigns}
        own = [one for one in detail.assigns if sending.line not in lines or one.product_group_id == sending.line]
        if happened is False and (_hides_steps(detail, known) or not (own and all(assign.history for assign in own))):
            happened = None  # who is shown no history, or one without comments, does not miss the mark in it
    else:
        happened = True if _is_said(detail, sending, known, sendings) else None
    return Settlement(happened)


async def look_for_ticket(ticket: CreateTicket, sending: Sending, reads: "Reads", sendings: Sendings) -> Settlement:
    """Look for the one ticket of its creator with its texts that nothing else accounts for, or with its mark."""
    await reads.learn_time()
    since = min(sendings.span(one).since for one in (sending, *(sendings.rivals(sending) or ())))
    if since < 0 and not sending.mark:
        return Settlement(None)
    begin = max(0, int(max(since, 0)) - (_DAY if sending.mark else 0))
    (listed, is_whole), known = await sendings.read(sending, reads.created(ticket.creator_id, begin))
    # A mark decides alone: the platform may know its creator under another name.
    rows = [row for row in listed if sending.mark or row.creator_name in ("", ticket.creator_name)]
    taken = sendings.of_others(sending)
    free = [row for row in rows if row.id not in taken]
    if sending.mark:
        like = [row for row in free if sending.mark in row.detail or _may_be(ticket.title, row.title)]
        happened = _by_mark(ticket.detail, [(row.detail, row.created_time) for row in like], sending, known)
        # What is not shown is not missing, if others are not shown either that were made shortly before.
        is_whole &= sendings.created(ticket.creator_id, sending.began - _DAY / 2) <= {row.id for row in listed}
        happened = happened if happened or is_whole else None
        ours = [row for row in like if known.span.may_have(row.created_time) and _has_mark(row.detail, sending.mark)]
    else:
        ours = [row for row in free if trace_of_ticket(row) == sending.trace]
        others = [row for row in rows if row not in ours and (not row.created_time or row.created_time >= since)]
        unknown = None if known.rivals is None else [one for one in known.rivals if not one.ticket_id]
        # If two look alike, or a rival's ticket is not known, the ticket may be somebody else's.
        is_one = len(ours) == 1 and known.span.has(ours[0].created_time)
        shown = Counter(map(trace_of_ticket, others))
        happened = True if is_one and unknown is not None and not _missing(unknown, shown) else None
    return Settlement(happened, ours[0].id if happened and len(ours) == 1 else 0)


def _steps(detail: TicketDetail) -> list[TicketFlowHistory]:
    """Return the steps of a ticket's history in all shares."""
    return [step for assign in detail.assigns for step in assign.history]


def _is_said(detail: TicketDetail, sending: Sending, known: Known, sendings: Sendings) -> bool:
    """Tell whether the text is in the history of its line, and is no rival's.

    A step that names a person is a colleague's: who comments or rejects over the API names none. A step that is shown
    in several shares is one.
    """
    if known.rivals is None:
        return False
    lines = {assign.product_group_id for assign in detail.assigns if assign.history}
    ids = [step.id for step in _steps(detail) if step.id]
    # What another line says stands in its own share, if that shows any; but not where shares show the steps of others.
    apart = lines - {sending.line} if sending.line in lines and len(ids) == len({*ids}) else set[int]()
    rivals = [one for one in known.rivals if one.line not in apart]
    since = min([known.span.since, *(sendings.span(one).since for one in rivals)])
    ours, others, in_time = 0, Counter[str](), False
    for assign in detail.assigns:
        steps = [step for step in assign.history if not step.created_time or step.created_time >= since]
        traces = [trace_of_text(detail.id, step.detail) for step in steps]
        others |= Counter(trace for trace in traces if trace != sending.trace)
        if sending.line in (None, assign.product_group_id):
            pairs = zip(traces, steps, strict=True)
            said = [step for trace, step in pairs if trace == sending.trace and not step.creator_id]
            ours = max(ours, len(said))
            in_time = in_time or any(known.span.has(step.created_time) for step in said)
    alike = sum(one.trace == sending.trace for one in rivals)
    # One more than the others account for. With two more, somebody else says the same.
    return in_time and ours == alike + 1 and not _missing((one for one in rivals if one.trace != sending.trace), others)


def _missing(rivals: Iterable[Sending], shown: Counter[str]) -> bool:
    """Tell whether a rival is not shown as it was sent: the platform may have stored it so that it looks like ours."""
    return bool(Counter(one.trace for one in rivals) - shown)


def _by_what_changed(detail: TicketDetail, known: Known, sendings: Sendings, *, holds: bool, like: bool) -> Settlement:
    """Tell that it did not happen, where nothing has changed since but by mutations that are known to have happened.

    What looks `like` ours and seems to be of before leaves it unknown: the clock of the server's `Date` may be another
    than the one of its tickets.
    """
    span, times = known.span, (detail.closed_time, detail.updated_time, detail.updated_progress_time)
    if not known.is_late or known.rivals is None or like:
        return Settlement(None, holds=holds)
    # Nobody knows since when it is so.
    undated = holds and not any(map(span.follows, times))
    said = [(trace_of_text(detail.id, step.detail), span.follows(step.created_time)) for step in _steps(detail)]
    steps = Counter(trace for trace, is_before in said if not is_before)
    ends = [(one.trace, sendings.span(one).until) for one in known.rivals if one.happened]
    # Of what ended shortly before, the step may be one of those that are left out.
    done = Counter(it for it, end in ends if not span.follows(end) and (end >= span.since or (it, True) not in said))
    closed = detail.closed_time and not span.follows(detail.closed_time)
    changed = closed or steps - done or _hides_steps(detail, known)
    return Settlement(None if undated or changed else False, holds=holds)


def _hides_steps(detail: TicketDetail, known: Known) -> bool:
    """Tell whether a ticket may have changed since by something that it shows no step of.

    A share that shows no history may hide it, and a platform may note no step for it.
    """
    updated = max(detail.updated_time, detail.updated_progress_time)
    shown = [step.created_time for step in _steps(detail)] if all(assign.history for assign in detail.assigns) else []
    return not known.span.follows(updated) and updated > max(shown, default=0) + _TOLERANCE


def _by_mark(text: str, shown: list[tuple[str, int]], sending: Sending, known: Known) -> bool | None:
    """Look for a mark among the texts that are shown, with their times.

    Where none has it, one that may be ours leaves it unknown: its end, where the mark was, may be cut off, more may be
    written behind the mark, or the platform may show no texts.
    """
    marked = [time for said, time in shown if _has_mark(said, sending.mark)]
    if marked:
        is_ours = any(map(known.span.may_have, marked))
        return True if is_ours and not any(one.mark == sending.mark for one in known.rivals or ()) else None
    whole = _skeletons(f"{text}\n{sending.mark}")
    # Whatever stands before and behind it, also without a blank.
    anywhere = re.compile(rf"(?<![A-Za-z0-9]){re.escape(sending.mark)}(?![A-Za-z0-9])")

    def may_be_ours(said: str, time: int) -> bool:
        if not (parts := _skeletons(said) - {""}):
            return known.span.may_have(time, off=APART)
        begins = any(one.startswith(part) for one in whole for part in parts)
        return begins or any(map(anywhere.search, _readings(said)))

    return False if known.is_late and not any(may_be_ours(*one) for one in shown) else None


def _has_mark(text: str, mark: str) -> bool:
    """Tell whether a text ends with a mark, on a line of its own or after whatever stands for the end of a line."""
    at_end = re.compile(rf"(?:^|[^\w.:#-]|\\n){re.escape(mark)}\W*$")
    return any(map(at_end.search, _readings(text)))


def _may_be(text: str, shown: str) -> bool:
    """Tell whether a platform that cuts, escapes or normalises texts, or adds to them, may show this text so."""
    return any(sent.startswith(one) or sent in one for sent in _skeletons(text) for one in _skeletons(shown))


def _readings(text: str) -> tuple[str, str]:
    """Return a text as it is without escapes, and as HTML shows it. People write < and > themselves, too."""
    for _ in range(2):  # what was escaped twice
        text = html.unescape(_NO_CHARACTER.sub("", text))
    return text, _TAG.sub("\n", text)


def _skeletons(text: str) -> set[str]:
    """Return what every platform keeps of each reading of a text, also where it was cut in a tag or an escape."""
    readings = (*_readings(text), *_readings(_CUT.sub("", text)))
    every = {*readings, *(_CUT.sub("", one) for one in readings)}
    return {"".join(filter(str.isalnum, unicodedata.normalize("NFKC", one).casefold())) for one in every}

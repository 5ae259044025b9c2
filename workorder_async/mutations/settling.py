"""Whether a mutation happened whose answer was lost: found out by reading, never guessed.

A state is no evidence, nor is its absence: a ticket may have been closed by somebody else, or be open because a replica
is behind, the server is still at it, or somebody reopened it. What proves that a mutation happened is a sign that only
it can have left, in the time in which it was under way by the server's clock. What proves that it did not is a look
after the longest time that a request may take, where nothing has changed since that others do not account for.

Each function here takes the mutation, its `Sending`, and the reads, and raises the errors of the reads. It notes
nothing. The rows in `kinds` say which kind of mutation has which function.
"""

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from workorder_async.document import (
    AssignStatus,
    CloseTicket,
    CommentTicket,
    CreateTicket,
    RejectTicket,
    TicketDetail,
    TicketStatus,
)
from workorder_async.document.tickets import TicketFlowHistory
from workorder_async.errors import Settlement
from workorder_async.mutations.recently_sent import (
    APART,
    Known,
    Sending,
    Sendings,
    folded,
    trace_of_text,
    trace_of_ticket,
)

if TYPE_CHECKING:
    from workorder_async.wire.reads import Reads

# A list is asked for a marked ticket from so much earlier on: a wrong clock must not hide it.
_DAY = 86400
# Platforms show texts as HTML. A number of so many digits is no character, and Python refuses to read very long ones.
_TAG = re.compile(r"<[^<>]*>")
_NO_CHARACTER = re.compile(r"&#(?=\d{8})")


async def look_for_close(close: CloseTicket, sending: Sending, reads: "Reads", sendings: Sendings) -> Settlement:
    """Tell by the time and the solution of the ticket's close, and by its remark where the history has one."""
    asked = sendings.steady()
    detail = await reads.detail(close.id)
    known = sendings.known(sending, asked)
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
    asked = sendings.steady()
    detail = await reads.detail(rejection.id)
    known = sendings.known(sending, asked)
    shares = [assign for assign in detail.assigns if rejection.productGroupId in (None, assign.product_group_id)]
    rejected = [assign for assign in shares if assign.status == AssignStatus.REJECTED]
    holds = bool(shares) and rejected == shares
    # A step without words is no sign by itself.
    if _is_said(detail, sending, known, sendings) and (folded(rejection.detail) or rejected):
        return Settlement(True, holds=holds)
    traces = {trace_of_text(detail.id, step.detail) for step in _steps(detail)}
    # Where a rejected share shows no history, nobody knows who rejected it, and when.
    like = bool(rejected) and (sending.trace in traces or not all(assign.history for assign in rejected))
    return _by_what_changed(detail, known, sendings, holds=holds, like=like)


async def look_for_comment(comment: CommentTicket, sending: Sending, reads: "Reads", sendings: Sendings) -> Settlement:
    """Tell by its text in the ticket's history, or by its mark alone."""
    asked = sendings.steady()
    detail = await reads.detail(comment.id)
    known = sendings.known(sending, asked)
    if sending.mark:
        shown = [(step.detail, step.created_time) for step in _steps(detail)]
        happened = _by_mark(comment.detail, shown, sending, known)
        lines = {assign.product_group_id for assign in detail.assigns}
        own = [one for one in detail.assigns if sending.line not in lines or one.product_group_id == sending.line]
        if happened is False and not (own and all(assign.history for assign in own)):
            happened = None  # who is shown no history does not miss the mark in it
    else:
        happened = True if _is_said(detail, sending, known, sendings) else None
    return Settlement(happened)


async def look_for_ticket(ticket: CreateTicket, sending: Sending, reads: "Reads", sendings: Sendings) -> Settlement:
    """Look for the one ticket of its creator with its texts that nothing else accounts for, or with its mark."""
    await reads.learn_time()
    asked = sendings.steady()
    since = min(sendings.span(one).since for one in (sending, *(sendings.rivals(sending) or ())))
    if since < 0 and not sending.mark:
        return Settlement(None)
    listed = await reads.created(ticket.creator_id, max(0, int(max(since, 0)) - (_DAY if sending.mark else 0)))
    known = sendings.known(sending, asked)
    # A mark decides alone: the platform may know its creator under another name.
    rows = [row for row in listed if sending.mark or row.creator_name in ("", ticket.creator_name)]
    free = [row for row in rows if not sendings.is_anothers(row.id, sending)]
    if sending.mark:
        like = [row for row in free if sending.mark in row.detail or _may_be(ticket.title, row.title)]
        happened = _by_mark(ticket.detail, [(row.detail, row.created_time) for row in like], sending, known)
        ours = [row for row in like if _has_mark(row.detail, sending.mark)]
    else:
        ours = [row for row in free if trace_of_ticket(row) == sending.trace]
        others = [row for row in rows if row not in ours and (not row.created_time or row.created_time >= since)]
        unknown = None if known.rivals is None else [one for one in known.rivals if not one.ticket_id]
        # If two look alike, or a rival's ticket is not known, the ticket may be somebody else's.
        in_time = len(ours) == 1 and known.span.has(ours[0].created_time)
        shown = Counter(map(trace_of_ticket, others))
        happened = True if in_time and unknown is not None and not _missing(unknown, shown) else None
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
    lines = {assign.product_group_id for assign in detail.assigns}
    ids = [step.id for step in _steps(detail) if step.id]
    # What another line says stands in its own share, where it has one; but not where shares show the steps of others.
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
    steps = Counter(
        trace_of_text(detail.id, step.detail) for step in _steps(detail) if not span.follows(step.created_time)
    )
    done = Counter(one.trace for one in known.rivals if one.happened and sendings.span(one).until >= span.since)
    closed, *updated = [bool(time) and not span.follows(time) for time in times]
    changed = closed or bool(steps - done) or (any(updated) and not steps)
    return Settlement(None if undated or changed else False, holds=holds)


def _by_mark(text: str, shown: list[tuple[str, int]], sending: Sending, known: Known) -> bool | None:
    """Look for a mark among the texts that are shown, with their times.

    Where none has it, one that may be ours leaves it unknown: its end, where the mark was, may be cut off, more may be
    written behind the mark, or the platform may show no texts.
    """
    marked = [time for said, time in shown if _has_mark(said, sending.mark)]
    if marked:
        is_ours = any(map(known.span.may_have, marked))
        return True if is_ours and not any(one.mark == sending.mark for one in known.rivals or ()) else None
    whole = _skeleton(text) + _skeleton(sending.mark)
    # Whatever stands before and behind it, also without a blank.
    anywhere = re.compile(rf"(?<![A-Za-z0-9]){re.escape(sending.mark)}(?![A-Za-z0-9])")

    def may_be_ours(said: str, time: int) -> bool:
        part = _skeleton(said)
        if not part:
            return known.span.may_have(time, off=APART)
        return whole.startswith(part) or anywhere.search(said) is not None

    return False if known.is_late and not any(may_be_ours(*one) for one in shown) else None


def _has_mark(text: str, mark: str) -> bool:
    """Tell whether a text ends with a mark, on a line of its own or after whatever stands for the end of a line."""
    return re.search(rf"(?:^|[^\w.:#-]|\\n){re.escape(mark)}\W*$", _TAG.sub("\n", text)) is not None


def _may_be(text: str, shown: str) -> bool:
    """Tell whether a platform that cuts, escapes or normalises texts, or adds to them, may show this text so."""
    sent, stored = _skeleton(text), _skeleton(shown)
    return sent.startswith(stored) or sent in stored


def _skeleton(text: str) -> str:
    for _ in range(2):  # what was escaped twice
        text = html.unescape(_NO_CHARACTER.sub("", text))
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).casefold()))

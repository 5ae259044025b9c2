"""The kinds of mutations: one row for each, and a mutation made ready to be sent.

All that is done to a mutation by its kind is read from its row. Nothing else asks for the class of a mutation.

If the answer to a mutation is lost, reading shows whether the mutation happened; nothing is guessed. The state of its
ticket proves nothing. A closed ticket may be closed by somebody else; an open one may be read from a replica that lags,
the server may still be at it, or somebody may have reopened it. Two things are proof. It happened: a sign that only
this mutation can have left, in the time in which it was under way by the server's clock. It did not happen: a look
after the longest time that a request may take, if other mutations account for each change of the ticket since it was
sent.

Each `look_for...` takes the mutation, its `Sending`, and the reads, and raises the errors of the reads. It notes
nothing.
"""

import hashlib
import html
import re
import unicodedata
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import Factory, evolve, field, frozen

from workorder_async.arguments import shown
from workorder_async.document import (
    JSON,
    AssignStatus,
    CloseTicket,
    CommentTicket,
    CreateTicket,
    Mutation,
    PageRequest,
    RejectTicket,
    TicketDetail,
    TicketQuery,
    TicketStatus,
    TicketSummary,
    endpoints,
)
from workorder_async.document.codec import encode
from workorder_async.document.endpoints import Endpoint, Safety
from workorder_async.document.json_text import to_json
from workorder_async.document.tickets import TicketAssign, TicketFlowHistory
from workorder_async.errors import ConfigError, Settlement
from workorder_async.mutations.memory import TOLERANCE, Known, Sending, Sendings

if TYPE_CHECKING:
    from workorder_async.wire.reads import Reads

M = TypeVar("M", bound=Mutation)
# A mark has only characters that every platform stores as they were sent.
_MARK = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:#-]{0,62}[A-Za-z0-9])?")
# Seconds that are added before the time in which a marked ticket is looked for: a wrong clock must not hide it.
_DAY = 86400
# Platforms show texts as HTML. A number of so many digits is no character, and Python refuses to read very long ones.
_TAG = re.compile(r"<[^<>]*>")
_NO_CHARACTER = re.compile(r"&#(?=\d{8})")
# The beginning of a tag or an escape, at the end of a text that a platform has cut off.
_CUT = re.compile("[<&][^<>&;]*$")


@frozen(kw_only=True)
class MutationKind(Generic[M]):
    """One kind of mutation."""

    model: type[M]
    """The class of its values; a journal keeps them under the name of this class."""
    endpoint: Endpoint
    """The endpoint, with the safety of a second request: CONVERGENT or CREATE."""
    identity: tuple[str, ...] | None
    """The fields by which a mutation differs from others of its kind; None for all. Journals' keys are made of them."""
    look: "Callable[[M, Sending, Reads, Sendings], Awaitable[Settlement]]"
    """Find out by reading whether a mutation happened, after its answer was lost. Raises the errors of the reads."""
    words: Callable[[M], str]
    """Describe a mutation, for people."""
    place: Callable[[M], str] = lambda mutation: place_of_ticket(mutation.id)  # type: ignore[union-attr]
    """Return the place where a mutation leaves its sign. See `memory`."""
    trace: Callable[[M], str] = lambda mutation: trace_of_text(mutation.id, mutation.detail)  # type: ignore[union-attr]
    """Return a digest of the sign that it leaves there."""
    solution: Callable[[M], tuple[int, bool] | None] = lambda _: None
    """Return when the mutation says its ticket was solved, and whether it was; None for a kind that says neither."""
    product: Callable[[M], tuple[int, bool] | None] = lambda _: None
    """Return the product line of a new ticket, and whether that number is an own one; None for any other kind."""
    creates: bool = False
    """Whether it makes a ticket, so that the mutation has no ticket's id."""
    verb: str = Factory(lambda kind: kind.endpoint.operation.removesuffix("_ticket"), takes_self=True)
    """Its verb, which begins its keys: "close"."""
    doing: str = Factory(lambda kind: f"{kind.verb.removesuffix('e')}ing", takes_self=True)
    """Its participle, for people: "closing"."""
    done: str = Factory(lambda kind: f"{kind.verb.removesuffix('e')}ed", takes_self=True)
    """A ticket after it, for people: "closed"."""
    converges: bool = Factory(lambda kind: kind.endpoint.safety is Safety.CONVERGENT, takes_self=True)
    """Whether a second request changes nothing: then a lost mutation is settled unasked, and may be repeated."""

    def ticket_id(self, mutation: M) -> int:
        """Return the ticket that a mutation is about; 0 for a creation."""
        return 0 if self.creates else mutation.id  # type: ignore[union-attr]  # a creation alone has none


def folded(text: str | None) -> str:
    """Return a text without the blanks that a platform may trim."""
    return " ".join((text or "").split())


def place_of_ticket(ticket_id: int) -> str:
    """Return the place of all that is done to a ticket."""
    return f"ticket {ticket_id}"


def trace_of_text(ticket_id: int, text: str | None) -> str:
    """Return the trace of a text in a ticket's history."""
    return _digest(ticket_id, text or "")


def trace_of_ticket(ticket: CreateTicket | TicketSummary) -> str:
    """Return the trace of a new ticket: a digest of the fields that its row in the list has, too."""
    texts = (ticket.title, ticket.detail, ticket.customer_organization_name)
    return _digest("ticket", *texts, ticket.type, ticket.priority, ticket.reported_time)


def _digest(*left: object) -> str:
    parts = tuple(folded(part) if isinstance(part, str) else part for part in left)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


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
    may_be_ours = holds and (solution == sending.solution or not known.span.is_after(detail.closed_time))
    return _by_changes(detail, known, sendings, holds=holds, may_be_ours=may_be_ours)


async def look_for_rejection(
    rejection: RejectTicket, sending: Sending, reads: "Reads", sendings: Sendings
) -> Settlement:
    """Tell by the step in the product line's history. If no line is named, all shares are looked at."""
    detail, known = await sendings.read(sending, reads.detail(rejection.id))
    shares = [assign for assign in detail.assigns if rejection.productGroupId in (None, assign.product_group_id)]
    rejected = [assign for assign in shares if assign.status == AssignStatus.REJECTED]
    holds = bool(shares) and rejected == shares
    # A step without a text is a sign only together with a rejected share.
    if _is_said(detail, sending, known, sendings) and (folded(rejection.detail) or rejected):
        return Settlement(True, holds=holds)
    traces = {trace_of_text(detail.id, step.detail) for step in _steps(detail)}
    # If a rejected share shows no history, or no share is shown, nobody knows who rejected it, and when.
    may_be_ours = not shares or (
        bool(rejected) and (sending.trace in traces or not all(assign.history for assign in rejected))
    )
    return _by_changes(detail, known, sendings, holds=holds, may_be_ours=may_be_ours)


async def look_for_comment(comment: CommentTicket, sending: Sending, reads: "Reads", sendings: Sendings) -> Settlement:
    """Tell by its text in the ticket's history; if it has a mark, by that alone."""
    detail, known = await sendings.read(sending, reads.detail(comment.id))
    if sending.mark:
        shown = [(step.detail, step.created_time) for step in _steps(detail)]
        happened = _by_mark(comment.detail, shown, sending, known)
        own = [one for one in detail.assigns if sending.line in (None, one.product_group_id)]
        # That a history has no such mark proves nothing if it hides comments: if its line shows no steps, or lacks a
        # comment that is known to have been made. That one is shown by its mark or, if this was cut off, by its time.
        made = [one for one in known.rivals or () if one.happened and one.mark and one.line == sending.line]
        times = [step.created_time for one in own for step in one.history if not step.creator_id]
        is_shown = all(
            any(_has_mark(said, one.mark) for said, _ in shown) or any(map(sendings.span(one).has, times))
            for one in made
        )
        with_steps = [one for one in detail.assigns if one.history]
        has_steps = bool(own) and all(one.history for one in own)
        hides = not has_steps or not is_shown or _hides_steps(detail, with_steps, known)
        happened = None if happened is False and hides else happened
    else:
        happened = True if _is_said(detail, sending, known, sendings) else None
    return Settlement(happened)


async def look_for_ticket(ticket: CreateTicket, sending: Sending, reads: "Reads", sendings: Sendings) -> Settlement:
    """Look for a ticket of its creator: with its mark; or the only one with its texts that no rival accounts for."""
    await reads.learn_time()
    since = min(sendings.span(one).since for one in (sending, *(sendings.rivals(sending) or ())))
    if since < 0 and not sending.mark:
        return Settlement(None)
    begin = max(0, int(max(since, 0)) - (_DAY if sending.mark else 0))
    query = TicketQuery(creator_id=ticket.creator_id, created_start=begin)
    (listed, is_whole), known = await sendings.read(sending, reads.created(query))
    # A mark decides without the creator's name: the platform may know the creator under another.
    rows = [row for row in listed if sending.mark or row.creator_name in ("", ticket.creator_name)]
    taken = sendings.of_others(sending)
    free = [row for row in rows if row.id not in taken]
    if sending.mark:
        like = [row for row in free if sending.mark in row.detail or _may_be(ticket.title, row.title)]
        happened = _by_mark(ticket.detail, [(row.detail, row.created_time) for row in like], sending, known)
        # If the list hides other tickets that were made shortly before, it may hide this one, too.
        ids = {row.id for row in listed}
        is_whole &= sendings.created(ticket.creator_id, sending.began - _DAY / 2) <= ids
        if happened is False:
            is_shown = is_whole and await _would_show(query, reads, sendings.nearest_made(sending), ids)
            happened = False if is_shown else None
        ours = [row for row in like if known.span.may_have(row.created_time) and _has_mark(row.detail, sending.mark)]
    else:
        ours = [row for row in free if trace_of_ticket(row) == sending.trace]
        others = [row for row in free if row not in ours and (not row.created_time or row.created_time >= since)]
        unknown = None if known.rivals is None else [one for one in known.rivals if not one.ticket_id]
        # If two look alike, or a rival's ticket is not known, the ticket may be somebody else's.
        is_one = len(ours) == 1 and known.span.has(ours[0].created_time)
        shown = Counter(map(trace_of_ticket, others))
        happened = True if is_one and unknown is not None and not _missing(unknown, shown) else None
    return Settlement(happened, ours[0].id if happened and len(ours) == 1 else 0)


async def _would_show(
    query: TicketQuery, reads: "Reads", made: tuple[int, int] | None, listed: Collection[int]
) -> bool:
    """Tell whether the list, which shows the tickets `listed` for the creator's `query`, would show one of this line.

    A list may be kept to some lines, and new tickets may be filed under another number of their creator. So it must
    show the ticket that this client has `made` for the line, by the creator that was sent, and some ticket of the
    creator.
    """
    if made is None:
        return False
    if made[0] not in listed:
        time = (await reads.ticket(made[0])).created_time
        asked = TicketQuery(creator_id=made[1], created_start=time, created_end=time + 1)
        if made[0] not in {row.id for row in (await reads.page(PageRequest(asked, page_size=100))).tickets}:
            return False
    asked = TicketQuery(creator_id=query.creator_id)
    return bool(listed or (await reads.page(PageRequest(asked, page_size=1))).tickets)


def _steps(detail: TicketDetail) -> list[TicketFlowHistory]:
    """Return the steps of a ticket's history in all shares."""
    return [step for assign in detail.assigns for step in assign.history]


def _is_said(detail: TicketDetail, sending: Sending, known: Known, sendings: Sendings) -> bool:
    """Tell whether the history of its line shows its text, as one step more than rivals account for.

    A step that names a person is a colleague's: those over the API name nobody. A step that several shares show counts
    once.
    """
    if known.rivals is None:
        return False
    lines = {assign.product_group_id for assign in detail.assigns if assign.history}
    ids = [step.id for step in _steps(detail) if step.id]
    # Texts of another line stand in its own share, if that shows any: they are no rivals, unless shares repeat steps.
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
    # One step more than the rivals account for is ours. With two more, somebody else has written the same.
    return in_time and ours == alike + 1 and not _missing((one for one in rivals if one.trace != sending.trace), others)


def _missing(rivals: Iterable[Sending], shown: Counter[str]) -> bool:
    """Tell whether a rival is not shown as it was sent: the platform may have stored it so that it looks like ours."""
    return bool(Counter(one.trace for one in rivals) - shown)


def _by_changes(
    detail: TicketDetail, known: Known, sendings: Sendings, *, holds: bool, may_be_ours: bool
) -> Settlement:
    """Tell that it did not happen, if mutations that are known to have happened account for each change since.

    A sign that `may_be_ours` leaves it unknown, even if it seems to be older: the tickets may be dated by another clock
    than the server's `Date`.
    """
    span, times = known.span, (detail.closed_time, detail.updated_time, detail.updated_progress_time)
    if not known.is_late or known.rivals is None or may_be_ours:
        return Settlement(None, holds=holds)
    # The ticket is closed or rejected, and no time shows that it was so before.
    undated = holds and not any(map(span.is_after, times))
    said = [(trace_of_text(detail.id, step.detail), span.is_after(step.created_time)) for step in _steps(detail)]
    steps = Counter(trace for trace, is_before in said if not is_before)
    ends = [(one.trace, sendings.span(one).until) for one in known.rivals if one.happened]
    # `steps` may lack the step of a rival that ended shortly before the span.
    done = Counter(it for it, end in ends if not span.is_after(end) and (end >= span.since or (it, True) not in said))
    closed = detail.closed_time and not span.is_after(detail.closed_time)
    changed = closed or steps - done or _hides_steps(detail, detail.assigns, known)
    return Settlement(None if undated or changed else False, holds=holds)


def _hides_steps(detail: TicketDetail, shares: Collection[TicketAssign], known: Known) -> bool:
    """Tell whether a ticket may have changed since a mutation was sent, with no step of that time in these shares.

    A share without a history may hide such a step, and a platform may note none for some changes.
    """
    times = (detail.updated_time, detail.updated_progress_time)
    shown = [step.created_time for one in shares for step in one.history] if all(one.history for one in shares) else []
    return any(
        time and not known.span.is_after(time) and not any(abs(time - step) <= TOLERANCE for step in shown)
        for time in times
    )


def _by_mark(text: str, shown: list[tuple[str, int]], sending: Sending, known: Known) -> bool | None:
    """Look for a mark among the texts that are shown, with their times.

    If none has it, a text that may be ours leaves the outcome unknown: its end, with the mark, may be cut off, more may
    be written behind the mark, or the platform may show empty texts.
    """
    marked = [time for said, time in shown if _has_mark(said, sending.mark)]
    if marked:
        is_ours = any(map(known.span.may_have, marked))
        return True if is_ours and not any(one.mark == sending.mark for one in known.rivals or ()) else None
    whole = _skeletons(f"{text}\n{sending.mark}")
    # Other text may stand before and behind it, also without a blank.
    anywhere = re.compile(rf"(?<![A-Za-z0-9]){re.escape(sending.mark)}(?![A-Za-z0-9])")

    def may_be_ours(said: str, time: int) -> bool:
        if not (parts := _skeletons(said) - {""}):
            return known.span.may_have_by_any_clock(time)
        begins = any(one.startswith(part) for one in whole for part in parts)
        return begins or any(map(anywhere.search, _readings(said)))

    return False if known.is_late and not any(may_be_ours(*one) for one in shown) else None


def _has_mark(text: str, mark: str) -> bool:
    """Tell whether a text ends with a mark, on a line of its own or after a sign that stands for the end of a line."""
    at_end = re.compile(rf"(?:^|[^\w.:#-]|\\n){re.escape(mark)}\W*$")
    return any(map(at_end.search, _readings(text)))


def _may_be(text: str, shown: str) -> bool:
    """Tell whether a platform that cuts, escapes or normalises texts, or adds to them, may show `text` as `shown`."""
    return any(sent.startswith(one) or sent in one for sent in _skeletons(text) for one in _skeletons(shown))


def _readings(text: str) -> tuple[str, str]:
    """Return a text without escapes, and as HTML shows it. Either may be right: people write < and > themselves."""
    for _ in range(2):  # a text may be escaped twice
        text = html.unescape(_NO_CHARACTER.sub("", text))
    return text, _TAG.sub("\n", text)


def _skeletons(text: str) -> set[str]:
    """Return the letters and digits of each reading of a text, which every platform keeps, also if it was cut off."""
    readings = (*_readings(text), *_readings(_CUT.sub("", text)))
    every = {*readings, *(_CUT.sub("", one) for one in readings)}
    return {"".join(filter(str.isalnum, unicodedata.normalize("NFKC", one).casefold())) for one in every}


def _words_of_line(product_group_id: int | None) -> str:
    return "" if product_group_id is None else f" as product line {product_group_id}"


_ROWS: tuple[MutationKind[Any], ...] = (
    MutationKind(
        model=CreateTicket,
        endpoint=endpoints.CREATE_TICKET,
        creates=True,
        identity=None,
        # Numbers alone, since a platform stores these as they are.
        place=lambda it: f"creator {it.creator_id} {it.type.value} {it.priority.value} {it.reported_time}",
        trace=trace_of_ticket,
        product=lambda it: (it.repository_product_id, bool(it.whether_product_group_id)),
        look=look_for_ticket,
        words=lambda ticket: f"create: {ticket.title}",
    ),
    MutationKind(
        model=CommentTicket,
        endpoint=endpoints.COMMENT_TICKET,
        identity=("id", "productGroupId", "detail"),
        look=look_for_comment,
        words=lambda comment: f"comment{_words_of_line(comment.productGroupId)}: {comment.detail}",
    ),
    MutationKind(
        model=RejectTicket,
        endpoint=endpoints.REJECT_TICKET,
        identity=("id", "productGroupId"),
        look=look_for_rejection,
        words=lambda it: f"reject{_words_of_line(it.productGroupId)}{f': {it.detail}' if it.detail else ''}",
    ),
    MutationKind(
        model=CloseTicket,
        endpoint=endpoints.CLOSE_TICKET,
        identity=("id",),
        solution=lambda close: (close.solved_time, bool(close.is_solved)),
        look=look_for_close,
        words=lambda close: f"close as {close.closer_id} {close.closer_name}",
    ),
)
KINDS: Mapping[type, MutationKind[Any]] = {kind.model: kind for kind in _ROWS}
"""The rows, by the class of the mutation."""
NAMES: Mapping[str, MutationKind[Any]] = {kind.model.__name__: kind for kind in _ROWS}
"""The rows, by the name of that class, as journals have it."""


def kind_of(mutation: M) -> MutationKind[M]:
    """Return the row of a mutation. Raises `ConfigError` for a value that is no mutation."""
    kind = KINDS.get(type(mutation))
    if kind is None:
        raise ConfigError(f"a {type(mutation).__name__} is no mutation", mend=f"use one of {', '.join(NAMES)}")
    return kind


def only(model: type[M], mutation: M) -> M:
    """Return a mutation that is of this class. Raises `ConfigError` for any other."""
    if type(mutation) is not model:
        operation = KINDS[model].endpoint.operation
        raise ConfigError(f"{operation} takes a {model.__name__}, not a {type(mutation).__name__}")
    return mutation


def ticket_id_of(mutation: Mutation) -> int:
    """Return the ticket that a mutation is about; 0 for a creation."""
    return kind_of(mutation).ticket_id(mutation)


def words_of(mutation: Mutation) -> str:
    """Describe a mutation, for people."""
    return kind_of(mutation).words(mutation)


@frozen
class Prepared:
    """A mutation, encoded once; `prepare` makes it, and `WorkorderClient.change` takes it in the mutation's place."""

    mutation: Mutation
    """The mutation."""
    kind: MutationKind[Any] = field(repr=False)
    """Its row."""
    value: JSON = field(repr=False)
    """The mutation as a JSON value; `codec.decode_mutation` reads it back."""
    content: bytes = field(repr=False)
    """The bytes of that value, which are sent."""
    mark: str = ""
    """The caller's reference, which stands below its text in `content`; "" for none."""
    place: str = ""
    """Where it leaves its sign: each ticket is a place; creations share one if creator, type, priority and reported
    time are equal."""
    trace: str = ""
    """A digest of the sign that it leaves there."""

    def sending(self, intent: float | None = None) -> Sending:
        """Return a record of it for `Sendings`; `intent` is when its caller wrote down that it would be sent."""
        line: int | None = getattr(self.mutation, "productGroupId", None)
        solution, product = self.kind.solution(self.mutation), self.kind.product(self.mutation)
        return Sending(self.place, self.trace, line, self.mark, solution, product, intent)


def prepare(mutation: Mutation | Prepared, mark: str = "") -> Prepared:
    """Encode a mutation, with the mark below its text. A prepared one stays as it is, unless another mark is given.

    Raises `ConfigError` for a value that is no mutation, and for a mark that cannot be one.
    """
    if isinstance(mutation, Prepared):
        if mark in ("", mutation.mark):
            return mutation
        mutation = mutation.mutation
    kind = kind_of(mutation)
    value, sent = encode(mutation), mutation
    if not isinstance(mark, str) or mark:
        if kind.converges:
            mend = "a close or a rejection is settled without one"
            raise ConfigError("is only for comments and creations", argument="mark", mend=mend)
        if not isinstance(mark, str) or not _MARK.fullmatch(mark):
            mend = "it must be 1 to 64 of A-Z, a-z, 0-9 and . _ : # -, with a letter or a number at both ends"
            raise ConfigError(f"is {shown(mark)}", argument="mark", mend=mend)
        sent = evolve(mutation, detail=f"{mutation.detail}\n{mark}")
    content = to_json(encode(sent) if mark else value)
    return Prepared(mutation, kind, value, content, mark, kind.place(sent), kind.trace(sent))


def new_mark() -> str:
    """Return a mark that nothing else has."""
    return token_hex(5)


def key_of(mutation: Mutation) -> str:
    """Return the key that tells a mutation from others: its kind, and the fields that the row names.

    Raises `ConfigError` for a value that is no mutation.
    """
    kind = kind_of(mutation)
    told = [encode(mutation)] if kind.identity is None else [getattr(mutation, name) for name in kind.identity]
    return hashlib.sha256(to_json([kind.verb, *told])).hexdigest()[:32]

"""A walk over the pages of a list that may move meanwhile, as rules without I/O.

What is known. Reading page k of stride s gives the rows at positions [(k-1)s, ks) of the list as it is at that instant,
and its total then. The order of rows is not documented; it is taken to stay the same from read to read, apart from
rows that leave and rows that enter.

1. Freeze. After the first answer `created_end` is the server's second after that of the answer, unless the caller set
   an earlier one: tickets created later do not enter. A frozen list is taken to lose rows only (leave a filter).
2. Stride. How many rows a page really has is told by the first answer: its `pagination.page_size`, or the count of its
   rows where that contradicts it. A page that is shorter later, and says so, makes the walk go on with that stride from
   where it stands; one that does not say so is read again, twice at the most.
3. Window. Twice `concurrency` reads are asked for at most (whoever drives the walk lets `concurrency` of them be under
   way, and has the next at hand when one ends), and four times `concurrency` pages are held. Pages come in order.
4. Dedupe. A row whose id was given out is dropped, and counted.
5. Repair. If page k+1 has a smaller total than page k, rows beyond the edge between them may have slid before it: they
   are looked for, and come with page k+1 (`repair.py`). Of a list that is not frozen, or into which a row is seen to
   enter, also rows that were pushed behind the edge. Why that is all: a row of a frozen list only ever slides to the
   front. If no page showed it, there is an edge with the row beyond it when page k was read, and before it when page
   k+1 was; the second read was then the later one, and its total the smaller one.
6. End. When the last page given out reaches its own total, and every gap is mended; 8 empty pages in a row end it too.
7. Verify. A row that leaves and one that enters cancel out in the total. With `verify` the whole list is read again,
   backwards and forwards in turn, until a pass finds nothing new; after `max_passes` passes: `WalkDriftError`.
8. Bound. A pass makes at most 64 + 8 * ceil(n / s) requests, n being the largest of its first total and the rows seen,
   s the smallest stride; more than that is `WalkDriftError`.
"""

from collections import deque
from math import ceil, inf

from attrs import Factory, define, evolve, field, frozen

from workorder_async.codec import Row, ids_of, read_rows
from workorder_async.envelope import Answer
from workorder_async.errors import ConfigError, WalkDriftError
from workorder_async.models import PageRequest, TicketQuery, TicketStatus
from workorder_async.repair import PushedRows, Repair, SlidRows, Trend
from workorder_async.report import WalkReport

#: Reads asked for, per read that may be under way.
READS_AT_HAND = 2
# With fewer pages held than this per read under way, one slow page leaves the others with nothing to do.
_HELD_PER_READ = 4
_REREADS_OF_A_SHORT_PAGE = 2
_EMPTY_PAGES_THAT_END = 8
# Tickets go into this status from one side and out to the other at the same time, so a steady total proves nothing.
_PASSED_THROUGH = TicketStatus.PROCESSING


@frozen
class Bookmark:
    """Where a walk stands between two pages; `PageWalk(..., bookmark=...)` goes on from there, at any later time."""

    query: TicketQuery
    """The filters, frozen."""
    page_size: int
    """The stride."""
    page: int
    """The next page to give out."""
    total: int
    """The total that the page before it came with."""
    seen: frozenset[int] = field(repr=False)
    """The ids that were given out."""


@define
class WalkedPage:
    """The rows of one answer that had not been given out, as they came, and the answer that they stood in."""

    rows: list[Row]
    answer: Answer


@define(eq=False)
class PageRead:
    """One read that the walk wants: send `request`, and hand this back to `receive` with the answer."""

    request: PageRequest
    repair: Repair | None
    journey: "_Journey"
    #: The smallest total known when it was sent; a larger one in its answer means that a row has entered.
    low: float


@define(eq=False)
class _HeldPage:
    rows: list[Row]
    answer: Answer
    total: int
    ids: list[int]
    repairs: list[Repair] = Factory(list)


@define(eq=False)
class _Journey:
    """One way through the list at one stride: from `front` on, forwards (`step` 1) or backwards to page 1 (-1)."""

    step: int
    front: int
    #: Total of the page before `front`; None where there is none.
    edge_total: int | None
    edge_ids: list[int] = Factory(list)
    next: int = field(default=Factory(lambda self: self.front, takes_self=True))
    held: dict[int, _HeldPage] = Factory(dict)
    #: Pages to be read again since they came short, and how often they were.
    again: deque[int] = Factory(deque)
    rereads: dict[int, int] = Factory(dict)
    repairs: list[Repair] = Factory(list)
    empty_in_a_row: int = 0
    #: The position up to which rows were given out at another stride: its pages before that show them again.
    reached: int = 0


class PageWalk:
    """The state of one walk: `next_read` says what to read, `receive` takes it in, `take` gives it out."""

    def __init__(
        self,
        query: TicketQuery,
        *,
        page_size: int = 100,
        concurrency: int = 8,
        freeze: bool = True,
        verify: bool = False,
        max_passes: int = 5,
        bookmark: Bookmark | None = None,
    ) -> None:
        for name, value, least in (("concurrency", concurrency, 1), ("max_passes", max_passes, 2)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"{name} is {value!r}; it must be a whole number of at least {least}")
        self._first = PageRequest(query, 1, page_size)
        self._concurrency = concurrency
        self._freeze = freeze
        self._verify = verify
        self._max_passes = max_passes
        self._frozen = self._verified = self._entered = self._totals_wrong = False
        self._flaws: list[str] = []
        self._stride, self._smallest_stride = 0, page_size
        self._under_way = 0
        self._ready: deque[WalkedPage] = deque()
        # Each ticket given out, with its place in `_page_totals`; -1 where that tells nothing.
        self._seen: dict[int, int] = {}
        self._page_totals: list[int] = []
        self._low = inf
        self._first_total = self._last_total = -1
        self._passes = 1
        self._requests = self._duplicates = self._drifts = self._repaired = 0
        self._requests_in_pass = self._found_in_pass = self._flaws_before_pass = 0
        self._trend = Trend()
        self._journey = _Journey(1, 1, None)
        if bookmark is not None:
            self._first = PageRequest(bookmark.query, 1, bookmark.page_size)
            self._stride = self._smallest_stride = bookmark.page_size
            self._frozen = bookmark.query.created_end is not None
            self._seen = dict.fromkeys(bookmark.seen, -1)
            self._first_total = self._last_total = bookmark.total
            self._journey = _Journey(1, bookmark.page, bookmark.total)

    @property
    def bookmark(self) -> Bookmark | None:
        """Where the walk stands; None before its first page, and while it goes over the list again to verify."""
        journey = self._journey
        if journey.edge_total is None or self._passes > 1 or self._ready:
            return None
        return Bookmark(self._first.query, self._stride, journey.front, journey.edge_total, frozenset(self._seen))

    @property
    def query(self) -> TicketQuery:
        """The filters; frozen after the first answer."""
        return self._first.query

    @property
    def total(self) -> int:
        """The newest total; -1 before the first answer."""
        return self._last_total

    @property
    def load(self) -> int:
        """How many pages are under way or held."""
        return self._under_way + len(self._journey.held) + len(self._ready)

    @property
    def finished(self) -> bool:
        """Whether everything was given out."""
        return not self._ready and self._journey_is_over and (self._verified or not self._verify)

    @property
    def _journey_is_over(self) -> bool:
        journey = self._journey
        if journey.step < 0:
            return journey.front < 1
        if journey.empty_in_a_row >= _EMPTY_PAGES_THAT_END:
            return True
        return journey.edge_total is not None and (journey.front - 1) * self._stride >= journey.edge_total

    # What to read

    def next_read(self) -> PageRead | None:
        """Return the next read; None while there is nothing to ask for, or enough is under way or held."""
        # What waits for its turn is carried out later, and the list has moved on by then: not while it moves.
        if self._under_way >= self._concurrency * (1 if self._drifts else READS_AT_HAND):
            return None
        for repair in self._journey.repairs:
            if not repair.under_way:
                return self._read(repair.next_page(self._expected_total()), repair)
        if self._journey.again:
            return self._read(self._journey.again.popleft())
        number = self._next_number()
        if number is None:
            return None
        self._journey.next += self._journey.step
        return self._read(number)

    def _expected_total(self) -> int:
        """Guess the total at the time when a read that is sent now is carried out."""
        fall_per_request = (self._first_total - self._low) / max(1, self._requests)
        return int(self._low - fall_per_request * self._under_way)

    def _next_number(self) -> int | None:
        journey = self._journey
        number = journey.next
        if self._journey_is_over or abs(number - journey.front) >= self._concurrency * _HELD_PER_READ:
            return None
        if journey.step < 0:
            return number if number >= 1 else None
        # Until the first answer the number of further pages is not known; the page at the front is needed in any case.
        needed = number == journey.front or (self._stride and (number - 1) * self._stride < self._last_total)
        return number if needed else None

    def _read(self, number: int, repair: Repair | None = None) -> PageRead:
        self._under_way += 1
        self._requests += 1
        self._requests_in_pass += 1
        request = PageRequest(self._first.query, number, self._stride or self._first.page_size)
        return PageRead(request, repair, self._journey, self._low)

    # What an answer means

    def receive(self, read: PageRead, answer: Answer, now: float) -> None:
        """Take in the answer to a read; `now` is the server's time, in seconds since the epoch.

        Raises `DecodeError` where it is no page of a list, `WalkDriftError` where the walk goes beyond its bound.
        """
        self._under_way -= 1
        pagination, rows, ids = read_rows(answer)
        if read.journey is not self._journey:
            return
        number, said, count = read.request.page, pagination.page_size, len(rows)
        if self._stride and (0 < said < self._stride or count > self._stride):
            self._check_bound()
            self._change_stride(said if count <= self._stride else count)
            return
        total = self._sound_total(pagination.total, number, count)
        if not self._stride:
            self._set_stride(said, count, total, read.request.page_size)
            self._freeze_at(now)
        self._note_total(total, read.low)
        self._check_bound()
        page = _HeldPage(rows, answer, total, ids)
        if read.repair is not None:
            self._receive_again(read.repair, page)
        elif self._is_short(number, count, total):
            self._receive_short(number, page, said)
        else:
            self._hold(number, page)

    def _sound_total(self, total: int, number: int, count: int) -> int:
        """Return the total, or where it is less than the rows that came, one that makes the walk go on to the end."""
        end = (number - 1) * (self._stride or count) + count
        if count == 0 or total >= end:
            return total
        self._totals_wrong = True
        self._flaw("the totals are wrong or missing")
        return end + (count >= (self._stride or 1))

    def _set_stride(self, said: int, count: int, total: int, asked: int) -> None:
        if count == 0 or count >= total:
            self._stride = max(said or asked, count)
        else:
            self._stride = said if said == count else count
        self._smallest_stride = self._stride

    def _freeze_at(self, now: float) -> None:
        """Set `created_end` so that later tickets stay out and none of the second of the first answer is lost."""
        query, end = self._first.query, int(now) + 1
        if query.created_end is not None and query.created_end <= end:
            self._frozen = True
        elif self._freeze and (query.created_start or 0) <= end:
            self._first = evolve(self._first, query=evolve(query, created_end=end))
            self._frozen = True

    def _note_total(self, total: int, low: float) -> None:
        if total > low:
            self._entered = True
        self._low = min(self._low, total)
        self._last_total = total
        if self._first_total < 0:
            self._first_total = total

    def _check_bound(self) -> None:
        rows = max(self._first_total, len(self._seen))
        bound = 64 + 8 * ceil(rows / self._smallest_stride)
        if self._requests_in_pass > bound:
            raise WalkDriftError(
                f"the list moves faster than it can be read: {self._requests_in_pass} requests for {rows} tickets",
                operation="list_tickets",
                report=self.report,
            )

    def _change_stride(self, stride: int) -> None:
        """Go on with another stride from the position reached; what is under way or held at the old one is dropped."""
        journey = self._journey
        reached = max(journey.reached, (journey.front - 1) * self._stride)
        self._stride, self._smallest_stride = stride, min(self._smallest_stride, stride)
        if journey.step < 0:
            self._begin_backwards()
        else:
            self._journey = _Journey(1, reached // stride + 1, journey.edge_total, reached=reached)

    def _is_short(self, number: int, count: int, total: int) -> bool:
        return not self._totals_wrong and count < min(self._stride, total - (number - 1) * self._stride)

    def _receive_short(self, number: int, page: _HeldPage, said: int) -> None:
        """Take a short page for a smaller stride where the answer names none; else read it again, or go without."""
        rereads = self._journey.rereads.get(number, 0)
        if page.rows and not said:
            self._change_stride(len(page.rows))
        elif rereads < _REREADS_OF_A_SHORT_PAGE:
            self._journey.rereads[number] = rereads + 1
            self._journey.again.append(number)
        else:
            self._flaw("a page stayed shorter than its total says")
            self._hold(number, page)

    def _receive_again(self, repair: Repair, page: _HeldPage) -> None:
        repair.receive(page.rows, page.ids, page.answer, page.total)
        if repair.done:
            self._journey.repairs.remove(repair)

    def _hold(self, number: int, page: _HeldPage) -> None:
        held = self._journey.held
        held[number] = page
        if self._journey.step < 0 or self._totals_wrong:
            return
        before = held.get(number - 1)
        if before is not None:
            self._mend_edge(number - 1, before.total, before.ids, page)
        elif number == self._journey.front and self._journey.edge_total is not None:
            self._mend_edge(number - 1, self._journey.edge_total, self._journey.edge_ids, page)
        if number + 1 in held:
            self._mend_edge(number, page.total, page.ids, held[number + 1])

    def _mend_edge(self, number: int, total_before: int, before: list[int], after: _HeldPage) -> None:
        """Begin the repair of the edge behind page `number`, if rows may have slid past it."""
        totals = (total_before, after.total)
        if total_before <= after.total:
            return
        self._drifts += 1
        after.repairs = [
            SlidRows.behind(number, self._stride, totals, before=set(before), after=set(after.ids), trend=self._trend)
        ]
        if not self._frozen or self._entered:
            after.repairs.append(PushedRows.behind(number, self._stride, totals))
        self._journey.repairs += after.repairs

    # What is given out

    def take(self) -> WalkedPage | None:
        """Return the next rows in order; None where they have not come yet, or everything was given out.

        Raises `WalkDriftError` where the last pass that `max_passes` allows still found something new.
        """
        while not self._ready:
            if self._journey_is_over and not self._begin_next_pass():
                return None
            page = self._journey.held.get(self._journey.front)
            if page is None or not all(repair.done for repair in page.repairs):
                return None
            self._give_out(self._journey, page)
        return self._ready.popleft()

    def _give_out(self, journey: _Journey, page: _HeldPage) -> None:
        if page.repairs:
            self._repaired += 1
        for repair in page.repairs:
            for rows, answer in repair.found:
                self._give_out_rows(rows, ids_of(rows), answer, -1)
        place = -1 if self._passes > 1 else len(self._page_totals)
        self._page_totals.append(page.total)
        self._give_out_rows(page.rows, page.ids, page.answer, place)
        del journey.held[journey.front]
        journey.front += journey.step
        journey.edge_total, journey.edge_ids = page.total, page.ids
        journey.empty_in_a_row = 0 if page.rows or page.total <= 0 else journey.empty_in_a_row + 1
        if journey.empty_in_a_row >= _EMPTY_PAGES_THAT_END:
            self._flaw("the totals say more than there is")

    def _give_out_rows(self, rows: list[Row], ids: list[int], answer: Answer, place: int) -> None:
        places = dict.fromkeys(ids, place)
        if len(places) < len(ids) or not self._seen.keys().isdisjoint(ids):
            if place >= 0:
                self._note_impossible_repeats(ids, place)
            fresh = {id: row for id, row in zip(ids, rows, strict=True) if id not in self._seen}
            self._duplicates += len(ids) - len(fresh)
            places, rows = dict.fromkeys(fresh, place), list(fresh.values())
        self._seen |= places
        if rows:
            self._found_in_pass += len(rows)
            self._ready.append(WalkedPage(rows, answer))

    def _note_impossible_repeats(self, ids: list[int], place: int) -> None:
        """Notice a ticket that came on an earlier page too, though the total did not fall from this read to that one.

        Rows of a list that only loses some do not move to later pages, so one must have entered.
        """
        if (self._journey.front - 1) * self._stride < self._journey.reached:
            return
        total = self._page_totals[place]
        for id in ids:
            earlier = self._seen.get(id, -1)
            if earlier >= 0 and self._page_totals[earlier] >= total:
                self._entered = True

    def _begin_next_pass(self) -> bool:
        """Begin the next pass to verify, where one is wanted; whether it was."""
        if not self._verify or self._verified:
            return False
        if self._passes > 1 and not self._found_in_pass and len(self._flaws) == self._flaws_before_pass:
            self._verified = True
            return False
        if self._passes >= self._max_passes:
            raise WalkDriftError(
                f"pass {self._passes} still found {self._found_in_pass} tickets that had not come before; "
                "the list does not hold still",
                operation="list_tickets",
                report=self.report,
            )
        self._passes += 1
        self._requests_in_pass = self._found_in_pass = 0
        self._flaws_before_pass = len(self._flaws)
        if self._passes % 2:
            self._journey = _Journey(1, 1, None)
        else:
            self._begin_backwards()
        return True

    def _begin_backwards(self) -> None:
        self._journey = _Journey(-1, max(1, ceil(self._last_total / self._stride)), None)

    # What it was worth

    def _flaw(self, words: str) -> None:
        if words not in self._flaws:
            self._flaws.append(words)

    @property
    def report(self) -> WalkReport:
        """The walk so far."""
        exact, reason = self._verdict()
        return WalkReport(
            requests=self._requests,
            pages=len(self._page_totals),
            tickets=len(self._seen),
            duplicates=self._duplicates,
            drifts=self._drifts,
            repaired=self._repaired,
            passes=self._passes,
            first_total=self._first_total,
            last_total=self._last_total,
            exact=exact,
            reason=reason,
        )

    def _verdict(self) -> tuple[bool, str]:
        flaws = "; ".join(self._flaws)
        for holds, exact, reason in (
            (not self.finished, False, "not finished"),
            (self._verified, True, "verified"),
            (bool(flaws), False, flaws),
            (self._requests == 1, True, "one page, read at once"),
            (not self._frozen, False, "not frozen"),
            (self._entered, False, "tickets entered the list; verify=True settles it"),
            (len(self._seen) < self._low, False, "fewer tickets came than the total says"),
            (self._first.query.status == _PASSED_THROUGH, False, "tickets enter and leave this status at once"),
            (self._drifts > 0, True, "frozen, drift repaired"),
        ):
            if holds:
                return exact, reason
        return True, "frozen, no drift"

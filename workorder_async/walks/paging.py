"""A walk over the pages of a list that may move meanwhile, as rules without I/O.

What is known. Reading page k of stride s gives the rows at positions [(k-1)s, ks) of the list as it is at that instant,
and a total. The order of rows is not documented; it is taken to stay the same from read to read, apart from rows that
leave and rows that enter, and what contradicts that is noticed by tickets that come twice. A total is a claim.

1. Freeze. After the first answer `created_end` is set so that later tickets stay out (`freezing.py`).
2. Stride. How many rows a page has is told by the rows of the first answer. It changes on evidence of the rows only: a
   page with fewer rows than its total says, or with more than the others, is read again. A larger stride is taken where
   the page comes so twice. A smaller one is taken where page 1 (or 2, for page 1), read after that, is as small, and no
   page that was asked for since the first odd answer came full: a server that has lowered its cap gives no full page
   any more, one that cut single answers does. What `pagination.page_size` says alone changes nothing. While the stride
   is less than a quarter of what was asked for, pages 2 and 1 in turn are read at the full size, ever more rarely, and
   tell when it is more.
3. Window. Twice `concurrency` reads are asked for at most (whoever drives the walk lets `concurrency` of them be under
   way, and has the next at hand when one ends), and four times `concurrency` pages are held.
4. Dedupe. A row whose id was given out is dropped, and counted.
5. Repair. If page k+1 has a smaller total than page k, rows beyond the edge between them may have slid before it: they
   are looked for, and come with the page that is given out later (`repair.py`). Of a list that is not frozen, or into
   which a row is seen to enter, also rows that were pushed behind the edge. Why that is all: a row of a frozen list
   only ever slides to the front. If no page showed it, there is an edge with the row beyond it when page k was read,
   and before it when page k+1 was; the second read was then the later one, and its total the smaller one. That holds in
   whichever order pages are read.
6. Turn. Where many edges move, the rest is read from the list's end to the front, with so few reads under way that only
   part of a page moves meanwhile: what slides is still to be read then, and only reads that overtook each other leave
   an edge to mend. The way ends at a page that holds a row of the last page before the turn, or where no missed row
   can be. Where rows enter, it goes on forwards, with few reads under way.
7. End. A page that is not full, and whose total says no more. A list that ends exactly full is looked at once more
   behind its end, where known tickets count as none: by the next page, or where the total is so round that it may be a
   cap, or that page is refused, by created time. Rows behind a total show that it is wrong: `capped`. Empty pages
   though totals say more: `too_deep`; 8 of them in a row end the walk.
8. Verify. A row that leaves and one that enters cancel out in the total. With `verify` the whole list is read again,
   backwards and forwards in turn, until a pass finds nothing new and shows as many tickets as its totals say (or all
   passes together exactly as many, where no total ever moved); after `max_passes` passes: `WalkDriftError`.
9. Bound. After 32 pages in a row without anything new (and as many more as moved totals explain), or more than
   256 + 8 * n requests in a pass, n being its pages that brought something new: `WalkDriftError`.

The walk is exact (`ledger.py`) where that follows without an assumption about what people do with tickets: it was one
page; it was verified; or it is frozen, filtered by nothing but created time and creator, and nothing contradicted.
"""

from collections import deque
from math import ceil

from attrs import define, evolve, field, frozen

from workorder_async.errors import ConfigError, WalkDriftError
from workorder_async.models import PageRequest, Pagination, TicketQuery
from workorder_async.protocol.codec import Row, read_rows
from workorder_async.protocol.envelope import Answer
from workorder_async.walk_report import SkippedRow, WalkReport
from workorder_async.walks.freezing import created_time, freeze
from workorder_async.walks.journey import Doubt, Edge, HeldPage, Journey
from workorder_async.walks.ledger import ROUND, Ledger
from workorder_async.walks.repair import PushedRows, Repair, SlidRows, Trend

#: Reads asked for, per read that may be under way.
READS_AT_HAND = 2
# With fewer pages held than this per read under way, one slow page leaves the others with nothing to do.
_HELD_PER_READ = 4
_BARREN_READS = 32
# How far beyond the last page that showed rows is read, besides what is under way.
_BEYOND_THE_LAST = 8
# A first page with less than this part of what was asked for is read again before it sets the stride.
_SUSPICIOUS_PART = 4
# A larger answer is given out in pieces.
_ROWS_AT_ONCE = 1000
# Edges seen to move, after which a walk may be found to move too much to go on as before.
_HEAVY_EDGES = 3
# What part of a page may move while as many reads as are allowed are under way.
_PART_BACKWARDS, _PART_FORWARDS = 1 / 4, 1 / 16
_MOST_ROWS = 2**31 - 1
# After so many requests, and twice as many, and so on, a very small stride is doubted.
_REQUESTS_BEFORE_A_SAMPLE = 16


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
    ids: list[int] = field(factory=list, repr=False)
    """The rows' ids."""
    is_more: bool = False
    """Whether these are further rows of the same answer as the last page's."""


@define(eq=False)
class PageRead:
    """One read that the walk wants: send `request`, and hand this back to `receive` with the answer."""

    request: PageRequest
    repair: Repair | None
    journey: Journey
    #: The smallest total known when it was sent; a larger one in its answer means that a row has entered.
    low: float
    #: How many reads were sent up to this one.
    serial: int
    #: Whether it looks behind the end by created time, instead of by the page's number.
    is_tail: bool = False
    #: Whether it is one of the first pages, read to see how many rows the server gives.
    is_sample: bool = False


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
        skip_bad_rows: bool = False,
        bookmark: Bookmark | None = None,
    ) -> None:
        for name, value, least in (("concurrency", concurrency, 1), ("max_passes", max_passes, 2)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"{name} is {value!r}; it must be a whole number of at least {least}")
        self._first = PageRequest(query, 1, page_size)
        self._concurrency = concurrency
        self._freeze, self._frozen = freeze, False
        self._verify = verify
        self._max_passes = max_passes
        self._skips = skip_bad_rows
        self._stride = 0
        self._sampled = 1
        # When a very small stride is doubted next, in requests, and how many after that.
        self._sample_at = self._wait = _REQUESTS_BEFORE_A_SAMPLE
        self._under_way = 0
        self._ready: deque[WalkedPage] = deque()
        self.ledger = Ledger()
        self._totals_wrong = False
        #: Whether pages beyond a depth came empty though their totals say more, or rows came beyond a total.
        self.too_deep = self.capped = False
        self._requests_in_pass = self._barren = self._fresh_pages = self._edges = 0
        self._turned = False
        self._answers = self._refused = 0
        self._trend = Trend()
        # When the first and the last ticket that was given out were created.
        self._times: tuple[int | None, int | None] = (None, None)
        self._journey = Journey(1, 1)
        if bookmark is not None:
            self._first = PageRequest(bookmark.query, 1, bookmark.page_size)
            self._stride = bookmark.page_size
            self._frozen = bookmark.query.created_end is not None
            self.ledger.seen = dict.fromkeys(bookmark.seen, -1)
            self.ledger.first_total = self.ledger.last_total = bookmark.total
            position = (bookmark.page - 1) * bookmark.page_size
            self._journey = Journey(1, bookmark.page, Edge(position, bookmark.total))

    @property
    def bookmark(self) -> Bookmark | None:
        """Where the walk stands; None before its first page, and while it reads to the front."""
        journey = self._journey
        if journey.edge is None or journey.step < 0 or self.ledger.passes > 1 or self._ready:
            return None
        seen = frozenset(self.ledger.seen)
        return Bookmark(self._first.query, self._stride, journey.front, journey.edge.total, seen)

    @property
    def query(self) -> TicketQuery:
        """The filters; frozen after the first answer, where `is_frozen` tells so."""
        return self._first.query

    @property
    def is_frozen(self) -> bool:
        """Whether tickets created later stay out."""
        return self._frozen

    @property
    def total(self) -> int:
        """The newest total; -1 before the first answer."""
        return self.ledger.last_total

    @property
    def load(self) -> int:
        """How many pages are under way or held."""
        return self._under_way + len(self._journey.held) + len(self._ready)

    @property
    def is_barren(self) -> bool:
        """Whether the newest answer brought nothing new."""
        return self._barren > 0

    @property
    def depth(self) -> int:
        """How many rows the pages showed that came."""
        return self._journey.last * self._stride

    @property
    def finished(self) -> bool:
        """Whether everything was given out."""
        return not self._ready and self._journey.over and (self.ledger.verified or not self._verify)

    # What to read

    def next_read(self) -> PageRead | None:
        """Return the next read; None while there is nothing to ask for, or enough is under way or held."""
        if self._under_way >= self._allowed():
            return None
        journey = self._journey
        if journey.doubt is not None:
            return self._resolve(journey.doubt)
        if journey.repairs_again:
            return self._read(*journey.repairs_again.popleft())
        repair = next((repair for repair in journey.repairs if not repair.under_way), None)
        if repair is not None:
            return self._read(repair.next_page(self._expected_total(self.ledger.low)), repair)
        if journey.again:
            return self._read(journey.again.popleft())
        return self._read_next()

    def _read_next(self) -> PageRead | None:
        number = self._next_number()
        if number is None:
            return None
        if 0 < self._stride * _SUSPICIOUS_PART < self._first.page_size and self.ledger.requests >= self._sample_at:
            self._wait *= 2
            self._sample_at = self.ledger.requests + self._wait
            self._sampled = 3 - self._sampled
            return self._sample(self._sampled)
        self._journey.next += self._journey.step
        return self._read(number)

    def _allowed(self) -> int:
        """Return how many reads may be under way, so that between two of them only part of a page's rows moves."""
        ledger = self.ledger
        # What waits for its turn is carried out later, and the list has moved on by then: not while it moves.
        if not ledger.drifts:
            return self._concurrency * READS_AT_HAND
        if not self._turned:
            return self._concurrency
        moved = (ledger.high - ledger.low) / max(1, self._answers)
        part = _PART_BACKWARDS if self._journey.step < 0 else _PART_FORWARDS
        return max(1, min(self._concurrency, int(self._stride * part / max(moved, 0.01))))

    def _expected_total(self, total: float) -> int:
        """Guess the total by the time that a read is carried out which is sent now; `total` is the newest known."""
        ledger = self.ledger
        fall = max(0.0, ledger.first_total - ledger.low) / max(1, self._answers)
        return int(total - fall * (self._under_way + 1))

    def _last_page(self, total: float) -> int:
        """Guess the last page of the list at that time."""
        return max(1, ceil(min(self._expected_total(total), _MOST_ROWS) / self._stride))

    def _next_number(self) -> int | None:
        journey = self._journey
        if not journey.front:
            journey.front = journey.next = self._last_page(self.ledger.low)
        number = journey.next
        if journey.over or abs(number - journey.front) >= self._concurrency * _HELD_PER_READ:
            return None
        if number == journey.front:
            return number
        if self._may_be_capped(number):
            return None
        if journey.step < 0:
            until = journey.until
            left = 0 if until is None else until.position - until.total + self.ledger.low
            return number if number >= 1 and number * self._stride > left else None
        # Until the first answer the number of further pages is not known.
        total, stride = self.ledger.last_total, self._stride
        # Of a list that ends exactly full, the page behind its end is needed, too.
        needed = stride and (number - 1) * stride <= total
        furthest = journey.last + _BEYOND_THE_LAST + self._concurrency * READS_AT_HAND
        return number if needed and number <= furthest else None

    def _read(self, number: int, repair: Repair | None = None) -> PageRead:
        self._under_way += 1
        self.ledger.requests += 1
        self._requests_in_pass += 1
        request = PageRequest(self._first.query, number, self._stride or self._first.page_size)
        tail = self._tail() if repair is None and self._may_be_capped(number) else None
        if tail is not None and number not in self._journey.tails:
            self._journey.tails.add(number)
            request = PageRequest(tail, 1, self._stride)
            return PageRead(request, None, self._journey, self.ledger.low, self.ledger.requests, is_tail=True)
        return PageRead(request, repair, self._journey, self.ledger.low, self.ledger.requests)

    def _may_be_capped(self, number: int) -> bool:
        """Tell whether a page would stand behind a total so round that the server may count, and show, no further."""
        total = self.ledger.last_total
        is_round = total > 0 and total % ROUND == 0 and (number - 1) * self._stride == total
        return self._journey.step > 0 and (is_round or number == self._refused)

    def _tail(self) -> TicketQuery | None:
        """Return what asks for all that is behind the last row, by created time: no depth is refused there."""
        query, (first, last) = self._first.query, self._times
        if first is None or last is None:
            return None
        try:
            return evolve(query, created_end=last + 1) if first >= last else evolve(query, created_start=last)
        except ConfigError:
            return None

    def _receive_tail(self, ids: list[int], total: int) -> None:
        """Take in what stands behind the last row: nothing but known tickets end the list, else pages must tell.

        The last row is one of them: without it the server does not understand these times.
        """
        front, known = self._journey.front, self.ledger.seen
        if any(id not in known for id in ids):
            self.capped = True
            self.ledger.flaw("the totals are wrong or missing")
        elif ids and total <= len(ids):
            self._hold(front, HeldPage([], [], Answer(None), self.ledger.last_total, [], 0))
            return
        self._journey.again.append(front)

    # What an answer means

    def receive(self, read: PageRead, answer: Answer, now: float) -> None:
        """Take in the answer to a read; `now` is the time, in seconds since the epoch.

        Raises `DecodeError` where it is no page of a list, `WalkDriftError` where the walk goes beyond its bound.
        """
        self._under_way -= 1
        skipped: list[SkippedRow] = []
        pagination, rows, ids = read_rows(answer, skipped if self._skips else None)
        self._answers += 1
        number, said, count = read.request.page, pagination.page_size, len(ids) + len(skipped)
        if count > (self._stride or self._first.page_size):
            count = len(set(ids)) + len(skipped)
        if read.journey is not self._journey or read.is_tail or read.is_sample:
            self._receive_aside(read, ids, pagination, count)
            return
        if not self._stride and not self._set_stride(said, count, pagination.total, rows, now):
            return
        if self._is_repeated_end(number, ids, pagination.total):
            rows, ids, skipped, count = [], [], [], 0
        told = None if count == self._stride else self._oddity(number, count, said, pagination.total)
        if told is None:
            self._note_regular(read, count)
        elif self._read_again(read, count, told, pagination.total):
            if pagination.total >= (number - 1) * self._stride + count:
                self.ledger.note_total(pagination.total, read.low)
            self._check_bounds(read, ids)
            return
        total = self._sound_total(pagination.total, number, count)
        self.ledger.note_total(total, read.low)
        self._check_bounds(read, ids)
        page = HeldPage(rows, ids, answer, total, skipped, count)
        if read.repair is None:
            self._hold(number, page)
        elif self._journey.mend(read.repair, page):
            self.ledger.flaw("the order of the list is not stable")

    def _receive_aside(self, read: PageRead, ids: list[int], pagination: Pagination, count: int) -> None:
        """Take in an answer that is not one of the pages of the way."""
        if read.journey is not self._journey:
            if self._turned and not self._journey.front:
                self.ledger.note_total(max(0, pagination.total), read.low)
        elif read.is_tail:
            self._receive_tail(ids, pagination.total)
        else:
            self._receive_sample(read.request, count, pagination)

    def _set_stride(self, said: int, count: int, total: int, rows: list[Row], now: float) -> bool:
        """Take the stride, and the end of the list, from the first answer; whether that was possible."""
        asked, journey = self._first.page_size, self._journey
        if count < total and count * _SUSPICIOUS_PART < asked:
            odd = journey.note_odd(1, count, self.ledger.requests)
            if not odd.came_twice and journey.may_read_again(odd):
                journey.ask_again(1)
                return False
        journey.acquit(1)
        if not count:
            self._stride = asked
        elif count == total:
            self._stride = max(said if 0 < said <= asked else asked, count)
        else:
            self._stride = count
        query, frozen = freeze(self._first.query, rows, now)
        if self._freeze:
            self._first = PageRequest(query, 1, asked)
        self._frozen = frozen and query == self._first.query
        return True

    def _is_repeated_end(self, number: int, ids: list[int], total: int) -> bool:
        """Tell whether a page behind the end shows known tickets only, as where the last page is given again."""
        return number > 1 and total <= (number - 1) * self._stride and self.ledger.have_come(ids)

    def _sound_total(self, total: int, number: int, count: int) -> int:
        """Return the total, or where it is less than the rows that came, one that makes the walk go on to the end."""
        end = (number - 1) * self._stride + count
        if count == 0 or total >= end:
            return max(0, total)
        self._totals_wrong = True
        self.capped = self.capped or total >= self._stride
        self.ledger.flaw("the totals are wrong or missing")
        return end + (count >= self._stride)

    def _check_bounds(self, read: PageRead, ids: list[int]) -> None:
        """Count what brought nothing new; refuse to go on for ever."""
        if self.ledger.is_new(ids):
            self._barren = 0
            self._fresh_pages += 1
        elif read.repair is None and (ids or self._journey.step < 0):
            self._barren += 1
        # Rows that enter or leave move known ones to the pages that are read next.
        moved = int(max(0.0, self.ledger.high - self.ledger.low)) // self._stride
        if self._barren > _BARREN_READS + min(moved, 2 * _BARREN_READS + self._fresh_pages):
            self._give_up(
                f"{self._barren} pages in a row brought nothing new; it moves as fast as it is read, or the server "
                "ignores `page`"
            )
        if self._requests_in_pass > 256 + 8 * max(self._concurrency, self._fresh_pages):
            self._give_up(f"it moves faster than it can be read: {self._requests_in_pass} requests in one pass")

    def _give_up(self, words: str) -> None:
        message = f"the list cannot be read to its end: {words}"
        raise WalkDriftError(message, operation="list_tickets", report=self.report)

    def refuse(self, read: PageRead, *, for_good: bool) -> bool:
        """Take in that a page behind the list's end was refused; False where the page is needed.

        What is behind is asked for by created time then, or if that is not possible and `for_good`, not known.
        """
        number, journey = read.request.page, self._journey
        if read.journey is not journey:
            self._under_way -= 1
            return True
        if journey.step < 0 or read.repair is not None or (number - 1) * self._stride < self.ledger.last_total:
            return False
        if number not in journey.tails and self._tail() is not None:
            self._refused = journey.next = number
        elif for_good:
            self.ledger.flaw("what lies behind the last page was refused")
            self._hold(number, HeldPage([], [], Answer(None), self.ledger.last_total, [], 0))
        else:
            return False
        self._under_way -= 1
        return True

    # Pages with more or fewer rows than they should have

    def _oddity(self, number: int, count: int, said: int, total: int) -> int | None:
        """Return the stride that an odd page's rows tell of, 0 where they tell of none; None where it is not odd.

        Odd is one with more rows than the stride, or fewer than it and its total say, or fewer and a size that says so.
        Rows beyond the total may be those of a smaller stride.
        """
        before, told = (number - 1) * self._stride, self._told(count, said)
        is_short = count < min(self._stride, total - before) and not self._totals_wrong
        is_beyond = number > 1 and total < before + count and not self._totals_wrong
        is_said = 0 < count <= said < self._stride
        is_odd = is_short or is_said or count > self._stride or (is_beyond and told > 0)
        return told if is_odd else None

    def _told(self, count: int, said: int) -> int:
        """Return the stride that a page's rows tell of, where it may be another one; 0 where they do not.

        What a page says of its size counts only where its rows bear it out.
        """
        if count > self._stride:
            return count
        if 0 < count <= said < self._stride:
            return said
        return count if not said and count < self._stride else 0

    def _note_regular(self, read: PageRead, count: int) -> None:
        """Note a page that is not odd: where it came odd before, that was not the server's new size."""
        journey = self._journey
        if count == self._stride:
            journey.full = max(journey.full, read.serial)
        if journey.odd:
            journey.acquit(read.request.page)

    def _read_again(self, read: PageRead, count: int, told: int, total: int) -> bool:
        """Read an odd page again, or find another stride; False where it has to be taken as it is."""
        journey, number = self._journey, read.request.page
        if journey.doubt is not None:
            journey.ask_again(number, read.repair)
            return True
        odd = journey.note_odd(number, count, self.ledger.requests)
        if told > self._stride and odd.came_twice:
            self._change_stride(told)
            return True
        is_short = count < min(self._stride, total - (number - 1) * self._stride)
        if 0 < told < self._stride and journey.may_doubt(odd, is_short=is_short):
            journey.doubt = Doubt(number, read.repair, odd)
            return True
        if odd.came_twice and not count and number > 1 and read.repair is None:
            self.too_deep = True
        if journey.may_read_again(odd):
            journey.ask_again(number, read.repair)
            return True
        if is_short or count > self._stride or not odd.refuted:
            self.ledger.flaw("a page stayed shorter than its total says, or longer than the others")
        return False

    def _resolve(self, doubt: Doubt) -> PageRead | None:
        """Read another page when all that is under way has come; not where one of those that came tells enough."""
        if doubt.is_asked or self._under_way:
            return None
        if self._journey.full > doubt.odd.since:
            self._journey.refute(doubt, self.ledger.requests)
            return self.next_read()
        doubt.is_asked = True
        return self._sample(2 if doubt.number == 1 else 1)

    def _sample(self, number: int) -> PageRead:
        """Read one of the first pages at the full size, to see how many rows the server gives now."""
        read = self._read(number)
        size = max(self._stride, self._first.page_size)
        return evolve(read, request=evolve(read.request, page_size=size), is_sample=True)

    def _receive_sample(self, request: PageRequest, count: int, pagination: Pagination) -> None:
        journey, told = self._journey, self._told(count, pagination.page_size)
        if not pagination.page_size and count == pagination.total - (request.page - 1) * request.page_size:
            # The end of a short list.
            told = 0
        doubt, journey.doubt = journey.doubt, None
        if told > self._stride:
            self._change_stride(told)
        elif doubt is None:
            return
        elif 0 < told < self._stride and journey.full <= doubt.odd.since:
            self._change_stride(told)
        else:
            journey.refute(doubt, self.ledger.requests)

    def _change_stride(self, stride: int) -> None:
        """Go on with another stride from the position reached; what is under way or held at the old one is dropped."""
        journey = self._journey
        reached = max(journey.reached, (journey.front - 1) * self._stride)
        self._stride, self._wait = stride, _REQUESTS_BEFORE_A_SAMPLE
        self._sample_at = self.ledger.requests + self._wait
        if journey.step < 0:
            self._journey = Journey(-1, 0, until=journey.until, first_place=journey.first_place)
        else:
            self._journey = Journey(1, reached // stride + 1, journey.edge, reached=reached)

    def _hold(self, number: int, page: HeldPage) -> None:
        journey = self._journey
        if page.count:
            journey.last = max(journey.last, number)
        journey.held[number] = page
        if self._totals_wrong:
            return
        for low, before, behind, waiting in journey.edges_beside(number):
            # Where nothing stood behind the edge, nothing has slid past it.
            self._edges += 1
            if low * self._stride < before.total > behind.total:
                self._mend_edge(low, before, behind, waiting)
        if self._is_heavy():
            self._turn()

    def _mend_edge(self, number: int, before: HeldPage | Edge, behind: HeldPage | Edge, waiting: HeldPage) -> None:
        """Begin the repair of the edge behind page `number`: rows may have slid past it."""
        totals = (before.total, behind.total)
        self.ledger.drifts += 1
        repairs: list[Repair] = [
            SlidRows.behind(number, self._stride, totals, before=before.ids, after=behind.ids, trend=self._trend)
        ]
        if not self._frozen or self.ledger.entered:
            repairs.append(PushedRows.behind(number, self._stride, totals, behind.ids))
        waiting.repairs += repairs
        self._journey.repairs += repairs

    def _is_heavy(self) -> bool:
        """Tell whether so many edges need repair that the rest is better read from the end to the front."""
        ledger, journey = self.ledger, self._journey
        if self._turned or journey.step < 0 or self._totals_wrong:
            return False
        left = ledger.low / self._stride - journey.front
        return ledger.drifts >= _HEAVY_EDGES and ledger.drifts * 4 >= self._edges and left > _HEAVY_EDGES

    # What is given out

    def take(self) -> WalkedPage | None:
        """Return the next rows in order; None where they have not come yet, or everything was given out.

        Raises `WalkDriftError` where the last pass that `max_passes` allows still found something new.
        """
        while not self._ready:
            if self._journey.over and not self._begin_next_pass():
                return None
            page = self._journey.held.get(self._journey.front)
            if page is None or not all(repair.done for repair in page.repairs):
                return None
            self._give_out(self._journey, page)
        return self._ready.popleft()

    def _give_out(self, journey: Journey, page: HeldPage) -> None:
        number = journey.front
        if journey.step < 0 and (journey.edge is None or not page.count) and not self._shows_the_end(number, page):
            return
        if page.repairs:
            self.ledger.repaired += 1
        for repair in page.repairs:
            for rows, ids, answer in repair.found:
                self._give_out_rows(rows, ids, answer, -1)
        journey.low = min(journey.low, *(repair.total for repair in page.repairs), page.total)
        if journey.first_place >= 0 and self.ledger.passes == 1 and page.total <= journey.low:
            self.ledger.note_order(page.ids, journey.first_place)
        place = self.ledger.place(number, self._stride, page.total, page.count)
        if (number - 1) * self._stride < journey.reached:
            place = -1
        if page.skipped:
            self.ledger.skip(page.skipped)
        self._give_out_rows(page.rows, page.ids, page.answer, place)
        if page.rows:
            self._times = (self._times[0] or created_time(page.rows[0]), created_time(page.rows[-1]))
        journey.pass_by(number, page, self._stride)
        if journey.ended_by_empty_pages:
            self.ledger.flaw("the totals say more than there is")

    def _shows_the_end(self, number: int, page: HeldPage) -> bool:
        """Tell whether the first page on the way to the front, or an empty one, shows the list's end.

        Where it does not, the way begins anew, further back or nearer.
        """
        journey, stride = self._journey, self._stride
        if journey.edge is None and (page.count >= stride or page.total > number * stride):
            journey.begin_behind(number)
        elif not page.count and number - 1 not in journey.held and self._last_page(page.total) < number - 1:
            self._journey = Journey(-1, 0, until=journey.until, first_place=journey.first_place)
        else:
            return True
        return False

    def _give_out_rows(self, rows: list[Row], ids: list[int], answer: Answer, place: int) -> None:
        fresh = self.ledger.admit(ids, place)
        if fresh is not None:
            rows, ids = [rows[index] for index in fresh.values()], list(fresh)
        for start in range(0, len(ids), _ROWS_AT_ONCE):
            end = start + _ROWS_AT_ONCE
            self._ready.append(WalkedPage(rows[start:end], answer, ids[start:end], start > 0))

    def _begin_next_pass(self) -> bool:
        """Begin the next pass to verify, where one is wanted; whether it was."""
        ledger = self.ledger
        if not self._verify or ledger.verified or ledger.end_pass(self._totals_wrong):
            return False
        if ledger.passes >= self._max_passes:
            raise WalkDriftError(
                f"pass {ledger.passes} found {ledger.found} tickets that had not come before, and the totals do not "
                "vouch for the rest; the list does not hold still",
                operation="list_tickets",
                report=self.report,
            )
        ledger.begin_pass()
        self._requests_in_pass = self._barren = self._fresh_pages = 0
        if ledger.passes % 2:
            self._journey = Journey(1, 1)
        else:
            last = self._journey.last
            ends = last if self._totals_wrong else min(last, ceil(ledger.last_total / self._stride))
            self._journey = Journey(-1, max(1, ends))
        return True

    def _turn(self) -> None:
        """Drop what is under way and held, and go on so that drift costs little.

        Where rows only leave, from the end of the list to the front: what slides is still to be read. Else from the
        front on, with fewer reads under way at a time.
        """
        journey, self._turned = self._journey, True
        if self._frozen and not self.ledger.entered:
            self._journey = Journey(-1, 0, until=journey.edge, first_place=len(self.ledger.places))
        else:
            self._journey = Journey(1, journey.front, journey.edge, reached=journey.reached)

    @property
    def report(self) -> WalkReport:
        """The walk so far."""
        ledger = self.ledger
        exact, reason = ledger.verdict(self._first.query, finished=self.finished, frozen=self._frozen)
        return WalkReport(
            requests=ledger.requests,
            pages=ledger.pages,
            tickets=len(ledger.seen) - ledger.undecodable,
            duplicates=ledger.duplicates,
            drifts=ledger.drifts,
            repaired=ledger.repaired,
            passes=ledger.passes,
            first_total=ledger.first_total,
            last_total=ledger.last_total,
            exact=exact,
            reason=reason,
            skipped=tuple(ledger.skipped),
            skipped_rows=ledger.skipped_rows,
        )

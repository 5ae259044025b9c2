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
   an edge to mend. The way ends at a page that holds a row of the last page before the turn, or where no missed row can
   be. Where rows enter, it goes on forwards, with few reads under way.
7. End. A page that is not full, and whose total says no more. A list that ends exactly full is looked at once more
   behind its end, where known tickets count as none: by the next page, or where the total is so round that it may be a
   cap, or that page is refused, by created time. Rows behind a total show that it is wrong: `capped`. Empty pages
   though totals say more: `too_deep`; 8 of them in a row end the walk.
8. Verify. A row that leaves and one that enters cancel out in the total. With `verify` the whole list is read again,
   backwards and forwards in turn, until a pass finds nothing new and shows as many tickets as its totals say (or all
   passes together exactly as many, where no total ever moved); after `max_passes` passes: `WalkDriftError`.
9. Bound. After 32 pages in a row without anything new (and as many more as moved totals explain), or more than 256 + 8
   * n requests in a pass, n being its pages that brought something new: `WalkDriftError`.

The walk is exact (`ledger.py`) where that follows without an assumption about what people do with tickets: it was one
page; it was verified; or it is frozen, filtered by nothing but created time and creator, and nothing contradicted.

Where they are: 1 `freezing.py`; 2 `strides.py`; 3 here; 4 `ledger.py`; 5 and 6 `drifting.py`, `journey.py` and
`repair.py`; 7 `tail.py`; 8 `handing_out.py` and `ledger.py`; 9 `bounds.py`. They share a `Course`.
"""

from typing import Unpack

from attrs import evolve

from workorder_async.models import PageRequest, Pagination, TicketQuery
from workorder_async.protocol.codec import Row, read_rows
from workorder_async.protocol.envelope import Answer
from workorder_async.walk_report import SkippedRow, WalkReport
from workorder_async.walks.bounds import Bounds
from workorder_async.walks.course import READS_AT_HAND, Course, PageRead
from workorder_async.walks.drifting import Drifting
from workorder_async.walks.freezing import freeze
from workorder_async.walks.handing_out import HandingOut, WalkedPage
from workorder_async.walks.journey import HeldPage
from workorder_async.walks.ledger import Ledger
from workorder_async.walks.options import WalkOptions, WalkSettings
from workorder_async.walks.strides import Strides
from workorder_async.walks.tail import Tail

# How far beyond the last page that showed rows is read, besides what is under way.
_BEYOND_THE_LAST = 8


class PageWalk:
    """The state of one walk: `next_read` says what to read, `receive` takes it in, `take` gives it out."""

    def __init__(self, query: TicketQuery, **options: Unpack[WalkOptions]) -> None:
        settings = WalkSettings(**options)
        self._freeze = settings.freeze
        self._skips = settings.skips_bad_rows
        self._course = course = Course(PageRequest(query, 1, settings.page_size), settings.concurrency)
        self._strides = Strides(course)
        self._tail = Tail(course)
        self._drifting = Drifting(course)
        self._bounds = Bounds(course)
        self._handing_out = HandingOut(course, self._drifting, self._tail, self._bounds, settings)

    @property
    def ledger(self) -> Ledger:
        """The books of the walk."""
        return self._course.ledger

    @property
    def query(self) -> TicketQuery:
        """The filters; frozen after the first answer, where that is possible."""
        return self._course.asked.query

    @property
    def total(self) -> int:
        """The newest total; -1 before the first answer."""
        return self._course.ledger.last_total

    @property
    def load(self) -> int:
        """How many pages are under way or held."""
        return self._course.under_way + len(self._course.journey.held) + self._handing_out.count

    @property
    def is_barren(self) -> bool:
        """Whether the newest answer brought nothing new."""
        return self._bounds.barren > 0

    @property
    def is_too_deep(self) -> bool:
        """Whether pages beyond a depth came empty though their totals say more."""
        return self._course.too_deep

    @property
    def is_capped(self) -> bool:
        """Whether rows came beyond a total."""
        return self._course.capped

    @property
    def depth(self) -> int:
        """How many rows the pages showed that came."""
        return self._course.journey.last * self._course.stride

    @property
    def finished(self) -> bool:
        """Whether everything was given out."""
        return self._handing_out.finished

    # What to read

    def next_read(self) -> PageRead | None:
        """Return the next read; None while there is nothing to ask for, or enough is under way or held."""
        course = self._course
        if course.under_way >= self._drifting.allowed():
            return None
        doubt = course.journey.doubt
        if doubt is not None:
            read = self._strides.resolve(doubt)
            if read is not None or course.journey.doubt is not None:
                return read
        return self._read_once_more() or self._read_next()

    def _read_once_more(self) -> PageRead | None:
        """Read a page again, for a repair or because it came odd."""
        course = self._course
        journey = course.journey
        if journey.repairs_again:
            return course.read(*journey.repairs_again.popleft())
        if journey.repairs:
            repair = next((repair for repair in journey.repairs if not repair.under_way), None)
            if repair is not None:
                return course.read(repair.next_page(course.expected_total(course.ledger.low)), repair)
        return self._read(journey.again.popleft()) if journey.again else None

    def _read_next(self) -> PageRead | None:
        number = self._next_number()
        if number is None:
            return None
        sample = self._strides.sample()
        if sample is not None:
            return sample
        self._course.journey.next += self._course.journey.step
        return self._read(number)

    def _read(self, number: int) -> PageRead:
        return self._tail.read(number) if self._tail.begins_at(number) else self._course.read(number)

    def _next_number(self) -> int | None:
        """Return the next page of the way that is needed and may be asked for now."""
        course = self._course
        journey = course.journey
        if not journey.front:
            journey.front = journey.next = self._drifting.last_page(course.ledger.low)
        number = journey.next
        if journey.over or abs(number - journey.front) >= course.most_held:
            return None
        if number == journey.front:
            return number
        if self._tail.begins_at(number):
            return None
        if journey.step < 0:
            until = journey.until
            left = 0 if until is None else until.position - until.total + course.ledger.low
            return number if number >= 1 and number * course.stride > left else None
        # Until the first answer the number of further pages is not known.
        total, stride = course.ledger.last_total, course.stride
        # Of a list that ends exactly full, the page behind its end is needed, too.
        needed = stride and (number - 1) * stride <= total
        furthest = journey.last + _BEYOND_THE_LAST + course.concurrency * READS_AT_HAND
        return number if needed and number <= furthest else None

    # What an answer means

    def receive(self, read: PageRead, answer: Answer, now: float, spread: float = 0.0) -> None:
        """Take in the answer to a read; `now` is the latest that it may be by any clock, in seconds since the epoch.

        `spread` is by how many seconds that is later than the earliest clock that may be the server's.

        Raises `DecodeError` where it is no page of a list, `WalkDriftError` where the walk goes beyond its bound.
        """
        course = self._course
        course.under_way -= 1
        skipped: list[SkippedRow] = []
        pagination, rows, ids = read_rows(answer, skipped if self._skips else None)
        course.answers += 1
        number, said, count = read.request.page, pagination.page_size, len(ids) + len(skipped)
        if count > (course.stride or course.asked.page_size):
            count = len(set(ids)) + len(skipped)
        if read.journey is not course.journey or read.is_tail or read.is_sample:
            self._receive_aside(read, ids, pagination, count)
            return
        if not course.stride:
            if not self._strides.begin(said, count, pagination.total):
                return
            self._freeze_list(rows, now, spread)
        if self._is_repeated_end(number, ids, pagination.total):
            rows, ids, skipped, count = [], [], [], 0
        told = None if count == course.stride else self._strides.oddity(number, count, said, pagination.total)
        if told is None:
            self._strides.note_regular(read, count)
        elif self._strides.reads_again(read, count, told, pagination.total):
            if pagination.total >= (number - 1) * course.stride + count:
                course.ledger.note_total(pagination.total, read.low)
            self._bounds.check(read, ids)
            return
        total = self._sound_total(pagination.total, number, count)
        course.ledger.note_total(total, read.low)
        self._bounds.check(read, ids)
        page = HeldPage(rows, ids, answer, total, skipped, count)
        if read.repair is None:
            self._drifting.hold(number, page)
        elif course.journey.mend(read.repair, page):
            course.ledger.flaw("the order of the list is not stable")

    def _receive_aside(self, read: PageRead, ids: list[int], pagination: Pagination, count: int) -> None:
        """Take in an answer that is not one of the pages of the way."""
        course = self._course
        journey = course.journey
        if read.journey is not journey:
            if self._drifting.has_turned and not journey.front:
                course.ledger.note_total(max(0, pagination.total), read.low)
        elif not read.is_tail:
            self._strides.receive_sample(read.request, count, pagination)
        elif self._tail.shows_the_end(ids, pagination.total):
            self._drifting.hold(journey.front, self._tail.empty_page())

    def _freeze_list(self, rows: list[Row], now: float, spread: float) -> None:
        """Set the end of the list by the first answer."""
        course = self._course
        course.began = now - spread
        query, leak = freeze(course.asked.query, rows, now, spread)
        if self._freeze:
            course.asked, course.leak = evolve(course.asked, query=query), leak
        elif query == course.asked.query:
            course.leak = leak

    def _is_repeated_end(self, number: int, ids: list[int], total: int) -> bool:
        """Tell whether a page behind the end shows known tickets only, as where the last page is given again."""
        course = self._course
        return number > 1 and total <= (number - 1) * course.stride and course.ledger.have_come(ids)

    def _sound_total(self, total: int, number: int, count: int) -> int:
        """Return the total, or where it is less than the rows that came, one that makes the walk go on to the end."""
        course = self._course
        end = (number - 1) * course.stride + count
        if count == 0 or total >= end:
            return max(0, total)
        course.totals_wrong = True
        course.capped = course.capped or total >= course.stride
        course.ledger.flaw("the totals are wrong or missing")
        return end + (count >= course.stride)

    def refuse(self, read: PageRead, *, for_good: bool) -> bool:
        """Take in that a page behind the list's end was refused; False where the page is needed.

        What is behind is asked for by created time then. Where that is not possible and `for_good`, it is not known.
        """
        course = self._course
        number, journey = read.request.page, course.journey
        if read.journey is journey:
            is_behind = journey.step > 0 and (number - 1) * course.stride >= course.ledger.last_total
            if not is_behind or read.repair is not None:
                return False
            if not self._tail.takes_over(number):
                if not for_good:
                    return False
                course.ledger.flaw("what lies behind the last page was refused")
                self._drifting.hold(number, self._tail.empty_page())
        course.under_way -= 1
        return True

    # What is given out

    def take(self) -> WalkedPage | None:
        """Return the next rows in order; None where they have not come yet, or everything was given out.

        Raises `WalkDriftError` where the last pass that `max_passes` allows still found something new.
        """
        return self._handing_out.take()

    @property
    def report(self) -> WalkReport:
        """The walk so far."""
        course = self._course
        leak = course.leak
        if not leak and self._tail.may_have_grown(course.began):
            leak = "a ticket was created as the walk began"
        return course.ledger.report(course.asked.query, finished=self.finished, leak=leak)

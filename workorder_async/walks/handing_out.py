"""What a walk gives out, in order and once, and the passes that verify it (rules 4 and 8 of `paging.py`)."""

from collections import deque
from math import ceil

from attrs import define, field

from workorder_async.errors import WalkDriftError
from workorder_async.protocol.codec import Row
from workorder_async.protocol.envelope import Answer
from workorder_async.walks.account import Account
from workorder_async.walks.bounds import Bounds
from workorder_async.walks.course import Course
from workorder_async.walks.drifting import Drifting
from workorder_async.walks.journey import HeldPage, Journey
from workorder_async.walks.options import WalkSettings
from workorder_async.walks.tail import Tail
from workorder_async.walks.windows import Window

# A larger answer is given out in pieces.
_ROWS_AT_ONCE = 1000


@define
class WalkedPage:
    """The rows of one answer that had not been given out, as they came, and the answer that they stood in."""

    rows: list[Row]
    answer: Answer
    ids: list[int] = field(factory=list, repr=False)
    """The rows' ids."""
    is_more: bool = False
    """Whether these are further rows of the same answer as the last page's."""
    total: int = -1
    """How many tickets the whole list has, as far as is known; -1 where nothing tells."""
    account: Account | None = field(default=None, repr=False)
    """Of the window that it belongs to; its own `report` tells how that window went."""
    ends_window: bool = False
    """Whether that window ends here. This page has no rows then."""

    @property
    def window(self) -> Window | None:
        """The window that it belongs to."""
        return None if self.account is None else self.account.window


class HandingOut:
    """Gives out the pages that are held, each when its turn has come and the repairs before it are done."""

    def __init__(self, course: Course, drifting: Drifting, tail: Tail, bounds: Bounds, settings: WalkSettings) -> None:
        self._course = course
        self._drifting = drifting
        self._tail = tail
        self._bounds = bounds
        self._verify = settings.verify
        self._max_passes = settings.max_passes
        self._ready: deque[WalkedPage] = deque()

    @property
    def count(self) -> int:
        """How many pages could be taken at once."""
        return len(self._ready)

    @property
    def finished(self) -> bool:
        """Whether everything was given out."""
        return not self._ready and self._course.journey.over and (self._course.ledger.verified or not self._verify)

    def take(self) -> WalkedPage | None:
        """Return the next rows in order; None where they have not come yet, or everything was given out.

        Raises `WalkDriftError` where the last pass that `max_passes` allows still found something new.
        """
        while not self._ready:
            journey = self._course.journey
            if journey.over:
                if not self._begin_next_pass():
                    return None
                continue
            page = journey.held.get(journey.front)
            if page is None or not all(repair.done for repair in page.repairs):
                return None
            self._give_out(journey, page)
        return self._ready.popleft()

    def _give_out(self, journey: Journey, page: HeldPage) -> None:
        course, number = self._course, journey.front
        ledger = course.ledger
        if journey.step < 0 and (journey.edge is None or not page.count) and not self._shows_the_end(number, page):
            return
        if page.repairs:
            ledger.repaired += 1
            for repair in page.repairs:
                for rows, ids, answer in repair.found:
                    self._give_out_rows(rows, ids, answer, -1)
                journey.low = min(journey.low, repair.total)
        journey.low = min(journey.low, page.total)
        if journey.first_place >= 0 and ledger.passes == 1 and page.total <= journey.low:
            ledger.note_order(page.ids, journey.first_place)
        place = ledger.place(number, course.stride, page.total, page.count)
        if (number - 1) * course.stride < journey.reached:
            place = -1
        if page.skipped:
            ledger.skip(page.skipped)
        self._give_out_rows(page.rows, page.ids, page.answer, place)
        if page.rows:
            self._tail.note_given(page.rows)
        journey.pass_by(number, page, course.stride)
        if journey.ended_by_empty_pages:
            ledger.flaw("the totals say more than there is")

    def _shows_the_end(self, number: int, page: HeldPage) -> bool:
        """Tell whether the first page on the way to the front, or an empty one, shows the list's end.

        Where it does not, the way begins anew, further back or nearer.
        """
        course = self._course
        journey, stride = course.journey, course.stride
        if journey.edge is None and (page.count >= stride or page.total > number * stride):
            journey.begin_behind(number)
        elif not page.count and number - 1 not in journey.held and self._drifting.last_page(page.total) < number - 1:
            course.journey = Journey(-1, 0, until=journey.until, first_place=journey.first_place)
        else:
            return True
        return False

    def _give_out_rows(self, rows: list[Row], ids: list[int], answer: Answer, place: int) -> None:
        fresh = self._course.ledger.admit(ids, place)
        if fresh is not None:
            rows, ids = [rows[index] for index in fresh.values()], list(fresh)
        if 0 < len(ids) <= _ROWS_AT_ONCE:
            self._ready.append(WalkedPage(rows, answer, ids))
            return
        for start in range(0, len(ids), _ROWS_AT_ONCE):
            end = start + _ROWS_AT_ONCE
            self._ready.append(WalkedPage(rows[start:end], answer, ids[start:end], start > 0))

    def _begin_next_pass(self) -> bool:
        """Begin the next pass to verify, where one is wanted; whether it was."""
        course = self._course
        ledger, journey = course.ledger, course.journey
        if not self._verify or ledger.verified or ledger.end_pass(course.totals_wrong):
            return False
        if ledger.passes >= self._max_passes:
            raise WalkDriftError(
                f"pass {ledger.passes} found {ledger.found} tickets that had not come before, and the totals do not "
                "vouch for the rest; the list does not hold still",
                operation="list_tickets",
            )
        ledger.begin_pass()
        self._bounds.begin_pass()
        if ledger.passes % 2:
            course.journey = Journey(1, 1)
        else:
            last = journey.last
            ends = last if course.totals_wrong else min(last, ceil(ledger.last_total / course.stride))
            course.journey = Journey(-1, max(1, ends))
        return True

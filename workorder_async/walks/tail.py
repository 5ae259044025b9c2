"""What lies behind the last page of a list whose totals may be capped (rule 7 of `paging.py`)."""

from attrs import evolve

from workorder_async.errors import ConfigError
from workorder_async.models import PageRequest, TicketQuery
from workorder_async.protocol.codec import Row
from workorder_async.protocol.envelope import Answer
from workorder_async.walks.course import Course, PageRead
from workorder_async.walks.freezing import created_time
from workorder_async.walks.journey import HeldPage
from workorder_async.walks.ledger import ROUND


class Tail:
    """Asks by created time for what stands behind the last row: there no depth is refused, and no total is capped."""

    def __init__(self, course: Course) -> None:
        self._course = course
        # The page that was refused, behind the end.
        self._refused = 0
        # The first row and the last one that were given out.
        self._first: Row | None = None
        self._last: Row | None = None

    def note_given(self, rows: list[Row]) -> None:
        """Note rows that are given out, in the list's order."""
        self._first, self._last = self._first or rows[0], rows[-1]

    def may_have_grown(self, began: float) -> bool:
        """Tell whether the last rows of a list, oldest first, may have entered after its first page was read.

        Where one enters behind an edge and one leaves before it, the total shows neither. Newest first, nothing enters
        behind an edge.
        """
        if self._first is None or self._last is None:
            return False
        first, last = created_time(self._first), created_time(self._last)
        return first is not None and last is not None and first < last and last >= int(began)

    def begins_at(self, number: int) -> bool:
        """Tell whether a page would stand behind a total so round that the server may count, and show, no further."""
        course = self._course
        total = course.ledger.last_total
        is_round = total > 0 and total % ROUND == 0 and (number - 1) * course.stride == total
        return course.journey.step > 0 and (is_round or number == self._refused)

    def read(self, number: int) -> PageRead:
        """Ask for a page by created time, once; where that is not possible, by its number."""
        course = self._course
        query, journey = self._query(), course.journey
        read = course.read(number)
        if query is None or number in journey.tails:
            return read
        journey.tails.add(number)
        return evolve(read, request=PageRequest(query, 1, course.stride), is_tail=True)

    def _query(self) -> TicketQuery | None:
        """Return what asks for all that is behind the last row, by created time."""
        if self._first is None or self._last is None:
            return None
        query, first, last = self._course.asked.query, created_time(self._first), created_time(self._last)
        if first is None or last is None:
            return None
        try:
            return evolve(query, created_end=last + 1) if first >= last else evolve(query, created_start=last)
        except ConfigError:
            return None

    def shows_the_end(self, ids: list[int], total: int) -> bool:
        """Take in what stands behind the last row: nothing but known tickets is the end, else pages must tell.

        The last row is one of them: without it the server does not understand these times.
        """
        course = self._course
        known = course.ledger.seen
        if any(id not in known for id in ids):
            course.capped = True
            course.ledger.flaw("the totals are wrong or missing")
        elif ids and total <= len(ids):
            return True
        course.journey.again.append(course.journey.front)
        return False

    def takes_over(self, number: int) -> bool:
        """Take in that a page behind the end was refused; whether it can be asked for by created time instead."""
        journey = self._course.journey
        if number in journey.tails or self._query() is None:
            return False
        self._refused = journey.next = number
        return True

    def empty_page(self) -> HeldPage:
        """Return the page behind the end, that shows nothing."""
        return HeldPage([], [], Answer(None), self._course.ledger.last_total, [], 0)

"""What is done about a list that moves: edges are mended, or the way is turned (rules 5 and 6 of `paging.py`)."""

from math import ceil

from workorder_async.walks.course import READS_AT_HAND, Course
from workorder_async.walks.journey import Edge, HeldPage, Journey
from workorder_async.walks.repair import PushedRows, Repair, SlidRows, Trend

# Edges seen to move, after which a walk may be found to move too much to go on as before.
_HEAVY_EDGES = 3
# What part of a page may move while as many reads as are allowed are under way.
_PART_BACKWARDS, _PART_FORWARDS = 1 / 4, 1 / 16
_MOST_ROWS = 2**31 - 1


class Drifting:
    """Looks at the edges between pages, begins their repairs, and turns the way where too many of them move."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._edges = 0
        self._trend = Trend()
        self.has_turned: bool = False

    def allowed(self) -> int:
        """Return how many reads may be under way, so that between two of them only part of a page's rows moves."""
        course = self._course
        ledger = course.ledger
        # What waits for its turn is carried out later, and the list has moved on by then: not while it moves.
        if not ledger.drifts:
            return course.concurrency * READS_AT_HAND
        if not self.has_turned:
            return course.concurrency
        moved = (ledger.high - ledger.low) / max(1, course.answers)
        part = _PART_BACKWARDS if course.journey.step < 0 else _PART_FORWARDS
        return max(1, min(course.concurrency, int(course.stride * part / max(moved, 0.01))))

    def last_page(self, total: float) -> int:
        """Guess the last page of the list by the time that a read is carried out which is sent now."""
        course = self._course
        return max(1, ceil(min(course.expected_total(total), _MOST_ROWS) / course.stride))

    def hold(self, number: int, page: HeldPage) -> None:
        """Keep a page until its turn, and look at the edges beside it."""
        course = self._course
        journey = course.journey
        if page.count:
            journey.last = max(journey.last, number)
        journey.held[number] = page
        if course.totals_wrong:
            return
        for low, before, behind, waiting in journey.edges_beside(number):
            # Where nothing stood behind the edge, nothing has slid past it.
            self._edges += 1
            if low * course.stride < before.total > behind.total:
                self._mend_edge(low, before, behind, waiting)
        if course.ledger.drifts and self._is_heavy():
            self._turn()

    def _mend_edge(self, number: int, before: HeldPage | Edge, behind: HeldPage | Edge, waiting: HeldPage) -> None:
        """Begin the repair of the edge behind page `number`: rows may have slid past it."""
        course = self._course
        totals = (before.total, behind.total)
        course.ledger.drifts += 1
        repairs: list[Repair] = [
            SlidRows.behind(number, course.stride, totals, before=before.ids, after=behind.ids, trend=self._trend)
        ]
        if not course.is_frozen or course.ledger.entered:
            repairs.append(PushedRows.behind(number, course.stride, totals, behind.ids))
        waiting.repairs += repairs
        course.journey.repairs += repairs

    def _is_heavy(self) -> bool:
        """Tell whether so many edges need repair that the rest is better read from the end to the front."""
        course = self._course
        ledger, journey = course.ledger, course.journey
        if self.has_turned or journey.step < 0:
            return False
        left = ledger.low / course.stride - journey.front
        return ledger.drifts >= _HEAVY_EDGES and ledger.drifts * 4 >= self._edges and left > _HEAVY_EDGES

    def _turn(self) -> None:
        """Drop what is under way and held, and go on so that drift costs little.

        Where rows only leave, from the end of the list to the front: what slides is still to be read. Else from the
        front on, with fewer reads under way at a time.
        """
        course = self._course
        journey, self.has_turned = course.journey, True
        if course.is_frozen and not course.ledger.entered:
            course.journey = Journey(-1, 0, until=journey.edge, first_place=len(course.ledger.places))
        else:
            course.journey = Journey(1, journey.front, journey.edge, reached=journey.reached)

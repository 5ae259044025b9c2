"""When a walk that brings nothing new is given up (rule 9 of `paging.py`)."""

from workorder_async.errors import WalkDriftError
from workorder_async.walks.course import Course, PageRead

_BARREN_READS = 32


class Bounds:
    """Counts what brings nothing new, pass by pass."""

    def __init__(self, course: Course) -> None:
        self._course = course
        #: Pages in a row that brought nothing new.
        self.barren: int = 0
        self._fresh_pages = self._requests_before = 0

    def begin_pass(self) -> None:
        """Begin to count anew."""
        self.barren = self._fresh_pages = 0
        self._requests_before = self._course.ledger.requests

    def check(self, read: PageRead, ids: list[int]) -> None:
        """Count an answer; raises `WalkDriftError` where the walk would go on for ever."""
        course = self._course
        ledger = course.ledger
        if ledger.is_new(ids):
            self.barren = 0
            self._fresh_pages += 1
        else:
            if read.repair is None and (ids or course.journey.step < 0):
                self.barren += 1
            # Rows that enter or leave move known ones to the pages that are read next.
            moved = int(max(0.0, ledger.high - ledger.low)) // course.stride
            if self.barren > _BARREN_READS + min(moved, 2 * _BARREN_READS + self._fresh_pages):
                _give_up(
                    f"{self.barren} pages in a row brought nothing new; it moves as fast as it is read, or the server "
                    "ignores `page`"
                )
        requests = ledger.requests - self._requests_before
        if requests > 256 + 8 * max(course.concurrency, self._fresh_pages):
            _give_up(f"it moves faster than it can be read: {requests} requests in one pass")


def _give_up(words: str) -> None:
    raise WalkDriftError(f"the list cannot be read to its end: {words}", operation="list_tickets")

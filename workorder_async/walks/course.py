"""What the rules of one walk share: the list as it seems, the way through it, and the books."""

from attrs import Factory, define

from workorder_async.models import PageRequest
from workorder_async.walks.freezing import NOT_FROZEN
from workorder_async.walks.journey import Journey
from workorder_async.walks.ledger import Ledger
from workorder_async.walks.repair import Repair

#: Reads asked for, per read that may be under way.
READS_AT_HAND = 2
#: With fewer pages held than this per read under way, one slow page leaves the others with nothing to do.
HELD_PER_READ = 4


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


@define(eq=False)
class Course:
    """The state that every rule reads, and that one rule each changes."""

    #: Page 1 of the list, with the filters (frozen after the first answer) and the page size that was asked for.
    asked: PageRequest
    concurrency: int
    ledger: Ledger = Factory(Ledger)
    journey: Journey = Factory(lambda: Journey(1, 1))
    #: How many rows a page has; 0 before the first answer.
    stride: int = 0
    under_way: int = 0
    answers: int = 0
    #: How tickets that are created later may enter; "" where they stay out.
    leak: str = NOT_FROZEN
    #: When the first answer came, by the earliest clock that may be the server's.
    began: float = 0.0
    totals_wrong: bool = False
    #: Whether pages beyond a depth came empty though their totals say more.
    too_deep: bool = False
    #: Whether rows came beyond a total.
    capped: bool = False

    @property
    def is_frozen(self) -> bool:
        """Whether tickets that are created later stay out."""
        return not self.leak

    @property
    def most_held(self) -> int:
        """How many pages may be held or under way."""
        return self.concurrency * HELD_PER_READ

    def read(self, number: int, repair: Repair | None = None) -> PageRead:
        """Ask for a page."""
        self.under_way += 1
        ledger = self.ledger
        ledger.requests += 1
        request = PageRequest(self.asked.query, number, self.stride or self.asked.page_size)
        return PageRead(request, repair, self.journey, ledger.low, ledger.requests)

    def expected_total(self, total: float) -> int:
        """Guess the total by the time that a read is carried out which is sent now; `total` is the newest known."""
        ledger = self.ledger
        fall = max(0.0, ledger.first_total - ledger.low) / max(1, self.answers)
        return int(total - fall * (self.under_way + 1))

"""The parts of a list that is walked in windows: waiting, being walked, being cut, or done."""

from collections import deque
from typing import Protocol

from attrs import Factory, define

from workorder_async.models import PageRequest
from workorder_async.protocol.envelope import Answer
from workorder_async.walks.account import Account
from workorder_async.walks.course import PageRead
from workorder_async.walks.handing_out import WalkedPage
from workorder_async.walks.owning import Owning
from workorder_async.walks.paging import PageWalk
from workorder_async.walks.plan import WindowPlan
from workorder_async.walks.windows import Window


class Read(Protocol):
    """A read that is wanted: send `request`."""

    @property
    def request(self) -> PageRequest:
        """What to send."""
        ...


@define(eq=False)
class Part:
    """A part of the list: waiting (neither walk nor plan), being walked, or being cut."""

    window: Window
    account: Account
    limit: float
    """With a larger total it is cut."""
    walk: PageWalk | None = None
    plan: WindowPlan | None = None
    #: The first page of its walk.
    first: Answer | None = None
    #: Tickets that its walk showed and its neighbours own.
    neighbours: set[int] = Factory(set)
    #: Given out by a walk that was left for the plan.
    ready: deque[WalkedPage] = Factory(deque)
    is_cut: bool = False
    may_cut: bool = True
    is_over: bool = False
    #: How often it was cut out of a larger one.
    level: int = 0

    @property
    def is_begun(self) -> bool:
        """Whether it is being walked or cut, or was."""
        return self.walk is not None or self.plan is not None or self.is_cut

    @property
    def is_done(self) -> bool:
        """Whether all of it was given out, or stands in the parts behind it."""
        return not self.ready and (self.walk.finished if self.walk is not None else self.is_cut)

    def take(self, owning: Owning) -> WalkedPage | None:
        """Return the next rows that are this part's to give out; None where they have not come yet."""
        if self.ready:
            return self.ready.popleft()
        while self.walk is not None and (page := self.walk.take()) is not None:
            self.account.repeats += owning.keep(self.window, page, self.account, self.neighbours)
            if page.rows:
                return page
        return None


@define(eq=False)
class RoutedRead:
    """A read of a part's walk, or of its plan, or (without a part) of the total."""

    request: PageRequest
    part: Part | None
    walk: PageWalk | None
    inner: PageRead | None

    @property
    def is_wanted(self) -> bool:
        """Whether the answer still matters."""
        return self.part is None or self.walk is self.part.walk

"""When a part of a list is cut into windows: it is large, its deep pages are refused, or its total is capped."""

from functools import partial
from math import ceil, inf

from workorder_async.protocol.codec import read_rows
from workorder_async.walks.freezing import created_time
from workorder_async.walks.options import WINDOWS_WORTH, WalkSettings
from workorder_async.walks.owning import Owning
from workorder_async.walks.paging import PageWalk
from workorder_async.walks.parts import Part
from workorder_async.walks.plan import WindowPlan
from workorder_async.walks.windows import Window

# Of the depth that was refused, the part that windows may hold.
_SAFE_DEPTH = 0.9
# More than these are not cut at once: larger windows are, when it is their turn.
_WINDOWS_AT_ONCE = 32
_LEVELS = 6


class Cutting:
    """Cuts parts, and puts their windows in their places among `parts`."""

    def __init__(self, parts: list[Part], settings: WalkSettings, owning: Owning) -> None:
        self._parts = parts
        self._settings = settings
        self._owning = owning
        self._may_cut = settings.freeze and settings.window != 0
        self._newest_first = True
        self._depth_refused = 0
        # The smallest total beyond which rows came.
        self._cap = inf

    def consider(self, part: Part, walk: PageWalk, *, begins: bool) -> None:
        """Cut a part whose newest answer shows that it must be; `begins`: that was its first page."""
        if begins and walk.total >= self._cap:
            # Drift cannot be seen by a total that does not fall.
            if not self._cut(part, self._cap * _SAFE_DEPTH):
                walk.ledger.flaw("the totals are capped")
        elif begins and walk.total > part.limit:
            self._cut(part, self._settings.window_tickets)
        elif walk.is_too_deep:
            self.cut_deep(part, walk.depth)
        elif walk.is_capped and self.cut_deep(part, walk.ledger.first_total):
            self._cap = min(self._cap, walk.ledger.first_total)

    def cut_deep(self, part: Part, depth: int) -> bool:
        """Cut a part that is not shown, or not counted, beyond a depth; not where others were that were deeper."""
        if depth < self._depth_refused * _SAFE_DEPTH:
            return False
        self._depth_refused = max(self._depth_refused, depth)
        return self._cut(part, depth * _SAFE_DEPTH)

    def _cut(self, part: Part, most: float) -> bool:
        """Leave a part's walk, and begin to cut the part; False where it cannot be cut."""
        walk, first = part.walk, part.first
        if not (self._may_cut and part.may_cut) or walk is None or first is None or walk.query.created_end is None:
            return False
        frozen = Window(walk.query) if part.window.is_whole else part.window
        start, end = frozen.span
        times = [time for row in read_rows(first, [])[1] if (time := created_time(row)) is not None]
        if end is None or end - (start or 0) < (2 if frozen.is_whole else 1) or not times:
            return False
        part.ready.extend([*iter(partial(part.take, self._owning), None)])
        if frozen.is_whole:
            self._newest_first = times[0] >= times[-1]
        if not part.level:
            part.account.window = frozen
        part.account.left.append(walk.report)
        self._owning.note_given(walk.ledger.seen.keys() - part.neighbours)
        most = max(1, int(min(self._settings.window_tickets, most)), ceil(walk.total / _WINDOWS_AT_ONCE))
        skips = self._settings.skips_bad_rows
        part.plan = WindowPlan(frozen, max_tickets=most, now=end, first=first, skip_bad_rows=skips)
        part.window, part.walk, part.first = frozen, None, None
        self.end_plan(part)
        return True

    def end_plan(self, part: Part) -> None:
        """Where the plan of a part has ended, put its windows in the place of the part."""
        plan = part.plan
        if plan is None or not plan.finished:
            return
        part.plan, part.is_cut = None, True
        if plan.is_vain:
            self._may_cut = False
        windows = plan.windows()
        limit = self._settings.window_tickets * WINDOWS_WORTH
        may_cut = len(windows) > 1 and part.level < _LEVELS
        parts = [Part(one, part.account, limit, may_cut=may_cut, level=part.level + 1) for one in windows]
        part.account.open_parts += len(parts)
        place = self._parts.index(part) + 1
        self._parts[place:place] = reversed(parts) if self._newest_first else parts

"""The two ends of a walk, and its last resort.

The first page tells how to read the list, and the totals are a last witness. Where the list cannot be asked for a range
of created time, or counts tickets that no such range shows, it is read by its page numbers, and nothing is claimed.
"""

from collections.abc import Callable
from math import ceil, inf
from typing import Final

from attrs import define, evolve, field

from workorder_async.walks.jobs import Job, Steps
from workorder_async.walks.list_state import Mode, RestartError
from workorder_async.walks.pages import Ask, Page

# Where so many pages are read again, that costs as little as a look at some of them.
_SHORT: Final = 2
# How often the first page is read where it does not tell the order of the list.
_LOOKS: Final = 3
_BESIDE: Final = (0, 1, 2)
#: The first and the last second that a ticket's created time can have: 1970 to 2199.
DATED: Final = (1, 7_258_118_400)
# Two questions: the total of the list, and of all tickets that have a created time. The second one is open
# at one side, as the ranges of walks are: a server may refuse a long range with both ends.
_WHOLE: Final = Ask(None, None, 1, 1, for_rows=False)
_RANGED: Final = Ask(DATED[0], None, 1, 1, for_rows=False)
_NO_LOOK: Final = "the list refuses to show a ticket by which its filter by created time could be looked at"
_LOOKED_FOR: Final = "; the others were looked for by page numbers"
#: How often they are asked while the list moves.
ROUNDS: Final = 6


@define(eq=False)
class Opening(Job):
    """The first page, which tells in which order the list is."""

    _begin: Callable[[Mode, Page | None], None]

    def steps(self) -> Steps[None]:
        """Read the first page, and begin to read the list."""
        state = self.state
        for _ in range(_LOOKS):
            (page,) = yield [state.ask(-inf, inf)]
            if page is None or not page.count:
                if page is not None and page.total > 0:
                    state.flaw(f"the list counts {page.total} tickets, and shows none")
                return
            if state.first_total < 0:
                state.first_total = page.total
            if not state.is_cut(page):
                owned = [place for place, second in enumerate(page.seconds) if state.window.owns(second)]
                self.give_of(page, owned)
                return
            if not page.seconds:
                self._begin("numbers", page)
                return
            if len(set(page.seconds)) > 1:
                is_sorted = state.see_order(page)
                if not is_sorted or page.total > page.count or (yield from self._is_first(page)):
                    self._begin("sections" if is_sorted else "ranges", page)
                    return
                continue
            has_newer, has_older = yield from self._sides(page.seconds[0])
            if not (has_newer and has_older):
                # All of one second, which is an end of the list: it is read towards the other side.
                state.sign = -1 if has_newer else 1
                self._begin("sections", page)
                return
        # A second look would have shown tickets that entered meanwhile.
        self._begin("ranges", None)

    def _is_first(self, page: Page) -> Steps[bool]:
        """Tell whether no ticket lies above a page: where its total is no help, each page may be turned round."""
        top = max(self.state.keys(page))
        (beside,) = yield [self.state.ask(top, inf)]
        return beside is None or max(self.state.keys(beside), default=top) <= top

    def _sides(self, second: int) -> Steps[tuple[bool, bool]]:
        """Find out whether the list has tickets that are newer, and tickets that are older, than a second."""
        state = self.state
        state.sign = 1
        # It is not known whether the ends of a range count, nor whether tickets of the second beside them are shown.
        asks = [
            *(state.ask(second + more, inf, size=1) for more in _BESIDE),
            *(state.ask(-inf, second - less, size=1) for less in _BESIDE),
        ]
        pages = yield [evolve(ask, for_rows=False) for ask in asks]
        shown = {shown for page in pages if page is not None for shown in page.seconds}
        return max(shown, default=second) > second, min(shown, default=second) < second


@define(eq=False)
class Witness(Job):
    """Looks at the list once more at the end, if its answers do not prove that nothing is missing."""

    _begin: Callable[[Mode], None]

    def steps(self) -> Steps[None]:
        """Doubt an order that may be an accident; look at the server's filter, if it was believed; compare totals."""
        state = self.state
        if state.is_unordered:
            raise RestartError("ranges")
        if 0 < state.first_total == state.largest_crowd < state.tickets:
            state.flaw(f"the list counts no further than {state.first_total}, and shows just as many of one second")
        is_whole = state.span == (None, None)
        flaw = ""
        if state.believes_filter and not state.proofs.filters:
            flaw = yield from self._look_at_filter()
        is_odd = state.ranges or state.looks or state.tickets != state.first_total
        if not flaw and state.first_total > 0 and is_odd:
            flaw = yield from self._compare_totals() if is_whole else self._count()
        if flaw:
            state.flaw(flaw)
            if is_whole:
                state.tell_apart()
                self._begin("numbers")

    def _look_at_filter(self) -> Steps[str]:
        """Ask for the one second of a ticket that was shown.

        A server may take the bounds of a range otherwise: in other units, hours off, rounded to minutes or days. It
        could hide tickets then at the ends of a range that one answer shows whole, where no row is shared.
        """
        state, flaw = self.state, ""
        page = state.shown
        for _ in range(_LOOKS):
            if page is None or not any(1 < second % 60 < 59 for second in page.seconds):
                # Where the bounds of a short range are rounded, it shows just what lies on a full minute, hour or day,
                # or beside it; where one of them is, the question for such a second begins or ends there.
                page = yield from self.answer(Ask(None, None, 1, state.size, for_rows=False))
            if page is None or not page.ids:
                return flaw or ("" if page else _NO_LOOK)
            # In the middle of a minute and of an hour, where bounds that are rounded hide it for certain.
            id, second = min(zip(page.ids, page.seconds, strict=True), key=lambda row: _off_full(row[1]))
            found = yield from self.answer(Ask(max(0, second - 1), second + 1, 1, state.size, for_rows=False))
            if found is None:
                return _NO_LOOK
            if found.ids and (id in found.ids or state.is_cut(found)):
                state.proofs.filters = True
                return ""
            # It may have left meanwhile.
            page, flaw = None, f"asked for second {second}, the list does not show ticket {id}, which was created then"
        return flaw

    def _compare_totals(self) -> Steps[str]:
        """Find out whether the list has tickets that no range of created time shows, or that its order hides.

        The total of the list and that of its ranges are asked for twice each. The order is such that an even movement,
        or a replica that is behind every second time, adds as much to both. If they differ, all four are asked again.
        """
        state, whole, ranged = self.state, list[int](), list[int]()
        for _ in range(ROUNDS):
            whole, ranged = [], []
            for ask in (_WHOLE, _RANGED, _RANGED, _WHOLE):
                page = yield from self.answer(ask)
                if page is None:
                    return "the list refuses to say how many tickets it has"
                (whole if ask is _WHOLE else ranged).append(page.total)
                if state.ranges and whole == ranged == [state.first_total]:
                    break  # each range was shown whole, and came to as many
            if sum(whole) <= sum(ranged):
                break
        if sum(whole) > sum(ranged):
            return f"the list counts {max(whole)} tickets, and {min(ranged)} by their created times{_LOOKED_FOR}"
        return self._lacks(min(whole), _LOOKED_FOR)

    def _count(self) -> Steps[str]:
        """Compare the tickets that came with the total of the seconds of a window.

        If that is more, a short window is read again in ranges that are shown whole. In a long window only its end is
        looked at, without and with the seconds beside it: a ticket that stands behind all others may be later.
        """
        state, asks = self.state, list[Ask]()
        low, high = state.span
        if high is not None and state.sections and not (state.ranges or state.crowded_seconds or state.end_counts):
            high += 1  # the second that a range ends in may not count
        page = yield from self.answer(Ask(low, high, 1, 1, for_rows=False))
        if page is None:
            return ""  # bridged edges prove the result without a count
        lacks = state.tickets < page.total <= state.deepest and not state.ranges
        if lacks and page.total <= _SHORT * state.full and not (state.flaws or state.leaves_out):
            raise RestartError("ranges")
        if lacks:
            for range, total in ((state.span, page.total), (state.asked, max(1, state.last_total))):
                last = ceil(total / max(1, state.full))
                asks.append(Ask(*range, last, ceil(total / last), for_rows=False))
        for end in filter(None, (yield asks) if asks else ()):
            state.keys(end)
        return self._lacks(page.total)

    def _lacks(self, total: int, remark: str = "") -> str:
        """Say that more tickets are counted than came, and more than a page: fewer may have entered or left."""
        state = self.state
        lacks = min(total, state.first_total) - state.tickets > state.full
        explained = state.ranges or state.flaws or state.crowded_seconds or state.leaves_out
        if lacks and not explained:
            raise RestartError("ranges")  # it is not sorted as its pages seem to be
        return f"the list counts {total} tickets, and {state.tickets} came{remark}" if lacks else ""


def _off_full(second: int) -> tuple[int, int]:
    """Tell how far a second is from the middle of its minute, and of its hour."""
    return abs(second % 60 - 33), abs(second % 3600 - 1800)


@define(eq=False)
class NumberedPages(Job):
    """All pages of the list, side by side, until some bring nothing new."""

    _first: Page | None = None
    _came: set[int] = field(factory=set, init=False)

    def steps(self) -> Steps[None]:
        """Read page after page."""
        yield from self.pages_by_number(lambda number: self.state.ask(-inf, inf, number), self._first, self._give_new)

    def _give_new(self, page: Page | None) -> int:
        """Give the tickets of the window that did not come before; how many new ones it showed, also outside of it.

        A page of rows that cannot be read may stand before others.
        """
        if page is None:
            return 0
        before, owns = len(self._came), self.state.window.owns
        dated = enumerate(zip(page.ids, page.seconds, strict=True))
        mine = [place for place, (id, second) in dated if id not in self._came and owns(second)]
        self._came.update(page.ids, (id for id, _ in page.undated))
        self.give_of(page, mine)
        is_unread = not page.ids and page.count > 0 and page.position < page.total
        return page.count if is_unread else len(self._came) - before

"""The first job of a walk, its last one, and its last resort.

`Opening` reads the first page, which shows the list's order. `Witness` comes last, and checks the server's filter and
its totals. `NumberedPages` reads the list by page numbers, if its filter by created time does not work, or if it counts
tickets that did not come by ranges of created time. Page numbers prove nothing.
"""

from collections.abc import Callable
from math import ceil, inf
from typing import Final

from attrs import define, evolve, field

from workorder_async.walks.jobs import Job, Steps
from workorder_async.walks.list_state import Mode, RestartError
from workorder_async.walks.pages import Ask, Page

# A window of so few pages is read again whole where tickets are lacking: to look at its end would cost as much.
_SHORT: Final = 2
# How often the first page is read if it does not show the list's order; how many tickets are asked for to check the
# filter, since one may leave the list meanwhile.
_LOOKS: Final = 3
# How many seconds away from a second the list is asked for newer and for older tickets.
_BESIDE: Final = (0, 1, 2)
#: The first and the last second that a ticket's created time can have: 1970 to 2199.
DATED: Final = (1, 7_258_118_400)
# Two asks for totals: of the whole list, and of all tickets that have a created time. The range of the latter is open
# at one side, as the ranges of walks are: a server may refuse a long range with two ends.
_WHOLE: Final = Ask(None, None, 1, 1, for_rows=False)
_RANGED: Final = Ask(DATED[0], None, 1, 1, for_rows=False)
_NO_LOOK: Final = "the list refuses to show a ticket by which its filter by created time could be looked at"
_LOOKED_FOR: Final = "; the others were looked for by page numbers"
#: How often at the most both totals are asked for while the list moves.
ROUNDS: Final = 6


@define(eq=False)
class Opening(Job):
    """The first page, which shows the order of the list; a list of one page is given out here."""

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
                # All rows are of one second, at one end of the list: the list goes on towards the other end.
                state.sign = -1 if has_newer else 1
                self._begin("sections", page)
                return
        # Had tickets entered between two requests, the next look at the first page would have shown them.
        self._begin("ranges", None)

    def _is_first(self, page: Page) -> Steps[bool]:
        """Tell whether no ticket lies above the first page.

        A server may give the pages newest first, and the rows of each page oldest first: then the first page looks
        sorted the wrong way. A total of more tickets than its rows reveals that later; without one, ask here.
        """
        above = max(self.state.keys(page)) + 1
        (beside,) = yield [self.state.ask(above, inf)]
        return beside is None or max(self.state.keys(beside), default=-inf) < above

    def _sides(self, second: int) -> Steps[tuple[bool, bool]]:
        """Find out whether the list has tickets that are newer, and tickets that are older, than a second."""
        state = self.state
        state.sign = 1
        # It is not known yet whether a range shows the tickets of its end seconds, or even of the seconds beside them.
        asks = [
            *(state.ask(second + more, inf, size=1) for more in _BESIDE),
            *(state.ask(-inf, second - less, size=1) for less in _BESIDE),
        ]
        pages = yield [evolve(ask, for_rows=False) for ask in asks]
        shown = {shown for page in pages if page is not None for shown in page.seconds}
        return max(shown, default=second) > second, min(shown, default=second) < second


@define(eq=False)
class Witness(Job):
    """The last look at the list, if its answers do not prove that nothing is missing."""

    _begin: Callable[[Mode], None]

    def steps(self) -> Steps[None]:
        """Restart for an order that may be an accident; check a filter believed without proof; compare totals."""
        state = self.state
        if state.is_unordered:
            raise RestartError("ranges")
        if 0 < state.first_total == state.largest_crowd < state.given.count:
            state.flaw(f"the list counts no further than {state.first_total}, and shows just as many of one second")
        is_whole = state.span == (None, None)
        flaw = ""
        if state.believes_filter and not state.proofs.filters:
            flaw = yield from self._check_filter()
        is_doubtful = state.in_ranges or state.looks or state.given.count != state.first_total
        if not flaw and state.first_total > 0 and is_doubtful:
            flaw = yield from self._compare_totals() if is_whole else self._compare_count()
        if flaw:
            state.flaw(flaw)
            if is_whole:
                state.given.tell_apart()
                self._begin("numbers")

    def _check_filter(self) -> Steps[str]:
        """Ask for just the second of a ticket that was shown; return why the filter fails or cannot be checked, or "".

        A server may read the ends of a range in other units, hours off, or rounded to minutes or days. It would then
        hide tickets at the ends of a range that one answer seems to show whole, where no shared row reveals it.
        """
        state, flaw = self.state, ""
        page = state.shown
        for _ in range(_LOOKS):
            if page is None or not any(1 < second % 60 < 59 for second in page.seconds):
                # A server that rounds the ends of a range may still show a ticket of a full minute, or of a second
                # beside one, if it is asked for just that second. Such a ticket proves nothing: get others.
                page = yield from self.answer(Ask(None, None, 1, state.size, for_rows=False))
            if page is None or not page.ids:
                return flaw or ("" if page else _NO_LOOK)
            # The ticket nearest to the middle of a minute and of an hour: ends that are rounded hide it for certain.
            id, second = min(zip(page.ids, page.seconds, strict=True), key=lambda row: _from_middle(row[1]))
            found = yield from self.answer(Ask(max(0, second - 1), second + 1, 1, state.size, for_rows=False))
            if found is None:
                return _NO_LOOK
            if second in found.seconds:
                state.proofs.filters = True
                return ""
            # The ticket may have left the list meanwhile, or the page ended before it came to the ticket: try another.
            page, flaw = None, f"asked for second {second}, the list does not show ticket {id}, which was created then"
        return flaw

    def _compare_totals(self) -> Steps[str]:
        """Return why tickets are missing: no range of created time shows them, or fewer came than the list counts.

        Both totals are asked for twice, in the order whole, ranged, ranged, whole: a list that grows evenly adds as
        much to both sums, and so does a replica that is behind at every other request. If more tickets are counted
        in the whole list, all four are asked for again.
        """
        state, whole, ranged = self.state, list[int](), list[int]()
        for _ in range(ROUNDS):
            whole, ranged = [], []
            for ask in (_WHOLE, _RANGED, _RANGED, _WHOLE):
                page = yield from self.answer(ask)
                if page is None:
                    return "the list refuses to say how many tickets it has"
                (whole if ask is _WHOLE else ranged).append(page.total)
                if state.in_ranges and whole == ranged == [state.first_total]:
                    break  # all ranges were shown whole, and both totals agree with the first one
            if sum(whole) <= sum(ranged):
                break
        if sum(whole) > sum(ranged):
            return f"the list counts {max(whole)} tickets, and {min(ranged)} by their created times{_LOOKED_FOR}"
        return self._lacks(min(whole), _LOOKED_FOR)

    def _compare_count(self) -> Steps[str]:
        """Compare a window's total with the number of its tickets that came.

        If the total is larger, a short window is read again in ranges that are shown whole. Of a long window only the
        last page is read, without and with the margins of a second: the walk restarts if a ticket there is out of
        order.
        """
        state, asks = self.state, list[Ask]()
        low, high = state.span
        if high is not None and state.sections and not (state.in_ranges or state.crowded_seconds or state.end_counts):
            high += 1  # the server may not show the last second of a range
        page = yield from self.answer(Ask(low, high, 1, 1, for_rows=False))
        if page is None:
            return ""  # bridged edges prove the result without a count
        lacks = state.given.count < page.total <= state.deepest and not state.in_ranges
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
        """Return a flaw, or restart in ranges, if over a page of the counted tickets did not come.

        Fewer may have entered or left meanwhile. A flaw or a crowd that is known already explains what is lacking: then
        there is no restart.
        """
        state = self.state
        lacks = min(total, state.first_total) - state.given.count > state.full
        explained = state.in_ranges or state.flaws or state.crowded_seconds or state.leaves_out
        if lacks and not explained:
            raise RestartError("ranges")  # the list is not sorted, though its pages look sorted
        return f"the list counts {total} tickets, and {state.given.count} came{remark}" if lacks else ""


def _from_middle(second: int) -> tuple[int, int]:
    """Return how far a second is from the middle of its minute, and from the middle of its hour.

    The very middle of a minute, 30, would not do: from second 29 to 31, rounded to the nearest minute, is all of it.
    """
    return abs(second % 60 - 33), abs(second % 3600 - 1800)


@define(eq=False)
class NumberedPages(Job):
    """All pages of the list by their numbers, side by side, to the last one, or until no new ticket comes."""

    _first: Page | None = None
    _came: set[int] = field(factory=set, init=False)  # ids

    def steps(self) -> Steps[None]:
        """Read page after page."""
        yield from self.pages_by_number(lambda number: self.state.ask(-inf, inf, number), self._first, self._give_new)

    def _give_new(self, page: Page | None) -> int:
        """Give the new tickets of a page that the window owns; return how many new ones it shows, owned or not.

        If every row lacks a created time or cannot be read, and the total says that more rows follow, all count as new:
        the pages behind are read, too.
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

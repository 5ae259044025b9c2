"""Find tickets that stand in the wrong place of a list whose pages look sorted by time: totals reveal them.

A list may be sorted by id, which nearly always is the order of created time. Then a ticket can stand far below an edge
of the walk though its created time lies above the edge. The answers below the edge are asked only for times below it,
so no page shows the ticket. But the answer above the edge counts it: its total is larger than the tickets above the
edge and the total of the answer below together. Then one more answer is asked for, which shows the hidden tickets. The
totals of a list that moves differ as well. So the walk restarts only if an answer shows that the list is not sorted, or
if several answers show the same hidden tickets.
"""

from math import ceil, inf
from typing import Final

from workorder_async.walks.jobs import Job, Steps
from workorder_async.walks.list_state import RestartError
from workorder_async.walks.pages import Page

# How many times a walk looks for hidden tickets, and one time more for so many requests: in a moving list, totals
# differ at many edges.
_LOOKS: Final = 4
_REQUESTS_OF_A_LOOK: Final = 50
# In how many further pairs of answers a ticket has to be hidden: it may leave the list and come back once, not twice.
_ROUNDS: Final = 2


def look_behind(job: Job, page: Page | None, after: Page | None) -> Steps[None]:
    """Look for tickets that `page` counts, and that neither `page` shows nor `after`, the answer below it, counts.

    Such tickets stand below the last row of `page`, though their times lie above it. The walk restarts if one answer
    shows that (`ListState.keys`), or if `page`, asked for again, lacks them each time that an answer to a part of its
    range shows them.
    """
    state = job.state
    if page is None or after is None or state.flaws:
        return
    state.keys(after)  # may learn that the end of a range counts (`end_counts`)
    high, low, keys = state.high(page.ask), state.high(after.ask), state.keys(page)
    # Tickets of the page's range that stand above the range of `after`.
    above = page.position - len([key for key in keys if key < low + state.end_counts])
    reach, most = job.reach(page), _LOOKS + state.requests // _REQUESTS_OF_A_LOOK
    if page.total - above <= after.total or reach > high or state.looks >= most:
        return
    state.looks += 1
    # Of the range above the reach, skip the rows that `page` showed, less a quarter of a page: the rows behind them are
    # the hidden ones. The range ends at the reach, since thousands of tickets may share the second below it.
    before = page.position - len([key for key in keys if key < reach]) - state.full // 4
    pages = ceil(before / state.full)
    hint = (pages + 1, before // pages) if before * 2 > state.full else ()
    more = yield from job.answer(state.ask(reach, high, *hint))
    if hint and (more is None or not more.count):
        # The range has fewer tickets than that, or the server has no pages of that size: ask for its first page.
        (more,) = yield [state.ask(reach, high)]
    if more is None:
        state.flaw(f"the list counts {page.total} tickets in a range, and refuses to show some of them")
        return
    hidden = {more.ids[place] for place in job.between(more, reach, inf, page)}
    for _ in range(_ROUNDS):
        (again,) = (yield [page.ask]) if hidden else (None,)
        if again is None or not again.ids:
            return
        # In a sorted list, a page shows all tickets between its first and last row, page 1 also all above them.
        top = inf if page.ask.page == 1 else state.keys(again)[0] - state.overlap + 1
        hidden &= {more.ids[place] for place in job.between(more, job.reach(again), top, again)}
        (more,) = (yield [more.ask]) if hidden else (None,)
        if more is None:
            return
        hidden.intersection_update(more.ids)
    if hidden:
        raise RestartError("ranges")  # seen so often, these tickets neither entered just now nor left

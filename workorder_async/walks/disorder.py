"""Whether a list is in another order than its pages seem to be: their totals tell.

A list may be sorted by its ids, which nearly always give the order of time. Then a ticket that is later than an edge
can stand below it, and no page shows it. If the answer above an edge counts more tickets than it and the answer below
show, one more answer is asked for, which shows the hidden ones. Where a list moves, its totals differ, too.
"""

from math import ceil, inf
from typing import Final

from workorder_async.walks.jobs import Job, Steps
from workorder_async.walks.list_state import RestartError
from workorder_async.walks.pages import Page

# Totals of a moving list differ by the tickets that moved: so many looks, and one more for so many requests.
_LOOKS: Final = 4
_REQUESTS_OF_A_LOOK: Final = 50
# A ticket may leave and enter between two answers by chance: once, but hardly twice.
_ROUNDS: Final = 2


def look_behind(job: Job, page: Page | None, after: Page | None) -> Steps[None]:
    """Look for tickets that a page counts and does not show, and that the answer after it does not count, either.

    Such tickets stand below its last rows, and are later in time. An answer that shows both proves that the list is
    in no order; so does a page that, asked for again and again, lacks what another answer shows there each time.
    """
    state = job.state
    if page is None or after is None or state.flaws:
        return
    state.keys(after)  # tells whether the ends of a range count
    high, low, keys = state.high(page.ask), state.high(after.ask), state.keys(page)
    above = page.position - len([key for key in keys if key < low + state.end_counts])
    reach, most = job.reach(page), _LOOKS + state.requests // _REQUESTS_OF_A_LOOK
    if page.total - above <= after.total or reach > high or state.looks >= most:
        return
    state.looks += 1
    before = page.position - len([key for key in keys if key < reach]) - state.full // 4
    pages = ceil(before / state.full)
    hint = (pages + 1, before // pages) if before * 2 > state.full else ()
    # The rows below this page's last second are not asked for: thousands may share that second.
    more = yield from job.answer(state.ask(reach, high, *hint))
    if hint and (more is None or not more.count):
        # There are fewer than the ends of the range let expect, or the server has no page of that size.
        (more,) = yield [state.ask(reach, high)]
    if more is None:
        state.flaw(f"the list counts {page.total} tickets in a range, and refuses to show some of them")
        return
    hidden = {more.ids[place] for place in job.between(more, reach, inf, page)}
    for _ in range(_ROUNDS):
        (again,) = (yield [page.ask]) if hidden else (None,)
        if again is None or not again.ids:
            return
        # A page shows all tickets between its rows; the first page also shows all above them.
        top = inf if page.ask.page == 1 else state.keys(again)[0] - state.overlap + 1
        hidden &= {more.ids[place] for place in job.between(more, job.reach(again), top, again)}
        (more,) = (yield [more.ask]) if hidden else (None,)
        if more is None:
            return
        hidden.intersection_update(more.ids)
    if hidden:
        raise RestartError("ranges")  # they neither entered just now, nor left

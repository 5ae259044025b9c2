"""The rules of a walk, without I/O: which page to ask for next, what an answer means, which rows to give out.

The first page (`Opening` in `ends.py`) shows the list's order. The order decides the mode in which the list is read:

    "sections"   a list sorted by created time: in sections, side by side (`sections.py`)
    "ranges"     a list in no order: in ranges of created time that one answer shows whole (`ranges.py`)
    "numbers"    a list whose filter by created time does not work: by page numbers (`ends.py`), which prove nothing

If a later answer contradicts the mode, the walk restarts: it reads the list again from its beginning, in another mode
or with a larger overlap, and gives no ticket out twice. At the end, `Witness` (`ends.py`) checks the server's filter,
if some answer was believed only because of the filter. It also compares totals: no range shows a ticket without a
created time, so if a whole list counts more tickets than its ranges do, one pass by page numbers looks for them. It
does so too if the filter does not work, or if over a page of tickets did not come.
"""

from collections.abc import Callable
from math import inf
from typing import Final

from attrs import evolve

from workorder_async.walk_report import SKIPPED_ROWS_NAMED, WalkReport
from workorder_async.walks.ends import NumberedPages, Opening, Witness
from workorder_async.walks.jobs import Job, Read, WalkedPage
from workorder_async.walks.list_state import ListState, Mode, RestartError
from workorder_async.walks.options import LEAST_ROWS, WalkOptions
from workorder_async.walks.pages import Page, PageReader, Proofs
from workorder_async.walks.ranges import Unordered
from workorder_async.walks.sections import Section
from workorder_async.walks.windows import Window

# Jobs that may be begun, per request in flight; and pages of rows that may wait for their turn, per such job.
_JOBS_AHEAD: Final = 1.25
_PAGES_HELD: Final = 8
# With each restart for an inversion the overlap grows at least ten times, and no page spans 10**10 seconds; and a list
# is read in ranges once. So a walk that restarts more often than this is answered at random.
_RESTARTS: Final = 12
# An empty first page ends the walk, and may be an accident: the first page is asked for up to so many times more.
_TRIES_AT_FIRST: Final = 2
# Reasons that a report names. Each crowded second may add one, and a list may have hundreds of them.
_REASONS: Final = 5
# Rows that are given out as one page, at the most; a larger answer is given out in pieces.
_ROWS_AT_ONCE: Final = 1000


class WalkRules:
    """One walk of a window: `next_read` gives a page to ask for, `receive` takes an answer, `take` gives rows out."""

    def __init__(self, window: Window, options: WalkOptions, proofs: Proofs | None = None) -> None:
        slots, rows = options["concurrency"], max(options["page_size"], LEAST_ROWS)
        self.state: ListState = ListState(window, slots, rows, proofs or Proofs())
        self.reader: PageReader = PageReader(window.query, skips=options["on_bad_row"] == "skip")
        self._jobs: list[Job] = [Opening(self.state, self._begin)]
        self._page_size = min(options["page_size"], _ROWS_AT_ONCE)
        self._most_jobs = int(slots * _JOBS_AHEAD)
        self._restarts = 0
        self._mode: Mode = "sections"
        self._tells_restart = False
        # The frontier of the newest page that was given out and has one, and the ids that were given out since.
        self._last_frontier, self._ids_since = inf, list[int]()

    @property
    def finished(self) -> bool:
        """Whether everything was given out."""
        return not self._jobs

    # Questions

    def next_read(self) -> Read | None:
        """Return the next read; None while no job wants one, or enough rows wait for their turn."""
        state, held = self.state, 0
        most = _PAGES_HELD * self._most_jobs * (state.full or state.size)
        jobs = self._jobs[: self._most_jobs]
        # The last section's first answer cuts the next lot: ask for it first, or requests pause when this lot ends.
        lead = [job for job in jobs[-1:] if len(jobs) == len(self._jobs) and not job.is_begun]
        for job in (*lead, *jobs):
            held += job.held
            if held >= most or (not job.is_begun and held * 2 >= most):
                return None
            job.start()
            if job.wanted:
                state.requests += 1
                return job.wanted.popleft()
        return None

    # Answers

    def receive(self, read: Read, page: Page | None) -> None:
        """Take in an answer that `reader` has read; None if a later page, or an ask without `for_rows`, was refused."""
        state, job = self.state, read.job
        if job.is_left or self._asks_again(read, page):
            return
        if page is not None:
            self._learn(read, page)
        if read.before is not None:
            state.see_behind(read.before, page)
            page = read.before
        elif page is not None and state.is_miscounted(page):
            # This total does not tell whether the page is the last one: page 2 tells.
            job.wanted.appendleft(Read(evolve(read.ask, page=2), job, read.place, before=page))
            return
        if page is not None and not page.is_in_range and self._mode != "numbers":
            self._restart(RestartError("numbers", "the list shows tickets that were not created when it was asked for"))
        else:
            self._go_on(job, lambda: job.take_in(read, page))

    def _asks_again(self, read: Read, page: Page | None) -> bool:
        """Put a read back whose answer may be an accident; return whether that was done."""
        if page is None:
            # A refused page 2 means that there is no page 2, but only if the server refuses it twice.
            is_doubtful, most = read.before is not None, 1
        else:
            # Rows from outside of the range, or none.
            is_doubtful = not page.is_in_range or (not page.count and read.ask.page == 1 and read.job.asks_again)
            most = _TRIES_AT_FIRST if self.state.first_total < 0 else 1
        if not is_doubtful or read.times > most:
            return False
        read.times += 1
        read.job.wanted.appendleft(read)
        return True

    def _learn(self, read: Read, page: Page) -> None:
        """Take in the facts that an answer shows, and give out its tickets without a created time."""
        state = self.state
        if (read.ask.start, read.ask.end) == state.asked:
            state.last_total = page.total
        state.see_size(page)
        state.rows += len(page.ids) + len(page.undated) if read.ask.for_rows else 0
        if page.ids:
            state.shown = page
        if page.undated and read.ask.for_rows:
            # Tickets without a created time belong to no section: each is given out when it is first seen.
            undated = {id: row for id, row in page.undated if id not in state.undated}
            state.undated.update(undated)
            read.job.give([*undated.values()], [*undated], is_undated=True)

    # How the list is read

    def _begin(self, mode: Mode, first: Page | None = None) -> None:
        """Begin to read the list in a mode; `first` is the list's first page, if that has come."""
        self._mode = mode
        job: Job = Opening(self.state, self._begin)
        if mode == "sections" and first is not None:
            job = Section(self.state, first)
        elif mode == "ranges":
            self.state.sign, self.state.believes_filter, self.state.in_ranges = 1, True, True
            low, top = self.state.bounds
            job = Unordered(self.state, low, top - 1, first=first)
        elif mode == "numbers":
            job = NumberedPages(self.state, first)
        self._jobs.append(job)
        self._go_on(job, job.start)

    def _go_on(self, job: Job, step: Callable[[], None]) -> None:
        """Do a step of a job. Restart the walk if the step raises `RestartError`; queue the jobs that the step adds."""
        try:
            step()
        except RestartError as restart:
            self._restart(restart)
        if job.behind and not job.is_left:
            place = self._jobs.index(job) + 1
            self._jobs[place:place] = job.behind
            job.behind = []

    def _restart(self, restart: RestartError) -> None:
        self._restarts += 1
        self._tells_restart = True
        for job in self._jobs:
            job.is_left = True
        self._jobs.clear()
        self.state.given.tell_apart()
        if self._restarts > _RESTARTS:
            restart = RestartError("numbers", "the list is in another order each time that it is read")
        if restart.flaw:
            self.state.flaw(restart.flaw)
        self._begin(restart.mode)

    # Rows

    def take(self) -> WalkedPage | None:
        """Return the next rows; None if they have not come yet, or everything was given out.

        After a restart, one page without rows comes first: it tells the caller of the restart.
        """
        if self._tells_restart:
            self._tells_restart = False
            return WalkedPage(self.state)
        while self._jobs:
            job = self._jobs[0]
            self._go_on(job, job.start)
            while job.ready:
                page = job.next_page(self._page_size)
                page.rows, page.ids = self.state.given.only_new(page.rows, page.ids)
                if page.ids:
                    if not page.is_undated and self._mode != "numbers":  # pages by number have no frontier
                        self._ids_since += page.ids
                    page.begun, page.again = self._last_frontier, self._ids_since
                    if -inf < page.frontier < inf:
                        self._last_frontier, self._ids_since = page.frontier, []
                    return page
            if not job.is_done:
                return None
            self._jobs.pop(0)
            if not self._jobs and not isinstance(job, Witness | NumberedPages):
                self._jobs.append(Witness(self.state, self._begin))
        return None

    @property
    def is_restarted(self) -> bool:
        """Whether the walk restarted: it was wrong about the list, and reads it again from its beginning."""
        return self._restarts > 0

    @property
    def report(self) -> WalkReport:
        """The walk so far."""
        state = self.state
        skipped = [*self.reader.skipped.values()]
        flaws = [*state.all_flaws, *self.reader.flaws]
        if skipped:
            flaws.append(f"{len(skipped)} rows could not be read, and were skipped")
        if not self.finished:
            flaws.insert(0, "not finished")
        more = [f"and {len(flaws) - _REASONS} reasons more"] if len(flaws) > _REASONS else []
        return WalkReport(
            requests=state.requests,
            tickets=state.given.count,
            repeats=state.rows - state.given.count - sum(job.held for job in self._jobs),
            sections=state.sections,
            edges=state.edges,
            crowded_seconds=state.crowded_seconds,
            first_total=state.first_total,
            last_total=state.last_total,
            exact=not flaws,
            reason="; ".join([*flaws[:_REASONS], *more]) or self._proof(),
            skipped=tuple(skipped[:SKIPPED_ROWS_NAMED]),
            skipped_rows=len(skipped),
        )

    def _proof(self) -> str:
        """Say why the result is exact."""
        state = self.state
        if self._mode == "ranges":
            return f"each of {state.ranges} ranges was shown whole"
        if not state.edges:
            return "two readings of its crowded seconds agree" if state.crowded_seconds else "one page, read at once"
        proof = f"neighbouring answers share a ticket at each of {state.edges} edges"
        if state.overlap > 1:
            proof += f"; the list is nearly sorted, and they overlap by {state.overlap} s"
        return proof

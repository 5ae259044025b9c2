"""Where to cut a large list into windows of created time, as rules without I/O.

Windows follow each other edge to edge over the whole range, and each second has one owner (`windows.py`). A total
decides only where to cut, never whether a part of the range is read. So a wrong total costs requests and loses nothing.
A second that alone holds more than a window should is one window.
"""

from collections import deque
from math import ceil

from attrs import define, evolve

from workorder_async import arguments
from workorder_async.models import PageRequest, Pagination, TicketQuery
from workorder_async.protocol.codec import Row, read_rows
from workorder_async.protocol.envelope import Answer
from workorder_async.walks.freezing import created_time
from workorder_async.walks.windows import Window

# A little less than the most is aimed at, so that uneven data does not double the number of cuts.
_AIM = 0.9
# How much longer than they seem to reach back tickets are looked for.
_BEYOND = 1.25


@define(eq=False)
class _Stretch:
    """Part of the range, from second `start` to second `end`, and how many tickets it seems to hold."""

    start: int
    end: int
    total: int


class WindowPlan:
    """Cuts a window into windows of about `max_tickets` at most, by asking for totals: one request for each cut.

    `next_request` gives what to ask, any number at a time, `receive` takes the answer in. `now` is the server's time,
    `first` the first page of what the window asks for. A window whose query has no end is frozen `now`.
    """

    def __init__(
        self, whole: Window, *, max_tickets: int, now: float, first: Answer, skip_bad_rows: bool = False
    ) -> None:
        self.max_tickets: int = arguments.whole("max_tickets", max_tickets)
        self._skips = skip_bad_rows
        start, end = whole.start or whole.query.created_start or 0, int(now) + 1
        if whole.end is not None:
            end = whole.end
        elif whole.query.created_end is not None:
            end = min(end, whole.query.created_end)
        end = max(start, end)
        self._frozen = evolve(whole, query=evolve(whole.query, created_end=end)) if whole.end is None else whole
        #: Whether a ticket came that was not created when it was asked for: the server does not filter.
        self.is_vain: bool = False
        self._asked: dict[PageRequest, tuple[_Stretch, int | None, list[int]]] = {}
        self._to_ask: deque[PageRequest] = deque()
        self._final: list[_Stretch] = []
        pagination, rows, _ = self._read(first)
        self._whole = _Stretch(start, end, pagination.total)
        self._settle(self._whole, _likely_edges(rows, self._whole))

    def _read(self, answer: Answer) -> tuple[Pagination, list[Row], list[int]]:
        return read_rows(answer, [] if self._skips else None)

    @property
    def finished(self) -> bool:
        """Whether every cut is made."""
        return self.is_vain or (not self._to_ask and not self._asked)

    def next_request(self) -> PageRequest | None:
        """Return the next request for a total; None while there is none."""
        return self._to_ask.popleft() if self._to_ask and not self.is_vain else None

    def receive(self, request: PageRequest, answer: Answer) -> None:
        """Take in a total. Raises `DecodeError` where the answer is no page of a list."""
        pagination, rows, _ = self._read(answer)
        stretch, cut, further = self._asked.pop(request)
        start, end = stretch.start, stretch.end if cut is None else cut
        if any((time := created_time(row)) is not None and not start - 1 <= time <= end + 1 for row in rows):
            self.is_vain = True
        elif cut is None:
            self._settle(_Stretch(start, end, pagination.total), further)
        elif pagination.total < stretch.total:
            self._settle(_Stretch(start, cut, pagination.total), [])
            self._settle(_Stretch(cut, stretch.end, stretch.total - pagination.total), further)
        else:
            # A total that is capped leaves nothing for the rest: ask.
            self._settle(_Stretch(start, cut, pagination.total), [])
            self._ask(_Stretch(cut, stretch.end, 0), None, further)

    def _settle(self, stretch: _Stretch, cuts: list[int]) -> None:
        """Keep a stretch that is small enough or cannot be cut; else ask for the total of its first part.

        `cuts` are where to cut it, from the earliest to the latest, before its middle is taken.
        """
        if self.is_vain or stretch.total <= self.max_tickets or stretch.end - stretch.start <= 1:
            self._final.append(stretch)
            return
        windows = ceil(stretch.total / (self.max_tickets * _AIM))
        middle = stretch.start + int((stretch.end - stretch.start) * (windows // 2) / windows)
        cut, *further = cuts or [middle]
        cut = min(max(cut, stretch.start + 1), stretch.end - 1)
        self._ask(stretch, cut, further)

    def _ask(self, stretch: _Stretch, cut: int | None, further: list[int]) -> None:
        """Ask for the total of a stretch up to `cut`, or of all of it."""
        request = PageRequest(self._part(stretch.start, stretch.end if cut is None else cut), 1, 1)
        if request not in self._asked:
            self._to_ask.append(request)
        self._asked[request] = (stretch, cut, further)

    def _part(self, start: int, end: int) -> TicketQuery:
        return evolve(self._frozen.query, created_start=start, created_end=end)

    def windows(self) -> list[Window]:
        """Return the windows, from the earliest to the latest; neighbours that fit into one are one.

        The whole as one where the server does not filter by created time.
        """
        stretches = [self._whole] if self.is_vain else sorted(self._final, key=lambda stretch: stretch.start)
        merged: list[_Stretch] = []
        for stretch in stretches:
            if merged and merged[-1].total + stretch.total <= self.max_tickets:
                merged[-1] = _Stretch(merged[-1].start, stretch.end, merged[-1].total + stretch.total)
            else:
                merged.append(stretch)
        # The outer edges are the whole's: what it asks for, and owns, there is not changed.
        starts = [None, *(stretch.start for stretch in merged[1:])]
        ends = [*(stretch.end for stretch in merged[:-1]), None]
        return [
            self._frozen.part(start, end, stretch.total)
            for stretch, start, end in zip(merged, starts, ends, strict=True)
        ]


def _likely_edges(rows: list[Row], whole: _Stretch) -> list[int]:
    """Guess between which times the tickets lie, by how close those of the first page are.

    Those are the first places to cut: outside there may be years without a ticket.
    """
    times = [time for row in rows if (time := created_time(row)) is not None]
    if not times:
        return []
    far = times[0] + int((times[-1] - times[0]) * whole.total / len(times) * _BEYOND)
    begin, end = sorted((times[0], far))
    least = (end - begin) // 10
    return [edge for edge in (begin, end) if whole.start + least < edge < whole.end - least]

"""A walk over the pages of a list, as rules without I/O: which page to ask for next, and what an answer means.

The stride, how many rows the server really gives per page, is told by the first answer: its `pagination.page_size`, or
the count of its rows where that contradicts it. The last page follows from the newest `total`. Pages are given out in
order, and rows that came before are dropped by their id.
"""

from math import ceil
from typing import cast

from attrs import define, evolve

from workorder_async.codec import Row, read_rows
from workorder_async.envelope import Answer
from workorder_async.errors import ConfigError
from workorder_async.models import PageRequest, TicketQuery

# Pages held per request in flight: with fewer, one slow page leaves the others with nothing to do.
_HELD_PER_REQUEST = 4


@define
class WalkedPage:
    """The rows of one page that had not come before, as they came, and the answer that they stood in."""

    number: int
    rows: list[Row]
    answer: Answer


class PageWalk:
    """The state of one walk: `next_request` says what to read, `receive` takes it in, `take` gives it out.

    At most `concurrency` requests are under way, and at most four times as many pages are held.
    """

    def __init__(self, query: TicketQuery, *, page_size: int = 100, concurrency: int = 8) -> None:
        self._first = PageRequest(query, 1, page_size)
        if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
            raise ConfigError(f"concurrency is {concurrency!r}; it must be a whole number of at least 1")
        self._concurrency = concurrency
        self._next = 1
        self._last = 1
        self._stride = 0
        self._in_flight = 0
        self._next_taken = 1
        self._held: dict[int, tuple[list[Row], Answer]] = {}
        self._seen: set[int] = set()

    @property
    def finished(self) -> bool:
        """Whether every page was taken."""
        return self._next_taken > self._last

    def next_request(self) -> PageRequest | None:
        """Return the next page to read; None while there is nothing to ask for, or enough is under way or held."""
        # Until the first answer tells the stride, the number of further pages is not known.
        ready = self._stride or self._next == 1
        room = self._next < self._next_taken + self._concurrency * _HELD_PER_REQUEST
        if not (ready and room) or self._next > self._last or self._in_flight >= self._concurrency:
            return None
        self._in_flight += 1
        self._next += 1
        return evolve(self._first, page=self._next - 1)

    def receive(self, request: PageRequest, answer: Answer) -> None:
        """Take in the answer to a request. Raises `DecodeError` where it is no page of a list."""
        pagination, rows = read_rows(answer)
        self._in_flight -= 1
        if not self._stride:
            said, count = pagination.page_size, len(rows)
            short = 0 < count < min(said or count, pagination.total)
            self._stride = count if short or count > said else said
        self._last = max(request.page, ceil(pagination.total / max(self._stride, 1)))
        self._held[request.page] = (rows, answer)

    def take(self) -> WalkedPage | None:
        """Return the next page in order; None where it has not come yet, or all were taken."""
        held = self._held.pop(self._next_taken, None)
        if held is None:
            return None
        self._next_taken += 1
        rows, answer = held
        fresh = [row for row in rows if row["id"] not in self._seen]
        self._seen.update(cast("int", row["id"]) for row in fresh)
        return WalkedPage(self._next_taken - 1, fresh, answer)

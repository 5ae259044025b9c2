"""One answer of `list_tickets`: the question, the rows, and whether the rows match the question.

A row is held against the query before anything is done with it: a program that closes the tickets of a walk must not
close a ticket that it did not ask for. A row that shows another status, type or customer than the query has is left
out: a filter may ask an index that is behind the rows. If most rows of an answer do so, or one shows a created time
outside of its range, that is a `ResponseError`.
"""

from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import Final, TypeAlias, cast
from unicodedata import normalize

from attrs import define, field, frozen

from workorder_async.document import OpenEnum, TicketQuery, TicketSummary
from workorder_async.document.codec import Row, decode_rows, number_in, read_rows
from workorder_async.document.decoding import SECONDS_END, MisfitError, decoder_of
from workorder_async.document.envelope import Answer
from workorder_async.errors import ResponseError
from workorder_async.walk_report import SkippedRow

# A filter and the time that is shown may differ by so many seconds: fractions may be cut off, or rounded up.
_BLUR: Final = 1
# Pages of a server's own size have a multiple of so many rows, and seldom more than so many.
_ROUND: Final = 5
_LARGE: Final = 100
# So many rows that do not match are left out, even if they are most of an answer.
_FEW: Final = 2
_FILTERS: Final = ("status", "type", "sub_type", "second_subtype", "customer_organization_name")
_time_of: Final = attrgetter("created_time")
_id_of: Final = attrgetter("id")
_Fits: TypeAlias = Callable[[int | str], bool]
Record: TypeAlias = TicketSummary | Row
"""A row of the list: a model, or as it came."""


@frozen
class Ask:
    """One page to ask for, of the tickets that were created from second `start` to second `end`; None: no bound."""

    start: int | None
    end: int | None
    page: int
    size: int
    for_rows: bool = True
    """Whether its rows are wanted, not only how many there are, and when they were created."""


@define
class Page:
    """One answer, read."""

    ask: Ask
    rows: Sequence[Record] = field(repr=False)
    """Its rows that have a created time."""
    ids: list[int] = field(repr=False)
    """Their ids."""
    seconds: list[int] = field(repr=False)
    """When they were created."""
    undated: list[tuple[int, Record]]
    """Its rows without a created time, by their ids."""
    count: int
    """How many rows came, including rows that cannot be read, or do not match the query."""
    total: int
    """How many tickets the range has, as the list says."""
    size: int
    """How many rows a page has, as the list says."""
    is_in_range: bool
    """Whether each row was created when it was asked for."""
    is_last: bool | None = field(default=None, init=False)
    """Whether the next page is empty; None where that was not asked for."""
    keys: list[int] | None = field(default=None, init=False, repr=False)
    """The keys of its rows (see `list_state.py`), once they were looked at."""

    @property
    def position(self) -> int:
        """How many rows of its range end with this page."""
        # A server that gives more rows than it was asked for has pages of a size of its own.
        return (self.ask.page - 1) * max(self.ask.size, self.count) + self.count


@define
class Proofs:
    """Facts about the server that answers have proven. One object for a client: later walks use them, too."""

    filters: bool = False
    """Whether a ticket was shown when just its second was asked for: then both ends of a range mean what they say."""
    counts_on: bool = False
    """Whether a total counted rows behind its page: pages may have a size of the server's own, but this is none."""
    kept: set[str] = field(factory=set)
    """The filters of no row's field that do not let everything pass, or cannot be tried: see `check_filters`."""

    def see_total(self, page: Page) -> None:
        """Take in how many rows an answer counts, and shows: as many as were asked for, not as the server likes.

        Of fewer than `_LARGE` a server may have read a page of its own size, counted it, and cut it to what was asked.
        """
        is_obeyed = _LARGE <= page.ask.size == page.count < page.total
        self.counts_on = self.counts_on or (is_obeyed and page.total % _ROUND != 0)

    def may_have_more(self, page: Page) -> bool:
        """Tell whether there may be more rows than a page shows, though it counts no more."""
        return not self.counts_on and page.count % _ROUND == 0


class PageReader:
    """Reads the answers to one query.

    With `raw`, rows stay as they came; else they become models at once, since models that wait for their turn take less
    memory than the answer. A row that cannot be read is a `DecodeError`, or with `skips` left out.
    """

    def __init__(self, query: TicketQuery, *, skips: bool = False, raw: bool = False) -> None:
        self.raw: bool = raw
        self._query = query
        self._checks = _checks(query)
        self._skips = skips
        #: The rows that were left out. A row that two neighbouring answers show has one key, and so is here once.
        self.skipped: dict[tuple[int | None, str, str, str], SkippedRow] = {}
        # What was shown of the tickets that were left out since they do not match the query, by their ids.
        self._odd: dict[int, str] = {}

    @property
    def flaws(self) -> list[str]:
        """The reason why the result may not be exact, if rows did not match the query."""
        named = ", ".join(f"ticket {id} with {shown}" for id, shown in [*self._odd.items()][:_FEW])
        said = f"{len(self._odd)} rows that the list showed do not match the query, and were left out, as {named}"
        return [said] if self._odd else []

    def read(self, ask: Ask, answer: Answer) -> Page:
        """Read an answer. Raises `ResponseError` for rows that do not match the query."""
        skipped: list[SkippedRow] = []
        skips = skipped if self._skips else None
        pagination, shown, ids = read_rows(answer, skips, page=ask.page)
        count = len(shown) + len(skipped)
        shown, ids = self._matching(shown, ids, answer)
        rows: Sequence[Record] = shown
        if self.raw or not ask.for_rows:
            seconds = _plain_seconds(shown) or [number_in(row, "created_time") or 0 for row in shown]
        else:
            models = decode_rows(shown, answer, skips, page=ask.page)
            rows, ids, seconds = models, list(map(_id_of, models)), list(map(_time_of, models))
        for row in skipped:
            self.skipped.setdefault((row.id, row.path.partition("]")[2], row.expected, row.got), row)
        undated = list[tuple[int, Record]]()
        first, last = min(seconds, default=1), max(seconds, default=1)
        if first <= 0 or len(set(ids)) < len(ids):
            undated = [(id, row) for id, row, second in zip(ids, rows, seconds, strict=True) if second <= 0]
            kept = [*{id: place for place, id in enumerate(ids) if seconds[place] > 0}.values()]
            rows, ids, seconds = [rows[i] for i in kept], [ids[i] for i in kept], [seconds[i] for i in kept]
            first = min(seconds, default=1)
        if seconds and ask.for_rows:
            self._check_range(first, last, seconds, ids, answer)
        is_after_start = ask.start is None or first >= ask.start - _BLUR
        is_in_range = not seconds or (is_after_start and (ask.end is None or last <= ask.end + _BLUR))
        return Page(ask, rows, ids, seconds, undated, count, pagination.total, pagination.page_size, is_in_range)

    def _matching(self, rows: list[Row], ids: list[int], answer: Answer) -> tuple[list[Row], list[int]]:
        """Return the rows that match the query, and their ids."""
        odd = dict[int, str]()
        for name, fits in self._checks:
            for value in {cast("int | str", row[name]) for row in rows if type(row.get(name)) in (int, str, float)}:
                if not fits(value):
                    these = (id for id, row in zip(ids, rows, strict=True) if row.get(name) == value)
                    odd |= dict.fromkeys(these, f"{name} {value!r}")
                    if len(odd) > max(_FEW, len(rows) / 2):
                        self._refuse(name, value, next(iter(odd)), answer)
        if not odd:
            return rows, ids
        self._odd |= odd
        kept = [place for place, id in enumerate(ids) if id not in odd]
        return [rows[place] for place in kept], [ids[place] for place in kept]

    def _check_range(self, first: int, last: int, seconds: list[int], ids: list[int], answer: Answer) -> None:
        start, end = self._query.created_start, self._query.created_end
        if start is not None and first < start - _BLUR:
            self._refuse("created_time", first, ids[seconds.index(first)], answer)
        if end is not None and last > end + _BLUR:
            self._refuse("created_time", last, ids[seconds.index(last)], answer)

    def _refuse(self, name: str, value: object, id: int, answer: Answer) -> None:
        asked = "created_start or created_end" if name == "created_time" else name
        said = f"the server does not keep to the filter {asked}: ticket {id}, with {name} {value!r}, was not asked for"
        raise answer.told_in(ResponseError(said, status=200))


def _plain_seconds(rows: list[Row]) -> list[int] | None:
    """Return the created times of rows if all are whole numbers of seconds: the fast way; else None."""
    times = cast("list[int]", [row.get("created_time") for row in rows])
    return times if set(map(type, times)) <= {int} and max(times, default=0) < SECONDS_END else None


def _checks(query: TicketQuery) -> list[tuple[str, _Fits]]:
    """Return a check for each filter of the query whose field is in a row; a value that cannot be decoded passes."""

    def check(name: str, wanted: object) -> _Fits:
        @cache
        def fits(value: int | str) -> bool:
            try:
                shown = decoder_of(TicketSummary).readers[name](value)
            except MisfitError:
                return True
            if isinstance(shown, OpenEnum):
                # Only another code is refused. A name may be the platform's own for the same code, and 0 means none.
                return shown == wanted or not shown.value or isinstance(shown.value, str)
            if isinstance(shown, str):
                # It is not documented whether the server finds a customer by a part of the name: a part is enough.
                return not shown or folded(str(wanted)) in folded(shown)
            return not shown or shown == wanted

        return fits

    wanted = {name: getattr(query, name) for name in _FILTERS}
    return [(name, check(name, value)) for name, value in wanted.items() if value is not None]


def folded(name: str) -> str:
    """Return a name as many databases compare it: capital letters and those of full width are as plain ones."""
    return normalize("NFKC", name).strip().casefold()


def worst_inversion(keys: Sequence[int]) -> int:
    """Return the largest difference between a key and a smaller key in front of it: 0 if keys never grow."""
    lowest, worst = keys[0], 0
    for key in keys:
        lowest = min(lowest, key)
        worst = max(worst, key - lowest)
    return worst

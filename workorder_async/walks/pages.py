"""One answer of `list_tickets`: what was asked, which rows it shows, and whether they are what was asked for.

A row is held against the query before anything is done with it: whoever closes what a walk gives must not close what
was never asked for. A row that shows another status, type or customer than the query has, or a created time outside of
its range, is a `ResponseError`.
"""

from collections.abc import Callable
from functools import cache
from operator import itemgetter
from typing import Final, TypeAlias, cast

from attrs import define, field, frozen

from workorder_async.errors import ResponseError
from workorder_async.models import OpenEnum, TicketQuery, TicketSummary
from workorder_async.models.readings import SECONDS_END, MisfitError, is_absent
from workorder_async.models.structuring import FIELDS
from workorder_async.protocol.codec import Row, created_time_of, read_rows
from workorder_async.protocol.envelope import Answer
from workorder_async.walk_report import SkippedRow

# A filter and the time that is shown may differ by so many seconds: fractions may be cut off, or rounded up.
_BLUR: Final = 1
_ENUMS: Final = ("status", "type")
_NUMBERS: Final = ("sub_type", "second_subtype")
_CUSTOMER: Final = "customer_organization_name"
_time_of: Final = itemgetter("created_time")
_Fits: TypeAlias = Callable[[int | str], bool]


@frozen
class Ask:
    """One page to ask for, of the tickets that were created from second `start` to second `end`; None: no bound."""

    start: int | None
    end: int | None
    page: int
    size: int


@define
class Page:
    """What an answer shows."""

    ask: Ask
    answer: Answer = field(repr=False)
    rows: list[Row] = field(repr=False)
    """Its rows that have a created time, as they came."""
    ids: list[int] = field(repr=False)
    """Their ids."""
    seconds: list[int] = field(repr=False)
    """When they were created."""
    undated: list[tuple[int, Row]]
    """Its rows without a created time, by their ids."""
    count: int
    """How many rows came, those included that cannot be read."""
    total: int
    """How many tickets the range has, as the list says."""
    size: int
    """How many rows a page has, as the list says."""
    is_in_range: bool
    """Whether each row was created when it was asked for."""
    keys: list[int] | None = field(default=None, init=False, repr=False)
    sign: int = field(default=0, init=False, repr=False)
    """The keys of its rows for this sign (see `list_state.py`), once they were looked at."""

    @property
    def position(self) -> int:
        """How many rows of its range end with this page."""
        return (self.ask.page - 1) * self.ask.size + self.count


class PageReader:
    """Reads the answers to one query. A row whose id cannot be read is a `DecodeError`, or with `skips` left out."""

    def __init__(self, query: TicketQuery, *, skips: bool) -> None:
        self._query = query
        self._checks = _checks(query)
        self._skips = skips
        #: The rows that were left out, each once, though neighbouring answers may both show it.
        self.skipped: dict[tuple[str, str, str], SkippedRow] = {}

    def read(self, ask: Ask, answer: Answer) -> Page:
        """Return what an answer shows. Raises `ResponseError` for a row that does not match the query."""
        skipped: list[SkippedRow] = []
        pagination, rows, ids = read_rows(answer, skipped if self._skips else None)
        for row in skipped:
            self.skipped.setdefault((row.path.partition("]")[2], row.expected, row.got), row)
        self._check_fields(rows, ids, answer)
        count, undated = len(rows) + len(skipped), list[tuple[int, Row]]()
        seconds = _plain_seconds(rows)
        if seconds is None:
            times = list(map(created_second, rows))
            undated = [(id, row) for id, row, time in zip(ids, rows, times, strict=True) if time is None]
            dated = [(id, row, time) for id, row, time in zip(ids, rows, times, strict=True) if time is not None]
            ids, rows, seconds = [one[0] for one in dated], [one[1] for one in dated], [one[2] for one in dated]
        if len(set(ids)) < len(ids):
            kept = [*{id: place for place, id in enumerate(ids)}.values()]
            rows, ids, seconds = [rows[i] for i in kept], [ids[i] for i in kept], [seconds[i] for i in kept]
        is_in_range = True
        if seconds:
            self._check_range(seconds, ids, answer)
            is_in_range = _is_in(seconds, ask)
        return Page(
            ask, answer, rows, ids, seconds, undated, count, pagination.total, pagination.page_size, is_in_range
        )

    def _check_fields(self, rows: list[Row], ids: list[int], answer: Answer) -> None:
        for name, fits in self._checks:
            for value in {cast("int | str", row[name]) for row in rows if type(row.get(name)) in (int, str)}:
                if not fits(value):
                    id = next(id for id, row in zip(ids, rows, strict=True) if row.get(name) == value)
                    self._refuse(name, value, id, answer)

    def _check_range(self, seconds: list[int], ids: list[int], answer: Answer) -> None:
        start, end, first, last = self._query.created_start, self._query.created_end, min(seconds), max(seconds)
        if start is not None and first < start - _BLUR:
            self._refuse("created_time", first, ids[seconds.index(first)], answer)
        if end is not None and last > end + _BLUR:
            self._refuse("created_time", last, ids[seconds.index(last)], answer)

    def _refuse(self, name: str, value: object, id: int, answer: Answer) -> None:
        asked = "created_start or created_end" if name == "created_time" else name
        raise ResponseError(
            f"the server does not keep to the filter {asked}: ticket {id}, with {name} {value!r}, was not asked for",
            status=200,
            operation=answer.operation,
            attempts=answer.attempts,
            request_id=answer.request_id,
        )


def _is_in(seconds: list[int], ask: Ask) -> bool:
    after = ask.start is None or min(seconds) >= ask.start - _BLUR
    return after and (ask.end is None or max(seconds) <= ask.end + _BLUR)


def created_second(row: Row) -> int | None:
    """Return when a row's ticket was created, in seconds; None where that is not there, is 0, or cannot be read."""
    value = row.get("created_time")
    if type(value) is int and value < SECONDS_END:
        return value if value > 0 else None
    return None if is_absent(value) else created_time_of(row) or None


def _plain_seconds(rows: list[Row]) -> list[int] | None:
    """Return the created times of rows where each is a whole number of seconds; else None."""
    try:
        times = cast("list[int]", list(map(_time_of, rows)))
    except KeyError:
        return None
    if not set(map(type, times)) <= {int} or (times and not 0 < min(times) <= max(times) < SECONDS_END):
        return None
    return times


def _checks(query: TicketQuery) -> list[tuple[str, _Fits]]:
    """Return what each field that a row shows is held against; a value that says nothing plain fits."""

    def check(name: str, wanted: object) -> _Fits:
        @cache
        def fits(value: int | str) -> bool:
            try:
                shown = FIELDS[TicketSummary][name](value)
            except MisfitError:
                return True
            if isinstance(shown, OpenEnum):
                return shown == wanted or not shown.is_known
            if isinstance(shown, str):
                # Whether a part of the name is enough for the server is not documented.
                return not shown or str(wanted).strip().casefold() in shown.casefold()
            return not shown or shown == wanted

        return fits

    wanted = {name: getattr(query, name) for name in (*_ENUMS, *_NUMBERS, _CUSTOMER)}
    return [(name, check(name, value)) for name, value in wanted.items() if value is not None]

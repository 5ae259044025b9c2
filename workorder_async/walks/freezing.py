"""When a walk's list is frozen: from which second on new tickets stay out, whatever the clocks say."""

from attrs import evolve

from workorder_async.errors import ConfigError
from workorder_async.models import TicketQuery
from workorder_async.models.readings import SECONDS_END
from workorder_async.protocol.codec import Row, created_time_of

# Clocks that agree differ by less; a ticket dated further ahead may be followed by new ones.
_TOLERANCE = 60


def created_time(row: Row) -> int | None:
    """Return when a row's ticket was created, in seconds; None where that cannot be read."""
    value = row.get("created_time")
    return value if type(value) is int and value < SECONDS_END else created_time_of(row)


def freeze(query: TicketQuery, rows: list[Row], now: float) -> tuple[TicketQuery, bool]:
    """Return the query with an end that keeps later tickets out, and whether it is certain that it does.

    The end is the second after the latest of `now` and the newest of the first page's `rows`: a clock that is behind
    must not cut off tickets that are there. Where a ticket is dated ahead of `now`, new ones may lie before the end.
    An end that the caller set stays where it is earlier. Where all times come in milliseconds there is no such end: it
    is not known whether the server compares them with seconds. Where some do, it is only their spelling.
    """
    if rows and all(_is_no_second(row.get("created_time")) for row in rows):
        return query, False
    newest = max((time for row in rows if (time := created_time(row)) is not None), default=0)
    end, certain = max(int(now), newest) + 1, newest <= now + _TOLERANCE
    if query.created_end is not None and query.created_end <= end:
        return query, certain or query.created_end <= now + _TOLERANCE
    if (query.created_start or 0) > end:
        return query, False
    try:
        return evolve(query, created_end=end), certain
    except ConfigError:
        # Nothing can be said about what comes later.
        return query, False


def _is_no_second(value: object) -> bool:
    """Tell whether a time is a number too large for seconds."""
    if type(value) is int:
        return value >= SECONDS_END
    try:
        return isinstance(value, str | float) and float(value) >= SECONDS_END
    except ValueError:
        return False

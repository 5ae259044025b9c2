"""When a walk's list is frozen: from which second on new tickets stay out, whatever the clocks say."""

from attrs import evolve

from workorder_async.errors import ConfigError
from workorder_async.models import TicketQuery
from workorder_async.models.readings import SECONDS_END, is_absent
from workorder_async.protocol.codec import Row, created_time_of

# Clocks that agree differ by less: `Date` has whole seconds, and takes its time.
_TOLERANCE = 5.0
NOT_FROZEN = "not frozen, tickets may have entered; freeze=True keeps new ones out"


def created_time(row: Row) -> int | None:
    """Return when a row's ticket was created, in seconds; None where that is not there, or cannot be read."""
    value = row.get("created_time")
    if type(value) is int and value < SECONDS_END:
        return value
    return None if is_absent(value) else created_time_of(row)


def freeze(query: TicketQuery, rows: list[Row], now: float, spread: float = 0.0) -> tuple[TicketQuery, str]:
    """Return the query with an end that keeps later tickets out, and how they may enter all the same; "" for not.

    The end is the second after the latest of `now` and the newest of the first page's `rows`: a clock that is behind
    must not cut off tickets that are there. `now` is `spread` later than the earliest clock that may be the server's.
    Where the clocks differ, or a ticket is dated ahead of `now`, that end may be in the server's future: new tickets
    lie before it, too. An end that the caller set stays where it is earlier. Where all times come in milliseconds there
    is no such end: it is not known whether the server compares them with seconds. Where some do, it is only their
    spelling.
    """
    if rows and all(_is_no_second(row.get("created_time")) for row in rows):
        return query, "created times come in milliseconds, so later tickets cannot be kept out"
    newest = max((time for row in rows if (time := created_time(row)) is not None), default=0)
    end = max(int(now), newest) + 1
    is_set = query.created_end is not None and query.created_end <= end
    if is_set:
        end = query.created_end or 0
    elif (query.created_start or 0) > end:
        return query, "the list begins in the future, so tickets may have entered"
    leak = ""
    if end > now - spread + _TOLERANCE:
        if newest >= int(now):
            leak = "a ticket is dated ahead of the clocks, so new ones may have entered"
        else:
            leak = f"our clock and the server's differ by {spread:,.0f} s, so tickets may have entered"
    if is_set:
        return query, leak
    try:
        return evolve(query, created_end=end), leak
    except ConfigError:
        # Nothing can be said about what comes later.
        return query, NOT_FROZEN


def _is_no_second(value: object) -> bool:
    """Tell whether a time is a number too large for seconds."""
    if type(value) is int:
        return value >= SECONDS_END
    try:
        return isinstance(value, str | float) and float(value) >= SECONDS_END
    except ValueError:
        return False

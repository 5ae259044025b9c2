"""Several queries that are read one after the other: their reports as one, and whether the result is exact.

Each walk may be exact, and a ticket still be missing: while the first query is read, it matches the second; then it
changes, so that it matches the first while the second is read.
"""

from collections.abc import Sequence
from itertools import combinations
from math import inf
from typing import Final

from attrs import fields

from workorder_async.document import TicketQuery
from workorder_async.walk_report import SKIPPED_ROWS_NAMED, WalkReport

# The filters whose fields may change. The others are by creator and created time, which a ticket keeps.
_CHANGING: Final = ("status", "type", "sub_type", "second_subtype", "product_group_id", "customer_organization_name")
_ADDED: Final = tuple(field.name for field in fields(WalkReport) if field.type is int)
# A server's filter by created time and the created time that it shows may differ by so many seconds.
_BLUR: Final = 1


def together(queries: Sequence[TicketQuery], reports: Sequence[WalkReport]) -> WalkReport:
    """Return the sum of the reports of several queries; the last queries may not have a report yet.

    The sum is exact if each report is, and no ticket can have passed from one query to another. If not, its reason is
    the first doubt.
    """
    doubt = next((report.reason for report in reports if not report.exact), "") or "".join(doubts_of(queries))
    added = {name: sum(max(0, getattr(report, name)) for report in reports) for name in _ADDED}
    return WalkReport(
        **added,
        exact=not doubt,
        reason=doubt or f"each of {len(reports)} walks is exact",
        skipped=tuple(row for report in reports for row in report.skipped)[:SKIPPED_ROWS_NAMED],
    )


def doubts_of(queries: Sequence[TicketQuery]) -> list[str]:
    """Return why a ticket that always matched some of the queries may be unseen by all of them; [] if it cannot.

    No ticket slips through two queries if the filters of one by fields that may change let through all values that
    those of the other let through, or if the two can never share a ticket.
    """
    # A query that covers another one finds the tickets of that one, too.
    alone = [*dict.fromkeys(queries)]
    kept = [one for one in alone if not any(other is not one and _covers(other, one) for other in alone)]
    for one, other in combinations(kept, 2):
        if not (_is_wider(one, other) or _is_wider(other, one) or _are_apart(one, other)):
            name = next(name for name in _CHANGING if getattr(one, name) != getattr(other, name))
            return [f"a ticket whose {name} changed may have passed from one query to another, unseen by both"]
    return []


def _is_wider(wide: TicketQuery, narrow: TicketQuery, names: Sequence[str] = _CHANGING) -> bool:
    """Tell whether each of these filters of `wide` lets through all values that the same filter of `narrow` does."""
    pairs = [(_wanted(wide, name), _wanted(narrow, name)) for name in names]
    return all(not wanted or (given and given <= wanted) for wanted, given in pairs)


def _wanted(query: TicketQuery, name: str) -> set[object]:
    """Return the values that a filter lets through; an empty set if it lets all through."""
    value = getattr(query, name)
    return {*value} if isinstance(value, tuple) else {value} - {None}


def _span(query: TicketQuery) -> tuple[float, float]:
    end = query.created_end
    return query.created_start or 0, inf if end is None else end


def _covers(wide: TicketQuery, narrow: TicketQuery) -> bool:
    """Tell whether every ticket that matches `narrow` matches `wide`."""
    (start, end), (first, last) = _span(wide), _span(narrow)
    return start <= first and last <= end and _is_wider(wide, narrow, (*_CHANGING, "creator_id"))


def _are_apart(one: TicketQuery, other: TicketQuery) -> bool:
    """Tell whether no ticket can ever match both queries: their creators differ, or their ranges of time lie apart."""
    (start, end), (first, last) = _span(one), _span(other)
    creators = {one.creator_id, other.creator_id}
    return end + _BLUR < first or last + _BLUR < start or (len(creators) == 2 and None not in creators)

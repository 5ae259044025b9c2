"""Several queries, read one after the other: their walks as one, and whether it is exact.

A ticket may pass from one query to another, unseen by both.
"""

from collections.abc import Sequence
from itertools import combinations
from math import inf
from typing import Final

from attrs import fields

from workorder_async.document import TicketQuery
from workorder_async.walk_report import SKIPPED_ROWS_NAMED, WalkReport

# A ticket's creator and created time stay. The fields of these filters may change.
_CHANGING: Final = ("status", "type", "sub_type", "second_subtype", "product_group_id", "customer_organization_name")
_ADDED: Final = tuple(field.name for field in fields(WalkReport) if field.type is int)
# A filter of time and the time that is shown may differ by so many seconds.
_BLUR: Final = 1


def together(queries: Sequence[TicketQuery], reports: Sequence[WalkReport]) -> WalkReport:
    """Return one report of the walks over several queries, added up; the last ones may have none yet.

    It is exact where each of them is, and no ticket can have passed from one to another; else the first doubt counts.
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
    """Return the doubts about queries together; none if every ticket that some query matched all along is seen."""
    # A query that covers another one also finds the tickets of that one.
    alone = [*dict.fromkeys(queries)]
    kept = [one for one in alone if not any(other is not one and _covers(other, one) for other in alone)]
    for one, other in combinations(kept, 2):
        if not (_is_wider(one, other) or _is_wider(other, one) or _are_apart(one, other)):
            name = next(name for name in _CHANGING if getattr(one, name) != getattr(other, name))
            return [f"a ticket whose {name} changed may have passed from one query to another, unseen by both"]
    return []


def _is_wider(wide: TicketQuery, narrow: TicketQuery, names: Sequence[str] = _CHANGING) -> bool:
    """Tell whether these filters of the one let through all that those of the other do."""
    pairs = [(_wanted(wide, name), _wanted(narrow, name)) for name in names]
    return all(not wanted or (given and given <= wanted) for wanted, given in pairs)


def _wanted(query: TicketQuery, name: str) -> set[object]:
    """Return the values that a filter lets through; an empty set: all."""
    value = getattr(query, name)
    return {*value} if isinstance(value, tuple) else {value} - {None}


def _span(query: TicketQuery) -> tuple[float, float]:
    end = query.created_end
    return query.created_start or 0, inf if end is None else end


def _covers(wide: TicketQuery, narrow: TicketQuery) -> bool:
    """Tell whether all that matches the one query matches the other."""
    (start, end), (first, last) = _span(wide), _span(narrow)
    return start <= first and last <= end and _is_wider(wide, narrow, (*_CHANGING, "creator_id"))


def _are_apart(one: TicketQuery, other: TicketQuery) -> bool:
    """Tell whether no ticket can ever match both: its creator or its created time is another one."""
    (start, end), (first, last) = _span(one), _span(other)
    creators = {one.creator_id, other.creator_id}
    return end + _BLUR < first or last + _BLUR < start or (len(creators) == 2 and None not in creators)

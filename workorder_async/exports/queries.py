"""Several queries, read one after the other: whether a ticket can pass from one to another, unseen by both."""

from collections.abc import Sequence
from itertools import combinations
from typing import Final

from workorder_async.document import TicketQuery

# A ticket's creator and created time stay; what these filters look at may change.
_CHANGING: Final = ("status", "type", "sub_type", "second_subtype", "product_group_id", "customer_organization_name")
# A filter of time and the time that is shown may differ by so many seconds.
_BLUR: Final = 1


def doubts_of(queries: Sequence[TicketQuery]) -> list[str]:
    """Return the doubts about queries together; none if every ticket that some query matched all along is seen."""
    # Whatever matches a query that another one covers is seen by that one.
    alone = [*dict.fromkeys(queries)]
    kept = [one for one in alone if not any(other is not one and _covers(other, one) for other in alone)]
    for one, other in combinations(kept, 2):
        if not (_is_wider(one, other) or _is_wider(other, one) or _are_apart(one, other)):
            name = next(name for name in _CHANGING if getattr(one, name) != getattr(other, name))
            return [f"a ticket whose {name} changed may have passed from one query to another, unseen by both"]
    return []


def _is_wider(wide: TicketQuery, narrow: TicketQuery, names: Sequence[str] = _CHANGING) -> bool:
    """Tell whether these filters of the one let through all that those of the other do."""
    for name in names:
        wanted, given = (
            {*value} if isinstance(value, tuple) else {value} - {None}
            for value in (getattr(wide, name), getattr(narrow, name))
        )
        if wanted and not (given and given <= wanted):
            return False
    return True


def _covers(wide: TicketQuery, narrow: TicketQuery) -> bool:
    """Tell whether all that matches the one query matches the other."""
    start, end = wide.created_start, wide.created_end
    return (
        _is_wider(wide, narrow, (*_CHANGING, "creator_id"))
        and (start is None or (narrow.created_start is not None and narrow.created_start >= start))
        and (end is None or (narrow.created_end is not None and narrow.created_end <= end))
    )


def _are_apart(one: TicketQuery, other: TicketQuery) -> bool:
    """Tell whether no ticket can ever match both: its creator or its created time is another one."""
    if None not in (one.creator_id, other.creator_id) and one.creator_id != other.creator_id:
        return True
    return any(
        early.created_end is not None
        and late.created_start is not None
        and early.created_end + _BLUR < late.created_start
        for early, late in ((one, other), (other, one))
    )

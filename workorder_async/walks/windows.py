"""A part of a list by created time, with an owner for every second: what a window gives depends on no other window."""

from typing import TypeAlias

from attrs import field, frozen

from workorder_async.document import TicketQuery
from workorder_async.errors import ConfigError

# It is not documented whether `created_start` and `created_end` are inclusive: a second more on either side is asked
# for, and what is not owned is left out.
_MARGIN = 1


@frozen
class Window:
    """A window of created time: the tickets of `query` with `start` <= created_time < `end`.

    Windows that `plan_windows` gives follow each other edge to edge, so every ticket has exactly one owner, whichever
    way the server reads its two filters. A window is a value: it compares, pickles, and can be walked in any process,
    as often as need be. `client.walk(window)` gives the tickets that it owns.
    """

    query: TicketQuery
    """What the whole is; its `created_start` and `created_end` are the outer edges."""
    start: int | None = None
    """The first second that it owns; None: from the whole's beginning on."""
    end: int | None = None
    """The second after the last one that it owns; None: to the whole's end."""
    total: int = field(default=0, eq=False)
    """About how many tickets it holds, by the totals of the plan."""

    def __attrs_post_init__(self) -> None:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ConfigError(f"the window's start {self.start} is not before its end {self.end}")

    @property
    def asked(self) -> tuple[int | None, int | None]:
        """From which second to which one the server is asked: one more than its span on either side."""
        start, end = self.span
        return None if start is None else max(0, start - _MARGIN), None if end is None else end + _MARGIN

    @property
    def span(self) -> tuple[int | None, int | None]:
        """The first and the last second that it owns; None where nothing bounds it."""
        query = self.query
        start = query.created_start if self.start is None else self.start
        return start, query.created_end if self.end is None else self.end - 1

    def owns(self, second: int) -> bool:
        """Tell whether a ticket that was created in this second is one of this window."""
        start, end = self.span
        return (start is None or second >= start) and (end is None or second <= end)


WhatToWalk: TypeAlias = TicketQuery | Window
"""A list, or a window of it."""


def window_of(query: WhatToWalk) -> Window:
    """Return the window to walk. Raises `ConfigError` for what is neither a query nor a window."""
    if isinstance(query, Window):
        return query
    if isinstance(query, TicketQuery):
        return Window(query)
    raise ConfigError(f"query must be a TicketQuery or a Window, not a {type(query).__name__}")

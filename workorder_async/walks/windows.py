"""A part of a list by created time, with an owner for every second: what a window gives depends on no other window."""

from attrs import evolve, field, frozen

from workorder_async.errors import ConfigError
from workorder_async.models import TicketQuery

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
    def asked(self) -> TicketQuery:
        """What to ask the server for: a second more at each inner edge."""
        query = self.query
        start = query.created_start if self.start is None else max(0, self.start - _MARGIN)
        end = query.created_end if self.end is None else self.end + _MARGIN
        return evolve(query, created_start=start, created_end=end)

    @property
    def is_whole(self) -> bool:
        """Whether it is all of its query."""
        return self.start is None and self.end is None

    @property
    def span(self) -> tuple[int | None, int | None]:
        """The seconds between which its tickets lie, both included; None where nothing bounds them."""
        query = self.query
        start = query.created_start if self.start is None else self.start
        return start, query.created_end if self.end is None else self.end - 1

    def owns(self, created_time: int | None) -> bool:
        """Tell whether a ticket is this window's; one whose time cannot be read is every window's that shows it."""
        if created_time is None:
            return True
        return (self.start is None or created_time >= self.start) and (self.end is None or created_time < self.end)

    def is_asked_for(self, created_time: int) -> bool:
        """Tell whether the server was asked for such a ticket."""
        after = self.start is None or created_time >= self.start - _MARGIN
        return after and (self.end is None or created_time <= self.end + _MARGIN)

    def part(self, start: int | None, end: int | None, total: int) -> "Window":
        """Return the window between two seconds of this one; None for its own edge."""
        return Window(self.query, self.start if start is None else start, self.end if end is None else end, total)

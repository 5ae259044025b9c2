"""How to walk: the keyword arguments of `walk`, `iter_pages` and `iter_tickets`."""

from typing import Literal, TypedDict

from workorder_async.errors import ConfigError

#: Tickets in a window at the most, and how many windows' worth a list must hold to be cut without being asked.
WINDOW_TICKETS = 5000
WINDOWS_WORTH = 2


class WalkOptions(TypedDict, total=False):
    """How to walk; the keyword arguments of `walk`, `iter_pages` and `iter_tickets`."""

    page_size: int
    """Rows to ask for per page (100); the server may give fewer."""
    concurrency: int
    """Requests in flight at the most (8); four times as many pages are held at the most."""
    window: int | None
    """Tickets in one window of created time at the most, but a page at least; 0 for no windows; None (the default) for
    windows of 5000 in lists of more than 10,000, and where the server refuses deep pages."""
    ordered: bool
    """Whether windows come one after the other (True), in the direction of the list, or as they come."""
    freeze: bool
    """Whether tickets created after the walk began stay out (True)."""
    verify: bool
    """Whether to go over the list until a pass finds nothing new (False)."""
    max_passes: int
    """Passes to verify at the most (5), the first included."""
    on_bad_row: Literal["raise", "skip"]
    """What to do with a row that cannot be read: end the walk with a `DecodeError` ("raise"), or leave it out and name
    it in `report.skipped` ("skip")."""


def check_windows(window: int | None, *, freeze: bool) -> None:
    """Raise `ConfigError` for a size of windows that cannot work."""
    if window is not None and (isinstance(window, bool) or not isinstance(window, int) or window < 0):
        raise ConfigError(f"window is {window!r}; it must be a number of tickets, 0 for no windows, or None")
    if window and not freeze:
        raise ConfigError("window needs freeze=True: windows end where the walk began")

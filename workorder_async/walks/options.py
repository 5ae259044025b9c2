"""How to walk: the keyword arguments of `walk`, `iter_pages` and `iter_tickets`."""

from collections.abc import Collection, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from attrs import field, fields_dict, frozen

from workorder_async.arguments import as_validator, is_whole, one_of, unknown_name, whole
from workorder_async.errors import ConfigError
from workorder_async.models import TicketQuery

if TYPE_CHECKING:
    from attrs import Attribute

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


def refuse_unknown(options: Iterable[str], known: Collection[str], owner: str = "a walk") -> None:
    """Raise `TypeError` for an option that does not exist, and say what would be right; filters belong elsewhere."""
    for name in options:
        if name not in known and name in fields_dict(TicketQuery):
            raise TypeError(
                f"{name!r} is a filter: write it as TicketQuery({name}=...), as in iter_tickets(TicketQuery(status=3))"
            )
    if wrong := unknown_name(f"{owner} has no option", options, known):
        raise TypeError(wrong)


def _tickets(instance: "WalkSettings", attribute: "Attribute[Any]", value: int | None) -> None:
    if value is not None and (not is_whole(value) or value < 0):
        raise ConfigError(f"window is {value!r}; it must be a number of tickets, 0 for no windows, or None")
    if value and not instance.freeze:
        raise ConfigError("window needs freeze=True: windows end where the walk began")


def _what_to_do(instance: object, attribute: "Attribute[Any]", value: str) -> None:
    one_of(attribute.name, value, ("raise", "skip"))


@frozen(kw_only=True)
class WalkSettings:
    """The same with their defaults, and what of them cannot work."""

    page_size: int = 100  # checked with the first page
    concurrency: int = field(default=8, validator=as_validator(whole))
    freeze: bool = True
    window: int | None = field(default=None, validator=_tickets)
    ordered: bool = True
    verify: bool = False
    max_passes: int = field(default=5, validator=as_validator(partial(whole, at_least=2)))
    on_bad_row: Literal["raise", "skip"] = field(default="raise", validator=_what_to_do)

    @property
    def skips_bad_rows(self) -> bool:
        """Whether a row that cannot be read is left out."""
        return self.on_bad_row == "skip"

    @property
    def window_tickets(self) -> int:
        """How many tickets a window holds at the most: below a page it would cost more to find than to read."""
        return max(self.window, self.page_size) if self.window else WINDOW_TICKETS

    @property
    def tickets_uncut(self) -> int:
        """How many tickets a list may hold that is not cut."""
        return WINDOW_TICKETS * WINDOWS_WORTH if self.window is None else self.window_tickets

"""How to walk: the keyword arguments of `walk`, `iter_pages` and `iter_tickets`."""

from collections.abc import Collection, Iterable
from functools import partial
from typing import Annotated, Final, Literal, TypedDict, Unpack

from attrs import fields_dict

from workorder_async.arguments import Option, one_of, unknown_name, whole, whole_within, with_defaults
from workorder_async.document import TicketQuery

#: In fewer rows an order cannot be seen, and too many of them come again.
LEAST_ROWS: Final = 20
a_page_size: Final = partial(whole_within, low=1, high=2**31 - 1)


class WalkOptions(TypedDict, total=False):
    """How to walk; the keyword arguments of `walk`, `iter_pages` and `iter_tickets`."""

    page_size: Annotated[int, Option(100, a_page_size)]
    """Tickets in a page, at the most (100). At least 20 are asked for at once: neighbouring answers share some."""
    concurrency: Annotated[int, Option(8, whole)]
    """Requests in flight at the most (8)."""
    on_bad_row: Annotated[Literal["raise", "skip"], Option("raise", partial(one_of, words=("raise", "skip")))]
    """What to do with a row that cannot be read: end the walk with a `DecodeError` ("raise"), or leave it out and name
    it in `report.skipped` ("skip")."""


def walk_options(**options: Unpack[WalkOptions]) -> WalkOptions:
    """Return all options of a walk: those that are given, checked, and the defaults of the others.

    Raises `TypeError` for an option that does not exist, `ConfigError` for a value that cannot work.
    """
    refuse_unknown(options, WalkOptions.__annotations__)
    return with_defaults(WalkOptions, options)


def refuse_unknown(options: Iterable[str], known: Collection[str], owner: str = "a walk") -> None:
    """Raise `TypeError` for an option that does not exist, and say what would be right; filters belong elsewhere."""
    for name in options:
        if name not in known and name in fields_dict(TicketQuery):
            raise TypeError(
                f"{name!r} is a filter: write it as TicketQuery({name}=...), as in iter_tickets(TicketQuery(status=3))"
            )
    if wrong := unknown_name(f"{owner} has no option", options, known):
        raise TypeError(wrong)

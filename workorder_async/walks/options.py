"""How to walk: the keyword arguments of `walk`, `iter_pages` and `iter_tickets`."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from attrs import field, fields_dict, frozen

from workorder_async.arguments import as_validator, one_of, unknown_name, whole
from workorder_async.document import TicketQuery

if TYPE_CHECKING:
    from attrs import Attribute


#: In fewer rows an order cannot be seen, and too many of them come again.
LEAST_ROWS: Final = 20


class WalkOptions(TypedDict, total=False):
    """How to walk; the keyword arguments of `walk`, `iter_pages` and `iter_tickets`."""

    page_size: int
    """Tickets in a page, at the most (100). At least 20 are asked for at once: neighbouring answers share some."""
    concurrency: int
    """Requests in flight at the most (8)."""
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


def _what_to_do(instance: object, attribute: "Attribute[Any]", value: str) -> None:
    one_of(attribute.name, value, ("raise", "skip"))


@frozen(kw_only=True)
class WalkSettings:
    """The same with their defaults, and what of them cannot work."""

    page_size: int = field(default=100, validator=as_validator(whole))
    concurrency: int = field(default=8, validator=as_validator(whole))
    on_bad_row: Literal["raise", "skip"] = field(default="raise", validator=_what_to_do)

    @property
    def rows_asked(self) -> int:
        """How many rows a request asks for."""
        return max(self.page_size, LEAST_ROWS)

    @property
    def skips_bad_rows(self) -> bool:
        """Whether a row that cannot be read is left out."""
        return self.on_bad_row == "skip"

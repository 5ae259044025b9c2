"""How to mirror: the keyword arguments of `mirror_tickets` and `watch`."""

from collections.abc import Callable
from functools import partial
from os import PathLike
from typing import Annotated, TypedDict

from workorder_async.arguments import Option, flag, must_be, number_within, path, whole, with_defaults
from workorder_async.mirror.report import MirrorProgress
from workorder_async.walks.options import a_page_size, refuse_unknown


class MirrorOptions(TypedDict, total=False):
    """How to mirror; the keyword arguments of `mirror_tickets`."""

    lag: Annotated[float, Option(120.0, partial(number_within, low=0, high=1e9))]
    """How many seconds a new ticket may take until the list shows it (120)."""
    detail: Annotated[bool, Option(False, flag)]
    """Whether the full record of each ticket is read when it is new or has changed, one request each (False)."""
    recheck: Annotated[int, Option(0, partial(whole, at_least=0))]
    """How many full records of open tickets are read again in each run, those that are the oldest (0)."""
    attachments: Annotated[str | PathLike[str] | None, Option(None, path)]
    """A folder for the attachments; full records are read then, too (None)."""
    private_addresses: Annotated[bool, Option(False, flag)]
    """Whether attachments may come from this machine and from private networks (False: only if they are at the host and
    port of the platform itself)."""
    full: Annotated[bool, Option(False, flag)]
    """Whether every ticket is read, and what differs is written (False: only in the first run)."""
    accept_gone: Annotated[bool, Option(False, flag)]
    """Whether tickets that are not shown any more are marked, however many they are (False)."""
    on_progress: Annotated[
        Callable[[MirrorProgress], None] | None, Option(None, must_be("a function, or None", callable))
    ]
    """Told how far it is, once a page at the most, in the event loop."""
    page_size: Annotated[int, Option(100, a_page_size)]
    """Tickets to ask for per request (100)."""
    concurrency: Annotated[int, Option(8, whole)]
    """Requests in flight at once, at the most (8)."""


def checked(given: MirrorOptions) -> MirrorOptions:
    """Return all options, checked; `detail` is set if something needs it."""
    refuse_unknown(given, MirrorOptions.__annotations__, "a mirror")
    options = with_defaults(MirrorOptions, given)
    options["detail"] = options["detail"] or options["attachments"] is not None or options["recheck"] > 0
    return options

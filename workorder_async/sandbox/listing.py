"""How list_tickets pages: how many rows, how deep, which total, in which order where the order is open."""

import random

from workorder_async.document import JSON
from workorder_async.sandbox import shapes
from workorder_async.sandbox.arguments import check_whole
from workorder_async.sandbox.drift import Drifting
from workorder_async.sandbox.errnos import Errno, Refused
from workorder_async.sandbox.faults import Fault
from workorder_async.sandbox.rules import Fields
from workorder_async.sandbox.store import Store

_ANYTHING = 2**63 - 1


class Listing:
    """What one sandbox allows of its list, and what drifts between two reads of it.

    size_cap    the most rows of a page
    depth       how many rows of a list can be reached: a page that goes further is refused; None: all
    total_cap   no total says more; None: each one is true
    ties        tickets of one second come in another order with each page, by the `seed`

    Raises `ConfigError` that names the argument.
    """

    def __init__(
        self, drifting: Drifting, seed: int, size_cap: int, depth: int | None, total_cap: int | None, *, ties: bool
    ) -> None:
        check_whole("page_size_cap", size_cap, 1, 10**6)
        if depth is not None:
            check_whole("page_depth", depth, 1, _ANYTHING)
        if total_cap is not None:
            check_whole("total_cap", total_cap, 0, _ANYTHING)
        self._drifting = drifting
        self._size_cap = size_cap
        self._depth = depth
        self._total_cap = total_cap
        self._ties = random.Random(f"ties {seed}") if ties else None  # noqa: S311 - to be repeated, not a secret

    def page(self, store: Store, fields: Fields, lie: Fault | None) -> JSON:
        """Return `data` of a checked request, true or with a lie; belongs to the store's thread."""
        size = min(fields["page_size"], self._size_cap)
        if lie is not None and lie.kind == "first_page":
            fields = {**fields, "page": 1}
        if self._depth is not None and fields["page"] * size > self._depth:
            raise Refused(Errno.PAGE_DEPTH, f"只能读取前 {self._depth} 条, 第 {fields['page']} 页超出范围")
        total, rows = store.page(fields, size, self._ties)
        tickets = [shapes.summary(row) for row in rows]
        self._drifting.after_read(store)
        if self._total_cap is not None:
            total = min(total, self._total_cap)
        pagination = {"page_size": size, "total": total}
        if lie is not None:
            _tell(lie, pagination, tickets)
        return {"pagination": {**pagination}, "tickets": [*tickets]}


def _tell(lie: Fault, pagination: dict[str, int], tickets: list[dict[str, JSON]]) -> None:
    if lie.kind in pagination:
        pagination[lie.kind] = lie.number
    if lie.kind == "bad_row" and tickets:
        tickets[len(tickets) // 2]["created_time"] = [1]

"""The tickets that a walk has given out."""

from array import array
from collections.abc import Sequence

from attrs import Factory, define

from workorder_async.walks.pages import Record


@define
class GivenTickets:
    """The ids of the tickets that were given out, eight bytes each, until `tell_apart` needs a set of them.

    As long as the list is read in one way, the rules give no ticket twice, and nothing is looked up.
    """

    count: int = 0
    """How many tickets were given out."""
    _ledger: "array[int]" = Factory(lambda: array("q"))
    _ids: set[int] | None = None

    @property
    def are_told_apart(self) -> bool:
        """Whether `tell_apart` was called."""
        return self._ids is not None

    def tell_apart(self) -> None:
        """From now on, tell by the id whether a ticket was given out before: the list is read anew in another way."""
        if self._ids is None:
            self._ids, self._ledger = set(self._ledger), array("q")

    def only_new(self, rows: Sequence[Record], ids: list[int]) -> tuple[Sequence[Record], list[int]]:
        """Return the rows that were not given out before, and their ids; until `tell_apart`, these are all rows."""
        if self._ids is None:
            self._ledger.extend(ids)
        else:
            new = [place for place, id in enumerate(ids) if id not in self._ids]
            rows, ids = [rows[place] for place in new], [ids[place] for place in new]
            self._ids.update(ids)
        self.count += len(ids)
        return rows, ids

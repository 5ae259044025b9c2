"""Which rows of a window's page are given out: those that it owns, and of those none that came before a cut."""

from collections.abc import Iterable

from workorder_async.models.readings import SECONDS_END
from workorder_async.walks.account import Account
from workorder_async.walks.freezing import created_time
from workorder_async.walks.handing_out import WalkedPage
from workorder_async.walks.windows import Window

_FILTER_DIFFERS = "the server's filter by created time and the times that it shows differ"


class Owning:
    """Leaves out what another window gives, and remembers the few tickets that no window alone can tell."""

    def __init__(self) -> None:
        # Tickets given out by a walk that was left for a cut, and those of which the owner is not known.
        self._given: set[int] = set()
        self._strangers: set[int] = set()

    def note_given(self, ids: Iterable[int]) -> None:
        """Note what a walk had given out before its list was cut."""
        self._given.update(ids)

    def keep(self, window: Window, page: WalkedPage, account: Account, neighbours: set[int]) -> int:
        """Leave only what is to be given out on a page; return how many rows had been given out before.

        What belongs to a neighbour is left out, and its id added to `neighbours`.
        """
        if not window.is_whole:
            self._leave_owned(window, page, account, neighbours)
        if self._given.isdisjoint(page.ids):
            return 0
        before = len(page.ids)
        _leave(page, [index for index, id in enumerate(page.ids) if id not in self._given])
        return before - len(page.ids)

    def _leave_owned(self, window: Window, page: WalkedPage, account: Account, neighbours: set[int]) -> None:
        times = [row.get("created_time") for row in page.rows]
        plain = [time for time in times if type(time) is int and time < SECONDS_END]
        if len(plain) == len(times) and window.owns(min(plain)) and window.owns(max(plain)):
            return
        kept = []
        for index, (row, id) in enumerate(zip(page.rows, page.ids, strict=True)):
            time = created_time(row)
            if time is not None and window.owns(time):
                kept.append(index)
            elif time is None or not window.is_asked_for(time):
                # Its owner may not be shown it: it is given out by whoever is shown it first.
                if time is not None:
                    account.flaw = _FILTER_DIFFERS
                if id not in self._strangers:
                    self._strangers.add(id)
                    kept.append(index)
            else:
                neighbours.add(id)
        _leave(page, kept)


def _leave(page: WalkedPage, kept: list[int]) -> None:
    if len(kept) < len(page.ids):
        page.rows, page.ids = [page.rows[index] for index in kept], [page.ids[index] for index in kept]

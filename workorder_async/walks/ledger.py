"""What a walk has given out, what speaks against it, and what it is worth: counts and verdict of a `PageWalk`."""

from math import inf

from attrs import Factory, define, frozen

from workorder_async.models import TicketQuery
from workorder_async.walk_report import SKIPPED_ROWS_NAMED, SkippedRow, WalkReport

#: Caps of totals are multiples of this.
ROUND = 1000
_SETTLES = "verify=True settles it"


@frozen
class _Place:
    """A page that was given out: its number, its stride, and the total that it came with."""

    number: int
    stride: int
    total: int


@define(eq=False)
class Ledger:
    """The tickets that were given out, pass by pass, the totals seen on the way, and the flaws."""

    # Each ticket given out, with its place in `places`; -1 where that tells nothing.
    seen: dict[int, int] = Factory(dict)
    places: list[_Place] = Factory(list)
    pages: int = 0
    duplicates: int = 0
    drifts: int = 0
    repaired: int = 0
    requests: int = 0
    first_total: int = -1
    last_total: int = -1
    low: float = inf
    high: int = -1
    #: The first page that was given out held the whole list, and no other page held anything.
    one_page: bool = False
    entered: bool = False
    flaws: list[str] = Factory(list)
    skipped: list[SkippedRow] = Factory(list)
    skipped_rows: int = 0
    passes: int = 1
    verified: bool = False
    # Of the present pass: the tickets that were given out in it, and those that came (not kept in the first one, where
    # both are those seen), how many of them were new, its largest total, and the flaws before it.
    _in_pass: set[int] = Factory(set)
    _arrived: set[int] = Factory(set)
    found: int = 0
    _repeated_in_pass: bool = False
    _total_of_pass: int = -1
    _flaws_before: int = 0

    def note_total(self, total: int, low: float) -> None:
        """Take in the total of an answer; `low` is the smallest that was known when it was asked for."""
        if total > low:
            self.entered = True
        self.low = min(self.low, total)
        self.high = max(self.high, total)
        self.last_total = total
        self._total_of_pass = max(self._total_of_pass, total)
        if self.first_total < 0:
            self.first_total = total

    def flaw(self, words: str) -> None:
        """Note once what speaks against the walk."""
        if words not in self.flaws:
            self.flaws.append(words)

    def is_new(self, ids: list[int]) -> bool:
        """Tell whether any of these tickets, which have just come, had not come in this pass."""
        if not ids:
            return False
        if self.passes == 1:
            return ids[0] not in self.seen or not all(id in self.seen for id in ids)
        before = len(self._arrived)
        self._arrived.update(ids)
        return len(self._arrived) > before

    def have_come(self, ids: list[int]) -> bool:
        """Tell whether all of these tickets were given out, or in a pass to verify, have come in that pass."""
        known = self.seen if self.passes == 1 else self._arrived
        return all(id in known for id in ids)

    def place(self, number: int, stride: int, total: int, count: int) -> int:
        """Note a page that is given out, and return its place for `admit`; -1 in a pass to verify."""
        self.pages += 1
        self.one_page = (self.pages == 1 and total <= count and not self.seen) or (self.one_page and not count)
        if self.passes > 1:
            return -1
        self.places.append(_Place(number, stride, total))
        return len(self.places) - 1

    def admit(self, ids: list[int], place: int = -1) -> dict[int, int] | None:
        """Note tickets that are given out; None where all are new, else the new ones with their index in `ids`."""
        if self.passes > 1:
            self._note_pass(ids)
        places = dict.fromkeys(ids, place)
        fresh = None
        if len(places) < len(ids) or not self.seen.keys().isdisjoint(ids):
            if place >= 0:
                self._note_impossible_repeats(ids, place)
            fresh = {id: index for index, id in enumerate(ids) if id not in self.seen}
            self.duplicates += len(ids) - len(fresh)
            places = dict.fromkeys(fresh, place)
        self.seen |= places
        self.found += len(places)
        return fresh

    def _note_pass(self, ids: list[int]) -> None:
        if not self._in_pass.isdisjoint(ids):
            self._repeated_in_pass = True
        self._in_pass.update(ids)

    def _note_impossible_repeats(self, ids: list[int], place: int) -> None:
        """Notice repeats that a list which only loses rows, and keeps its order, does not show.

        A row of it never moves to a later page, and to an earlier one only as far as the total falls.
        """
        here = self.places[place]
        if len(set(ids)) < len(ids):
            self.flaw("a page held a ticket twice")
        for id in ids:
            there = self.places[self.seen[id]] if self.seen.get(id, -1) >= 0 else here
            if there.stride != here.stride or there.number == here.number:
                continue
            early, late = (there, here) if there.number < here.number else (here, there)
            pages_between = late.number - early.number - 1
            if late.total - early.total <= pages_between * here.stride:
                self.entered = True

    def note_order(self, ids: list[int], first_place: int) -> None:
        """Notice, of a page that is read on the way to the front, a new row behind one that came on the same way.

        `first_place` is the place of the way's first page. All that stands behind its rows had come with them, where
        the page was read after all of that.
        """
        behind = False
        for id in ids:
            place = self.seen.get(id)
            if place is None and behind:
                self.flaw("the order of the list is not stable")
            behind = behind or (place is not None and place >= first_place)

    def skip(self, skipped: list[SkippedRow]) -> None:
        """Note rows that could not be read."""
        self.skipped_rows += len(skipped)
        self.skipped += skipped[: SKIPPED_ROWS_NAMED - len(self.skipped)]

    def end_pass(self, totals_wrong: bool) -> bool:
        """Tell whether the pass that has ended verifies the walk.

        A pass without news is not enough: it may miss what the others missed. It must have shown as many tickets as
        its totals said, or all passes together exactly as many where no total ever moved. Where the totals are wrong it
        must have shown every ticket that is known, each once.
        """
        if self.passes < 2 or self.found or len(self.flaws) > self._flaws_before or self.skipped_rows:
            return False
        if totals_wrong:
            self.verified = not self._repeated_in_pass and len(self._in_pass) == len(self.seen)
        else:
            still = self.low == self.high == len(self.seen)
            self.verified = still or len(self._in_pass) >= self._total_of_pass
        return self.verified

    def begin_pass(self) -> None:
        """Begin to count anew what comes in a pass."""
        self.passes += 1
        self.found, self._total_of_pass, self._flaws_before = 0, -1, len(self.flaws)
        self._in_pass, self._arrived, self._repeated_in_pass = set(), set(), False

    def report(self, query: TicketQuery, *, finished: bool, leak: str) -> WalkReport:
        """Return the walk so far."""
        exact, reason = self.verdict(query, finished=finished, leak=leak)
        return WalkReport(
            requests=self.requests,
            pages=self.pages,
            tickets=len(self.seen),
            duplicates=self.duplicates,
            drifts=self.drifts,
            repaired=self.repaired,
            passes=self.passes,
            first_total=self.first_total,
            last_total=self.last_total,
            exact=exact,
            reason=reason,
            skipped=tuple(self.skipped),
            skipped_rows=self.skipped_rows,
        )

    def verdict(self, query: TicketQuery, *, finished: bool, leak: str) -> tuple[bool, str]:
        """Return whether every ticket that matched all along came exactly once, and why that is known, or is not.

        `leak` says how tickets that are created later may enter; "" where they stay out.
        """
        given = len(self.seen)
        for holds, exact, reason in (
            (not finished, False, "not finished"),
            (self.skipped_rows > 0, False, f"{self.skipped_rows} rows could not be read, and were skipped"),
            (self.verified, True, "verified"),
            (bool(self.flaws), False, "; ".join(self.flaws)),
            (self.one_page, True, "one page, read at once"),
            (bool(leak), False, f"{leak}; {_SETTLES}"),
            (self.entered, False, f"tickets entered the list, or its order changed; {_SETTLES}"),
            (given < self.low, False, f"fewer tickets came than the total says; {_SETTLES}"),
            (given > self.high, False, f"more tickets came than the total says; {_SETTLES}"),
            (
                self.low < self.high and self.high % ROUND == 0,
                False,
                f"the total may be capped at {self.high}; {_SETTLES}",
            ),
            (not never_changes(query), False, f"{_seen(self.drifts)}, but {_ASSUMED}; {_SETTLES}"),
        ):
            if holds:
                return exact, reason
        return True, _seen(self.drifts)


_ASSUMED = "tickets may have left and entered this filter at once"


def _seen(drifts: int) -> str:
    return "frozen, drift repaired" if drifts else "frozen, no drift"


def never_changes(query: TicketQuery) -> bool:
    """Tell whether a ticket that does not match now never will: only who created a ticket, and when, is never edited.

    Status, types, product lines and the customer's name are changed by people, and back again.
    """
    return query == TicketQuery(
        created_start=query.created_start, created_end=query.created_end, creator_id=query.creator_id
    )

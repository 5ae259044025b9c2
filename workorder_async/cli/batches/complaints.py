"""Errors of many tickets, equal ones said once with their count."""

import re
from collections.abc import Iterator
from typing import Final

from attrs import define, field

from workorder_async.cli.failures import sentence
from workorder_async.errors import WorkorderError

_NAMED: Final = 3
_MOST: Final = 1000
# Where the time of a call went is another tenth of a second each time.
_SECONDS: Final = re.compile(r"\d+\.\d+ s\b")


@define
class _Complaint:
    sentence: str
    ids: list[int] = field(factory=list)
    count: int = 0


@define
class Complaints:
    """What was complained of, in the order in which it first came; of different errors the first thousand are kept."""

    _all: list[_Complaint] = field(factory=list)
    _by_text: dict[tuple[type, str], _Complaint] = field(factory=dict)
    _dropped: int = 0

    def add(self, id: int, error: WorkorderError) -> None:
        """Note the error of a ticket. It equals another one if but the tickets' numbers and seconds differ."""
        text = _SECONDS.sub("", error.message)
        # The number may also stand there by chance, as in an address: the text as it is comes first.
        keys = [(type(error), text), (type(error), re.sub(rf"(?<!\d){id}(?!\d)", "#", text))]
        found = next((self._by_text[key] for key in keys if key in self._by_text), None)
        if found is None:
            if len(self._all) == _MOST:
                self._dropped += 1
                return
            found = _Complaint(sentence(error))
            self._all.append(found)
            self._by_text |= dict.fromkeys(keys, found)
        found.count += 1
        if len(found.ids) < _NAMED:
            found.ids.append(id)

    def lines(self) -> Iterator[str]:
        """Yield a line for each error: whose it is, and the sentence of the first."""
        for one in self._all:
            more = f" and {one.count - len(one.ids):,} more" if one.count > len(one.ids) else ""
            yield f"ticket{'s' if one.count > 1 else ''} {', '.join(map(str, one.ids))}{more}: {one.sentence}"
        if self._dropped:
            yield f"... and {self._dropped:,} more"

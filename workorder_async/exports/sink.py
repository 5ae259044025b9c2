"""Where rows go: the two protocols that every format keeps, one for files that grow, one for a database.

A file grows by bytes that its sink makes. Whoever writes them appends what `begin` gave to an empty file, then for each
part what `encode` gave for each page and what `end_part` gave, and makes that durable. Cut at the end of a part,
the file can be gone on with by another sink, whose `begin` is not asked. A database keeps the parts by itself.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from workorder_async.document import TicketDetail, TicketSummary
from workorder_async.document.codec import Row
from workorder_async.exports.texts import TextChanges

Record: TypeAlias = TicketSummary | TicketDetail | Row
"""A row of an export: of the model that the export is of, or in a raw export the server's object as it came."""


class Sink(Protocol):
    """Makes the bytes of a file that can be cut after every part. Used by one thread at a time."""

    @property
    def changes(self) -> TextChanges:
        """What was changed in the rows whose bytes this sink gave so far: all of them, once their part is ended."""
        ...

    def begin(self) -> bytes:
        """Return what stands in front of all parts, once; it is complete as it is."""
        ...

    def encode(self, rows: Sequence[Record]) -> bytes:
        """Return the bytes of a page of rows; some of them may come with the next page, or at the end of the part."""
        ...

    def end_part(self) -> bytes:
        """Return what ends a part: what comes after it can be read, or cut off, without what comes before."""
        ...


class Store(Protocol):
    """Keeps rows and the parts they came from in one transaction each. Used by one thread at a time.

    Raises `OSError` where the disk does not do its part.
    """

    @property
    def changes(self) -> TextChanges:
        """What was changed in the rows of the part that was begun last."""
        ...

    @property
    def finished(self) -> bool:
        """Whether `finish` came to its end, in this process or an earlier one."""
        ...

    def parts(self) -> Mapping[int, str]:
        """Return the parts that are on disk, and the note that each was committed with."""
        ...

    def begin_part(self) -> None:
        """Begin a transaction; what was written since the last commit is gone."""
        ...

    def write(self, rows: Sequence[Record]) -> None:
        """Add a page of rows; a ticket that is there already is replaced."""
        ...

    def commit(self, part: int, note: str = "") -> None:
        """Make the rows since `begin_part` durable, together with the part's number and a note of the caller's."""
        ...

    def finish(self) -> None:
        """Make it what the user asked for: indexes are added, the parts are forgotten."""
        ...

    def close(self) -> None:
        """Close it; what was not committed is gone."""
        ...

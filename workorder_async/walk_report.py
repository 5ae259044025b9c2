"""The report of a walk: its counts, and whether its result is exact."""

from attrs import frozen

#: How many skipped rows a report names; further ones are only counted.
SKIPPED_ROWS_NAMED = 1000


@frozen
class SkippedRow:
    """A row of a list that could not be read, and was left out."""

    id: int | None
    """The ticket's id; None where the id cannot be read."""
    path: str
    """Where it stood in its answer, as a JSON path ("$.data.tickets[57].created_time")."""
    expected: str
    """The type or the values that the API document has for it."""
    got: str
    """The value that came instead, as text."""


@frozen(kw_only=True)
class WalkReport:
    """The report of a walk so far; `Walk.report` makes one at any time."""

    requests: int
    """Requests made."""
    tickets: int
    """Tickets given out, each once."""
    repeats: int
    """Rows that came and were not given out: they had come before, or belonged to another section or window."""
    sections: int
    """Sections that the list was cut into, to be read side by side; 0 if it was not read in sections."""
    edges: int
    """Edges between two answers of a section, at each of which a ticket has to come again."""
    crowded_seconds: int
    """Seconds that hold more tickets than a page, and were read by page numbers."""
    first_total: int
    """How many tickets the list has, as the first answer says; -1 before that answer, and for an empty list."""
    last_total: int
    """How many tickets the list has, as the newest answer about the whole list says; -1 before the first one."""
    exact: bool
    """Whether every ticket that matched all along was given out exactly once; False if that cannot be known."""
    reason: str
    """Why the result is exact, or why not, in a few words."""
    skipped: tuple[SkippedRow, ...] = ()
    """The rows that were left out with `on_bad_row="skip"`; the first 1000 of them."""
    skipped_rows: int = 0
    """How many rows were left out with `on_bad_row="skip"`, in all."""

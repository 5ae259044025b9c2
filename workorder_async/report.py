"""What a walk has done, and whether its result is exact."""

from attrs import frozen

#: Skipped rows that a report names; more are only counted.
SKIPPED_ROWS_NAMED = 1000


@frozen
class SkippedRow:
    """A row that could not be read, and was left out of a walk with `on_bad_row="skip"`."""

    id: int | None
    """The ticket's id; None where that could not be read either."""
    path: str
    """Where the misfit stands in the answer, as a JSON path."""
    expected: str
    """What should stand there."""
    got: str
    """What stands there."""


@frozen(kw_only=True)
class WalkReport:
    """A walk so far; `Walk.report` makes one at any time."""

    requests: int
    """Requests made, those that read a page again included."""
    pages: int
    """Pages given out."""
    tickets: int
    """Tickets given out, each once."""
    duplicates: int
    """Rows dropped because their ticket had been given out."""
    drifts: int
    """Edges between two pages at which tickets may have slid past the reader."""
    repaired: int
    """Those edges that were read again and are mended."""
    passes: int
    """How often the list was walked, the present pass included."""
    first_total: int
    """Total of the first answer; -1 before it."""
    last_total: int
    """Total of the newest answer; -1 before the first."""
    exact: bool
    """Whether every ticket that matched all along was given out exactly once; False where that cannot be known."""
    reason: str
    """Why, in a few words; where it is not exact, also what would settle it."""
    skipped: tuple[SkippedRow, ...] = ()
    """The rows that were left out with `on_bad_row="skip"`; the first 1000 of them."""
    skipped_rows: int = 0
    """How many rows were left out so."""

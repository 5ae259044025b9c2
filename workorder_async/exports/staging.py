"""Formats that cannot grow: their rows are staged in another file, and converted once all of them are there.

XLSX is staged as JSON Lines, Parquet as Arrow IPC. A conversion runs in a thread, and reads the staged rows only: it
can be done again as often as it is cut short.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

from attrs import frozen

from workorder_async.document.json_text import loads
from workorder_async.exports.columns import Value
from workorder_async.exports.texts import TextChanges

#: So many rows are converted at once, or so many bytes of them as they are staged, whichever come first.
BATCH_ROWS: Final = 5_000
BATCH_BYTES: Final = 4 << 20

Progress: TypeAlias = Callable[[int], None]
"""Told how many rows are converted by now; what it raises ends the conversion, and is passed on."""


@frozen
class Converted:
    """What a conversion made."""

    rows: int
    """Rows of the file."""
    bytes: int
    """Size of the file."""
    changes: TextChanges
    """What the conversion changed, beside what was changed when the rows were staged."""


def staged_batches(staged: Path) -> Iterator[list[tuple[Value, ...]]]:
    """Yield the rows of a staged file of JSON Lines, some thousands at a time."""
    batch: list[tuple[Value, ...]] = []
    size = 0
    with staged.open("rb") as lines:
        for line in lines:
            batch.append(tuple(loads(line).values()))
            size += len(line)
            if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


@contextmanager
def written_through(target: Path) -> Iterator[BinaryIO]:
    """Open a file of this name for its owner alone, and have it on disk at the end; if that fails, it is removed."""
    try:
        with open(target, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        target.unlink(missing_ok=True)
        raise

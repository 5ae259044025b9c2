"""The lines of a journal: how they are written and read, and what a crash may have left of them.

One JSON object a line. The last member of each line is a checksum, of the line and of all lines before it. A torn last
line, as a crash leaves it, is left out. Any other line that cannot be read is an error, and so is a word that is not
known: neither ever means that something may be sent.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from zlib import crc32

from workorder_async.document import JSON
from workorder_async.document.json_text import loads, to_json
from workorder_async.errors import JournalError

VERSION = 2
INTENT = b'{"intent":'
_HEAD = b'{"journal":"workorder_async","version":'
_MARK = b',"sum":"'
SUM = _MARK + b'%08x"}\n'
SUM_SIZE = len(SUM % 0)


def line_of(value: dict[str, JSON]) -> bytes:
    """Return a line without its checksum."""
    return to_json(value) + b"\n"


def parsed(line: bytes) -> dict[str, JSON]:
    """Read a line. Raises `ValueError` or `TypeError` for one that is no object."""
    try:
        value = loads(line)
    except ValueError:
        value = json.loads(line)  # it takes the lone surrogates that to_json escapes
    if not isinstance(value, dict):
        raise TypeError("no object")
    return value


def sealed(lines: Iterable[bytes], total: int) -> tuple[bytes, int]:
    """Give lines their checksums, after lines whose checksum is `total`; return them, and the checksum of all."""
    kept = list[bytes]()
    for line in lines:
        total = crc32(line[:-2], total)
        kept.append(line[:-2] + SUM % total)
    return b"".join(kept), total


def read_lines(
    path: Path | None, lines: Iterable[bytes], take: Callable[[int, dict[str, JSON]], None]
) -> tuple[int, int]:
    """Give `take` the number and the content of every line; return the end of the last whole line, and its checksum.

    Raises `JournalError` for a line that cannot be read, or is not as it was written.
    """
    end = total = 0
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n") and _is_torn(number, line):
            break
        body, found = line[:-SUM_SIZE], line[-SUM_SIZE:]
        try:
            if number == 1:
                _check_version(path, line)
            total = crc32(body, total)
            if found != SUM % total:
                raise ValueError("another checksum")
            take(number, parsed(body + b"}"))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise JournalError(
                f"line {number} of the journal {str(path)!r} cannot be read: it was changed or damaged, or the file is "
                "no journal; nothing was sent, for what it said may have happened: restore it, or look for its "
                "mutations by hand and choose another file"
            ) from None
        end += len(line)
    return end, total


def identity_in(head: dict[str, JSON]) -> dict[str, JSON]:
    """Return which batch the first line says the journal is for."""
    return {name: value for name, value in head.items() if name not in ("journal", "version")}


def _is_torn(number: int, tail: bytes) -> bool:
    """Tell whether a tail without a line feed is what a crash left of a line.

    The tail of a first line begins as ours do. What goes on after a checksum is no tail: its line feed was damaged. (In
    a text of ours the quotes would be escaped.)
    """
    if number == 1 and tail[: len(_HEAD)] != _HEAD[: len(tail)]:
        return False
    return _MARK not in tail[: len(_MARK) - SUM_SIZE]


def _check_version(path: Path | None, line: bytes) -> None:
    """Raise `JournalError` if the first line is of another version's journal."""
    head = parsed(line)
    if head["journal"] != "workorder_async" or head["version"] != VERSION:
        raise JournalError(
            f"{str(path)!r} is a journal of another version; go on with that version, or look what became of its "
            "mutations and choose another file for the rest"
        )

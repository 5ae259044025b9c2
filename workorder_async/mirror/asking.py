"""Questions to a mirror, while a run may be writing it: its changes, and the tickets that have a text."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

from attrs import frozen

from workorder_async.arguments import has_bytes
from workorder_async.document import TicketDetail, TicketStatus, TicketSummary
from workorder_async.document.enums import OpenEnum
from workorder_async.document.fields import fields_of, iso
from workorder_async.errors import ConfigError
from workorder_async.exports.sink import INT64
from workorder_async.mirror.figures import connected, label_of

#: SQLite's trigrams find texts of three characters and more; shorter ones are looked for in each row.
_TRIGRAM: Final = 3
_FIELDS: Final = {**fields_of(TicketDetail), **fields_of(TicketSummary)}


@frozen
class SeenChange:
    """A change, for people."""

    seen_at: int
    """When a run saw it, in seconds since the epoch."""
    kind: str
    """new, changed, missing, back, left or gone."""
    ticket: int
    title: str
    field: str
    old: str
    new: str


@frozen
class Found:
    """A ticket that has a text."""

    id: int
    status: str
    created_time: int
    title: str
    text: str
    """The part of its texts where it stands."""


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a mirror for reading. Raises `ConfigError` for a file that is none, `OSError` where it cannot be opened."""
    if path.is_fifo():  # it would be waited for
        raise ConfigError(f"{str(path)!r} is a pipe, and no mirror")
    with path.open("rb"):
        pass  # SQLite does not say why it cannot
    try:
        with connected(path) as database:
            database.execute("SELECT 1 FROM changes")
            yield database
    except sqlite3.DatabaseError as error:
        mend = "name a database that `workorder mirror` or `mirror_tickets` made"
        raise ConfigError(f"{str(path)!r} is no mirror ({error})", mend=mend) from None


def changes_since(path: Path, since: int, until: int | None = None) -> list[SeenChange]:
    """Return the changes that runs saw from one second to another, both included, in order."""
    with reading(path) as database:
        rows = database.execute(
            "SELECT c.seen_at, c.kind, c.ticket, coalesce(t.title, ''), c.field, c.old, c.new "
            "FROM changes AS c LEFT JOIN tickets AS t ON t.id = c.ticket "
            "WHERE c.seen_at BETWEEN ? AND ? AND c.kind != 'gap' ORDER BY c.id",
            (since, 2**62 if until is None else until),
        ).fetchall()
    return [
        SeenChange(at, kind, ticket, title, field or "", _shown(field, old), _shown(field, new))
        for at, kind, ticket, title, field, old, new in rows
    ]


def search_tickets(path: Path, text: str, limit: int = 50) -> list[Found]:
    """Return the tickets whose title or text has all the words of a text, the newest first.

    Words are apart by blanks; capitals do not matter. Raises `ConfigError` for a text without a word, and for one that
    has no UTF-8 bytes, or a NUL.
    """
    if not has_bytes(text) or "\0" in text:
        raise ConfigError("has bytes that are no text", argument="text", mend="write it in UTF-8")
    words = text.split()
    if not words:
        raise ConfigError("is empty", argument="text", mend="write the words that tickets should have")
    long = " ".join('"{}"'.format(word.replace('"', '""')) for word in words if len(word) >= _TRIGRAM)
    short = [word.casefold() for word in words if len(word) < _TRIGRAM]

    def has_short(*texts: str) -> bool:
        folded = [text.casefold() for text in texts]
        return all(any(word in text for text in folded) for word in short)

    has_long = "id IN (SELECT rowid FROM tickets_text WHERE tickets_text MATCH ?)" if long else "? = ''"
    with reading(path) as database:
        database.create_function("has_short", 2, has_short, deterministic=True)
        rows = database.execute(
            "SELECT id, coalesce(status, status_name), created_time, title, detail FROM tickets_present "  # noqa: S608
            f"WHERE {has_long} AND has_short(title, detail) ORDER BY created_time DESC, id DESC LIMIT ?",
            (long, min(limit, INT64[-1])),
        ).fetchall()
    return [
        Found(id, label_of(TicketStatus, status), created, title, _around(detail, words))
        for id, status, created, title, detail in rows
    ]


def _around(text: str, words: Sequence[str], room: int = 60) -> str:
    """Return the part of a text around the first word that it has."""
    text = " ".join(text.split())
    place = min((at for word in words if (at := text.casefold().find(word.casefold())) >= 0), default=0)
    start = max(0, place - room // 3)
    part = text[start : start + room]
    return f"{'…' if start else ''}{part}{'…' if start + room < len(text) else ''}"


def _shown(name: str | None, value: object) -> str:
    """Write a value for people: a code by its name, a time as such."""
    field = _FIELDS.get(name or "")
    if field is not None and field.is_code and isinstance(value, int):
        return label_of(cast("type[OpenEnum]", field.kind), value)
    if field is not None and field.is_time:
        return iso(value) or ""
    return "" if value is None else str(value)

"""described.py: `help()` of every class that users import shows its fields and members with their sentences."""

import inspect
import pydoc
import re
from pathlib import Path
from pkgutil import resolve_name

import pytest

from tests.support.rows import each
from workorder_async.described import describe, fields_said
from workorder_async.document import TicketQuery, TicketStatus

FACES = ("workorder_async", "workorder_async.sandbox", "workorder_async.exports")
CLASSES = [
    pytest.param(value, id=f"{face}.{name}")
    for face in FACES
    for name in resolve_name(face).__all__
    if isinstance(value := getattr(resolve_name(face), name), type)
]
# A line of a field or member, and the text in quotes under it, however it is indented.
_SAID = re.compile(r'^    (\w+)(?::| =) .*(?:\n {8}.*|\n    [\])].*)*\n    """((?:.|\n)+?)"""', re.MULTILINE)


def plain(text: str) -> str:
    """Return a text without the bars and breaks that help sets it in."""
    return " ".join(re.sub(r"^ \| ?", "", text, flags=re.MULTILINE).split())


@each("kind", CLASSES)
def test_help_says_all(kind: type) -> None:
    """Every sentence under a field or member stands in `help()`, after the class's own."""
    source = Path(inspect.getsourcefile(kind) or "").read_text("utf-8")
    body = re.split(rf"^class {kind.__name__}\b", source, flags=re.MULTILINE)[1]
    body = re.split(r"^\S", body.partition("\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    shown = plain(pydoc.plain(pydoc.render_doc(kind)))
    said = {name: plain(text) for name, text in _SAID.findall(body)}
    assert {name for name, text in said.items() if f"{name} {text}" not in shown} == set()
    assert set(said) == set(fields_said(kind))
    assert plain(str(kind.__doc__)).startswith(plain(inspect.cleandoc(str(kind.__doc__).partition("\n\n")[0])))


def test_what_is_shown() -> None:
    """The sentences are there, and the docstring's own before them; an instance says the same."""
    doc = str(TicketQuery.__doc__)
    assert doc.startswith("Which tickets: the filters of TicketListThirdRequest.")
    assert "\n\nFields and members:\n\ncreated_start\n    Created at or after, in seconds" in doc
    assert TicketQuery().__doc__ == doc
    assert "PENDING\n    Nobody has begun (待处理)." in str(TicketStatus.__doc__)


def test_described_once() -> None:
    """A class that is loaded from two places tells its fields once; what has none is left as it is."""
    before = TicketQuery.__doc__
    describe(TicketQuery)
    assert TicketQuery.__doc__ == before

    class Bare:
        """Nothing."""

    Bare.__module__ = "workorder_async.described"
    describe(Bare)
    assert Bare.__doc__ == "Nothing."

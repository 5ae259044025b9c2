"""How long a function may be. Files and classes are as large as their thought; a longer function has two of them.

Lines are counted as they stand, docstrings and comments among them, decorators not.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import workorder_async

FOLDER = Path(str(workorder_async.__file__)).parent
LONGEST_FUNCTION = 45


def too_long(source: str) -> Iterator[str]:
    """Yield the functions of a file's text that are too long, with how many lines they have and may have."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if lines > LONGEST_FUNCTION:
                yield f"{node.name}: {lines} lines of {LONGEST_FUNCTION}"


def test_sizes() -> None:
    """No function of the package is too long."""
    assert [(path, why) for path in FOLDER.rglob("*.py") for why in too_long(path.read_text("utf-8"))] == []


def of_lines(head: str, lines: int, indent: str = "    ") -> str:
    """Make a class or a function of so many lines."""
    return f"{head}\n" + f"{indent}x = 1\n" * (lines - 1)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (of_lines("class Ticket:", 900), []),
        (of_lines("def read():", 45), []),
        (of_lines("def read():", 46), ["read: 46 lines of 45"]),
        (of_lines("async def read():", 46), ["read: 46 lines of 45"]),
        (of_lines("@cached\ndef read():", 45), []),
        ("class Ticket:\n" + of_lines("    def read():", 46, " " * 8), ["read: 46 lines of 45"]),
        ("def outer():\n" + of_lines("    def inner():", 45, " " * 8), ["outer: 46 lines of 45"]),
    ],
)
def test_what_is_too_long(source: str, found: list[str]) -> None:
    """The longest that may be passes, one line more does not."""
    assert list(too_long(source)) == found

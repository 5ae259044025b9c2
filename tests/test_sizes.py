"""How long a class, a function and a file may be: what is longer has two subjects, and is cut.

A file may be longer where the docstring at its head states why, on a line that begins with "Long because". Lines are
counted as they stand, docstrings and comments among them, decorators not.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import workorder_async

FOLDER = Path(str(workorder_async.__file__)).parent
LONGEST_CLASS = 250
LONGEST_FUNCTION = 45
LONGEST_FILE = 350


def too_long(source: str) -> Iterator[str]:
    """Yield what is too long in a file's text, with how many lines it has and may have."""
    tree = ast.parse(source)
    lines = len(source.splitlines())
    if lines > LONGEST_FILE and not re.search(r"^Long because \w", ast.get_docstring(tree) or "", re.MULTILINE):
        yield f"the file: {lines} lines of {LONGEST_FILE}"
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            kind, most = "class", LONGEST_CLASS
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            kind, most = "function", LONGEST_FUNCTION
        else:
            continue
        lines = (node.end_lineno or 0) - node.lineno + 1
        if lines > most:
            yield f"{kind} {node.name}: {lines} lines of {most}"


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_sizes(path: Path) -> None:
    """Nothing in the package's files is too long."""
    assert list(too_long(path.read_text("utf-8"))) == []


def of_lines(head: str, lines: int, indent: str = "    ") -> str:
    """Make a class or a function of so many lines."""
    return f"{head}\n" + f"{indent}x = 1\n" * (lines - 1)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (of_lines("class Ticket:", 250), []),
        (of_lines("class Ticket:", 251), ["class Ticket: 251 lines of 250"]),
        (of_lines("def read():", 45), []),
        (of_lines("def read():", 46), ["function read: 46 lines of 45"]),
        (of_lines("async def read():", 46), ["function read: 46 lines of 45"]),
        (of_lines("@cached\ndef read():", 45), []),
        ("class Ticket:\n" + of_lines("    def read():", 46, " " * 8), ["function read: 46 lines of 45"]),
        ("def outer():\n" + of_lines("    def inner():", 45, " " * 8), ["function outer: 46 lines of 45"]),
        (of_lines('"""A table."""', 350, ""), []),
        (of_lines('"""A table."""', 351, ""), ["the file: 351 lines of 350"]),
        (of_lines('"""A table.\n\nLong because it is one table.\n"""', 400, ""), []),
        (of_lines('"""Not Long because of anything."""', 351, ""), ["the file: 351 lines of 350"]),
        (of_lines('"""A table.\n\nLong because\n"""', 351, ""), ["the file: 354 lines of 350"]),
        (of_lines("# Long because it is one table.", 351, ""), ["the file: 351 lines of 350"]),
        ('"""A table.\n\nLong because it is one.\n"""\n' + of_lines("def f():", 400), ["function f: 400 lines of 45"]),
    ],
)
def test_what_is_too_long(source: str, found: list[str]) -> None:
    """The longest that may be passes, one line more does not; only a file's own docstring excuses the file alone."""
    assert list(too_long(source)) == found

"""The text that `help()` shows of a class: its docstring, and the docstrings under its fields and members.

Python does not keep a docstring under a field. So these are read from the source file, when the text is asked for.
"""

import ast
import inspect
import sys
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from textwrap import indent


class _Described:
    """A descriptor for `__doc__` that makes the docstring of a class when it is read."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __get__(self, instance: object, owner: type) -> str:
        """Return the docstring with the fields of the class, and those that it inherits."""
        said: dict[str, str] = {}
        for kind in reversed(owner.__mro__):
            if kind.__module__.startswith(f"{__package__}."):
                said |= fields_said(kind)
        lines = [f"{name}\n{indent(text, '    ')}" for name, text in said.items()]
        head = ["Fields and members:"] if said else []
        return "\n\n".join([inspect.cleandoc(self._text), *head, *lines])


@cache
def describe(kind: type) -> None:
    """Add the docstrings under a class's fields and members to the docstring of the class."""
    if isinstance(text := vars(kind).get("__doc__"), str):
        said = _Described(text)
        # A class whose metaclass has a docstring, such as an enumeration: there `help` takes a plain text only.
        kind.__doc__ = said if type(kind) is type else said.__get__(None, kind)  # type: ignore[assignment]


def fields_said(kind: type) -> Mapping[str, str]:
    """Return the docstrings under the fields and members in the source of a class, by name; {} without a source."""
    found = {}
    for line, text in pairwise(_bodies(kind.__module__).get(kind.__name__, ())):
        match line, text:
            case (
                ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str() as said)),
            ):
                found[name] = inspect.cleandoc(said)
    return found


@cache
def _bodies(module: str) -> Mapping[str, list[ast.stmt]]:
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, TypeError):
        return {}
    return {part.name: part.body for part in tree.body if isinstance(part, ast.ClassDef)}

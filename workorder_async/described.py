"""The text that `help()` shows of a class: its docstring, and the sentences under its fields and members.

Python drops a docstring that stands under a field. It is still in the source, which is read when somebody asks.
"""

import ast
import inspect
import sys
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from textwrap import indent


class _Described:
    """The docstring of a class, made when it is read."""

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
    """Let the docstring of a class tell its fields and members, too."""
    if isinstance(text := vars(kind).get("__doc__"), str):
        said = _Described(text)
        # Where the class of the class has a docstring of its own, as with enumerations, `help` takes a text only.
        kind.__doc__ = said if type(kind) is type else said.__get__(None, kind)  # type: ignore[assignment]


def fields_said(kind: type) -> Mapping[str, str]:
    """Return the sentences under the fields and members in the source of a class; {} without a source."""
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

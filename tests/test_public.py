"""What the package exports: each name of `__all__`, and nothing else, loaded when it is first used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import workorder_async

SOURCE = Path(str(workorder_async.__file__)).read_text("utf-8")


def imported() -> set[str]:
    """Return what the package's `__init__` imports from its own modules, at run time or for type checkers."""
    return {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(SOURCE))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("workorder_async")
        for alias in node.names
    }


def test_all_is_what_is_imported() -> None:
    """A name is exported when, and only when, the package imports it."""
    assert set(workorder_async.__all__) == imported()
    assert workorder_async.__all__ == sorted(workorder_async.__all__, key=lambda name: (not name.isupper(), name))


@pytest.mark.parametrize("name", workorder_async.__all__)
def test_every_name_is_there(name: str) -> None:
    """Each exported name can be had, and is shown."""
    assert getattr(workorder_async, name) is getattr(workorder_async, name)
    assert name in dir(workorder_async)


def test_no_other_name() -> None:
    """A name that is not exported is missing in the usual words."""
    with pytest.raises(AttributeError, match="module 'workorder_async' has no attribute 'Nonsense'"):
        _ = workorder_async.Nonsense


def test_typed() -> None:
    """The package tells type checkers that it is typed."""
    assert Path(str(workorder_async.__file__)).with_name("py.typed").exists()


def test_import_is_cheap() -> None:
    """Importing the package loads nothing that only a client needs."""
    code = (
        "import sys, workorder_async; print([m for m in ('aiohttp', 'rich', 'cyclopts', 'orjson') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"

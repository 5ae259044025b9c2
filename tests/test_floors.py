"""The floors of the package: imports go down only, also those under `TYPE_CHECKING` and inside functions.

0 WORDS   errors endpoints models/* report secret signing
1 RULES   envelope http_headers large_json codec clock retry throttle paging repair windows columns
          sendings outcomes
          freezing ledger journey planning
2 WIRE    options session call attempt_limit limiter payloads durable standings
          journal sinks/*
3 FACE    client settling walk doubt once
4 JOBS    batch export mirror sandbox/*, which know nothing of each other
5 DOORS   cli/* pytest_plugin spark __main__ and the package's own __init__, which nothing below imports
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

import workorder_async

ROOT = workorder_async.__name__
FOLDER = Path(str(workorder_async.__file__)).parent
FLOORS = [
    {"errors", "endpoints", "models", "report", "secret", "signing"},
    {"envelope", "http_headers", "large_json", "codec", "clock", "retry", "throttle"}
    | {"paging", "repair", "windows", "columns", "sendings", "outcomes"}
    | {"freezing", "ledger", "journey", "planning"},
    {"options", "session", "call", "attempt_limit", "limiter", "payloads"}
    | {"durable", "standings", "journal", "sinks"},
    {"client", "settling", "walk", "doubt", "once"},
    {"batch", "export", "mirror", "sandbox"},
    {"", "cli", "pytest_plugin", "spark", "__main__"},
]
JOBS, DOORS = 4, 5


def _modules() -> dict[str, Path]:
    found = {}
    for path in FOLDER.rglob("*.py"):
        parts = path.relative_to(FOLDER.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def room(module: str) -> str:
    """Return the part of the package that a module is in: "models" for each of models/*, "" for the package's own."""
    return f"{module}.".split(".")[1]


def floor(module: str) -> int:
    """Return a module's floor; fail where it has none."""
    for number, rooms in enumerate(FLOORS):
        if room(module) in rooms:
            return number
    pytest.fail(f"{module} is on no floor: give it one in tests/test_floors.py")


def imports(module: str, source: str, is_package: bool) -> Iterator[str]:
    """Yield the package's modules that a module imports anywhere in its text, by their full names.

    Importing a module runs the folders it lies in: they count, unless the importer lies there too. What is imported
    `from workorder_async` and is no module comes through the package's own `__init__`.
    """
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package)
            inside = [f"{origin}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else origin for name in inside]
        for name in names:
            if name.split(".")[0] == ROOT:
                yield name
                above = name.rpartition(".")[0]
                while above.count(".") and not f"{module}.".startswith(f"{above}."):
                    yield above
                    above = above.rpartition(".")[0]


def complaint(importer: str, imported: str) -> str | None:
    """Say what is wrong with an arrow from one module to another; None where it may be."""
    above, below = floor(importer), floor(imported)
    if below == DOORS and above != DOORS:
        return f"{importer} imports {imported}, a door"
    if below > above:
        return f"{importer} (floor {above}) imports {imported} (floor {below})"
    if below == above == JOBS and room(importer) != room(imported):
        return f"{importer} imports {imported}, another job"
    return None


def arrows(module: str) -> set[str]:
    """Read a module's file for what it imports of the package."""
    path = MODULES[module]
    return set(imports(module, path.read_text("utf-8"), path.name == "__init__.py"))


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_down(module: str) -> None:
    """A module is on a floor, and imports nothing from a floor above, no other job and no door."""
    assert floor(module) in range(len(FLOORS))
    assert [why for imported in sorted(arrows(module)) if (why := complaint(module, imported))] == []


def test_no_cycle() -> None:
    """No module imports itself by way of others."""
    try:
        TopologicalSorter({module: arrows(module) for module in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import os, workorder_async.errors", {"workorder_async.errors"}),
        ("import workorder_async", {"workorder_async"}),
        ("from workorder_async import errors", {"workorder_async.errors"}),
        ("from workorder_async import Ticket", {"workorder_async"}),
        ("from workorder_async.errors import ConfigError", {"workorder_async.errors"}),
        (
            "from workorder_async.models import fields, Ticket",
            {"workorder_async.models.fields", "workorder_async.models"},
        ),
        (
            "from workorder_async.models.fields import seconds",
            {"workorder_async.models.fields", "workorder_async.models"},
        ),
        ("from . import retry", {"workorder_async.retry"}),
        ("from .errors import ConfigError", {"workorder_async.errors"}),
        ("from workorder_asynchronous import errors", set()),
        ("if TYPE_CHECKING:\n    from workorder_async.errors import ConfigError", {"workorder_async.errors"}),
        ("async def call():\n    from workorder_async.errors import ConfigError", {"workorder_async.errors"}),
    ],
)
def test_every_import_is_seen(source: str, found: set[str]) -> None:
    """An import is seen wherever it stands and however it is spelled."""
    assert set(imports("workorder_async.session", source, False)) == found


def test_imports_of_a_neighbour() -> None:
    """A module may import its neighbour in a folder, and the folder its modules: neither imports the folder itself."""
    source = "from .enums import OpenEnum"
    for importer, is_package in (("workorder_async.models.query", False), ("workorder_async.models", True)):
        assert set(imports(importer, source, is_package)) == {"workorder_async.models.enums"}


@pytest.mark.parametrize(
    ("importer", "imported", "why"),
    [
        ("client", "session", None),
        ("session", "models.enums", None),
        ("envelope", "codec", None),
        ("sandbox.app", "sandbox.store", None),
        ("cli.app", "pytest_plugin", None),
        ("errors", "codec", "floor 0.*floor 1"),
        ("paging", "sinks.jsonl", "floor 1.*floor 2"),
        ("session", "client", "floor 2.*floor 3"),
        ("client", "batch", "floor 3.*floor 4"),
        ("batch", "export", "another job"),
        ("sandbox.app", "batch", "another job"),
        ("sandbox.app", "cli.app", "a door"),
        ("errors", "", "a door"),
    ],
)
def test_what_is_complained_about(importer: str, imported: str, why: str | None) -> None:
    """Down and sideways is allowed, up is not; jobs keep apart, and doors are for doors."""
    said = complaint(f"{ROOT}.{importer}", f"{ROOT}.{imported}".rstrip("."))
    assert said is None if why is None else said is not None and re.search(why, said)


def test_a_module_needs_a_floor() -> None:
    """A module that nobody gave a floor fails."""
    with pytest.raises(pytest.fail.Exception, match=r"workorder_async\.helpers is on no floor"):
        floor("workorder_async.helpers")


def test_names_say_something() -> None:
    """No file or folder is named after the drawer that things are thrown into."""
    drawers = {"utils", "util", "helpers", "helper", "common", "base", "core", "misc", "types", "const"}
    rooms = {part.strip("_") for module in MODULES for part in module.split(".")}
    assert rooms & drawers == set()


def test_import_is_cheap() -> None:
    """`import workorder_async` loads neither aiohttp nor what only an extra brings."""
    code = f"import sys, {ROOT}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    child = subprocess.run(
        [sys.executable, "-c", code], cwd=FOLDER.parent, check=True, capture_output=True, text=True, timeout=30
    )
    loaded = set(child.stdout.split())
    assert ROOT in loaded
    assert loaded & {"aiohttp", "rich", "cyclopts", "pyarrow"} == set()

"""The floors of the package: a folder is a floor; imports go down only, also under `TYPE_CHECKING` and in functions.

0  errors arguments secret durable
   walk_report described extras tasks
   loop_thread plain_text              what everything else may stand on
1  document/                           the words of the API document, and how JSON becomes them
2  signing/                            how a request is signed; no I/O
3  wire/ | walks/                      one call over the wire | many pages as one list: they know nothing of each other
4  mutations/ | environment            a mutation that happens once | where a platform is, and who asks
5  client                              the face: a coroutine for each endpoint
6  batches/ | exports/ | sandbox/      jobs, which know nothing of each other
7  mirror/                             a database that keeps up, over what exports write
8  words                               what became of it all, in words for people
9  cli/ | integrations/ | testing/ |
   blocking                            doors, each by itself
10 __init__ __main__                   the way in, which nothing imports
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

import workorder_async
from tests.support.rows import each

ROOT = workorder_async.__name__
FOLDER = Path(str(workorder_async.__file__)).parent
FLOORS: list[set[str]] = [
    {
        *("errors", "arguments", "secret", "durable"),
        *("walk_report", "described", "extras", "tasks", "loop_thread", "plain_text"),
    },
    {"document"},
    {"signing"},
    {"wire", "walks"},
    {"mutations", "environment"},
    {"client"},
    {"batches", "exports", "sandbox"},
    {"mirror"},
    {"words"},
    {"cli", "integrations", "testing", "blocking"},
    {"", "__main__"},
]
# Where the rooms of a floor know each other; elsewhere they do not.
GROUND = 0
# Rules, and what knows of nothing but rules: files that neither wait, nor read a clock, nor touch a disk or a socket.
PURE = ("document", "signing", "walks", "walk_report", "errors")
IMPURE = {"asyncio", "aiohttp", "time", "os", "pathlib", "socket", "ssl", "threading", "subprocess"}
THAT_WAITS = {f"{ROOT}.walks.walk"}


def _modules() -> dict[str, Path]:
    found = {}
    for path in FOLDER.rglob("*.py"):
        parts = path.relative_to(FOLDER.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def room(module: str) -> str:
    """Return the part of the package that a module is in: "wire" for each of wire/*, "" for the package's own."""
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
    if below > above:
        return f"{importer} (floor {above}) imports {imported} (floor {below})"
    if below == above != GROUND and room(importer) != room(imported):
        return f"{importer} imports {imported}, which stands beside it"
    return None


@cache
def arrows(module: str) -> set[str]:
    """Read a module's file for what it imports of the package."""
    path = MODULES[module]
    return set(imports(module, path.read_text("utf-8"), path.name == "__init__.py"))


def test_imports_go_down() -> None:
    """Each module is on a floor, and imports nothing from a floor above and nothing that stands beside its room."""
    assert {floor(module) for module in MODULES} == set(range(len(FLOORS)))
    pairs = ((module, imported) for module in sorted(MODULES) for imported in sorted(arrows(module)))
    assert [why for module, imported in pairs if (why := complaint(module, imported))] == []


def test_no_cycle() -> None:
    """No module imports itself by way of others."""
    try:
        TopologicalSorter({module: arrows(module) for module in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_rules_are_pure() -> None:
    """What is rules imports nothing that waits, tells the time or touches the world; one file drives the walks."""
    impure = {}
    for module in filter(lambda module: room(module) in PURE, MODULES):
        tree = ast.parse(MODULES[module].read_text("utf-8"))
        plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        named = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        if used := {name.split(".")[0] for name in plain | named} & IMPURE:
            impure[module] = used
    assert impure == {module: {"asyncio"} for module in THAT_WAITS}


@each(
    ("source", "found"),
    [
        ("import os, workorder_async.errors", {"workorder_async.errors"}),
        ("import workorder_async", {"workorder_async"}),
        ("from workorder_async import errors", {"workorder_async.errors"}),
        ("from workorder_async import Ticket", {"workorder_async"}),
        ("from workorder_async.errors import ConfigError", {"workorder_async.errors"}),
        (
            "from workorder_async.document import requests, Ticket",
            {"workorder_async.document.requests", "workorder_async.document"},
        ),
        (
            "from workorder_async.document.requests import seconds",
            {"workorder_async.document.requests", "workorder_async.document"},
        ),
        ("from . import errors", {"workorder_async.errors"}),
        ("from .errors import ConfigError", {"workorder_async.errors"}),
        ("from workorder_asynchronous import errors", set()),
        ("if TYPE_CHECKING:\n    from workorder_async.errors import ConfigError", {"workorder_async.errors"}),
        ("async def call():\n    from workorder_async.errors import ConfigError", {"workorder_async.errors"}),
    ],
)
def test_every_import_is_seen(source: str, found: set[str]) -> None:
    """An import is seen wherever it stands and however it is spelled."""
    assert set(imports("workorder_async.secret", source, False)) == found


def test_imports_of_a_neighbour() -> None:
    """A module may import its neighbour in a folder, and the folder its modules: neither imports the folder itself."""
    source = "from .enums import OpenEnum"
    for importer, is_package in (("workorder_async.document.requests", False), ("workorder_async.document", True)):
        assert set(imports(importer, source, is_package)) == {"workorder_async.document.enums"}


@each(
    ("importer", "imported", "why"),
    [
        ("client", "wire.session", None),
        ("wire.session", "document.enums", None),
        ("document.envelope", "document.codec", None),
        ("errors", "walk_report", None),
        ("__main__", "cli.app", None),
        ("errors", "document.codec", "floor 0.*floor 1"),
        ("walks.paging", "exports.lines", "floor 3.*floor 6"),
        ("walks.walk", "wire.session", "stands beside"),
        ("wire.session", "client", "floor 3.*floor 5"),
        ("batches.batch", "exports.export", "stands beside"),
        ("sandbox.sandbox", "batches.batch", "stands beside"),
        ("cli.app", "integrations.spark", "stands beside"),
        ("sandbox.sandbox", "cli.app", "floor 6.*floor 9"),
        ("errors", "", "floor 0.*floor 10"),
    ],
)
def test_what_is_complained_about(importer: str, imported: str, why: str | None) -> None:
    """Down and within a room is allowed; up is not, nor, above the ground, into the room beside."""
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


TESTS = Path(__file__).parent


def test_tests_stand_alone() -> None:
    """No file imports a file of tests, not even in a program for a child process: tests/support/ has what is shared."""
    imports_tests = re.compile(r"^ *(?:from|import) (?:tests|\.).*\btest_\w+", re.MULTILINE)
    assert [path for path in TESTS.rglob("*.py") if imports_tests.search(path.read_text("utf-8"))] == []


def test_import_is_cheap() -> None:
    """`import workorder_async` loads neither aiohttp nor what only an extra brings."""
    code = f"import sys, {ROOT}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    child = subprocess.run(
        [sys.executable, "-c", code], cwd=FOLDER.parent, check=True, capture_output=True, text=True, timeout=30
    )
    loaded = set(child.stdout.split())
    assert ROOT in loaded
    assert loaded & {"aiohttp", "rich", "cyclopts", "pyarrow"} == set()

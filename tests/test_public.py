"""What the package exports: each name of `__all__`, loaded when it is first used, and found where texts say it is."""

import ast
import builtins
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path
from pkgutil import resolve_name

import pytest

import workorder_async
from tests.support.rows import each

PACKAGE = Path(str(workorder_async.__file__)).parent
SOURCE = (PACKAGE / "__init__.py").read_text("utf-8")
ALL: list[str] = vars(workorder_async)["__all__"]
ROOT = Path(__file__).parent.parent
# Where users import from.
FACES = (
    "workorder_async",
    "workorder_async.blocking",
    "workorder_async.sandbox",
    "workorder_async.testing",
    "workorder_async.exports",
    "workorder_async.mirror",
    "workorder_async.integrations.opentelemetry",
    "workorder_async.integrations.redis_limits",
)


def imported() -> Iterator[str]:
    """Yield what the package's `__init__` imports from its own modules, at run time or for type checkers."""
    for node in ast.walk(ast.parse(SOURCE)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("workorder_async"):
            for alias in node.names:
                yield from (
                    import_module(str(node.module)).__all__ if alias.name == "*" else [alias.asname or alias.name]
                )


def test_all_is_what_is_imported() -> None:
    """A name is exported when, and only when, the package imports it."""
    assert set(ALL) == {*imported()}
    assert sorted(ALL, key=lambda name: (not name.isupper(), name)) == ALL


@each("name", ALL)
def test_every_name_is_there(name: str) -> None:
    """Each exported name can be had, and is shown."""
    assert getattr(workorder_async, name) is getattr(workorder_async, name)
    assert name in dir(workorder_async)


def test_no_other_name() -> None:
    """A name that is not exported is missing in the usual words."""
    with pytest.raises(AttributeError, match="module 'workorder_async' has no attribute 'Nonsense'"):
        _ = workorder_async.Nonsense


def test_version() -> None:
    """The version is that of the installed distribution."""
    assert workorder_async.__version__ == metadata.version("workorder-async")


def test_typed() -> None:
    """The package tells type checkers that it is typed."""
    assert (PACKAGE / "py.typed").exists()


def test_import_is_cheap() -> None:
    """Importing the package loads nothing that only a client needs."""
    code = (
        "import sys, workorder_async; print([m for m in ('aiohttp', 'rich', 'cyclopts', 'orjson') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def named(text: str) -> Iterator[str]:
    """Yield the dotted name of everything that a text says the package has: imports, dotted names, files."""
    for module, names in re.findall(r"\bfrom (workorder_async[\w.]*) import (\([^)]*\)|\w+[\w, ]*)", text):
        for name in re.findall(r"[(,]\s*(\w+)", f"({names}"):
            yield f"{module}.{name}"
    yield from re.findall(r"\bworkorder_async(?:\.\w+)+", text)
    for path in re.findall(r"\bworkorder_async(?:/\w+)+\.py\b", text):
        yield path.removesuffix(".py").replace("/", ".")


def public_names(text: str) -> set[str]:
    """Return the names in backticks that only a class has: of two words at least, as `TicketQuery(...)` begins."""
    return set(re.findall(r"`((?:[A-Z][a-z]+){2,})\b(?=[`.(])", text))


def texts() -> Iterator[tuple[str, str]]:
    """Yield every text that users read, with where it stands: the pages, and the docstrings."""
    for page in sorted(ROOT.glob("*.md")):
        yield page.name, page.read_text("utf-8")
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield path.relative_to(ROOT).as_posix(), ast.get_docstring(node) or ""


def missing(text: str) -> list[str]:
    """Return the dotted names of a text that cannot be had."""
    gone = []
    for name in named(text):
        try:
            resolve_name(name)
        except (ImportError, AttributeError):
            if not needs_an_extra(name):
                gone.append(name)
    return gone


def needs_an_extra(name: str) -> bool:
    """Tell whether a module is there, and imports a package that is not."""
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        return error.name is not None and not error.name.startswith("workorder_async")
    return False


@pytest.mark.slow
def test_what_texts_name_is_there() -> None:
    """Whatever README, CHANGELOG and docstrings name can be imported from where they name it."""
    assert {(where, name) for where, text in texts() for name in missing(text)} == set()
    assert {"workorder_async.Sandbox", "workorder_async.sandbox", "workorder_async.errors"} <= {
        name for _, text in texts() for name in named(text)
    }


def test_contributors_find_every_folder() -> None:
    """CONTRIBUTING tells of each folder of the package."""
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} <= set(re.findall(r"`(\w+)/`", page))


def test_paths_in_pages_are_there() -> None:
    """Every test and benchmark that a page names is there."""
    pages = [page.read_text("utf-8") for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]]
    paths = {path for page in pages for path in re.findall(r"`((?:tests|benchmarks)/[\w./]*)", page)}
    assert "tests/test_secrecy.py" in paths
    assert {path for path in paths if not (ROOT / path).exists()} == set()


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md"])
def test_classes_that_pages_name_are_public(page: str) -> None:
    """Each class that a page for users names can be imported from a place for users."""
    found = public_names((ROOT / page).read_text("utf-8"))
    assert {"WorkorderClient", "OutcomeUnknownError"} <= found
    public = {name for face in FACES for name in resolve_name(face).__all__}
    assert found - public - set(dir(builtins)) == set()


@pytest.mark.parametrize(
    ("text", "names", "gone"),
    [
        ("`from workorder_async import Sandbox, Tag` (both)", ["Sandbox", "Tag"], []),
        ("from workorder_async import (\n    Sandbox,\n    Nonsense as N,\n)", ["Sandbox", "Nonsense"], ["Nonsense"]),
        (
            "from workorder_async.sandbox import Fault, Tag",
            ["sandbox.Fault", "sandbox.Tag", "sandbox"],
            ["sandbox.Tag"],
        ),
        ("the tree in `workorder_async.errors`.", ["errors"], []),
        ("`workorder_async.errors.ApiError.errno`s", ["errors.ApiError.errno"], ["errors.ApiError.errno"]),
        ("see `workorder_async/errors.py`", ["errors"], []),
        ("see `workorder_async/report.py`.", ["report"], ["report"]),
        ("import workorder_async", [], []),
    ],
)
def test_how_names_are_found(text: str, names: list[str], gone: list[str]) -> None:
    """Names are found in each of their spellings, and those that are not there are told."""
    assert list(named(text)) == [f"workorder_async.{name}" for name in names]
    assert missing(text) == [f"workorder_async.{name}" for name in gone]


def test_how_classes_are_found() -> None:
    """A class in backticks is found whatever follows it; a word of prose, a header or a method is not."""
    text = "`TicketQuery`, `RetryPolicy(attempts=3)`, `WorkorderClient.from_env()`, `Retry-After`, `Date`, TicketPage"
    assert public_names(text) == {"TicketQuery", "RetryPolicy", "WorkorderClient"}

"""Imports of packages that come with an extra, and the line that installs an extra."""

import json
import shlex
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from workorder_async.errors import ConfigError

# The folder that holds this package: a clone, or the folder of installed packages.
_ROOT: Final = Path(__file__).parents[1]


def install_line(extra: str) -> str:
    """Return the command that installs an extra.

    If this package runs from a clone, or was installed from one that still exists, the command names that clone.
    """
    clone = next((folder for folder in (_ROOT, _installed_from()) if (folder / "pyproject.toml").is_file()), None)
    if clone is None:
        return f"pip install 'workorder-async[{extra}]'"
    here = Path("pyproject.toml")
    where = "." if here.exists() and here.samefile(clone / here) else str(clone)
    return f"pip install {shlex.quote(f'{where}[{extra}]')}"


def _installed_from() -> Path:
    """Return the folder from which pip installed this package, by pip's own note (PEP 610); `_ROOT` without a note."""
    try:
        noted = json.loads(distribution("workorder-async").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return _ROOT
    url = urlsplit(str(noted.get("url", "")))
    return Path(url2pathname(url.path)) if url.scheme == "file" else _ROOT


def extra_module(name: str, extra: str, user: str = "this format") -> Any:
    """Import a module that an extra of this package brings; `user` is the part that needs it.

    Raises `ConfigError`, with the line that installs the extra, if the module is missing or cannot be imported.
    """
    try:
        return import_module(name)
    except Exception as error:  # noqa: BLE001 - parts of an installation that do not fit raise anything
        problem = f"needs {name}, which cannot be imported ({error}): {install_line(extra)}"
        raise ConfigError(problem, argument=user) from None

"""Modules that an extra of this package brings, and the line that installs an extra."""

import json
import shlex
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from workorder_async.errors import ConfigError

# The folder that this runs from: that of a clone, or of installed packages.
_ROOT: Final = Path(__file__).parents[1]


def install_line(extra: str) -> str:
    """Return the line that installs an extra: from the clone that this runs from or was installed from, or by name."""
    # The folder of the source, where it is still there.
    clone = next((folder for folder in (_ROOT, _installed_from()) if (folder / "pyproject.toml").is_file()), None)
    if clone is None:
        return f"pip install 'workorder-async[{extra}]'"
    here = Path("pyproject.toml")
    where = "." if here.exists() and here.samefile(clone / here) else str(clone)
    return f"pip install {shlex.quote(f'{where}[{extra}]')}"


def _installed_from() -> Path:
    """Return the folder that pip noted when it installed this (PEP 610); if it noted none, no folder of a clone."""
    try:
        noted = json.loads(distribution("workorder-async").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return _ROOT
    url = urlsplit(str(noted.get("url", "")))
    return Path(url2pathname(url.path)) if url.scheme == "file" else _ROOT


def extra_module(name: str, extra: str, user: str = "this format") -> Any:
    """Import a module that an extra of this package brings; `user` is the part that needs it.

    Raises `ConfigError` with the line that installs it where it is not there, or broken.
    """
    try:
        return import_module(name)
    except Exception as error:  # noqa: BLE001 - parts of an installation that do not fit raise anything
        problem = f"needs {name}, which cannot be imported ({error}): {install_line(extra)}"
        raise ConfigError(problem, argument=user) from None

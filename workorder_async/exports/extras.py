"""What is imported only where the user installed it, and the line that installs it."""

import shlex
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from workorder_async.errors import ConfigError

# What this runs from: the folder of a clone, or where packages are installed.
_ROOT: Final = Path(__file__).parents[2]


def install_line(extra: str) -> str:
    """Return the line that installs an extra: of the clone that this runs from, or of the installed package."""
    project = _ROOT / "pyproject.toml"
    if not project.is_file():
        return f"pip install 'workorder-async[{extra}]'"
    here = Path(project.name)
    where = "." if here.exists() and here.samefile(project) else str(_ROOT)
    return f"pip install {shlex.quote(f'{where}[{extra}]')}"


def extra_module(name: str, extra: str) -> Any:
    """Import a module that an extra of this package brings.

    Raises `ConfigError` with the line that installs it where it is not there.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"this format needs {name}, which cannot be imported ({error}): {install_line(extra)}"
        ) from None

"""What is imported only where the user installed it."""

from importlib import import_module
from typing import Any

from workorder_async.errors import ConfigError


def extra_module(name: str, extra: str) -> Any:
    """Import a module that an extra of this package brings.

    Raises `ConfigError` with the line that installs it where it is not there.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"this format needs {name}, which cannot be imported ({error}): pip install 'workorder-async[{extra}]'"
        ) from None

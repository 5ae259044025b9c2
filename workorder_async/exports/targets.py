"""Where an export goes: the file, what lies beside it until the end, and whether it may be there."""

import os
import stat
from pathlib import Path

from attrs import frozen

from workorder_async import arguments
from workorder_async.errors import ConfigError, ExportError
from workorder_async.exports.formats import Format, format_of


@frozen
class Target:
    """A file that gets its name at the end, or something that is written to at once: stdout, a pipe, a device."""

    path: Path
    format: Format
    is_stream: bool

    @property
    def part(self) -> Path:
        """What grows: rows, or lines that are converted at the end."""
        return self._beside("part")

    @property
    def converted(self) -> Path:
        """What lines are converted to."""
        return self._beside("converted")

    @property
    def manifest(self) -> Path:
        """What remembers how far it is; locked while it is in use."""
        return self._beside("manifest")

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{suffix}")

    def leftovers(self) -> list[Path]:
        """Return what may lie beside it, but for the manifest."""
        made = [self.part, self.converted]
        return [*made, *(beside for one in made if (beside := self.format.beside(one)) is not None)]

    def refuse_existing(self, *, is_late: bool = False) -> None:
        """Raise an error if a file of this name is there."""
        if not self.path.exists():
            return
        if is_late:
            raise ExportError(
                f"{str(self.path)!r} appeared meanwhile; the rows are kept: call again with overwrite=True to replace "
                "it, or move it away and call again"
            )
        raise ConfigError(f"target {str(self.path)!r} exists; overwrite=True replaces it")


def target_of(target: object, format: str | None) -> Target:
    """Return where to write. Raises `ConfigError` for what is no place for a file, or says no format."""
    name = arguments.path("target", target)
    found = format_of(name, format)
    path = Path(name)
    if "\0" in name or not path.name:
        raise ConfigError(f"target {name!r} is no name of a file")
    if name == "-" or _is_special(path):
        if found.way != "lines":
            raise ConfigError(f"{found.name} cannot be written to {name!r}; name a file, or use jsonl or csv")
        return Target(path, found, True)
    try:
        # The target of a symbolic link is replaced, not the link.
        path = Path(os.path.realpath(path))
        if path.is_dir() or name.endswith(("/", os.sep)):
            raise ConfigError(f"target {name!r} is a folder; name a file in it")
        if not path.parent.is_dir():
            raise ConfigError(f"target {name!r}: there is no folder {str(path.parent)!r}; make it first")
    except OSError as error:
        raise ConfigError(f"cannot write to {name!r}: {error.strerror}; choose another target") from None
    return Target(path, found, False)


def _is_special(path: Path) -> bool:
    """Tell whether a path leads to a device, a pipe or a socket."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)

"""Files and folders that are for their owner alone, whatever the umask."""

import os
from contextlib import suppress
from pathlib import Path
from typing import IO


def create_file(path: Path) -> IO[bytes]:
    """Open a new file (0600) to write it; raises `FileExistsError` where there is one already."""
    file = open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600))  # noqa: SIM115 - the caller closes it
    path.chmod(0o600)
    return file


def make_folder(path: Path) -> None:
    """Make a folder (0700), or where there is one, close it to others."""
    path.mkdir(mode=0o700, exist_ok=True)
    close_to_others(path, 0o700)


def close_to_others(path: Path, mode: int = 0o600) -> None:
    """Give what was there before the mode of something new; what belongs to another user stays as it is."""
    with suppress(PermissionError):
        path.chmod(mode)

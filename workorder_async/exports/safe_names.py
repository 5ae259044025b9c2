"""Names that others gave to their files, made into names that are safe in a folder of ours, and different there.

A safe name leads nowhere else, is seen as it is, and is taken by Linux, macOS and Windows. It never begins with a dot,
so that such names are free for files of our own.
"""

import os
import re
import unicodedata
from collections.abc import Iterable
from typing import Final

#: The longest safe name in bytes of UTF-8: the usual 255 of a file system, less what stands around that of a part.
LONGEST: Final = 200

_LONGEST_SUFFIX = 24
_FORBIDDEN = '<>:"|?*'
# Windows takes these for devices, whatever comes after the first dot.
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(\.|$)", re.IGNORECASE)


def safe_name(name: str) -> str:
    """Return the last part of a name, without what could mislead a file system or a reader."""
    last = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1])
    # What does not print is NUL, other control characters, lone surrogates, and marks that turn the text around.
    shown = "".join(one if one.isprintable() and one not in _FORBIDDEN else "_" for one in last)
    kept = shown.lstrip(". ").rstrip(". ") or "file"
    return _joined(f"_{kept}" if _DEVICES.match(kept) else kept)


def distinct_names(names: Iterable[str]) -> list[str]:
    """Return a safe name for each of these names; one that is taken gets a number: "a.png", "a (2).png".

    The same names in the same order give the same result. Names that differ in case only are the same to Windows and
    macOS, and are numbered too.
    """
    found: list[str] = []
    taken: set[str] = set()
    last_number: dict[str, int] = {}
    for name in names:
        safe = free = safe_name(name)
        key = safe.casefold()
        while free.casefold() in taken:
            number = last_number[key] = last_number.get(key, 1) + 1
            free = _joined(safe, f" ({number})")
        taken.add(free.casefold())
        found.append(free)
    return found


def _joined(name: str, number: str = "") -> str:
    """Put a number before the suffix of a name, and cut what stands before it where the whole is too long."""
    stem, suffix = os.path.splitext(name)
    if len(suffix.encode()) > _LONGEST_SUFFIX:
        stem, suffix = name, ""
    room = LONGEST - len(f"{number}{suffix}".encode())
    if len(stem.encode()) > room:
        stem = stem.encode()[:room].decode(errors="ignore").rstrip(". ")
    return f"{stem}{number}{suffix}"

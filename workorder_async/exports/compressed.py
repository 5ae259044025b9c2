"""Compressed lines: what stands in front, and every part, is one gzip member or zstd frame of its own.

All of them, one after the other, are one gzip or zstd file. The same rows give the same bytes: no time is written.
"""

import sys
import zlib
from collections.abc import Sequence
from typing import Any, Protocol

from workorder_async.exports.extras import extra_module
from workorder_async.exports.sink import Record, Sink
from workorder_async.exports.texts import TextChanges


class _Member(Protocol):
    """What compresses one member or frame; a method of zlib's objects and of zstd's."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class Compressed:
    """A sink of lines whose bytes are compressed; `kind` is gz or zst."""

    def __init__(self, lines: Sink, kind: str) -> None:
        self._lines = lines
        self._zstd: Any = zstd_module() if kind == "zst" else None
        self._member: _Member | None = None

    @property
    def changes(self) -> TextChanges:
        """What was changed in the rows so far."""
        return self._lines.changes

    def begin(self) -> bytes:
        """Return a member with what stands in front of the lines; an empty one too, since no file is none."""
        member = self._opened()
        return member.compress(self._lines.begin()) + self._closed(member)

    def encode(self, rows: Sequence[Record]) -> bytes:
        """Return what has been compressed by now; the rest comes later."""
        return self._opened().compress(self._lines.encode(rows))

    def end_part(self) -> bytes:
        """Return the rest of the part's member; a part without a page has none."""
        return b"" if self._member is None else self._closed(self._member)

    def _opened(self) -> _Member:
        if self._member is None:
            self._member = self._new_member()
        return self._member

    def _closed(self, member: _Member) -> bytes:
        self._member = None
        return member.flush()

    def _new_member(self) -> _Member:
        if self._zstd is None:
            # Level 6 saves a quarter, and takes up to six times as long.
            return zlib.compressobj(1, wbits=16 + zlib.MAX_WBITS)
        parameters = self._zstd.CompressionParameter
        member: _Member = self._zstd.ZstdCompressor(options={parameters.checksum_flag: 1})
        return member


def zstd_module() -> Any:
    """Return the standard library's zstd, before Python 3.14 that of the extra `zst`."""
    return extra_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd", "zst")

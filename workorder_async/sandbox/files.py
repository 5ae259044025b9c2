"""Uploaded files on the disk: how they come in, under which storage key they lie, and their temporary URLs."""

import asyncio
import hmac
import re
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO
from urllib.parse import quote

from aiohttp import StreamReader

from workorder_async.document import JSON
from workorder_async.sandbox.multipart import copy, find_file
from workorder_async.sandbox.private import create_file, make_folder

#: A request names no person, so every upload is by the one of the API document's example (address-book number).
AUTHOR = 40084
#: How long a temporary URL is good, in seconds (API document, Attachment: 默认600秒).
GOOD_FOR = 600

_FLUSH_AT = 1 << 20
_RESERVED = ':*?"<>|'
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._-]")


class Files:
    """The files of one sandbox, in `directory`; `clock` gives seconds since the epoch."""

    def __init__(self, directory: Path, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._clock = clock
        self._url_secret = secrets.token_bytes(32)

    @asynccontextmanager
    async def received(self, content: StreamReader) -> AsyncIterator[IO[bytes]]:
        """Write a request's body to a nameless file; a mebibyte is held in memory, however large the body is."""
        body = await asyncio.to_thread(self._nameless)
        try:
            held = bytearray()
            async for piece in content.iter_any():
                held += piece
                if len(held) >= _FLUSH_AT:
                    await asyncio.to_thread(body.write, held)
                    held = bytearray()
            await asyncio.to_thread(body.write, held)
            yield body
        finally:
            await asyncio.to_thread(body.close)

    def _nameless(self) -> IO[bytes]:
        make_folder(self._directory)
        return tempfile.TemporaryFile(dir=self._directory)

    def keep(self, body: IO[bytes], content_type: str) -> dict[str, JSON]:
        """Keep the file in a multipart body under a new storage key, and return its Attachment."""
        part = find_file(body, content_type)
        name = secrets.token_hex(16)
        with create_file(self._directory / name) as file:
            copy(body, part, file)
        return {
            "author": AUTHOR,
            "file_name": part.file_name,
            "file_path": f"workorder/{AUTHOR}/{name}",
            "file_size": part.end - part.start,
            "file_type": part.file_type,
        }

    def path(self, file_path: str) -> Path:
        """Return where the file with this storage key lies."""
        return self._directory / file_path.rpartition("/")[2]

    def temporary_url(self, origin: str, file_path: str) -> str:
        """Return a URL under `origin` that gives this file to anyone for `GOOD_FOR` seconds."""
        expires = str(int(self._clock()) + GOOD_FOR)
        return f"{origin}/files/{file_path}?expires={expires}&token={self._token(file_path, expires)}"

    def is_good(self, file_path: str, expires: str, token: str) -> bool:
        """Tell whether a temporary URL was made here and has not expired."""
        wanted = self._token(file_path, expires)
        genuine = hmac.compare_digest(token.encode(errors="replace"), wanted.encode())
        return genuine and self._clock() <= int(expires)

    def _token(self, file_path: str, expires: str) -> str:
        message = f"{file_path}\n{expires}".encode(errors="replace")
        return hmac.new(self._url_secret, message, "sha256").hexdigest()


def download_headers(file_name: str, file_type: str) -> dict[str, str]:
    """Return the headers of an uploaded file: a browser saves it, guesses no other type, and runs nothing of it."""
    last = re.split(r"[/\\]", file_name)[-1]
    name = "".join(one if one.isprintable() and one not in _RESERVED else "_" for one in last).lstrip(".") or "file"
    names = f"filename=\"{_NOT_PLAIN.sub('_', name)}\"; filename*=UTF-8''{quote(name, safe='')}"
    return {
        "Content-Type": file_type,
        "Content-Disposition": f"attachment; {names}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }

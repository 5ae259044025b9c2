"""The one file in a multipart/form-data body that lies on the disk (RFC 7578), found without reading it into memory."""

import re
from collections.abc import Iterator
from email.message import Message
from typing import IO
from urllib.parse import unquote

from attrs import frozen

from workorder_async.sandbox.errnos import Errno, Refused

_CHUNK = 1 << 20
_HEADERS_MAX = 1 << 16
# A backslash is itself, as browsers write it, but before a quote that another one closes, as curl writes a quote.
_PARAMETER = re.compile(r';\s*(name|filename\*?)\s*=\s*(?:"((?:\\"(?=[^"]*")|[^"])*)"|([^;\s"]*))', re.IGNORECASE)
_MIME_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)

# What browsers write for a quote and for line breaks (HTML standard, multipart/form-data encoding algorithm).
_HTML_ESCAPES = {"%22": '"', "%0D": "\r", "%0A": "\n"}


@frozen
class FilePart:
    """A file in a body: its name, its MIME type, and where its bytes begin and end."""

    file_name: str
    file_type: str
    start: int
    end: int


class Pieces:
    """A file's bytes in pieces, from the beginning each time it is asked, so that no more than a piece is held."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        while piece := self._file.read(_CHUNK):
            yield piece


def find_file(body: IO[bytes], content_type: str) -> FilePart:
    """Return the only part of a body, which must be a file named "file"; refused with `Errno` BODY or PARAMETER."""
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary("")
    if header.get_content_type() != "multipart/form-data" or not boundary:
        raise Refused(Errno.BODY, f"Content-Type 必须是带 boundary 的 multipart/form-data, 收到 {content_type!r}")
    mark = b"\r\n--" + boundary.encode(errors="replace")
    body.seek(0)
    if body.read(len(mark) - 2) != mark[2:]:
        raise Refused(Errno.BODY, "请求体不以 multipart 的 boundary 开头")
    marks = list(_positions(body, mark))
    if marks:
        body.seek(marks[-1] + len(mark))
    if not marks or body.read(2) != b"--":
        raise Refused(Errno.BODY, "multipart 请求体不完整, 缺少结尾的 boundary")
    if len(marks) != 1:
        raise Refused(Errno.PARAMETER, f"参数 file 必须是唯一的部分, 收到 {len(marks)} 个部分")
    headers = _headers(body, len(mark) - 2, marks[0])
    start = len(mark) + len(headers) + 4
    return _describe(headers.decode(errors="replace"), start, marks[0])


def copy(body: IO[bytes], part: FilePart, to: IO[bytes]) -> None:
    """Write a part's bytes to another file."""
    body.seek(part.start)
    left = part.end - part.start
    while left:
        left -= to.write(body.read(min(_CHUNK, left)))


def _positions(body: IO[bytes], mark: bytes) -> Iterator[int]:
    """Yield where `mark` stands after the start; neighbouring pieces overlap by one byte less than it is long."""
    offset, window = 0, b""
    for piece in Pieces(body):
        window += piece
        at = window.find(mark)
        while at >= 0:
            yield offset + at
            at = window.find(mark, at + len(mark))
        kept = window[1 - len(mark) :]
        offset += len(window) - len(kept)
        window = kept


def _headers(body: IO[bytes], start: int, end: int) -> bytes:
    """Return the header lines of a part that begins at `start`, without the line breaks around them."""
    body.seek(start)
    head = body.read(min(_HEADERS_MAX, end - start))
    lines, blank_line, _ = head.partition(b"\r\n\r\n")
    if not blank_line or not lines.startswith(b"\r\n"):
        raise Refused(Errno.BODY, "multipart 的部分没有完整的头")
    return lines[2:]


def _describe(headers: str, start: int, end: int) -> FilePart:
    fields = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in headers.split("\r\n"))
    }
    given = {
        name.lower(): quoted.replace('\\"', '"') or plain
        for name, quoted, plain in _PARAMETER.findall(fields.get("content-disposition", ""))
    }
    if given.get("name") != "file":
        raise Refused(Errno.PARAMETER, f"参数 file 缺失, 收到的部分名为 {given.get('name')!r}")
    if "filename*" in given:
        file_name = unquote(given["filename*"].rpartition("'")[2])
    else:
        file_name = given.get("filename", "")
        for escaped, character in _HTML_ESCAPES.items():
            file_name = file_name.replace(escaped, character)
    if not file_name.strip():
        raise Refused(Errno.PARAMETER, "参数 file 必须是带 filename 的文件")
    file_type = fields.get("content-type", "")
    if not file_type.isprintable() or not _MIME_TYPE.fullmatch(file_type.partition(";")[0].strip()):
        file_type = "application/octet-stream"
    return FilePart(file_name, file_type, start, end)

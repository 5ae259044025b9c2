"""Files: how an upload is read from a form (RFC 7578), stored under a storage key, and served by a temporary URL.

A storage key is the `file_path` of an Attachment. The files of invented tickets are not stored: their keys name ticket
and number, and `invented` makes the content when it is asked for.
"""

import hmac
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from email.message import Message
from pathlib import Path
from urllib.parse import quote, unquote

from attrs import frozen

from workorder_async.document import JSON
from workorder_async.durable import open_private
from workorder_async.sandbox.errnos import Errno, Refused

#: The author of every upload, since a request names no person: the address-book number of the API document's example.
AUTHOR = 40084
#: How long a temporary URL is good, in seconds (API document, Attachment: 默认600秒).
GOOD_FOR = 600

# The files of invented tickets: name, MIME type, first line and each other line.
_INVENTED = (
    ("运行日志.log", "text/plain", "工单 {id} 的运行日志\n", "{line:02} 响应用时 {ms} 毫秒\n"),
    ("监控数据.csv", "text/csv", "工单,序号,毫秒\n", "{id},{line},{ms}\n"),
)
# The file of the API document's example of close_ticket.
_EXAMPLE_KEY = f"workorder/{AUTHOR}/dc4ced807eec9218bf2fe9513ebc9b99"
_EXAMPLE_SIZE = 195_204
_INVENTED_KEY = re.compile(rf"workorder/{AUTHOR}/invented-([0-9]{{1,18}})-([0-9]{{1,3}})")

# In a quoted parameter a backslash is an ordinary character, as browsers write it. Only \" is a quote, as curl writes
# it, and only if another quote follows that can end the parameter.
_PARAMETER = re.compile(r';\s*(name|filename\*?)\s*=\s*(?:"((?:\\"(?=[^"]*")|[^"])*)"|([^;\s"]*))', re.IGNORECASE)
_MIME_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
# How browsers write a quote and line breaks (HTML standard, multipart/form-data encoding algorithm).
_HTML_ESCAPES = {"%22": '"', "%0D": "\r", "%0A": "\n"}


class Files:
    """The files of one sandbox, in `directory`; `clock` gives seconds since the epoch."""

    def __init__(self, directory: Path, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._clock = clock
        self._url_secret = secrets.token_bytes(32)

    def keep(self, part: "FilePart") -> dict[str, JSON]:
        """Store a file under a new storage key, and return its Attachment."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        with suppress(PermissionError):  # the folder belongs to another user
            self._directory.chmod(0o700)
        name = secrets.token_hex(16)
        with open(self._directory / name, "xb", opener=open_private) as file:
            file.write(part.content)
        return attachment(f"workorder/{AUTHOR}/{name}", part)

    def path(self, file_path: str) -> Path:
        """Return the path of the file with this storage key."""
        return self._directory / file_path.rpartition("/")[2]

    def temporary_url(self, origin: str, file_path: str) -> str:
        """Return a URL under `origin` from which anybody can fetch this file for `GOOD_FOR` seconds."""
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


@frozen
class FilePart:
    """A file: its name, its MIME type, and its bytes."""

    file_name: str
    file_type: str
    content: bytes


def invented_files(ticket_id: int, count: int) -> list[dict[str, JSON]]:
    """Return the Attachments of `count` invented files of a ticket, two at most."""
    keys = [f"workorder/{AUTHOR}/invented-{ticket_id}-{number}" for number in range(min(count, len(_INVENTED)))]
    return [attachment(key, _log(ticket_id, number)) for number, key in enumerate(keys)]


def invented(file_path: str) -> tuple[int | None, FilePart] | None:
    """Return the ticket and the content of an invented file; None for the storage key of another file.

    The file of the API document's example is one of these: it belongs to no ticket (None), and is not a real picture.
    """
    if file_path == _EXAMPLE_KEY:
        return None, FilePart("test.png", "image/png", bytes(_EXAMPLE_SIZE))
    found = _INVENTED_KEY.fullmatch(file_path)
    if found is None or int(found[2]) >= len(_INVENTED):
        return None
    id = int(found[1])
    return id, _log(id, int(found[2]))


def _log(id: int, number: int) -> FilePart:
    name, kind, head, line = _INVENTED[number]
    lines = [line.format(id=id, line=at, ms=(id * 31 + at * 17) % 900 + 20) for at in range(1, 4 + id % 6)]
    return FilePart(name, kind, "".join([head.format(id=id), *lines]).encode())


def attachment(file_path: str, part: FilePart) -> dict[str, JSON]:
    """Return the Attachment of a file under a storage key."""
    return {
        "author": AUTHOR,
        "file_name": part.file_name,
        "file_path": file_path,
        "file_size": len(part.content),
        "file_type": part.file_type,
    }


def download_headers(file_name: str, file_type: str) -> dict[str, str]:
    """Return the headers for a file's download: a browser saves it, guesses no other type, and runs nothing in it."""
    name = re.split(r"[/\\]", file_name)[-1]
    return {
        "Content-Type": file_type,
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }


def find_file(content_type: str, body: bytes) -> FilePart:
    """Return the only part of a body, which must be a file named "file"; refused with `Errno` BODY or PARAMETER."""
    header = Message()
    header["Content-Type"] = content_type
    boundary = ""
    with suppress(ValueError):  # its bytes may not be in the encoding that it names
        boundary = header.get_boundary("")
    if header.get_content_type() != "multipart/form-data" or not boundary:
        raise Refused(Errno.BODY, f"Content-Type 必须是带 boundary 的 multipart/form-data, 收到 {content_type!r}")
    mark = b"--" + boundary.encode(errors="replace")
    if not body.startswith(mark):
        raise Refused(Errno.BODY, "请求体不以 multipart 的 boundary 开头")
    *parts, end = body[len(mark) :].split(b"\r\n" + mark)
    if not parts or not end.startswith(b"--"):
        raise Refused(Errno.BODY, "multipart 请求体不完整, 缺少结尾的 boundary")
    if len(parts) != 1:
        raise Refused(Errno.PARAMETER, f"参数 file 必须是唯一的部分, 收到 {len(parts)} 个部分")
    headers, blank_line, content = parts[0].partition(b"\r\n\r\n")
    if not blank_line or not headers.startswith(b"\r\n"):
        raise Refused(Errno.BODY, "multipart 的部分没有完整的头")
    return _described(headers[2:].decode(errors="replace"), content)


def _described(headers: str, content: bytes) -> FilePart:
    lines = (line.partition(":") for line in headers.split("\r\n"))
    fields = {name.strip().lower(): value.strip() for name, _, value in lines}
    parameters = _PARAMETER.findall(fields.get("content-disposition", ""))
    given = {name.lower(): quoted.replace('\\"', '"') or plain for name, quoted, plain in parameters}
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
    return FilePart(file_name, file_type, content)

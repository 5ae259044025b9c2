"""Requests that a platform accepted, as people have them at hand: pasted curl lines, or a HAR file of a browser."""

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from attrs import field, frozen

from workorder_async.errors import ConfigError
from workorder_async.signing.scheme import SigningInput

_HEADERS: Final = ("AppId", "Timestamp", "Sign")
# What curl takes a value for; the value of what is not known here is not taken for a URL, for it has none.
_HEADER: Final = ("-H", "--header")
_METHOD: Final = ("-X", "--request")
_DATA: Final = ("-d", "--data", "--data-ascii", "--data-raw", "--data-binary", "--json")
_FORM: Final = ("-F", "--form", "--form-string", "-T", "--upload-file", "--data-urlencode")
_OTHERS: Final = (
    *("-A", "-b", "-c", "-e", "-E", "-m", "-o", "-u", "-w", "-x", "--user-agent", "--cookie", "--cookie-jar"),
    *(
        "--referer",
        "--cert",
        "--key",
        "--cacert",
        "--max-time",
        "--connect-timeout",
        "--output",
        "--user",
        "--write-out",
    ),
    *("--proxy", "--resolve", "--retry", "--ciphers", "--interface", "--limit-rate"),
)
_VALUED: Final = (*_HEADER, *_METHOD, *_DATA, *_FORM, *_OTHERS, "--url")
# $'...' of bash, in which a browser writes what holds quotes, line feeds or characters beyond ASCII.
_ANSI: Final = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_MEANT: Final = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b"}


@frozen
class Accepted:
    """One request: its three headers, and the rest of it."""

    app_id: str
    timestamp: str
    sign: str
    request: SigningInput = field(repr=False)


def accepted_requests(text: str) -> list[Accepted]:
    """Read curl lines, or a HAR file. Raises `ConfigError` where no request in it has the three headers."""
    text = text.lstrip("\ufeff").strip()
    return _of_har(text) if text.startswith("{") else list(_of_curl(text))


def _accepted(
    url: str, method: str, headers: Iterable[tuple[str, str]], body: bytes, query: str | None = None
) -> Accepted | None:
    """Return a request; None where it lacks one of the three headers."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    sent = {name.strip().lower(): value.strip() for name, value in headers}
    if not all(sent.get(name.lower()) for name in _HEADERS):
        return None
    pairs = tuple(parse_qsl(parts.query if query is None else query, keep_blank_values=True))
    request = SigningInput(method.upper(), parts.path or "/", pairs, (body,) if body else ())
    return Accepted(sent["appid"], sent["timestamp"], sent["sign"], request)


def _of_har(text: str) -> list[Accepted]:
    """Return the requests of a HAR file that have the three headers. Raises `ConfigError` where there are none."""
    found = []
    try:
        for entry in json.loads(text)["log"]["entries"]:
            asked: dict[str, Any] = entry["request"]
            headers = [(header["name"], header["value"]) for header in asked["headers"]]
            body = str((asked.get("postData") or {}).get("text", "")).encode(errors="surrogatepass")
            found.append(_accepted(asked["url"], asked["method"], headers, body))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise ConfigError(
            f"--curl has JSON that is no HAR file ({type(error).__name__}); save it anew from the browser's network "
            "tab, or paste the request as a curl line"
        ) from None
    if signed := [one for one in found if one is not None]:
        return signed
    raise ConfigError(
        f"--curl has a HAR file of {len(found)} requests, none of them with AppId, Timestamp and Sign; save it "
        "with its headers ('with sensitive data')"
    )


def _of_curl(text: str) -> Iterator[Accepted]:
    """Yield the requests of curl lines. Raises `ConfigError` for a line that cannot be read, or lacks a header."""
    if '^"' in text:
        raise ConfigError("--curl has a line for Windows' cmd; in the browser choose 'Copy as cURL (bash)'")
    one_line = text.replace("\r\n", "\n").replace("\\\n", " ")
    plain = _ANSI.sub(lambda found: shlex.quote(_ESCAPE.sub(_unescaped, found[1])), one_line)
    try:
        words = shlex.split(plain)
    except ValueError as error:
        raise ConfigError(f"--curl cannot be read: {error}; paste the whole line, with its quotes") from None
    starts = [at for at, word in enumerate(words) if word in ("curl", "curl.exe")]
    if not starts:
        raise ConfigError("--curl has neither a curl line nor a HAR file; it must begin with curl or {")
    for start, end in zip(starts, [*starts[1:], len(words)], strict=True):
        yield _of_line(words[start + 1 : end])


def _unescaped(found: "re.Match[str]") -> str:
    """Return what an escape of $'...' means."""
    code = found[1]
    if code[0] in "ux" and len(code) > 1:
        return chr(int(code[1:], 16))
    return chr(int(code, 8)) if code.isdigit() else _MEANT.get(code, code)


def _of_line(words: Sequence[str]) -> Accepted:
    """Return the request of one curl line."""
    options, urls, flags = _options(words)
    if upload := next((name for name, _ in options if name in _FORM), None):
        raise ConfigError(f"--curl has {upload}: its body is not in the line; take a request without an upload")
    if not urls:
        raise ConfigError("--curl has a line without a URL; paste the whole line")
    headers = [(name, value) for each in _values(options, _HEADER) for name, _, value in [each.partition(":")]]
    given = {name.strip().lower() for name, value in headers if value.strip()}
    if missing := [name for name in _HEADERS if name.lower() not in given]:
        raise ConfigError(f"--curl has a line without the header {', '.join(missing)}; take a request that was signed")
    data = [_content(name, value) for name, value in options if name in _DATA]
    as_query = not flags.isdisjoint(("-G", "--get"))
    body = b"" if as_query else b"&".join(data)
    method = next(reversed(_values(options, _METHOD)), "POST" if data and not as_query else "GET")
    query = b"&".join(data).decode() if as_query else None
    found = _accepted(urls[0], method, headers, body, query)
    assert found is not None  # noqa: S101 - its headers were counted above
    return found


def _options(words: Sequence[str]) -> tuple[list[tuple[str, str]], list[str], set[str]]:
    """Return what has a value, the URLs, and the flags of a curl line."""
    options, urls, flags = [], [], set()
    left = iter(words)
    for word in left:
        name, equals, glued = word.partition("=")
        if word in _VALUED:
            options.append((word, next(left, "")))
        elif equals and name in _VALUED and name.startswith("--"):
            options.append((name, glued))
        elif not word.startswith("--") and word[:2] in _VALUED:
            options.append((word[:2], word[2:]))
        elif word.startswith("-"):
            flags.add(word)
        else:
            urls.append(word)
    return options, [*_values(options, ("--url",)), *urls], flags


def _values(options: Iterable[tuple[str, str]], names: Sequence[str]) -> list[str]:
    return [value for name, value in options if name in names]


def _content(name: str, value: str) -> bytes:
    """Return the bytes that curl sends for one piece of data; @ names a file, but for --data-raw."""
    if not value.startswith("@") or name == "--data-raw":
        return value.encode(errors="surrogateescape")
    try:
        content = Path(value[1:]).read_bytes()
    except OSError as error:
        raise ConfigError(f"--curl has {name} {value}, and that file cannot be read: {error.strerror}") from None
    return content if name in ("--data-binary", "--json") else re.sub(rb"[\r\n\0]", b"", content)

"""`workorder sign detect` (a command below `sign`): which signing scheme a host uses, found from one request.

The request is given by its three headers, by curl lines as people paste them, or by a HAR file of a browser.
"""

import asyncio
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from getopt import GetoptError, getopt
from itertools import chain, groupby, pairwise
from threading import Event
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import parse_qsl, urlsplit

from cyclopts import Parameter
from cyclopts.types import ExistingFile

from workorder_async.cli.connection import APP_ID, SCHEME, SECRET, run
from workorder_async.cli.terminal import Bar, ask, ask_secret, can_ask, note, tell
from workorder_async.cli.values import content_of, text_of
from workorder_async.document.envelope import open_envelope
from workorder_async.environment import variables
from workorder_async.errors import DOCUMENTED_ERRNOS, ApiError, ConfigError, TicketStateError, WorkorderError
from workorder_async.secret import Secret
from workorder_async.signing.scheme import SigningInput
from workorder_async.signing.search import Accepted, Detected, Search, implied

_T = TypeVar("_T")

_CURL: Final = Parameter(help="A file with the request as a curl line, or a browser's HAR file; - reads it from stdin.")
_BODY: Final = Parameter(help="A file that holds exactly the bytes of its body.")
_HEADERS: Final = ("AppId", "Timestamp", "Sign")
_DATA: Final = ("-d", "--data", "--data-ascii", "--data-raw", "--data-binary", "--json")
_FORM: Final = ("-F", "--form", "--form-string", "-T", "--upload-file", "--data-urlencode")
# Options of curl, as `getopt` has them: a colon stands behind a letter with a value; and the usual words with a value.
_LETTERS: Final = "A:C:D:E:F:H:K:P:Q:T:U:X:Y:b:c:d:e:m:o:r:t:u:w:x:y:z:BGIJLMNORSVWZafghijklnpqsv#0123456789"
_VALUED: Final = (
    *("header", "request", "data", "data-ascii", "data-raw", "data-binary", "data-urlencode", "json", "form"),
    *("form-string", "upload-file", "url", "cert", "key", "user", "user-agent", "cookie", "cookie-jar", "referer"),
    *("cacert", "max-time", "connect-timeout", "output", "write-out", "proxy", "resolve", "retry", "ciphers"),
    *("interface", "limit-rate"),
)
# The pieces of a shell's line. (shlex takes time that grows with the square of the length.) $'...' is bash's: in it
# browsers write texts with quotes, line feeds or characters beyond ASCII. A ; or | ends a command, and so a word.
_PIECE: Final = re.compile(
    rb"(?P<blank>(?:[ \t\r\n;|]|\\\n)+)|(?P<plain>[^ \t\r\n;|'\"\\$]+|\$(?!'))|'(?P<single>[^']*)'|\\(?P<escaped>.)"
    rb"|\$'(?P<ansi>[^'\\]*+(?:\\.[^'\\]*+)*+)'"
    rb'|"(?P<double>[^"\\]*+(?:\\.[^"\\]*+)*+)"|(?P<open>.)',
    re.DOTALL,
)
_ESCAPE: Final = re.compile(
    rb"\\(u[0-9a-fA-F]{1,4}|U[0-9a-fA-F]{1,8}|x[0-9a-fA-F]{1,2}|[0-7]{1,3}|c[\0-\x7f]|.)", re.DOTALL
)
# Escapes of one letter in $'...', and their bytes.
_MEANT: Final = dict(zip(b"nrtabfveE\\'\"?", b"\n\r\t\a\b\f\v\x1b\x1b\\'\"?", strict=True))
# Half of a surrogate pair in bytes, which some browsers write as \ud800.
_HALF: Final = re.compile(rb"\xed[\xa0-\xbf]")
_TRIED: Final = (
    "AppId, Timestamp, secret, method, path, query and body (as it is, with sorted keys, as pairs, or its digest) in "
    "every order, with any one separator or two in turn; the secret once, before and after, or as the key of an HMAC; "
    "key=value in each case of letters, sorted or not, with the secret as a value or glued on; digests of digests, and "
    "the secret's digest in its place"
)
_LETTER: Final = (
    "您好，我们正在对接工单开放接口（AppId：{app_id}）。接口文档写明请求头需要 AppId、Timestamp 和 Sign，"
    "但签名算法在另一份文档《api接口鉴权》中，我们没有拿到。麻烦提供该文档，或者答复以下几点："
    "1）摘要算法是哪一种（MD5、SHA-1、SHA-256、SM3 等），是否为 HMAC，HMAC 的密钥是什么；"
    "2）哪些内容参与签名（AppId、Timestamp、密钥、请求方法、路径、查询参数、请求体），它们的先后顺序、分隔符或参数名是什么，"
    "密钥放在什么位置；"
    "3）请求体按原文、按键名排序后、还是先取摘要再参与签名，GET 请求和上传文件时如何处理；"
    "4）Timestamp 的单位是秒还是毫秒，允许多大的时间误差；"
    "5）Sign 如何编码（十六进制大小写、Base64），有没有前缀；"
    "6）一个完整的示例：测试用的密钥、请求的各个组成部分、待签名的字符串，以及最终的 Sign。谢谢！"
)


def detect(
    *,
    curl: Annotated[str | None, _CURL] = None,
    app_id: Annotated[str | None, Parameter(help=f"Its header AppId; by default {APP_ID}.")] = None,
    timestamp: Annotated[str | None, Parameter(help="Its header Timestamp.")] = None,
    sign: Annotated[str | None, Parameter(help="Its header Sign.")] = None,
    method: Annotated[str | None, Parameter(help="Its method; by default POST with a body, else GET.")] = None,
    path: Annotated[str | None, Parameter(help="Its path, or its whole URL.")] = None,
    query: Annotated[str | None, Parameter(help="Its query, such as 'id=1473'; by default that of the URL.")] = None,
    body_file: Annotated[ExistingFile | None, _BODY] = None,
) -> int:
    """Find the signing scheme from one request, or several, that the platform accepted.

    Take a request that works, for example of a colleague's script: pasted as a curl line, with --curl, or its AppId,
    Timestamp and Sign. What is left out of these three is asked for on a terminal, and so is the secret, unless
    WORKORDER_APP_SECRET is set. Method, path, query and body are needed only where the signature covers them. Prints
    each scheme that fits, one a line; where --curl has several requests, such as a GET and a POST, those that fit them
    all. Nothing is sent.
    """
    rest, (_, own, secret, _) = (method, path, query, body_file), variables(None)
    if curl is not None:
        if any(option is not None for option in (app_id, timestamp, sign, *rest)):
            raise ConfigError("has the whole request", argument="--curl", mend="leave out the other options")
        requests = accepted_requests(text_of("--curl", curl))
    else:
        body = content_of("--body-file", os.path.join(".", body_file)) if body_file else b""
        method = method or ("POST" if body_file else "GET")
        request = _signed("--path", method, path or "", query, body) if any(one is not None for one in rest) else None
        app_id = app_id or own.reveal().strip() or _asked("AppId", "--app-id", ask).strip()
        timestamp = timestamp or _asked("Timestamp", "--timestamp", ask).strip()
        requests = [Accepted(app_id, timestamp, sign or _asked("Sign", "--sign", ask).strip(), request)]
    return run(_report(requests, secret if secret.reveal() else _asked("Secret", SECRET, ask_secret)))


def _signed(argument: str, method: str, url: str, query: str | None, body: bytes) -> SigningInput:
    """Return the parts of a request that may be signed. Raises `ConfigError` for a URL that cannot be read."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigError(f"has a URL that cannot be read: {error}", argument=argument) from None
    pairs = parse_qsl(parts.query if query is None else query, keep_blank_values=True)
    path = parts.path or ("/" if parts.netloc else "")
    return SigningInput(method, path, tuple(pairs), (body,) if body else ())


def _asked(what: str, source: str, ask: Callable[[str], _T]) -> _T:
    if not can_ask():
        mend = f"set {source}, or run this on a terminal, where it is asked for"
        raise ConfigError("is missing", argument=what, mend=mend)
    return ask(what)


async def _report(requests: Sequence[Accepted], secret: Secret) -> int:
    found = await _found(requests, secret)
    for scheme in found.schemes:
        tell(str(scheme))
    if found.schemes:
        note(f"put the first line into the environment: export {SCHEME}='...'; `workorder doctor` tries it")
        if found.deciding:
            note(f"to be sure, put further requests into the file for --curl: {'; '.join(found.deciding)}")
    elif found.alone:
        note(f"workorder: no scheme fits all {len(requests)} requests; these fit the one that shows most:")
        for scheme in found.alone:
            note(f"  {scheme}")
    else:
        known = all(one.request is not None for one in requests)
        unsaid = "; method, path, query and body were not given: add --curl, or --path, --query and --body-file"
        belong = "check that AppId, Timestamp, Sign and secret belong to one and the same request, unchanged"
        note(f"workorder: no scheme that was tried gives this Sign; {belong}{'' if known else unsaid}")
        note(f"the signature: {implied(requests[0].sign)}")
        note(f"tried: {found.tried:,} signatures: {_TRIED}")
        signer = "write a Signer of your own (see workorder_async.Signer)"
        note(f"if it is none of these, {signer}, or ask those who run the platform; a letter to send:")
        note(_LETTER.format(app_id=requests[0].app_id))
    return 0 if found.schemes else 1


async def _found(requests: Sequence[Accepted], secret: Secret) -> Detected:
    """Search in a thread, with a bar. So Ctrl-C cancels at once, and `over` ends the thread soon after it."""
    over = Event()
    search = Search(requests, secret, over.is_set)
    found = asyncio.get_running_loop().run_in_executor(None, search.run)
    try:
        with Bar("searching", unit="signatures") as bar:
            while not found.done():
                await asyncio.wait([found], timeout=0.1)
                if search.total:
                    bar(search.tried, search.total)
        return found.result()
    finally:
        over.set()
        found.cancel()


def accepted_requests(text: str) -> list[Accepted]:
    """Read curl lines, or a HAR file. Raises `ConfigError` where no request in it has the three headers."""
    text = text.lstrip("\ufeff").strip()
    return _of_har(text) if text.startswith("{") else _of_curl(text)


def _headers_of(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the headers that are not empty, by their names in small letters."""
    return {name.strip().lower(): value.strip() for name, value in pairs if value.strip()}


def _accepted(url: str, method: str, headers: Mapping[str, str], body: bytes) -> Accepted:
    request = _signed("--curl", method.upper(), url if "//" in url else f"//{url}", None, body)
    return Accepted(headers["appid"], headers["timestamp"], headers["sign"], request)


def _of_har(text: str) -> list[Accepted]:
    """Return the requests of a HAR file that have the three headers. Raises `ConfigError` where there are none.

    Requests that the platform refused are left out, since their signature may be wrong; if all were refused, all are
    returned.
    """
    signed, refused = list[Accepted](), list[Accepted]()
    try:
        entries: list[dict[str, Any]] = json.loads(text)["log"]["entries"]
        for entry in entries:
            one = entry["request"]
            headers = _headers_of((header["name"], header["value"]) for header in one["headers"])
            body = str((one.get("postData") or {}).get("text", "")).encode(errors="surrogatepass")
            if all(name.lower() in headers for name in _HEADERS):
                kept = refused if _is_refused(entry.get("response")) else signed
                kept.append(_accepted(one["url"], one["method"], headers, body))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        mend = "save it anew from the browser's network tab, or paste the request as a curl line"
        raise _refused(f"JSON that is no HAR file ({type(error).__name__})", mend) from None
    if not (signed or refused):
        what = f"a HAR file of {len(entries)} requests, none of them with AppId, Timestamp and Sign"
        raise _refused(what, "save it with its headers ('with sensitive data')")
    return signed or refused


def _is_refused(response: Any) -> bool:
    """Tell whether a response of a HAR file is a refusal; False for a response that cannot be read."""
    try:
        open_envelope(response["status"], response["content"]["text"].encode(errors="replace"), DOCUMENTED_ERRNOS)
    except ApiError as error:
        return not isinstance(error, TicketStateError)  # a ticket's status is checked after the signature was accepted
    except (WorkorderError, TypeError, LookupError, AttributeError):
        pass
    return False


def _refused(what: str, mend: str) -> ConfigError:
    return ConfigError(f"has {what}", argument="--curl", mend=mend)


def _of_curl(text: str) -> list[Accepted]:
    """Return the requests of curl lines. Raises `ConfigError` for a line that cannot be read, or lacks a header."""
    if re.search(r'[\s\\]\^"', text):
        raise _refused("a line for Windows' cmd", "in the browser choose 'Copy as cURL (bash)'")
    try:
        words = list(_words(text.replace("\r\n", "\n")))
        starts = [at for at, word in enumerate(words) if re.fullmatch(r"([^:]*/)?curl(\.exe)?", word)]
        if not starts:
            raise _refused("neither a curl line nor a HAR file", "it must begin with curl or {")
        lines = [words[start + 1 : end] for start, end in pairwise([*starts, len(words)])]
        return [_of_line(*_options(line)) for line in lines]
    except (ValueError, OverflowError, GetoptError) as error:
        mend = "paste the whole line, with its quotes"
        raise ConfigError(f"cannot be read: {error}", argument="--curl", mend=mend) from None


def _words(text: str) -> Iterator[str]:
    """Yield the words of a shell's lines; bytes that are no UTF-8 become surrogates. Raises `ValueError`."""
    found = _PIECE.finditer(text.encode(errors="surrogatepass"))
    for is_blank, pieces in groupby(found, lambda piece: piece.lastgroup == "blank"):
        if not is_blank:
            yield b"".join(map(_unquoted, pieces)).decode(errors="surrogateescape")


def _unquoted(piece: "re.Match[bytes]") -> bytes:
    kind, content = piece.lastgroup, piece[str(piece.lastgroup)]
    if kind == "open":
        raise ValueError("No escaped character" if content == b"\\" else "No closing quotation")
    if kind == "double":
        return re.sub(rb'\\([$`"\\]|\n)', lambda one: one[1].strip(b"\n"), content)
    return _ESCAPE.sub(_unescaped, content) if kind == "ansi" else content


def _unescaped(found: "re.Match[bytes]") -> bytes:
    """Return the characters of an escape of $'...'."""
    kind, code = found[1][:1], found[1][1:]
    if kind in b"uU" and code:
        return chr(int(code, 16)).encode(errors="surrogatepass")
    if kind == b"c" and code:
        return bytes([code[0] & 0x1F])
    if kind == b"x" and code:
        return bytes([int(code, 16)])
    if kind in b"01234567":
        return bytes([int(found[1], 8) & 0xFF])
    return bytes([_MEANT[kind[0]]]) if kind[0] in _MEANT else found[0]


def _of_line(options: Sequence[tuple[str, str]], urls: Sequence[str]) -> Accepted:
    if upload := next((name for name, _ in options if name in _FORM), None):
        raise _refused(f"{upload}: its body is not in the line", "take a request without an upload")
    if not urls:
        raise _refused("a line without a URL", "paste the whole line")
    lines = (line.partition(":") for line in _values(options, ("-H", "--header")))
    headers = _headers_of((name, value) for name, _, value in lines)
    if missing := [name for name in _HEADERS if name.lower() not in headers]:
        raise _refused(f"a line without the header {', '.join(missing)}", "take a request that was signed")
    if held := next((name for name in _HEADERS if "$" in headers[name.lower()]), None):
        mend = "paste the line as it was sent, as `bash -x` or `curl -v` shows it"
        raise _refused(f"{headers[held.lower()]!r} for {held}, which a shell fills in", mend)
    # Each piece of data after the text that joins it to the piece before; the first of these texts is cut off below.
    data = [(b"" if name == "--json" else b"&", _content(name, value)) for name, value in options if name in _DATA]
    url, method, body = urls[0], "POST" if data else "GET", b"".join([*chain.from_iterable(data)][1:])
    if _values(options, ("-G", "--get")):
        query = body.decode(errors="surrogateescape")
        url, method, body = f"{url}{'&' if '?' in url else '?'}{query}", "GET", b""
    return _accepted(url, next(reversed(_values(options, ("-X", "--request"))), method), headers, body)


def _options(words: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the options of a curl line, and its URLs. Raises `GetoptError`."""
    options, urls, left = list[tuple[str, str]](), list[str](), list(words)
    # An unknown option is taken to have no value, unless it is written --NAME=VALUE.
    others = [word[2:].partition("=") for word in words if word.startswith("--")]
    long = [*(f"{name}=" for name in _VALUED), *(name + equals for name, equals, _ in others if name not in _VALUED)]
    while left:
        found, left = getopt(left, _LETTERS, long)
        options += found
        urls += left[:1]
        left = left[1:]
    # Words with :// first: a word without it may be the value of an unknown option.
    return options, sorted((*_values(options, ("--url",)), *urls), key=lambda url: "://" not in url)


def _values(options: Iterable[tuple[str, str]], names: Sequence[str]) -> list[str]:
    return [value for name, value in options if name in names]


def _content(name: str, value: str) -> bytes:
    """Return the bytes that curl sends for one piece of data; @FILE names a file, except in --data-raw."""
    if not value.startswith("@") or name == "--data-raw":
        content = value.encode(errors="surrogateescape")
        if _HALF.search(content):
            raise _refused(f"{name} with half a character, which has no UTF-8 bytes", "take a request as it was sent")
        return content
    if value == "@-":
        raise _refused(f"{name} @-: its body is not in the line", "save the body to a file, and name that")
    content = content_of(f"--curl: {name}", value[1:])
    return content if name in ("--data-binary", "--json") else re.sub(rb"[\r\n\0]", b"", content)

r"""Signing: what a signer is, and the one-line scheme language.

The platform's signing algorithm is in another document ("api接口鉴权"), which is not public: nothing here pretends to
know it. A signer is anything with `sign(request) -> headers`; `SchemeSigner` is one whose algorithm is a line of text:

    DIGEST[,OPTION...]:TEMPLATE

    md5:{app_id}{timestamp}{secret}          hmac-sha256:{app_id}{timestamp}          sha1,HEX,ms:{secret}{timestamp}

DIGEST       md5 sha1 sha256 sha512 sm3 (where OpenSSL has it), or hmac- and one of these: keyed with the secret
OPTION       hex (default) HEX base64: how the digest is written; s (default) ms: the unit of Timestamp
TEMPLATE     text, as UTF-8, with {app_id} {timestamp} {secret} {method} {path} {query} {body} {body_md5} {body_sha256};
             {query} is k=v pairs, unescaped, sorted and joined by &; the digests of the body are lower-case hex;
             {{ and }} are literal braces, \n is a line feed and \\ a backslash

`detecting.py` finds the scheme of a host from one request that it accepted.
"""

import base64
import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NoReturn, Protocol

from attrs import field, frozen

from workorder_async.errors import ConfigError
from workorder_async.secret import Secret

DIGESTS = ("md5", "sha1", "sha256", "sha512", "sm3")
ENCODINGS: Mapping[str, Callable[[bytes], str]] = {
    "hex": bytes.hex,
    "HEX": lambda digest: digest.hex().upper(),
    "base64": lambda digest: base64.b64encode(digest).decode(),
}
UNITS = ("s", "ms")
PLACEHOLDERS = ("app_id", "timestamp", "secret", "method", "path", "query", "body", "body_md5", "body_sha256")

_TOKEN = re.compile(r"\{\{|\}\}|\\n|\\\\|\{([^{}]*)\}|[{}]")
_ESCAPES = {"{{": "{", "}}": "}", "\\n": "\n", r"\\": "\\"}


@frozen
class SigningInput:
    """What there is to sign in one attempt: exactly what is sent, at the moment it is sent.

    `path` is the URL's path, and `query` its pairs before escaping. `body` is the bytes of the body in pieces: none for
    a GET, and for an upload read from the disk when they are asked for. `timestamp_ms` is milliseconds since the epoch
    by the server's clock.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Iterable[bytes] = field(default=(), repr=False)
    timestamp_ms: int = 0


class Signer(Protocol):
    """Anything that can sign: write one where a line of scheme is not enough.

    `sign` is called once for every attempt and returns the headers to add; the platform wants `AppId`, `Timestamp`
    and `Sign`. For an upload it is called in a thread, since the body is read from the disk. A signer with an attribute
    `signs_body` that is False is always called in the event loop.
    """

    def sign(self, request: SigningInput) -> Mapping[str, str]:
        """Return the headers that sign this request."""
        ...


def _body_digest(digest: str) -> Callable[[SigningInput], Iterable[bytes]]:
    """Return what makes the hex digest of a request's body."""

    def pieces(request: SigningInput) -> Iterable[bytes]:
        hasher = hashlib.new(digest)
        for chunk in request.body:
            hasher.update(chunk)
        yield hasher.hexdigest().encode()

    return pieces


_FROM_REQUEST: Mapping[str, Callable[[SigningInput], Iterable[bytes]]] = {
    "method": lambda request: (request.method.encode(),),
    "path": lambda request: (request.path.encode(),),
    "query": lambda request: ("&".join(f"{key}={value}" for key, value in sorted(request.query)).encode(),),
    "body": lambda request: request.body,
    "body_md5": _body_digest("md5"),
    "body_sha256": _body_digest("sha256"),
}


@frozen
class Scheme:
    """One parsed line of the scheme language; `str(scheme)` is the line."""

    text: str
    digest: str
    keyed: bool
    encoding: str
    unit: str
    #: Literal text and placeholders in turn: ("", "app_id"), ("&", "timestamp"), ("", None) ...
    template: tuple[tuple[str, str | None], ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "Scheme":
        """Read one line; a `ConfigError` names the part that cannot be read and what may stand there."""
        head, colon, template = text.partition(":")
        if not colon:
            raise ConfigError(
                f"the signing scheme {text!r} has no ':'; write DIGEST[,OPTION...]:TEMPLATE, "
                "for example md5:{app_id}{timestamp}{secret}"
            )
        name, *options = head.strip().split(",")
        keyed = name.startswith("hmac-")
        digest = _known_digest(name, name.removeprefix("hmac-"))
        encoding, unit = _options(options)
        parts = tuple(_split_template(template))
        names = {placeholder for _, placeholder in parts}
        if not keyed and "secret" not in names:
            raise ConfigError(
                f"the signing scheme {text!r} never uses the secret, so anyone could sign; "
                f"put {{secret}} into its template or use hmac-{digest}"
            )
        return cls(text, digest, keyed, encoding, unit, parts)

    def __str__(self) -> str:
        return self.text

    @property
    def signs_body(self) -> bool:
        """Whether the template takes in the body or a digest of it."""
        return any(name is not None and name.startswith("body") for _, name in self.template)

    @property
    def signs_request(self) -> bool:
        """Whether the template takes in more of a request than the AppId and the timestamp."""
        return any(name in _FROM_REQUEST for _, name in self.template)

    def timestamp(self, milliseconds: int) -> str:
        """Return the `Timestamp` header for this time, in the scheme's unit."""
        return str(milliseconds if self.unit == "ms" else milliseconds // 1000)

    def signature(self, request: SigningInput, *, app_id: str, secret: str | Secret, timestamp: str) -> str:
        """Return the `Sign` header; `timestamp` is the header's text, `request.timestamp_ms` is not read."""
        secret = Secret(secret)
        hasher = hmac.new(secret.encoded(), digestmod=self.digest) if self.keyed else hashlib.new(self.digest)
        own = {"app_id": app_id.encode(), "timestamp": timestamp.encode()}
        for literal, name in self.template:
            if literal:
                hasher.update(literal.encode())
            if name in own:
                hasher.update(own[name])
            elif name == "secret":
                hasher.update(secret.encoded())
            elif name is not None:
                for piece in _FROM_REQUEST[name](request):
                    hasher.update(piece)
        return ENCODINGS[self.encoding](hasher.digest())


def _known_digest(name: str, digest: str) -> str:
    """Return the digest of a scheme. Raises `ConfigError` for one that is unknown or missing here."""
    if digest not in DIGESTS:
        raise ConfigError(
            f"unknown digest {name!r} in the signing scheme; use one of {', '.join(DIGESTS)}, or hmac- before one"
        )
    if digest not in hashlib.algorithms_available:
        raise ConfigError(f"this Python's OpenSSL has no {digest}; use another digest or another build of Python")
    return digest


def _options(options: Iterable[str]) -> tuple[str, str]:
    """Return encoding and unit. Raises `ConfigError` for an option that is unknown or contradicts another."""
    chosen: dict[str, str] = {}
    for option in options:
        kind = "encoding" if option in ENCODINGS else "unit" if option in UNITS else None
        if kind is None:
            raise ConfigError(f"unknown option {option!r} in the signing scheme; use {', '.join((*ENCODINGS, *UNITS))}")
        if kind in chosen:
            raise ConfigError(f"the signing scheme says both {chosen[kind]!r} and {option!r}; choose one")
        chosen[kind] = option
    return chosen.get("encoding", "hex"), chosen.get("unit", "s")


def _split_template(template: str) -> Iterator[tuple[str, str | None]]:
    """Yield the template as literal text and the placeholder behind it; the last text has None behind it."""
    if not template:
        raise ConfigError("the signing scheme has an empty template; for example {app_id}{timestamp}{secret}")
    _require_utf8("the signing scheme", template)
    if any(unicodedata.category(character) == "Cc" for character in template):
        raise ConfigError(
            f"the signing scheme's template {template!r} holds a control character; write \\n for a line feed"
        )
    literal, end = "", 0
    for token in _TOKEN.finditer(template):
        literal += template[end : token.start()]
        end = token.end()
        if token.group() in _ESCAPES:
            literal += _ESCAPES[token.group()]
            continue
        name = token.group(1)
        if name is None:
            raise ConfigError(
                f"a lone {token.group()!r} at position {token.start()} of the template {template!r}; "
                f"double it to mean the character itself"
            )
        if name not in PLACEHOLDERS:
            raise ConfigError(
                f"unknown placeholder {{{name}}} in the signing scheme; use "
                + ", ".join(f"{{{known}}}" for known in PLACEHOLDERS)
            )
        yield literal, name
        literal = ""
    yield literal + template[end:], None


def _require_utf8(what: str, text: str) -> None:
    """Raise `ConfigError` for text that has no UTF-8 bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{what} holds a lone surrogate, which has no UTF-8 bytes to sign") from None


class SchemeSigner:
    """Signs by a scheme: adds `AppId`, `Timestamp` and `Sign` (API document: 请求Header of every endpoint).

    `scheme` is a line of the scheme language, or a parsed `Scheme`. The secret is in no repr, log, error or traceback
    with locals. A signer refuses to be pickled: make a new one where it is needed, for example with
    `WorkorderClient.from_env()`.
    """

    def __init__(self, app_id: str, app_secret: str | Secret, scheme: str | Scheme) -> None:
        app_secret = Secret(app_secret)
        if not app_id or not app_id.isascii() or not app_id.isprintable() or app_id.strip() != app_id:
            raise ConfigError(
                f"app_id {app_id!r} cannot be an HTTP header; use the AppId you were given, without blanks around it"
            )
        if complaint := app_secret.complaint():
            raise ConfigError(f"app_secret {complaint}")
        self.app_id = app_id
        self.scheme: Scheme = scheme if isinstance(scheme, Scheme) else Scheme.parse(scheme)
        self._secret = app_secret

    @property
    def signs_body(self) -> bool:
        """Whether the scheme takes in the body or a digest of it."""
        return self.scheme.signs_body

    def sign(self, request: SigningInput) -> Mapping[str, str]:
        """Return the three headers for this request."""
        timestamp = self.scheme.timestamp(request.timestamp_ms)
        sign = self.scheme.signature(request, app_id=self.app_id, secret=self._secret, timestamp=timestamp)
        return {"AppId": self.app_id, "Timestamp": timestamp, "Sign": sign}

    def __repr__(self) -> str:
        # A traceback with locals also shows a signer that is half made.
        made = "scheme" in vars(self)
        return f"SchemeSigner(app_id={self.app_id!r}, scheme={self.scheme.text!r})" if made else "SchemeSigner()"

    def __reduce__(self) -> NoReturn:
        raise ConfigError("a signer holds the secret and is not pickled; make it anew on the other side")

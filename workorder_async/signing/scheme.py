r"""Signing: the signer, and the one-line scheme language.

The platform's signing algorithm is in another document ("api接口鉴权"), which is not public: nothing here pretends to
know it. A signer is anything with `sign(request) -> headers`; `SchemeSigner` is one whose algorithm is a line of text:

    DIGEST[,OPTION...]:TEMPLATE

    md5:{app_id}{timestamp}{secret}          hmac-sha256:{app_id}{timestamp}          sha1,HEX,ms:{secret}{timestamp}
    hmac-sha256,base64,key={md5({secret})}:{method}\n{path}\n{timestamp}

DIGEST       md5 sha1 sha224 sha256 sha384 sha512 sm3 (where OpenSSL has it), or hmac- and one of these
OPTION       hex (default) HEX base64 base64url base64-hex: how the digest is written; the last is base64 of the hex
             unpadded: base64 without = at its end          s (default) ms: the unit of Timestamp
             prefix=TEXT: stands before the signature, such as prefix=sha256= or prefix=HMAC%20; %20 %2C %3A %25 are a
             blank, a comma, a colon and %
             key=TEMPLATE: the key of an hmac-; {secret} by default, such as key={md5({secret})}
TEMPLATE     text, as UTF-8, with {app_id} {timestamp} {secret} {method} {path} {query} {body} {body_md5} {body_sha256};
             {query} is k=v pairs, unescaped, sorted and joined by &; the digests of the body are lower-case hex;
             {body_sorted} is a body of JSON with its keys sorted, no blanks, as UTF-8; with _spaced behind it a blank
             after each comma and colon, with _ascii other characters as \uXXXX (json.dumps of Python, with sort_keys,
             writes {body_sorted_spaced_ascii}); {body_pairs} is k=v of its fields, sorted and joined by &;
             {md5(TEMPLATE)} {MD5(TEMPLATE)} {md5_base64(TEMPLATE)}, and so for each digest, is the digest of the text
             inside; {sorted(a={app_id}&{query}&{body_pairs})} sorts the pairs between & by their keys, and {glued(...)}
             does so and leaves out each & and =;
             {{ and }} are literal braces, \n is a line feed, \t a tab and \\ a backslash; inside a call, )} ends it

`search.py` finds the scheme of a host from one request that it accepted.
"""

import base64
import hashlib
import hmac
import json
import re
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain
from operator import methodcaller
from typing import Any, NoReturn, Protocol, TypeAlias
from urllib.parse import unquote

from attrs import field, frozen

from workorder_async.arguments import has_bytes, kind_of
from workorder_async.document.json_text import is_sound
from workorder_async.errors import ConfigError
from workorder_async.secret import Secret

__all__ = ["SchemeSigner", "Signer", "SigningInput"]

DIGESTS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sm3")

_OUTSIDE = re.compile(r"\{\{|\}\}|\\[nt\\]|\{(\w+)\(|\{([^{}]*)\}|[{}]")
_INSIDE = re.compile(rf"\)\}}|{_OUTSIDE.pattern}")
_ESCAPES = {"{{": b"{", "}}": b"}", "\\n": b"\n", "\\t": b"\t", r"\\": b"\\"}
_NO_BLANKS = (",", ":")


@frozen
class SigningInput:
    """One request to sign: exactly the bytes and the time of one attempt.

    `path` is the URL's path as it is sent, and `query` its pairs before escaping. `body` is the bytes of the body in
    pieces: none for a GET, and for an upload read from the disk when they are asked for. `timestamp_ms` is milliseconds
    since the epoch by the server's clock.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Iterable[bytes] = field(default=(), repr=False)
    timestamp_ms: int = 0


@frozen
class Signed:
    """The values of the placeholders: a request, and the three texts beside it."""

    request: SigningInput
    app_id: str
    timestamp: str
    secret: Secret


def _pairs_of_query(signed: Signed) -> list[bytes]:
    return [f"{key}={value}".encode() for key, value in sorted(signed.request.query)]


def json_of(body: Iterable[bytes]) -> tuple[object, Iterable[bytes]]:
    """Return the value of a body of JSON, else None; and the body, which is read as a whole if it begins as JSON."""
    pieces = iter(body)
    first = next((piece for piece in pieces if piece), b"")
    if first[:1] not in (b"{", b"["):
        return None, chain((first,), pieces)
    whole = b"".join((first, *pieces))
    value = None
    with suppress(ValueError, RecursionError):
        value = json.loads(whole)
    return value if is_sound(value) else None, (whole,)


def _sorted_body(**options: Any) -> Callable[[Signed], Iterable[bytes]]:
    """Return a function that writes a body of JSON again with its keys sorted; another body stays as it is."""

    def pieces(signed: Signed) -> Iterable[bytes]:
        value, body = json_of(signed.request.body)
        if value is None:
            return body
        return (json.dumps(value, sort_keys=True, **options).encode(errors="surrogatepass"),)

    return pieces


def _pairs_of_body(signed: Signed) -> list[bytes]:
    """Return k=v of each field of a JSON object, sorted: texts as they are, all else as JSON."""
    value, _ = json_of(signed.request.body)
    if not isinstance(value, dict):
        return []
    write = partial(json.dumps, separators=_NO_BLANKS, ensure_ascii=False)
    pairs = (f"{key}={one if isinstance(one, str) else write(one)}" for key, one in sorted(value.items()))
    return [pair.encode(errors="surrogatepass") for pair in pairs]


def _body_digest(digest: str) -> Callable[[Signed], Iterable[bytes]]:
    return lambda signed: (_hashed(digest, signed.request.body).hex().encode(),)


_PAIRS: Mapping[str, Callable[[Signed], list[bytes]]] = {"query": _pairs_of_query, "body_pairs": _pairs_of_body}
_PLACEHOLDERS: Mapping[str, Callable[[Signed], Iterable[bytes]]] = {
    "app_id": lambda signed: (signed.app_id.encode(),),
    "timestamp": lambda signed: (signed.timestamp.encode(),),
    "secret": lambda signed: (signed.secret.encoded(),),
    "method": lambda signed: (signed.request.method.encode(),),
    "path": lambda signed: (signed.request.path.encode(),),
    "query": lambda signed: (b"&".join(_pairs_of_query(signed)),),
    "body": lambda signed: signed.request.body,
    "body_md5": _body_digest("md5"),
    "body_sha256": _body_digest("sha256"),
    "body_sorted": _sorted_body(separators=_NO_BLANKS, ensure_ascii=False),
    "body_sorted_ascii": _sorted_body(separators=_NO_BLANKS),
    "body_sorted_spaced": _sorted_body(ensure_ascii=False),
    "body_sorted_spaced_ascii": _sorted_body(),
    "body_pairs": lambda signed: (b"&".join(_pairs_of_body(signed)),),
}
PLACEHOLDERS = tuple(_PLACEHOLDERS)

ENCODINGS: Mapping[str, Callable[[bytes], str]] = {
    "hex": bytes.hex,
    "HEX": lambda digest: digest.hex().upper(),
    "base64": lambda digest: base64.b64encode(digest).decode(),
    "base64url": lambda digest: base64.urlsafe_b64encode(digest).decode(),
    "base64-hex": lambda digest: base64.b64encode(digest.hex().encode()).decode(),
}
UNITS = ("s", "ms")
#: The calls that digest their content, with the digest and the way in which it is written.
HASHES: Mapping[str, tuple[str, str]] = {
    **{digest: (digest, "hex") for digest in DIGESTS},
    **{digest.upper(): (digest, "HEX") for digest in DIGESTS},
    **{f"{digest}_base64": (digest, "base64") for digest in DIGESTS},
}
CALLS = (*HASHES, "sorted", "glued")


def _feed(update: Callable[[bytes], object], pieces: Iterable[bytes]) -> None:
    """Pass on each piece. No variable holds one: it may be the secret, and a traceback with locals would show it."""
    deque(map(update, pieces), maxlen=0)


def _hashed(digest: str, pieces: Iterable[bytes]) -> bytes:
    hasher = hashlib.new(digest)
    _feed(hasher.update, pieces)
    return hasher.digest()


# Not a comprehension, whose variable would hold a pair with the secret.
_key_and_value = methodcaller("partition", b"=")


# Literal text, the name of a placeholder, or a call.
Node: TypeAlias = "bytes | str | Template"


@frozen
class Template:
    """One parsed template: text with placeholders and calls, read strictly and rendered as bytes.

    The content of a call is a template, too, with the name of the call in `call`.
    """

    nodes: tuple[Node, ...]
    call: str = ""

    @classmethod
    def parse(cls, text: str) -> "Template":
        """Read a template; a `ConfigError` names the part that cannot be read and what may stand there."""
        if not text:
            mend = "for example {app_id}{timestamp}{secret}"
            raise ConfigError("the signing scheme has an empty template", mend=mend)
        if not has_bytes(text):
            raise ConfigError("the signing scheme holds a lone surrogate, which has no UTF-8 bytes to sign")
        if any(unicodedata.category(character) == "Cc" for character in text):
            mend = "write \\n for a line feed and \\t for a tab"
            raise ConfigError(f"the signing scheme's template {text!r} holds a control character", mend=mend)
        return cls(_nodes(text, 0, "")[0])

    @property
    def names(self) -> frozenset[str]:
        """The placeholders that stand anywhere in it."""
        names = [node.names if isinstance(node, Template) else {node} for node in self.nodes]
        return frozenset(name for some in names for name in some if isinstance(name, str))

    def render(self, signed: Signed) -> Iterator[bytes]:
        """Yield its bytes in pieces; a body that stands in it as it is goes through piece by piece."""
        for node in self.nodes:
            if isinstance(node, bytes):
                yield node
            elif isinstance(node, str):
                yield from _PLACEHOLDERS[node](signed)
            else:
                yield node._called(signed)

    def _called(self, signed: Signed) -> bytes:
        """Return the bytes that the call makes of them."""
        if self.call in ("sorted", "glued"):
            pairs = sorted(map(_key_and_value, self._pairs(signed)))
            between, equals = (b"&", b"=") if self.call == "sorted" else (b"", b"")
            return between.join(key + (equals and sign) + value for key, sign, value in pairs)
        digest, encoding = HASHES[self.call]
        return ENCODINGS[encoding](_hashed(digest, self.render(signed))).encode()

    def _pairs(self, signed: Signed) -> Iterator[bytes]:
        """Yield the texts between the &; a query or a body's pairs that stand alone there pair by pair."""
        between: list[list[Node]] = [[]]
        for node in self.nodes:
            texts = node.split(b"&") if isinstance(node, bytes) else [node]
            between[-1].append(texts[0])
            between += [[text] for text in texts[1:]]
        for nodes in between:
            alone = [node for node in nodes if node]
            pairs = _PAIRS.get(alone[0]) if len(alone) == 1 and isinstance(alone[0], str) else None
            yield from pairs(signed) if pairs else (b"".join(Template(tuple(alone)).render(signed)),)


def _nodes(text: str, at: int, call: str) -> tuple[tuple[Node, ...], int]:
    """Return the nodes from a position on, to the end of the call or of the text, and where that is."""
    found = list[Node]()
    while token := (_INSIDE if call else _OUTSIDE).search(text, at):
        found.append(text[at : token.start()].encode())
        if token.group() == ")}":
            return tuple(filter(None, found)), token.end()
        node, at = _node(text, token)
        found.append(node)
    if call:
        raise ConfigError(f"the call {{{call}( of the template {text!r} has no end", mend="close it with )}")
    return tuple(filter(None, [*found, text[at:].encode()])), len(text)


def _node(text: str, token: "re.Match[str]") -> tuple[Node, int]:
    """Return the placeholder, the call or the character that a token begins, and where it ends."""
    if token.group() in _ESCAPES:
        return _ESCAPES[token.group()], token.end()
    call, name = token.groups()
    if call is not None:
        if call not in CALLS:
            mend = f"use one of {', '.join(CALLS)}"
            raise ConfigError(f"unknown call {{{call}(...)}} in the signing scheme", mend=mend)
        if call in HASHES:
            require_digest(HASHES[call][0])
        inside, end = _nodes(text, token.end(), call)
        return Template(inside, call), end
    if name is None:
        problem = f"a lone {token.group()!r} at position {token.start()} of the template {text!r}"
        raise ConfigError(problem, mend="double it to mean the character itself")
    if name not in PLACEHOLDERS:
        mend = f"use {', '.join(f'{{{known}}}' for known in PLACEHOLDERS)}"
        raise ConfigError(f"unknown placeholder {{{name}}} in the signing scheme", mend=mend)
    return name, token.end()


def require_digest(digest: str) -> None:
    """Raise `ConfigError` for a digest that this Python lacks."""
    if digest not in hashlib.algorithms_available:
        mend = "use another digest or another build of Python"
        raise ConfigError(f"this Python's OpenSSL has no {digest}", mend=mend)


_WORDS = {**dict.fromkeys(ENCODINGS, "encoding"), **dict.fromkeys(UNITS, "unit"), "unpadded": "padding"}


class Signer(Protocol):
    """Anything that can sign: write one where a line of scheme is not enough.

    `sign` is called once for every attempt and returns the headers to add; the platform wants `AppId`, `Timestamp`
    and `Sign`. For an upload it is called in a thread, since the body is read from the disk. A signer with an attribute
    `signs_body` that is False is always called in the event loop.
    """

    def sign(self, request: SigningInput) -> Mapping[str, str]:
        """Return the headers that sign this request."""
        ...


@frozen
class Scheme:
    """One parsed line of the scheme language; `str(scheme)` is the line."""

    text: str
    digest: str
    encoding: str
    unit: str
    template: Template = field(repr=False)
    key: Template = field(repr=False)
    """The key of an HMAC; empty for a plain digest."""
    padded: bool
    prefix: str

    @classmethod
    def parse(cls, text: str) -> "Scheme":
        """Read one line; a `ConfigError` names the part that cannot be read and what may stand there."""
        if not isinstance(text, str):
            mend = "it must be text, such as 'md5:{app_id}{timestamp}{secret}'"
            raise ConfigError(f"is {kind_of(text)}", argument="the signing scheme", mend=mend)
        head, colon, rest = text.partition(":")
        if not colon:
            mend = "write DIGEST[,OPTION...]:TEMPLATE, for example md5:{app_id}{timestamp}{secret}"
            raise ConfigError(f"the signing scheme {text!r} has no ':'", mend=mend)
        name, *words = head.strip().split(",")
        keyed = name.startswith("hmac-")
        digest = name.removeprefix("hmac-")
        if digest not in DIGESTS:
            mend = f"use one of {', '.join(DIGESTS)}, or hmac- before one"
            raise ConfigError(f"unknown digest {name!r} in the signing scheme", mend=mend)
        require_digest(digest)
        options = _options(words)
        if "key" in options and not keyed:
            problem = f"the signing scheme {text!r} has a key, which {digest} takes none of"
            raise ConfigError(problem, mend=f"use hmac-{digest}")
        template = Template.parse(rest)
        key = Template.parse(options.get("key", "{secret}")) if keyed else Template(())
        if "secret" not in template.names | key.names:
            mend = f"put {{secret}} into its template or use hmac-{digest}"
            raise ConfigError(f"the signing scheme {text!r} never uses the secret, so anyone could sign", mend=mend)
        encoding, unit = options.get("encoding", "hex"), options.get("unit", "s")
        return cls(text, digest, encoding, unit, template, key, "padding" not in options, options["prefix"])

    def __str__(self) -> str:
        return self.text

    @property
    def names(self) -> frozenset[str]:
        """The placeholders that the signature depends on."""
        return self.template.names | self.key.names

    @property
    def signs_body(self) -> bool:
        """Whether the scheme takes in the body or a digest of it."""
        return any(name.startswith("body") for name in self.names)

    def timestamp(self, milliseconds: int) -> str:
        """Return the `Timestamp` header for this time, in the scheme's unit."""
        return str(milliseconds if self.unit == "ms" else milliseconds // 1000)

    def signature(self, request: SigningInput, *, app_id: str, secret: str | Secret, timestamp: str) -> str:
        """Return the `Sign` header; `timestamp` is the header's text, `request.timestamp_ms` is not read."""
        secret = Secret(secret)
        signed = Signed(request, app_id, timestamp, secret)
        pieces = self.template.render(signed)
        # No variable holds the key: a traceback with locals would show it.
        if not self.key.nodes:
            digest = _hashed(self.digest, pieces)
        elif isinstance(request.body, tuple):
            # A body in memory is signed in one go, in half the time.
            digest = hmac.digest(b"".join(self.key.render(signed)), b"".join(pieces), self.digest)
        else:
            mac = hmac.new(b"".join(self.key.render(signed)), digestmod=self.digest)
            _feed(mac.update, pieces)
            digest = mac.digest()
        text = ENCODINGS[self.encoding](digest)
        return self.prefix + (text if self.padded else text.rstrip("="))


def _options(words: Iterable[str]) -> dict[str, str]:
    """Return the value of each option by its kind. Raises `ConfigError` for an unknown or contradictory option."""
    chosen: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        kind = name if equals and name in ("prefix", "key") else _WORDS.get(word)
        if kind is None:
            mend = f"use {', '.join(_WORDS)}, prefix=TEXT or key=TEMPLATE"
            raise ConfigError(f"unknown option {word!r} in the signing scheme", mend=mend)
        if kind in chosen:
            raise ConfigError(f"the signing scheme says both {chosen[kind]!r} and {word!r}", mend="choose one")
        chosen[kind] = value if equals else word
    if "padding" in chosen and not chosen.get("encoding", "hex").startswith("base64"):
        raise ConfigError("the signing scheme is unpadded, which only base64 can be", mend="add base64 or base64url")
    prefix = chosen["prefix"] = unquote(chosen.get("prefix", ""))
    if not prefix.isascii() or not prefix.isprintable() or prefix[:1] == " ":
        raise ConfigError(f"the signing scheme's prefix {prefix!r} cannot begin an HTTP header")
    return chosen


class SchemeSigner:
    """Signs by a scheme: adds `AppId`, `Timestamp` and `Sign` (API document: 请求Header of every endpoint).

    `scheme` is a line of the scheme language, or a parsed `Scheme`. The secret is in no repr, log, error or traceback
    with locals. A signer refuses to be pickled: make a new one where it is needed, for example with
    `WorkorderClient.from_env()`.
    """

    def __init__(self, app_id: str, app_secret: str | Secret, scheme: str | Scheme) -> None:
        app_secret = Secret(app_secret)
        if not isinstance(app_id, str):
            raise ConfigError(f"is {kind_of(app_id)}", argument="app_id", mend="it must be text, as you were given it")
        if not app_id or not app_id.isascii() or not app_id.isprintable() or app_id.strip() != app_id:
            mend = "use the AppId you were given, without blanks around it"
            raise ConfigError(f"{app_id!r} cannot be an HTTP header", argument="app_id", mend=mend)
        if wrong := app_secret.wrong_with("app_secret"):
            raise wrong
        self.app_id = app_id
        self.scheme: Scheme = scheme if isinstance(scheme, Scheme) else Scheme.parse(scheme)
        #: Whether the scheme takes in the body or a digest of it.
        self.signs_body: bool = self.scheme.signs_body
        self._signs_request = not self.scheme.names <= {"app_id", "timestamp", "secret"}
        self._secret = app_secret
        self._kept: tuple[str, Mapping[str, str]] = ("", {})

    def sign(self, request: SigningInput) -> Mapping[str, str]:
        """Return the three headers for this request."""
        timestamp = self.scheme.timestamp(request.timestamp_ms)
        if timestamp == self._kept[0]:
            return dict(self._kept[1])
        sign = self.scheme.signature(request, app_id=self.app_id, secret=self._secret, timestamp=timestamp)
        headers = {"AppId": self.app_id, "Timestamp": timestamp, "Sign": sign}
        if not self._signs_request:
            # All requests of this second, or millisecond, have the same signature.
            self._kept = timestamp, headers
        return headers

    def __repr__(self) -> str:
        # A traceback with locals also shows a signer that is half made.
        made = "scheme" in vars(self)
        return f"SchemeSigner(app_id={self.app_id!r}, scheme={self.scheme.text!r})" if made else "SchemeSigner()"

    def __reduce__(self) -> NoReturn:
        raise ConfigError("a signer holds the secret and is not pickled", mend="make it anew on the other side")

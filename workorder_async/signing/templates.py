r"""Templates of the scheme language: text with placeholders and calls, read strictly and rendered as bytes.

`signing.py` tells the grammar. A call is `{NAME(TEMPLATE)}`, and inside one `)}` ends it:

    {md5(...)} {MD5(...)} {md5_base64(...)}   the digest of what is inside, as hex, HEX or base64; so for each digest
    {sorted(a=1&{query}&{body_pairs})}        what stands between the &, sorted by its keys and joined by & again;
                                              pairs of the query and of the body are sorted in among them
    {glued(a=1&{query}&{body_pairs})}         the same without any & and =, so that k=v becomes kv
"""

import base64
import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import TypeAlias

from attrs import field, frozen

from workorder_async.errors import ConfigError
from workorder_async.secret import Secret

DIGESTS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sm3")

_OUTSIDE = re.compile(r"\{\{|\}\}|\\[nt\\]|\{(\w+)\(|\{([^{}]*)\}|[{}]")
_INSIDE = re.compile(rf"\)\}}|{_OUTSIDE.pattern}")
_ESCAPES = {"{{": "{", "}}": "}", "\\n": "\n", "\\t": "\t", r"\\": "\\"}
_BLANKS = {"": (",", ":"), "_spaced": (", ", ": ")}


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


@frozen
class Signed:
    """What placeholders stand for: a request, and the three texts beside it."""

    request: SigningInput
    app_id: str
    timestamp: str
    secret: Secret


def _pairs_of_query(signed: Signed) -> list[bytes]:
    return [f"{key}={value}".encode() for key, value in sorted(signed.request.query)]


def _json_of(body: Iterable[bytes]) -> tuple[object, Iterable[bytes]]:
    """Return the value that a body of JSON holds; else None, and the body as it is. Only JSON is read as a whole."""
    pieces = iter(body)
    first = next((piece for piece in pieces if piece), b"")
    if first[:1] not in (b"{", b"["):
        return None, chain((first,), pieces)
    whole = b"".join((first, *pieces))
    try:
        return json.loads(whole), (whole,)
    except ValueError:
        return None, (whole,)


def _dumped(value: object, blanks: str = "", *, as_ascii: bool = False, by_key: bool = True) -> bytes:
    text = json.dumps(value, sort_keys=by_key, separators=_BLANKS[blanks], ensure_ascii=as_ascii)
    return text.encode(errors="surrogatepass")


def _sorted_body(blanks: str, *, as_ascii: bool) -> Callable[[Signed], Iterable[bytes]]:
    """Return what writes a body of JSON again with its keys sorted; another body stays as it is."""

    def pieces(signed: Signed) -> Iterable[bytes]:
        value, body = _json_of(signed.request.body)
        return body if value is None else (_dumped(value, blanks, as_ascii=as_ascii),)

    return pieces


def _pairs_of_body(signed: Signed) -> list[bytes]:
    """Return k=v of each field of a JSON object, sorted: texts as they are, all else as JSON."""
    value, _ = _json_of(signed.request.body)
    if not isinstance(value, dict):
        return []
    return [
        key.encode(errors="surrogatepass")
        + b"="
        + (one.encode(errors="surrogatepass") if isinstance(one, str) else _dumped(one, by_key=False))
        for key, one in sorted(value.items())
    ]


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
    "body_sorted": _sorted_body("", as_ascii=False),
    "body_sorted_ascii": _sorted_body("", as_ascii=True),
    "body_sorted_spaced": _sorted_body("_spaced", as_ascii=False),
    "body_sorted_spaced_ascii": _sorted_body("_spaced", as_ascii=True),
    "body_pairs": lambda signed: (b"&".join(_pairs_of_body(signed)),),
}
PLACEHOLDERS = tuple(_PLACEHOLDERS)

_WRITTEN: Mapping[str, Callable[[bytes], bytes]] = {
    **{digest: lambda found: found.hex().encode() for digest in DIGESTS},
    **{digest.upper(): lambda found: found.hex().upper().encode() for digest in DIGESTS},
    **{f"{digest}_base64": base64.b64encode for digest in DIGESTS},
}
CALLS = (*_WRITTEN, "sorted", "glued")


def _hashed(digest: str, pieces: Iterable[bytes]) -> bytes:
    hasher = hashlib.new(digest)
    for piece in pieces:
        hasher.update(piece)
    return hasher.digest()


@frozen
class _Call:
    name: str
    inside: "tuple[_Node, ...]"

    def text(self, signed: Signed) -> bytes:
        if self.name in ("sorted", "glued"):
            pairs = sorted(map(_key_and_value, self._pairs(signed)))
            between, equals = (b"&", b"=") if self.name == "sorted" else (b"", b"")
            return between.join(key + (equals and sign) + value for key, sign, value in pairs)
        digest = self.name.removesuffix("_base64").lower()
        return _WRITTEN[self.name](_hashed(digest, _render(self.inside, signed)))

    def _pairs(self, signed: Signed) -> Iterator[bytes]:
        """Yield what stands between the &; a query or a body's pairs that stand alone there pair by pair."""
        between: list[list[_Node]] = [[]]
        for node in self.inside:
            texts = node.split(b"&") if isinstance(node, bytes) else [node]
            between[-1].append(texts[0])
            between += [[text] for text in texts[1:]]
        for nodes in between:
            alone = [node for node in nodes if node]
            pairs = _PAIRS.get(alone[0]) if len(alone) == 1 and isinstance(alone[0], str) else None
            yield from pairs(signed) if pairs else (b"".join(_render(alone, signed)),)


def _key_and_value(pair: bytes) -> tuple[bytes, bytes, bytes]:
    return pair.partition(b"=")


# Literal text, the name of a placeholder, or a call.
_Node: TypeAlias = bytes | str | _Call


def _render(nodes: Iterable[_Node], signed: Signed) -> Iterator[bytes]:
    return chain.from_iterable([_pieces(node, signed) for node in nodes])


def _pieces(node: _Node, signed: Signed) -> Iterable[bytes]:
    if isinstance(node, str):
        return _PLACEHOLDERS[node](signed)
    return (node if isinstance(node, bytes) else node.text(signed),)


def _names(nodes: Iterable[_Node]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, str):
            yield node
        elif isinstance(node, _Call):
            yield from _names(node.inside)


@frozen
class Template:
    """One parsed template."""

    nodes: tuple[_Node, ...]

    @classmethod
    def parse(cls, text: str) -> "Template":
        """Read a template; a `ConfigError` names the part that cannot be read and what may stand there."""
        if not text:
            raise ConfigError("the signing scheme has an empty template; for example {app_id}{timestamp}{secret}")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ConfigError("the signing scheme holds a lone surrogate, which has no UTF-8 bytes to sign") from None
        if any(unicodedata.category(character) == "Cc" for character in text):
            raise ConfigError(
                f"the signing scheme's template {text!r} holds a control character; "
                "write \\n for a line feed and \\t for a tab"
            )
        nodes, _ = _nodes(text, 0, "")
        return cls(nodes)

    @property
    def names(self) -> frozenset[str]:
        """The placeholders that stand anywhere in it."""
        return frozenset(_names(self.nodes))

    def render(self, signed: Signed) -> Iterator[bytes]:
        """Yield its bytes in pieces; a body that stands in it as it is goes through piece by piece."""
        return _render(self.nodes, signed)


def _nodes(text: str, at: int, call: str) -> tuple[tuple[_Node, ...], int]:
    """Return the nodes from a position on, to the end of the call or of the text, and where that is."""
    found: list[_Node] = []
    literal = ""
    while token := (_INSIDE if call else _OUTSIDE).search(text, at):
        literal += text[at : token.start()]
        at = token.end()
        if token.group() in _ESCAPES:
            literal += _ESCAPES[token.group()]
            continue
        if literal:
            found.append(literal.encode())
            literal = ""
        if token.group() == ")}":
            return tuple(found), at
        node, at = _node(text, token)
        found.append(node)
    if call:
        raise ConfigError(f"the call {{{call}( of the template {text!r} has no end; close it with )}}")
    if literal + text[at:]:
        found.append((literal + text[at:]).encode())
    return tuple(found), len(text)


def _node(text: str, token: "re.Match[str]") -> tuple[_Node, int]:
    """Return the placeholder or the call that a token begins, and where it ends."""
    call, name = token.groups()
    if call is not None:
        if call not in CALLS:
            raise ConfigError(f"unknown call {{{call}(...)}} in the signing scheme; use one of {', '.join(CALLS)}")
        if (digest := call.removesuffix("_base64").lower()) in DIGESTS:
            require_digest(digest)
        inside, end = _nodes(text, token.end(), call)
        return _Call(call, inside), end
    if name is None:
        raise ConfigError(
            f"a lone {token.group()!r} at position {token.start()} of the template {text!r}; "
            f"double it to mean the character itself"
        )
    if name not in PLACEHOLDERS:
        raise ConfigError(
            f"unknown placeholder {{{name}}} in the signing scheme; use "
            + ", ".join(f"{{{known}}}" for known in PLACEHOLDERS)
        )
    return name, token.end()


def require_digest(digest: str) -> None:
    """Raise `ConfigError` for a digest that this Python lacks."""
    if digest not in hashlib.algorithms_available:
        raise ConfigError(f"this Python's OpenSSL has no {digest}; use another digest or another build of Python")

"""Which signing scheme a host uses: found by a search, from one request that the host accepted.

First the text of its `Sign` header is read: which digest, written how, behind which prefix; where it is no digest, its
length says what it is. Then every candidate of `candidates.py` with a digest of that length signs the request.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Set
from functools import cache
from itertools import islice
from typing import TypeAlias

from attrs import evolve, frozen

from workorder_async.errors import ConfigError
from workorder_async.secret import Secret, without_frames
from workorder_async.signing.candidates import (
    APP_ID,
    BODIES,
    METHOD,
    PATH,
    QUERY,
    SECRET,
    TIMESTAMP,
    Seen,
    Variants,
    candidates,
)
from workorder_async.signing.scheme import DIGESTS, WRITTEN, Scheme, SchemeSigner, Signed, SigningInput, Template

#: The digests of each length in bytes.
BY_SIZE = {16: "MD5", 20: "SHA-1", 28: "SHA-224", 32: "SHA-256 or SM3", 48: "SHA-384", 64: "SHA-512"}
_CUT = {8: "a CRC32, or a digest that was cut", 16: "half an MD5 (its characters 9 to 24), or a hash of 64 bits"}
_LONGEST_PREFIX = 40
_HEX = re.compile(r"(?:[0-9a-f]{2})+|(?:[0-9A-F]{2})+")
_BASE64 = re.compile(r"([A-Za-z0-9+/]+|[A-Za-z0-9_-]+)(={0,2})")


@frozen
class SignText:
    """One way to read a signature: the digest, and the options of the scheme language that write it like this."""

    digest: bytes
    options: list[str]
    #: Whether it has none of the characters in which base64 and base64url differ.
    is_ambiguous: bool = False


def readings(sign: str) -> list[SignText]:
    """Return the ways to read a signature. Raises `ConfigError` where there is none, and says what its length means."""
    starts = [0, *(at + 1 for at, character in enumerate(sign[:_LONGEST_PREFIX]) if not character.isalnum())]
    for start in starts:
        prefix = sign[:start]
        if not prefix.isascii() or not (prefix or "-").isprintable() or prefix[:1] == " ":
            break
        option = [f"prefix={re.sub('[ ,:%]', lambda found: f'%{ord(found[0]):02X}', prefix)}"] if prefix else []
        if found := list(_read(sign[start:], option)):
            return found
    raise ConfigError(f"{sign!r} is neither hex nor base64 of a digest: {implied(sign)}", argument="Sign")


def _read(text: str, prefix: list[str]) -> Iterator[SignText]:
    """Yield the readings of a text without a prefix."""
    if _HEX.fullmatch(text) and len(text) // 2 in BY_SIZE:
        yield SignText(bytes.fromhex(text), ([] if text == text.lower() else ["HEX"]) + prefix)
        return
    decoded = _decoded(text)
    if decoded is None:
        return
    padding = ["unpadded"] if len(text) % 4 else []
    url = ["base64url"] if re.search("[_-]", text) else ["base64"]
    if len(decoded) in BY_SIZE:
        yield SignText(decoded, url + padding + prefix, is_ambiguous=not re.search("[_+/-]", text))
    if len(decoded) // 2 in BY_SIZE and re.fullmatch(b"(?:[0-9a-f]{2})+", decoded):
        yield SignText(bytes.fromhex(decoded.decode()), ["base64-hex", *padding, *prefix])


def _decoded(text: str) -> bytes | None:
    """Return the bytes of a base64, padded or not; None where it is none."""
    found = _BASE64.fullmatch(text)
    if found is None or (found[2] and len(text) % 4):
        return None
    try:
        return base64.b64decode(found[1].translate(str.maketrans("-_", "+/")) + "=" * (-len(found[1]) % 4))
    except binascii.Error:
        return None


def implied(sign: str) -> str:
    """Say what the length and the alphabet of a signature mean."""
    if re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", sign):
        return "three parts with dots between them are a JSON Web Token, which is no signature of this kind"
    if re.fullmatch("[0-9a-fA-F]+", sign):
        what, size = f"{len(sign)} hex characters", len(sign) / 2
        if len(sign) in _CUT:
            return f"{what} are {_CUT[len(sign)]}"
    elif (decoded := _decoded(sign)) is not None:
        what, size = f"{len(decoded)} bytes as base64", len(decoded)
        if size in (128, 256, 384, 512):
            return f"{what} are an RSA signature, made with a private key and not with a shared secret"
    else:
        return "it has characters that neither has, or it was cut"
    known = ", ".join(f"{name} has {size}" for size, name in BY_SIZE.items())
    return f"{what} are {BY_SIZE[int(size)]}" if size in BY_SIZE else f"{what} are no digest (in bytes, {known})"


_Hash: TypeAlias = Callable[[bytes], bytes]

Hit: TypeAlias = tuple[str, bytes]
"""A line without options for how it is written, and the digest that it gives."""

_STEP = 20_000
# The block of each HMAC, in bytes.
_BLOCKS = {"sha384": 128, "sha512": 128}
_BODY = '{"title":"磁盘","id":7,"tags":["b"],"a":{"z":1,"y":"2"}}'.encode()


@frozen
class Detected:
    """The result of a search.

    `schemes` reproduce the request, the simplest first; two that sign every request alike are there once. `deciding`
    names further requests that would tell between them, and the parts that this one does not show. `tried` counts
    signatures.
    """

    schemes: tuple[Scheme, ...]
    deciding: tuple[str, ...]
    tried: int


def detect(
    *, app_id: str, timestamp: str, sign: str, secret: str | Secret, request: SigningInput | None = None
) -> Detected:
    """Search for the schemes that reproduce a request known to be accepted.

    `app_id`, `timestamp` and `sign` are its three headers as they were sent. `request` is the rest of it: method, path,
    query, body. Without it, only schemes over the three headers are found. No scheme means that it is none of those
    that are tried, or that one of the values was not signed as it is given.

    Raises `ConfigError` for a `timestamp` that is not whole seconds or milliseconds, for a `sign` that is not a hex or
    base64 digest, and for an `app_id` or `secret` that no `SchemeSigner` takes.
    """
    secret = Secret(secret)
    steps = detecting(app_id=app_id, timestamp=timestamp, sign=sign, secret=secret, request=request)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: Detected = end.value
            return found


def detecting(
    *, app_id: str, timestamp: str, sign: str, secret: str | Secret, request: SigningInput | None = None
) -> Generator[tuple[int, int], None, Detected]:
    """Search as `detect` does, in steps: yields how many of how many signatures have been tried."""
    secret = Secret(secret)
    SchemeSigner(app_id, secret, "md5:{secret}")
    if not re.fullmatch(r"[0-9]{9,14}", timestamp):
        problem = f"{timestamp!r} is not whole seconds or milliseconds since the epoch"
        raise ConfigError(problem, argument="Timestamp")
    wanted = {reading.digest for reading in readings(sign)}
    search = Search(app_id, timestamp, secret, request)
    try:
        hits = yield from search.run(wanted)
        return search.detected(sign, hits)
    except BaseException as error:  # noqa: BLE001 - a Ctrl-C, too
        failure = without_frames(error, causes=False)
    # Outside the `except`, and without the frames of the search: they hold the signed texts, and so the secret.
    raise failure


class Search:
    """Signs one request in every way, and tells which of them give one of the digests that are wanted."""

    def __init__(self, app_id: str, timestamp: str, secret: Secret, request: SigningInput | None) -> None:
        whole = request is not None
        asked = SigningInput("", "") if request is None else evolve(request, body=tuple(request.body))
        self._signed = Signed(asked, app_id, timestamp, secret)
        self._unit = ["ms"] if len(timestamp) > 11 else []
        self._render = cache(self._rendered)
        there = [body for body in BODIES if whole and not _lacks(body)]
        kinds = {self._render(body): body for body in reversed(there)}
        parts = (APP_ID, TIMESTAMP, *there, QUERY, PATH, METHOD)
        empty = frozenset(part for part in parts if not self._render(part))
        self._seen = Seen(tuple(body for body in there if body in kinds.values()), empty, whole)
        self._signs = cache(self._hash_or_mac)
        self.tried: int = 0

    def run(self, wanted: Set[bytes]) -> Generator[tuple[int, int], None, list[Hit]]:
        """Yield how far it is; return the line of each hit and its digest, in the order of the search."""
        sizes = {len(digest) for digest in wanted}
        digests = [name for name in DIGESTS if not _lacks(name) and hashlib.new(name).digest_size in sizes]
        work = [(digest, [*candidates(self._seen, digest)]) for digest in digests]
        total = sum(some.size for _, variants in work for some in variants)
        found: list[Hit] = []
        told = 0
        for digest, variants in work:
            for some in variants:
                found += self._hits(digest, some, wanted)
                self.tried += some.size
                if self.tried - told > _STEP:
                    told = self.tried
                    yield told, total
            if wanted <= {made for _, made in found}:
                break
        return found

    def detected(self, sign: str, hits: Iterable[Hit]) -> Detected:
        """Return which of the hits write a signature like this one."""
        read = readings(sign)
        lines = dict.fromkeys(
            _with_options(line, [*reading.options, *self._unit])
            for line, digest in hits
            for reading in read
            if reading.digest == digest
        )
        schemes = _distinct(map(Scheme.parse, lines))
        deciding = [*self._deciding(schemes)] if schemes else []
        if any(reading.is_ambiguous for reading in read) and any(scheme.encoding == "base64" for scheme in schemes):
            deciding.append("one whose Sign has a + / - or _ in it, which tells base64 from base64url")
        return Detected(tuple(schemes), tuple(deciding), self.tried)

    def _rendered(self, text: str) -> bytes:
        return b"".join(Template.parse(text).render(self._signed)) if text else b""

    def _hits(self, digest: str, some: Variants, wanted: Set[bytes]) -> Iterator[Hit]:
        """Yield the line and the digest of each candidate that hits."""
        messages = some.messages(self._render)
        if some.nest:
            messages = map(_written(some.nest), messages)
        for number, made in enumerate(map(self._signs(digest, some.key), messages)):
            if made in wanted:
                template = next(islice(some.lines(), number, None))
                key = f",key={some.key}" if some.key not in ("", SECRET) else ""
                yield f"{'hmac-' if some.key else ''}{digest}{key}:{template}", made

    def _hash_or_mac(self, digest: str, key: str) -> _Hash:
        return _mac(digest, self._render(key)) if key else _hash(digest)

    def _deciding(self, schemes: Sequence[Scheme]) -> Iterator[str]:
        """Yield the requests that show other parts than this one, then those that tell the schemes apart."""
        whole, bodies = self._seen.whole, self._seen.bodies
        alike = len(bodies) < sum(not _lacks(body) for body in BODIES)
        if whole and (not self._render("{body}") or (alike and any(scheme.signs_body for scheme in schemes))):
            yield "a POST with a body of JSON whose keys are not in alphabetical order, with Chinese text in it"
        if whole and not self._signed.request.query:
            yield "a GET with a query"
        left = [*schemes]
        for what, other in self._others():
            kinds: dict[str, list[Scheme]] = {}
            for scheme in left:
                kinds.setdefault(_sign(scheme, other), []).append(scheme)
            if len(kinds) > 1:
                yield what
                left = max(kinds.values(), key=len)

    def _others(self) -> Iterator[tuple[str, Signed]]:
        """Yield requests that differ from this one in one thing, each with the name of that thing."""
        signed, request = self._signed, self._signed.request
        yield "one with another Timestamp", evolve(signed, timestamp=str(int(signed.timestamp) + 61))
        yield "a POST with another body", evolve(signed, request=evolve(request, body=(_BODY,)))
        yield "a GET with another query", evolve(signed, request=evolve(request, query=(("z", "1"), ("id", "7"))))
        yield "one to another path", evolve(signed, request=evolve(request, path=f"{request.path}/other"))
        yield "one with another method", evolve(signed, request=evolve(request, method="PATCH"))


def _with_options(line: str, options: Sequence[str]) -> str:
    """Return a line with further options."""
    head, _, template = line.partition(":")
    return f"{','.join([head, *options])}:{template}"


def _lacks(part: str) -> bool:
    """Tell whether a part needs a digest that this Python lacks."""
    return any(digest in part.lower() and digest not in hashlib.algorithms_available for digest in DIGESTS)


@cache
def _hash(digest: str) -> _Hash:
    """Return the function that hashes a message. A copy of an empty hash is quicker to make than a hash by its name."""
    copy = hashlib.new(digest).copy

    def hashed(message: bytes) -> bytes:
        hasher = copy()
        hasher.update(message)
        return hasher.digest()

    return hashed


@cache
def _written(call: str) -> _Hash:
    """Return the function of a call: it writes a message's digest as hex, or HEX."""
    hashed, write = _hash(call.lower()), WRITTEN[call]
    return lambda message: write(hashed(message))


def _mac(digest: str, key: bytes) -> _Hash:
    """Return the function that makes the HMAC of a message, with hashes that have read the key already."""
    block = _BLOCKS.get(digest, 64)
    key = (hashlib.new(digest, key).digest() if len(key) > block else key).ljust(block, b"\0")
    inner = hashlib.new(digest, bytes(byte ^ 0x36 for byte in key)).copy
    outer = hashlib.new(digest, bytes(byte ^ 0x5C for byte in key)).copy

    def signed(message: bytes) -> bytes:
        first, second = inner(), outer()
        first.update(message)
        second.update(first.digest())
        return second.digest()

    return signed


def _sign(scheme: Scheme, signed: Signed) -> str:
    return scheme.signature(signed.request, app_id=signed.app_id, secret=signed.secret, timestamp=signed.timestamp)


def _distinct(schemes: Iterable[Scheme]) -> list[Scheme]:
    """Return the schemes, the simplest first, without those that sign every request as a simpler one does."""
    probes = [
        Signed(
            SigningInput("PUT", "/a/b", (("z", "1"), ("id", "7 8")), (_BODY,)), "an-app", "1234567890", Secret("se")
        ),
        Signed(SigningInput("GET", "/c"), "other", "1234567899", Secret("cret")),
    ]
    kinds: dict[tuple[str, ...], Scheme] = {}
    for scheme in sorted(schemes, key=_effort):
        kinds.setdefault(tuple(_sign(scheme, probe) for probe in probes), scheme)
    return list(kinds.values())


def _effort(scheme: Scheme) -> tuple[int, int, int]:
    """Return how much there is to a scheme. Pairs of a request that others stand among are sorted, as a rule."""
    merged = scheme.text.count("{sorted(") + scheme.text.count("{glued(")
    return scheme.text.count("(") - merged, scheme.text.count("{") - 2 * merged, len(scheme.text)

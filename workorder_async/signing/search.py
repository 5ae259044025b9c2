"""Which signing scheme a host uses: found by a search, from requests that the host accepted.

First the text of its `Sign` header is read: which digest, written how, behind which prefix; if it is no digest, an
error says what its length means. Then every candidate of `candidates.py` with a digest of that length signs the
request. Several requests are searched together: a part that is empty in one, as the body of a GET, shows in another.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from functools import cache
from itertools import chain, islice
from typing import TypeAlias, TypeVar

from attrs import evolve, field, frozen

from workorder_async.arguments import has_bytes
from workorder_async.errors import ConfigError, WorkorderError
from workorder_async.secret import Secret, without_frames
from workorder_async.signing.candidates import BODIES, QUERY, SECRET, WHOLE, Seen, Variants, candidates
from workorder_async.signing.scheme import (
    DIGESTS,
    ENCODINGS,
    HASHES,
    Scheme,
    SchemeSigner,
    Signed,
    SigningInput,
    Template,
    json_of,
)

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


def readings(sign: str) -> list[SignText]:
    """Return the ways to read a signature. Raises `ConfigError` where there is none, and says what its length means."""
    starts = [0, *(at + 1 for at, character in enumerate(sign[:_LONGEST_PREFIX]) if not character.isalnum())]
    for start in starts:
        prefix = sign[:start]
        if not prefix.isascii() or not prefix.isprintable() or prefix[:1] == " ":
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
    if len(decoded) in BY_SIZE:
        # A text with no character in which the two differ is read as both.
        for encoding, of_the_other in (("base64", "[_-]"), ("base64url", "[+/]")):
            if not re.search(of_the_other, text):
                yield SignText(decoded, [encoding, *padding, *prefix])
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


T = TypeVar("T")
_Hash: TypeAlias = Callable[[bytes], bytes]

Hit: TypeAlias = tuple[str, bytes]
"""A line without options for how it is written, and the digest that it gives."""

#: Millions of texts that hold a longer body would take an hour to hash.
_LONGEST_BODY = 64 << 10
#: A longer Timestamp is milliseconds.
_SECONDS = 11
_BODY = '{"title":"磁盘","id":7,"tags":["b"],"a":{"z":1,"y":"2"}}'.encode()


@frozen
class Accepted:
    """A request that a host accepted: its three headers, and the rest of it; None where only the headers are known."""

    app_id: str
    timestamp: str
    sign: str
    request: SigningInput | None = field(default=None, repr=False)


@frozen
class Detected:
    """The result of a search.

    `schemes` reproduce each request, the simplest first; two that sign every request alike are there once. `deciding`
    names further requests that would tell between them, and the parts that these do not show. `tried` counts
    signatures.
    """

    schemes: tuple[Scheme, ...]
    deciding: tuple[str, ...]
    tried: int
    alone: tuple[Scheme, ...] = ()
    """Where none fits all requests: those that fit the one that shows most."""


def _check(one: Accepted, secret: Secret) -> None:
    """Raise `ConfigError` for a request that no host can have accepted."""
    SchemeSigner(one.app_id, secret, "md5:{secret}")
    # The digits of a date, such as 20240131120000, would be taken for milliseconds, which the host does not accept.
    if not re.fullmatch("[0-9]{10}|[0-9]{13}", one.timestamp):
        problem = f"{one.timestamp!r} is not whole seconds or milliseconds since the epoch"
        raise ConfigError(problem, argument="Timestamp", mend="for a date or another unit write a signer of your own")
    readings(one.sign)
    if one.request is not None:
        for text in (one.request.method, one.request.path, *chain.from_iterable(one.request.query)):
            if not has_bytes(text):
                raise ConfigError(f"{text!r} of the request has no UTF-8 bytes that could be signed")


class Search:
    """Signs a request in every way, and tells which of them give one of the digests that are wanted.

    Of several requests the one that shows most is signed in every way, and the schemes that fit are tried on the
    others. It takes seconds: `tried` of `total` signatures are done. `is_over` is asked now and then, and the search
    ends where it says so. Its constructor raises `ConfigError`.
    """

    def __init__(self, accepted: Sequence[Accepted], secret: Secret, is_over: Callable[[], bool] = bool) -> None:
        for one in accepted:
            _check(one, secret)
        if len({len(one.timestamp) > _SECONDS for one in accepted}) > 1:
            raise ConfigError("is in seconds in one request, and in milliseconds in another", argument="Timestamp")
        self._is_over = is_over
        requests = [(_signed(one, secret), one.sign) for one in accepted]
        (self._signed, self._sign), *self._others = sorted(requests, key=_shows, reverse=True)
        self._whole = all(one.request is not None for one in accepted)
        self._unit = ["ms"] if len(self._signed.timestamp) > _SECONDS else []
        if (size := _size(self._signed)) > _LONGEST_BODY:
            mend = f"take one with a body of at most {_LONGEST_BODY:,} bytes, or none"
            raise ConfigError(f"has a body of {size:,} bytes", argument="the request", mend=mend)
        self._render = cache(lambda text: b"".join(Template.parse(text).render(self._signed)) if text else b"")
        self._signs = cache(self._hash_or_mac)
        self._seen = Seen()
        self.tried: int = 0
        self.total: int = 0

    def run(self) -> Detected:
        """Search, and return the schemes that fit all requests."""
        try:
            return self.detected(self.hits())
        except BaseException as error:  # noqa: BLE001 - a Ctrl-C, too
            failure = without_frames(error, causes=False)
        # Outside the `except`, and without the frames of the search: they hold the signed texts, and so the secret.
        raise failure

    def hits(self, wanted: Set[bytes] = frozenset()) -> list[Hit]:
        """Return the line of each hit and its digest, in the order of the search.

        By default the digest of the signature is wanted.
        """
        wanted = wanted or {reading.digest for reading in readings(self._sign)}
        sizes = {len(digest) for digest in wanted}
        digests = [name for name in DIGESTS if not _lacks(name) and hashlib.new(name).digest_size in sizes]
        self._note_parts()
        work = {digest: [*self._unless_over(candidates(self._seen, digest))] for digest in digests}
        self.total = sum(some.size for each in work.values() for some in each)
        found = list[Hit]()
        for digest, each in work.items():
            for some in self._unless_over(each):
                found += self._hits(digest, some, wanted)
            if wanted <= {made for _, made in found}:  # which no other digest gives
                break
        return found

    def _note_parts(self) -> None:
        """Note which parts of the requests are empty, and which kinds of body are not alike in all of them."""
        others = [signed for signed, _ in self._others]
        there = [body for body in BODIES if self._whole and not _lacks(body)]
        shown = {
            part: tuple(b"".join(Template.parse(part).render(signed)) for signed in (self._signed, *others))
            for part in self._unless_over((*WHOLE, *there))
        }
        kinds = {shown[body]: body for body in reversed(there)}
        empty = frozenset(part for part, values in shown.items() if not any(values))
        self._seen = Seen(tuple(body for body in there if body in kinds.values()), empty, self._whole)

    def _unless_over(self, parts: Iterable[T]) -> Iterator[T]:
        """Yield each part of the work. Raises `WorkorderError` where the search is given up between two."""
        for part in parts:
            if self._is_over():
                raise WorkorderError("the search was given up")
            yield part

    def detected(self, hits: Iterable[Hit], sign: str = "") -> Detected:
        """Return which of the hits write a signature like this one, by default that of the request."""
        read = readings(sign or self._sign)
        alone = self._schemes(hits, read)
        fitting = [one for one in alone if all(_sign(one, signed) == sign for signed, sign in self._others)]
        schemes = _distinct(fitting)
        deciding = [*self._deciding(schemes)] if schemes else []
        if {scheme.encoding for scheme in fitting} > {"base64url"}:
            deciding.append("one whose Sign has a + / - or _ in it, which tells base64 from base64url")
        return Detected(tuple(schemes), tuple(deciding), self.tried, () if schemes else tuple(_distinct(alone)))

    def _schemes(self, hits: Iterable[Hit], read: Sequence[SignText]) -> list[Scheme]:
        """Return the schemes of hits, with how the signature is written."""
        lines = dict.fromkeys(
            line.replace(":", ",".join(["", *reading.options, *self._unit]) + ":", 1)
            for line, digest in hits
            for reading in read
            if reading.digest == digest
        )
        return [*map(Scheme.parse, lines)]

    def _hits(self, digest: str, some: Variants, wanted: Set[bytes]) -> Iterator[Hit]:
        """Yield the line and the digest of each candidate that hits."""
        messages = some.messages(self._render)
        if some.nest:
            messages = map(self._written(some.nest), messages)
        for number, made in enumerate(map(self._signs(digest, some.key), messages)):
            self.tried += 1
            if made in wanted:
                template = next(islice(some.lines(), number, None))
                key = f",key={some.key}" if some.key not in ("", SECRET) else ""
                yield f"{'hmac-' if some.key else ''}{digest}{key}:{template}", made

    def _hash_or_mac(self, digest: str, key: str) -> _Hash:
        # A copy of an empty hash is quicker to make than a hash by its name.
        copy = (hmac.new(self._render(key), digestmod=digest) if key else hashlib.new(digest)).copy

        def hashed(message: bytes) -> bytes:
            hasher = copy()
            hasher.update(message)
            return hasher.digest()

        return hashed

    def _written(self, call: str) -> _Hash:
        """Return the function of a call: it writes a message's digest as hex, HEX or base64."""
        digest, encoding = HASHES[call]
        hashed, write = self._signs(digest, ""), ENCODINGS[encoding]
        return lambda message: write(hashed(message)).encode()

    def _deciding(self, schemes: Sequence[Scheme]) -> Iterator[str]:
        """Yield, in words, the requests that show parts which these do not, then those that tell the schemes apart."""
        whole, bodies, empty = self._seen.whole, self._seen.bodies, self._seen.empty
        alike = len(bodies) < sum(not _lacks(body) for body in BODIES)
        if whole and ("{body}" in empty or (alike and any(scheme.signs_body for scheme in schemes))):
            yield "a POST with a body of JSON whose keys are not in alphabetical order, with Chinese text in it"
        if whole and QUERY in empty:
            yield "a GET with a query"
        written_again = any(name.startswith(("body_pairs", "body_sorted")) for one in schemes for name in one.names)
        if written_again and not any(map(_is_varied, (self._signed, *(signed for signed, _ in self._others)))):
            yield "a POST with a body of JSON that has an empty text, and a list of an object"
        left = [*schemes]
        for what, other in self._variations():
            kinds: dict[str, list[Scheme]] = {}
            for scheme in left:
                kinds.setdefault(_sign(scheme, other), []).append(scheme)
            if len(kinds) > 1:
                yield what
                left = max(kinds.values(), key=len)

    def _variations(self) -> Iterator[tuple[str, Signed]]:
        """Yield requests that differ from this one in one thing, each with the name of that thing."""
        signed, request = self._signed, self._signed.request
        yield "one with another Timestamp", evolve(signed, timestamp=str(int(signed.timestamp) + 61))
        yield "a POST with another body", evolve(signed, request=evolve(request, body=(_BODY,)))
        yield "a GET with another query", evolve(signed, request=evolve(request, query=(("z", "1"), ("id", "7"))))
        yield "one to another path", evolve(signed, request=evolve(request, path=f"{request.path}/other"))
        yield "one with another method", evolve(signed, request=evolve(request, method="PATCH"))


def _lacks(part: str) -> bool:
    """Tell whether a part needs a digest that this Python lacks."""
    return any(digest in part.lower() and digest not in hashlib.algorithms_available for digest in DIGESTS)


def _signed(one: Accepted, secret: Secret) -> Signed:
    """Return the values of the placeholders; a request of which only the headers are known is empty."""
    asked = one.request or SigningInput("", "")
    return Signed(evolve(asked, body=tuple(asked.body)), one.app_id, one.timestamp, secret)


def _size(signed: Signed) -> int:
    return sum(map(len, signed.request.body))


def _is_varied(signed: Signed) -> bool:
    """Tell whether a body has values that hosts leave out, or write in ways of their own."""
    found, _ = json_of(signed.request.body)
    values = [*found.values()] if isinstance(found, dict) else []
    return "" in values and any(isinstance(one, list) and any(isinstance(part, dict) for part in one) for one in values)


def _shows(one: tuple[Signed, str]) -> tuple[bool, int]:
    """Return how much a request shows: one with a long body the least, the others by how many parts are there."""
    asked, size = one[0].request, _size(one[0])
    return size <= _LONGEST_BODY, sum(map(bool, (asked.method, asked.path, asked.query, size)))


def _sign(scheme: Scheme, signed: Signed) -> str:
    return scheme.signature(signed.request, app_id=signed.app_id, secret=signed.secret, timestamp=signed.timestamp)


def _distinct(schemes: Sequence[Scheme]) -> list[Scheme]:
    """Return the schemes, the simplest first, without those that sign every request as a simpler one does.

    Schemes of base64url are left out where there are others: each has a twin of base64 that writes the same signature.
    """
    put, get = SigningInput("PUT", "/a/b", (("z", "1"), ("id", "7 8")), (_BODY,)), SigningInput("GET", "/c")
    probes = (Signed(put, "an-app", "1234567890", Secret("se")), Signed(get, "other", "1234567899", Secret("cret")))
    kinds: dict[tuple[str, ...], Scheme] = {}
    told = [scheme for scheme in schemes if scheme.encoding != "base64url"] or schemes
    for scheme in sorted(told, key=_complexity):
        kinds.setdefault(tuple(_sign(scheme, probe) for probe in probes), scheme)
    return list(kinds.values())


def _complexity(scheme: Scheme) -> tuple[int, int, int]:
    """Return how complicated a scheme is. Calls of `sorted` and `glued` do not count: pairs are sorted, as a rule."""
    merged = scheme.text.count("{sorted(") + scheme.text.count("{glued(")
    return scheme.text.count("(") - merged, scheme.text.count("{") - 2 * merged, len(scheme.text)

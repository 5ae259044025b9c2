"""Which signing scheme a host uses: found in a catalogue, from one request that the host accepted."""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator
from itertools import permutations

from attrs import evolve

from workorder_async.errors import ConfigError
from workorder_async.protocol.signing import DIGESTS, Scheme, SchemeSigner, SigningInput
from workorder_async.secret import Secret

_SEPARATORS = ("", "&", ":", "-", "_", "|", ",", "+", ".", "#", "@", "/", " ", "\\n")
_PAIRS = (
    ("AppId={app_id}", "Timestamp={timestamp}", "Secret={secret}"),
    ("AppId={app_id}", "Timestamp={timestamp}", "AppSecret={secret}"),
    ("appId={app_id}", "timestamp={timestamp}", "secret={secret}"),
    ("appId={app_id}", "timestamp={timestamp}", "appSecret={secret}"),
    ("appId={app_id}", "timestamp={timestamp}", "key={secret}"),
    ("app_id={app_id}", "timestamp={timestamp}", "secret={secret}"),
    ("app_id={app_id}", "timestamp={timestamp}", "app_secret={secret}"),
    ("appid={app_id}", "timestamp={timestamp}", "secret={secret}"),
    ("appid={app_id}", "timestamp={timestamp}", "key={secret}"),
)
_REQUEST_PARTS = ("{body}", "{body_md5}", "{body_sha256}", "{path}", "{method}", "{query}")


def _templates(keyed: bool) -> Iterator[str]:
    """Yield the templates of the catalogue, the plain ones first; unless `keyed`, each holds the secret."""
    names = ("{app_id}", "{timestamp}", "{secret}")
    choices = [order for size in (1, 2, 3) for order in permutations(names, size) if (keyed or "{secret}" in order)]
    with_request = [
        (*order[:at], part, *order[at:])
        for order in choices
        if len(order) > 1
        for part in _REQUEST_PARTS
        for at in (0, len(order))
    ]
    full_request = [
        (*order[:at], "{method}", "{path}", *tail, *order[at:])
        for order in choices
        if len(order) > 1
        for tail in ((), ("{query}",), ("{body}",), ("{body_md5}",), ("{body_sha256}",), ("{query}", "{body}"))
        for at in (0, len(order))
    ]
    for parts in (*choices, *with_request, *full_request):
        for separator in _SEPARATORS:
            if separator and len(parts) == 1:
                continue
            yield separator.join(parts)
    for pairs in _PAIRS:
        for size in (2, 3):
            for order in permutations(pairs, size):
                if keyed or any("{secret}" in pair for pair in order):
                    yield "&".join(order)
                    yield "".join(order).replace("=", "")


def catalogue() -> Iterator[str]:
    """Yield every scheme that `detect` tries, as `DIGEST:TEMPLATE`, the plain ones first.

    Each digest is tried, then each hmac-. The templates hold one to three of AppId, timestamp and secret, in every
    order: alone, or with method, path, query, body or a digest of the body before or after them. The parts are joined
    by nothing or by one of 13 separators. Then come `key=value` forms of the three under the usual names.
    """
    for keyed in (False, True):
        templates = list(dict.fromkeys(_templates(keyed)))
        for digest in DIGESTS:
            if digest in hashlib.algorithms_available:
                for template in templates:
                    yield f"{'hmac-' if keyed else ''}{digest}:{template}"


def _readings(sign: str) -> Iterator[tuple[str, bytes]]:
    """Yield each (encoding, digest) that the text of a Sign header can be."""
    if re.fullmatch(r"(?:[0-9a-f]{2})+", sign):
        yield "hex", bytes.fromhex(sign)
    if re.fullmatch(r"(?:[0-9A-F]{2})+", sign):
        yield "HEX", bytes.fromhex(sign)
    if re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", sign) and len(sign) % 4 == 0:
        yield "base64", base64.b64decode(sign)


def detect(
    *, app_id: str, timestamp: str, sign: str, secret: str | Secret, request: SigningInput | None = None
) -> list[Scheme]:
    """Return the schemes of `catalogue()` that reproduce a request known to be accepted, the plainest first.

    `app_id`, `timestamp` and `sign` are its three headers as they were sent. `request` is the rest of it: method, path,
    query, body. Without it, only schemes over the three headers are found. An empty list means that the scheme is not
    in the catalogue, or that one of the values is not what was signed.

    Raises `ConfigError` for a `timestamp` that is not whole seconds or milliseconds, for a `sign` that is not a hex or
    base64 digest, and for an `app_id` or `secret` that no `SchemeSigner` takes.
    """
    secret = Secret(secret)
    SchemeSigner(app_id, secret, "md5:{secret}")
    if not re.fullmatch(r"[0-9]{9,14}", timestamp):
        raise ConfigError(f"Timestamp {timestamp!r} is not whole seconds or milliseconds since the epoch")
    readings = list(_readings(sign))
    if not readings:
        raise ConfigError(f"Sign {sign!r} is neither hex nor base64; copy the header's value as it was sent")
    unit = ["ms"] if len(timestamp) > 11 else []
    if request is not None:
        request = evolve(request, body=tuple(request.body))
    found = []
    for line in catalogue():
        plain = Scheme.parse(line)
        if request is None and plain.signs_request:
            continue
        digest = bytes.fromhex(
            plain.signature(request or SigningInput("", ""), app_id=app_id, secret=secret, timestamp=timestamp)
        )
        for encoding, wanted in readings:
            if hmac.compare_digest(digest, wanted):
                options = [encoding] * (encoding != "hex") + unit
                name, _, template = line.partition(":")
                found.append(Scheme.parse(f"{','.join([name, *options])}:{template}"))
    return found

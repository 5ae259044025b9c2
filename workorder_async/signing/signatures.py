"""What the text of a `Sign` header can be: which digest, written how, behind which prefix; and what its length says."""

import base64
import binascii
import re
from collections.abc import Iterator

from attrs import frozen

from workorder_async.errors import ConfigError

#: The digests of each length in bytes.
BY_SIZE = {16: "MD5", 20: "SHA-1", 28: "SHA-224", 32: "SHA-256 or SM3", 48: "SHA-384", 64: "SHA-512"}
_CUT = {8: "a CRC32, or a digest that was cut", 16: "half an MD5 (its characters 9 to 24), or a hash of 64 bits"}
_LONGEST_PREFIX = 40
_HEX = re.compile(r"(?:[0-9a-f]{2})+|(?:[0-9A-F]{2})+")
_BASE64 = re.compile(r"([A-Za-z0-9+/]+|[A-Za-z0-9_-]+)(={0,2})")


@frozen
class Reading:
    """One way to read a signature: the digest, and the options of the scheme language that write it like this."""

    digest: bytes
    options: list[str]
    #: Whether it has none of the characters in which base64 and base64url differ.
    is_ambiguous: bool = False


def readings(sign: str) -> list[Reading]:
    """Return the ways to read a signature. Raises `ConfigError` where there is none, and says what its length means."""
    starts = [0, *(at + 1 for at, character in enumerate(sign[:_LONGEST_PREFIX]) if not character.isalnum())]
    for start in starts:
        prefix = sign[:start]
        if not prefix.isascii() or not (prefix or "-").isprintable() or prefix[:1] == " ":
            break
        option = [f"prefix={re.sub('[ ,:%]', lambda found: f'%{ord(found[0]):02X}', prefix)}"] if prefix else []
        if found := list(_read(sign[start:], option)):
            return found
    raise ConfigError(f"Sign {sign!r} is neither hex nor base64 of a digest: {implied(sign)}")


def _read(text: str, prefix: list[str]) -> Iterator[Reading]:
    """Yield the readings of a text without a prefix."""
    if _HEX.fullmatch(text) and len(text) // 2 in BY_SIZE:
        yield Reading(bytes.fromhex(text), ([] if text == text.lower() else ["HEX"]) + prefix)
        return
    decoded = _decoded(text)
    if decoded is None:
        return
    padding = ["unpadded"] if len(text) % 4 else []
    url = ["base64url"] if re.search("[_-]", text) else ["base64"]
    if len(decoded) in BY_SIZE:
        yield Reading(decoded, url + padding + prefix, is_ambiguous=not re.search("[_+/-]", text))
    if len(decoded) // 2 in BY_SIZE and re.fullmatch(b"(?:[0-9a-f]{2})+", decoded):
        yield Reading(bytes.fromhex(decoded.decode()), ["base64-hex", *padding, *prefix])


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

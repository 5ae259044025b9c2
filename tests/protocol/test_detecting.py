"""detecting.py: the catalogue, and the search for a scheme."""

import hashlib
import pickle
import traceback

import pytest

from tests.support.signatures import EACH_DIGEST, OVER_REQUEST, REQUEST, SECRET, VARIANTS, rows
from workorder_async.errors import ConfigError
from workorder_async.protocol.detecting import catalogue, detect
from workorder_async.protocol.signing import Scheme, SigningInput


def test_catalogue() -> None:
    """Every line of the catalogue is a scheme, the plain digests come first, and none is there twice."""
    lines = list(catalogue())
    assert len({Scheme.parse(line) for line in lines}) == len(lines)
    keyed = [line.startswith("hmac-") for line in lines]
    assert keyed == sorted(keyed)


def test_catalogue_without_a_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where OpenSSL lacks sm3 the catalogue goes without it."""
    monkeypatch.setattr(hashlib, "algorithms_available", hashlib.algorithms_available - {"sm3"})
    lines = list(catalogue())
    assert lines
    assert not [line for line in lines if "sm3:" in line]


def _detect(scheme: str, sign: str, request: SigningInput | None) -> list[str]:
    timestamp = "1700000000123" if ",ms" in scheme else "1700000000"
    return [
        str(found) for found in detect(app_id="demo", timestamp=timestamp, sign=sign, secret=SECRET, request=request)
    ]


# One search goes through the whole catalogue and takes a while: a third of the digests is enough beside the variants.
@rows(*EACH_DIGEST[::3], *VARIANTS)
def test_detect(scheme: str, sign: str) -> None:
    """From AppId, Timestamp, Sign and the secret alone, the scheme is found with its encoding and unit."""
    assert _detect(scheme, sign, None) == [scheme]


@rows(*OVER_REQUEST)
def test_detect_over_the_request(scheme: str, sign: str) -> None:
    """A scheme over the body, path or method is found with the request, and only with it."""
    assert _detect(scheme, sign, REQUEST) == [scheme]
    assert _detect(scheme, sign, None) == []


def test_detect_without_request_uses_no_request() -> None:
    """With no request at hand, a scheme over the body is not mistaken for one over an empty body."""
    # demo1700000000topsecretd41d8cd98f00b204e9800998ecf8427e, the MD5 of nothing
    scheme, sign = "md5:{app_id}{timestamp}{secret}{body_md5}", "2a50d9df4b247b40d3d5a3a188ff68d5"
    assert _detect(scheme, sign, None) == []


def test_detect_says_nothing_fits() -> None:
    """A signature that no scheme of the catalogue reproduces gives an empty list."""
    assert _detect("md5", "0" * 32, REQUEST) == []


@pytest.mark.parametrize(
    "timestamp", ["", "now", "17000000", "170000000000000", "1700000000.5", "-170000000", "1700000000\n"]
)
def test_detect_bad_timestamp(timestamp: str) -> None:
    """A Timestamp that is not whole seconds or milliseconds is refused by name."""
    with pytest.raises(ConfigError, match=r"Timestamp .* is not whole seconds or milliseconds"):
        detect(app_id="demo", timestamp=timestamp, sign="00", secret=SECRET)


@pytest.mark.parametrize("sign", ["", "xyz", "ab c", "0123456789abcdef0", "aB0=\n", "=aaa", "签名", "a-b_"])
def test_detect_bad_sign(sign: str) -> None:
    """A Sign that is neither hex nor base64 is refused by name."""
    with pytest.raises(ConfigError, match=r"Sign .* is neither hex nor base64"):
        detect(app_id="demo", timestamp="1700000000", sign=sign, secret=SECRET)


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("app_id", "", "app_id"),
        ("app_id", "\udc80", "app_id"),
        ("secret", "", "secret"),
        ("secret", "\udc80", "secret"),
        ("timestamp", "１７００００００００", "Timestamp"),
    ],
)
def test_detect_bad_values(field: str, value: str, why: str) -> None:
    """A value that no host can have accepted is refused by name, instead of an empty list or a foreign error."""
    sent = {"app_id": "demo", "timestamp": "1700000000", "sign": "00", "secret": SECRET} | {field: value}
    with pytest.raises(ConfigError, match=why):
        detect(app_id=sent["app_id"], timestamp=sent["timestamp"], sign=sent["sign"], secret=sent["secret"])


@pytest.mark.parametrize(("timestamp", "sign"), [("today", "00"), ("1700000000", "?")])
def test_no_error_tells_the_secret(timestamp: str, sign: str) -> None:
    """The secret is in no error: neither in its text, nor its traceback, nor its pickle."""
    with pytest.raises(ConfigError) as caught:
        detect(app_id="demo", timestamp=timestamp, sign=sign, secret=SECRET)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET.encode() not in pickle.dumps(caught.value)

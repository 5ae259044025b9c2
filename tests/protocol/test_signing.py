"""signing.py: golden vectors, the strict parser, and the secrecy of the secret."""

import copy
import hashlib
import hmac
import pickle
import re
import traceback
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.signatures import EACH_DIGEST, LIST, OVER_REQUEST, REQUEST, SECRET, VARIANTS, rows
from workorder_async.errors import ConfigError
from workorder_async.protocol.signing import DIGESTS, PLACEHOLDERS, Scheme, SchemeSigner, Signer, SigningInput

# One placeholder each, and what the template's own text may be; keyed SHA-256.
TEMPLATES = [
    ("hmac-sha256:{app_id}", "b30421b2b74eb9266f7316006f14d9ed9a7fadd6195d100fbd4868cb9fd8c192"),  # demo
    ("hmac-sha256:{timestamp}", "a21fd4816ec741b58b2f890f9fff62579b0c122d02c78096b0a92bc4825c506b"),  # 1700000000
    ("hmac-sha256:{secret}", "01f71496804395278d7c51f1cef9d774ba53e420d32b94dfa39b54b1f59c5014"),  # topsecret
    ("hmac-sha256:{method}", "61705af52ce02a544271433e3a09abe4cf246cd23f4eb36a53133fd0cf4ed4e5"),  # POST
    # /workorder/api/ticket/list_tickets
    ("hmac-sha256:{path}", "262a6fceb893e94f591f5c75add7a9882732015851b73ea59cfbef2cf1de00dc"),
    ("hmac-sha256:{query}", "2dc9bcc84092f42ca039491fbacf01b783f4a4f48c8c98f77afd4b8ecc051f77"),  # id=14 73&page=2
    ("hmac-sha256:{body}", "70b1fe98aa69f9725842627dae6f941477b48a37f045801bfb6055f1b52286f6"),  # {"page":1}
    # ddab7a0c277684d4a7458e50a3026f85
    ("hmac-sha256:{body_md5}", "a9dba1f851812ca642a62f8668df0ad3bb3d8bf4af6d63074099b1c68434ffa1"),
    # 70fb0185588d2e765454a7927f2792ae2b6faa2516781deb69864246e0803d05
    ("hmac-sha256:{body_sha256}", "e2f91ba30a3ec44940c9d0b74e648d74ac461a4de3bf95bfa2ac4cce687e0130"),
    ("hmac-sha256:{{{app_id}}}", "4637367faf90be8505161f77d54ffb605b35897accb447852b27f9f541dc515c"),  # {demo}
    ("hmac-sha256:工单={app_id};", "5eb32213a79f6fc8a487598376ddbf0823f1891f4dd02f800e9005361141c69d"),  # 工单=demo;
    # POST, a line feed, 1700000000
    (r"hmac-sha256:{method}\n{timestamp}", "a02f860fea0f4d400b612053dfac5a7002f3e6ea6b6757608a3093afe088d2af"),
]


@rows(*EACH_DIGEST, *VARIANTS, *OVER_REQUEST, *TEMPLATES)
def test_golden(scheme: str, sign: str) -> None:
    """Each digest, option and placeholder gives the signature that OpenSSL gives."""
    timestamp = "1700000000123" if ",ms" in scheme else "1700000000"
    signer: Signer = SchemeSigner("demo", SECRET, scheme)
    assert signer.sign(REQUEST) == {
        "AppId": "demo",
        "Timestamp": timestamp,
        "Sign": sign,
    }


def test_golden_rows_are_complete() -> None:
    """No digest and no placeholder of the language is without a golden vector."""
    lines = {scheme for scheme, _ in (*EACH_DIGEST, *OVER_REQUEST, *TEMPLATES)}
    assert {f"{keyed}{digest}" for digest in DIGESTS for keyed in ("", "hmac-")} == {
        re.split("[,:]", line)[0] for line in lines
    }
    assert {f"hmac-sha256:{{{name}}}" for name in PLACEHOLDERS} <= lines


@pytest.mark.parametrize("line", ["md5,hex,s:{app_id}{timestamp}{secret}", " md5,s,hex:{app_id}{timestamp}{secret}"])
def test_defaults_may_be_written(line: str) -> None:
    """Options may be written out and in any order, and blanks around the head mean nothing."""
    sign = SchemeSigner("demo", SECRET, line).sign(REQUEST)["Sign"]
    assert sign == "227d700255d7a70a235206f9163b7c78"


@pytest.mark.parametrize(
    ("scheme", "sign"),
    [
        ("hmac-md5:{app_id}{timestamp}", "cf72cd21b605bfc1cb6bd3b2a983610b"),  # demo1700000000, -hmac 密钥
        ("md5:{app_id}{timestamp}{secret}", "a90cc289ac89748778b846a64742808c"),  # demo1700000000密钥
    ],
)
def test_a_secret_is_utf8(scheme: str, sign: str) -> None:
    """A secret that is not ASCII is signed with its UTF-8 bytes."""
    assert SchemeSigner("demo", "密钥", scheme).sign(REQUEST)["Sign"] == sign


@pytest.mark.parametrize(
    ("line", "sign"),
    [
        ("hmac-sha256:{body}", "818f9cb88315ac08b5ef83f96650ca6f4e3dddcb4548e4879b746f56b57fa2b0"),  # nothing
        # d41d8cd98f00b204e9800998ecf8427e, the MD5 of nothing
        ("hmac-sha256:{body_md5}", "b47ea51ce2a6ac158590d702c05fc121a22c5dfb690860cb82a183880180758e"),
    ],
)
def test_no_body(line: str, sign: str) -> None:
    """A request without a body signs as one with an empty body."""
    assert SchemeSigner("demo", SECRET, line).sign(SigningInput("GET", "/x"))["Sign"] == sign


def test_timestamp_is_the_header() -> None:
    """`Scheme.signature` signs the text of the Timestamp header, not the request's own time."""
    sign = Scheme.parse("md5:{app_id}{timestamp}{secret}").signature(
        SigningInput("GET", "/x", timestamp_ms=5), app_id="demo", secret=SECRET, timestamp="1700000000"
    )
    assert sign == "227d700255d7a70a235206f9163b7c78"


def test_seconds_are_rounded_down() -> None:
    """A second is not over before its last millisecond."""
    assert Scheme.parse("md5:{secret}").timestamp(1700000000999) == "1700000000"
    assert Scheme.parse("md5,ms:{secret}").timestamp(1700000000999) == "1700000000999"


@given(body=st.binary(max_size=60), cuts=st.lists(st.integers(0, 60), max_size=5))
def test_body_in_pieces(body: bytes, cuts: list[int]) -> None:
    """A body in pieces, empty ones too, signs as the same body in one."""
    edges = [0, *sorted(cuts), len(body)]
    pieces = [body[start:end] for start, end in pairwise(edges)]
    signer = SchemeSigner("demo", SECRET, "hmac-sha256:{body}|{body_md5}|{body_sha256}")
    whole, split = (SigningInput("POST", LIST, body=each) for each in ([body], pieces))
    assert signer.sign(whole) == signer.sign(split)


@pytest.mark.parametrize("name", PLACEHOLDERS)
def test_signs_body(name: str) -> None:
    """`signs_body` tells whether the body is read, and it is not read otherwise."""
    read = []

    def body() -> Iterator[bytes]:
        read.append(True)
        yield b"{}"

    signer = SchemeSigner("demo", SECRET, f"hmac-md5:{{{name}}}")
    signer.sign(SigningInput("POST", LIST, body=body()))
    assert signer.signs_body is bool(read) is name.startswith("body")


def test_body_is_not_shown() -> None:
    """A request's body, which holds a ticket's text, is not in its repr."""
    assert "page" not in repr(SigningInput("POST", LIST, body=(b'{"page":1}',)))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "has no ':'"),
        ("md5", "has no ':'; write DIGEST"),
        ("{app_id}{timestamp}{secret}", "has no ':'"),
        ("md5:", "empty template"),
        ("crc32:{secret}", "unknown digest 'crc32'.*md5, sha1, sha256, sha512, sm3"),
        ("MD5:{secret}", "unknown digest 'MD5'"),
        (":{secret}", "unknown digest ''"),
        ("md5 ,HEX:{secret}", "unknown digest 'md5 '"),
        ("hmac-:{secret}", "unknown digest 'hmac-'"),
        ("hmac-hmac-md5:{secret}", "unknown digest 'hmac-hmac-md5'"),
        ("sha3_256:{secret}", "unknown digest 'sha3_256'"),
        ("md5,base32:{secret}", "unknown option 'base32'.*hex, HEX, base64, s, ms"),
        ("md5, HEX:{secret}", "unknown option ' HEX'"),
        ("md5,:{secret}", "unknown option ''"),
        ("md5,hex,HEX:{secret}", "both 'hex' and 'HEX'"),
        ("md5,hex,hex:{secret}", "both 'hex' and 'hex'"),
        ("md5,s,base64,ms:{secret}", "both 's' and 'ms'"),
        ("md5:{app_id}{timestamp}", "never uses the secret.*hmac-md5"),
        ("md5:{{secret}}", "never uses the secret"),
        ("md5:{secret}{token}", r"unknown placeholder \{token\}.*\{app_id\}, \{timestamp\}"),
        ("md5:{secret}{}", r"unknown placeholder \{\}"),
        ("md5:{secret}{0}", r"unknown placeholder \{0\}"),
        ("md5:{ secret }", r"unknown placeholder \{ secret \}"),
        ("md5:{SECRET}", r"unknown placeholder \{SECRET\}"),
        ("md5:{secret}{app_id.__class__}", r"unknown placeholder \{app_id.__class__\}"),
        ("md5:{secret}{app_id[0]}", r"unknown placeholder \{app_id\[0\]\}"),
        ("md5:{secret}{app_id!r}", r"unknown placeholder \{app_id!r\}"),
        ("md5:{secret}{app_id:>10}", r"unknown placeholder \{app_id:>10\}"),
        ("md5:{secret}{", r"lone '\{' at position 8"),
        ("md5:{secret}}", r"lone '\}' at position 8"),
        ("md5:{secret}{{{app_id}}", r"lone '\}' at position 18"),
        ("md5:{secret}{app_id{timestamp}}", r"lone '\{' at position 8"),
        ("md5:{secret}\udc80", "lone surrogate"),
    ],
)
def test_strict_parser(line: str, why: str) -> None:
    """What the language does not know is refused with the part and the mend, never guessed or formatted."""
    with pytest.raises(ConfigError, match=why):
        Scheme.parse(line)


def test_unavailable_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where OpenSSL lacks sm3 its schemes are refused by name."""
    monkeypatch.setattr(hashlib, "algorithms_available", hashlib.algorithms_available - {"sm3"})
    with pytest.raises(ConfigError, match="no sm3"):
        Scheme.parse("hmac-sm3:{app_id}")


PIECES = ["md5", "hmac-", "sha256", "sm3", ",", ":", "HEX", "base64", "ms", "{", "}", "{{", "}}", r"\n", "\\", "\n"]
lines = st.text(st.characters(exclude_categories=())) | st.lists(
    st.sampled_from([*PIECES, *(f"{{{name}}}" for name in PLACEHOLDERS)]) | st.text(max_size=3), max_size=12
).map("".join)


@given(lines | lines.map("hmac-md5:{}".format) | lines.map("sha1,ms:{{secret}}{}".format))
def test_any_text(line: str) -> None:
    """Any text either parses, to a scheme that prints as it and signs, or raises ConfigError and nothing else."""
    try:
        scheme = Scheme.parse(line)
    except ConfigError as error:
        str(error).encode()
        return
    assert str(scheme) == line
    assert Scheme.parse(str(scheme)) == scheme
    assert pickle.loads(pickle.dumps(scheme)) == scheme
    assert SchemeSigner("demo", SECRET, scheme).sign(REQUEST)["Sign"]


@given(st.text(st.sampled_from("{}\\n:") | st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1))
def test_literal_text(text: str) -> None:
    """Any text with its braces and backslashes doubled signs as itself."""
    template = text.replace("\\", r"\\").replace("{", "{{").replace("}", "}}")
    sign = SchemeSigner("demo", SECRET, f"hmac-sha256:{template}").sign(REQUEST)["Sign"]
    assert sign == hmac.digest(SECRET.encode(), text.encode(), "sha256").hex()


@pytest.mark.parametrize("app_id", ["", " demo", "demo ", "de\nmo", "demo\r\nX: y", "工单", "\x7f", "\udc80"])
def test_bad_app_id(app_id: str) -> None:
    """An AppId that cannot be an HTTP header is refused before it breaks one."""
    with pytest.raises(ConfigError, match="app_id"):
        SchemeSigner(app_id, SECRET, "md5:{secret}")


def test_empty_secret() -> None:
    """Nothing can be signed with an empty secret."""
    with pytest.raises(ConfigError, match="app_secret is empty"):
        SchemeSigner("demo", "", "md5:{secret}")


def _pickled() -> None:
    pickle.dumps(SchemeSigner("demo", SECRET, "md5:{secret}"), protocol=pickle.HIGHEST_PROTOCOL)


@pytest.mark.parametrize(
    "act",
    [
        lambda: SchemeSigner("de mo\n", SECRET, "md5:{secret}"),
        lambda: SchemeSigner("demo", SECRET, "md5:{token}"),
        lambda: SchemeSigner("demo", f"{SECRET}\udc80", "md5:{secret}"),
        _pickled,
    ],
)
def test_no_error_tells_the_secret(act: Callable[[], object]) -> None:
    """The secret is in no error: neither in its text, nor its traceback, nor its pickle."""
    with pytest.raises(ConfigError) as caught:
        act()
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET.encode() not in pickle.dumps(caught.value)


def test_the_secret_is_not_shown() -> None:
    """The secret is in no text made of a signer or its scheme."""
    signer = SchemeSigner("demo", SECRET, "md5:{app_id}{timestamp}{secret}")
    assert repr(signer) == "SchemeSigner(app_id='demo', scheme='md5:{app_id}{timestamp}{secret}')"
    for text in (str(signer), f"{signer}", repr(signer.scheme), str(signer.scheme)):
        assert SECRET not in text
    assert SECRET.encode() not in pickle.dumps(signer.scheme)


@pytest.mark.parametrize(
    "act",
    [
        copy.copy,
        copy.deepcopy,
        *(lambda signer, protocol=protocol: pickle.dumps(signer, protocol) for protocol in range(6)),
    ],
)
def test_signer_is_not_pickled(act: Callable[[SchemeSigner], object]) -> None:
    """A signer refuses every way of being written out, and says what to do instead."""
    with pytest.raises(ConfigError, match="not pickled; make it anew"):
        act(SchemeSigner("demo", SECRET, "md5:{secret}"))

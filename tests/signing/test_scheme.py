"""scheme.py: golden vectors, the strict parser, and the secrecy of the secret."""

import copy
import hashlib
import hmac
import pickle
import pydoc
import re
import traceback
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

import workorder_async
from tests.support.rows import each
from tests.support.signatures import EACH_DIGEST, LIST, OVER_REQUEST, REQUEST, SECRET, VARIANTS, rows
from workorder_async.errors import ConfigError
from workorder_async.signing.scheme import (
    DIGESTS,
    ENCODINGS,
    PLACEHOLDERS,
    UNITS,
    Scheme,
    SchemeSigner,
    Signer,
    SigningInput,
)

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


# What the language has beside: computed by OpenSSL too, for example
#   printf %s demotopsecret | openssl dgst -md5
GROWN = [
    # demo1700000000topsecret
    ("sha224:{app_id}{timestamp}{secret}", "88cd81ffd3a972b9971d769524cfcc8ba8992b75d6d6535e4b48f44a"),
    # demo1700000000topsecret
    (
        "sha384:{app_id}{timestamp}{secret}",
        "b5746d2d0fe03985f3b18a1bf613d5942f59f8119095ce0d4d3934068ad88b2bd648fc8a61fe2f74715d4b91a96095f4",
    ),
    # demo1700000000
    ("hmac-sha224:{app_id}{timestamp}", "f1d886f7ff9c43e7669aaf115ae0259422ca3dac7e80c365d7c563d5"),
    # demo1700000000
    (
        "hmac-sha384:{app_id}{timestamp}",
        "cc8dea93cd3a8a2525667638af8e9659eb5f7ce4c25b5aa040319f382bfaf469b7c8dd9e2641763b08b388a4de06f20a",
    ),
    # {"page":1}
    ("hmac-sha256:{body_sorted}", "70b1fe98aa69f9725842627dae6f941477b48a37f045801bfb6055f1b52286f6"),
    # {"page":1}
    ("hmac-sha256:{body_sorted_ascii}", "70b1fe98aa69f9725842627dae6f941477b48a37f045801bfb6055f1b52286f6"),
    # {"page": 1}
    ("hmac-sha256:{body_sorted_spaced}", "efea2c2d4f719eb6e648ffd762df736605e9d750f48d6519aae6b3d33790f9ca"),
    # {"page": 1}
    ("hmac-sha256:{body_sorted_spaced_ascii}", "efea2c2d4f719eb6e648ffd762df736605e9d750f48d6519aae6b3d33790f9ca"),
    # page=1
    ("hmac-sha256:{body_pairs}", "2c99404929ad5bd49e288d05db0d5fd95d61b18d672d423eaf968f2b69d1b606"),
    # 1700000000, a tab, demo
    ("hmac-sha256:{timestamp}\\t{app_id}", "a686fb752935ac6776a0352af31a0408cab7ec2337bb9ae9ced89e7c3b74db67"),
    # 1700000000, keyed with ea847988ba59727dbf4e34ee75726dc3
    ("hmac-sha256,key={md5({secret})}:{timestamp}", "c1aff7d1ce38718f311ea9417b685b0bf2026ab72c8d3ac88016c65ddda45791"),
    # 1700000000, keyed with topsecret&
    ("hmac-sha1,key={secret}&:{timestamp}", "a24c3f7b01293fd8248855d51bd96b3f2aacc9a7"),
    # f2487829b1da23bc6a8ac5a85f4ee89d1700000000
    ("md5:{md5({app_id}{secret})}{timestamp}", "c398b44948a50480a6431712c5c38b40"),
    # F2487829B1DA23BC6A8AC5A85F4EE89D1700000000
    ("md5:{MD5({app_id}{secret})}{timestamp}", "ec58d2caf7ea18be99b4dac7488bc912"),
    # 3at6DCd2hNSnRY5QowJvhQ==
    ("hmac-sha1:{md5_base64({body})}", "ea08145131a96196ccb707299e1f3a0f2e3a8cba"),
    # a=demo&id=14 73&page=1&page=2&ts=1700000000topsecret
    ("md5:{sorted(ts={timestamp}&a={app_id}&{body_pairs}&{query})}{secret}", "eee1602f5878b773f949322a29baa9aa"),
    # demo1700000000
    ("hmac-sha256,base64url:{app_id}{timestamp}", "qbV-Rg1wWv07a_0gEup4FKbtmt_Nyqdmw840LVUREK8="),
    # demo1700000000
    ("hmac-sha256,base64,unpadded:{app_id}{timestamp}", "qbV+Rg1wWv07a/0gEup4FKbtmt/Nyqdmw840LVUREK8"),
    # demo1700000000
    (
        "hmac-sha256,base64-hex:{app_id}{timestamp}",
        "YTliNTdlNDYwZDcwNWFmZDNiNmJmZDIwMTJlYTc4MTRhNmVkOWFkZmNkY2FhNzY2YzNjZTM0MmQ1NTExMTBhZg==",
    ),
    # demo1700000000
    (
        "hmac-sha256,prefix=sha256=:{app_id}{timestamp}",
        "sha256=a9b57e460d705afd3b6bfd2012ea7814a6ed9adfcdcaa766c3ce342d551110af",
    ),
    # demo1700000000
    (
        "hmac-sha256,prefix=HMAC%20,HEX:{app_id}{timestamp}",
        "HMAC A9B57E460D705AFD3B6BFD2012EA7814A6ED9ADFCDCAA766C3CE342D551110AF",
    ),
    # demo1700000000
    (
        "hmac-sha256,prefix=v1%3A:{app_id}{timestamp}",
        "v1:a9b57e460d705afd3b6bfd2012ea7814a6ed9adfcdcaa766c3ce342d551110af",
    ),
]


@rows(*EACH_DIGEST, *VARIANTS, *OVER_REQUEST, *TEMPLATES, *GROWN)
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
    lines = {scheme for scheme, _ in (*EACH_DIGEST, *OVER_REQUEST, *TEMPLATES, *GROWN)}
    assert {f"{keyed}{digest}" for digest in DIGESTS for keyed in ("", "hmac-")} == {
        re.split("[,:]", line)[0] for line in lines
    }
    assert {f"hmac-sha256:{{{name}}}" for name in PLACEHOLDERS} <= lines


@each("line", ["md5,hex,s:{app_id}{timestamp}{secret}", " md5,s,hex:{app_id}{timestamp}{secret}"])
def test_defaults_may_be_written(line: str) -> None:
    """Options may be written out and in any order, and blanks around the head mean nothing."""
    sign = SchemeSigner("demo", SECRET, line).sign(REQUEST)["Sign"]
    assert sign == "227d700255d7a70a235206f9163b7c78"


@each(
    ("scheme", "sign"),
    [
        ("hmac-md5:{app_id}{timestamp}", "cf72cd21b605bfc1cb6bd3b2a983610b"),  # demo1700000000, -hmac 密钥
        ("md5:{app_id}{timestamp}{secret}", "a90cc289ac89748778b846a64742808c"),  # demo1700000000密钥
    ],
)
def test_a_secret_is_utf8(scheme: str, sign: str) -> None:
    """A secret that is not ASCII is signed with its UTF-8 bytes."""
    assert SchemeSigner("demo", "密钥", scheme).sign(REQUEST)["Sign"] == sign


@each(
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


@each(
    ("line", "text"),
    [
        ("{body_sorted}", '{"a":{"y":"姜","z":1.5},"b":[true,null]}'),
        ("{body_sorted_ascii}", r'{"a":{"y":"\u59dc","z":1.5},"b":[true,null]}'),
        ("{body_sorted_spaced}", '{"a": {"y": "姜", "z": 1.5}, "b": [true, null]}'),
        ("{body_sorted_spaced_ascii}", r'{"a": {"y": "\u59dc", "z": 1.5}, "b": [true, null]}'),
        ("{body_pairs}", 'a={"z":1.5,"y":"姜"}&b=[true,null]'),
    ],
)
def test_a_body_of_json(line: str, text: str) -> None:
    """A body of JSON is written again with its keys sorted, or as pairs; one that is no JSON stays as it is."""
    body = '{"b":[true,null],"a":{"z":1.5,"y":"姜"}}'.encode()
    request = SigningInput("POST", LIST, body=(b"", body[:3], body[3:]))
    sign = SchemeSigner("demo", SECRET, f"hmac-sha1:{line}").sign(request)["Sign"]
    assert sign == hmac.digest(SECRET.encode(), text.encode(), "sha1").hex()
    for other in (b"", b"--boundary", b"{", b"{" + b"\xff}"):
        sign = SchemeSigner("demo", SECRET, f"hmac-sha1:{line}").sign(SigningInput("POST", LIST, body=(other,)))["Sign"]
        assert sign == hmac.digest(SECRET.encode(), b"" if line == "{body_pairs}" else other, "sha1").hex()


def test_pairs_that_are_values_are_not_cut() -> None:
    """A & within a value of the body does not make two pairs of it when pairs are sorted."""
    request = SigningInput("POST", LIST, (("q", "x&a"),), (b'{"b":"2&a=1"}',))
    sign = SchemeSigner("demo", SECRET, "hmac-sha1:{sorted(c=3&{body_pairs}&{query})}").sign(request)["Sign"]
    assert sign == hmac.digest(SECRET.encode(), b"b=2&a=1&c=3&q=x&a", "sha1").hex()
    sign = SchemeSigner("demo", SECRET, "hmac-sha1:{glued(c=3&{body_pairs}&{query}&d)}").sign(request)["Sign"]
    assert sign == hmac.digest(SECRET.encode(), b"b2&a=1c3dqx&a", "sha1").hex()


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


@each("name", PLACEHOLDERS)
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


@each(
    ("line", "why"),
    [
        ("", "has no ':'"),
        ("md5", "has no ':'; write DIGEST"),
        ("{app_id}{timestamp}{secret}", "has no ':'"),
        ("md5:", "empty template"),
        ("crc32:{secret}", "unknown digest 'crc32'.*md5, sha1, sha224, sha256, sha384, sha512, sm3"),
        ("MD5:{secret}", "unknown digest 'MD5'"),
        (":{secret}", "unknown digest ''"),
        ("md5 ,HEX:{secret}", "unknown digest 'md5 '"),
        ("hmac-:{secret}", "unknown digest 'hmac-'"),
        ("hmac-hmac-md5:{secret}", "unknown digest 'hmac-hmac-md5'"),
        ("sha3_256:{secret}", "unknown digest 'sha3_256'"),
        (
            "md5,base32:{secret}",
            "unknown option 'base32'.*hex, HEX, base64, base64url, base64-hex, s, ms, unpadded, prefix=TEXT",
        ),
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
        ("md5:{secret}\t", r"control character; write \\n for a line feed and \\t for a tab"),
        ("md5:{crc32({secret})}", r"unknown call \{crc32\(...\)\}.*md5, sha1"),
        ("md5:{hmac-md5({secret})}", r"lone '\{' at position 0"),
        ("md5:{md5({secret}", r"the call \{md5\( of .* has no end; close it with \)\}"),
        ("md5:{md5({token})}{secret}", r"unknown placeholder \{token\}"),
        ("md5:{md5({app_id})}", "never uses the secret"),
        ("hmac-md5,key={app_id}:{timestamp}", "never uses the secret"),
        ("md5,key={secret}:{timestamp}", "a key, which md5 takes none of; use hmac-md5"),
        ("hmac-md5,key=:{timestamp}", "empty template"),
        ("md5,unpadded:{secret}", "which only base64 can be"),
        ("md5,HEX,unpadded:{secret}", "which only base64 can be"),
        ("md5,unpadded,unpadded,base64:{secret}", "both 'unpadded' and 'unpadded'"),
        ("md5,prefix=a,prefix=b:{secret}", "both 'a' and 'prefix=b'"),
        ("md5,prefix=%0A:{secret}", "cannot begin an HTTP header"),
        ("md5,prefix=%E5%A7%9C:{secret}", "cannot begin an HTTP header"),
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


@each("app_id", ["", " demo", "demo ", "de\nmo", "demo\r\nX: y", "工单", "\x7f", "\udc80"])
def test_bad_app_id(app_id: str) -> None:
    """An AppId that cannot be an HTTP header is refused before it breaks one."""
    with pytest.raises(ConfigError, match="app_id"):
        SchemeSigner(app_id, SECRET, "md5:{secret}")


@each("value", [10086, None, b"demo", ["demo"]])
def test_what_is_no_text(value: Any) -> None:
    """An AppId of digits that is a number, or a variable that is not set, is refused by name."""
    with pytest.raises(ConfigError, match=r"app_id is .*it must be text"):
        SchemeSigner(value, SECRET, "md5:{secret}")
    with pytest.raises(ConfigError, match=r"the signing scheme is .*it must be text"):
        SchemeSigner("demo", SECRET, value)


def test_empty_secret() -> None:
    """Nothing can be signed with an empty secret."""
    with pytest.raises(ConfigError, match="app_secret is empty"):
        SchemeSigner("demo", "", "md5:{secret}")


def _pickled() -> None:
    pickle.dumps(SchemeSigner("demo", SECRET, "md5:{secret}"), protocol=pickle.HIGHEST_PROTOCOL)


@each(
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


@pytest.mark.parametrize(
    ("scheme", "renders"),
    [
        ("md5:{app_id}{timestamp}{secret}", 2),
        ("hmac-sha256:{app_id}{timestamp}", 2),
        ("md5,ms:{app_id}{timestamp}{secret}", 3),
        ("md5:{timestamp}{secret}{method}", 4),
        ("md5:{timestamp}{secret}{path}", 4),
        ("md5:{timestamp}{secret}{query}", 4),
        ("md5:{timestamp}{secret}{md5({body})}", 4),
        ("hmac-md5,key={secret}{body_md5}:{timestamp}", 4),
    ],
)
def test_a_signature_is_kept_for_its_second(scheme: str, renders: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made anew for each time stamp, and for each request where it takes in anything of it; right in any case."""
    made: list[str] = []
    signature = Scheme.signature

    def counted(self: Scheme, request: SigningInput, **named: Any) -> str:
        made.append(named["timestamp"])
        return signature(self, request, **named)

    signer = SchemeSigner("demo", SECRET, scheme)
    inputs = [
        SigningInput("GET", "/a", (("id", "1"),), (), 1_700_000_000_001),
        SigningInput("POST", "/b", (), (b'{"page":1}',), 1_700_000_000_999),
        SigningInput("POST", "/b", (), (b'{"page":2}',), 1_700_000_000_999),
        SigningInput("POST", "/b", (), (b'{"page":2}',), 1_700_000_001_000),
    ]
    alone = [dict(SchemeSigner("demo", SECRET, scheme).sign(one)) for one in inputs]
    monkeypatch.setattr(Scheme, "signature", counted)
    signed = [signer.sign(one) for one in inputs]
    assert signed == alone
    assert len(made) == renders
    # What one caller does to its headers is nobody else's.
    kept = signer.sign(inputs[3])
    assert isinstance(kept, dict)
    kept.clear()
    assert signer.sign(inputs[3]) == alone[3]


@each("digest", [digest for digest in DIGESTS if digest in hashlib.algorithms_available])
def test_a_body_in_memory_is_signed_as_one_in_pieces(digest: str) -> None:
    """A tuple is signed in one go, an iterator piece by piece, to the same signature."""
    scheme = Scheme.parse(f"hmac-{digest}:{{app_id}}{{body}}{{timestamp}}")
    whole, pieces = (
        scheme.signature(SigningInput("POST", "/", (), body), app_id="demo", secret=SECRET, timestamp="1")
        for body in ((b"some", b"thing"), iter([b"some", b"thing"]))
    )
    assert whole == pieces


def test_the_secret_is_not_shown() -> None:
    """The secret is in no text made of a signer or its scheme."""
    signer = SchemeSigner("demo", SECRET, "md5:{app_id}{timestamp}{secret}")
    assert repr(signer) == "SchemeSigner(app_id='demo', scheme='md5:{app_id}{timestamp}{secret}')"
    for text in (str(signer), f"{signer}", repr(signer.scheme), str(signer.scheme)):
        assert SECRET not in text
    assert SECRET.encode() not in pickle.dumps(signer.scheme)


@each(
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


def test_escapes_are_one_character_each() -> None:
    """A backslash, a tab, a line feed and both braces, each written as two characters, are signed as one."""
    scheme = Scheme.parse(r"md5:\\a\tb\nc{{d}}{secret}")
    made = scheme.signature(SigningInput("GET", "/"), app_id="a", secret="s", timestamp="1700000000")
    assert made == hashlib.md5(b"\\a\tb\nc{d}s").hexdigest()


@each("body", [b'{"b":NaN,"a":1}', b'{"b":1,"a":' + b"[" * 100 + b"]" * 100 + b"}", b'{"b":1e999,"a":1}'])
def test_a_body_that_is_no_json(body: bytes) -> None:
    """A body that only Python reads as JSON, or that is deeper than any, is signed as it is."""
    request = SigningInput("POST", "/", body=(body,))
    made = Scheme.parse("md5:{body_sorted}{secret}").signature(request, app_id="a", secret="s", timestamp="1700000000")
    assert made == hashlib.md5(body + b"s").hexdigest()


@each("page", ["docs/signing.md", "docs-zh/signing.md"])
def test_the_help_that_the_book_names_has_all_words(page: str) -> None:
    """Who writes a scheme finds each placeholder, digest and option where the book says."""
    book = (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
    [named] = re.findall(r'`help\("?([\w.]+)"?\)`', book)
    said = pydoc.render_doc(named if "." in named else getattr(workorder_async, named))
    words = {name for name in PLACEHOLDERS if not name.startswith("body_sorted_")} | {*DIGESTS, *ENCODINGS, *UNITS}
    assert {
        word for word in words | {"prefix=", "key=", "unpadded", "{sorted(", "{glued("} if word not in said
    } == set()

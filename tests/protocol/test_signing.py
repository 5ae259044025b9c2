r"""Signing: golden vectors, the strict parser, the search for a scheme, and the secrecy of the secret.

Every signature below was computed by OpenSSL's command line, not by Python; for example

    printf %s demo1700000000topsecret | openssl dgst -md5
    printf %s demo1700000000 | openssl dgst -sha256 -hmac topsecret
    printf %s demo1700000000 | openssl dgst -sha256 -hmac topsecret -binary | openssl base64 -A
    printf 'POST\n1700000000' | openssl dgst -sha256 -hmac topsecret

The comment at the end of a row is the text that is signed.
"""

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

from workorder_async.errors import ConfigError
from workorder_async.protocol.signing import (
    DIGESTS,
    PLACEHOLDERS,
    Scheme,
    SchemeSigner,
    Signer,
    SigningInput,
    catalogue,
    detect,
)

SECRET = "topsecret"
LIST = "/workorder/api/ticket/list_tickets"
REQUEST = SigningInput(
    method="POST",
    path=LIST,
    query=(("page", "2"), ("id", "14 73")),
    body=(b'{"page":1}',),
    timestamp_ms=1700000000123,
)


# Each digest, and keyed: demo1700000000topsecret, or demo1700000000.
EACH_DIGEST = [
    ("md5:{app_id}{timestamp}{secret}", "227d700255d7a70a235206f9163b7c78"),
    ("sha1:{app_id}{timestamp}{secret}", "2476e262f0d45a5694a275ee5675740f477b112b"),
    (
        "sha256:{app_id}{timestamp}{secret}",
        "098a5564c2b0680e4792e543bd06b85ea8f86fd08f790349b910f0c2cfb6c55d",
    ),
    (
        "sha512:{app_id}{timestamp}{secret}",
        "a7362e49157dad13897dcc606b95b0c157be91e89dabb8d610707197ef3a93f1"
        "beec195be744b0f2b3d738fce3bf005f5c924025a52cb80fac557a8ec708383d",
    ),
    ("sm3:{app_id}{timestamp}{secret}", "9607e4400bb7451e2c73dacc0a92741ceb5afd7c0f0df4ea3bb6ab08d532a445"),
    ("hmac-md5:{app_id}{timestamp}", "acd2f7b4927990b8684bf55785e91d9c"),
    ("hmac-sha1:{app_id}{timestamp}", "6c55cc718046eb0c55b3128e51262add528a9198"),
    ("hmac-sha256:{app_id}{timestamp}", "a9b57e460d705afd3b6bfd2012ea7814a6ed9adfcdcaa766c3ce342d551110af"),
    (
        "hmac-sha512:{app_id}{timestamp}",
        "dadef3bcb85d867da85468fee061524238056e4228f2215d78e8e6c3a73629c4"
        "8bb804fa86e189ce6f1927ffdd78afedc7d758d998b16bbad1e1acd63faf050b",
    ),
    ("hmac-sm3:{app_id}{timestamp}", "e5b7de957e80ff590119137a1e32b48b276be4a5e7155d35408a7a2f9c43e781"),
]

# Other encodings, units and orders, over the headers alone.
VARIANTS = [
    ("md5,HEX:{app_id}{timestamp}{secret}", "227D700255D7A70A235206F9163B7C78"),
    ("md5,base64:{app_id}{timestamp}{secret}", "In1wAlXXpwojUgb5Fjt8eA=="),
    ("hmac-sha256,base64:{app_id}{timestamp}", "qbV+Rg1wWv07a/0gEup4FKbtmt/Nyqdmw840LVUREK8="),
    ("md5,ms:{app_id}{timestamp}{secret}", "957c40b774f3d789c629f97d6455560d"),  # demo1700000000123topsecret
    ("hmac-sha1,HEX,ms:{app_id}{timestamp}", "3E6337F31577EBF167F01D3B68AE18B1304BB024"),  # demo1700000000123
    ("sha1,base64,ms:{secret}{timestamp}", "VzqW57D5ANQ+wnw5J4V3N9Sa19w="),  # topsecret1700000000123
    # demo&1700000000&topsecret
    ("sha256,base64:{app_id}&{timestamp}&{secret}", "AHDxXYA8gZF7SGfzLSVJvZObpcCqAdysuQyzaXxDY5o="),
    # app_id=demo&timestamp=1700000000&secret=topsecret
    ("md5:app_id={app_id}&timestamp={timestamp}&secret={secret}", "3b0d963bc0129ae1399b104a1488e090"),
    (
        "hmac-sha512:AppId{app_id}Timestamp{timestamp}",  # AppIddemoTimestamp1700000000
        "c63422c7c4104c67ddd46f2d87e6b30c8862e8c299296a0d41a5bf86a056faf5"
        "06953cb71dc40ab8fe285e5a03cc998bbc85171b4ab3e3dc9c4d95e1c9dfcb6c",
    ),
]

# Over more of the request.
OVER_REQUEST = [
    # demo1700000000topsecretddab7a0c277684d4a7458e50a3026f85
    ("md5:{app_id}{timestamp}{secret}{body_md5}", "ca1325351e220fd7c2ba1910954dbad4"),
    (
        # POST, the path, id=14 73&page=2, {"page":1}, demo and 1700000000123, one a line and no line feed at the end
        r"hmac-sha256,base64,ms:{method}\n{path}\n{query}\n{body}\n{app_id}\n{timestamp}",
        "moNlwCgwl/BymaOxtup9i6f/BYxx1CCUx6NrmhtrSGw=",
    ),
    (
        "sm3,HEX:{secret}|{timestamp}|{method}|{path}",  # topsecret|1700000000|POST|/workorder/api/ticket/list_tickets
        "E5E984E4C2B9BFCF5B48F5F3AB01478296F4A1B27EDD13F70911E45903D1DE4F",
    ),
]

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

needs_sm3 = pytest.mark.skipif("sm3" not in hashlib.algorithms_available, reason="this Python's OpenSSL has no sm3")


def rows(*table: tuple[str, str]) -> pytest.MarkDecorator:
    """Parametrise a test with the rows of a table, those of sm3 only where OpenSSL has it."""
    return pytest.mark.parametrize(
        ("scheme", "sign"),
        [pytest.param(*row, id=row[0], marks=[needs_sm3] if "sm3" in row[0] else []) for row in table],
    )


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
    """Where OpenSSL lacks sm3 its schemes are refused by name, and the catalogue goes without them."""
    monkeypatch.setattr(hashlib, "algorithms_available", hashlib.algorithms_available - {"sm3"})
    with pytest.raises(ConfigError, match="no sm3"):
        Scheme.parse("hmac-sm3:{app_id}")
    assert not [line for line in catalogue() if "sm3:" in line]


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
        lambda: detect(app_id="demo", timestamp="today", sign="00", secret=SECRET),
        lambda: detect(app_id="demo", timestamp="1700000000", sign="?", secret=SECRET),
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


def test_catalogue() -> None:
    """Every line of the catalogue is a scheme, the plain digests come first, and none is there twice."""
    lines = list(catalogue())
    assert len({Scheme.parse(line) for line in lines}) == len(lines)
    keyed = [line.startswith("hmac-") for line in lines]
    assert keyed == sorted(keyed)


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

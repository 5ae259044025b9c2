r"""Golden signatures, for the tests of signing and of detecting.

Every signature was computed by OpenSSL's command line, not by Python; for example

    printf %s demo1700000000topsecret | openssl dgst -md5
    printf %s demo1700000000 | openssl dgst -sha256 -hmac topsecret
    printf %s demo1700000000 | openssl dgst -sha256 -hmac topsecret -binary | openssl base64 -A
    printf 'POST\n1700000000' | openssl dgst -sha256 -hmac topsecret

The comment at a row is the text that is signed.
"""

import hashlib
from collections.abc import Callable, Iterable

import pytest

from tests.support.rows import each
from workorder_async.secret import Secret
from workorder_async.signing.scheme import SigningInput
from workorder_async.signing.search import Accepted, Detected, Search

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


needs_sm3 = pytest.mark.skipif("sm3" not in hashlib.algorithms_available, reason="this Python's OpenSSL has no sm3")


def rows(*table: tuple[str, str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test for each row of a table, those of sm3 only where OpenSSL has it."""
    has_sm3 = "sm3" in hashlib.algorithms_available
    return each(("scheme", "sign"), [row for row in table if has_sm3 or "sm3" not in row[0]])


def detect(
    *,
    app_id: str,
    timestamp: str,
    sign: str,
    secret: str | Secret,
    request: SigningInput | None = None,
    more: Iterable[Accepted] = (),
) -> Detected:
    """Search for the schemes that reproduce a request, and further ones."""
    # A text would stand in every traceback with locals.
    secret = Secret(secret)
    return Search([Accepted(app_id, timestamp, sign, request), *more], secret).run()

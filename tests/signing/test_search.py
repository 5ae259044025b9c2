"""search.py: the search finds what people build, tells what it cannot tell, and keeps the secret."""

import hashlib
import pickle
import traceback
from urllib.parse import parse_qsl

import pytest
from attrs import evolve

from tests.support import home_made, home_made_later
from tests.support.home_made import HomeMade, Sent, hexed, mac, sent
from tests.support.signatures import EACH_DIGEST, OVER_REQUEST, REQUEST, SECRET, VARIANTS, needs_sm3
from workorder_async.errors import ConfigError
from workorder_async.secret import Secret
from workorder_async.signing import search as module
from workorder_async.signing.scheme import Scheme, SchemeSigner, SigningInput
from workorder_async.signing.search import Detected, Hit, Search, detect, detecting, readings


def _request(sent: Sent) -> SigningInput:
    return SigningInput(
        sent.method,
        sent.path,
        tuple(parse_qsl(sent.query)),
        (sent.body.encode(),),
        timestamp_ms=int(sent.ts.ljust(13, "0")),
    )


def _run(search: Search, signs: list[str]) -> list[Hit]:
    """Search for several signatures at once, which takes no longer than for one."""
    steps = search.run({reading.digest for sign in signs for reading in readings(sign)})
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: list[Hit] = end.value
            return found


def _signs_the_next(scheme: Scheme, made: HomeMade, sent: Sent) -> bool:
    """Tell whether a scheme signs a second request as the one who built it does."""
    signer = SchemeSigner(sent.app, sent.secret, Scheme.parse(str(scheme)))
    return signer.sign(_request(sent)) == {"AppId": sent.app, "Timestamp": sent.ts, "Sign": made.sign(sent)}


EVERY = [*home_made.ALL, *home_made_later.ALL]


# One search takes seconds for each digest, and longer where the machine is busy.
@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("kind", "unit"), sorted({(made.kind, made.unit) for made in EVERY}))
def test_what_people_build_is_found(kind: str, unit: str) -> None:
    """Each scheme of the lists is found from one request, and a line that is found signs another request alike.

    The line stands first, but where pairs in their order are alike with pairs that are sorted.
    """
    first, second = sent(kind, unit, 0), sent(kind, unit, 1)
    group = [made for made in EVERY if (made.kind, made.unit) == (kind, unit)]
    search = Search(first.app, first.ts, Secret(first.secret), None if kind == "bare" else _request(first))
    hits = _run(search, [made.sign(first) for made in group])
    missed, behind = [], []
    for made in group:
        found = search.detected(made.sign(first), hits)
        right = [_signs_the_next(scheme, made, second) for scheme in found.schemes]
        if not any(right):
            missed.append(made.name)
        elif not right[0]:
            behind.append(made.name)
            assert found.deciding
    assert missed == []
    assert set(behind) <= {"query first", "body pairs, then headers"}


def test_the_lists_are_long_enough() -> None:
    """There are 150 schemes and more, and 65 that were thought of later; none is there twice."""
    assert len(home_made.ALL) >= 150
    assert len(home_made_later.ALL) == 65
    assert len({made.name for made in EVERY}) == len(EVERY)


@pytest.mark.slow
def test_golden_schemes_are_found() -> None:
    """The signatures that OpenSSL made are found from the headers alone, with their encoding and unit, in one line."""
    for unit, timestamp in (("s", "1700000000"), ("ms", "1700000000123")):
        rows = [row for row in (*EACH_DIGEST, *VARIANTS) if (",ms" in row[0]) == (unit == "ms")]
        rows = [row for row in rows if "sm3" not in row[0] or "sm3" in hashlib.algorithms_available]
        search = Search("demo", timestamp, Secret(SECRET), None)
        hits = _run(search, [sign for _, sign in rows])
        assert [([*map(str, search.detected(sign, hits).schemes)], sign) for _, sign in rows] == [
            ([line], sign) for line, sign in rows
        ]


@pytest.mark.slow
@needs_sm3
@pytest.mark.timeout(120)
def test_a_scheme_over_the_request_needs_the_request() -> None:
    """A scheme over body, path or method is found with the request, and not without it."""
    line, sign = OVER_REQUEST[2]
    assert _lines(_detect(sign, REQUEST)) == [line]
    assert _lines(_detect(sign, None)) == []


def _detect(sign: str, request: SigningInput | None, timestamp: str = "1700000000") -> Detected:
    return detect(app_id="demo", timestamp=timestamp, sign=sign, secret=SECRET, request=request)


def _lines(found: Detected) -> list[str]:
    return [str(scheme) for scheme in found.schemes]


def test_without_a_request_none_is_guessed() -> None:
    """With no request at hand, a scheme over the body is not mistaken for one over an empty body."""
    assert _lines(_detect(hexed("md5", f"demo1700000000{SECRET}{hexed('md5', '')}"), None)) == []


GET = SigningInput("GET", "/workorder/api/ticket/base")


@pytest.mark.slow
def test_an_empty_part_does_not_count() -> None:
    """Where query and body are empty, the line goes without them, once, and the requests that decide are named."""
    found = _detect(mac("sha1", SECRET, f"demo1700000000GET{GET.path}"), GET)
    assert _lines(found) == ["hmac-sha1:{app_id}{timestamp}{method}{path}"]
    assert found.deciding == (
        "a POST with a body of JSON whose keys are not in alphabetical order, with Chinese text in it",
        "a GET with a query",
    )


@pytest.mark.slow
def test_an_empty_part_between_separators_counts() -> None:
    """A separator shows that an empty part is there; what it is, another request decides."""
    lines = _lines(_detect(mac("sha1", SECRET, f"demo:1700000000:GET:{GET.path}:"), GET))
    assert {f"hmac-sha1:{{app_id}}:{{timestamp}}:{{method}}:{{path}}:{part}" for part in ("{query}", "{body}")} <= {
        *lines
    }


@pytest.mark.slow
def test_a_sorted_body_is_not_told_from_the_body() -> None:
    """A body whose keys are sorted already is taken as it is, and a request that decides is named."""
    request = evolve(GET, method="POST", query=(("a", "b"),), body=(b'{"a":1,"b":2}',))
    found = _detect(mac("sha1", SECRET, '1700000000{"a":1,"b":2}'), request)
    assert _lines(found) == ["hmac-sha1:{timestamp}{body}"]
    assert [what.partition(" of JSON")[0] for what in found.deciding] == ["a POST with a body"]


@pytest.mark.slow
def test_nothing_more_is_asked_where_all_is_shown() -> None:
    """A request with a query, and no body in the line, leaves nothing open but the body."""
    request = evolve(GET, method="POST", query=(("id", "7"),), body=(b'{"b":"\xe5\xa7\x9c","a":[1,2]}',))
    found = _detect(hexed("md5", f"{GET.path}id=71700000000{SECRET}"), request)
    assert _lines(found) == ["md5:{path}{query}{timestamp}{secret}"]
    assert found.deciding == ()


def test_base64_without_its_own_characters() -> None:
    """A base64 that has none of + / - _ may be of either kind: the result says which Sign would tell."""
    found = _detect("In1wAlXXpwojUgb5Fjt8eA==", None)
    assert _lines(found) == ["md5,base64:{app_id}{timestamp}{secret}"]
    assert found.deciding == ("one whose Sign has a + / - or _ in it, which tells base64 from base64url",)


@pytest.mark.slow
def test_nothing_fits() -> None:
    """A signature that nothing reproduces gives no scheme, after millions of tries that were counted."""
    request = evolve(GET, query=(("id", "7"),))
    steps = detecting(app_id="demo", timestamp="1700000000", sign="0" * 40, secret=SECRET, request=request)
    told, found = [], None
    while found is None:
        try:
            told.append(next(steps))
        except StopIteration as end:
            found = end.value
    assert (found.schemes, found.deciding) == ((), ())
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert {total for _, total in told} == {found.tried}
    assert found.tried > 1_000_000


@pytest.mark.slow
def test_without_a_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where OpenSSL lacks sm3 the search goes without it."""
    monkeypatch.setattr(hashlib, "algorithms_available", hashlib.algorithms_available - {"sm3"})
    assert _lines(_detect(hexed("sha256", f"1700000000{SECRET}"), GET)) == ["sha256:{timestamp}{secret}"]


def test_a_search_that_is_interrupted_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C within a search passes, without the frames that hold what was signed."""

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_distinct", interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        _detect("0" * 32, None)
    frames = [
        frame
        for frame, _ in traceback.walk_tb(caught.value.__traceback__)
        if "/workorder_async/signing/" in frame.f_code.co_filename
    ]
    assert frames
    assert SECRET not in repr([frame.f_locals for frame in frames])


@pytest.mark.parametrize(
    "timestamp", ["", "now", "17000000", "170000000000000", "1700000000.5", "-170000000", "1700000000\n"]
)
def test_detect_bad_timestamp(timestamp: str) -> None:
    """A Timestamp that is not whole seconds or milliseconds is refused by name."""
    with pytest.raises(ConfigError, match=r"Timestamp .* is not whole seconds or milliseconds"):
        detect(app_id="demo", timestamp=timestamp, sign="00", secret=SECRET)


@pytest.mark.parametrize(
    "sign",
    ["", "xyz", "ab c", "0123456789abcdef0", "aB0=\n", "=aaa", "签名", "a-b_", "00", "0" * 16, "a.b.c", "A" * 344],
)
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

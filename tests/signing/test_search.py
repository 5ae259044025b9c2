"""search.py: the search finds what people build, tells what it cannot tell, and keeps the secret."""

import hashlib
import pickle
import traceback
from collections.abc import Callable, Sequence
from urllib.parse import parse_qsl

import pytest
from attrs import evolve

from tests.support import home_made, home_made_later
from tests.support.home_made import HomeMade, Sent, hexed, mac, sent
from tests.support.rows import each
from tests.support.signatures import EACH_DIGEST, OVER_REQUEST, REQUEST, SECRET, VARIANTS, detect, needs_sm3
from tests.support.slow import slow_after
from workorder_async.errors import ConfigError, WorkorderError
from workorder_async.secret import Secret
from workorder_async.signing import search as module
from workorder_async.signing.candidates import (
    APP_ID,
    METHOD,
    PATH,
    QUERY,
    SECRET as SECRET_PART,
    TIMESTAMP,
    Variants,
    _single,
)
from workorder_async.signing.scheme import PLACEHOLDERS, Scheme, SchemeSigner, SigningInput
from workorder_async.signing.search import Accepted, Detected, Hit, Search, readings


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
    return search.hits({reading.digest for sign in signs for reading in readings(sign)})


def _signs_the_next(scheme: Scheme, made: HomeMade, sent: Sent) -> bool:
    """Tell whether a scheme signs a second request as the one who built it does."""
    signer = SchemeSigner(sent.app, sent.secret, Scheme.parse(str(scheme)))
    return signer.sign(_request(sent)) == {"AppId": sent.app, "Timestamp": sent.ts, "Sign": made.sign(sent)}


EVERY = [*home_made.ALL, *home_made_later.ALL]


# One search takes seconds for each digest, and longer where the machine is busy.
@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("kind", "unit"),
    [
        pytest.param(kind, unit, marks=[pytest.mark.torture] if unit == "ms" else [])
        for kind, unit in sorted({(made.kind, made.unit) for made in EVERY})
    ],
)
def test_what_people_build_is_found(kind: str, unit: str) -> None:
    """Each scheme of the lists is found from one request, and a line that is found signs another request alike.

    The line stands first, but where pairs in their order are alike with pairs that are sorted.
    """
    first, second = sent(kind, unit, 0), sent(kind, unit, 1)
    group = [made for made in EVERY if (made.kind, made.unit) == (kind, unit)]
    request = None if kind == "bare" else _request(first)
    search = Search([Accepted(first.app, first.ts, "0" * 32, request)], Secret(first.secret))
    hits = _run(search, [made.sign(first) for made in group])
    missed, behind = [], []
    for made in group:
        found = search.detected(hits, made.sign(first))
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


Among = Callable[..., None]


@pytest.fixture
def among(monkeypatch: pytest.MonkeyPatch) -> Among:
    """Let only candidates of some parts be tried, or of all of these together, and of those the simple ones."""

    def only(*parts: str, together: bool = False) -> None:
        chosen, least = {*parts, SECRET_PART}, len(parts) if together else 0
        monkeypatch.setattr(
            module,
            "candidates",
            lambda seen, _: [
                some for some in _single(seen) if len(some.parts) >= least and chosen.issuperset(some.parts)
            ],
        )

    return only


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["s", "ms"])
def test_golden_schemes_are_found(unit: str, among: Among) -> None:
    """The signatures that OpenSSL made are found from the headers alone, with their encoding and unit, in one line."""
    timestamp = {"s": "1700000000", "ms": "1700000000123"}[unit]
    rows = [row for row in (*EACH_DIGEST, *VARIANTS) if (",ms" in row[0]) == (unit == "ms")]
    rows = [row for row in rows if "sm3" not in row[0] or "sm3" in hashlib.algorithms_available]
    if unit == "ms":
        among(APP_ID, TIMESTAMP)
    search = Search([Accepted("demo", timestamp, "0" * 32)], Secret(SECRET))
    hits = _run(search, [sign for _, sign in rows])
    assert [([*map(str, search.detected(hits, sign).schemes)], sign) for _, sign in rows] == [
        ([line], sign) for line, sign in rows
    ]


@needs_sm3
def test_a_scheme_over_the_request_needs_the_request(among: Among) -> None:
    """A scheme over body, path or method is found with the request, and not without it."""
    line, sign = OVER_REQUEST[2]
    among(TIMESTAMP, METHOD, PATH)
    assert _lines(_detect(sign, REQUEST)) == [line]
    assert _lines(_detect(sign, None)) == []


def _detect(sign: str, request: SigningInput | None, timestamp: str = "1700000000") -> Detected:
    return detect(app_id="demo", timestamp=timestamp, sign=sign, secret=SECRET, request=request)


def _lines(found: Detected) -> list[str]:
    return [str(scheme) for scheme in found.schemes]


def test_without_a_request_none_is_guessed(among: Among) -> None:
    """With no request at hand, a scheme over the body is not mistaken for one over an empty body."""
    among(APP_ID, TIMESTAMP, "{body}", "{body_md5}")
    assert _lines(_detect(hexed("md5", f"demo1700000000{SECRET}{hexed('md5', '')}"), None)) == []


GET = SigningInput("GET", "/workorder/api/ticket/base")


def test_an_empty_part_does_not_count(among: Among) -> None:
    """Where query and body are empty, the line goes without them, once, and the requests that decide are named."""
    among(TIMESTAMP, PATH, QUERY, "{body}")
    found = _detect(mac("sha1", SECRET, f"1700000000{GET.path}"), GET)
    assert _lines(found) == ["hmac-sha1:{timestamp}{path}"]
    assert found.deciding == (
        "a POST with a body of JSON whose keys are not in alphabetical order, with Chinese text in it",
        "a GET with a query",
    )


def test_an_empty_part_between_separators_counts(among: Among) -> None:
    """A separator shows that an empty part is there; what it is, another request decides."""
    among(TIMESTAMP, PATH, QUERY, "{body}")
    lines = _lines(_detect(mac("sha1", SECRET, f"1700000000:{GET.path}:"), GET))
    assert {f"hmac-sha1:{{timestamp}}:{{path}}:{part}" for part in ("{query}", "{body}")} <= {*lines}


def test_a_sorted_body_is_not_told_from_the_body(among: Among) -> None:
    """A body whose keys are sorted already is taken as it is, and a request that decides is named."""
    among(TIMESTAMP, "{body}", "{body_sorted}")
    request = evolve(GET, method="POST", query=(("a", "b"),), body=(b'{"a":1,"b":2}',))
    found = _detect(mac("sha1", SECRET, '1700000000{"a":1,"b":2}'), request)
    assert _lines(found) == ["hmac-sha1:{timestamp}{body}"]
    assert [what.partition(" of JSON")[0] for what in found.deciding] == ["a POST with a body"]


def test_nothing_more_is_asked_where_all_is_shown(among: Among) -> None:
    """A request with a query, and no body in the line, leaves nothing open but the body."""
    among(TIMESTAMP, PATH, QUERY)
    request = evolve(GET, method="POST", query=(("id", "7"),), body=(b'{"b":"\xe5\xa7\x9c","a":[1,2]}',))
    found = _detect(hexed("md5", f"{GET.path}id=71700000000{SECRET}"), request)
    assert _lines(found) == ["md5:{path}{query}{timestamp}{secret}"]
    assert found.deciding == ()


@each("part", ["{body_pairs}", "{body_sorted}"])
def test_a_body_that_is_written_again(among: Among, part: str) -> None:
    """Hosts leave out empty values, or sort objects within, as nothing shows here: a request that decides is named."""
    among(TIMESTAMP, part)
    flat, varied = b'{"id":7,"detail":"\xe5\xa7\x9c"}', b'{"id":7,"detail":"\xe5\xa7\x9c","a":"","b":[{"z":1,"c":2}]}'
    wanted = ("a POST with a body of JSON that has an empty text, and a list of an object",)
    for body, deciding in ((flat, wanted), (varied, ())):
        request = evolve(GET, method="POST", query=(("id", "7"),), body=(body,))
        scheme = Scheme.parse(f"md5:{{timestamp}}{part}{{secret}}")
        sign = scheme.signature(request, app_id="demo", secret=SECRET, timestamp="1700000000")
        found = _detect(sign, request)
        assert _lines(found) == [str(scheme)]
        assert found.deciding == deciding


def test_base64_without_its_own_characters(among: Among) -> None:
    """A base64 that has none of + / - _ may be of either kind: the result says which Sign would tell."""
    among(APP_ID, TIMESTAMP)
    found = _detect("In1wAlXXpwojUgb5Fjt8eA==", None)
    assert _lines(found) == ["md5,base64:{app_id}{timestamp}{secret}"]
    assert found.deciding == ("one whose Sign has a + / - or _ in it, which tells base64 from base64url",)


@pytest.mark.slow
def test_nothing_fits() -> None:
    """A signature that nothing reproduces gives no scheme, after very many tries that were counted."""
    told: list[tuple[int, int]] = []

    def is_over() -> bool:
        told.append((search.tried, search.total))
        return False

    search = Search([Accepted("demo", "1700000000", "0" * 40)], Secret(SECRET), is_over)
    found = search.run()
    assert (found.schemes, found.deciding) == ((), ())
    done = [done for done, _ in told]
    assert done == sorted(done)
    assert len(set(done)) > 1000
    assert {total for done, total in told if done} == {found.tried}
    assert found.tried > 200_000


def test_without_a_digest(monkeypatch: pytest.MonkeyPatch, among: Among) -> None:
    """Where OpenSSL lacks sm3 the search goes without it."""
    monkeypatch.setattr(hashlib, "algorithms_available", hashlib.algorithms_available - {"sm3"})
    among(TIMESTAMP)
    assert _lines(_detect(hexed("sha256", f"1700000000{SECRET}"), GET)) == ["sha256:{timestamp}{secret}"]


def test_a_search_that_is_interrupted_shows_no_secret(monkeypatch: pytest.MonkeyPatch, among: Among) -> None:
    """Ctrl-C within a search passes, without the frames that hold what was signed."""

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    among(TIMESTAMP)
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


BAD = ["", "now", "17000000", "170000000000000", "1700000000.5", "-170000000", "1700000000\n"]


@each("timestamp", [*BAD, "20240131120000", "202401311200", "17000000000", "999999999"])
def test_detect_bad_timestamp(timestamp: str) -> None:
    """A Timestamp that is not whole seconds or milliseconds is refused by name, and so is a date in digits."""
    with pytest.raises(ConfigError, match=r"Timestamp .* is not whole seconds or milliseconds.*; .* a signer of your"):
        detect(app_id="demo", timestamp=timestamp, sign="00", secret=SECRET)


@each(
    "sign",
    ["", "xyz", "ab c", "0123456789abcdef0", "aB0=\n", "=aaa", "签名", "a-b_", "00", "0" * 16, "a.b.c", "A" * 344],
)
def test_detect_bad_sign(sign: str) -> None:
    """A Sign that is neither hex nor base64 is refused by name."""
    with pytest.raises(ConfigError, match=r"Sign .* is neither hex nor base64"):
        detect(app_id="demo", timestamp="1700000000", sign=sign, secret=SECRET)


@each(
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


@each(("timestamp", "sign"), [("today", "00"), ("1700000000", "?")])
def test_no_error_tells_the_secret(timestamp: str, sign: str) -> None:
    """The secret is in no error: neither in its text, nor its traceback, nor its pickle."""
    with pytest.raises(ConfigError) as caught:
        detect(app_id="demo", timestamp=timestamp, sign=sign, secret=SECRET)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET.encode() not in pickle.dumps(caught.value)


# Several requests


PAIR = [
    SigningInput("GET", "/workorder/api/ticket/detail", (("view", "all"), ("id", "7"))),
    SigningInput("POST", "/workorder/api/ticket/close_ticket", (), ('{"note":"姜","id":7}'.encode(),)),
]


def _accepted(line: str, requests: Sequence[SigningInput]) -> list[Accepted]:
    """Sign requests by a line, a minute after each other."""
    scheme, found = Scheme.parse(line), []
    for number, request in enumerate(requests):
        time = scheme.timestamp(1_700_000_000_123 + number * 60_000)
        sign = scheme.signature(request, app_id="demo", secret=SECRET, timestamp=time)
        found.append(Accepted("demo", time, sign, request))
    return found


def _together(line: str, requests: Sequence[SigningInput]) -> Detected:
    first, *more = _accepted(line, requests)
    return detect(
        app_id=first.app_id,
        timestamp=first.timestamp,
        sign=first.sign,
        secret=SECRET,
        request=first.request,
        more=more,
    )


# In each of these a part is signed that one of the two requests has and the other lacks.
JOINT = [
    ("md5:{timestamp}{method}{path}{query}{body}{secret}", (TIMESTAMP, METHOD, PATH, QUERY, "{body}")),
    (
        "hmac-sha256,base64,ms:{method}\\n{path}\\n{query}\\n{body_sorted}\\n{timestamp}",
        (TIMESTAMP, METHOD, PATH, QUERY, "{body_sorted}"),
    ),
    # The query of a GET and the body of a POST in the same place.
    ("hmac-sha1:{timestamp}:{query}{body}:{app_id}", (APP_ID, TIMESTAMP, "{query}{body}")),
    ("md5,HEX:{secret}{app_id}{query}{timestamp}{body_md5}{secret}", (APP_ID, TIMESTAMP, QUERY, "{body_md5}")),
]


@pytest.mark.parametrize(("line", "parts"), JOINT)
@pytest.mark.parametrize("order", slow_after(1, [PAIR, PAIR[::-1]]))
def test_a_get_and_a_post_are_searched_together(
    line: str, parts: tuple[str, ...], order: list[SigningInput], among: Among
) -> None:
    """What is empty in one request shows in the other, whichever comes first."""
    among(*parts, together=True)
    found = _together(line, order)
    assert found.schemes
    for other in _accepted(line, [*PAIR, SigningInput("PUT", "/x", (("b", "2"), ("a", "1")), (b'{"b":1,"a":"x"}',))]):
        assert other.request is not None
        for scheme in found.schemes[:1]:
            made = scheme.signature(other.request, app_id="demo", secret=SECRET, timestamp=other.timestamp)
            # A body beside a query is not in the pair.
            assert made == other.sign or (other.request.method == "PUT" and "{query}{body}" in line)


FEW = [Variants((part, TIMESTAMP, "{body}", SECRET_PART), (("", ""), ("&", "&"))) for part in (APP_ID, METHOD, QUERY)]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let some hundred candidates be tried."""
    monkeypatch.setattr(module, "candidates", lambda *_: FEW)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("order", [PAIR, PAIR[::-1], [PAIR[0], *PAIR[::-1], PAIR[1]]])
@pytest.mark.parametrize(
    "line", ["sha1:{query}{timestamp}{body}{secret}", "md5,ms:{secret}&{body}&{query}&{timestamp}"]
)
def test_all_requests_count(line: str, order: list[SigningInput]) -> None:
    """A line is found only if it signs all requests; alone, those of the one that shows most are told."""
    assert _lines(_together(line, order)) == [line]
    made = _accepted(line, order)
    made[-1] = evolve(made[-1], timestamp=f"{int(made[-1].timestamp) + 1}")
    found = Search(made, Secret(SECRET)).run()
    assert found.schemes == ()
    assert line in map(str, found.alone)


def test_what_one_request_shows_is_there() -> None:
    """A part is empty only if no request shows it, and two kinds of body are alike only if they are so in each."""
    search = Search(_accepted("md5:{secret}", PAIR), Secret(SECRET))
    search._note_parts()
    assert search._seen.empty == set()
    assert {"{body}", "{body_sorted}", "{query}{body}"} <= {*search._seen.bodies}
    alone = Search(_accepted("md5:{secret}", PAIR[:1]), Secret(SECRET))
    alone._note_parts()
    assert {"{body}", "{body_sorted}"} <= alone._seen.empty
    assert "{query}{body}" in alone._seen.bodies


@pytest.mark.usefixtures("few")
def test_each_signature_is_counted_once() -> None:
    """What was tried is the number of candidates, of each digest of that length."""
    found = Search([Accepted("demo", "1700000000", "0" * 40, PAIR[1])], Secret(SECRET)).run()
    assert (found.schemes, found.alone, found.tried) == ((), (), sum(some.size for some in FEW))


@pytest.mark.usefixtures("few")
def test_another_signature_tells_which_base64_it_is() -> None:
    """A base64 without characters of its own takes the kind of another one."""
    for kind in ("base64", "base64url"):
        line = f"md5,{kind}:{{app_id}}{{timestamp}}{{body}}{{secret}}"
        requests = [evolve(PAIR[1], body=(b"%d" % number,)) for number in range(40)]
        made = _accepted(line, requests)
        plain = next(one for one in made if not set("+/-_") & set(one.sign))
        other = next(one for one in made if set("+/-_") & set(one.sign))
        for pair in ([plain, other], [other, plain]):
            found = Search(pair, Secret(SECRET)).run()
            assert _lines(found) == [line]
            assert not any("+ / -" in one for one in found.deciding)


def test_seconds_and_milliseconds() -> None:
    """One scheme has one unit: requests with two are refused."""
    made = [Accepted("demo", time, "0" * 32) for time in ("1700000000", "1700000000123")]
    with pytest.raises(ConfigError, match="Timestamp is in seconds in one request, and in milliseconds in another"):
        Search(made, Secret(SECRET))


# Long bodies, and long searches


def test_a_long_body_is_not_searched() -> None:
    """Millions of texts that hold it would take too long: another request is asked for."""
    line = "md5:{timestamp}{secret}"
    short, long = _accepted(line, [PAIR[0], evolve(PAIR[1], body=(b"x" * 65_537,))])
    with pytest.raises(ConfigError, match="the request has a body of 65,537 bytes; take one with a body of at most"):
        Search([long], Secret(SECRET))
    assert Search([long, short], Secret(SECRET))._signed.request == PAIR[0]


@pytest.mark.usefixtures("few")
def test_a_search_is_given_up() -> None:
    """Who searches is asked while the requests are looked at, and while it is planned, and between the candidates."""
    for looks in (0, 1, 9, 30):
        asked = iter(range(looks))
        search = Search(_accepted("md5:{secret}", PAIR), Secret(SECRET), lambda: next(asked, None) is None)  # noqa: B023
        with pytest.raises(WorkorderError, match="the search was given up"):
            search.run()


# What no input may do


@each(
    "request_",
    [
        SigningInput("GE\ud800T", "/"),
        SigningInput("GET", "/\udc80"),
        SigningInput("GET", "/", (("a", "\ud800"),)),
        SigningInput("GET", "/", (("\ud800", ""),)),
    ],
)
def test_a_text_without_bytes(request_: SigningInput) -> None:
    """A lone surrogate in a part is refused in a sentence."""
    with pytest.raises(ConfigError, match="of the request has no UTF-8 bytes that could be signed"):
        _detect("0" * 32, request_)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    "body",
    [
        *(b"[" * 60_000, b"[" * 30_000 + b"]" * 30_000, b"[" * 300 + b"]" * 300, b'{"a":' * 990 + b"1" + b"}" * 990),
        *(
            b'{"a":NaN}',
            b'{"a":1e999}',
            b'{"a":' + b"9" * 5000 + b"}",
            b"{}",
            b"[]",
            b"{",
            b'{"\\ud800":"\\ud800"}',
            b"\xff",
        ),
        *(b'{"a":1,"a":2}', b"\xef\xbb\xbf{}", b"null", b"\0"),
    ],
    ids=lambda body: body[:12],
)
def test_any_body(body: bytes) -> None:
    """Whatever a body is, it is signed as it is, and each placeholder has bytes for it."""
    request = evolve(PAIR[1], body=(body,))
    line = "md5:{app_id}{timestamp}{body}{secret}"
    assert line in _lines(_together(line, [request]))
    for name in PLACEHOLDERS:
        _accepted(f"hmac-md5:{{{name}}}", [request])

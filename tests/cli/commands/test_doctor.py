"""`workorder doctor`: each check, when it holds and when it fails."""

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tests.support.cli_runs import SECRET, Workorder, elsewhere
from tests.support.raw_server import envelope, http, serving
from tests.support.slow import slow_after
from workorder_async.cli.commands import doctor as checks
from workorder_async.sandbox import Fault, Sandbox

TICKETS = 5

FOUR = ["WORKORDER_BASE_URL", "WORKORDER_APP_ID", "WORKORDER_APP_SECRET", "WORKORDER_SIGN_SCHEME"]

STEPS = ["name", "connection", "answer", "clock", "signature"]


def test_a_healthy_platform(workorder: Workorder) -> None:
    """Against a platform that answers, every check is ok, and the exit code 0."""
    ran = workorder("doctor")
    lines = [line.split(maxsplit=2) for line in ran.out.splitlines()]
    assert (ran.code, ran.err) == (0, "")
    assert [(mark, name) for mark, name, _ in lines] == [("ok", name) for name in (*FOUR, *STEPS)]
    assert lines[-1][2] == "accepted; the platform has 5 tickets to show"


def examined(workorder: Workorder, *words: object) -> dict[str, tuple[bool | None, str]]:
    """Return what the doctor says of each check, as JSON; fail unless it exits with 1."""
    ran = workorder("doctor", "--json", *words)
    assert ran.code == 1
    assert all(line.startswith("workorder: plain HTTP to ") for line in ran.err.splitlines())
    assert [row["name"] for row in ran.rows] == [*FOUR, *STEPS]
    return {row["name"]: (row["ok"], f"{row['found']}; {row['mend']}") for row in ran.rows}


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("WORKORDER_BASE_URL", "", "not set; set it to the platform's URL"),
        ("WORKORDER_BASE_URL", "host", "must be http:// or https://"),
        ("WORKORDER_APP_ID", " ", "not set; set it to the AppId"),
        ("WORKORDER_APP_ID", "工单", "cannot be an HTTP header"),
        ("WORKORDER_APP_SECRET", "", "not set"),
        ("WORKORDER_SIGN_SCHEME", "md5:{app}", "unknown placeholder {app}"),
    ],
)
def test_each_variable_is_checked(
    workorder: Workorder, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    """A variable that is missing or cannot work is named with its mend, and what needs it is skipped."""
    monkeypatch.setenv(variable, value)
    checked = examined(workorder)
    assert checked[variable][0] is False
    assert said in checked[variable][1]
    reached = variable != "WORKORDER_BASE_URL"
    assert [checked[name][0] for name in STEPS] == ([True] * 4 if reached else [None] * 4) + [None]


def test_a_mistake_in_a_further_setting(workorder: Workorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errnos that cannot be read are told with their own mend: nobody who runs the platform can help."""
    monkeypatch.setenv("WORKORDER_ERRNOS", "x")
    ok, said = examined(workorder)["signature"]
    assert ok is False
    assert said.startswith("WORKORDER_ERRNOS has 'x'; write ERRNO=ERROR")
    assert "run it again" not in said


def test_a_name_that_is_not_known(workorder: Workorder) -> None:
    """A host that cannot be found fails the name, and the rest is skipped."""
    checked = examined(workorder, "--base-url", "http://no-such-host.invalid")
    assert [checked[name][0] for name in STEPS] == [False, None, None, None, None]
    assert "no-such-host.invalid cannot be found: " in checked["name"][1]


def test_a_name_that_cannot_be_one(workorder: Workorder) -> None:
    """A host name that no name server could be asked for fails the base URL."""
    checked = examined(workorder, "--base-url", f"http://{'a' * 70}.example")
    assert checked["WORKORDER_BASE_URL"][0] is False
    assert "has a host that can be none" in checked["WORKORDER_BASE_URL"][1]


def test_a_port_that_refuses(workorder: Workorder) -> None:
    """A refused connection fails that check with the system's words."""
    checked = examined(workorder, "--base-url", "http://127.0.0.1:1")
    assert [checked[name][0] for name in STEPS] == [True, False, None, None, None]
    assert "port 1 of 127.0.0.1 takes none: Connection refused" in checked["connection"][1]


def test_a_name_server_that_says_nothing(workorder: Workorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that takes too long fails instead of hanging."""
    monkeypatch.setattr(checks, "_PATIENCE", 1e-9)
    checked = examined(workorder, "--base-url", "http://localhost:1")
    assert checked["name"][0] is False
    assert "nothing for 0 s" in checked["name"][1]


def test_https_has_its_own_port(workorder: Workorder) -> None:
    """Without a port in the URL, https means 443."""
    checked = examined(workorder, "--base-url", "https://127.0.0.1")
    assert "port 443 of 127.0.0.1" in checked["connection"][1]


@pytest.mark.parametrize(
    ("answer", "ok", "said"),
    [
        (http("<html>busy"), False, "any proxy or gateway (the answer begins: busy); check host, port and path in"),
        (http("denied", "401 Unauthorized"), True, "HTTP 401 to a request without a signature"),
        (envelope('{"pagination":{"total":0},"tickets":[]}'), True, "even to a request without a signature"),
        (envelope("{}"), False, "$.data.pagination is missing or null"),
    ],
)
def test_who_answers(workorder: Workorder, answer: bytes, ok: bool, said: str) -> None:
    """Another server's page fails the answer; a gateway's 401 to an unsigned request does not."""
    refusal = http('{"errno": 1, "errmsg": "no"}')
    with elsewhere(serving(answer, refusal)) as wire:
        checked = examined(workorder, "--base-url", wire.url)
    assert checked["answer"][0] is ok
    assert said in checked["answer"][1]
    assert checked["signature"][0] is (False if ok else None)


def test_a_wrong_secret(workorder: Workorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused signature shows the platform's words and request_id, that no answer tells more, and what does."""
    monkeypatch.setenv("WORKORDER_APP_SECRET", "another")
    checked = examined(workorder)
    assert [checked[name][0] for name in STEPS] == [True, True, True, True, False]
    for said in ("errno 90001", "request_id ", "AppId, secret or scheme is wrong", "`workorder sign detect`"):
        assert said in checked["signature"][1]


def test_a_wrong_scheme(workorder: Workorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a neighbour of the scheme is accepted, the secret is right, and the line to set is told."""
    line = "hmac-sha256:{app_id}:{timestamp}:{method}:{path}:{query}:{body}"
    monkeypatch.setenv("WORKORDER_SIGN_SCHEME", line.replace("sha256", "sha256,HEX"))
    said = examined(workorder)["signature"][1]
    assert (
        f"the secret is right and the scheme is wrong: {line} is accepted; export WORKORDER_SIGN_SCHEME='{line}'"
        in said
    )


def test_a_scheme_without_neighbours(workorder: Workorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none is accepted it is not claimed that it is the scheme."""
    monkeypatch.setenv("WORKORDER_SIGN_SCHEME", "md5,base64,unpadded:{secret}")
    assert "so AppId, secret or scheme is wrong, or a clock of the platform" in examined(workorder)["signature"][1]


@pytest.mark.parametrize("around", slow_after(2, [" {} ", '"{}"', "\n{}", "“{}”"]))
def test_a_secret_with_something_around_it(workorder: Workorder, monkeypatch: pytest.MonkeyPatch, around: str) -> None:
    """Blanks or quotes around the secret are told, and that it is accepted without them; the secret is not shown."""
    monkeypatch.setenv("WORKORDER_APP_SECRET", around.format(SECRET))
    checked = examined(workorder)
    assert "there are blanks or quotes around it" in checked["WORKORDER_APP_SECRET"][1]
    assert "without the blanks or quotes around it it is accepted" in checked["signature"][1]


@pytest.mark.parametrize("ends", ["\r", "\n", "\r\n"])
def test_a_secret_with_the_end_of_a_line(workorder: Workorder, monkeypatch: pytest.MonkeyPatch, ends: str) -> None:
    """The end of a line, as in a file of Windows, is no part of a secret, as it is none of the other variables."""
    monkeypatch.setenv("WORKORDER_APP_SECRET", f"{SECRET}{ends}")
    assert workorder("list", "--limit", 1).code == 0


OTHERWISE = http('{"errno": 7, "errmsg": "no permission"}')
WRONG = http('{"errno": 8, "errmsg": "wrong sign"}')
EMPTY = http('{"errno": 10000, "data": {"tickets": [], "pagination": {"page": 1, "page_size": 1, "total": 0}}}')


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (
            [WRONG, *[OTHERWISE] * 7, WRONG],
            "the signature is right: a made-up secret is refused in other words (errno 8 wrong sign)",
        ),
        ([WRONG, *[OTHERWISE] * 7, EMPTY], "so the refusal was no matter of the signature"),
        ([WRONG, OTHERWISE, OTHERWISE, http("<html>")], "its cause could not be found: "),
    ],
)
def test_a_refusal_of_another_kind(workorder: Workorder, answers: list[bytes], said: str) -> None:
    """A refusal that has to do with something else is not taken for one of the signature."""
    with elsewhere(serving(*answers)) as wire:
        checked = examined(workorder, "--base-url", wire.url, "--timeout", 1)
    assert checked["signature"][0] is False
    assert "no permission" in checked["signature"][1]
    assert said in checked["signature"][1]


@pytest.mark.parametrize(
    ("page", "words"),
    slow_after(
        2,
        [
            ("访问被拦截 WAF".encode("gbk"), "访问被拦截 WAF"),
            ("<html><title>\n拦截</title>" + "您的访问被拦截。" * 40, "拦截 您的访问被拦截。"),
            ('{"message": "Forbidden"}', '{"message": "Forbidden"}'),
            ("", ""),
        ],
    ),
)
def test_a_page_in_answer_to_each_request(workorder: Workorder, page: bytes | str, words: str) -> None:
    """Where a gateway sends its page to each request, the secret is not suspected; the page's first words are shown."""
    with elsewhere(serving(http(page, "403 Forbidden"))) as wire:
        checked = examined(workorder, "--base-url", wire.url)
    for name in ("answer", "signature"):
        assert (f" (the answer begins: {words}" in checked[name][1]) == bool(words)
        assert "\ufffd" not in checked[name][1]
    said = checked["signature"][1]
    assert "no answer of the platform came: " in said
    assert "whether this machine's address is allowed, and whether WORKORDER_BASE_URL is right" in said
    assert "suspect the secret" not in said


@pytest.mark.parametrize("known", [True, False])
def test_a_refusal_that_may_mean_the_clock(workorder: Workorder, known: bool) -> None:
    """Where no answer tells the platform's time, a refusal of another kind may be one of this machine's clock."""
    headers = {"Date": format_datetime(datetime.now(UTC), usegmt=True)} if known else {}
    expired, wrong = (
        http(f'{{"errno": {errno}, "errmsg": "{words}"}}', **headers)
        for errno, words in ((9, "expired"), (8, "wrong sign"))
    )
    with elsewhere(serving(wrong, *[expired] * 7, wrong)) as wire:
        said = examined(workorder, "--base-url", wire.url)["signature"][1]
    clock = "check this machine's clock, which may be the cause; if it is right, "
    assert f"(errno 8 wrong sign); {'' if known else clock}ask who runs the platform for the AppId's permission" in said


def test_a_refusal_of_another_kind_behind_a_wrong_clock(workorder: Workorder) -> None:
    """Where the platform refuses our clock first, the refusals are compared that come by its own time."""
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    late, no, wrong = (
        http(f'{{"errno": {errno}, "errmsg": "{words}"}}', Date=date)
        for errno, words in ((9, "expired"), (7, "no permission"), (8, "wrong sign"))
    )
    with elsewhere(serving(late, late, *[late, no] * 2, *[late, wrong] * 6)) as wire:
        checked = examined(workorder, "--base-url", wire.url)
        assert len(wire.requests) == 18
    said = checked["signature"][1]
    assert "errno 9 expired; signed by another clock, it was refused with errno 7 no permission" in said
    assert "the signature is right: a made-up secret is refused in other words (errno 9 expired; signed" in said
    assert "check this machine's clock" in said


@pytest.mark.parametrize(
    ("spared", "secret", "name", "said"),
    [
        (0, SECRET, "answer", "; wait, and run it again"),
        (1, SECRET, "signature", "; run it again"),
        (2, "wrong", "signature", "; its cause could not be found: "),
    ],
)
def test_a_platform_that_turns_requests_away(
    workorder: Workorder, monkeypatch: pytest.MonkeyPatch, spared: int, secret: str, name: str, said: str
) -> None:
    """Too many requests are no sign of a wrong host, secret or scheme, and no further ones are sent to find out."""
    monkeypatch.setenv("WORKORDER_APP_SECRET", secret)
    faults = [Fault("429", after=spared, retry_after=60)]
    with elsewhere(Sandbox(5, app_secret=SECRET, faults=faults)) as platform:
        ok, told = examined(workorder, "--base-url", platform.url, "--timeout", 5)[name]
        assert platform.requests.total() == spared + 1
    assert (ok, said in told) == (False, True), told
    assert "HTTP 429" in told
    assert not any(wrong in told for wrong in ("scheme is wrong", "check host", "the signature is right"))


def test_a_base_url_with_an_endpoint(workorder: Workorder, sandbox: Sandbox) -> None:
    """The path of an endpoint in the base URL is told, with the URL to set."""
    checked = examined(workorder, "--base-url", f"{sandbox.url}/workorder/api/ticket/list_tickets")
    ok, said = checked["WORKORDER_BASE_URL"]
    assert not ok
    assert said.endswith(f"which is added to it; cut it off: {sandbox.url}")
    assert [checked[name][0] for name in STEPS] == [None] * 5


def test_a_proxy_of_the_environment(workorder: Workorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy is what is connected to, which is told without its password; without one there is no word of it."""
    assert "proxy" not in examined(workorder, "--base-url", "http://127.0.0.1:1")["connection"][1]
    with elsewhere(serving(http("<html>", "403 Forbidden"))) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//user:hunter-2@"))
        ran = workorder("doctor", "--base-url", "http://workorder.example")
        assert proxy.requests[0].startswith(b"POST http://workorder.example/")
    assert "takes connections; it is the proxy of this command line, and a program of your own uses it only" in ran.out
    assert "hunter-2" not in ran.out + ran.err


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (envelope('{"pagination":{"page_size":1},"tickets":[]}'), "accepted, but the answer cannot be read: list_tick"),
        (http('{"errno": "no"}'), "list_tickets: the envelope's errno is not a whole number"),
    ],
)
def test_an_answer_that_cannot_be_read(workorder: Workorder, answer: bytes, said: str) -> None:
    """An answer of success shows that the signature is accepted, even where its data cannot be read."""
    with elsewhere(serving(http('{"errno": 1}'), answer)) as wire:
        ok, told = examined(workorder, "--base-url", wire.url)["signature"]
    assert (ok, told.startswith(said)) == (False, True), told
    assert ("$.data.pagination.total" in told) == told.startswith("accepted")


TOO_LARGE = http('{"errno": 10001, "errmsg": "page_size不能超过20"}')


def test_a_platform_that_refuses_large_pages(workorder: Workorder) -> None:
    """The signature is proved by a page as large as other commands ask for; a refusal of it alone is told."""
    with elsewhere(serving(WRONG, TOO_LARGE, EMPTY)) as wire:
        ran = workorder("doctor", "--json", "--base-url", wire.url)
    assert [request.rpartition(b'"page_size":')[2] for request in wire.requests] == [b"1}", b"100}", b"1}"]
    assert (ran.code, ran.rows[-1]["ok"]) == (0, True), ran
    assert ran.rows[-1]["found"].endswith("but a page of 100 is refused: errno 10001 page_size不能超过20")
    assert ran.rows[-1]["mend"].endswith("by --page-size N")


def test_a_platform_that_refuses_large_pages_before_it_looks_at_the_signature(workorder: Workorder) -> None:
    """Refusals of one ticket are compared, so that a page's own refusal does not pass for a right signature."""
    with elsewhere(serving(WRONG, TOO_LARGE, WRONG)) as wire:
        said = examined(workorder, "--base-url", wire.url)["signature"][1]
    assert said.startswith("list_tickets: errno 8 wrong sign; a made-up secret is refused in the same words")


@pytest.mark.slow
def test_an_answer_that_fails_later(workorder: Workorder) -> None:
    """A signed request that ends otherwise fails the signature with its own words."""
    with elsewhere(serving(http('{"errno": 1}'), http("<html>"))) as wire:
        checked = examined(workorder, "--base-url", wire.url, "--timeout", 1)
    assert checked["signature"][0] is False
    assert "an HTML page" in checked["signature"][1]


@pytest.mark.parametrize("headers", [{}, {"Date": "yesterday"}])
def test_an_unknown_clock(workorder: Workorder, headers: dict[str, str]) -> None:
    """Where the platform tells no time, nothing is said of the clocks; that is no failure."""
    data = '{"tickets": [], "pagination": {"total": 0, "page": 1, "page_size": 1}}'
    with elsewhere(serving(http(f'{{"errno": 10000, "data": {data}}}', **headers))) as wire:
        ran = workorder("doctor", "--json", "--base-url", wire.url)
    assert (ran.code, ran.rows[-2]["ok"]) == (0, None), ran
    assert ran.rows[-2]["found"] == "not known: the answer has no Date, or took too long to tell by it"


@pytest.mark.parametrize(("ahead", "said"), [(3600, "behind the platform's"), (-90, "ahead of the platform's")])
def test_a_wrong_clock(workorder: Workorder, ahead: int, said: str) -> None:
    """A clock that differs fails that check with the difference; the signature is still tried, and accepted."""
    with elsewhere(Sandbox(1, clock=lambda: time.time() + ahead, app_secret=SECRET)) as skewed:
        checked = examined(workorder, "--base-url", skewed.url)
    assert [checked[name][0] for name in STEPS] == [True, True, True, False, True]
    number, _, rest = checked["clock"][1].partition(" s ")
    assert rest.startswith(said)
    assert abs(float(number.replace(",", "")) - abs(ahead)) < 3
    assert rest.endswith("the platform's time signs only where ours is refused")

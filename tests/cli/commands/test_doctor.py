"""`workorder doctor`: each check, when it holds and when it fails."""

import time
from collections.abc import Iterator

import pytest

from tests.support.cli_runs import SECRET, Workorder, elsewhere
from tests.support.raw_server import http, serving
from workorder_async.cli import checks
from workorder_async.sandbox import Sandbox

FOUR = ["WORKORDER_BASE_URL", "WORKORDER_APP_ID", "WORKORDER_APP_SECRET", "WORKORDER_SIGN_SCHEME"]

STEPS = ["name", "connection", "answer", "clock", "signature"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Run one sandbox for the tests of this file; none of them changes a ticket."""
    with elsewhere(Sandbox(5, app_secret=SECRET)) as sandbox:
        yield sandbox


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


def test_a_name_that_is_not_known(workorder: Workorder) -> None:
    """A host that cannot be found fails the name, and the rest is skipped."""
    checked = examined(workorder, "--base-url", "http://no-such-host.invalid")
    assert [checked[name][0] for name in STEPS] == [False, None, None, None, None]
    assert "no-such-host.invalid cannot be found: " in checked["name"][1]


def test_a_name_that_cannot_be_one(workorder: Workorder) -> None:
    """A host name that no name server could be asked for fails the name."""
    checked = examined(workorder, "--base-url", f"http://{'a' * 70}.example")
    assert checked["name"][0] is False


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
        (http("<html>"), False, "an HTML page"),
        (http("denied", "401 Unauthorized"), True, "HTTP 401 to a request without a signature"),
        (http('{"errno": 10000, "data": {}}'), True, "even to a request without a signature"),
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


def test_a_wrong_signature(workorder: Workorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused signature shows the platform's words and request_id, and what to try."""
    monkeypatch.setenv("WORKORDER_APP_SECRET", "another")
    checked = examined(workorder)
    assert [checked[name][0] for name in STEPS] == [True, True, True, True, False]
    for said in ("errno 90001", "request_id ", "`workorder sign detect`"):
        assert said in checked["signature"][1]


def test_an_answer_that_fails_later(workorder: Workorder) -> None:
    """A signed request that ends otherwise fails the signature with its own words."""
    with elsewhere(serving(http('{"errno": 1}'), http("<html>"))) as wire:
        checked = examined(workorder, "--base-url", wire.url)
    assert checked["signature"][0] is False
    assert "an HTML page" in checked["signature"][1]


@pytest.mark.parametrize(("ahead", "said"), [(3600, "behind the platform's"), (-90, "ahead of the platform's")])
def test_a_wrong_clock(workorder: Workorder, ahead: int, said: str) -> None:
    """A clock that differs fails that check with the difference; the signature is still tried, and accepted."""
    with elsewhere(Sandbox(1, clock=lambda: time.time() + ahead, app_secret=SECRET)) as skewed:
        checked = examined(workorder, "--base-url", skewed.url)
    assert [checked[name][0] for name in STEPS] == [True, True, True, False, True]
    number, _, rest = checked["clock"][1].partition(" s ")
    assert rest.startswith(said)
    assert abs(float(number.replace(",", "")) - abs(ahead)) < 3

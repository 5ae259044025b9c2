"""cli: demo, sandbox, sign detect and doctor, the commands that need no platform or look for one."""

import hashlib
import hmac
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.support.cli_runs import SECRET, Ran, Workorder, elsewhere, in_child, runner, start
from tests.support.raw_server import http, serving
from workorder_async.cli import checks, touring
from workorder_async.cli.commands.export import write_lines
from workorder_async.client.client import WorkorderClient
from workorder_async.models import CloseTicket, TicketDetail
from workorder_async.sandbox import Sandbox

FOUR = ["WORKORDER_BASE_URL", "WORKORDER_APP_ID", "WORKORDER_APP_SECRET", "WORKORDER_SIGN_SCHEME"]
STEPS = ["name", "connection", "answer", "clock", "signature"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Run one sandbox for the tests of this file; none of them changes a ticket."""
    with elsewhere(Sandbox(5, app_secret=SECRET)) as sandbox:
        yield sandbox


@pytest.fixture
def workorder(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Workorder:
    """Run command lines in this process, against the sandbox."""
    return runner(sandbox.environment, monkeypatch, capsys)


def test_the_demo_shows_everything(tmp_path: Path) -> None:
    """`workorder demo` writes every ticket once, closes, comments and uploads, sums up, and says what to try."""
    output = tmp_path / "tickets.jsonl"
    ran = in_child({}, "demo", "--tickets", 1200, "--closes", 50, "--output", output, "--latency", 0.01)
    assert ran.code == 0
    ids = [orjson.loads(line)["id"] for line in output.read_bytes().splitlines()]
    assert len(ids) == len(set(ids)) == 1200
    facts = dict(line.split(maxsplit=1) for line in ran.out.splitlines() if "  " in line)
    assert facts["tickets"] == "1,200"
    assert facts["closed"].startswith("50 of 50 pending, 16 at a time, in ")
    assert facts["walk"] == "exact: frozen, no drift"
    for said in ("lines written                1,200 to", "unique ids                   1,200", "48,000 bytes"):
        assert said in ran.out
    assert "已复现, 正在排查" in ran.out
    assert f"head -2 {output}" in ran.out
    assert f"workorder show {ids[0]}" in ran.out
    assert "a sandbox with 1,200 invented tickets runs at http://127.0.0.1:" in ran.err


def test_an_empty_demo_works(workorder: Workorder, tmp_path: Path) -> None:
    """With no tickets the demo writes an empty file and still creates one."""
    ran = workorder("demo", "--tickets", 0, "--output", tmp_path / "none.jsonl", "--latency", 0)
    assert ran.code == 0
    assert (tmp_path / "none.jsonl").read_bytes() == b""
    assert "0 of 0 pending" in ran.out
    assert "workorder show ID" in ran.out


@pytest.mark.parametrize(
    ("found", "called", "shown"),
    [
        (False, ".venv/bin/workorder", ".venv/bin/workorder doctor"),
        (True, "/usr/bin/workorder", "\nworkorder doctor"),
        (False, "workorder_async/__main__.py", "\nworkorder doctor"),
    ],
)
def test_what_to_try_next_can_be_copied(
    workorder: Workorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: bool, called: str, shown: str
) -> None:
    """Where the command is not on the PATH, its lines begin with the path by which it was called."""
    monkeypatch.setattr(sys, "argv", [called, "demo"])
    monkeypatch.setenv("PATH", str(tmp_path))
    if found:
        (tmp_path / "workorder").touch(0o755)
    ran = workorder("demo", "--tickets", 0, "--output", tmp_path / "none.jsonl", "--latency", 0)
    assert shown in ran.out


def test_the_demo_fails_where_something_is_lost(
    workorder: Workorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A line too few, an id twice, a refused close, a lost comment or file: the demo exits with 1 and names each."""
    honest, read = write_lines, WorkorderClient.get_ticket_detail

    async def losing(walk: object, file: object, bar: object) -> int:
        written = await honest(walk, file, bar)  # type: ignore[arg-type]
        file.seek(0)  # type: ignore[attr-defined]
        file.write(b'{"id":1}\n{"id":1}\n')  # type: ignore[attr-defined]
        file.truncate()  # type: ignore[attr-defined]
        return written

    async def forgetting(client: WorkorderClient, id: int) -> TicketDetail:
        detail = await read(client, id)
        return TicketDetail(id=detail.id)

    monkeypatch.setattr(touring, "write_lines", losing)
    monkeypatch.setattr(WorkorderClient, "get_ticket_detail", forgetting)
    monkeypatch.setattr(touring, "CloseTicket", _nobodys_close)
    ran = workorder("demo", "--tickets", 30, "--output", tmp_path / "t.jsonl", "--closes", 1, "--latency", 0)
    assert ran.code == 1
    for complaint in ("has 2 lines instead of 30", "ids that come more than once", "errno 90006", "comment", "48,000"):
        assert complaint in ran.err
    assert "0 of 1 pending" in ran.out


def _nobodys_close(**fields: object) -> object:
    return CloseTicket(**{**fields, "closer_name": "无名"})  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_sandbox_prints_what_to_copy_and_ends_well(number: signal.Signals, tmp_path: Path) -> None:
    """`workorder sandbox` prints four lines for a shell, serves what they say, and ends with 0 on Ctrl-C or SIGTERM."""
    with start({}, "sandbox", "--port", 0, "--tickets", 3, "--db", tmp_path / "sandbox.db") as child:
        assert child.stdout is not None
        assert child.stderr is not None
        lines = b""
        while lines.count(b"\n") < 4:
            lines += child.stdout.read(65536)
        exports = dict(line.removeprefix("export ").split("=", 1) for line in lines.decode().splitlines())
        assert list(exports) == FOUR
        assert all(value[0] == value[-1] == "'" for value in exports.values())
        listed = in_child({name: value[1:-1] for name, value in exports.items()}, "list", "--json")
        child.send_signal(number)
        remarks = child.stderr.read().decode() if child.wait(30) == 0 else ""
    assert len(listed.rows) == 3
    assert "copy the four lines above into another terminal" in remarks
    assert remarks.endswith("the sandbox has stopped\n")
    assert "Traceback" not in remarks


def test_a_taken_port_is_wrong_usage(workorder: Workorder) -> None:
    """A port in use is told in one sentence."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = workorder("sandbox", "--port", taken.getsockname()[1])
    assert (ran.code, ran.out) == (2, "")
    assert "choose another port" in ran.err


def _detect(workorder: Workorder, sign: str, *words: object) -> Ran:
    return workorder("sign", "detect", "--timestamp", "1700000000", "--sign", sign, *words)


def test_a_scheme_is_found(workorder: Workorder) -> None:
    """`sign detect` prints each scheme that fits on stdout, and on stderr where to put it."""
    sign = hashlib.md5(f"other1700000000{SECRET}".encode()).hexdigest()
    ran = _detect(workorder, sign.upper(), "--app-id", "other")
    assert (ran.code, ran.out) == (0, "md5,HEX:{app_id}{timestamp}{secret}\n")
    assert "export WORKORDER_SIGN_SCHEME=" in ran.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--path", "/a/b", "--query", "x=1&id=7"], "sandbox-app1700000000GET/a/bid=7&x=1"),
        (["--path", "http://host:80/a/b?x=1&id=", "--method", "PUT"], "sandbox-app1700000000PUT/a/bid=&x=1"),
        (["--path", "/a/b", "--body-file"], 'sandbox-app1700000000POST/a/b{"id":7}'),
    ],
)
def test_the_rest_of_a_request_may_be_signed(workorder: Workorder, tmp_path: Path, words: list[str], text: str) -> None:
    """Method, path, query and body are taken in where they are given; the AppId comes from the environment."""
    (tmp_path / "body").write_bytes(b'{"id":7}')
    sign = hmac.new(SECRET.encode(), text.encode(), "sha256").hexdigest()
    more = [*words, tmp_path / "body"] if words[-1] == "--body-file" else words
    ran = _detect(workorder, sign, *more)
    assert ran.code == 0
    assert ran.out.startswith("hmac-sha256:{app_id}{timestamp}{method}{path}")


def test_no_scheme_is_a_failure_with_advice(workorder: Workorder) -> None:
    """Where none fits, the exit code is 1, and the advice depends on what was given."""
    bare, whole = _detect(workorder, "0" * 32), _detect(workorder, "0" * 32, "--method", "GET")
    assert (bare.code, bare.out, whole.code, whole.out) == (1, "", 1, "")
    assert "add --method, --path, --query and --body-file" in bare.err
    assert "add --method" not in whole.err
    assert "write a Signer of your own" in whole.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sign", "x", "--timestamp", "1700000000"], "Sign 'x' is neither hex nor base64"),
        (["--sign", "00"], "Timestamp is missing; set --timestamp"),
        (["--timestamp", "1700000000"], "Sign is missing; set --sign"),
    ],
)
def test_a_header_that_cannot_be_is_wrong_usage(workorder: Workorder, words: list[str], said: str) -> None:
    """Missing or broken headers exit with 2; nobody is asked where there is no terminal."""
    ran = workorder("sign", "detect", *words)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


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

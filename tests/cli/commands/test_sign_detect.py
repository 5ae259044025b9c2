"""`workorder sign detect`: which schemes it finds, and what it says where it finds none."""

import hashlib
import hmac
import json
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve

from tests.support.cli_runs import SECRET, Ran, Workorder, on_terminal
from tests.support.slow import slow_after, slow_but_every
from workorder_async.cli import values
from workorder_async.cli.commands.sign_detect import accepted_requests
from workorder_async.signing import candidates, search

TICKETS = 5


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a search try the candidates without separators: which ones there are is tested in tests/signing."""
    monkeypatch.setattr(
        search,
        "candidates",
        lambda seen, digest: (evolve(one, turns=one.turns[:1]) for one in candidates._single(seen)),
    )


def _detect(workorder: Workorder, sign: str, *words: object) -> Ran:
    return workorder("sign", "detect", "--timestamp", "1700000000", "--sign", sign, *words)


def test_a_scheme_is_found(workorder: Workorder) -> None:
    """`sign detect` prints each scheme that fits on stdout, and on stderr where to put it."""
    sign = hashlib.md5(f"other1700000000{SECRET}".encode()).hexdigest()
    ran = _detect(workorder, sign.upper(), "--app-id", "other")
    assert (ran.code, ran.out) == (0, "md5,HEX:{app_id}{timestamp}{secret}\n")
    assert "export WORKORDER_SIGN_SCHEME=" in ran.err


def test_the_end_of_a_line_is_no_part_of_a_variable(workorder: Workorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables from a file of Windows mean what they mean to every other command."""
    monkeypatch.setenv("WORKORDER_APP_ID", "other\r\n")
    monkeypatch.setenv("WORKORDER_APP_SECRET", f"{SECRET}\r\n")
    ran = _detect(workorder, hashlib.md5(f"other1700000000{SECRET}".encode()).hexdigest())
    assert (ran.code, ran.out) == (0, "md5:{app_id}{timestamp}{secret}\n")


@pytest.mark.slow
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


@pytest.mark.slow
def test_no_scheme_is_a_failure_with_advice(workorder: Workorder) -> None:
    """Where none fits, the exit code is 1; what the length means, what was tried and a letter in Chinese are told."""
    bare = _detect(workorder, "0" * 32)
    assert (bare.code, bare.out) == (1, "")
    assert "add --curl, or --path, --query and --body-file" in bare.err
    assert "the signature: 32 hex characters are MD5\n" in bare.err
    assert re.search("tried: [1-9]", bare.err)
    assert "write a Signer of your own" in bare.err
    letter = bare.err.splitlines()[-1]
    assert letter.startswith("您好，我们正在对接工单开放接口（AppId：sandbox-app）。")
    assert letter.endswith("谢谢！")
    whole = _detect(workorder, "0" * 40, "--method", "GET")
    assert (whole.code, whole.out) == (1, "")
    assert "add --curl" not in whole.err


@pytest.mark.slow
def test_what_one_request_does_not_show_is_told(workorder: Workorder) -> None:
    """A request without a query leaves the query open: which further request decides is said on stderr."""
    sign = hmac.new(SECRET.encode(), b"1700000000GET/a/b", "sha1").hexdigest()
    ran = _detect(workorder, sign, "--path", "/a/b")
    assert ran.out == "hmac-sha1:{timestamp}{method}{path}\n"
    assert "a GET with a query" in ran.err


BODY = '{"page":1,"note":"it\'s 姜"}'


def _sign(timestamp: str, body: str) -> str:
    """Sign as `md5` over Timestamp, path, body and the secret."""
    return hashlib.md5(f"{timestamp}/workorder/api/ticket/list_tickets{body}{SECRET}".encode()).hexdigest()


URL = "https://platform.example.com/workorder/api/ticket/list_tickets"
FOUND = "md5:{timestamp}{path}{body}{secret}\n"


@pytest.mark.slow
def test_curl_lines_are_taken(workorder: Workorder, stdin: Callable[[bytes], None]) -> None:
    """The line must fit each request of what is pasted on stdin."""
    lines = "\n".join(
        f"curl {URL} -H AppId:ops -H Timestamp:{timestamp} -H Sign:{_sign(timestamp, body)} -d {body}"
        for timestamp, body in (("1700000000", "x"), ("1700000300", "y"))
    )
    stdin(lines.encode())
    ran = workorder("sign", "detect", "--curl", "-")
    assert (ran.code, ran.out) == (0, FOUND)


def _har(*requests: dict[str, object]) -> str:
    return json.dumps({"log": {"version": "1.2", "entries": [{"request": request} for request in requests]}})


def _entry(timestamp: str, body: str) -> dict[str, object]:
    headers = {"AppId": "ops", "Timestamp": timestamp, "Sign": _sign(timestamp, body)}
    return {
        "method": "POST",
        "url": URL,
        "headers": [{"name": name, "value": value} for name, value in headers.items()],
        "postData": {"mimeType": "application/json", "text": body},
    }


@pytest.mark.slow
def test_a_har_file_is_taken(workorder: Workorder, tmp_path: Path) -> None:
    """The requests of a HAR file that have the three headers are taken, and the line must fit them all."""
    page: dict[str, object] = {
        "method": "GET",
        "url": "https://platform.example.com/",
        "headers": [{"name": "Sign", "value": "x"}],
    }
    har = tmp_path / "saved.har"
    har.write_text(_har(page, _entry("1700000000", BODY), _entry("1700000001", "{}")), "utf-8")
    ran = workorder("sign", "detect", "--curl", har)
    assert (ran.code, ran.out) == (0, FOUND)
    assert ran.err.endswith("; a GET with a query\n")


def _answered(entry: dict[str, object], status: int, errno: object) -> dict[str, object]:
    return {"request": entry, "response": {"status": status, "content": {"text": json.dumps({"errno": errno})}}}


@pytest.mark.parametrize("answer", [(401, 90001), (200, 90001), (403, 90001)])
def test_what_was_refused(tmp_path: Path, answer: tuple[int, int]) -> None:
    """Of a HAR file, requests that the platform refused are left out, unless there are no others."""
    good, bad = _entry("1700000000", "x"), _entry("1700000001", "x")
    for others in ([(200, 10000)], [(200, "10000")], [(200, 23000)], [(0, None)], []):
        entries = [_answered(bad, *answer), *(_answered(good, *other) for other in others)]
        found = accepted_requests(json.dumps({"log": {"entries": entries}}))
        assert [one.timestamp for one in found] == ["1700000000" if others else "1700000001"]
    whole = {"request": good, "response": {"status": 200, "content": {}}}
    found = accepted_requests(json.dumps({"log": {"entries": [_answered(bad, *answer), whole]}}))
    assert [one.timestamp for one in found] == ["1700000000"]


@pytest.mark.parametrize("end", ["; echo done", ";\n", "|jq .", " | jq ."])
def test_where_a_command_ends(end: str) -> None:
    """What a shell takes for the end of a command is no part of the request."""
    headers = "-H AppId:ops -H Timestamp:1700000000 -H Sign:00"
    for line in (f"curl {URL} {headers} -d 'x;|y'{end}", f"curl {URL} -d 'x;|y' {headers}{end}"):
        [found] = accepted_requests(line)
        assert found.request is not None
        assert (found.sign, found.request.body) == ("00", (b"x;|y",))


@pytest.mark.slow
def test_requests_that_were_signed_otherwise(workorder: Workorder, tmp_path: Path) -> None:
    """Where no line fits all requests, that is said, with the lines that fit the first one."""
    other = _entry("1700000001", "{}") | {"url": "https://platform.example.com/other"}
    (tmp_path / "saved.har").write_text(_har(_entry("1700000000", BODY), other), "utf-8")
    ran = workorder("sign", "detect", "--curl", tmp_path / "saved.har")
    assert (ran.code, ran.out) == (1, "")
    assert "no scheme fits all 2 requests; these fit the one that shows most:" in ran.err
    assert FOUND in ran.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "neither a curl line nor a HAR file"),
        ("wget http://h", "neither a curl line nor a HAR file"),
        ("curl http://h -H 'AppId: a", "cannot be read: No closing quotation; paste the whole line"),
        ("curl http://h -H 'AppId: a' -H 'Sign;'", "without the header Timestamp, Sign"),
        ("curl -H Sign:x -H AppId:a -H Timestamp:1", "a line without a URL"),
        (
            'curl http://h -H "Sign: $S" -H AppId:a -H Timestamp:1',
            "has '$S' for Sign, which a shell fills in; paste the",
        ),
        (
            "curl http://h -H Sign:x -H AppId:a -H Timestamp:1 -F file=@x",
            "its body is not in the line; take a request without an upload",
        ),
        (
            "curl http://h -H Sign:x -H AppId:a -H Timestamp:1 -d @no-such-file",
            "--curl: -d no-such-file: No such file or directory",
        ),
        ("curl http://h -H Sign:x -H AppId:a -H Timestamp:1 -d @-", "-d @-: its body is not in the line"),
        ('curl ^"http://h^" ^', "choose 'Copy as cURL (bash)'"),
        ("{", "JSON that is no HAR file"),
        ('{"log": {"entries": [{"request": 7}]}}', "JSON that is no HAR file"),
        (_har({"method": "GET", "url": "/", "headers": []}), "1 requests, none of them with AppId, Timestamp and Sign"),
    ],
)
def test_a_curl_line_that_cannot_be_read(workorder: Workorder, tmp_path: Path, text: str, said: str) -> None:
    """What is no accepted request is refused with what to do."""
    (tmp_path / "line").write_text(text)
    ran = workorder("sign", "detect", "--curl", tmp_path / "line")
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no device without an end")
@pytest.mark.parametrize("words", [["--body-file", "/dev/zero"], ["--curl", "/dev/zero"], ["--curl", "line"]])
def test_a_body_without_an_end(
    workorder: Workorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """What is longer than any request is refused; while it was hashed, no Ctrl-C would be heard."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(values, "_LARGEST", 1 << 20)
    (tmp_path / "line").write_text("curl http://h -H Sign:x -H AppId:a -H Timestamp:1 -d @/dev/zero")
    given = ["--app-id", "a", "--timestamp", "1", "--sign", "0" * 32] if "--curl" not in words else []
    ran = workorder("sign", "detect", *words, *given)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "/dev/zero" in ran.err
    assert "it has more than 1 MiB" in ran.err


def test_curl_has_it_all(workorder: Workorder, tmp_path: Path) -> None:
    """--curl and the options for a request's parts do not go together, and its file must be there and be text."""
    (tmp_path / "line").write_bytes(b"\xff")
    for words, said in (
        (["x", "--sign", "00"], "--curl has the whole request; leave out the other options"),
        ([tmp_path / "none"], "none: No such file or directory"),
        ([tmp_path / "line"], "is not UTF-8"),
    ):
        ran = workorder("sign", "detect", "--curl", *words)
        assert (ran.code, ran.out) == (2, "")
        assert said in ran.err


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


@pytest.mark.slow
@pytest.mark.parametrize("turned", [False, True])
def test_a_get_and_a_post_in_one_file(workorder: Workorder, tmp_path: Path, turned: bool) -> None:
    """What one of them does not show the other does, in whichever order they were saved."""
    signs = [
        hashlib.md5(f"1700000000GET/detailid=7{SECRET}".encode()).hexdigest(),
        hashlib.md5(f'1700000060POST/close{{"id":7}}{SECRET}'.encode()).hexdigest(),
    ]
    heads = [f"-H AppId:ops -H Timestamp:17000000{number * 6}0 -H Sign:{sign}" for number, sign in enumerate(signs)]
    lines = [f"curl 'http://h/detail?id=7' {heads[0]}", f"curl http://h/close {heads[1]} -d '{{\"id\":7}}'"]
    (tmp_path / "lines").write_text("\n".join(lines[::-1] if turned else lines))
    ran = workorder("sign", "detect", "--curl", tmp_path / "lines")
    assert (ran.code, ran.out.splitlines()[0]) == (0, "md5:{timestamp}{method}{path}{query}{body}{secret}")
    assert "to be sure" not in ran.err or len(ran.out.splitlines()) > 1


HEADS = f"-H AppId:a -H Timestamp:1700000000 -H Sign:{'0' * 32}"


@pytest.mark.parametrize(
    "text",
    slow_but_every(
        2,
        [
            f"curl 'http://[' {HEADS}",
            f"curl http://h/ {HEADS} -G -d $'\\xff'",
            f"curl http://h/ {HEADS} -G -d $'\\U00110000'",
            f"curl http://h/ {HEADS} -G -d $'\\UFFFFFFFF'",
            f"curl http://h/ {HEADS} -d $'\\ud83d\\ude00'",
            f"curl http://h/ {HEADS} -d $'\\ud800'",
            f"curl $'http://h/\\ud800' {HEADS}",
            f"curl http://h/ {HEADS} -d $'@a\\0b'",
            f"curl http://h/ {HEADS} -d @{'a' * 300}",
            f"curl http://h/ {HEADS} -X $'\\ud800'",
            f"curl http://h/ {HEADS.replace('1700000000', '1700000000123')} {HEADS}\ncurl http://h/ {HEADS}",
            "{" * 100_000,
            '{"log":{"entries":' + "[" * 100_000,
            _har(_entry("1700000000", "x"), _entry("yesterday", "x")),
            _har({**_entry("1700000000", "x"), "url": "http://["}),
            _har({**_entry("1700000000", "x"), "url": "http://h/\ud800"}),
            _har({**_entry("1700000000", "x"), "method": "\ud800"}),
            _har(_entry("1700000000", "x"), {**_entry("1700000000", "x"), "headers": [{"name": 5, "value": []}]}),
        ],
    ),
    ids=lambda text: text[-40:],
)
def test_no_input_is_a_defect(workorder: Workorder, tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is pasted, what is wrong with it is said in a sentence, or it is searched."""
    monkeypatch.setattr(search, "candidates", lambda *_: [])
    (tmp_path / "line").write_text(text, errors="surrogatepass")
    ran = workorder("sign", "detect", "--curl", tmp_path / "line")
    assert ran.code in (1, 2)
    assert "defect" not in ran.err
    assert ran.err.startswith("workorder: ")


@pytest.mark.parametrize("option", ["--path", "--query", "--method", "--app-id", "--body-file", "--curl"])
@pytest.mark.parametrize("value", slow_after(2, ["\udc80", "http://[", "//[x", "a" * 5000, "=", "%ff", "@"]))
def test_no_option_is_a_defect(workorder: Workorder, option: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same of each option."""
    monkeypatch.setattr(search, "candidates", lambda *_: [])
    rest = [] if option == "--curl" else ["--timestamp", "1700000000", "--sign", "0" * 32]
    ran = workorder("sign", "detect", *rest, f"{option}={value}")
    assert ran.code in (1, 2)
    assert "defect" not in ran.err


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_search_is_interrupted(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Ctrl-C ends it soon, over a body with which the whole search would take minutes."""
    (tmp_path / "body").write_bytes(b"x" * 60_000)
    words = ["--timestamp", "1700000000", "--sign", "0" * 32, "--body-file", tmp_path / "body"]
    environment = {"WORKORDER_APP_ID": "ops", "WORKORDER_APP_SECRET": SECRET}
    with on_terminal(environment, "sign", "detect", *words) as terminal:
        terminal.read_until("searching")
        terminal.child.send_signal(number)
        assert terminal.finish() == code
    assert b"workorder: interrupted" in terminal.seen
    assert b"\x1b[?25h" in terminal.seen

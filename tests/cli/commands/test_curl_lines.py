"""cli/commands/sign_detect.py: curl lines and HAR files as people paste them."""

import hashlib
import subprocess
from pathlib import Path
from time import process_time

import pytest

from workorder_async.cli.commands.sign_detect import accepted_requests
from workorder_async.signing.scheme import SigningInput
from workorder_async.signing.search import Accepted

BODY = '{"page":1,"note":"it\'s 姜"}'


def _sign(timestamp: str, body: str) -> str:
    """Sign as `md5` over Timestamp, path, body and the secret."""
    return hashlib.md5(f"{timestamp}/workorder/api/ticket/list_tickets{body}secret".encode()).hexdigest()


URL = "https://platform.example.com/workorder/api/ticket/list_tickets"


def _headers(timestamp: str = "1700000000", body: str = BODY) -> str:
    return f"-H 'appid: ops' -H 'timestamp: {timestamp}' -H 'sign: {_sign(timestamp, body)}'"


def _requests(text: str) -> list[tuple[Accepted, SigningInput]]:
    """Return what is accepted, each with its request."""
    return [(one, one.request) for one in accepted_requests(text) if one.request is not None]


CURLS = {
    "browser": (
        f"curl '{URL}' \\\n  -H 'accept: */*' \\\n  {_headers()} \\\n  -H 'content-type: application/json' \\\n"
        '  --data-raw $\'{"page":1,"note":"it\\\'s \\u59dc"}\' \\\n  --compressed'
    ),
    "short options": f"""curl -sS -XPOST -m 9 {_headers(body='{"a":1}')} -d '{{"a":1}}' {URL}""",
    "one header in double quotes": (
        f"""curl --url "{URL}" -H "AppId: ops" --header=Timestamp:1700000000 -H "Sign: {_sign("1700000000", BODY)}" """
        """--data-binary "{\\"page\\":1,\\"note\\":\\"it's 姜\\"}" --insecure"""
    ),
    "letters behind one dash": f"""curl -sSX POST {URL} -ivH 'AppId: ops' {_headers(body="{}")[15:]} -kd '{{}}'""",
    "values that look like URLs": (
        f"curl --noproxy '*' --retry-delay 2 -D head.txt --connect-to a:1:b:2 {URL} {_headers(body='x')} -d x -o y -C -"
    ),
    "a path to curl": f"/usr/bin/curl -sXPOST '{URL}' {_headers(body='')}",
    "two pieces of data": f"curl {URL} {_headers(body='a=1&b=2')} --data a=1 --data b=2\r\n",
    "two lines": (f"curl {URL} {_headers(body='x')} -d x\n\ncurl {URL} {_headers('1700000300', 'y')} --data-ascii y\n"),
}


@pytest.mark.parametrize("text", CURLS.values(), ids=CURLS)
def test_a_curl_line_is_taken(text: str) -> None:
    """A pasted curl line holds the request: as a browser writes it, and as people do."""
    found = _requests(text)
    assert len(found) == text.count("curl ")
    for one, request in found:
        assert (one.app_id, request.method) == ("ops", "POST")
        assert request.path == "/workorder/api/ticket/list_tickets"
        assert one.sign == _sign(one.timestamp, b"".join(request.body).decode())


def test_a_body_in_a_file_is_read(tmp_path: Path) -> None:
    """`-d @file` is read as curl reads it, without line feeds; --data-binary as it is; --data-raw knows no file."""
    (tmp_path / "body").write_bytes(b'{"a":\n1}\n')
    name = f"@{tmp_path / 'body'}"
    for option, body in (("-d", b'{"a":1}'), ("--data-binary", b'{"a":\n1}\n'), ("--data-raw", name.encode())):
        [(_, request)] = _requests(f"curl {URL} {_headers()} {option} {name}")
        assert b"".join(request.body) == body


def test_a_query_by_get_is_taken() -> None:
    """`curl -G -d` puts the data into the query."""
    [(_, request)] = _requests(f"curl -G -d view=all -d id=7 h/a/b {_headers()}")
    assert (request.method, request.path, request.body) == ("GET", "/a/b", ())
    assert request.query == (("view", "all"), ("id", "7"))


@pytest.mark.parametrize(("data", "query"), [("", ()), ("-d view=all", (("view", "all"),))])
def test_a_query_by_get_follows_that_of_the_url(data: str, query: tuple[tuple[str, str], ...]) -> None:
    """With `curl -G` the query of the URL is sent, too, before the data; and without data it is sent alone."""
    [(_, request)] = _requests(f"curl -G {data} 'h/a/b?id=7' {_headers()}")
    assert (request.method, request.query, request.body) == ("GET", (("id", "7"), *query), ())


def test_pieces_of_json() -> None:
    """A piece of --json follows the one before it without an &, as curl sends it."""
    [(_, request)] = _requests(f"""curl {URL} {_headers()} --json '{{"a":' --json '1}}'""")
    assert b"".join(request.body) == b'{"a":1}'


def test_a_caret_before_a_quote() -> None:
    """A body of JSON may have what a line for Windows' cmd has at each quote."""
    [(_, request)] = _requests(f"""curl {URL} {_headers()} --data-raw '{{"note":"2^"}}'""")
    assert b"".join(request.body) == b'{"note":"2^"}'


def test_escapes_of_bash() -> None:
    """What bash writes in $'...' is read as bash reads it."""
    [(_, request)] = _requests(rf"curl {URL} {_headers()} -d $'\x41\u59dc\101\t\'\\\n'")
    assert b"".join(request.body).decode() == "A姜A\t'\\\n"


@pytest.mark.parametrize(
    "body",
    [
        "'a$' ",
        r"'it'\''s'",
        "'a\\\nb'",
        r'"a\$b\"c\\d\e"' + r"'f'$'\t'g\ h",
        '''"'$'a'"''',
        "''",
        "a#b",
    ],
)
def test_quotes_of_bash(body: str) -> None:
    """What stands between quotes is sent as bash sends it."""
    sent = subprocess.run(["bash", "-c", f"printf %s {body}"], capture_output=True, check=True, timeout=20).stdout
    [(_, request)] = _requests(f"curl {URL} --data-raw {body} {_headers()}")
    assert b"".join(request.body) == sent


@pytest.mark.slow
@pytest.mark.parametrize(("begin", "end", "each"), [("'", "'", 3), ('"', '"', 2), ("$'", "'", 2)])
def test_a_long_line(begin: str, end: str, each: int) -> None:
    """A long body is read in time that grows with its length."""
    body, began = r"x\\" * 500_000, process_time()
    [(_, request)] = _requests(f"curl {URL} {_headers()} --data-raw {begin}{body}{end}")
    assert len(b"".join(request.body)) == each * 500_000
    assert process_time() - began < 10


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        (r"\344\270\255", "中"),
        (r"\xe4\xb8\xad", "中"),
        (r"\xe4\u59dc", b"\xe4" + "姜".encode()),
        (r"\xff\377\777", b"\xff\xff\xff"),
        (r"\U0001f600\U41", "😀A"),
        (r"\u41\u59dc", "A姜"),
        (r"\e\E\cA\c[", "\x1b\x1b\x01\x1b"),
        (r"\\\'\"\?", "\\'\"?"),
        (r"\q\8\x\u\xg", r"\q\8\x\u\xg"),
    ],
)
def test_bytes_of_escapes(written: str, sent: str | bytes) -> None:
    """An escape of a byte is that byte, one of a character is its UTF-8, and what is no escape stays."""
    [(_, request)] = _requests(f"curl {URL} {_headers()} --data-raw $'{written}'")
    assert b"".join(request.body) == (sent.encode() if isinstance(sent, str) else sent)

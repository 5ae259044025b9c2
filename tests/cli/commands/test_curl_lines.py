"""accepted.py: curl lines and HAR files as people paste them."""

import hashlib
from pathlib import Path

import pytest

from workorder_async.cli.commands.sign_detect import accepted_requests

BODY = '{"page":1,"note":"it\'s 姜"}'


def _sign(timestamp: str, body: str) -> str:
    """Sign as `md5` over Timestamp, path, body and the secret."""
    return hashlib.md5(f"{timestamp}/workorder/api/ticket/list_tickets{body}secret".encode()).hexdigest()


URL = "https://platform.example.com/workorder/api/ticket/list_tickets"


def _headers(timestamp: str = "1700000000", body: str = BODY) -> str:
    return f"-H 'appid: ops' -H 'timestamp: {timestamp}' -H 'sign: {_sign(timestamp, body)}'"


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
    "two pieces of data": f"curl {URL} {_headers(body='a=1&b=2')} --data a=1 --data b=2\r\n",
    "two lines": (f"curl {URL} {_headers(body='x')} -d x\n\ncurl {URL} {_headers('1700000300', 'y')} --data-ascii y\n"),
}


@pytest.mark.parametrize("text", CURLS.values(), ids=CURLS)
def test_a_curl_line_is_taken(text: str) -> None:
    """A pasted curl line holds the request: as a browser writes it, and as people do."""
    found = accepted_requests(text)
    assert len(found) == text.count("curl ")
    for one in found:
        assert (one.app_id, one.request.method) == ("ops", "POST")
        assert one.request.path == "/workorder/api/ticket/list_tickets"
        assert one.sign == _sign(one.timestamp, b"".join(one.request.body).decode())


def test_a_body_in_a_file_is_read(tmp_path: Path) -> None:
    """`-d @file` is read as curl reads it, without line feeds; --data-binary as it is; --data-raw knows no file."""
    (tmp_path / "body").write_bytes(b'{"a":\n1}\n')
    name = f"@{tmp_path / 'body'}"
    for option, body in (("-d", b'{"a":1}'), ("--data-binary", b'{"a":\n1}\n'), ("--data-raw", name.encode())):
        [one] = accepted_requests(f"curl {URL} {_headers()} {option} {name}")
        assert b"".join(one.request.body) == body


def test_a_query_by_get_is_taken() -> None:
    """`curl -G -d` puts the data into the query."""
    [one] = accepted_requests(f"curl -G -d view=all -d id=7 h/a/b {_headers()}")
    assert (one.request.method, one.request.path, one.request.body) == ("GET", "/a/b", ())
    assert one.request.query == (("view", "all"), ("id", "7"))


def test_escapes_of_bash() -> None:
    """What bash writes in $'...' is read as bash reads it."""
    [one] = accepted_requests(rf"curl {URL} {_headers()} -d $'\x41\u59dc\101\t\'\\\n'")
    assert b"".join(one.request.body).decode() == "A姜A\t'\\\n"

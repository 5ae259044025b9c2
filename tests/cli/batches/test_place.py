"""cli/commands/batch.py: on which platform a batch acts, and the moments that its times came to."""

import re
from collections.abc import Callable
from datetime import datetime
from email.utils import formatdate
from time import time
from typing import Any

import orjson
import pytest

from tests.support.cli_changes import CLOSER
from tests.support.cli_runs import SECRET, Workorder, elsewhere, on_terminal, runner
from tests.support.raw_server import http, serving
from tests.support.slow import slow_after
from workorder_async import CHINA_STANDARD_TIME
from workorder_async.sandbox import Sandbox

DAY = 86400
COMMANDS = [["close", *CLOSER], ["comment", "--detail", "x"], ["reject"]]


@pytest.mark.parametrize("command", slow_after(1, COMMANDS))
def test_the_platform_is_named(workorder: Workorder, new_ticket: Callable[[], int], command: list[str]) -> None:
    """The dry run and the summary name the platform, by whose word it is and its URL."""
    new_ticket()
    words = [*command, "--creator-id", "210002", "--since", "today"]
    today = f"{datetime.now(CHINA_STANDARD_TIME):%Y-%m-%d} 00:00:00+08:00"
    url = re.search("http://[0-9.:]+", workorder("doctor").out)
    assert url
    for source, by in (("WORKORDER_BASE_URL", []), ("--base-url", ["--base-url", url[0]])):
        place = f"on {source} ({url[0]}), created since {today}"
        assert place in workorder(*words, *by, "--dry-run").err
        assert place in workorder(*words, *by, "--dry-run", "--json").err
        assert place in workorder(*words, *by, "--yes").err


@pytest.mark.slow
def test_the_question_names_it(sandbox: Sandbox, new_ticket: Callable[[], int]) -> None:
    """Who is asked reads the platform, and what the relative times came to, before the answer."""
    new_ticket()
    words = ["close", *CLOSER, "--since", "1d", "--until", "today", "--limit", 1, "--solved-time", "yesterday"]
    with on_terminal(sandbox.environment, *words) as terminal:
        terminal.read_until("[y/N]")
        terminal.type("n\n")
        assert terminal.finish() == 2
    asked = re.sub(r"\s+", " ", terminal.seen.decode())
    times = r"created since \S+ 00:00:00\+08:00, created until \S+ 23:59:59\+08:00, solved \S+ 00:00:00\+08:00"
    assert re.search(rf"1 ticket on WORKORDER_BASE_URL \({sandbox.url}\), {times}\? \[y/N\]", asked)


@pytest.mark.parametrize("ahead", slow_after(2, [0, -DAY, DAY]))
def test_nothing_younger_is_closed(workorder: Workorder, ahead: int) -> None:
    """`--older-than 30d` asks for, and sends, nothing younger than thirty days, by the server's clock or by ours."""
    end = int(time()) - 30 * DAY
    behind = min(0, ahead)

    def row(id: int, age: int) -> dict[str, object]:
        return {"id": id, "title": "t", "status": 1, "created_time": end + behind - age}

    rows = [row(1, 60), row(2, 10 * DAY), row(3, -60), row(4, -DAY + DAY // 5), row(5, -31 * DAY)]
    page = {"tickets": rows[:2], "pagination": {"page_size": 100, "total": 2}}
    date = formatdate(time() + ahead, usegmt=True)
    answer = http(orjson.dumps({"errno": 10000, "data": page}), Date=date)
    with elsewhere(serving(answer)) as wire:
        ran = workorder("close", *CLOSER, "--older-than", "30d", "--yes", "--base-url", wire.url)
        asked = [body for body in map(_body, wire.requests) if "created_end" in body]
        sent = sorted(body["id"] for body in map(_body, wire.requests) if "closer_id" in body)
    assert (ran.code, sent) == (0, [1, 2])
    assert asked
    assert max(body["created_end"] for body in asked) < end + behind + 10
    said = re.search(r"created until (\S+ \S+)", ran.err)
    assert said
    assert end + behind - 2 <= datetime.fromisoformat(said[1].rstrip(",")).timestamp() < end + behind + 10
    for young in rows[2:]:
        page["tickets"] = [young]
        with elsewhere(serving(http(orjson.dumps({"errno": 10000, "data": page}), Date=date))) as wire:
            ran = workorder("close", *CLOSER, "--older-than", "30d", "--yes", "--base-url", wire.url)
            assert not [one for one in wire.requests if b"close_ticket" in one]
        assert ran.code == 1


def _body(request: bytes) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(request.partition(b"\r\n\r\n")[2] or b"{}")
    return found


@pytest.mark.parametrize("words", [["list", "--limit", 0, "--json"], ["list", "--count"]])
def test_nothing_younger_is_listed(workorder: Workorder, words: list[object]) -> None:
    """`close --from -` reads what `list` writes: by the server's clock, too, it is that old."""
    end = int(time()) - 31 * DAY
    page = {"tickets": [], "pagination": {"page_size": 100, "total": 0}}
    answer = http(orjson.dumps({"errno": 10000, "data": page}), Date=formatdate(time() - DAY, usegmt=True))
    with elsewhere(serving(answer)) as wire:
        assert workorder(*words, "--older-than", "30d", "--base-url", wire.url).code == 0
        asked = [body["created_end"] for body in map(_body, wire.requests) if "created_end" in body]
    assert asked
    assert end - 10 < max(asked) < end + 10


@pytest.mark.parametrize("words", slow_after(1, ["30d", "30 days", "30天", "0w"]))
def test_an_age_is_to_the_second(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    """Of tickets around the moment, those before it are listed and closed; `--until 30d` takes that whole day."""
    days = 0 if words == "0w" else 30
    with elsewhere(Sandbox(2000, until=int(time()), app_secret=SECRET)) as sandbox:
        run = runner(sandbox.environment, monkeypatch, capsys)
        every = run("list", "--limit", 0, "--json").rows
        listed = run("list", "--limit", 0, "--json", "--older-than", words).rows
        before = time() - days * DAY
    assert {row["id"] for row in listed} == {row["id"] for row in every if row["created_time"] < before - 30}
    assert listed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--older-than", "x"], "--older-than 'x' is no age; write one such as 30d or 2w"),
        (["--older-than", "yesterday"], "is no age"),
        (["--older-than", "-1d"], "is no age"),
        (["--older-than", "30d", "--until", "1d"], "--until and --older-than say the same; write one"),
        (["--older-than", "30d", "--since", "1d"], "is after --older-than ("),
    ],
)
def test_an_age_that_cannot_be_meant(workorder: Workorder, words: list[str], said: str) -> None:
    """What is no age, or contradicts another option, is refused before anything is sent."""
    ran = workorder("close", *CLOSER, *words, "--yes")
    assert (ran.code, said in ran.err) == (2, True)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_refusal_has_the_same_hint(workorder: Workorder, command: list[str]) -> None:
    """What is refused for a ticket is told with the same hint by each command."""
    with elsewhere(serving(http(orjson.dumps({"errno": 4711, "errmsg": "no", "request_id": "r"})))) as wire:
        ran = workorder(*command, 7, "--base-url", wire.url, "--app-id", "another")
    assert (ran.code, "check the ticket's number, and that you may do this to it" in ran.err) == (1, True)


def test_no_password_is_shown(workorder: Workorder) -> None:
    """A URL with a password, which every request refuses, is not shown with it where nothing is asked."""
    ran = workorder("reject", 7, "--dry-run", "--base-url", "http://me:hunter-2@host")
    assert "on --base-url (http://host): nothing was changed" in ran.err
    assert "hunter-2" not in ran.err + ran.out

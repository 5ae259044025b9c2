"""`workorder close`: what it sends and prints, one ticket or many."""

import asyncio
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import orjson
import pytest

from tests.support.cli_changes import CLOSER, sent
from tests.support.cli_runs import Workorder, elsewhere, start
from tests.support.raw_server import http, serving
from tests.support.slow import slow_after
from workorder_async.cli.commands import batch, create
from workorder_async.cli.terminal import Bar
from workorder_async.sandbox import Sandbox


@pytest.mark.slow
def test_close_closes_many(
    workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[[], int], tmp_path: Path
) -> None:
    """`close` closes each ticket once with the same fields, uploads its files once, and prints a line for each."""
    ids = [new_ticket() for _ in range(20)]
    (tmp_path / "report.txt").write_text("ok")
    uploads = sandbox.requests["upload_file"]
    ran = workorder(
        *("close", *ids, ids[0], *CLOSER, "--solved-time", 1706664600, "--detail", "已恢复", "--no-is-solved"),
        *("--attach", tmp_path / "report.txt"),
    )
    assert ran.code == 0
    assert re.fullmatch(rf"20 done in .* s, on WORKORDER_BASE_URL \({sandbox.url}\), solved .*\n", ran.err)
    assert sorted(ran.out.splitlines()) == sorted(f"{id} closed" for id in ids)
    assert sandbox.requests["upload_file"] == uploads + 1
    for id in ids:
        body = sent(sandbox, "close_ticket", id)
        assert '"file_name":"report.txt"' in orjson.dumps(body.pop("handle_attachment")).decode()
        assert body == {
            "id": id,
            "closer_id": 40084,
            "closer_name": "姜程",
            "solved_time": 1706664600,
            "detail": "已恢复",
            "is_solved": False,
        }


def test_one_bar_at_a_time(
    workorder: Workorder, new_ticket: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bar of a batch begins when those of its files have ended: two would overwrite each other."""
    (tmp_path / "report.txt").write_text("ok")
    (tmp_path / "ids").write_text(str(new_ticket()))
    moments = list[str]()

    class Noted(Bar):
        def __enter__(self) -> Self:
            moments.append(f"{self._what} begins")
            return super().__enter__()

        def __exit__(self, *how: object) -> None:
            moments.append(f"{self._what} ends")
            super().__exit__(*how)

    monkeypatch.setattr(batch, "Bar", Noted)
    monkeypatch.setattr(create, "Bar", Noted)
    words = ["--from", tmp_path / "ids", "--yes", "--attach", tmp_path / "report.txt"]
    assert workorder("close", *CLOSER, *words).code == 0
    each = ("uploading report.txt", "closing")
    assert moments == [f"{what} {happens}" for what in each for happens in ("begins", "ends")]


@pytest.mark.parametrize("as_json", [False, True])
def test_close_tells_which_failed(workorder: Workorder, new_ticket: Callable[[], int], as_json: bool) -> None:
    """A ticket that cannot be closed fails the command with 1 and keeps no other from being closed."""
    good, bad = new_ticket(), 10**9
    ran = workorder("close", bad, good, *CLOSER, *(["--json"] if as_json else []))
    assert ran.code == 1
    if as_json:
        closed, failed = sorted(ran.rows, key=lambda row: int(row["id"]))
        assert closed.items() >= {"id": good, "outcome": "done", "attempts": 1}.items()
        assert failed.items() >= {"id": bad, "outcome": "rejected", "error": "NotFoundError", "errno": 90005}.items()
        assert failed["request_id"] in failed["message"]
    else:
        assert ran.out == f"{good} closed\n"
        assert ran.err.startswith(f"workorder: ticket {bad}: close_ticket: errno 90005")


async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize("as_json", slow_after(1, [False, True]))
def test_an_unknown_outcome_goes_before_a_failure(workorder: Workorder, as_json: bool) -> None:
    """Where the outcome of one close is unknown and later ones fail, the exit code is 3."""
    refused = http(orjson.dumps({"errno": 23000, "errmsg": "工单状态不允许关闭", "request_id": "r-1"}))
    with elsewhere(serving(_hang_up, refused)) as wire:
        words = ["close", *range(1, 41), *CLOSER, "--base-url", wire.url, "--stop-after", 0, "--timeout", 1]
        ran = workorder(*words, *(["--json"] if as_json else []))
    assert ran.code == 3
    if as_json:
        assert sorted(row["outcome"] for row in ran.rows) == ["rejected"] * 39 + ["unknown"]
        assert "errno" not in next(row for row in ran.rows if row["outcome"] == "unknown")
    else:
        assert (ran.err.count("workorder: ticket "), ran.err.count("workorder: tickets ")) == (1, 1)
        assert " and 36 more: close_ticket: errno 23000" in ran.err
        assert "\n39 rejected, 1 unknown in " in ran.err
        assert "see `workorder show ID`" in ran.err
        assert "before you do it again" in ran.err


def test_a_file_without_an_author_needs_one(workorder: Workorder, tmp_path: Path) -> None:
    """Where the platform names no author for an upload, `close` asks for --author and closes nothing."""
    file = {"file_name": "a.txt", "file_path": "k/1", "file_size": 1, "file_type": "text/plain"}
    (tmp_path / "a.txt").write_text("x")
    with elsewhere(serving(http(orjson.dumps({"errno": 10000, "data": file})))) as wire:
        words = ["close", 7, *CLOSER, "--attach", tmp_path / "a.txt", "--base-url", wire.url]
        refused = workorder(*words)
        assert len(wire.requests) == 1
        assert workorder(*words, "--author", 40084).code == 0
    assert refused.code == 2
    assert "--attach [0].author is None; the platform did not say who uploaded it: add --author" in refused.err


@pytest.mark.slow
def test_a_close_that_is_cut_short_names_what_it_does_not_know(sandbox: Sandbox) -> None:
    """A second Ctrl-C among many closes does not wait, and tells which tickets are not known to be closed."""
    asked = threading.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()

    with elsewhere(serving(never)) as wire:
        child = start({**sandbox.environment, "WORKORDER_BASE_URL": wire.url}, "close", 8, 7, *CLOSER)
        assert asked.wait(30)
        child.send_signal(signal.SIGINT)
        assert child.stderr is not None
        assert b"waiting up to 10 s" in child.stderr.readline()
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    assert (child.returncode, out) == (3, b"")
    assert b"workorder: cut short; not known to be closed: 7, 8\n" in err
    assert b"\n2 unknown in " in err

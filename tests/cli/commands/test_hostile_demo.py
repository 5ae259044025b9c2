"""`workorder demo --hostile`: the demo among all faults at once, and its account, which finds lost and doubled work."""

import asyncio
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.cli_runs import SECRET, start
from workorder_async import CommentTicket, Sandbox, TicketQuery, WorkorderClient, exports
from workorder_async.cli.app import run
from workorder_async.cli.commands.demo import Tour
from workorder_async.errors import ConfigError, NoAnswerError
from workorder_async.exports import ExportReport, export_tickets

# A silent server costs seconds each time, and the machine may be busy.
_PATIENCE = 240


@pytest.mark.timeout(_PATIENCE + 20)
@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, *(pytest.param(seed, marks=pytest.mark.torture) for seed in (1, 3))])
def test_nothing_is_lost_doubled_or_misreported(seed: int, tmp_path: Path) -> None:
    """The hostile demo ends well, and its summary says what struck and that nothing came of it."""
    output = tmp_path / "tickets.jsonl"
    words = ["demo", "--hostile", "--seed", seed, "--tickets", 400, "--closes", 60, "--output", output]
    with start({}, *words) as child:
        out, err = (stream.decode() for stream in child.communicate(timeout=_PATIENCE))
    assert child.returncode == 0, (out, err)
    assert "Traceback" not in err
    facts = dict(re.split(r"  +", line, maxsplit=1) for line in out.splitlines() if "  " in line)
    assert f"by seed {seed}\n" in err
    assert facts["exported"].startswith("exact: ")
    ids = [orjson.loads(line)["id"] for line in output.read_bytes().splitlines()]
    assert facts["lines written"] == f"{len(ids)} to {output}"
    assert re.fullmatch(r"3\d\d: 0 missing, 0 twice, 0 invented", facts["there all along"])
    for name, number in (("close_ticket", 60), ("create_ticket", 10)):
        said, done = facts[name].split("; carried out: ")
        # The list moves: fewer may be pending by then than are to be closed.
        assert number / 2 <= sum(int(count) for count in re.findall(r"\d+", said)) <= number
        assert done.endswith(", 0 twice")
    assert facts["comment_ticket"].endswith(", 0 twice")
    assert facts["misreported"] == "0"
    struck = re.findall(r"\d+ (\w+)", facts["struck"].partition(": ")[2])
    assert len(struck) == len(set(struck)) >= 12
    refused, throttled = (int(count) for count in re.findall(r"\d+", facts["beyond the rate"]))
    assert refused <= throttled


async def test_what_is_done_twice_or_said_falsely_is_found() -> None:
    """What was carried out twice, or unasked, or is said to be done or not done and is not so, is a complaint each."""
    async with Sandbox(5, app_secret=SECRET) as sandbox, sandbox.client() as client:
        tour = Tour(client, sandbox, hostile=True)
        for comment in ("twice", "twice", "unasked", "denied"):
            await client.comment_ticket(CommentTicket(id=1001, detail=comment))
        tour.said |= {
            ("comment_ticket", "twice"): "done",
            ("comment_ticket", "denied"): "rejected",
            ("comment_ticket", "never"): "done",
            ("comment_ticket", "perhaps"): "unknown",
            ("close_ticket", 1001): "already",
        }
        tour.conclude()
    assert sorted(tour.complaints) == [
        "close_ticket of 1001: said to be already, carried out 0 times",
        "comment_ticket of denied: said to be rejected, carried out 1 times",
        "comment_ticket of never: said to be done, carried out 0 times",
        "comment_ticket of twice: said to be done, carried out 2 times",
        "comment_ticket of unasked: said to be nothing, carried out 1 times",
    ]
    facts = dict(tour.facts)
    assert facts["comment_ticket"] == "2 done, 1 rejected, 1 unknown; carried out: 4, 1 twice"
    assert facts["misreported"] == "5"


async def test_what_is_asked_for_twice_is_one() -> None:
    """A list that gave a ticket twice asks for its close twice: it is closed once, and the word for it is "done"."""
    async with Sandbox(200) as sandbox, sandbox.client() as client:
        tour = Tour(client, sandbox)
        tickets = (await client.list_tickets(TicketQuery(status=1), page_size=40)).tickets
        tour.rows = [{"id": one.id, "status": 1, "creator_name": one.creator_name} for one in tickets] * 2
        await tour.close_pending(len(tour.rows))
        tour.conclude()
        assert tour.said == {("close_ticket", one.id): "done" for one in tickets}
    assert tour.complaints == []


async def test_what_somebody_else_closed_is_closed() -> None:
    """A close that is said to be done is no false word where the list's drift did it."""
    async with Sandbox(50) as sandbox, sandbox.client() as client:
        (id,) = (await sandbox.change(close=1)).closed
        tour = Tour(client, sandbox, hostile=True)
        tour.said["close_ticket", id] = "done"
        tour.conclude()
    assert tour.complaints == []


async def test_a_file_is_held_against_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ticket that is missing, comes twice or never was is a complaint; one that was deleted meanwhile is none."""
    honest = export_tickets

    async def losing(client: WorkorderClient, query: TicketQuery, target: Path, **options: Any) -> ExportReport:
        report = await honest(client, query, target, **options)
        await sandbox.change(delete=1)
        await asyncio.to_thread(target.write_bytes, b'{"id":%d}\n{"id":%d}\n{"id":1}\n' % (kept, kept))
        return report

    monkeypatch.setattr(exports, "export_tickets", losing)
    async with Sandbox(50) as sandbox, sandbox.client() as client:
        kept = (await client.list_tickets(page_size=1)).tickets[0].id
        tour = Tour(client, sandbox, hostile=True)
        await tour.export(50, tmp_path / "t.jsonl", "the file")
        gone = {id for drifted in sandbox.drifted for id in drifted.deleted}
    assert gone
    assert kept not in gone
    [complaint] = tour.complaints
    assert "the file has 48 missing, 1 twice, 1 invented; the walk: exact: " in complaint
    assert dict(tour.facts)["there all along"] == "49: 48 missing, 1 twice, 1 invented"


async def test_a_list_that_cannot_be_walked_is_a_complaint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the walk fails there is no file, nothing to close, and one complaint with the reason."""

    async def failing(*_: object, **__: object) -> int:
        await asyncio.sleep(0)
        raise NoAnswerError("no")

    monkeypatch.setattr(exports, "export_tickets", failing)
    async with Sandbox(5) as sandbox, sandbox.client() as client:
        tour = Tour(client, sandbox, hostile=True)
        await tour.export(5, tmp_path / "t.jsonl", "the file")
        await tour.close_pending(5)
        assert not sandbox.applied
    assert tour.complaints == ["the list could not be walked to its end: NoAnswerError: no"]
    assert await asyncio.to_thread(os.listdir, tmp_path) == []


@pytest.mark.parametrize("hostile", [True, False])
async def test_a_file_that_cannot_be_uploaded_is_a_complaint(monkeypatch: pytest.MonkeyPatch, hostile: bool) -> None:
    """Where nothing should go wrong; the tickets are created without it."""

    async def failing(*_: object, **__: object) -> None:
        raise ConfigError("no")

    monkeypatch.setattr(WorkorderClient, "upload_file", failing)
    async with Sandbox(5) as sandbox, sandbox.client() as client:
        tour = Tour(client, sandbox, hostile=hostile)
        await tour.create_and_comment()
        assert Counter(one.operation for one in sandbox.applied)["create_ticket"] == (10 if hostile else 1)
    assert tour.complaints[:1] == ([] if hostile else ["the file could not be uploaded: no"])


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [("--latency", "0.1", "--latency is for the plain demo"), ("--tickets", "-9", "tickets"), ("--seed", "-1", "seed")],
)
def test_a_value_that_cannot_be_is_wrong_usage(
    option: str, value: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A delay, which a hostile sandbox has of its own, and numbers that cannot be exit with 2 and are named."""
    assert run(["demo", "--hostile", option, value]) == 2
    assert said in capsys.readouterr().err

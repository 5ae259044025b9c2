import asyncio
import math
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from csv import DictReader
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from benchmarks import counting
from benchmarks.__main__ import HEAVY, ROWS, main
from benchmarks.exporting import export
from benchmarks.fair import fair_loop, in_order, make_signer
from benchmarks.files import csv_by_hand, jsonl_by_hand, parquet_by_hand, xlsx_by_hand
from benchmarks.latency import ideal, latency
from benchmarks.measuring import Plan, Race, Row, Sample, race
from benchmarks.others import WORKERS
from benchmarks.pages import FIRST_CREATED, FIRST_ID, page, page_count, pages
from benchmarks.server import canned_server
from benchmarks.spread import SpreadList
from tests.support.slow import slow_after
from workorder_async import SchemeSigner, SigningInput, TicketQuery, TicketSummary, WorkorderClient

GOALS = {
    "decode": ("<=", 1.7),
    "walk": (">=", 0.60),
    "fair": (">=", 0.85),
    "calls": ("<=", 1.15),
    "instructions": ("<=", 1.15),
    "pipeline": (">=", 0.93),
    "jitter": (">=", 0.8),
    "tenth": (">=", 0.8),
    "first": ("<=", 1.1),
    "import": ("<=", 60),
    "requests": ("<=", 1.05),
    "mirror": ("<=", 1.05),
    "million": ("<=", 30),
    "long": ("<=", 1.2),
    "batch": (">=", 0.9),
    "jsonl": (">=", 0.62),
    "csv": (">=", 0.7),
    "parquet": (">=", 0.58),
    "xlsx": (">=", 0.6),
    "export": (">=", 0.93),
    "resume": ("<=", 1.25),
    "engines": (">=", 0.4),
}
BESIDE = {
    "decode": {"cattrs", "model_validate_json", "model_validate after", "json.loads"},
    "walk": {"by hand", "httpx2 and pydantic, page after page", "httpx2 and pydantic, 8 workers"},
    "fair": {"bare loop"},
    "calls": {"bare loop"},
    "instructions": {"bare loop"},
    "pipeline": {"bare loop", "batches of 8", "page after page"},
    "jitter": {"bare loop", "batches of 8", "page after page"},
    "tenth": {"bare loop", "batches of 8", "page after page"},
    "first": set(),
    "import": {"import aiohttp", "WorkorderClient"},
    "requests": set(),
    "mirror": set(),
    "million": set(),
    "long": {"plain paging of the 25000 tickets, extrapolated"},
    "batch": {"bare aiohttp loop", "without a journal"},
    "jsonl": {"by hand"},
    "csv": set(),
    "parquet": set(),
    "xlsx": set(),
    "export": {"by hand"},
    "resume": set(),
}
OF_GROUP = {words for words in BESIDE["decode"] | BESIDE["walk"] if re.search("model_validate|httpx2", words)}
GROUP = all(find_spec(name) for name in ("httpx2", "pydantic"))
SAMPLE = {"median", "min", "max", "rounds"}


def row(seen: float, sign: Any = "<=", goal: float = 1.0) -> Row:
    """Make a row that saw one value."""
    sample = Sample((seen,))
    return Row("made-up", "something", "nothing", sign, goal, sample, Race("floor", {"floor": sample}, 1))


def measure(file: Path, *arguments: str, rounds: int = 2) -> Any:
    """Run the command for a list of three pages, and return the JSON that it wrote."""
    assert main([*arguments, "--rounds", str(rounds), "--tickets", "250", "--json", str(file)]) == 0
    return orjson.loads(file.read_bytes())


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Run the canned server with a list of three pages."""
    with canned_server(250) as url:
        yield url


# A JVM is where `.ci/engines` is, which runs that row. Callgrind takes minutes.
@pytest.mark.parametrize("name", slow_after(1, [name for name in GOALS if name not in ("engines", "instructions")]))
def test_row(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every row is measured over its floor, stands in the table, and is written with all its figures."""
    written = measure(tmp_path / "figures.json", "--only", name, rounds=1)
    (figures,) = written["rows"]
    assert (figures["name"], figures["goal"]) == (name, dict(zip(("sign", "value"), GOALS[name], strict=True)))
    assert figures["verdict"] in ("ok", "misses")
    compared = [beside["seen"] for beside in figures["beside"] if beside["seen"] is not None]
    samples = [figures["seen"], *figures["seconds"].values(), *compared]
    for sample in samples:
        assert sample.keys() == SAMPLE
        assert sample["min"] <= sample["median"] <= sample["max"]
        assert math.isfinite(sample["max"])
    assert all(sample["min"] > 0 for sample in figures["seconds"].values())
    for words in BESIDE[name] - (set() if GROUP else OF_GROUP):
        assert any(words in beside["against"] for beside in figures["beside"])
    assert re.search(rf"^{name} .* {GOALS[name][0]} \d.* (ok|misses)$", capsys.readouterr().out, re.MULTILINE)


def test_all_rows_have_goals() -> None:
    """The registry holds the rows of the table, in its order."""
    assert list(ROWS) == list(GOALS)
    assert ROWS.keys() >= HEAVY


@pytest.mark.parametrize(
    ("arguments", "measured"),
    [
        ([], ["decode"]),
        (["--heavy"], ["decode", "million", "long"]),
        (["--only", "long", "decode"], ["long", "decode"]),
    ],
)
def test_heavy_rows(arguments: list[str], measured: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Heavy rows are left out unless asked for, and the run says how to ask."""
    order: list[str] = []

    def run(name: str) -> Row:
        order.append(name)
        return row(1.0)

    assert main(arguments, {name: lambda _, name=name: run(name) for name in ("decode", "million", "long")}) == 0  # type: ignore[misc]
    assert order == measured
    hint = "million long; run them by --heavy or --only million long"
    assert (hint in capsys.readouterr().out) is (not arguments)


def test_environment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The head and the JSON say on what the figures depend."""
    facts = measure(tmp_path / "figures.json", "--only", "decode")["environment"]
    assert {"python", "platform", "cpus", "aiohttp", "orjson", "httpx2", "pydantic"} <= facts.keys()
    assert f"aiohttp {facts['aiohttp']}" in capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize("name", slow_after(1, ["decode", "walk"]))
def test_without_group(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the dependency group, the rows are measured all the same and say what is missing."""
    monkeypatch.setitem(sys.modules, "pydantic", None)
    monkeypatch.delitem(sys.modules, "benchmarks.pydantic_client", raising=False)
    (figures,) = measure(tmp_path / "figures.json", "--only", name)["rows"]
    (absent,) = (beside for beside in figures["beside"] if beside["seen"] is None)
    assert "install the group `bench`" in absent["against"]


@pytest.mark.slow
def test_command() -> None:
    """`python -m benchmarks` prints the table and ends well, whether goals are reached or not."""
    command = [sys.executable, "-m", "benchmarks", "--only", "decode", "--rounds", "1", "--tickets", "100"]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True)
    assert "decode: " in done.stdout
    assert done.stderr == ""


def test_rows_that_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without valgrind, or with too short a list, a row says so, which is no failure."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--only", "instructions", "long", "--tickets", "1"]) == 0
    out = capsys.readouterr().out
    assert "instructions left out: valgrind is not installed" in out
    assert "long      left out: a list of 100 tickets has no deep pages; give more --tickets" in out


@pytest.mark.slow
def test_instructions_are_counted(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of its own reads the list under callgrind, for which a script stands in: the real one takes long."""
    valgrind = tmp_path / "valgrind"
    valgrind.write_text('#!/bin/sh\nshift 2\n"$@" && echo "==7== Collected : 1234" >&2\n')
    valgrind.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert counting.instructions("bare loop", f"{server}/0") == 1234


def test_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a page takes is the difference of two lists, over the pages between them."""
    taken = {"iter_tickets": 6e6, "fair loop": 5e6, "bare loop": 4e6}
    pages: list[int] = []

    @contextmanager
    def served(tickets: int) -> Iterator[str]:
        pages.append(page_count(tickets))
        yield "http://127.0.0.1:1"

    monkeypatch.setattr(counting, "canned_server", served)
    monkeypatch.setattr(counting, "instructions", lambda loop, url: int(7e8 + pages[-1] * taken[loop]))
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    row = counting.measure_instructions(Plan(1, 800))
    assert pages == [2, 8] * 3
    assert row.seen.median == pytest.approx(1.2)
    assert row.notes == (
        "instructions a page: iter_tickets 6.00 million, fair loop 5.00 million, bare loop 4.00 million",
    )


@pytest.mark.slow
def test_calls_are_counted_alike(capsys: pytest.CaptureFixture[str]) -> None:
    """Two countings come to the same, whatever the machine does meanwhile; each loop has its figure."""
    seen = [counting.measure_calls(Plan(1, 3200)) for _ in range(2)]
    assert seen[0].seen.median == pytest.approx(seen[1].seen.median, rel=0.1)
    assert re.fullmatch(
        r"calls of functions a page: iter_tickets \d{3,4}, fair loop \d{3,4}, bare loop \d{3}", seen[0].notes[0]
    )


def test_failing_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row that cannot be measured makes the exit code 1, and the others are measured all the same."""

    def broken(plan: Plan) -> Row:
        raise RuntimeError("no ruler")

    file = tmp_path / "figures.json"
    assert main(["--json", str(file)], {"broken": broken, "missed": lambda plan: row(2.0)}) == 1
    written = orjson.loads(file.read_bytes())
    assert written["failed"] == {"broken": "RuntimeError: no ruler"}
    assert [figures["verdict"] for figures in written["rows"]] == ["misses"]
    assert "could not be measured: RuntimeError: no ruler" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rounds", "0"], "not a whole number from 1"),
        (["--tickets", "many"], "not a whole number from 1"),
        (["--only", "nothing"], "invalid choice"),
        (["--json", "no/such/folder/figures.json"], "no place for a file"),
    ],
)
def test_bad_arguments(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An argument that cannot work is refused before anything is measured."""
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("seen", "sign", "verdict"), [(1.0, "<=", "ok"), (1.01, "<=", "misses"), (1.0, ">=", "ok"), (0.99, ">=", "misses")]
)
def test_verdict(seen: float, sign: str, verdict: str) -> None:
    """The goal itself is still a success, on either side."""
    assert row(seen, sign).verdict == verdict


def test_sample() -> None:
    """A sample's spread is the distance of its quartiles over its median."""
    sample = Sample((4.0, 1.0, 2.0, 5.0, 3.0))
    assert (sample.low, sample.median, sample.high) == (1.0, 3.0, 5.0)
    assert sample.spread == pytest.approx(2 / 3)
    assert sample.times(10).median == 30.0


def test_race_in_turns() -> None:
    """Contestants run in turns, another one first in every round, and are compared round by round."""
    order: list[str] = []
    times = {"floor": iter((99.0, 1.0, 1.0)), "subject": iter((99.0, 3.0, 8.0))}

    def run(name: str) -> float:
        order.append(name)
        return next(times[name])

    result = race("floor", {name: lambda name=name: run(name) for name in times}, 2)  # type: ignore[misc]
    assert order == ["floor", "subject", "floor", "subject", "subject", "floor"]
    assert result.ratio("subject", "floor").values == (3.0, 8.0)
    assert result.excess("subject", "floor").values == (2.0, 7.0)


def test_race_repeats_noise() -> None:
    """A set whose floor varies too much is measured again, four times at most, and the calmest set counts."""
    floor = iter((0.0, 1.0, 9.0, 1.0, 3.0, 1.0, 5.0, 1.0, 7.0))
    result = race("floor", {"floor": lambda: next(floor)}, 2)
    assert (result.sets, result.seconds["floor"].values, result.calm) == (4, (1.0, 3.0), False)


def test_race_ends_when_calm() -> None:
    """The first set whose floor holds still is the last."""
    floor = iter((0.0, 1.0, 9.0, 1.0, 1.1))
    result = race("floor", {"floor": lambda: next(floor)}, 2)
    assert (result.sets, result.seconds["floor"].values, result.calm) == (2, (1.0, 1.1), True)


def test_pages() -> None:
    """Every ticket of the list stands on one page, and takes about 1.5 kB."""
    bodies = pages(250)
    rows = [ticket for body in bodies for ticket in orjson.loads(body)["data"]["tickets"]]
    assert [len(bodies), len(rows), len({ticket["id"] for ticket in rows})] == [3, 250, 250]
    assert 1400 < sum(map(len, bodies)) / 250 < 1600
    assert page(2, 250) == bodies[1]
    assert [page_count(total) for total in (0, 1, 100, 101)] == [1, 1, 1, 2]


def test_latency() -> None:
    """Every page has one latency, in seconds: the same for all, within 25 ms of 50, or long for every tenth."""
    assert {latency("50", number) for number in range(1, 30)} == {0.05}
    jitter = [latency("jitter", number) for number in range(1, 1001)]
    assert jitter == [latency("jitter", number) for number in range(1, 1001)]
    assert 0.025 <= min(jitter) < 0.026
    assert 0.074 < max(jitter) <= 0.075
    assert [number for number in range(1, 31) if latency("tenth", number) == 0.4] == [10, 20, 30]
    assert {latency("tenth", number) for number in range(1, 10)} == {0.05}


@pytest.mark.parametrize(
    ("course", "pages", "workers", "seconds"),
    [
        ("50", 1, 8, 0.05),
        ("50", 100, 8, 0.7),  # 1 + ceil(99 / 8) rounds
        ("tenth", 9, 8, 0.1),
        ("tenth", 10, 8, 0.5),  # all but page 10 end in the second round
        ("tenth", 21, 2, 1.05),  # page 10 lasts from 0.25 to 0.65, beside 11 to 18; page 20 begins then
    ],
)
def test_ideal(course: str, pages: int, workers: int, seconds: float) -> None:
    """The ideal reads the first page alone, then each in order as soon as a worker is free."""
    assert ideal(course, pages, workers) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("filters", "expected"),
    slow_after(
        5,
        [
            ({}, range(249, -1, -1)),
            ({"created_start": FIRST_CREATED + 61 * 100}, range(249, 99, -1)),
            ({"created_start": FIRST_CREATED + 61 * 100 + 1}, range(249, 100, -1)),
            ({"created_end": FIRST_CREATED + 61 * 100}, range(100, -1, -1)),
            ({"created_end": FIRST_CREATED + 61 * 100 - 1}, range(99, -1, -1)),
            ({"created_start": 1, "created_end": FIRST_CREATED + 61 * 1000}, range(249, -1, -1)),
            ({"created_start": FIRST_CREATED + 61, "created_end": FIRST_CREATED + 61}, range(1, 0, -1)),
            ({"created_end": FIRST_CREATED - 1}, ()),
            ({"created_start": FIRST_CREATED + 61 * 250}, ()),
        ],
    ),
)
def test_spread_list(filters: dict[str, int], expected: Sequence[int]) -> None:
    """A spread list gives the tickets created in a range, both ends included, newest first, with their total."""
    answers = [SpreadList(250).answer({**filters, "page": number, "page_size": 40}) for number in range(1, 9)]
    data = [orjson.loads(answer)["data"] for answer in answers]
    assert {page["pagination"]["total"] for page in data} == {len(expected)}
    rows = [row for page in data for row in page["tickets"]]
    assert [row["id"] - FIRST_ID for row in rows] == list(expected)
    assert [row["created_time"] for row in rows] == [FIRST_CREATED + 61 * index for index in expected]
    assert all(len(page["tickets"]) <= 40 for page in data)


def ids_in(path: Path) -> list[int]:
    """Return the ids that a file of tickets holds, whatever its format."""
    match path.suffix:
        case ".jsonl":
            return [orjson.loads(line)["id"] for line in path.read_bytes().splitlines()]
        case ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                return [int(row["id"]) for row in DictReader(file)]
        case ".parquet":
            ids: list[int] = import_module("pyarrow.parquet").read_table(path).column("id").to_pylist()
            return ids
        case _:
            head, *rows = import_module("openpyxl").load_workbook(path).active.iter_rows(values_only=True)
            return [row[head.index("id")] for row in rows]


@pytest.mark.parametrize(
    ("suffix", "by_hand"),
    slow_after(
        2, [(".jsonl", jsonl_by_hand), (".csv", csv_by_hand), (".parquet", parquet_by_hand), (".xlsx", xlsx_by_hand)]
    ),
)
def test_files(suffix: str, by_hand: Callable[[str, Path], Awaitable[int]], server: str, tmp_path: Path) -> None:
    """What is written by hand has the tickets that our file has, each once."""
    ours, theirs = tmp_path / f"ours{suffix}", tmp_path / f"theirs{suffix}"
    assert asyncio.run(export(f"{server}/0", ours)) == asyncio.run(by_hand(f"{server}/0", theirs)) == 250  # type: ignore[arg-type]
    assert sorted(ids_in(theirs)) == sorted(ids_in(ours)) == list(range(FIRST_ID, FIRST_ID + 250))


async def test_fair_loop_signs() -> None:
    """The fair loop asks for each page once, signed over its body, and returns how many tickets it made."""
    asked: list[int] = []

    async def answer(request: web.Request) -> web.Response:
        body, app_id, timestamp = await request.read(), request.headers["AppId"], request.headers["Timestamp"]
        expected = make_signer().scheme.signature(
            SigningInput("POST", request.path, body=(body,)), app_id=app_id, secret="not a secret", timestamp=timestamp
        )
        assert request.headers["Sign"] == expected
        assert abs(int(timestamp) - time.time()) < 10
        asked.append(orjson.loads(body)["page"])
        return web.Response(body=page(asked[-1], 1050), content_type="application/json")

    app = web.Application()
    app.router.add_post("/workorder/api/ticket/list_tickets", answer)
    async with TestServer(app) as server:
        assert await fair_loop(str(server.make_url("")).rstrip("/")) == 1050
    assert (asked[0], sorted(asked)) == (1, list(range(1, 12)))


async def test_fair_loop_keeps_order() -> None:
    """The fair loop has 8 pages under way, and takes them in the order of the list, whichever comes first."""
    taken: list[int] = []
    asked: list[int] = []
    ahead: list[int] = []
    answered = {number: asyncio.Event() for number in range(1, 21)}
    all_asked = asyncio.Event()

    class Rows(list[TicketSummary]):
        def __init__(self, number: int) -> None:
            super().__init__([TicketSummary(id=number)])

        def __iter__(self) -> Iterator[TicketSummary]:
            taken.append(self[0].id)
            return super().__iter__()

    async def read(number: int) -> tuple[Sequence[TicketSummary], int]:
        asked.append(number)
        ahead.append(len(asked) - len(taken))
        if len(asked) == 1 + WORKERS:
            all_asked.set()
        await answered[number].wait()
        return Rows(number), 2000

    answered[1].set()
    loop = asyncio.create_task(in_order(read))
    await all_asked.wait()
    for number in range(20, 2, -1):
        answered[number].set()
    await asyncio.sleep(0)
    assert (asked, taken) == ([*range(1, 2 + WORKERS)], [1])
    answered[2].set()
    assert await loop == 20
    assert max(ahead) == WORKERS
    assert taken == [*range(1, 21)]


@pytest.mark.parametrize("kind", slow_after(1, ["spread", "canned"]))
async def test_server_lists(kind: Literal["canned", "spread"]) -> None:
    """The server filters its list by created time, and gives the newest ticket first."""
    with canned_server(1000, kind) as url:
        async with WorkorderClient(f"{url}/0", signer=SchemeSigner("app", "secret", "md5:{secret}")) as client:
            query = TicketQuery(created_start=FIRST_CREATED + 61 * 10)
            async with client.walk(query) as walk:
                ids = [ticket.id - FIRST_ID async for tickets in walk for ticket in tickets]
            page = await client.list_tickets(page=3, page_size=100)
    assert walk.report.exact
    assert ids == list(range(999, 9, -1))
    assert [ticket.id - FIRST_ID for ticket in page.tickets] == list(range(799, 699, -1))


async def test_server_latency(server: str) -> None:
    """Answers wait as long as the URL says, and do not hold each other up."""
    signer = SchemeSigner("app", "secret", "md5:{secret}")
    async with (
        WorkorderClient(f"{server}/30000", signer=signer) as slow,
        WorkorderClient(f"{server}/50", signer=signer) as quick,
    ):
        waiting = asyncio.create_task(slow.list_tickets())
        begun = perf_counter()
        await quick.list_tickets()
        assert perf_counter() - begun >= 0.050
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_server_takes_pieces(server: str) -> None:
    """A request that comes in pieces is answered once it is complete."""
    host, port = server.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = b'{"page":3}'
    for piece in (b"POST /0/list HTTP/1.1\r\nConte", b"nt-Length: 10\r\n\r", b"\n" + body[:4], body[4:]):
        writer.write(piece)
        await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    answer = await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
    assert len(orjson.loads(answer)["data"]["tickets"]) == 50
    writer.close()
    await writer.wait_closed()


def test_server_ends() -> None:
    """Leaving the block ends the server, though a client is still connected."""
    with canned_server(1) as url:
        host, port = url.removeprefix("http://").split(":")
        connection = socket.create_connection((host, int(port)))
        connection.sendall(b'POST /0/list HTTP/1.1\r\nContent-Length: 10\r\n\r\n{"page":1}')
        assert connection.recv(4) == b"HTTP"
    with connection:
        assert b"".join(iter(lambda: connection.recv(65536), b"")).endswith(b"}")

"""An export from its arguments to its file: complete, row for row, told as it is, and refused where it cannot work."""

import asyncio
import os
import re
import socket
from contextlib import closing
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import orjson
import pytest
from attrs import evolve

from tests.support.export_rows import as_read, cells, read_back
from tests.support.exports import SUFFIXES, content, is_of, truth
from tests.support.mutations import creation
from tests.support.rows import each
from tests.support.slow import slow_after
from workorder_async import (
    AuthenticationError,
    ConfigError,
    DecodeError,
    ExportError,
    NoAnswerError,
    ResponseError,
    RetryPolicy,
    Sandbox,
    TicketQuery,
    TicketStatus,
    WorkorderClient,
)
from workorder_async.exports import (
    AttachmentCounts,
    ExportOptions,
    ExportProgress,
    InexactExportError,
    export_tickets,
)
from workorder_async.mirror import mirror_tickets
from workorder_async.sandbox import Fault


@pytest.mark.parametrize("suffix", slow_after(2, SUFFIXES))
async def test_row_for_row(suffix: str, tmp_path: Path) -> None:
    """Every format holds what the sandbox holds, in its order, and nothing lies beside it."""
    target = tmp_path / f"t{suffix}"
    async with Sandbox(tickets=1234) as sandbox, sandbox.client() as client:
        report = await export_tickets(client, TicketQuery(), target)
        assert is_of(target, await truth(client))
    assert os.listdir(tmp_path) == [target.name]
    assert (report.rows, report.bytes, report.target) == (1234, target.stat().st_size, target)
    assert report.exact
    assert not report.resumed_rows
    assert not report.changes


async def test_nothing_matches(tmp_path: Path) -> None:
    """An export of nothing is an empty file of its format."""
    async with Sandbox(tickets=50) as sandbox, sandbox.client() as client:
        for suffix in SUFFIXES:
            report = await export_tickets(client, TicketQuery(creator_id=1), tmp_path / f"t{suffix}")
            assert (report.rows, report.exact, read_back(tmp_path / f"t{suffix}")) == (0, True, [])


@pytest.mark.parametrize("suffix", slow_after(1, [".jsonl", ".sqlite", ".parquet"]))
async def test_full_records(suffix: str, tmp_path: Path) -> None:
    """With `detail` each ticket's full record is there, in the list's order."""
    target = tmp_path / f"t{suffix}"
    async with Sandbox(tickets=230) as sandbox, sandbox.client() as client:
        report = await export_tickets(client, TicketQuery(), target, detail=True)
        ids = [ticket.id for ticket in await truth(client)]
        details = [await client.get_ticket_detail(id) for id in (sorted(ids) if suffix == ".sqlite" else ids)]
        requests = sandbox.requests["get_ticket_detail"]
    assert report.rows == 230
    assert report.exact
    assert requests == 2 * 230
    if suffix == ".sqlite":
        assert [row["id"] for row in read_back(target)] == sorted(ids)
    else:
        shown = [as_read(target, cells(detail)) for detail in details]
        assert without_tokens(read_back(target)) == without_tokens(shown)


def without_tokens(value: Any) -> Any:
    """Return what was read without the ends of the files' URLs, which are new ones each time."""
    match value:
        case str():
            return re.sub(r"\?expires=\w+&token=\w+", "", value)
        case list():
            return [without_tokens(one) for one in value]
        case dict():
            return {name: without_tokens(one) for name, one in value.items()}
    return value


async def test_raw(tmp_path: Path) -> None:
    """A raw export holds the server's own objects."""
    target = tmp_path / "t.jsonl"
    async with Sandbox(tickets=150) as sandbox, sandbox.client() as client:
        await export_tickets(client, TicketQuery(), target, raw=True)
        async with client.walk() as walk:
            walk.raw()
            rows = [row for _ in range(2) if (page := await walk.next_page()) for row in page.rows]
    assert len(rows) == 150
    assert [orjson.loads(line) for line in target.read_bytes().splitlines()] == rows


async def test_several_queries(tmp_path: Path) -> None:
    """Of several queries each ticket comes once, also where it matches more than one of them."""
    target = tmp_path / "t.jsonl"
    queries = [TicketQuery(status=status) for status in (1, 2)] + [TicketQuery(), TicketQuery(status=3)]
    async with Sandbox(tickets=1200) as sandbox, sandbox.client() as client:
        report = await export_tickets(client, queries, target)
        wanted = await truth(client)
    rows = read_back(target)
    assert report.rows == len(rows) == len({row["id"] for row in rows}) == len(wanted)
    assert [row["status"] for row in rows[:1]] == [1]
    assert report.exact
    assert report.reason == "each of 4 walks is exact"


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"format": "xml"}, "t.jsonl", "format 'xml' is not known"),
    ({"format": 5}, "t.jsonl", "format is 5; it must be a format's name, or None"),
    ({}, "t.txt", "says no format by its suffix"),
    ({}, "", "target is empty; it must be a path"),
    ({}, "folder.jsonl", "is a folder; name a file in it"),
    ({}, "none/t.jsonl", "there is no folder .*none.*; make it first"),
    ({}, "old.jsonl", "old.jsonl' exists; overwrite=True replaces it"),
    ({}, "nul\0.jsonl", "no name of a file"),
    ({"format": "csv"}, "x" * 300, "cannot write to .*File name too long"),
    ({"format": "csv"}, "x" * 247, "cannot write to .*File name too long; choose another target"),
    ({"format": "sqlite"}, "x" * 246, "cannot write to .*File name too long"),
    ({"format": "xlsx"}, "x" * 240, "cannot write to .*File name too long"),
    ({"raw": True}, "t.csv", r"raw .* use \.jsonl"),
    ({"raw": True}, "t.sqlite", r"raw .* use \.jsonl"),
    ({"raw": True, "detail": True}, "t.jsonl", "choose one"),
    ({"raw": True, "attachments": "a"}, "t.jsonl", "choose one"),
    ({"attachments": 7}, "t.jsonl", "attachments is int 7; it must be a path"),
    ({"attachments": ""}, "t.jsonl", "attachments is empty; it must be a path"),
    ({"page_size": 0}, "t.jsonl", "^page_size is 0; it must be from 1 to 2147483647"),
    ({"concurrency": 0}, "t.jsonl", "concurrency is 0"),
    ({"on_bad_row": "no"}, "t.jsonl", "on_bad_row is 'no'"),
    ({"overwrite": "no"}, "old.jsonl", "overwrite is 'no'; it must be True or False"),
    ({"on_progress": 7}, "t.jsonl", "on_progress is 7; it must be a function"),
    ({"on_progress": asyncio.sleep}, "t.jsonl", "on_progress is .*; it must be a function, no `async def`"),
]


async def test_refused(tmp_path: Path) -> None:
    """What cannot work is refused with its name and the mend, before the first request, and nothing is left."""
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "old.jsonl").write_text("old")
    before = sorted(os.listdir(tmp_path))
    async with Sandbox(tickets=5) as sandbox, sandbox.client() as client:
        for options, name, message in REFUSED:
            with pytest.raises(ConfigError, match=message):
                await export_tickets(client, TicketQuery(), f"{tmp_path}/{name}" if name else "", **options)
            assert sorted(os.listdir(tmp_path)) == before, message
        for name in ("t.jsonl", "t.jsonl.part", "t.jsonl.manifest"):
            with pytest.raises(ConfigError, match=f"attachments is '.*{name}', where the export writes; name a folder"):
                await export_tickets(client, TicketQuery(), tmp_path / "t.jsonl", attachments=tmp_path / name)
        assert not sandbox.requests


@each("on_progress", [lambda _: asyncio.sleep(0)])
async def test_a_coroutine_that_nobody_would_await(tmp_path: Path, on_progress: Any) -> None:
    """A function that returns one is refused where it is called: it would tell nobody."""
    async with Sandbox(tickets=5) as sandbox, sandbox.client() as client:
        with pytest.raises(ConfigError, match="on_progress is an `async def`, which is not awaited"):
            await export_tickets(client, TicketQuery(), tmp_path / "t.jsonl", on_progress=on_progress)
        with pytest.raises(ConfigError, match="on_progress is an `async def`, which is not awaited"):
            await mirror_tickets(client, tmp_path / "t.db", on_progress=on_progress)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no sockets in folders")
async def test_a_socket(tmp_path: Path) -> None:
    """No reader ever opens one, as one opens a pipe."""
    with closing(socket.socket(socket.AF_UNIX)) as there:
        there.bind(str(tmp_path / "s"))
        async with Sandbox(tickets=5) as sandbox, sandbox.client() as client:
            with pytest.raises(ConfigError, match=r"cannot write to '.*/s': No such device"):
                await export_tickets(client, TicketQuery(), tmp_path / "s", format="jsonl")


@pytest.mark.skipif(os.name != "posix", reason="Windows has other lengths")
async def test_a_path_that_no_database_can_have(tmp_path: Path) -> None:
    """A path that SQLite could not open at the end is refused before the first request; one byte less is made."""
    folder = tmp_path
    while len(os.fsencode(folder)) < 300:
        folder /= "d" * 100
    folder.mkdir(parents=True)
    room = 504 - len(os.fsencode(folder / "x.converted")) + 1
    longest, longer = (folder / f"{'x' * (size - len('.db'))}.db" for size in (room, room + 1))
    async with Sandbox(tickets=5) as sandbox, sandbox.client() as client:
        with pytest.raises(ConfigError, match="SQLite opens no path of so many bytes; choose another target"):
            await export_tickets(client, TicketQuery(), longer)
        assert not sandbox.requests
        assert (await export_tickets(client, TicketQuery(), longest)).rows == 5
    assert os.listdir(folder) == [longest.name]


@pytest.mark.parametrize("name", ["max_tickets", "verify", "status"])
async def test_no_option(name: str, tmp_path: Path) -> None:
    """An option that does not exist, any more or at all, is refused."""
    options: dict[str, Any] = {name: 1}
    async with Sandbox(tickets=5) as sandbox, sandbox.client() as client:
        with pytest.raises(TypeError, match=name):
            await export_tickets(client, TicketQuery(), tmp_path / "t.jsonl", **options)


@pytest.mark.parametrize("query", [None, [], "all", [TicketQuery(), 7]])
async def test_no_query(query: Any, tmp_path: Path) -> None:
    """What is no query is refused."""
    async with Sandbox(tickets=5) as sandbox, sandbox.client() as client:
        with pytest.raises(ConfigError, match="query must be a TicketQuery, or a list of them"):
            await export_tickets(client, query, tmp_path / "t.jsonl")


@pytest.mark.parametrize("suffix", [".jsonl", ".sqlite"])
async def test_overwrite(suffix: str, tmp_path: Path) -> None:
    """With `overwrite` the old file is there until the new one is complete."""
    target = tmp_path / f"t{suffix}"
    target.write_text("old")
    old = []
    async with Sandbox(tickets=300) as sandbox, sandbox.client() as client:
        await export_tickets(
            client, TicketQuery(), target, overwrite=True, on_progress=lambda progress: old.append(target.read_bytes())
        )
        assert is_of(target, await truth(client))
    assert {*old} == {b"old"}
    assert os.listdir(tmp_path) == [target.name]


@pytest.mark.parametrize("suffix", [".jsonl", ".xlsx"])
async def test_target_appears(suffix: str, tmp_path: Path) -> None:
    """A target that appears meanwhile is left as it is; with `overwrite` the same call replaces it, without reading."""
    target = tmp_path / f"t{suffix}"

    def told(progress: ExportProgress) -> None:
        target.write_text("somebody else's")

    async with Sandbox(tickets=120) as sandbox, sandbox.client() as client:
        with pytest.raises(ExportError, match="appeared meanwhile; the rows are kept"):
            await export_tickets(client, TicketQuery(), target, on_progress=told)
        assert target.read_text() == "somebody else's"
        requests = sandbox.requests
        report = await export_tickets(client, TicketQuery(), target, overwrite=True)
        assert sandbox.requests == requests
        assert is_of(target, await truth(client))
    assert report.resumed_rows == report.rows == 120
    assert os.listdir(tmp_path) == [target.name]


async def test_symbolic_link(tmp_path: Path) -> None:
    """The file that a link leads to is replaced, not the link."""
    folder = tmp_path / "far"
    folder.mkdir()
    (folder / "real.jsonl").write_text("old")
    (tmp_path / "t.jsonl").symlink_to(folder / "real.jsonl")
    async with Sandbox(tickets=20) as sandbox, sandbox.client() as client:
        await export_tickets(client, TicketQuery(), tmp_path / "t.jsonl", overwrite=True)
    assert (tmp_path / "t.jsonl").is_symlink()
    assert len((folder / "real.jsonl").read_bytes().splitlines()) == 20
    assert os.listdir(folder) == ["real.jsonl"]


@pytest.mark.parametrize("suffix", slow_after(1, [".jsonl", ".parquet"]))
async def test_strict(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `strict` an inexact result is an error with the report; the rows stay, and need not be read again."""
    target, query = tmp_path / f"t{suffix}", TicketQuery(status=TicketStatus.PENDING)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    async with Sandbox(tickets=1500) as sandbox, sandbox.client() as client:
        sandbox.faults = [Fault("bad_row", after=3, times=1)]
        options = ExportOptions(strict=True, on_bad_row="skip")
        for requests in (1, 0):
            before = sandbox.requests.total()
            with pytest.raises(InexactExportError, match=r"not exact: .* were skipped; .* resume=False") as caught:
                await export_tickets(client, query, target, **options)
            assert (sandbox.requests.total() > before) == bool(requests)
            assert caught.value.report is not None
            assert not caught.value.report.exact
            assert sorted(os.listdir(tmp_path)) == [f"{target.name}.manifest", f"{target.name}.part"]
        requests = sandbox.requests.total()
        with monkeypatch.context() as patched:
            # Cut short once the file has its name.
            patched.setattr("workorder_async.exports.parts.Manifest.remove", die)
            with pytest.raises(KeyboardInterrupt):
                await export_tickets(client, query, target, on_bad_row="skip")
        with pytest.raises(InexactExportError, match=re.escape(f"the rows stay in '{target}'")):
            await export_tickets(client, query, target, **options)
        report = await export_tickets(client, query, target, on_bad_row="skip")
        assert sandbox.requests.total() == requests
        assert len(await truth(client, query)) - report.rows == report.skipped_rows == 1
        assert caught.value.report is not None
        assert caught.value.report.rows == report.resumed_rows == report.rows
        again = await export_tickets(client, query, target, strict=True, overwrite=True)
        assert again.exact
        assert is_of(target, await truth(client, query))
    assert os.listdir(tmp_path) == [target.name]


async def test_progress(tmp_path: Path) -> None:
    """How far it is, is told at most once a page, and never goes back; the total is that of the list."""
    told: list[ExportProgress] = []
    async with Sandbox(tickets=1000) as sandbox, sandbox.client() as client:
        await export_tickets(client, TicketQuery(), tmp_path / "t.xlsx", on_progress=told.append)
        pages = sandbox.requests["list_tickets"]
    reading = [one for one in told if one.phase == "reading"]
    assert 10 <= len(reading) <= pages + 1
    assert [one.rows for one in reading] == sorted(one.rows for one in reading)
    assert (told[-1].phase, told[-1].rows) == ("converting", 1000)
    assert {(one.total, one.resumed_rows) for one in told} == {(1000, 0)}


async def test_progress_of_several(tmp_path: Path) -> None:
    """The total is that of the queries that have begun, and never below the rows that are there."""
    told: list[ExportProgress] = []
    queries = [TicketQuery(status=status) for status in (1, 2, 3)]
    async with Sandbox(tickets=900) as sandbox, sandbox.client() as client:
        counts = [len(await truth(client, query)) for query in queries]
        await export_tickets(client, queries, tmp_path / "t.jsonl", on_progress=told.append)
    assert sorted({one.total for one in told}) == [sum(counts[: end + 1]) for end in range(3)]
    assert all(one.rows <= one.total for one in told)


async def test_gone(tmp_path: Path) -> None:
    """A ticket that is gone when its record is asked for is left out and told, and the result is not exact."""
    target = tmp_path / "t.jsonl"
    async with Sandbox(tickets=45) as sandbox, sandbox.client(max_in_flight=1) as client:
        deleted: list[int] = []

        async def delete() -> None:
            deleted.extend((await sandbox.change(delete=3)).deleted)

        wanted = [ticket.id for ticket in await truth(client)]
        async with _hooked(client, delete):
            report = await export_tickets(client, TicketQuery(), target, detail=True)
        assert sandbox.requests["get_ticket_detail"] == 45
    assert len(deleted) == 3
    assert sorted(report.gone) == sorted(deleted)
    assert (report.rows, report.gone_tickets, report.refused_tickets, report.exact) == (42, 3, 0, False)
    said = "3 tickets were gone when their full records were asked for, as "
    assert report.reason == said + ", ".join(map(str, report.gone))
    assert [row["id"] for row in read_back(target)] == [id for id in wanted if id not in deleted]


class _hooked:  # noqa: N801 - used like a function
    """Do something just before the first full record is asked for."""

    def __init__(self, client: WorkorderClient, hook: Any) -> None:
        self._client = client
        self._hook = hook

    async def __aenter__(self) -> None:
        read = self._client.get_ticket_detail

        async def first(id: int, **options: Any) -> Any:
            hook, self._hook = self._hook, None
            if hook is not None:
                await hook()
            return await read(id, **options)

        self._client.get_ticket_detail = first  # type: ignore[method-assign]

    async def __aexit__(self, *_: object) -> None:
        del self._client.get_ticket_detail


@pytest.mark.parametrize(
    ("kind", "times", "left_out"),
    slow_after(2, [("errno", 9, 3), ("500", 12, 6), ("errno", 6, 0), ("errno", 12, 6), ("403", 12, 6)]),
)
async def test_refused_once_or_twice(
    kind: Literal["errno", "403", "500"], times: int, left_out: int, tmp_path: Path
) -> None:
    """A ticket that is refused is asked for once more at the end of its page; one refused again is left out and told.

    The first page shows 47 tickets, the last six of which are refused.
    """
    faults = [Fault(kind, operation="get_ticket_detail", after=41, times=times, errno=-1)]
    once = RetryPolicy(attempts=1)
    async with Sandbox(tickets=100, faults=faults) as sandbox, sandbox.client(max_in_flight=1, retry=once) as client:
        report = await export_tickets(client, TicketQuery(), tmp_path / "t.jsonl", detail=True, concurrency=1)
        # After refusals that may be of all tickets a record that was read is asked for again.
        assert sandbox.requests["get_ticket_detail"] == 106 + (kind != "errno")
        ids = [ticket.id for ticket in await truth(client)]
    refused = ids[41 : 41 + left_out]
    assert [row["id"] for row in read_back(tmp_path / "t.jsonl")] == [id for id in ids if id not in refused]
    assert (list(report.refused), report.refused_tickets, report.gone) == (refused, left_out, ())
    assert report.exact is not bool(refused)
    if refused:
        assert "errno -1 " in report.refusal
        said = f"{left_out} tickets were refused when their full records were asked for, as "
        examples = ", ".join(map(str, refused[:5]))
        assert report.reason == f"{said}{examples}, the first with {report.refusal}"


@pytest.mark.parametrize(("after", "times", "rows"), slow_after(2, [(10, 15, 100), (10, 16, 0), (32, 30, 85)]))
async def test_refused_in_a_row(after: int, times: int, rows: int, tmp_path: Path) -> None:
    """Fifteen tickets in a row may be refused, also twice; sixteen are a refusal of all tickets, and end the export."""
    faults = [Fault("errno", operation="get_ticket_detail", after=after, times=times, errno=50_000)]
    async with Sandbox(tickets=100, faults=faults) as sandbox, sandbox.client(max_in_flight=1) as client:
        if rows:
            report = await export_tickets(client, TicketQuery(), tmp_path / "t.jsonl", detail=True, concurrency=1)
            assert (report.rows, report.refused_tickets) == (rows, 100 - rows)
        else:
            with pytest.raises(Exception, match="50000") as caught:
                await export_tickets(client, TicketQuery(), tmp_path / "t.jsonl", detail=True, concurrency=1)
            assert type(caught.value).__name__ == "ApiError"


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (Fault("html", after=9), ResponseError, r"ticket \d+: HTTP 502"),
        (Fault("403", after=9), AuthenticationError, r"ticket \d+: HTTP 403"),
        (Fault("reset", after=9), NoAnswerError, r"ticket \d+: "),
        (Fault("403", errno=5, times=22), AuthenticationError, r"ticket \d+: errno 5"),
        (Fault("500", errno=5, times=22), ResponseError, r"ticket \d+: HTTP 500 with errno 5"),
        (Fault("500", errno=5, after=2, times=18), None, ""),
        (Fault("500", errno=5, after=2, times=19), ResponseError, r"ticket \d+: HTTP 500 with errno 5"),
        (
            Fault("403", errno=5),
            AuthenticationError,
            r"16 tickets in a row .* the first of them \d+: errno 5",
        ),
    ],
)
async def test_an_error_of_all_tickets(fault: Fault, kind: type[Exception] | None, said: str, tmp_path: Path) -> None:
    """It ends the export and names a ticket: a page without an errno, no answer, or refusals before any record."""
    count = 24 if fault.times is None else 11
    faults, once = [evolve(fault, operation="get_ticket_detail")], RetryPolicy(attempts=1)
    async with Sandbox(tickets=count, faults=faults) as sandbox, sandbox.client(retry=once) as client:
        exporting = export_tickets(client, TicketQuery(), tmp_path / "t.jsonl", detail=True, concurrency=1)
        if kind is None:
            assert (await exporting).refused_tickets == 9
        else:
            with pytest.raises(kind, match=said):
                await exporting


async def test_refused_where_an_export_goes_on(tmp_path: Path) -> None:
    """The only ticket that is left is left out and told, if a record of the earlier call is answered."""
    target = tmp_path / "t.jsonl"
    async with Sandbox(tickets=48) as sandbox, sandbox.client() as client:
        sandbox.faults = [Fault("403", operation="get_ticket_detail", after=47)]
        with pytest.raises(AuthenticationError):
            await export_tickets(client, TicketQuery(), target, detail=True)
        sandbox.faults = [Fault("403", operation="get_ticket_detail", errno=5)]
        with pytest.raises(AuthenticationError):
            await export_tickets(client, TicketQuery(), target, detail=True)
        sandbox.faults = [Fault("403", operation="get_ticket_detail", errno=5, times=2)]
        report = await export_tickets(client, TicketQuery(), target, detail=True)
    assert (report.rows, report.resumed_rows, report.refused_tickets, report.refusal[:7]) == (47, 47, 1, "errno 5")


async def test_texts_are_counted(tmp_path: Path) -> None:
    """What was changed in texts is counted."""
    async with Sandbox(tickets=300) as sandbox, sandbox.client() as client:
        plain = await export_tickets(client, TicketQuery(), tmp_path / "t.csv")
        assert plain.changes.defused == sum(
            str(cell)[:1] in "=+-@\t\r" and cell not in (None, "")
            for ticket in await truth(client)
            for cell in cells(ticket).values()
            if isinstance(cell, str)
        )
        loose = await export_tickets(client, TicketQuery(), tmp_path / "u.csv", csv_defuse=False, csv_bom=False)
    assert not loose.changes
    assert content(tmp_path / "t.csv")[:3] == b"\xef\xbb\xbf"  # type: ignore[index]
    assert content(tmp_path / "u.csv")[:2] == b"id"  # type: ignore[index]


@pytest.mark.parametrize("resume", [True, False])
async def test_nothing_durable(resume: bool, tmp_path: Path) -> None:
    """An export that ends before anything is durable leaves nothing."""
    async with Sandbox(tickets=5, faults=[Fault("401")]) as sandbox, sandbox.client() as client:
        with pytest.raises(AuthenticationError):
            await export_tickets(client, TicketQuery(), tmp_path / "t.jsonl", resume=resume)
    assert os.listdir(tmp_path) == []


async def test_bad_rows(tmp_path: Path) -> None:
    """A row that cannot be read ends the export, or is left out, named, and makes the result inexact."""
    target, faults = tmp_path / "t.jsonl", [Fault("bad_row", after=4, every=3)]
    async with Sandbox(tickets=1500, faults=faults) as sandbox, sandbox.client() as client:
        with pytest.raises(DecodeError, match=r"created_time is a list, expected seconds"):
            await export_tickets(client, TicketQuery(), target)
        report = await export_tickets(client, TicketQuery(), target, on_bad_row="skip")
        sandbox.faults = ()
        wanted = await truth(client)
    assert not report.exact
    assert "could not be read, and were skipped" in report.reason
    assert report.skipped_rows == len(report.skipped) > 1
    ids = [row["id"] for row in read_back(target)]
    missing = {one.id for one in wanted} - {*ids}
    # A row that is bad in one answer may be good in its neighbour.
    assert missing <= {row.id for row in report.skipped}
    assert missing
    assert ids == [one.id for one in wanted if one.id not in missing]


async def test_attachments(tmp_path: Path) -> None:
    """With a folder for them, the attachments of all tickets are there, and counted; the second time they are kept."""
    target, folder = tmp_path / "t.jsonl", tmp_path / "files"
    async with Sandbox(tickets=0) as sandbox, sandbox.client() as client:
        ids = []
        for text in (b"one", b"two"):
            uploaded = await client.upload_file(text, file_name="a.log")
            ids.append(await client.create_ticket(evolve(creation(), attachment=[uploaded])))
        report = await export_tickets(client, TicketQuery(), target, attachments=folder)
        again = await export_tickets(client, TicketQuery(), target, attachments=str(folder), overwrite=True)
    assert [(folder / str(id) / "a.log").read_bytes() for id in ids] == [b"one", b"two"]
    assert report.attachments == AttachmentCounts(fetched=2, bytes=6)
    assert again.attachments == AttachmentCounts(kept=2)
    assert [row["id"] for row in read_back(target)] == ids[::-1]
    assert "attachment" in read_back(target)[0]


@pytest.mark.slow
async def test_a_person_goes_before_full_records(tmp_path: Path) -> None:
    """A single call waits for the next free slot, not behind the full records that an export asks for."""
    async with Sandbox(tickets=60, latency=0.05) as sandbox, sandbox.client(max_in_flight=2) as client:
        id = (await client.list_tickets()).tickets[0].id
        exporting = asyncio.create_task(
            export_tickets(client, TicketQuery(), tmp_path / "t.jsonl", detail=True, concurrency=16)
        )
        while sandbox.requests["get_ticket_detail"] < 4:
            await client.get_ticket(id)
        before = sandbox.requests["get_ticket_detail"]
        await client.get_ticket(id)
        assert sandbox.requests["get_ticket_detail"] - before <= 5
        assert (await exporting).rows == 60


async def test_attachments_come_by_the_clients_proxy(tmp_path: Path) -> None:
    """The files of tickets are asked for by the way that the client takes."""
    asked: list[bytes] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split(b"\r\n")[0])
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        body = await reader.readexactly(int(length[1])) if length else b""
        there, back = await asyncio.open_connection("127.0.0.1", urlsplit(sandbox.url).port)
        plain = re.sub(rb"http://[^/]*", b"", head, count=1)
        back.write(plain.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + body)
        writer.write(await there.read())
        for one in (back, writer):
            one.close()
            await one.wait_closed()

    async with Sandbox(tickets=0) as sandbox, sandbox.client() as client:
        attachment = await client.upload_file(b"abc", file_name="a.png")
        await client.create_ticket(evolve(creation(), attachment=[attachment]))
        server = await asyncio.start_server(relay, "127.0.0.1", 0)
        async with server:
            proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with sandbox.client(proxy=proxy) as behind:
                report = await export_tickets(
                    behind, TicketQuery(), tmp_path / "t.jsonl", attachments=tmp_path / "files"
                )
    assert report.attachments.fetched == 1
    assert any(line.startswith(b"GET http://") and b"/workorder/api/" not in line for line in asked), asked

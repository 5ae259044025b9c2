"""cli/changing.py, closing.py, remarking.py, values.py: what create, comment, reject, close, upload send and print."""

import asyncio
import io
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from tests.support.cli_runs import SECRET, Workorder, elsewhere, runner, start
from tests.support.raw_server import http, serving
from workorder_async.cli.terminal.running import each
from workorder_async.cli.values import customer_account
from workorder_async.errors import ConfigError
from workorder_async.models import JSON, CustomerInfo
from workorder_async.sandbox import Sandbox

REQUIRED = {
    "--title": "实例无法启动",
    "--detail": "报错见附件",
    "--reported-time": "2024-01-31T09:30",
    "--type": "troubleshooting",
    "--priority": "紧急",
    "--customer-organization-id": "5001",
    "--customer-organization-name": "北京晨曦网络科技有限公司",
    "--repository-product-id": "36",
    "--creator-id": "210002",
    "--creator-name": "姜程",
}
CREATE = ["create", *(word for pair in REQUIRED.items() for word in pair)]
CLOSER = ["--closer-id", "40084", "--closer-name", "姜程"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Run one sandbox for the tests of this file; each works on tickets that it creates."""
    with elsewhere(Sandbox(0, app_secret=SECRET)) as sandbox:
        yield sandbox


@pytest.fixture
def workorder(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Workorder:
    """Run command lines in this process, against the sandbox."""
    return runner(sandbox.environment, monkeypatch, capsys)


@pytest.fixture
def new_ticket(workorder: Workorder) -> Callable[[], int]:
    """Return what creates a ticket of 姜程, by the command line."""
    return lambda: int(workorder(*CREATE, "--json").rows[0]["id"])


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Return what puts bytes on stdin."""
    return lambda content: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def sent(sandbox: Sandbox, operation: str, id: int) -> dict[str, JSON]:
    """Return the body of the last change of this kind to this ticket, as the sandbox took it."""
    return dict([one for one in sandbox.applied if one.operation == operation and one.ticket_id == id][-1].request)


def test_create_sends_the_required_fields(workorder: Workorder, sandbox: Sandbox) -> None:
    """`create` sends the fields of its options, no others, and prints the new number."""
    ran = workorder(*CREATE)
    id, said = ran.out.split()
    assert (ran.code, said, ran.err) == (0, "created", "")
    assert sent(sandbox, "create_ticket", int(id)) == {
        "title": "实例无法启动",
        "detail": "报错见附件",
        "reported_time": 1706664600,
        "type": 1,
        "priority": 1,
        "customer_organization_id": 5001,
        "customer_organization_name": "北京晨曦网络科技有限公司",
        "repository_product_id": 36,
        "creator_id": 210002,
        "creator_name": "姜程",
    }


def test_create_sends_every_field(
    workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[[], int], tmp_path: Path
) -> None:
    """Every further field has an option; files are uploaded first."""
    other = new_ticket()
    for name in ("trace.txt", "screen.png"):
        (tmp_path / name).write_bytes(name.encode())
    ran = workorder(
        *(*CREATE, "--json", "--whether-product-group-id", "--no-need-process", "--use-relate-status"),
        *("--sub-type", 11, "--second-subtype", 112, "--tag", 1, "--tag", 2, "--relate-to-ticket-id", other),
        *("--customer-info", 73001, "--customer-info", '{"user_id": 73002, "level": 3}'),
        *("--attach", tmp_path / "trace.txt", "--attach", tmp_path / "screen.png", "--author", 99),
    )
    assert ran.code == 0
    assert ran.rows == [{"id": other + 1, "outcome": "created"}]
    body = sent(sandbox, "create_ticket", other + 1)
    files = body.pop("attachment")
    assert isinstance(files, list)
    assert [(file["file_name"], file["file_type"], file["author"]) for file in files if isinstance(file, dict)] == [
        ("trace.txt", "text/plain", 99),
        ("screen.png", "image/png", 99),
    ]
    assert {name: body[name] for name in body.keys() - {option[2:].replace("-", "_") for option in REQUIRED}} == {
        "whether_product_group_id": True,
        "need_process": False,
        "use_relate_status": True,
        "sub_type": 11,
        "second_subtype": 112,
        "tags": [1, 2],
        "relate_to_ticket_id": other,
        "customer_info": [{"user_id": 73001}, {"user_id": 73002, "level": 3}],
    }


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--title", " ", "--title is empty"),
        ("--detail", "\ud800", "--detail holds a lone surrogate"),
        ("--type", "urgent", "1 troubleshooting 问题排查"),
        ("--priority", "0", "1 urgent 紧急"),
        ("--reported-time", "yesterday", "--reported-time 'yesterday' is no time"),
        ("--customer-info", "{}", "--customer-info [0] has no user_id"),
        ("--customer-info", "me", "--customer-info 'me' is neither a user_id nor a JSON object"),
        ("--tag", "0", "--tags is 0"),
    ],
)
def test_a_value_that_cannot_be_is_refused_before_any_upload(
    workorder: Workorder, sandbox: Sandbox, tmp_path: Path, option: str, value: str, said: str
) -> None:
    """A wrong field exits with 2, names its option, and nothing was uploaded or created."""
    (tmp_path / "trace.txt").write_text("x")
    before = sandbox.requests
    words = dict(REQUIRED) | {option: value}
    ran = workorder("create", *(word for pair in words.items() for word in pair), "--attach", tmp_path / "trace.txt")
    assert ran.code == 2
    assert said in ran.err
    assert sandbox.requests == before


@pytest.mark.parametrize("text", ["7", '{"user_id": 7}', '{"user_id": "7"}', "[7]", "x", "null"])
def test_a_customer_is_a_number_or_an_object(text: str) -> None:
    """An account is its user_id or a JSON object, and anything else is refused with an example."""
    if "7" in text and text != "[7]":
        assert customer_account(text) == CustomerInfo(user_id=7)
    else:
        with pytest.raises(ConfigError, match="level"):
            customer_account(text)


@pytest.mark.parametrize(("command", "done"), [("comment", "commented"), ("reject", "rejected")])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_remark_is_sent(
    workorder: Workorder,
    sandbox: Sandbox,
    new_ticket: Callable[[], int],
    stdin: Callable[[bytes], None],
    command: str,
    done: str,
    as_json: bool,
) -> None:
    """`comment` and `reject` send the text of the option or of stdin, and the product line."""
    id = new_ticket()
    stdin("第一行\n第二行\n".encode())
    text = ["--detail", "-"] if as_json else ["--detail=已处理"]
    ran = workorder(command, id, *text, "--product-group-id", 36, *(["--json"] if as_json else []))
    assert ran.code == 0
    if as_json:
        assert [(row["id"], row["outcome"]) for row in ran.rows] == [(id, "done")]
    else:
        assert ran.out == f"{id} {done}\n"
    assert sent(sandbox, f"{command}_ticket", id) == {
        "id": id,
        "detail": "第一行\n第二行" if as_json else "已处理",
        "productGroupId": 36,
    }


def test_a_rejection_needs_no_reason(workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[[], int]) -> None:
    """`reject ID` alone sends the id alone."""
    id = new_ticket()
    assert workorder("reject", id).code == 0
    assert sent(sandbox, "reject_ticket", id) == {"id": id}


def test_stdin_must_be_utf_8(workorder: Workorder, stdin: Callable[[bytes], None]) -> None:
    """Bytes of another encoding on stdin are refused, not guessed."""
    stdin("工单".encode("gbk"))
    ran = workorder("comment", 7, "--detail", "-")
    assert (ran.code, ran.out) == (2, "")
    assert "stdin is not UTF-8" in ran.err


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
    assert (ran.code, ran.err) == (0, "")
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


@pytest.mark.parametrize("as_json", [False, True])
def test_an_unknown_outcome_goes_before_a_failure(workorder: Workorder, as_json: bool) -> None:
    """Where the outcome of one close is unknown and later ones fail, the exit code is 3."""
    refused = http(orjson.dumps({"errno": 23000, "errmsg": "工单状态不允许关闭", "request_id": "r-1"}))
    with elsewhere(serving(_hang_up, refused)) as wire:
        ran = workorder("close", *range(1, 41), *CLOSER, "--base-url", wire.url, *(["--json"] if as_json else []))
    assert ran.code == 3
    if as_json:
        assert sorted(row["outcome"] for row in ran.rows) == ["rejected"] * 39 + ["unknown"]
        assert "errno" not in next(row for row in ran.rows if row["outcome"] == "unknown")
    else:
        assert ran.err.count("workorder: ticket ") == 40
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
    assert "'a.txt'; add --author" in refused.err


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
    assert (child.returncode, out) == (130, b"")
    assert b"workorder: cut short; not known to be closed: 7, 8\n" in err
    assert b"\n2 unknown in " in err
    assert err.endswith(b"workorder: interrupted\n")


def test_upload_prints_what_a_ticket_needs(workorder: Workorder, tmp_path: Path) -> None:
    """`upload` prints the five fields of the attachment, also of an empty file."""
    path = tmp_path / "empty.log"
    path.write_bytes(b"")
    [attachment] = workorder("upload", path, "--json").rows
    assert attachment.keys() == {"file_name", "file_path", "file_size", "file_type", "author"}
    assert (attachment["file_name"], attachment["file_size"], attachment["author"]) == ("empty.log", 0, 40084)
    lines = [tuple(line.split(maxsplit=1)) for line in workorder("upload", path).out.splitlines()]
    assert ("file_size", "0 bytes") in lines
    assert ("file_name", "empty.log") in lines


async def test_no_more_than_so_many_at_once() -> None:
    """`each` keeps to its bound, reaches it, and does everything once."""
    running, most, done = 0, 0, []

    async def act(item: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        done.append(item)

    await each(range(50), act, at_once=4)
    assert (most, sorted(done)) == (4, list(range(50)))


async def test_the_first_failure_of_many_comes_out_as_itself() -> None:
    """`each` raises what one item raised, and cancels the others."""

    async def act(item: int) -> None:
        if item:
            await asyncio.Event().wait()
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await each([1, 0], act)


@pytest.mark.parametrize(("app_id", "error"), [("sandbox-app", "NotFoundError"), ("another-app", "ApiError")])
def test_only_a_sandboxs_errnos_are_known(workorder: Workorder, app_id: str, error: str) -> None:
    """What the sandbox invented has a meaning for its own AppId alone; of a real platform it would be a guess."""
    refused = http(orjson.dumps({"errno": 90005, "errmsg": "no", "request_id": "r-1"}))
    with elsewhere(serving(refused)) as wire:
        ran = workorder("comment", 7, "--detail", "x", "--json", "--base-url", wire.url, "--app-id", app_id)
    assert (ran.code, ran.rows[0]["error"], ran.rows[0]["errno"]) == (1, error, 90005)


def test_the_sandboxs_app_id_is_the_one_that_is_known(sandbox: Sandbox) -> None:
    """The AppId that `workorder sandbox` prints is the one by which the command line knows it."""
    assert sandbox.environment["WORKORDER_APP_ID"] == "sandbox-app"

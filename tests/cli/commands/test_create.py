"""`workorder create`: what it sends and prints, and what it refuses before anything is uploaded."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from tests.support.cli_changes import CREATE, REQUIRED, sent
from tests.support.cli_runs import Workorder, in_child
from workorder_async.cli.commands.create import _part
from workorder_async.document import JSON, CustomerInfo
from workorder_async.errors import ConfigError
from workorder_async.sandbox import Sandbox


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
        ("--reported-time", "tomorrow", "--reported-time 'tomorrow' is no time"),
        ("--reported-time", "2099-01-01", "--reported-time '2099-01-01' has not come yet"),
        ("--customer-info", "{}", "--customer-info [0].user_id is 0"),
        ("--customer-info", "me", '--customer-info must be a user_id or a JSON object such as \'{"user_id"'),
        ("--tag", "0", "--tag is 0"),
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


def _write(path: Path, **fields: object) -> Path:
    path.write_bytes(orjson.dumps(fields))
    return path


FIELDS = {option[2:].replace("-", "_"): value for option, value in REQUIRED.items()} | {
    "customer_organization_id": 5001,
    "repository_product_id": 36,
    "creator_id": 210002,
}


def test_a_ticket_comes_from_a_file(workorder: Workorder, sandbox: Sandbox, tmp_path: Path) -> None:
    """`--from-json` takes the fields as an object, sends what options would send, and files that were uploaded."""
    (tmp_path / "trace.txt").write_text("x")
    [uploaded] = workorder("upload", tmp_path / "trace.txt", "--json").rows
    more = {"tags": [1, 2], "customer_info": [73001, {"user_id": 73002, "level": 3}], "need_process": False}
    file = _write(tmp_path / "t.json", **FIELDS, **more, sub_type=None, attachment=[uploaded])
    [made] = workorder("create", "--from-json", file, "--json").rows
    [by_options] = workorder(*CREATE, "--json").rows
    body = sent(sandbox, "create_ticket", made["id"])
    assert body.items() >= sent(sandbox, "create_ticket", by_options["id"]).items()
    assert (body["tags"], body["need_process"]) == ([1, 2], False)
    assert body["customer_info"] == [{"user_id": 73001}, {"user_id": 73002, "level": 3}]
    assert body["attachment"] == [uploaded]
    assert "sub_type" not in body


def test_an_option_goes_before_its_field(
    workorder: Workorder, sandbox: Sandbox, stdin: Callable[[bytes], None]
) -> None:
    """What is written on the command line wins over the object, which may come from stdin."""
    stdin(orjson.dumps({**FIELDS, "type": 2, "priority": "紧急"}))
    [made] = workorder("create", "--from-json", "-", "--title", "另一个标题", "--type", "consultation", "--json").rows
    body = sent(sandbox, "create_ticket", made["id"])
    assert (body["title"], body["type"], body["priority"]) == ("另一个标题", 3, 1)


def test_the_reported_time_is_now_where_none_is_said(workorder: Workorder, sandbox: Sandbox, tmp_path: Path) -> None:
    """Neither an option nor a field: the customer calls now."""
    fields = {name: value for name, value in FIELDS.items() if name != "reported_time"}
    [made] = workorder("create", "--from-json", _write(tmp_path / "t.json", **fields), "--json").rows
    reported = sent(sandbox, "create_ticket", made["id"])["reported_time"]
    assert isinstance(reported, int)
    assert abs(reported - time.time()) < 60


def test_what_is_missing_is_named_all_at_once(workorder: Workorder, sandbox: Sandbox, tmp_path: Path) -> None:
    """One error names every option that is missing, in the order of the help."""
    before = sandbox.requests
    nothing, some = workorder("create"), workorder("create", "--title", "x", "--creator-id", 1, "--type", 1)
    file = workorder("create", "--from-json", _write(tmp_path / "t.json", title="x", priority=None))
    for ran in (nothing, some, file):
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert sandbox.requests == before
    everything = [name for name in REQUIRED if name != "--reported-time"]
    assert f"missing: {', '.join(everything)}; " in nothing.err
    left = [name for name in everything if name not in ("--title", "--creator-id", "--type")]
    assert f"missing: {', '.join(left)}; " in some.err
    assert "missing: --detail, --type, --priority, " in file.err


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"titel": "x", "nonsense": 1}, "a ticket has no field 'titel'; did you mean title?"),
        ({"title": 5}, "title in --from-json FILE must be text, not 5"),
        ({"title": " "}, "title in --from-json FILE is empty"),
        ({"reported_time": "tomorrow"}, "reported_time in --from-json FILE 'tomorrow' is no time"),
        ({"reported_time": "2099-01-01"}, "reported_time in --from-json FILE '2099-01-01' has not come yet"),
        (
            {"reported_time": 4070880000},
            "reported_time in --from-json FILE '4070880000' is read as seconds since 1970, and is no time",
        ),
        ({"reported_time": True}, "reported_time in --from-json FILE 'true' is no time"),
        ({"type": "bug"}, "type in --from-json FILE: 'bug' is not known; use one of: 1 troubleshooting 问题排查"),
        ({"priority": []}, "priority in --from-json FILE: '[]' is not known; use one of: 1 urgent 紧急"),
        ({"creator_id": "7"}, "creator_id in --from-json FILE is '7'; it must be a whole number"),
        ({"tags": ["7"]}, "tags in --from-json FILE is '7'; it must be a whole number"),
        ({"tags": 3}, "tags in --from-json FILE must be a list, not 3"),
        ({"customer_info": {}}, "customer_info in --from-json FILE must be a list"),
        ({"customer_info": ["me"]}, "customer_info in --from-json FILE must be a user_id or a JSON object"),
        (
            {"customer_info": [{"user_id": 7, "levle": 3}]},
            "customer_info in --from-json FILE has no field 'levle'; did you mean level?",
        ),
        (
            {"attachment": [{"name": "a"}]},
            "attachment in --from-json FILE has no field 'name'; did you mean file_name?",
        ),
        ({"attachment": [7]}, "attachment in --from-json FILE must hold the output of `workorder upload --json`"),
        ({"attachment": [{}]}, "attachment in --from-json FILE [0].file_name is empty"),
        ({"need_process": "yes"}, "need_process in --from-json FILE is 'yes'; it must be true or false"),
    ],
)
def test_a_field_that_cannot_be_is_named(
    workorder: Workorder, sandbox: Sandbox, tmp_path: Path, fields: dict[str, object], said: str
) -> None:
    """A wrong field of the object is named by its own name and its file; nothing is sent."""
    before = sandbox.requests
    file = _write(tmp_path / "t.json", **{**FIELDS, **fields})
    ran = workorder("create", "--from-json", file)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert said.replace("FILE", str(file)) in ran.err
    assert sandbox.requests == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", " is no JSON: "),
        (b"[]", " is no object; write one ticket"),
        (b"\xff", " is not UTF-8 (byte 0); convert it"),
        (None, "No such"),
    ],
)
def test_a_file_that_is_no_ticket_is_told(
    workorder: Workorder, tmp_path: Path, content: bytes | None, said: str
) -> None:
    """What is no JSON, no object or no file is told in one sentence."""
    if content is not None:
        (tmp_path / "t.json").write_bytes(content)
    ran = workorder("create", "--from-json", tmp_path / "t.json")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith(f"workorder: --from-json {tmp_path / 't.json'}")
    assert said in ran.err


def test_there_is_one_stdin(workorder: Workorder) -> None:
    """The object and the text cannot both come from stdin."""
    assert "cannot go together" in workorder("create", "--from-json", "-", "--detail", "-").err


@pytest.mark.parametrize("value", [7, "7", {"user_id": 7}, {"user_id": "7"}, '{"user_id": 7}'])
def test_a_customer_is_a_number_or_an_object(value: JSON) -> None:
    """An account is its user_id or an object, also as text of an option."""
    assert _part("customer_info", value, "--customer-info") == CustomerInfo(user_id=7)


@pytest.mark.parametrize("value", ["[7]", "x", "null", [7], None, True])
def test_another_customer_is_refused(value: JSON) -> None:
    """Anything else is refused with an example."""
    with pytest.raises(ConfigError, match="level"):
        _part("customer_info", value, "--customer-info")


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the device that is always full is Linux's")
def test_a_full_disk_hides_no_number(sandbox: Sandbox) -> None:
    """Where stdout does not take the number, stderr tells it: else the ticket would be created once more."""
    with Path("/dev/full").open("wb") as full:
        ran = in_child(sandbox.environment, *CREATE, stdout=full)
    id = [one.ticket_id for one in sandbox.applied if one.operation == "create_ticket"][-1]
    assert ran.code == 1
    assert ran.err.splitlines() == [f"workorder: {id} created", "workorder: No space left on device: stdout"]

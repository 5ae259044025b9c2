"""`workorder create`: what it sends and prints, and what it refuses before anything is uploaded."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cli_changes import CREATE, REQUIRED, sent
from tests.support.cli_runs import Workorder
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

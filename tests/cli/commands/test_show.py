"""`workorder show`: what it prints."""

from datetime import datetime

import pytest

from tests.support.cli_runs import Workorder
from workorder_async import CHINA_STANDARD_TIME, TicketDetail
from workorder_async.cli.commands.list import print_detail
from workorder_async.document import JSON

TICKETS = 250


def test_show_tells_everything(workorder: Workorder) -> None:
    """`show` prints names and codes, times with their zone, product lines, history and form; what is 0 is left out."""
    [wanted] = workorder("list", "--status", "closed", "--limit", 1, "--json").rows
    [detail] = workorder("show", wanted["id"], "--json").rows
    ran = workorder("show", wanted["id"])
    lines = {tuple(line.split(maxsplit=1)) for line in ran.out.splitlines()}
    assert f"#{wanted['id']} {wanted['title']}" in ran.out
    assert ("status", "已关闭 (3)") in lines
    assert ("creator_name", detail["creator_name"]) in lines
    closed = datetime.fromtimestamp(detail["closed_time"], CHINA_STANDARD_TIME)
    assert ("closed_time", closed.isoformat(" ")) in lines
    assert ("total_duration", f"{detail['total_duration']:,} s") in lines
    assert f"product line {detail['product_group_name']} ({detail['product_group_id']})" in ran.out
    for step in detail["assigns"][0]["history"]:
        assert f"action {step['action']} by {step['creator_name']} ({step['creator_id']})" in ran.out
    for name, value in detail["form_values"].items():
        assert ("form:", f"{name:<{lines_width(name)}} {value}") in lines
    assert "suspended_time" not in ran.out


def lines_width(name: str) -> int:
    """Return how many characters fill a form field's label: 22 cells, of which a Chinese character takes two."""
    return 22 - sum(ord(character) > 0x2E80 for character in name)


def test_a_long_name_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """Names of a form are the platform's: of two that begin alike each can be told."""
    form: dict[str, JSON] = {"受影响实例所在的可用区编号": "7", "受影响实例所在的可用区名称": "华北一"}
    print_detail(TicketDetail(1, form_values=form))
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("form")] == [
        f"form: {name} {value}" for name, value in form.items()
    ]


def test_json_is_what_the_client_reads(workorder: Workorder) -> None:
    """`show --json` is one object with the wire's names, codes and whole seconds."""
    [wanted] = workorder("list", "--limit", 1, "--json").rows
    [detail] = workorder("show", wanted["id"], "--json").rows
    for name in ("id", "title", "detail", "status", "type", "priority", "created_time", "creator_name"):
        assert detail[name] == wanted[name]

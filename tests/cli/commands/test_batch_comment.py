"""`workorder comment` and `reject`: what they send and print."""

from collections.abc import Callable

import pytest

from tests.support.cli_changes import sent
from tests.support.cli_runs import Workorder
from tests.support.slow import slow_after
from workorder_async.sandbox import Sandbox


@pytest.mark.parametrize(("command", "done"), [("comment", "commented"), ("reject", "rejected")])
@pytest.mark.parametrize("as_json", slow_after(1, [False, True]))
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
    ran = workorder(command, id, *text, "--as-product-group", 36, *(["--json"] if as_json else []))
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


def test_stdin_must_be_utf_8(workorder: Workorder, stdin: Callable[[bytes], None]) -> None:
    """Bytes of another encoding on stdin are refused, not guessed."""
    stdin("工单".encode("gbk"))
    ran = workorder("comment", 7, "--detail", "-")
    assert (ran.code, ran.out) == (2, "")
    assert "stdin is not UTF-8" in ran.err


def test_a_rejection_needs_no_reason(workorder: Workorder, sandbox: Sandbox, new_ticket: Callable[[], int]) -> None:
    """`reject ID` alone sends the id alone."""
    id = new_ticket()
    assert workorder("reject", id).code == 0
    assert sent(sandbox, "reject_ticket", id) == {"id": id}

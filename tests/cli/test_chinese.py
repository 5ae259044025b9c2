"""The command line's last line for people who speak Chinese."""

import re

import pytest

from tests.support.cli_runs import Workorder

TICKETS = 1


def plain(text: str) -> str:
    """Return a text without the id of its request."""
    return re.sub("request_id [0-9a-f]+", "", text)


@pytest.mark.parametrize(
    ("words", "code", "last"),
    [
        (("show", "99999"), 1, "workorder: 读取工单：没有找到这个工单，这次没有改动任何内容。"),
        (("show", "0"), 2, "workorder: 读取工单：填写的内容或程序的设置不对，这次没有改动任何内容。"),
        (
            ("comment", "99999", "--detail", "x"),
            1,
            "workorder: 评论工单 99999：没有找到这个工单，这次没有改动任何内容。",
        ),
        (("shwo",), 2, "workorder: 填写的内容或程序的设置不对，这次没有改动任何内容。"),
        pytest.param(
            ("list", "--base-url", "http://127.0.0.1:9"),
            1,
            "workorder: 查询工单：没能把请求送到工单平台，",
            marks=pytest.mark.slow,
        ),
        (("export", "tickets"), 2, "workorder: 填写的内容或程序的设置不对，这次没有改动任何内容。"),
        (("journal", "show", "/dev/null"), 2, "workorder: 程序的操作记录无法使用，"),
        (("upload", "/nowhere/trace.png"), 2, "workorder: 填写的内容或程序的设置不对，这次没有改动任何内容。"),
    ],
)
def test_errors_end_in_chinese(
    workorder: Workorder, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, last: str
) -> None:
    """The last line of an error speaks Chinese where WORKORDER_LANG or the locale does, and all else stays."""
    english = workorder(*words)
    monkeypatch.delenv("WORKORDER_LANG")
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    chinese = workorder(*words)
    assert english.code == chinese.code == code
    *said, line = chinese.err.splitlines()
    assert [plain(one) for one in said] == [plain(one) for one in english.err.splitlines()]
    assert line.startswith(last)
    monkeypatch.setenv("WORKORDER_LANG", "en")
    assert plain(workorder(*words).err) == plain(english.err)


def test_success_is_silent(workorder: Workorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no error has no line more."""
    monkeypatch.setenv("WORKORDER_LANG", "zh")
    assert workorder("list").err == "1 of 1 tickets\n"

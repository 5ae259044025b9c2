"""cli/commands/export.py: what is said of an export while it runs, and at its end."""

from pathlib import Path
from typing import Any

import pytest

from workorder_async.cli.commands.export import Going, summarise
from workorder_async.cli.terminal import Bar
from workorder_async.exports import AttachmentCounts, ExportProgress, ExportReport, TextChanges
from workorder_async.walk_report import SkippedRow

_REPORT = ExportReport(
    target=Path("t.csv"),
    rows=60_000,
    bytes=1,
    requests=600,
    seconds=10.0,
    resumed_rows=35_000,
    changes=TextChanges(),
    skipped=(),
    skipped_rows=0,
    gone=(),
    gone_tickets=0,
    refused=(),
    refused_tickets=0,
    refusal="",
    attachments=AttachmentCounts(),
    read_from=0,
    read_until=0,
    exact=True,
    reason="neighbouring answers share a ticket at each of 599 edges",
)


def _progress(**given: Any) -> ExportProgress:
    """Return an export that goes on after 35,000 tickets."""
    fields: dict[str, Any] = {"phase": "reading", "rows": 40_000, "seconds": 2.0, **given}
    return ExportProgress(total=60_000, resumed_rows=35_000, **fields)


def _shown(monkeypatch: pytest.MonkeyPatch, *told: ExportProgress) -> list[tuple[int, int, str]]:
    shown: list[tuple[int, int, str]] = []
    monkeypatch.setattr(Bar, "__call__", lambda _, done, total, remark="": shown.append((done, total, remark)))
    going = Going(Bar("exporting"))
    for one in told:
        going(one)
    return shown


def test_a_bar_has_the_rate_of_this_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of an earlier command are no speed of this one; more rows than were expected are no more than all."""
    shown = _shown(
        monkeypatch,
        _progress(),
        _progress(phase="details", rows=61_000),
        _progress(phase="converting", rows=5),
    )
    assert shown == [
        (40_000, 60_000, "2,500/s"),
        (61_000, 61_000, "full records, 13,000/s"),
        (5, 60_000, "writing the file"),
    ]


def test_where_it_goes_on_is_said_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It says after how many tickets; the rate of the summary is that of the rows that this command read."""
    _shown(monkeypatch, _progress(), _progress())
    summarise(_REPORT)
    assert capsys.readouterr().err.splitlines() == [
        "going on after 35,000 tickets",
        "exported 60,000 tickets to t.csv in 10.0 s (2,500 tickets/s)",
        "exact: every ticket that matched is there once (neighbouring answers share a ticket at each of 599 edges)",
    ]


def test_what_is_not_as_it_came_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Changed texts, tickets that are left out, gone or refused, attachments, doubt: each is told with its number."""
    report = ExportReport(
        **{name: getattr(_REPORT, name) for name in ("bytes", "requests", "seconds")},
        target=Path("-"),
        rows=10,
        resumed_rows=0,
        read_from=0,
        read_until=0,
        changes=TextChanges(replaced=1, defused=2000, cut=3),
        skipped=(SkippedRow(7, "$.data", "a number", "a list"), SkippedRow(None, "$.id", "a number", "null")),
        skipped_rows=5,
        gone=tuple(range(1, 31)),
        gone_tickets=2030,
        refused=(31, 32),
        refused_tickets=2,
        refusal="errno -1 系统异常,请稍后重试",
        attachments=AttachmentCounts(fetched=4, bytes=5000, kept=1, failed=30, failures=("7/a.png: HTTP 404",) * 25),
        exact=False,
        reason="3 tickets have no created time",
    )
    summarise(report)
    first = ", ".join(map(str, range(1, 21)))
    assert capsys.readouterr().err.splitlines() == [
        "exported 10 tickets in 10.0 s (1 tickets/s)",
        "changed in 1 cells: half a surrogate pair became U+FFFD",
        "changed in 2,000 cells: a text that begins like a formula got an apostrophe in front",
        "changed in 3 cells: a text was cut to the 32,767 characters of a cell of Excel",
        "workorder: left out ticket 7: $.data is a list, not a number",
        "workorder: left out a ticket without a number: $.id is null, not a number",
        "... and 3 more",
        f"workorder: left out {first} and 2,010 more: gone when the full record was asked for",
        "workorder: left out 31, 32: refused when the full record was asked for, the first with errno -1 "
        "系统异常,请稍后重试",
        "attachments: 4 fetched (5,000 bytes), 1 there already, 30 not there",
        *["workorder: 7/a.png: HTTP 404"] * 20,
        "... and 10 more",
        "it may not be complete: 3 tickets have no created time",
    ]

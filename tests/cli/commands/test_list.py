"""`workorder list`: what it asks for and prints."""

from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.support.cli_runs import SECRET, Workorder, elsewhere, runner
from workorder_async import TicketStatus
from workorder_async.sandbox import Sandbox

TICKETS = 250


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Run one sandbox for the tests of this file; none of them changes a ticket."""
    with elsewhere(Sandbox(TICKETS, app_secret=SECRET)) as sandbox:
        yield sandbox


@pytest.mark.parametrize(
    ("limit", "shown"), [(0, 250), (1, 1), (20, 20), (100, 100), (101, 101), (240, 240), (999, 250)]
)
def test_a_limit_is_kept(workorder: Workorder, limit: int, shown: int) -> None:
    """`--limit` shows so many tickets, each once; 0 shows all."""
    ran = workorder("list", "--limit", limit, "--json")
    assert ran.code == 0
    assert len({row["id"] for row in ran.rows}) == len(ran.rows) == shown


def test_a_short_list_takes_one_request(workorder: Workorder, sandbox: Sandbox) -> None:
    """The default of 20 tickets is one request."""
    before = sandbox.requests["list_tickets"]
    assert workorder("list").code == 0
    assert sandbox.requests["list_tickets"] == before + 1


def test_a_server_that_gives_fewer_rows_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the platform's pages are smaller than the limit, several make it up."""
    with elsewhere(Sandbox(50, page_size_cap=7, app_secret=SECRET)) as small:
        ran = runner(small.environment, monkeypatch, capsys)("list", "--limit", 20, "--json")
    assert len({row["id"] for row in ran.rows}) == len(ran.rows) == 20


def test_a_limit_spares_the_rest_of_the_walk(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list that takes several pages ends its walk where the limit is reached."""
    with elsewhere(Sandbox(600, page_size_cap=10, app_secret=SECRET)) as small:
        ran = runner(small.environment, monkeypatch, capsys)("list", "--limit", 101, "--json")
        assert small.requests["list_tickets"] < 40
    assert len(ran.rows) == 101


def test_a_list_is_lines_with_tabs_where_there_is_no_terminal(workorder: Workorder) -> None:
    """Without a terminal a ticket is a line of eight cells, and stderr says how many there are."""
    ran = workorder("list", "--limit", 3)
    [first] = workorder("list", "--limit", 1, "--json").rows
    lines = [line.split("\t") for line in ran.out.splitlines()]
    assert [len(cells) for cells in lines] == [8, 8, 8]
    assert lines[0][0] == str(first["id"])
    assert lines[0][1] == TicketStatus(first["status"]).label
    assert lines[0][4:6] == [first["title"], first["customer_organization_name"]]
    assert datetime.fromisoformat(lines[0][7]).timestamp() == first["created_time"]
    assert ran.err == "3 of 250 tickets; --limit 0 shows all\n"


def test_nothing_found_is_no_failure(workorder: Workorder) -> None:
    """A filter that matches nothing exits with 0 and says so."""
    ran = workorder("list", "--customer", "无此客户")
    assert (ran.code, ran.out, ran.err) == (0, "", "no ticket matches\n")

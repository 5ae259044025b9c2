"""`workorder list`: what it asks for and prints."""

from datetime import datetime

import pytest

from tests.support.cli_runs import SECRET, Workorder, elsewhere, in_child, runner
from tests.support.slow import slow_after, slow_but_every
from workorder_async import TicketStatus
from workorder_async.sandbox import Fault, Sandbox

TICKETS = 250


@pytest.mark.parametrize(
    ("limit", "shown"), slow_after(2, [(0, 250), (101, 101), (1, 1), (20, 20), (100, 100), (240, 240), (999, 250)])
)
def test_a_limit_is_kept(workorder: Workorder, limit: int, shown: int) -> None:
    """`--limit` shows so many tickets, each once; 0 shows all."""
    ran = workorder("list", "--limit", limit, "--json")
    assert ran.code == 0
    assert len({row["id"] for row in ran.rows}) == len(ran.rows) == shown


def test_a_short_list_takes_one_request(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The default of 20 tickets is one request."""
    # A sandbox of its own: one that others use may still take a request that was given up.
    with elsewhere(Sandbox(50, app_secret=SECRET)) as own:
        assert runner(own.environment, monkeypatch, capsys)("list").code == 0
        assert own.requests["list_tickets"] == 1


def test_a_server_that_gives_fewer_rows_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the platform's pages are smaller than the limit, several make it up."""
    with elsewhere(Sandbox(50, page_size_cap=7, app_secret=SECRET)) as small:
        ran = runner(small.environment, monkeypatch, capsys)("list", "--limit", 20, "--json")
    assert len({row["id"] for row in ran.rows}) == len(ran.rows) == 20


@pytest.mark.parametrize("words", [["list", "--limit", 0], ["comment", "--type", 1, "--detail", "好", "--dry-run"]])
def test_a_platform_may_refuse_large_pages(
    words: list[object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--page-size` asks for fewer tickets at once, where tickets are listed and where filters choose them."""
    with elsewhere(Sandbox(300, app_secret=SECRET)) as own:
        workorder = runner(own.environment, monkeypatch, capsys)
        assert workorder(*words).code == 0
        large = own.requests["list_tickets"]
        assert workorder(*words, "--page-size", 20).code == 0
        assert own.requests["list_tickets"] - large > 2 * large


def test_a_limit_spares_the_rest_of_the_walk(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list that takes several pages ends its walk where the limit is reached."""
    with elsewhere(Sandbox(600, page_size_cap=10, app_secret=SECRET)) as small:
        ran = runner(small.environment, monkeypatch, capsys)("list", "--limit", 101, "--json")
        assert small.requests["list_tickets"] < 40
    assert len(ran.rows) == 101


def test_a_list_that_may_not_be_complete_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where all were asked for and the list counts more than it shows, that is said; a limit promises nothing."""
    with elsewhere(Sandbox(120, page_size_cap=10, faults=[Fault("total", number=200)], app_secret=SECRET)) as counting:
        workorder = runner(counting.environment, monkeypatch, capsys)
        whole, some = workorder("list", "--limit", 0, "--json"), workorder("list", "--limit", 15)
    assert len(whole.rows) == 120
    assert whole.err.startswith("it may not be complete: the list counts 200 tickets")
    assert "complete" not in some.err


def test_a_list_is_lines_with_tabs_where_there_is_no_terminal(workorder: Workorder) -> None:
    """Without a terminal a ticket is a line of eight cells below their names, and stderr says how many there are."""
    ran = workorder("list", "--limit", 3)
    [first] = workorder("list", "--limit", 1, "--json").rows
    head, *lines = [line.split("\t") for line in ran.out.splitlines()]
    assert head == ["id", "status", "prio", "type", "title", "customer", "handler", "created"]
    assert [len(cells) for cells in lines] == [8, 8, 8]
    assert lines[0][0] == str(first["id"])
    assert lines[0][1] == TicketStatus(first["status"]).label
    assert lines[0][4:6] == [first["title"], first["customer_organization_name"]]
    assert datetime.fromisoformat(lines[0][7]).timestamp() == first["created_time"]
    assert ran.err == "3 of 250 tickets; --limit 0 shows all\n"


def test_nothing_found_is_no_failure(workorder: Workorder) -> None:
    """A filter that matches nothing exits with 0 and says so."""
    ran = workorder("list", "--customer", "无此客户")
    assert (ran.code, ran.out, ran.err) == (
        0,
        "id\tstatus\tprio\ttype\ttitle\tcustomer\thandler\tcreated\n",
        "no ticket matches\n",
    )


def test_fields_are_chosen(workorder: Workorder) -> None:
    """`--fields` prints these cells in this order, as an export has them, each once; with --json as an object."""
    [row] = workorder("list", "--limit", 1, "--json", "--fields", "title, id，created_at,status_name,id").rows
    lines = workorder("list", "--limit", 1, "--fields", "title,id,created_at,need_process").out.splitlines()
    [whole] = workorder("list", "--limit", 1, "--json").rows
    assert list(row) == ["title", "id", "created_at", "status_name"]
    assert [row["title"], row["id"]] == [whole["title"], whole["id"]]
    assert row["status_name"] == TicketStatus(whole["status"]).label
    assert datetime.fromisoformat(row["created_at"]).timestamp() == whole["created_time"]
    head, cells = [line.split("\t") for line in lines]
    assert head == ["title", "id", "created_at", "need_process"]
    assert cells == [whole["title"], str(whole["id"]), row["created_at"], str(bool(whole["need_process"])).lower()]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("id,titel", "--fields: the list has no field 'titel'; did you mean title?"),
        ("Status_Nam", "did you mean"),
        ("id,,title", "--fields: the list has no field ''; it has id, "),
        ("", "--fields: the list has no field ''"),
        ("assigns", "the list has no field 'assigns'"),
    ],
)
def test_an_unknown_field_is_named(workorder: Workorder, fields: str, said: str) -> None:
    """What is no field is named with the one that is meant, before anything is asked."""
    ran = workorder("list", "--fields", fields, "--base-url", "http://127.0.0.1:1")
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


@pytest.mark.parametrize("words", [["--limit", 0], ["--limit", 3], ["--status", "pending,closed", "--limit", 0]])
def test_the_first_line_names_the_cells(workorder: Workorder, words: list[object]) -> None:
    """Lines begin with the names of their cells, once."""
    head = "id\tstatus\tprio\ttype\ttitle\tcustomer\thandler\tcreated"
    lines = workorder("list", *words).out.splitlines()
    assert (lines[0], lines.count(head)) == (head, 1)


def test_a_count_is_one_request(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`--count` prints how many match and nothing else."""
    # A sandbox of its own: one that others use may still take a request that was given up.
    with elsewhere(Sandbox(50, app_secret=SECRET)) as own:
        ran = runner(own.environment, monkeypatch, capsys)("list", "--count")
        assert (ran.code, ran.out, ran.err) == (0, "50\n", "")
        assert own.requests["list_tickets"] == 1


def test_a_count_of_several_statuses(workorder: Workorder) -> None:
    """The counts of several statuses are one number, their sum."""
    each = [int(workorder("list", "--count", "--status", status).out) for status in ("pending", "closed")]
    assert workorder("list", "--count", "--status", "pending,closed").out == f"{sum(each)}\n"
    assert min(each) > 0
    refused = workorder("list", "--count", "--fields", "id")
    assert (refused.code, refused.out) == (2, "")
    assert "leave out --fields" in refused.err


@pytest.mark.slow
def test_nothing_is_cut_where_stdout_is_no_terminal(sandbox: Sandbox) -> None:
    """Whatever tells other programs to print colours, a pipe gets lines with tabs, whole."""
    plain = in_child(sandbox.environment, "list", "--limit", 20)
    told = in_child({**sandbox.environment, "FORCE_COLOR": "1", "COLUMNS": "30"}, "list", "--limit", 20)
    assert told.out == plain.out
    assert "\t" in told.out


@pytest.mark.parametrize(
    ("option", "spelt", "meant"),
    slow_but_every(
        3,
        [
            ("--type", "feature-request", "2"),
            ("--type", "Feature_Request", "2"),
            ("--type", "FEATURE REQUEST", "2"),
            ("--status", "canceled", "4"),
            ("--status", "Cancelled", "4"),
            ("--status", "canceled，待处理", "4,1"),
        ],
    ),
)
def test_names_of_codes_are_read_as_people_write_them(
    workorder: Workorder, option: str, spelt: str, meant: str
) -> None:
    """Hyphens, blanks, any case, and the American spelling."""
    assert workorder("list", option, spelt, "--json").rows == workorder("list", option, meant, "--json").rows != []

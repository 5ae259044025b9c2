"""`workorder columns`: the table of the columns that an export has."""

import pytest

from tests.support.cli_runs import runner
from workorder_async.cli.commands.export import columns
from workorder_async.exports.columns import DETAIL_COLUMNS, TICKET_COLUMNS


@pytest.mark.parametrize("words", [[], ["--detail"]])
def test_the_columns_are_those_of_the_export(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """The table and its JSON name every column of the list, or of full records; no configuration is needed."""
    workorder = runner({}, monkeypatch, capsys)
    table = DETAIL_COLUMNS if words else TICKET_COLUMNS
    printed, rows = workorder("columns", *words), workorder("columns", "--json", *words).rows
    assert (printed.code, printed.out, printed.err) == (0, table.markdown(), "")
    assert [row["name"] for row in rows] == list(table.names)
    assert rows[0] == {"name": "id", "arrow": "int64", "sqlite": "INTEGER", "meaning": "The ticket's id (工单ID)."}
    assert "As ISO 8601 with zone" in next(row["meaning"] for row in rows if row["name"] == "created_at")
    assert all(row["meaning"] for row in rows)


def test_a_column_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Each of the two tables has a head of two lines and a line for each column."""
    columns()
    columns(detail=True)
    assert len(capsys.readouterr().out.splitlines()) == len(TICKET_COLUMNS.names) + len(DETAIL_COLUMNS.names) + 4

"""`workorder columns`: the table of the columns that an export has."""

import sys
from typing import Annotated

from cyclopts import Parameter

from workorder_async.cli.terminal import write_json


def columns(
    *,
    detail: Annotated[bool, Parameter(help="The columns of an export with --detail.")] = False,
    json: Annotated[bool, Parameter(help="Print one JSON object per column.")] = False,
) -> int:
    """Print the columns of an export: name, type in Parquet, type in SQLite, meaning.

    They are the same in every format; nothing is asked of the platform.
    """
    from workorder_async.exports.columns import DETAIL_COLUMNS, TICKET_COLUMNS

    table = DETAIL_COLUMNS if detail else TICKET_COLUMNS
    if json:
        write_json(
            {"name": one.name, "arrow": one.arrow, "sqlite": one.sqlite, "meaning": table.meaning(one)}
            for one in table.columns
        )
    else:
        sys.stdout.write(table.markdown())
    return 0

"""Options of the Spark data source: how texts are read, what is refused, how windows become tasks."""

import pickle
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from tests.support.engines import SandboxThread
from tests.support.rows import each
from tests.support.slow import slow_after
from workorder_async import ConfigError, TicketQuery, TicketStatus, TicketType
from workorder_async.integrations.arrow_batches import ArrowOptions, arrow_batches
from workorder_async.integrations.spark_options import SparkRead

ALL = {
    "status": "已关闭",
    "type": "feature request",
    "created_start": "1690000000",
    "created_end": "2023-11-15T00:00:00+08:00",
    "creator_id": "38361",
    "customer_organization_name": "示例客户",
    "product_group_id": "3, 5",
    "sub_type": "11",
    "second_subtype": "111",
    "tasks": "7",
    "rate": "10.5",
    "detail": "True",
    "columns": "id, title",
    "exact": "false",
    "page_size": "50",
    "concurrency": "2",
    "on_bad_row": "skip",
    "batch_rows": "10",
}


def test_every_option() -> None:
    """Each is read as what it means, whatever its case; the whole pickles."""
    read = SparkRead.of({name.upper(): text for name, text in ALL.items()})
    assert read == SparkRead(
        query=TicketQuery(
            status=TicketStatus.CLOSED,
            type=TicketType.FEATURE_REQUEST,
            created_start=1_690_000_000,
            created_end=datetime(2023, 11, 14, 16, tzinfo=UTC),
            creator_id=38361,
            customer_organization_name="示例客户",
            product_group_id=(3, 5),
            sub_type=11,
            second_subtype=111,
        ),
        tasks=7,
        rate=10.5,
        arrow=ArrowOptions(
            detail=True,
            columns=("id", "title"),
            exact=False,
            page_size=50,
            concurrency=2,
            on_bad_row="skip",
            batch_rows=10,
        ),
    )
    assert pickle.loads(pickle.dumps(read)) == read


@each(
    ("options", "words"),
    [
        ({"tasks": "four"}, "option tasks is 'four'; it must be a whole number"),
        ({"tasks": "0"}, "tasks is 0"),
        ({"rate": "fast"}, "option rate is 'fast'; it must be a number"),
        ({"rate": "nan"}, "rate is nan"),
        ({"rate": "0"}, "rate is 0"),
        ({"detail": "yes"}, "option detail is 'yes'; it must be true or false"),
        ({"created_end": "yesterday"}, "option created_end is 'yesterday'"),
        ({"created_end": "2026-11-01T00:00:00"}, "with its zone"),
        ({"created_start": "20", "created_end": "10"}, r"option created_start .* is after option created_end"),
        ({"status": "open"}, "option status"),
        ({"columns": "id,flow"}, "there is no column 'flow'"),
        ({"columns": "id,id"}, "columns are id, id; name each of them once"),
        ({"page_sise": "5"}, "no option 'page_sise'; did you mean page_size"),
        ({"path": "/x"}, "no option 'path'; it has created_start"),
        *(
            ({name: "hidden"}, f"option {name} is refused")
            for name in ("app_secret", "BASE_URL", "appId", "sign_scheme")
        ),
        ({"workorder_app_id": "hidden"}, "WORKORDER_BASE_URL, WORKORDER_APP_ID"),
    ],
)
def test_what_is_refused(options: dict[str, str], words: str) -> None:
    """The error names the option and the mend."""
    with pytest.raises(ConfigError, match=words) as caught:
        SparkRead.of(options)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("tasks", slow_after(1, [1, 3, 40]))
def test_plan(tasks: int) -> None:
    """There are as many groups as tasks, each a slice of about the same weight; together they own each ticket once."""
    with SandboxThread(tickets=3000) as sandbox:
        groups = SparkRead(tasks=tasks).plan(sandbox.connect)
        ids = [
            id for group in groups for batch in arrow_batches(group, sandbox.connect) for id in batch["id"].to_pylist()
        ]
    assert len(groups) == tasks
    assert len(ids) == len(set(ids)) == 3000
    assert all(one.end == other.start for group in groups for one, other in pairwise(group))
    weights = [sum(window.total for window in group) for group in groups]
    assert tasks > 30 or max(weights) < 1.3 * 3000 / tasks

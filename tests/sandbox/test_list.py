from collections.abc import Callable
from typing import Any

import pytest

from tests.support.sandbox_wire import Wire, ticket_request, wired
from tests.support.slow import slow_after
from workorder_async.sandbox import Sandbox

Row = dict[str, Any]


async def everything(wire: Wire, count: int) -> list[Row]:
    """Read every ticket by detail and base, the newest first: what filters are compared with."""
    rows = []
    for id in range(1001, 1001 + count):
        detail = (await wire.get("detail", id=id))["data"]
        rows.append(detail | (await wire.get("base", id=id))["data"])
    return sorted(rows, key=lambda row: (row["created_time"], row["id"]), reverse=True)


EQUAL = ["creator_id", "customer_organization_name", "status", "type", "sub_type", "second_subtype"]

# A name, the filters made from a ticket, and which rows they mean.
FILTERS: dict[str, tuple[Callable[[Row], Row], Callable[[Row, Row], bool]]] = {
    "start": (
        lambda it: {"created_start": it["created_time"]},
        lambda row, it: row["created_time"] >= it["created_time"],
    ),
    "end": (
        lambda it: {"created_end": it["created_time"]},
        lambda row, it: row["created_time"] <= it["created_time"],
    ),
    "one second": (
        lambda it: {"created_start": it["created_time"], "created_end": it["created_time"]},
        lambda row, it: row["created_time"] == it["created_time"],
    ),
    "part of a customer's name": (
        lambda it: {"customer_organization_name": it["customer_organization_name"][:4]},
        lambda _row, _it: False,
    ),
    "a product line": (
        lambda it: {"product_group_id": [it["product_group_id"]]},
        lambda row, it: row["product_group_id"] == it["product_group_id"],
    ),
    "product lines": (
        lambda _: {"product_group_id": [36, 40, 99]},
        lambda row, _: row["product_group_id"] in {36, 40},
    ),
    "several filters": (
        lambda it: {"status": it["status"], "type": it["type"], "created_end": it["created_time"]},
        lambda row, it: (
            (row["status"], row["type"]) == (it["status"], it["type"]) and row["created_time"] <= it["created_time"]
        ),
    ),
    "an unknown code": (lambda _: {"status": 9}, lambda _row, _it: False),
    "the document's zeros": (
        lambda _: {
            "created_end": 0,
            "created_start": 0,
            "creator_id": 0,
            "customer_organization_name": "",
            "product_group_id": [],
            "type": 0,
            "status": 0,
            "sub_type": 0,
            "second_subtype": 0,
        },
        lambda _row, _it: True,
    ),
    "nulls": (lambda _: {"created_end": None, "status": None, "page": None}, lambda _row, _it: True),
    "a field of no schema": (lambda _: {"nonsense": 1}, lambda _row, _it: True),
}


async def test_every_filter_gives_the_rows_it_names_newest_first() -> None:
    """Each filter, zeros and nulls among them, gives the rows that the same condition picks of all, and their total."""
    async with wired(Sandbox(100)) as wire:
        rows = await everything(wire, 100)

        async def check(filters: Row, wanted: list[int]) -> None:
            data = (await wire.post("list_tickets", {"page_size": 100, **filters}))["data"]
            assert [row["id"] for row in data["tickets"]] == wanted, filters
            assert data["pagination"]["total"] == len(wanted)

        for one in (rows[3], rows[50]):
            for field in EQUAL:
                await check({field: one[field]}, [row["id"] for row in rows if row[field] == one[field]])
            for filters, matches in FILTERS.values():
                await check(filters(one), [row["id"] for row in rows if matches(row, one)])


async def test_pages_cut_the_list_in_order() -> None:
    """Pages of 7 are the list cut every 7 rows; what lies behind the last one is an empty page."""
    async with wired(Sandbox(25)) as wire:
        whole = (await wire.post("list_tickets", {"page_size": 25}))["data"]["tickets"]
        pages = [(await wire.post("list_tickets", {"page": page, "page_size": 7}))["data"] for page in range(1, 6)]
        far = (await wire.post("list_tickets", {"page": 2**31 - 1, "page_size": 2**31 - 1}))["data"]
    assert [page["tickets"] for page in pages] == [whole[:7], whole[7:14], whole[14:21], whole[21:], []]
    assert all(page["pagination"] == {"page_size": 7, "total": 25} for page in pages)
    assert far["tickets"] == []


async def test_page_and_size_have_the_documents_defaults() -> None:
    """Left out, it is page 1 of 10 rows."""
    async with wired(Sandbox(12)) as wire:
        data = (await wire.post("list_tickets", {}))["data"]
    assert [row["id"] for row in data["tickets"]] == list(range(1012, 1002, -1))
    assert data["pagination"] == {"page_size": 10, "total": 12}


async def test_the_cap_decides_the_stride_and_says_so() -> None:
    """More rows than the cap are not given: pagination.page_size is the stride that was used."""
    async with wired(Sandbox(50, page_size_cap=20)) as wire:
        pages = [(await wire.post("list_tickets", {"page": page, "page_size": 1000}))["data"] for page in (1, 2, 3)]
    assert [page["pagination"] for page in pages] == [{"page_size": 20, "total": 50}] * 3
    assert [row["id"] for page in pages for row in page["tickets"]] == list(range(1050, 1000, -1))


async def test_the_total_follows_every_change() -> None:
    """A created or closed ticket is counted at once, by each filter."""
    async with wired(Sandbox(0)) as wire:

        async def total(**filters: int) -> int:
            found: int = (await wire.post("list_tickets", filters))["data"]["pagination"]["total"]
            return found

        assert (await total(), await total(status=1)) == (0, 0)
        for _ in range(2):
            await wire.post("create", ticket_request())
        assert (await total(), await total(status=1), await total(status=3)) == (2, 2, 0)
        close = {"id": 1, "closer_id": 1, "closer_name": "姜程", "solved_time": 1660298000}
        assert (await wire.post("close_ticket", close))["errno"] == 10000
        assert (await total(), await total(status=1), await total(status=3)) == (2, 1, 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("page", 0),
        ("page", -1),
        ("page", "1"),
        ("page", 1.0),
        ("page", True),
        ("page", 2**31),
        ("page_size", 0),
        ("page_size", "10"),
        ("created_start", "1660298589"),
        ("created_end", 1.5),
        ("created_end", 2**63),
        ("creator_id", "38361"),
        ("customer_organization_name", 5),
        ("product_group_id", 36),
        ("product_group_id", "36"),
        ("product_group_id", ["36"]),
        ("status", "1"),
        ("status", [1]),
        ("status", 2**31),
        ("type", False),
        ("sub_type", {}),
        ("second_subtype", "x"),
    ],
)
async def test_a_wrong_type_is_refused_naming_the_parameter(field: str, value: object) -> None:
    """A value of another JSON type, or out of its range, is refused with 90004, and errmsg says which it was."""
    async with wired(Sandbox(3)) as wire:
        envelope = await wire.post("list_tickets", {field: value})
    assert envelope["errno"] == 90004
    assert f"参数 {field}" in envelope["errmsg"]


async def test_list_by_get_takes_a_body_or_a_query() -> None:
    """GET is listed too: with the same JSON body, or with the same fields in the query string."""
    async with wired(Sandbox(60)) as wire:
        body = b'{"product_group_id":[36,37,38],"status":3,"page_size":5}'
        query = [("product_group_id", "36"), ("product_group_id", "38"), ("product_group_id", "37")]
        query += [("status", "3"), ("page_size", "5"), ("other", "x"), ("type", "")]
        posted = (await wire.send("POST", "list_tickets", body)).envelope["data"]
        with_body = (await wire.send("GET", "list_tickets", body)).envelope["data"]
        with_query = (await wire.send("GET", "list_tickets", query=query)).envelope["data"]
        bare = (await wire.send("GET", "list_tickets")).envelope["data"]
        customer = posted["tickets"][0]["customer_organization_name"]
        named = (await wire.get("list_tickets", customer_organization_name=customer))["data"]
        digits = (await wire.get("list_tickets", customer_organization_name="123"))["data"]
        wrong = await wire.get("list_tickets", page="one")
    assert posted["tickets"]
    assert posted == with_body == with_query
    assert bare["pagination"]["total"] == 60
    assert {row["customer_organization_name"] for row in named["tickets"]} == {customer}
    assert digits["tickets"] == []
    assert (wrong["errno"], "参数 page" in wrong["errmsg"]) == (90004, True)


@pytest.mark.parametrize("name", slow_after(1, ["base", "detail"]))
@pytest.mark.parametrize(
    ("query", "errno"),
    [
        ([], 90004),
        ([("id", "")], 90004),
        ([("id", "x")], 90004),
        ([("id", "1.0")], 90004),
        ([("id", "1_001")], 90004),
        ([("id", "１００１")], 90004),
        ([("id", "9223372036854775808")], 90004),
        ([("id", "99999")], 90005),
        ([("id", "-1")], 90005),
        ([("id", "1001")], 10000),
    ],
)
async def test_one_ticket_is_asked_for_by_a_whole_id(name: str, query: list[tuple[str, str]], errno: int) -> None:
    """A missing id, or one that is no int64, is a bad parameter; an id without a ticket is not found."""
    async with wired(Sandbox(3)) as wire:
        envelope = (await wire.send("GET", name, query=query)).envelope
    assert envelope["errno"] == errno
    assert ("data" in envelope) == (errno == 10000)
    assert errno != 90004 or "参数 id" in envelope["errmsg"]

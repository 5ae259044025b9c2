"""The wire's three shapes, against literal JSON copied or written by hand from the API document."""

import sqlite3
from typing import Any

import orjson
import pytest

from tests.support.sandbox_files import upload
from tests.support.sandbox_wire import Clock, Wire, ticket_request, wired
from workorder_async.sandbox import Sandbox, shapes
from workorder_async.sandbox.store import BLANK, Store

# The document's example of base, whole.
BASE_EXAMPLE = """
{
    "id": 1204,
    "type": 1,
    "title": "测试",
    "detail": "测试",
    "status": 2,
    "priority": 3,
    "need_process": false,
    "creator_id": 38361,
    "creator_name": "姜程",
    "customer_organization_id": 1,
    "customer_organization_name": "北京金山云网络技术有限公司",
    "product_group_id": 36,
    "updated_time": 1635766132,
    "started_time": 0,
    "suspended_time": 0,
    "updated_progress_time": 0,
    "finished_time": 1632742075,
    "solved_time": 0,
    "closed_time": 0,
    "is_solved": false,
    "is_suspended_notice": false,
    "reported_time": 1632742020,
    "created_time": 1632742075
}
"""

# The document's examples of list_tickets and detail: every field, with zeros in the place of values.
LIST_EXAMPLE = """
{
    "data": {
        "pagination": {"page_size": 0, "total": 0},
        "tickets": [
            {
                "closed_time": 0, "created_time": 0, "creator_name": "", "customer_organization_name": "",
                "customer_user_id": "", "detail": "", "form_values": "", "handler": 0, "id": 0, "manager": 0,
                "need_process": 0, "priority": "", "product_group": "", "reported_time": 0, "status": "", "tags": "",
                "title": "", "type": 0, "sub_type": 0, "second_subtype": 0
            }
        ]
    },
    "errmsg": "",
    "errno": 0,
    "request_id": ""
}
"""
DETAIL_EXAMPLE = """
{
    "assigns": [
        {
            "created_time": 0, "finished_time": 0, "handled_time": 0,
            "history": [
                {
                    "action": 0, "created_time": "", "creator_id": 0, "creator_name": "",
                    "creator_product_group_id": 0, "creator_user_group_id": 0, "detail": "", "id": 0
                }
            ],
            "id": 0, "is_handler": false, "manager_name": "", "product_group_id": 0, "product_group_name": "",
            "status": 0, "ticket_id": 0, "updated_time": 0, "user_group_id": 0, "user_id": 0, "user_name": ""
        }
    ],
    "attachment": [{"author": 0, "file_name": "", "file_path": "", "file_size": 0, "file_type": "imag/png"}],
    "close_duration": 0, "closed_time": 0, "confirm_duration": 0, "created_duration": 0, "created_time": "",
    "creator_id": 0, "creator_name": "",
    "customer_info": [
        {
            "attribute": 0, "business_director_id": 0, "business_director_name": "", "level": 0, "ticket_id": 0,
            "user_id": 0
        }
    ],
    "customer_organization_id": 0, "customer_organization_name": "", "detail": "", "feedback": "",
    "feishu_group_id": "", "finished_time": 0,
    "form_define": [
        {
            "created_time": 0, "display_name": "", "display_order": 0, "display_remarks": "", "form_id": 0, "id": 0,
            "is_deleted": false, "is_required": 0, "options": "", "type": 0, "updated_time": 0
        }
    ],
    "form_id": 0, "form_values": {},
    "handle_attachment": [{"author": 0, "file_name": "", "file_path": "", "file_size": 0, "file_type": "imag/png"}],
    "id": 0, "im_group_id": "", "is_creator": false, "is_solved": false, "is_suspended_notice": false,
    "need_process": false, "pending_duration": 0, "priority": 0, "process_duration": 0, "product_group_id": 0,
    "product_group_name": "", "relate_to_ticket_id": 0, "reported_time": "", "second_subtype": 0,
    "second_subtype_name": "", "solved_time": 0, "started_time": 0, "status": 0, "sub_type": 0, "sub_type_name": "",
    "suspended_duration": 0, "suspended_time": 0,
    "tags": [
        {"created_time": 0, "id": 0, "is_deleted": false, "is_enabled": false, "name": "", "updated_time": 0}
    ],
    "title": "", "total_duration": 0, "type": 0, "updated_progress_time": 0, "updated_time": 0,
    "use_relate_status": false
}
"""


def kinds(value: Any, path: str = "$") -> dict[str, str]:
    """Return the JSON type at every path; items of an array are one path, and what is in form_values is free."""
    found = {path: type(value).__name__}
    if isinstance(value, dict) and not path.endswith(".form_values"):
        for key, inner in value.items():
            found |= kinds(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            found |= kinds(inner, f"{path}[]")
    return found


async def row_of(record: dict[str, Any]) -> sqlite3.Row:
    """Return a row as the store reads it."""
    store = Store(None, Clock())
    await store.open([{**BLANK, **record}])
    row = store.ticket(record["id"])
    store.close()
    return row


async def test_base_is_the_documents_example() -> None:
    """The document's example of base comes out as it stands there, types included."""
    example = orjson.loads(BASE_EXAMPLE)
    shown = shapes.ticket(await row_of(example))
    assert shown == example
    assert kinds(shown) == kinds(example)


async def busy_ticket(wire: Wire) -> dict[str, Any]:
    """Close a seeded ticket that has all there is: tags, a form, attachments, customers; return it by detail."""
    close = {
        "id": 1473,
        "closer_id": 40084,
        "closer_name": "田金秀",
        "solved_time": 1672840000,
        "handle_attachment": [await upload(wire, b"\x89PNG")],
    }
    assert (await wire.post("close_ticket", close))["errno"] == 10000
    detail: dict[str, Any] = (await wire.get("detail", id=1473))["data"]
    detail["attachment"] = detail["handle_attachment"]
    return detail


async def test_every_list_row_has_the_documents_fields_and_types() -> None:
    """The answer of list_tickets has exactly the fields of the document's example, each of the same JSON type."""
    async with wired(Sandbox(100)) as wire:
        envelope = await wire.post("list_tickets", {"page_size": 100})
    assert kinds(envelope) == kinds(orjson.loads(LIST_EXAMPLE))
    assert {row["need_process"] for row in envelope["data"]["tickets"]} == {0, 1}


async def test_detail_has_the_documents_fields_and_types() -> None:
    """The answer of detail has exactly the fields of the document's example, each of the same JSON type."""
    async with wired(Sandbox(500)) as wire:
        detail = await busy_ticket(wire)
    assert kinds(detail) == kinds(orjson.loads(DETAIL_EXAMPLE))


async def test_a_created_ticket_in_its_three_shapes() -> None:
    """What was created is shown, field by field, as written here by hand; 2022-08-12 18:03:09 is China's time."""
    clock = Clock(1660298589.75)
    request = ticket_request() | {
        "need_process": True,
        "tags": [1, 4],
        "sub_type": 11,
        "second_subtype": 112,
        "customer_info": [{"user_id": 73400001, "level": 3}],
    }
    async with wired(Sandbox(0, clock=clock)) as wire:
        wire.time = clock
        assert (await wire.post("create", request))["data"] == {"id": 1}
        page = (await wire.post("list_tickets", {}))["data"]
        base = (await wire.get("base", id=1))["data"]
        detail = (await wire.get("detail", id=1))["data"]
    assert page == {
        "pagination": {"page_size": 10, "total": 1},
        "tickets": [
            {
                "closed_time": 0,
                "created_time": 1660298589,
                "creator_name": "姜程",
                "customer_organization_name": "北京晨曦网络科技有限公司",
                "customer_user_id": "73400001",
                "detail": "客户反馈实例无法远程登录。",
                "form_values": "",
                "handler": 0,
                "id": 1,
                "manager": 210001,
                "need_process": 1,
                "priority": "2",
                "product_group": "云服务器",
                "reported_time": 1660298000,
                "status": "1",
                "tags": "重点客户,配置错误",
                "title": "云服务器无法登录",
                "type": 1,
                "sub_type": 11,
                "second_subtype": 112,
            }
        ],
    }
    assert base == {
        "id": 1,
        "type": 1,
        "title": "云服务器无法登录",
        "detail": "客户反馈实例无法远程登录。",
        "status": 1,
        "priority": 2,
        "need_process": True,
        "creator_id": 38361,
        "creator_name": "姜程",
        "customer_organization_id": 5001,
        "customer_organization_name": "北京晨曦网络科技有限公司",
        "product_group_id": 36,
        "updated_time": 1660298589,
        "started_time": 0,
        "suspended_time": 0,
        "updated_progress_time": 0,
        "finished_time": 0,
        "solved_time": 0,
        "closed_time": 0,
        "is_solved": False,
        "is_suspended_notice": False,
        "reported_time": 1660298000,
        "created_time": 1660298589,
    }
    assert detail == base | {
        "created_time": "2022-08-12 18:03:09",
        "reported_time": "2022-08-12 17:53:20",
        "assigns": [
            {
                "created_time": 1660298589,
                "finished_time": 0,
                "handled_time": 0,
                "history": [
                    {
                        "action": 1,
                        "created_time": "2022-08-12 18:03:09",
                        "creator_id": 38361,
                        "creator_name": "姜程",
                        "creator_product_group_id": 36,
                        "creator_user_group_id": 136,
                        "detail": "",
                        "id": 10000000,
                    }
                ],
                "id": 100,
                "is_handler": False,
                "manager_name": "田金秀",
                "product_group_id": 36,
                "product_group_name": "云服务器",
                "status": 1,
                "ticket_id": 1,
                "updated_time": 1660298589,
                "user_group_id": 136,
                "user_id": 0,
                "user_name": "",
            }
        ],
        "attachment": [],
        "close_duration": 0,
        "confirm_duration": 0,
        "created_duration": 589,
        "customer_info": [
            {
                "attribute": 0,
                "business_director_id": 0,
                "business_director_name": "",
                "level": 3,
                "ticket_id": 1,
                "user_id": 73400001,
            }
        ],
        "feedback": "",
        "feishu_group_id": "",
        "form_define": [],
        "form_id": 0,
        "form_values": {},
        "handle_attachment": [],
        "im_group_id": "",
        "is_creator": False,
        "pending_duration": 0,
        "process_duration": 0,
        "product_group_name": "云服务器",
        "relate_to_ticket_id": 0,
        "second_subtype": 112,
        "second_subtype_name": "服务不可用-多客户",
        "sub_type": 11,
        "sub_type_name": "服务不可用",
        "suspended_duration": 0,
        "tags": [
            {
                "created_time": 1654012800,
                "id": 1,
                "is_deleted": False,
                "is_enabled": True,
                "name": "重点客户",
                "updated_time": 1654012800,
            },
            {
                "created_time": 1654012800,
                "id": 4,
                "is_deleted": False,
                "is_enabled": True,
                "name": "配置错误",
                "updated_time": 1654012800,
            },
        ],
        "total_duration": 0,
        "use_relate_status": False,
    }


async def test_durations_are_differences_of_times() -> None:
    """Each duration runs from one time to another, and is 0 where either has not happened or the order is odd."""
    times = {
        "reported_time": 1000,
        "created_time": 1010,
        "started_time": 1100,
        "suspended_time": 1500,
        "finished_time": 2000,
        "solved_time": 5000,
        "closed_time": 9000,
        "updated_time": 9000,
    }
    shown = shapes.detail(await row_of({"id": 1, **times}), [], str)
    assert {name: value for name, value in shown.items() if name.endswith("_duration")} == {
        "created_duration": 10,
        "pending_duration": 90,
        "process_duration": 990,
        "suspended_duration": 7500,
        "confirm_duration": 3000,
        "close_duration": 7990,
        "total_duration": 4000,
    }
    late = shapes.detail(await row_of({"id": 1, **times, "updated_time": 99_000}), [], str)
    still = shapes.detail(await row_of({"id": 1, **times, "closed_time": 0, "updated_time": 1700}), [], str)
    assert (late["suspended_duration"], still["suspended_duration"]) == (7500, 200)
    odd = shapes.detail(await row_of({"id": 1, **times, "started_time": 5, "finished_time": 0}), [], str)
    assert (odd["pending_duration"], odd["process_duration"], odd["confirm_duration"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, ""),
        (1636600271, "2021-11-11 11:11:11"),
        (1636560000, "2021-11-11 00:00:00"),
        (100_000_000_000, "5138-11-16 17:46:40"),
    ],
)
def test_a_time_is_written_in_china_standard_time(seconds: int, written: str) -> None:
    """A date-time string is the document's form, in UTC+8; a time that has not happened is an empty one."""
    assert shapes.date_time(seconds) == written


async def test_a_product_line_that_nobody_knows_has_a_made_up_name() -> None:
    """A ticket of an unknown product line is shown with the number in its name, and nobody in charge."""
    async with wired(Sandbox(0)) as wire:
        await wire.post("create", ticket_request() | {"repository_product_id": 999, "whether_product_group_id": True})
        row = (await wire.post("list_tickets", {}))["data"]["tickets"][0]
        detail = (await wire.get("detail", id=1))["data"]
    assert (row["product_group"], row["manager"]) == ("产品线999", 0)
    assert (detail["product_group_id"], detail["product_group_name"]) == (999, "产品线999")
    assert detail["assigns"][0]["user_group_id"] == 0

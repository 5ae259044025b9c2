import re
from typing import Any

import pytest

from tests.support.sandbox_files import upload
from tests.support.sandbox_wire import Clock, Wire, ticket_request, wired
from tests.support.slow import slow_but_every
from workorder_async.sandbox import Sandbox
from workorder_async.sandbox.rules import create_ticket
from workorder_async.sandbox.store import Store

NOW = 1660298589.5
# The document's second example of close_ticket.
CLOSE: dict[str, Any] = {
    "closer_id": 40084,
    "closer_name": "田金秀",
    "is_solved": False,
    "detail": "这是工单关闭的备注反馈内容",
    "solved_time": 1660298580,
    "handle_attachment": [
        {
            "author": 40084,
            "file_name": "test.png",
            "file_type": "image/png",
            "file_path": "workorder/40084/dc4ced807eec9218bf2fe9513ebc9b99",
            "file_size": 195204,
        }
    ],
    "id": 1473,
}


async def created(wire: Wire, **fields: Any) -> int:
    """Create a ticket and return its id."""
    envelope = await wire.post("create", ticket_request() | fields)
    assert envelope["errno"] == 10000, envelope
    id: int = envelope["data"]["id"]
    return id


def close_of(id: int, **fields: Any) -> dict[str, Any]:
    """Return a request to close a ticket of `ticket_request` by its creator."""
    return {"id": id, "closer_id": 40084, "closer_name": "姜程", "solved_time": 1660298580} | fields


async def test_create_gives_new_ids_and_keeps_every_field() -> None:
    """Ids go on from the newest; optional fields are kept, and come back in detail."""
    async with wired(Sandbox(5)) as wire:
        picture = await upload(wire, b"\x89PNG")
        id = await created(
            wire,
            tags=[12, 3],
            customer_info=[
                {
                    "user_id": 7,
                    "attribute": 2,
                    "business_director_id": 38361,
                    "business_director_name": "姜程",
                    "level": 4,
                    "ticket_id": 5,
                }
            ],
            attachment=[{name: picture[name] for name in picture if name != "author"}],
            need_process=True,
            relate_to_ticket_id=1002,
            use_relate_status=True,
            form_id=46,
            form_values={"a": "b"},
            is_solved=True,
        )
        detail = (await wire.get("detail", id=id))["data"]
        assert (id, await created(wire)) == (1006, 1007)
    assert [tag["name"] for tag in detail["tags"]] == ["待客户反馈", "版本缺陷"]
    assert [tag["is_enabled"] for tag in detail["tags"]] == [False, True]
    assert detail["customer_info"] == [
        {
            "attribute": 2,
            "business_director_id": 38361,
            "business_director_name": "姜程",
            "level": 4,
            "ticket_id": 1006,
            "user_id": 7,
        }
    ]
    assert detail["attachment"][0].items() >= {"author": 0, "file_name": "test.png", "file_size": 4}.items()
    assert (detail["need_process"], detail["relate_to_ticket_id"], detail["use_relate_status"]) == (True, 1002, True)
    assert (detail["form_id"], detail["form_values"], detail["is_solved"]) == (0, {}, False)
    assert detail["status"] == 1


ATTACHMENT = {"file_name": "a", "file_path": "workorder/40084/0", "file_size": 1, "file_type": "text/plain"}


@pytest.mark.parametrize(
    ("fields", "named"),
    slow_but_every(
        2,
        [
            *(({name: None}, name) for name in ticket_request()),
            ({"title": ""}, "title"),
            ({"title": " \n"}, "title"),
            ({"title": 5}, "title"),
            ({"detail": ["x"]}, "detail"),
            ({"reported_time": "1660298000"}, "reported_time"),
            ({"reported_time": -1}, "reported_time"),
            ({"reported_time": 1660298000123}, "reported_time"),
            ({"type": 0}, "type"),
            ({"type": 4}, "type"),
            ({"type": "1"}, "type"),
            ({"priority": 0}, "priority"),
            ({"priority": 4}, "priority"),
            ({"customer_organization_id": 0}, "customer_organization_id"),
            ({"customer_organization_name": ""}, "customer_organization_name"),
            ({"repository_product_id": 0}, "repository_product_id"),
            ({"creator_id": "38361"}, "creator_id"),
            ({"creator_name": " "}, "creator_name"),
            ({"whether_product_group_id": 1}, "whether_product_group_id"),
            ({"need_process": "true"}, "need_process"),
            ({"use_relate_status": 0}, "use_relate_status"),
            ({"relate_to_ticket_id": 999}, "relate_to_ticket_id"),
            ({"sub_type": "11"}, "sub_type"),
            ({"second_subtype": 1.5}, "second_subtype"),
            ({"tags": 1}, "tags"),
            ({"tags": ["重点客户"]}, "tags[0]"),
            ({"tags": [1, 13]}, "tags[1]"),
            ({"customer_info": {"user_id": 7}}, "customer_info"),
            ({"customer_info": [7]}, "customer_info[0]"),
            ({"customer_info": [{"user_id": 7}, {"level": 1}]}, "customer_info[1].user_id"),
            ({"customer_info": [{"user_id": "7"}]}, "customer_info[0].user_id"),
            ({"customer_info": [{"user_id": 7, "level": 2**31}]}, "customer_info[0].level"),
            ({"attachment": ATTACHMENT}, "attachment"),
            *(({"attachment": [ATTACHMENT | {name: None}]}, f"attachment[0].{name}") for name in ATTACHMENT),
            ({"attachment": [ATTACHMENT | {"file_size": -1}]}, "attachment[0].file_size"),
            ({"attachment": [ATTACHMENT]}, "attachment[0].file_path"),
            ({"attachment": [ATTACHMENT | {"file_path": "http://x/files/y"}]}, "attachment[0].file_path"),
        ],
    ),
)
async def test_create_refuses_what_the_document_does_not_allow(fields: dict[str, Any], named: str) -> None:
    """A required field that is missing, a wrong type, a code out of range: 90004 and the parameter's name."""
    async with wired(Sandbox(0)) as wire:
        envelope = await wire.post("create", ticket_request() | fields)
        assert (await wire.post("list_tickets", {}))["data"]["pagination"]["total"] == 0
        assert wire.sandbox.applied == []
    assert envelope["errno"] == 90004
    assert re.match(rf"沙箱: 参数 {re.escape(named)} ", envelope["errmsg"])
    assert "data" not in envelope


async def test_comments_go_to_the_product_line_that_speaks() -> None:
    """A comment is a step under its product line's assign, or under the first one where the line has none."""
    clock = Clock(NOW)
    async with wired(Sandbox(60, clock=clock)) as wire:
        wire.time = clock
        details = [(await wire.get("detail", id=id))["data"] for id in range(1001, 1061)]
        shared = next(detail for detail in details if len(detail["assigns"]) == 2)
        lines = [assign["product_group_id"] for assign in shared["assigns"]]
        for body in (
            {"detail": "一", "productGroupId": lines[1]},
            {"detail": "二", "productGroupId": lines[0]},
            {"detail": "三", "productGroupId": 999},
            {"detail": "四"},
            {},
        ):
            envelope = await wire.post("comment_ticket", {"id": shared["id"], **body})
            assert (envelope["errno"], envelope["data"]) == (10000, {})
        after = (await wire.get("detail", id=shared["id"]))["data"]
    first, second = after["assigns"]
    already = len(shared["assigns"][0]["history"])
    assert [step["detail"] for step in first["history"][already:]] == ["二", "三", "四", ""]
    assert second["history"] == [
        {
            "action": 3,
            "created_time": "2022-08-12 18:03:09",
            "creator_id": 0,
            "creator_name": "沙箱应用",
            "creator_product_group_id": lines[1],
            "creator_user_group_id": lines[1] + 100,
            "detail": "一",
            "id": (shared["id"] * 100 + 1) * 100_000,
        }
    ]
    assert len({step["id"] for assign in after["assigns"] for step in assign["history"]}) == already + 5
    assert after["updated_time"] == after["updated_progress_time"] == first["updated_time"] == 1660298589
    assert after["status"] == shared["status"]


async def test_a_comment_costs_the_same_however_long_the_history_is() -> None:
    """A comment is added to the history, and nothing of it is written again."""
    async with wired(Sandbox(3)) as wire:
        written: list[str] = []
        for number in range(60):
            if number in (1, 59):
                wire.sandbox._store._db.set_trace_callback(written.append)
            assert (await wire.post("comment_ticket", {"id": 1001, "detail": f"{number:03}"}))["errno"] == 10000
            wire.sandbox._store._db.set_trace_callback(None)
        history = (await wire.get("detail", id=1001))["data"]["assigns"][0]["history"]
    early, late = written[: len(written) // 2], written[len(written) // 2 :]
    assert sum(map(len, early)) == sum(map(len, late)) > 0
    assert [step["detail"] for step in history[-60:]] == [f"{number:03}" for number in range(60)]


async def test_a_rejection_is_a_status_and_a_step() -> None:
    """A rejection sets the product line's share to 4 已拒绝, leaves the ticket's status, and is refused twice."""
    clock = Clock(NOW)
    async with wired(Sandbox(0, clock=clock)) as wire:
        wire.time = clock
        id = await created(wire)
        envelope = await wire.post("reject_handle", {"id": id, "detail": "不属于本产品线", "productGroupId": 36})
        assert (envelope["errno"], envelope["data"]) == (10000, {})
        detail = (await wire.get("detail", id=id))["data"]
        again = await wire.post("reject_handle", {"id": id})
        assert len(wire.sandbox.applied) == 2
    assign = detail["assigns"][0]
    assert (detail["status"], assign["status"]) == (1, 4)
    assert assign["history"][-1].items() >= {"action": 4, "detail": "不属于本产品线"}.items()
    assert assign["updated_time"] == detail["updated_time"] == 1660298589
    assert (again["errno"], "data" in again) == (90008, False)


async def test_a_product_line_rejects_its_own_share_only() -> None:
    """A rejection by a product line without a share is refused, and says which lines have one."""
    async with wired(Sandbox(0)) as wire:
        id = await created(wire)
        foreign = await wire.post("reject_handle", {"id": id, "detail": "不是我们的", "productGroupId": 40})
        untouched = (await wire.get("detail", id=id))["data"]["assigns"][0]
        own = await wire.post("reject_handle", {"id": id, "productGroupId": 36})
    assert foreign["errno"] == 90004
    assert foreign["errmsg"].endswith("参数 productGroupId 产品线 40 不处理此工单, 处理它的是 36")
    assert (untouched["status"], own["errno"]) == (1, 10000)


async def test_a_closed_ticket_takes_comments_and_no_rejection() -> None:
    """After the end a comment is still allowed; a rejection is refused with 90008 for closed and for cancelled."""
    async with wired(Sandbox(60)) as wire:
        for status in ("3", "4"):
            rows = (await wire.post("list_tickets", {"status": int(status)}))["data"]["tickets"]
            id = rows[0]["id"]
            assert (await wire.post("comment_ticket", {"id": id, "detail": "补充"}))["errno"] == 10000
            refused = await wire.post("reject_handle", {"id": id, "detail": "晚了"})
            assert refused["errno"] == 90008
            assert (await wire.get("base", id=id))["data"]["status"] == int(status)


@pytest.mark.parametrize("name", ["comment_ticket", "reject_handle"])
@pytest.mark.parametrize(
    ("body", "errno", "said"),
    [
        ({"detail": "x"}, 90004, "参数 id"),
        ({"id": "1001"}, 90004, "参数 id"),
        ({"id": 1001, "detail": 5}, 90004, "参数 detail"),
        ({"id": 1001, "productGroupId": "36"}, 90004, "参数 productGroupId"),
        ({"id": 9}, 90005, "9"),
    ],
)
async def test_a_wrong_comment_or_rejection_is_refused(name: str, body: dict[str, Any], errno: int, said: str) -> None:
    """An id is needed, and each field has its type; an unknown ticket is not found."""
    async with wired(Sandbox(3)) as wire:
        envelope = await wire.post(name, body)
        assert wire.sandbox.applied == []
    assert envelope["errno"] == errno
    assert said in envelope["errmsg"]


async def test_the_documents_second_example_closes_its_ticket() -> None:
    """The example with an attachment is answered without data; times, remark and file are there afterwards."""
    clock = Clock(NOW)
    async with wired(Sandbox(500, clock=clock)) as wire:
        wire.time = clock
        envelope = await wire.post("close_ticket", CLOSE)
        detail = (await wire.get("detail", id=1473))["data"]
        base = (await wire.get("base", id=1473))["data"]
        (shown,) = detail["handle_attachment"]
        async with wire.http.get(shown["file_path"]) as response:
            content, kind = await response.read(), response.content_type
    assert envelope.keys() == {"errno", "errmsg", "request_id"}
    assert (envelope["errno"], envelope["errmsg"]) == (10000, "OK")
    assert detail["status"] == base["status"] == 3
    assert (base["solved_time"], base["closed_time"], base["updated_time"]) == (1660298580, 1660298589, 1660298589)
    assert base["is_solved"] is False
    step = detail["assigns"][0]["history"][-1]
    assert (step["action"], step["detail"]) == (6, "这是工单关闭的备注反馈内容")
    assert (step["creator_id"], step["creator_name"]) == (base["creator_id"], "田金秀")
    assert step["created_time"] == "2022-08-12 18:03:09"
    (picture,) = CLOSE["handle_attachment"]
    assert {**shown, "file_path": picture["file_path"]} == picture
    assert (len(content), kind) == (195204, "image/png")


async def test_a_close_ends_a_suspension() -> None:
    """A suspended ticket that is closed is suspended no more, and its product line's share is as new as the close."""
    clock = Clock(NOW)
    async with wired(Sandbox(300, clock=clock)) as wire:
        wire.time = clock
        details = [(await wire.get("detail", id=id))["data"] for id in range(1001, 1301)]
        before = next(one for one in details if one["is_suspended_notice"] and one["status"] in (1, 2))
        clock.now = at = before["suspended_time"] + 1000
        close = close_of(before["id"], closer_name=before["creator_name"])
        assert (await wire.post("close_ticket", close))["errno"] == 10000
        closed = (await wire.get("detail", id=before["id"]))["data"]
        clock.now += 86_400
        await wire.post("comment_ticket", {"id": before["id"], "detail": "补充"})
        later = (await wire.get("detail", id=before["id"]))["data"]
    assert closed["is_suspended_notice"] is False
    assert closed["suspended_duration"] == later["suspended_duration"] == 1000
    shares = {one["product_group_id"]: one["updated_time"] for one in closed["assigns"]}
    assert shares[closed["product_group_id"]] == at


async def test_only_open_tickets_are_closed_and_only_by_their_creator() -> None:
    """A closed or cancelled ticket is 23000 without 沙箱 in its words; another's open one is 90006."""
    async with wired(Sandbox(0)) as wire:
        id = await created(wire)
        other = await wire.post("close_ticket", close_of(id, closer_name="田金秀", closer_id=38361))
        assert (await wire.get("base", id=id))["data"]["status"] == 1
        own = await wire.post("close_ticket", close_of(id, is_solved=True))
        late = [await wire.post("close_ticket", close_of(id, closer_name=name)) for name in ("姜程", "田金秀")]
        assert (await wire.get("base", id=id))["data"]["is_solved"] is True
        assert [one.operation for one in wire.sandbox.applied] == ["create_ticket", "close_ticket"]
    assert (other["errno"], other["errmsg"]) == (90006, "沙箱: 仅工单的创建人可关闭工单")
    assert own["errno"] == 10000
    assert [(one["errno"], one["errmsg"], "data" in one) for one in late] == [(23000, "工单状态不允许关闭", False)] * 2


@pytest.mark.parametrize("status", [1, 2, 3, 4])
async def test_each_seeded_status_is_closed_or_refused(status: int) -> None:
    """Pending and processing tickets can be closed by whoever base names, the others are refused with 23000."""
    async with wired(Sandbox(60)) as wire:
        row = (await wire.post("list_tickets", {"status": status}))["data"]["tickets"][0]
        envelope = await wire.post("close_ticket", close_of(row["id"], closer_name=row["creator_name"]))
        assert (await wire.get("base", id=row["id"]))["data"]["status"] == (max(status, 3))
    assert envelope["errno"] == (10000 if status < 3 else 23000)


@pytest.mark.parametrize(
    ("fields", "errno", "said"),
    slow_but_every(
        2,
        [
            *(({name: None}, 90004, f"参数 {name} ") for name in ("id", "closer_id", "closer_name", "solved_time")),
            ({"id": "1"}, 90004, "参数 id "),
            ({"id": 77}, 90005, "77"),
            ({"closer_id": "40084"}, 90004, "参数 closer_id "),
            ({"closer_id": 0}, 90004, "参数 closer_id "),
            ({"closer_name": ""}, 90004, "参数 closer_name "),
            ({"solved_time": 1660298589000}, 90004, "参数 solved_time "),
            ({"detail": 1}, 90004, "参数 detail "),
            ({"is_solved": 0}, 90004, "参数 is_solved "),
            ({"handle_attachment": ATTACHMENT | {"author": 1}}, 90004, "参数 handle_attachment "),
            ({"handle_attachment": [ATTACHMENT]}, 90004, "参数 handle_attachment[0].author "),
            *(
                (
                    {"handle_attachment": [ATTACHMENT | {"author": 1, name: None}]},
                    90004,
                    f"handle_attachment[0].{name} ",
                )
                for name in ATTACHMENT
            ),
            ({"handle_attachment": [ATTACHMENT | {"author": 1}]}, 90004, "参数 handle_attachment[0].file_path "),
        ],
    ),
)
async def test_close_refuses_what_the_document_does_not_allow(fields: dict[str, Any], errno: int, said: str) -> None:
    """Four fields are required, an attachment needs all five of its own, and nothing is changed by a refusal."""
    async with wired(Sandbox(0)) as wire:
        id = await created(wire)
        envelope = await wire.post("close_ticket", close_of(id) | fields)
        assert (await wire.get("base", id=id))["data"]["status"] == 1
        assert len(wire.sandbox.applied) == 1
    assert (envelope["errno"], "data" in envelope) == (errno, False)
    assert said in envelope["errmsg"]


async def test_applied_records_each_mutation_with_its_time_and_request() -> None:
    """The record holds what was carried out, in order, as it was asked, and nothing that was refused."""
    clock = Clock(NOW)
    async with wired(Sandbox(0, clock=clock)) as wire:
        wire.time = clock
        bodies = [
            ("create", ticket_request() | {"nonsense": [1]}),
            ("comment_ticket", {"id": 1, "detail": "看过了"}),
            ("reject_handle", {"id": 1, "detail": "退回", "productGroupId": 36}),
            ("close_ticket", close_of(1)),
        ]
        for name, body in bodies:
            await wire.post("comment_ticket", {"id": 404})
            assert (await wire.post(name, body))["errno"] == 10000
            clock.now += 10
        applied = wire.sandbox.applied
    assert [one.operation for one in applied] == ["create_ticket", "comment_ticket", "reject_ticket", "close_ticket"]
    assert [one.ticket_id for one in applied] == [1, 1, 1, 1]
    assert [one.time for one in applied] == [NOW, NOW + 10, NOW + 20, NOW + 30]
    assert [one.request for one in applied] == [body for _, body in bodies]


async def test_a_mutation_that_fails_midway_leaves_nothing() -> None:
    """A mutation is carried out whole or not at all, and the store goes on afterwards."""
    store = Store(None, Clock())
    await store.open([])

    def fail(store: Store, fields: dict[str, Any], now: int) -> int:
        create_ticket(store, fields, now)
        raise RuntimeError("midway")

    fields = ticket_request() | {"tags": (), "attachment": (), "relate_to_ticket_id": 0, "customer_info": ()}
    with pytest.raises(RuntimeError, match="midway"):
        store.apply("create_ticket", fail, fields, {})
    assert store.applied == []
    assert store.apply("create_ticket", create_ticket, fields, {}) == 1
    store.close()

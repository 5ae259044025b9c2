"""The four mutations by the API document's rules: what each one needs, and what it does to a ticket.

Whose closing it is: every person has a long staff number (`creator_id`) and another one in the address book
(`closer_id`), and no rule leads from one to the other. So in the sandbox the closer is the ticket's creator where
`closer_name` equals the ticket's `creator_name`; `closer_id` may be any number, 40084 for example.
"""

import sqlite3
from typing import Any

from workorder_async.document.json_text import dumps, loads
from workorder_async.sandbox.catalogue import TAGS
from workorder_async.sandbox.errnos import Errno, Refused
from workorder_async.sandbox.rules import Fields, refuse
from workorder_async.sandbox.store import Store
from workorder_async.sandbox.tables import BLANK, Action, Record, new_assign, step

_OPEN = (1, 2)
_REJECTED = 4


def _json(value: object) -> str:
    return dumps(value).decode()


def _check_files(store: Store, name: str, attachments: list[Fields]) -> None:
    for index, attachment in enumerate(attachments):
        if store.file(attachment["file_path"]) is None:
            raise refuse(f"{name}[{index}].file_path", "不是 upload_file 返回的文件路径")


def create_ticket(store: Store, fields: Fields, now: int) -> int:
    """Make a pending ticket of the product line `repository_product_id`.

    The sandbox has one numbering of product lines, for the product repository's and one's own alike. How
    `use_relate_status` shares a status is not documented: it is kept and shown, and changes no other ticket.
    """
    for index, tag in enumerate(fields["tags"]):
        if tag not in TAGS:
            raise refuse(f"tags[{index}]", f"没有标签 {tag}, 沙箱的标签是 1 到 {len(TAGS)}")
    _check_files(store, "attachment", fields["attachment"])
    if fields["relate_to_ticket_id"]:
        _related(store, fields["relate_to_ticket_id"])
    product_group_id = fields["repository_product_id"]
    made = step(Action.CREATED, now, fields["creator_id"], fields["creator_name"])
    customers = fields["customer_info"]
    return store.insert(
        {
            **BLANK,
            **{name: fields[name] for name in fields.keys() & BLANK.keys()},
            "product_group_id": product_group_id,
            "customer_user_id": str(customers[0]["user_id"]) if customers else "",
            "created_time": now,
            "updated_time": now,
            "tags": _json(fields["tags"]),
            "customer_info": _json(customers),
            "attachment": _json(fields["attachment"]),
            "assigns": _json([new_assign(product_group_id, now, [made])]),
        }
    )


def _related(store: Store, id: int) -> None:
    try:
        store.ticket(id)
    except Refused:
        raise refuse("relate_to_ticket_id", f"工单 {id} 不存在") from None


def _assigns(ticket: sqlite3.Row, product_group_id: int) -> tuple[list[Record], Record]:
    """Unpack the assigns, and find this product line's; the first one speaks for a line that has none."""
    assigns: list[Any] = loads(ticket["assigns"])
    return assigns, next((one for one in assigns if one["product_group_id"] == product_group_id), assigns[0])


def comment_ticket(store: Store, fields: Fields, now: int) -> int:
    """Add a comment to the history; a closed ticket may be commented on too.

    The request names no person: the history says 0, and the application. What a product line says that has no share
    in the ticket stands under the first one.
    """
    ticket = store.ticket(fields["id"])
    assigns, assign = _assigns(ticket, fields["productGroupId"])
    assign["history"].append(step(Action.COMMENTED, now, 0, "沙箱应用", fields["detail"]))
    assign["updated_time"] = now
    store.update(fields["id"], {"assigns": _json(assigns), "updated_time": now, "updated_progress_time": now})
    return int(fields["id"])


def reject_ticket(store: Store, fields: Fields, now: int) -> int:
    """Set a product line's share to 4 已拒绝 and say why in the history; refused with `Errno.NOT_REJECTABLE`.

    Of no product line (0) the first share is meant; a line that has none cannot reject another's.
    """
    ticket = store.ticket(fields["id"])
    if ticket["status"] not in _OPEN:
        raise Refused(Errno.NOT_REJECTABLE, "工单已关闭或已取消, 不允许拒绝")
    assigns, assign = _assigns(ticket, fields["productGroupId"])
    if fields["productGroupId"] not in (0, assign["product_group_id"]):
        lines = ", ".join(str(one["product_group_id"]) for one in assigns)
        raise refuse("productGroupId", f"产品线 {fields['productGroupId']} 不处理此工单, 处理它的是 {lines}")
    if assign["status"] == _REJECTED:
        raise Refused(Errno.NOT_REJECTABLE, "该产品线已拒绝此工单")
    assign["history"].append(step(Action.REJECTED, now, 0, "沙箱应用", fields["detail"]))
    assign.update(status=_REJECTED, updated_time=now)
    store.update(fields["id"], {"assigns": _json(assigns), "updated_time": now})
    return int(fields["id"])


def close_ticket(store: Store, fields: Fields, now: int) -> int:
    """Close a pending or processing ticket; refused with 23000 in another status, or to anyone but its creator."""
    ticket = store.ticket(fields["id"])
    if ticket["status"] not in _OPEN:
        raise Refused(Errno.NOT_CLOSABLE, "工单状态不允许关闭")
    if fields["closer_name"] != ticket["creator_name"]:
        raise Refused(Errno.NOT_CREATOR, "仅工单的创建人可关闭工单")
    _check_files(store, "handle_attachment", fields["handle_attachment"])
    assigns, assign = _assigns(ticket, ticket["product_group_id"])
    assign["history"].append(step(Action.CLOSED, now, ticket["creator_id"], ticket["creator_name"], fields["detail"]))
    assign["updated_time"] = now
    changes: Record = {
        "status": 3,
        "is_solved": fields["is_solved"],
        "is_suspended_notice": 0,
        "solved_time": fields["solved_time"],
        "closed_time": now,
        "updated_time": now,
        "handle_attachment": _json(fields["handle_attachment"]),
        "assigns": _json(assigns),
    }
    store.update(fields["id"], changes)
    return int(fields["id"])

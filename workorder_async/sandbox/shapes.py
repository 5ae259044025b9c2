"""The three shapes of one ticket on the wire, each with the API document's fields and types."""

import sqlite3
from collections.abc import Callable
from datetime import datetime
from typing import Any

from workorder_async.document import CHINA_STANDARD_TIME, JSON
from workorder_async.document.json_text import loads
from workorder_async.sandbox.catalogue import SECOND_SUBTYPES, SUB_TYPES, TAGS, ProductLine, form_fields, product_line
from workorder_async.sandbox.tables import Record

# Assigns are numbered within their ticket, and steps within their assign, so that an id never changes.
_ASSIGNS_PER_TICKET = 100
_STEPS_PER_ASSIGN = 100_000


def summary(row: sqlite3.Row) -> dict[str, JSON]:
    """Return a row of list_tickets (schema TicketListThirdResponse): codes as strings, tags' names joined by commas."""
    line = product_line(row["product_group_id"])
    return {
        "closed_time": row["closed_time"],
        "created_time": row["created_time"],
        "creator_name": row["creator_name"],
        "customer_organization_name": row["customer_organization_name"],
        "customer_user_id": row["customer_user_id"],
        "detail": row["detail"],
        "form_values": row["form_values"],
        "handler": row["handler"],
        "id": row["id"],
        "manager": line.manager.id,
        "need_process": row["need_process"],
        "priority": str(row["priority"]),
        "product_group": line.name,
        "reported_time": row["reported_time"],
        "status": str(row["status"]),
        "tags": ",".join(str(TAGS[tag]["name"]) for tag in loads(row["tags"])),
        "title": row["title"],
        "type": row["type"],
        "sub_type": row["sub_type"],
        "second_subtype": row["second_subtype"],
    }


def ticket(row: sqlite3.Row) -> dict[str, JSON]:
    """Return the answer of base (schema Ticket工单表): integers, booleans, and times in seconds."""
    return {
        "id": row["id"],
        "type": row["type"],
        "title": row["title"],
        "detail": row["detail"],
        "status": row["status"],
        "priority": row["priority"],
        "need_process": bool(row["need_process"]),
        "creator_id": row["creator_id"],
        "creator_name": row["creator_name"],
        "customer_organization_id": row["customer_organization_id"],
        "customer_organization_name": row["customer_organization_name"],
        "product_group_id": row["product_group_id"],
        "updated_time": row["updated_time"],
        "started_time": row["started_time"],
        "suspended_time": row["suspended_time"],
        "updated_progress_time": row["updated_progress_time"],
        "finished_time": row["finished_time"],
        "solved_time": row["solved_time"],
        "closed_time": row["closed_time"],
        "is_solved": bool(row["is_solved"]),
        "is_suspended_notice": bool(row["is_suspended_notice"]),
        "reported_time": row["reported_time"],
        "created_time": row["created_time"],
    }


def detail(row: sqlite3.Row, url: Callable[[str], str]) -> dict[str, JSON]:
    """Return the answer of detail (schema TicketDetail); `url` makes a temporary URL of a file's storage key.

    It is base with more fields, and with two of its times as date-time strings. Who asks is an application, so nobody
    is `is_creator` or `is_handler`.
    """
    return {
        **ticket(row),
        **_durations(row),
        "created_time": date_time(row["created_time"]),
        "reported_time": date_time(row["reported_time"]),
        "assigns": _assigns(row),
        "attachment": _attachments(row["attachment"], url),
        "handle_attachment": _attachments(row["handle_attachment"], url),
        "customer_info": [{**customer, "ticket_id": row["id"]} for customer in loads(row["customer_info"])],
        "feedback": row["feedback"],
        "feishu_group_id": row["feishu_group_id"],
        "im_group_id": row["im_group_id"],
        "form_define": [dict(one) for one in form_fields(row["form_id"])],
        "form_id": row["form_id"],
        "form_values": loads(row["form_values"] or "{}"),
        "is_creator": False,
        "product_group_name": product_line(row["product_group_id"]).name,
        "relate_to_ticket_id": row["relate_to_ticket_id"],
        "second_subtype": row["second_subtype"],
        "second_subtype_name": SECOND_SUBTYPES.get(row["second_subtype"], ""),
        "sub_type": row["sub_type"],
        "sub_type_name": SUB_TYPES.get(row["sub_type"], ""),
        "tags": [dict(TAGS[tag]) for tag in loads(row["tags"])],
        "use_relate_status": bool(row["use_relate_status"]),
    }


def date_time(seconds: int) -> str:
    """Write a time as the document does, in China Standard Time: 2021-11-11 11:11:11; 0 (has not happened) is ""."""
    if not seconds:
        return ""
    return f"{datetime.fromtimestamp(seconds, CHINA_STANDARD_TIME):%Y-%m-%d %H:%M:%S}"


def _durations(row: sqlite3.Row) -> dict[str, JSON]:
    def between(start: str, end: str) -> int:
        return max(row[end] - row[start], 0) if row[start] and row[end] else 0

    return {
        "created_duration": between("reported_time", "created_time"),
        "pending_duration": between("created_time", "started_time"),
        "process_duration": between("created_time", "finished_time"),
        "suspended_duration": between("suspended_time", "closed_time" if row["closed_time"] else "updated_time"),
        "confirm_duration": between("finished_time", "solved_time"),
        "close_duration": between("created_time", "closed_time"),
        "total_duration": between("reported_time", "solved_time"),
    }


def _attachments(packed: str, url: Callable[[str], str]) -> list[JSON]:
    return [{**one, "file_path": url(one["file_path"])} for one in loads(packed)]


def _assigns(row: sqlite3.Row) -> list[JSON]:
    return [_assign(row["id"], index, assign) for index, assign in enumerate(loads(row["assigns"]))]


def _assign(ticket_id: int, index: int, assign: Record) -> dict[str, JSON]:
    line = product_line(assign["product_group_id"])
    assign_id = ticket_id * _ASSIGNS_PER_TICKET + index
    return {
        **assign,
        "history": _history(assign, line, assign_id * _STEPS_PER_ASSIGN),
        "id": assign_id,
        "is_handler": False,
        "manager_name": line.manager.name,
        "product_group_name": line.name,
        "ticket_id": ticket_id,
        "user_group_id": line.user_group_id,
    }


def _history(assign: Record, line: ProductLine, first_id: int) -> list[JSON]:
    packed: list[Any] = assign["history"]
    return [
        {
            "action": action,
            "created_time": date_time(time),
            "creator_id": who,
            "creator_name": name,
            "creator_product_group_id": line.id,
            "creator_user_group_id": line.user_group_id,
            "detail": words,
            "id": first_id + index,
        }
        for index, (action, time, who, name, words) in enumerate(packed)
    ]

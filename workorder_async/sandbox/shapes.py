"""Answers as they go over the wire: one ticket in the API document's three shapes, and envelopes in Java's spelling.

A Java service may write the same meaning in other kinds of JSON than the API document says. Jackson writes a `Long` as
a string, to spare JavaScript. Others write an absent number as an empty string, a number as a float, a boolean as a
number or as text, a map as text or the reverse, and a time in milliseconds.
"""

import random
import sqlite3
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal, TypeAlias, get_args

from workorder_async.arguments import one_of
from workorder_async.document import JSON
from workorder_async.document.fields import iso
from workorder_async.document.json_text import dumps, loads
from workorder_async.sandbox.seed import SECOND_SUBTYPES, SUB_TYPES, TAGS, form_fields, product_line
from workorder_async.sandbox.store import Record

Spelling: TypeAlias = Literal["document", "java"]
"""How answers are spelled: as the API document says, or each value as Java might write it."""

# Fields that are shown as they are stored: those of schema Ticket工单表, in its order, and more of TicketDetail.
_BASE = (
    "id type title detail status priority need_process creator_id creator_name customer_organization_id "
    "customer_organization_name product_group_id updated_time started_time suspended_time updated_progress_time "
    "finished_time solved_time closed_time is_solved is_suspended_notice reported_time created_time"
)
_DETAIL = "feedback feishu_group_id im_group_id form_id relate_to_ticket_id second_subtype sub_type use_relate_status"
_BASE_NAMES, _DETAIL_NAMES = _BASE.split(), f"{_BASE} {_DETAIL}".split()
_FLAGS = {"need_process", "is_solved", "is_suspended_notice", "use_relate_status"}
# Each duration of TicketDetail, with the times of its beginning and its end.
_DURATIONS = {
    "created_duration": ("reported_time", "created_time"),
    "pending_duration": ("created_time", "started_time"),
    "process_duration": ("created_time", "finished_time"),
    "confirm_duration": ("finished_time", "solved_time"),
    "close_duration": ("created_time", "closed_time"),
    "total_duration": ("reported_time", "solved_time"),
}
# The id of an assign is computed from its ticket's id and its place there, the id of a step from its assign's id: they
# need not be stored, and never change.
_ASSIGNS_PER_TICKET = 100
_STEPS_PER_ASSIGN = 100_000
# For Java's spelling: numbers of the API document that may be booleans, and texts of the document that may be numbers.
_BOOLEANS = ("need_process", "use_relate_status", "is_required")
_CODES = ("status", "priority")
# Fields in which 0 is a number of things, and does not mean "absent".
_SIZES = ("total", "file_size")
# Larger whole numbers may be rounded as floats.
_FLOAT_MAX = 2**53


def summary(row: sqlite3.Row) -> dict[str, JSON]:
    """Return a row of list_tickets (schema TicketListThirdResponse): codes as strings, tags' names joined by commas."""
    shown: dict[str, JSON] = dict(zip(row.keys(), row, strict=True))
    line = product_line(row["product_group_id"])
    del shown["product_group_id"]
    shown |= {
        "manager": line.manager.id,
        "priority": str(row["priority"]),
        "product_group": line.name,
        "status": str(row["status"]),
        "tags": ",".join(str(TAGS[tag]["name"]) for tag in loads(row["tags"])),
    }
    return shown


def ticket(row: sqlite3.Row, names: Iterable[str] = _BASE_NAMES) -> dict[str, JSON]:
    """Return the answer of base (schema Ticket工单表): integers, booleans, and times in seconds."""
    return {name: bool(row[name]) if name in _FLAGS else row[name] for name in names}


def detail(row: sqlite3.Row, assigns: Iterable[Record], url: Callable[[str], str]) -> dict[str, JSON]:
    """Return the answer of detail (schema TicketDetail); `url` makes a temporary URL of a file's storage key.

    It is base with more fields, and with two of its times as date-time strings. The caller is an application, so nobody
    is `is_creator` or `is_handler`.
    """
    suspended = ("suspended_time", "closed_time" if row["closed_time"] else "updated_time")
    times = {**_DURATIONS, "suspended_duration": suspended}
    return {
        **ticket(row, _DETAIL_NAMES),
        **{name: max(row[end] - row[start], 0) if row[start] else 0 for name, (start, end) in times.items()},
        "created_time": date_time(row["created_time"]),
        "reported_time": date_time(row["reported_time"]),
        "assigns": [_assign(row["id"], index, assign) for index, assign in enumerate(assigns)],
        "attachment": _attachments(row["attachment"], url),
        "handle_attachment": _attachments(row["handle_attachment"], url),
        "customer_info": [{**customer, "ticket_id": row["id"]} for customer in loads(row["customer_info"])],
        "form_define": [dict(one) for one in form_fields(row["form_id"])],
        "form_values": loads(row["form_values"] or "{}"),
        "is_creator": False,
        "product_group_name": product_line(row["product_group_id"]).name,
        "second_subtype_name": SECOND_SUBTYPES.get(row["second_subtype"], ""),
        "sub_type_name": SUB_TYPES.get(row["sub_type"], ""),
        "tags": [dict(TAGS[tag]) for tag in loads(row["tags"])],
    }


def date_time(seconds: int) -> str:
    """Write a time as the document does, in China Standard Time: 2021-11-11 11:11:11; 0 (has not happened) is ""."""
    return (iso(seconds) or "")[:19].replace("T", " ")


def _attachments(packed: str, url: Callable[[str], str]) -> list[JSON]:
    return [{**one, "file_path": url(one["file_path"])} for one in loads(packed)]


def _assign(ticket_id: int, index: int, assign: Record) -> dict[str, JSON]:
    """Return one TicketAssign with its history, and with the names of its product line."""
    line = product_line(assign["product_group_id"])
    assign_id = ticket_id * _ASSIGNS_PER_TICKET + index
    history: list[JSON] = [
        {
            "action": action,
            "created_time": date_time(time),
            "creator_id": who,
            "creator_name": name,
            "creator_product_group_id": line.id,
            "creator_user_group_id": line.user_group_id,
            "detail": words,
            "id": assign_id * _STEPS_PER_ASSIGN + number,
        }
        for number, (action, time, who, name, words) in enumerate(assign["history"])
    ]
    return {
        **assign,
        "history": history,
        "id": assign_id,
        "is_handler": False,
        "manager_name": line.manager.name,
        "product_group_name": line.name,
        "ticket_id": ticket_id,
        "user_group_id": line.user_group_id,
    }


def speller(spelling: Spelling, seed: int) -> Callable[[JSON], Any]:
    """Return a function that spells an envelope; `seed` decides by chance for each value, so rows of a page differ."""
    one_of("spelling", spelling, get_args(Spelling))
    choose: Callable[[list[JSON]], JSON] = random.Random(f"spelling {seed}").choice  # noqa: S311 - to be repeated
    return partial(_spell, choose, "envelope") if spelling == "java" else lambda envelope: envelope


def _spell(choose: Callable[[list[JSON]], JSON], name: str, value: JSON) -> JSON:
    spelled: list[JSON] = [value]
    match value:
        case str() if name == "form_values":
            spelled.append(loads(value or "{}"))
        case dict() if name == "form_values":
            spelled.append(dumps(value).decode())
        case dict():
            spelled = [{key: _spell(choose, key, one) for key, one in value.items()}]
        case list():
            spelled = [[_spell(choose, name, one) for one in value]]
        case bool() | 0 | 1 if isinstance(value, bool) or name in _BOOLEANS:
            spelled = [bool(value), str(bool(value)).lower(), int(bool(value))]
        case int() if name == "errno":
            spelled.append(str(value))
        case int():
            spelled = _numbers(name, value)
        case str() if name == "request_id":
            spelled.append(int(value[:13], 16))
        case str() if name == "tags":
            spelled.append([one for one in value.split(",") if one])
        case str() if name in _CODES:
            spelled.append(int(value))
    return choose(spelled)


def _numbers(name: str, value: int) -> list[JSON]:
    """Return the spellings of a whole number; 0 may be "", since the API document writes 0 for an absent value."""
    spelled: list[JSON] = [value, str(value)]
    if not value and name not in _SIZES:
        return [*spelled, ""]
    if abs(value) < _FLOAT_MAX:
        spelled.append(float(value))
    if name.endswith("_time"):
        spelled += [value * 1000, str(value * 1000)]
    return spelled

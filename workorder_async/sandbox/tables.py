"""What the sandbox keeps of a ticket: the columns of its table, and how lists are packed into them."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, TypeAlias

Record: TypeAlias = dict[str, Any]
"""One row of `tickets`, by column."""

#: SQLite's application_id of a sandbox database ("WOsb"), and the version of these tables.
APPLICATION_ID = 0x574F7362
VERSION = 1

#: Every column but the id, with what a new ticket holds there. What filters read comes first: a scan stops there.
BLANK: Mapping[str, int | str] = {
    "created_time": 0,
    "status": 1,
    "type": 0,
    "sub_type": 0,
    "second_subtype": 0,
    "creator_id": 0,
    "product_group_id": 0,
    "customer_organization_name": "",
    "priority": 0,
    "need_process": 0,
    "is_solved": 0,
    "is_suspended_notice": 0,
    "creator_name": "",
    "customer_organization_id": 0,
    "customer_user_id": "",
    "handler": 0,
    "relate_to_ticket_id": 0,
    "use_relate_status": 0,
    "form_id": 0,
    "feedback": "",
    "feishu_group_id": "",
    "im_group_id": "",
    "reported_time": 0,
    "started_time": 0,
    "suspended_time": 0,
    "finished_time": 0,
    "solved_time": 0,
    "closed_time": 0,
    "updated_time": 0,
    "updated_progress_time": 0,
    "title": "",
    "detail": "",
    # The rest is JSON: lists of tag ids, schema CustomerInfo, schema Attachment (twice), `new_assign`; "" or a map.
    "tags": "[]",
    "customer_info": "[]",
    "attachment": "[]",
    "handle_attachment": "[]",
    "assigns": "[]",
    "form_values": "",
}

_COLUMNS = ", ".join(
    f"{name} {'INTEGER' if isinstance(default, int) else 'TEXT'} NOT NULL" for name, default in BLANK.items()
)

#: Ids are never given twice, as on the platform; the files' table is what upload_file gave keys for.
CREATE_TABLES = (
    f"CREATE TABLE tickets (id INTEGER PRIMARY KEY AUTOINCREMENT, {_COLUMNS})",
    "CREATE TABLE files (file_path TEXT PRIMARY KEY, file_name TEXT, file_size INTEGER, file_type TEXT) WITHOUT ROWID",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)

#: Made after the seed, which is then twice as fast. Windows of created_time and totals are answered from the first.
CREATE_INDEXES = (
    "CREATE INDEX by_time ON tickets (created_time, id)",
    "CREATE INDEX by_status ON tickets (status, created_time, id)",
    "CREATE INDEX by_creator ON tickets (creator_id, created_time, id)",
)

INSERT = f"INSERT INTO tickets (id, {', '.join(BLANK)}) VALUES (:id, {', '.join(f':{name}' for name in BLANK)})"  # noqa: S608


class Action(IntEnum):
    """The sandbox's own codes for TicketFlowHistory.action: the platform's dictionary table is not public."""

    CREATED = 1
    ACCEPTED = 2
    COMMENTED = 3
    REJECTED = 4
    FINISHED = 5
    CLOSED = 6
    REOPENED = 7


def step(action: Action, time: int, who: int, name: str, detail: str = "") -> list[int | str]:
    """Pack one TicketFlowHistory: what was done, when in seconds, by whom, in which words."""
    return [int(action), time, who, name, detail]


def new_assign(product_group_id: int, created_time: int, history: list[list[int | str]]) -> Record:
    """Pack one TicketAssign that nobody has begun; what a product line says of itself is not repeated in it."""
    return {
        "product_group_id": product_group_id,
        "status": 1,
        "user_id": 0,
        "user_name": "",
        "created_time": created_time,
        "handled_time": 0,
        "finished_time": 0,
        "updated_time": created_time,
        "history": history,
    }

"""The rules of the endpoints: the fields of each request, and its effect. `RULES` has one row for each endpoint.

A schema is the API document's table of fields. An absent field and a null are the same; fields that a schema does not
list are ignored. A wrong value is refused with `Errno.PARAMETER` and its path, for example `attachment[0].file_name`.

An assign (schema TicketAssign) is the share of one product line in a ticket: its status, its handler, its history. A
step is one entry of that history. A ticket has at least one assign.

The closer of a ticket: every person has a long staff number (`creator_id`) and another one in the address book
(`closer_id`), and no rule leads from one to the other. So in the sandbox the closer is the ticket's creator if
`closer_name` equals the ticket's `creator_name`; `closer_id` may be any number, 40084 for example.
"""

import html
import random
import re
import sqlite3
import unicodedata
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, TypeAlias

from attrs import converters, field, frozen
from attrs.validators import optional
from multidict import MultiMapping

from workorder_async.arguments import as_validator, whole_within
from workorder_async.document import JSON, endpoints
from workorder_async.document.json_text import MAX_DEPTH, dumps, is_sound, loads
from workorder_async.sandbox import shapes
from workorder_async.sandbox.errnos import Errno, Refused
from workorder_async.sandbox.faults import Fault
from workorder_async.sandbox.files import Files, find_file
from workorder_async.sandbox.seed import TAGS
from workorder_async.sandbox.store import BLANK, Action, Change, Fields, Record, Step, Store, new_assign, packed, step

Check: TypeAlias = Callable[[str, JSON], Any]
"""Takes the path and the value of a field; returns the value, or raises `Refused`."""

_INT32_MAX = 2**31 - 1
_INT64_MAX = 2**63 - 1
# The year 5138. A larger number of seconds was meant as milliseconds.
_SECONDS_MAX = 10**11
# Codes: the statuses of a ticket that can be closed, and the status 已拒绝 of an assign.
_OPEN = (1, 2)
_REJECTED = 4

Act: TypeAlias = Literal["close", "reopen", "comment"]
"""An action of a person on the platform's pages, without this API."""

Texts: TypeAlias = Literal["as sent", "no emoji", "nfc", "escaped", "cut"]
"""How the sandbox changes titles and details before it stores them: see `STORED`."""
#: What each of `Texts` does to a text: nothing, drop characters of four bytes in UTF-8 (most emoji, rare Chinese ones),
#: normalise (NFC), escape HTML, cut to 20 characters.
STORED: Mapping[str, Callable[[str], str]] = {
    "as sent": str,
    "no emoji": lambda text: "".join(one for one in text if ord(one) < 0x10000),
    "nfc": partial(unicodedata.normalize, "NFC"),
    "escaped": partial(html.escape, quote=True),
    "cut": lambda text: text[:20],
}


@frozen
class Field:
    """One line of a schema: the check of the field's value, whether it is required, and its default if it is not."""

    check: Check
    required: bool = False
    default: Any = None


Schema: TypeAlias = Mapping[str, Field]
"""A request's fields by name, as in the API document's table."""


def refuse(path: str, why: str) -> Refused:
    """Return the failure `Errno.PARAMETER`, with the path of the parameter in its text."""
    return Refused(Errno.PARAMETER, f"参数 {path} {why}")


_KINDS = {bool: "布尔值", int: "整数", float: "数字", str: "字符串", list: "数组", dict: "对象"}


def _kind(value: JSON) -> str:
    return "null" if value is None else f"{_KINDS[type(value)]} {dumps(value).decode():.40}"


def _of_kind(kind: type, path: str, value: JSON) -> Any:
    if type(value) is not kind:
        raise refuse(path, f"必须是{' true 或 false' if kind is bool else _KINDS[kind]}, 收到 {_kind(value)}")
    return value


def whole(low: int, high: int) -> Check:
    """Check for a JSON integer within these bounds, both included."""

    def check(path: str, value: JSON) -> int:
        number: int = _of_kind(int, path, value)
        if not low <= number <= high:
            raise refuse(path, f"必须在 {low} 和 {high} 之间, 收到 {number}")
        return number

    return check


text: Check = partial(_of_kind, str)
boolean: Check = partial(_of_kind, bool)


def filled_text(path: str, value: JSON) -> str:
    """Check for a JSON string that is more than white space."""
    if not text(path, value).strip():
        raise refuse(path, "不能为空")
    return str(value)


def array(item: Check) -> Check:
    """Check for a JSON array, each item by `item`."""

    def check(path: str, value: JSON) -> list[Any]:
        return [item(f"{path}[{index}]", element) for index, element in enumerate(_of_kind(list, path, value))]

    return check


def record(fields: Schema) -> Check:
    """Check for a JSON object with these fields."""
    return lambda path, value: read(_of_kind(dict, path, value), fields, f"{path}.")


def read(body: Mapping[str, JSON], fields: Schema, prefix: str = "") -> Fields:
    """Check a request against a table of fields; return all of these, with defaults for absent ones."""
    checked: Fields = {}
    for name, line in fields.items():
        value = body.get(name)
        if value is not None:
            checked[name] = line.check(prefix + name, value)
        elif line.required:
            raise refuse(prefix + name, "缺失")
        else:
            checked[name] = line.default
    return checked


def decode_json(content_type: str, body: bytes) -> dict[str, Any]:
    """Read the JSON object in a body (the document: consumes application/json)."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise Refused(Errno.BODY, f"Content-Type 必须是 application/json, 收到 {content_type!r}")
    try:
        value: JSON = loads(body)
    except ValueError as error:
        raise Refused(Errno.BODY, f"请求体不是 JSON: {error}") from None
    if not is_sound(value):
        raise Refused(Errno.BODY, f"请求体的 JSON 嵌套超过 {MAX_DEPTH} 层")
    if not isinstance(value, dict):
        raise Refused(Errno.BODY, f"请求体必须是 JSON 对象, 收到 {_kind(value)}")
    return value


def from_query(query: MultiMapping[str], fields: Schema) -> dict[str, JSON]:
    """Read a request's fields from a query string; `read` checks them afterwards.

    A field that is an array is repeated in the query. Digits become an integer unless the field is text; other values
    stay text, and `read` refuses them where they do not fit. A field without a value (`status=`) counts as absent.
    """
    body: dict[str, JSON] = {}
    for name in fields.keys() & query.keys():
        check = fields[name].check
        values: list[JSON] = [value if check is text else _number(value) for value in query.getall(name) if value]
        if values:
            body[name] = values if check is _INT64S else values[0]
    return body


def _number(value: str) -> JSON:
    return int(value) if re.fullmatch(r"-?[0-9]{1,19}", value) else value


_INT32 = whole(-_INT32_MAX - 1, _INT32_MAX)
_INT64 = whole(-_INT64_MAX - 1, _INT64_MAX)
_ID = whole(1, _INT64_MAX)
_SECONDS = whole(0, _SECONDS_MAX)
_INT64S = array(_INT64)

#: TicketListThirdRequest.
LIST: Schema = {
    "created_end": Field(_INT64),
    "created_start": Field(_INT64),
    "creator_id": Field(_INT64),
    "customer_organization_name": Field(text),
    "page": Field(whole(1, _INT32_MAX), default=1),
    "page_size": Field(whole(1, _INT32_MAX), default=10),
    "product_group_id": Field(_INT64S),
    "status": Field(_INT32),
    "type": Field(_INT32),
    "sub_type": Field(_INT32),
    "second_subtype": Field(_INT32),
}

#: The query of base and detail.
ONE: Schema = {"id": Field(_INT64, required=True)}

#: Attachment, as create takes it; close_ticket must have the author too.
_ATTACHMENT: Schema = {
    "author": Field(_INT64, default=0),
    "file_name": Field(filled_text, required=True),
    "file_path": Field(filled_text, required=True),
    "file_size": Field(whole(0, _INT64_MAX), required=True),
    "file_type": Field(filled_text, required=True),
}
_ATTACHMENT_OF_CLOSE: Schema = {**_ATTACHMENT, "author": Field(_INT64, required=True)}

#: CustomerInfo, as create takes it.
_CUSTOMER: Schema = {
    "attribute": Field(_INT64, default=0),
    "business_director_id": Field(_INT64, default=0),
    "business_director_name": Field(text, default=""),
    "level": Field(_INT32, default=0),
    "user_id": Field(_ID, required=True),
}

#: TicketCreateRequest, without its form_id and form_values ("not supported yet", 暂不支持).
CREATE: Schema = {
    "title": Field(filled_text, required=True),
    "detail": Field(filled_text, required=True),
    "tags": Field(_INT64S, default=()),
    "reported_time": Field(_SECONDS, required=True),
    "type": Field(whole(1, 3), required=True),
    "priority": Field(whole(1, 3), required=True),
    "customer_organization_id": Field(_ID, required=True),
    "customer_organization_name": Field(filled_text, required=True),
    "customer_info": Field(array(record(_CUSTOMER)), default=()),
    "repository_product_id": Field(_ID, required=True),
    "whether_product_group_id": Field(boolean, default=False),
    "attachment": Field(array(record(_ATTACHMENT)), default=()),
    "need_process": Field(boolean, default=False),
    "relate_to_ticket_id": Field(_INT64, default=0),
    "use_relate_status": Field(boolean, default=False),
    "sub_type": Field(_INT64, default=0),
    "second_subtype": Field(_INT64, default=0),
    "creator_id": Field(_ID, required=True),
    "creator_name": Field(filled_text, required=True),
}

#: TicketAutoOperateRequest, of comment_ticket and reject_handle; the table calls all three optional.
OPERATE: Schema = {
    "detail": Field(text, default=""),
    "id": Field(_INT64, required=True),
    "productGroupId": Field(_INT64, default=0),
}

#: The request of close_ticket.
CLOSE: Schema = {
    "closer_id": Field(_ID, required=True),
    "closer_name": Field(filled_text, required=True),
    "detail": Field(text, default=""),
    "handle_attachment": Field(array(record(_ATTACHMENT_OF_CLOSE)), default=()),
    "id": Field(_INT64, required=True),
    "is_solved": Field(boolean, default=False),
    "solved_time": Field(_SECONDS, required=True),
}


@frozen
class Listing:
    """list_tickets of one sandbox, with the options of `Sandbox` about it; `moved` is called after each page."""

    moved: Callable[[Store], None]
    page_size_cap: int = field(validator=as_validator(whole_within, 1, 10**6))
    page_depth: int | None = field(validator=optional(as_validator(whole_within, 1, _INT64_MAX)))
    total_cap: int | None = field(validator=optional(as_validator(whole_within, 0, _INT64_MAX)))
    ties: random.Random | None = field(converter=converters.optional(random.Random))

    def page(self, asked: "Asked") -> JSON:
        """Return the page that a request asks for; a fault (`Fault.kind`) may make it untrue."""
        fields, fault = asked.fields, asked.fault
        size = min(fields["page_size"], self.page_size_cap)
        if fault is not None and fault.kind == "first_page":
            fields = {**fields, "page": 1}
        if self.page_depth is not None and fields["page"] * size > self.page_depth:
            raise Refused(Errno.PAGE_DEPTH, f"只能读取前 {self.page_depth} 条, 第 {fields['page']} 页超出范围")
        total, rows = asked.store.shown.page(fields, size, self.ties)
        tickets = [shapes.summary(row) for row in rows]
        self.moved(asked.store)
        if self.total_cap is not None:
            total = min(total, self.total_cap)
        pagination: dict[str, JSON] = {"page_size": size, "total": total}
        if fault is not None and fault.kind in pagination:
            pagination[fault.kind] = fault.number
        if fault is not None and fault.kind == "bad_row" and tickets:
            tickets[len(tickets) // 2]["created_time"] = [1]
        return {"pagination": pagination, "tickets": [*tickets]}


@frozen
class Asked:
    """One request that has passed the gate, with everything that a rule needs to answer it."""

    store: Store
    listing: Listing
    files: Files
    origin: str
    """Scheme, host and port of the request's URL."""
    request: Mapping[str, Any]
    """The JSON object, the query, or the form."""
    fields: Fields
    """The request, checked against the schema."""
    fault: Fault | None
    """The fault that strikes the request, if there is one; it may make the answer untrue."""

    def url(self, file_path: str) -> str:
        """Return a temporary URL of a file, under the address that the request went to."""
        return self.files.temporary_url(self.origin, file_path)

    def seen(self) -> tuple[sqlite3.Row, list[Record]]:
        """Return the row and the assigns of the ticket that is asked for, or by the fault other_ticket of the next."""
        id, shown = self.fields["id"], self.store.shown
        is_other = self.fault is not None and self.fault.kind == "other_ticket"
        row = shown.ticket(shown.id_after(id) if is_other else id)
        return row, shown.assigns(row)


def upload_file(asked: Asked) -> JSON:
    """Store the file, and return its Attachment."""
    attachment = asked.files.keep(asked.request["file"])
    asked.store.add_file(attachment)
    return attachment


def create_ticket(store: Store, fields: Fields, now: int) -> int:
    """Make a pending ticket of the product line `repository_product_id`.

    In the API document this id belongs to one of two numberings, by `whether_product_group_id`: that of the product
    repository, or that of one's own product lines. The sandbox has one numbering for both. How `use_relate_status`
    shares a status is not documented: the field is stored and shown, and changes no other ticket.
    """
    for index, tag in enumerate(fields["tags"]):
        if tag not in TAGS:
            raise refuse(f"tags[{index}]", f"没有标签 {tag}, 沙箱的标签是 1 到 {len(TAGS)}")
    _check_files(store, "attachment", fields["attachment"])
    if related := fields["relate_to_ticket_id"]:
        try:
            store.ticket(related)
        except Refused:
            raise refuse("relate_to_ticket_id", f"工单 {related} 不存在") from None
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
            "tags": packed(fields["tags"]),
            "customer_info": packed(customers),
            "attachment": packed(fields["attachment"]),
            "assigns": packed([new_assign(product_group_id, now, [made])]),
        }
    )


def _check_files(store: Store, name: str, attachments: list[Fields]) -> None:
    for index, attachment in enumerate(attachments):
        if store.file(attachment["file_path"]) is None:
            raise refuse(f"{name}[{index}].file_path", "不是 upload_file 返回的文件路径")


def _assigns(ticket: sqlite3.Row, product_group_id: int) -> tuple[list[Record], int]:
    """Return a ticket's assigns, and the index of the product line's assign: 0, the first, if it has none."""
    assigns: list[Record] = loads(ticket["assigns"])
    lines = [one["product_group_id"] for one in assigns]
    return assigns, lines.index(product_group_id) if product_group_id in lines else 0


def _by_application(action: Action, fields: Fields, now: int) -> Step:
    """Return the step of a request that names no person: its person is number 0, with the application's name."""
    return step(action, now, 0, "沙箱应用", fields["detail"])


def comment_ticket(store: Store, fields: Fields, now: int) -> int:
    """Add a comment to the history; a closed ticket may be commented on too.

    A comment of a product line without an assign in the ticket goes to the history of the first assign.
    """
    id: int = fields["id"]
    _, place = _assigns(store.ticket(id), fields["productGroupId"])
    store.add_step(id, place, _by_application(Action.COMMENTED, fields, now))
    store.update(id, {"updated_time": now, "updated_progress_time": now})
    return id


def reject_ticket(store: Store, fields: Fields, now: int) -> int:
    """Set a product line's assign to 4 已拒绝, and add the reason to its history.

    A request without a product line (0) means the first assign; a product line without an assign is refused. A ticket
    that is not open, and an assign that is rejected already, are refused with `Errno.NOT_REJECTABLE`.
    """
    id, line = fields["id"], fields["productGroupId"]
    ticket = store.ticket(id)
    if ticket["status"] not in _OPEN:
        raise Refused(Errno.NOT_REJECTABLE, "工单已关闭或已取消, 不允许拒绝")
    assigns, place = _assigns(ticket, line)
    if line not in (0, assigns[place]["product_group_id"]):
        lines = ", ".join(str(one["product_group_id"]) for one in assigns)
        raise refuse("productGroupId", f"产品线 {line} 不处理此工单, 处理它的是 {lines}")
    if assigns[place]["status"] == _REJECTED:
        raise Refused(Errno.NOT_REJECTABLE, "该产品线已拒绝此工单")
    assigns[place]["status"] = _REJECTED
    store.add_step(id, place, _by_application(Action.REJECTED, fields, now))
    store.update(id, {"assigns": packed(assigns), "updated_time": now})
    return int(id)


def close_ticket(store: Store, fields: Fields, now: int) -> int:
    """Close a pending or processing ticket; refused with 23000 in another status, or to anyone but its creator."""
    id: int = fields["id"]
    ticket = store.ticket(id)
    if ticket["status"] not in _OPEN:
        raise Refused(Errno.NOT_CLOSABLE, "工单状态不允许关闭")
    if fields["closer_name"] != ticket["creator_name"]:
        raise Refused(Errno.NOT_CREATOR, "仅工单的创建人可关闭工单")
    files = fields["handle_attachment"]
    _check_files(store, "handle_attachment", files)
    act(store, id, "close", now, fields["detail"])
    said = {"is_solved": fields["is_solved"], "solved_time": fields["solved_time"], "handle_attachment": packed(files)}
    store.update(id, said)
    return id


def act(store: Store, id: int, action: Act, now: int, words: str = "", *, status: int = 1) -> None:
    """Change a ticket as a person does on the platform's pages; a reopened ticket gets `status`."""
    ticket = store.ticket(id)
    who, name = (40999, "路人") if action == "comment" else (ticket["creator_id"], ticket["creator_name"])
    done = {"close": Action.CLOSED, "reopen": Action.REOPENED, "comment": Action.COMMENTED}[action]
    assigns, place = _assigns(ticket, ticket["product_group_id"])
    changes: Record = {"updated_time": now}
    if action == "close":
        changes |= {"status": 3, "is_solved": True, "is_suspended_notice": 0, "solved_time": now, "closed_time": now}
    elif action == "reopen":
        # 1 (pending) and 2 (in process) mean the same for a ticket and for an assign.
        assigns[place].update(status=status, finished_time=0)
        changes |= dict.fromkeys(("is_solved", "finished_time", "solved_time", "closed_time"), 0)
        changes |= {"status": status, "assigns": packed(assigns)}
    store.add_step(id, place, step(done, now, who, name, words))
    store.update(id, changes)


@frozen
class Rule:
    """The rule of one endpoint."""

    endpoint: endpoints.Endpoint
    schema: Schema
    answer: Callable[[Asked], JSON]
    """Returns the `data` of the answer; None for an answer without `data`."""
    further_methods: tuple[str, ...] = ()
    """HTTP methods that are taken besides the document's: list_tickets may be a GET with a query."""
    decode: Callable[[str, bytes], dict[str, Any]] = decode_json
    """Takes a request's Content-Type and body; returns the fields, not yet checked."""
    limit: int = 16 << 20
    """The largest body that is read, in bytes; it is held in memory as a whole."""


def _mutation(
    endpoint: endpoints.Endpoint, schema: Schema, change: Change, data: Callable[[int], JSON] = lambda _: {}
) -> Rule:
    """Make the rule of a mutation; `data` returns the `data` of its answer from the ticket's id."""

    def answer(asked: Asked) -> JSON:
        return data(asked.store.apply(endpoint.operation, change, asked.fields, asked.request))

    return Rule(endpoint, schema, answer)


#: Every endpoint.
RULES = (
    Rule(endpoints.LIST_TICKETS, LIST, lambda asked: asked.listing.page(asked), ("GET",)),
    Rule(endpoints.GET_TICKET, ONE, lambda asked: shapes.ticket(asked.seen()[0])),
    Rule(endpoints.GET_TICKET_DETAIL, ONE, lambda asked: shapes.detail(*asked.seen(), asked.url)),
    _mutation(endpoints.CREATE_TICKET, CREATE, create_ticket, lambda ticket_id: {"id": ticket_id}),
    _mutation(endpoints.COMMENT_TICKET, OPERATE, comment_ticket),
    _mutation(endpoints.REJECT_TICKET, OPERATE, reject_ticket),
    _mutation(endpoints.CLOSE_TICKET, CLOSE, close_ticket, lambda _: None),
    Rule(
        endpoints.UPLOAD_FILE, {}, upload_file, decode=lambda kind, body: {"file": find_file(kind, body)}, limit=1 << 30
    ),
)

"""What a request must hold: the API document's request schemas as tables of fields, and how they are checked.

An absent field and a null are the same; fields that a schema does not list are ignored. A wrong one is refused with
`Errno.PARAMETER` and its path, for example `attachment[0].file_name`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from attrs import frozen
from multidict import MultiMapping

from workorder_async.document import JSON
from workorder_async.document.json_text import dumps, loads
from workorder_async.sandbox.errnos import Errno, Refused

Fields: TypeAlias = dict[str, Any]
"""A checked request: every field of its schema, with the default where it was left out."""

Check: TypeAlias = Callable[[str, JSON], Any]

_INT32_MAX = 2**31 - 1
_INT64_MAX = 2**63 - 1
# Seconds beyond this are the year 5138: somebody sent milliseconds.
_SECONDS_MAX = 10**11


@frozen
class Field:
    """One line of a schema: how its value is checked, whether it must be there, and what it is where it is not."""

    check: Check
    required: bool = False
    default: Any = None


Schema: TypeAlias = Mapping[str, Field]
"""A request's fields by name, as the API document tables them."""


def refuse(path: str, why: str) -> Refused:
    """Return the failure that names the parameter."""
    return Refused(Errno.PARAMETER, f"参数 {path} {why}")


def whole(low: int, high: int) -> Check:
    """Check for a JSON integer within these bounds, both included."""

    def check(path: str, value: JSON) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise refuse(path, f"必须是整数, 收到 {_kind(value)}")
        if not low <= value <= high:
            raise refuse(path, f"必须在 {low} 和 {high} 之间, 收到 {value}")
        return value

    return check


def text(path: str, value: JSON) -> str:
    """Check for a JSON string."""
    if not isinstance(value, str):
        raise refuse(path, f"必须是字符串, 收到 {_kind(value)}")
    return value


def filled_text(path: str, value: JSON) -> str:
    """Check for a JSON string that is more than white space."""
    if not text(path, value).strip():
        raise refuse(path, "不能为空")
    return str(value)


def boolean(path: str, value: JSON) -> bool:
    """Check for true or false."""
    if not isinstance(value, bool):
        raise refuse(path, f"必须是 true 或 false, 收到 {_kind(value)}")
    return value


def array(item: Check) -> Check:
    """Check for a JSON array, each item by `item`."""

    def check(path: str, value: JSON) -> list[Any]:
        if not isinstance(value, list):
            raise refuse(path, f"必须是数组, 收到 {_kind(value)}")
        return [item(f"{path}[{index}]", element) for index, element in enumerate(value)]

    return check


def record(fields: Schema) -> Check:
    """Check for a JSON object with these fields."""

    def check(path: str, value: JSON) -> Fields:
        if not isinstance(value, dict):
            raise refuse(path, f"必须是对象, 收到 {_kind(value)}")
        return read(value, fields, f"{path}.")

    return check


def read(body: Mapping[str, JSON], fields: Schema, prefix: str = "") -> Fields:
    """Check a request against a table of fields."""
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


def _kind(value: JSON) -> str:
    names = {bool: "布尔值", int: "整数", float: "数字", str: "字符串", list: "数组", dict: "对象"}
    return "null" if value is None else f"{names[type(value)]} {dumps(value).decode():.40}"


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


def _attachment(*, author_required: bool) -> Schema:
    return {
        "author": Field(_INT64, required=author_required, default=0),
        "file_name": Field(filled_text, required=True),
        "file_path": Field(filled_text, required=True),
        "file_size": Field(whole(0, _INT64_MAX), required=True),
        "file_type": Field(filled_text, required=True),
    }


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
    "attachment": Field(array(record(_attachment(author_required=False))), default=()),
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
    "handle_attachment": Field(array(record(_attachment(author_required=True))), default=()),
    "id": Field(_INT64, required=True),
    "is_solved": Field(boolean, default=False),
    "solved_time": Field(_SECONDS, required=True),
}


def decode(content_type: str, body: bytes) -> dict[str, JSON]:
    """Read the JSON object in a body (the document: consumes application/json)."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise Refused(Errno.BODY, f"Content-Type 必须是 application/json, 收到 {content_type!r}")
    try:
        value: JSON = loads(body)
    except ValueError as error:
        raise Refused(Errno.BODY, f"请求体不是 JSON: {error}") from None
    if not isinstance(value, dict):
        raise Refused(Errno.BODY, f"请求体必须是 JSON 对象, 收到 {_kind(value)}")
    return value


def from_query(query: MultiMapping[str], fields: Schema) -> dict[str, JSON]:
    """Read the same fields from a query string; an array is a field that repeats, what is no integer stays text.

    One without a value is as good as absent.
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

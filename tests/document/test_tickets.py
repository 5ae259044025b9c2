import pickle
from collections.abc import Callable
from datetime import datetime
from typing import Any

import attrs
import pytest

from tests.support.rows import each
from workorder_async.document import (
    AssignStatus,
    Attachment,
    CustomerInfo,
    FormFieldType,
    Pagination,
    Priority,
    Tag,
    Ticket,
    TicketAssign,
    TicketDetail,
    TicketFlowHistory,
    TicketFormField,
    TicketPage,
    TicketStatus,
    TicketSummary,
    TicketType,
)
from workorder_async.errors import DecodeError

# Every schema that an answer of the API document has, field for field in the document's order, with the value that a
# field has where the answer lacks it.
SCHEMAS: dict[type, dict[str, object]] = {
    Pagination: {"page_size": 0, "total": 0},
    TicketPage: {"pagination": Pagination(), "tickets": []},
    TicketSummary: {
        "closed_time": 0,
        "created_time": 0,
        "creator_name": "",
        "customer_organization_name": "",
        "customer_user_id": "",
        "detail": "",
        "form_values": "",
        "handler": 0,
        "id": attrs.NOTHING,
        "manager": 0,
        "need_process": False,
        "priority": Priority(0),
        "product_group": "",
        "reported_time": 0,
        "status": TicketStatus(0),
        "tags": "",
        "title": "",
        "type": TicketType(0),
        "sub_type": 0,
        "second_subtype": 0,
    },
    Ticket: {
        "closed_time": 0,
        "created_time": 0,
        "creator_id": 0,
        "creator_name": "",
        "customer_organization_id": 0,
        "customer_organization_name": "",
        "detail": "",
        "finished_time": 0,
        "id": attrs.NOTHING,
        "is_solved": False,
        "is_suspended_notice": False,
        "need_process": False,
        "priority": Priority(0),
        "product_group_id": 0,
        "reported_time": 0,
        "solved_time": 0,
        "started_time": 0,
        "status": TicketStatus(0),
        "suspended_time": 0,
        "title": "",
        "type": TicketType(0),
        "updated_progress_time": 0,
        "updated_time": 0,
    },
    TicketDetail: {
        "assigns": [],
        "attachment": [],
        "close_duration": 0,
        "closed_time": 0,
        "confirm_duration": 0,
        "created_duration": 0,
        "created_time": 0,
        "creator_id": 0,
        "creator_name": "",
        "customer_info": [],
        "customer_organization_id": 0,
        "customer_organization_name": "",
        "detail": "",
        "feedback": "",
        "feishu_group_id": "",
        "finished_time": 0,
        "form_define": [],
        "form_id": 0,
        "form_values": {},
        "handle_attachment": [],
        "id": attrs.NOTHING,
        "is_creator": False,
        "is_solved": False,
        "is_suspended_notice": False,
        "need_process": False,
        "pending_duration": 0,
        "priority": Priority(0),
        "process_duration": 0,
        "product_group_id": 0,
        "product_group_name": "",
        "relate_to_ticket_id": 0,
        "reported_time": 0,
        "second_subtype": 0,
        "second_subtype_name": "",
        "solved_time": 0,
        "started_time": 0,
        "status": TicketStatus(0),
        "sub_type": 0,
        "sub_type_name": "",
        "suspended_duration": 0,
        "suspended_time": 0,
        "tags": [],
        "title": "",
        "total_duration": 0,
        "type": TicketType(0),
        "updated_progress_time": 0,
        "updated_time": 0,
        "use_relate_status": False,
        # In the document's example, not in its table.
        "im_group_id": "",
    },
    TicketAssign: {
        "created_time": 0,
        "finished_time": 0,
        "handled_time": 0,
        "history": [],
        "id": 0,
        "is_handler": False,
        "manager_name": "",
        "product_group_id": 0,
        "product_group_name": "",
        "status": AssignStatus(0),
        "ticket_id": 0,
        "updated_time": 0,
        "user_group_id": 0,
        "user_id": 0,
        "user_name": "",
    },
    TicketFlowHistory: {
        "action": 0,
        "created_time": 0,
        "creator_id": 0,
        "creator_name": "",
        "creator_product_group_id": 0,
        "creator_user_group_id": 0,
        "detail": "",
        "id": 0,
    },
    Attachment: {"author": None, "file_name": "", "file_path": "", "file_size": 0, "file_type": ""},
    CustomerInfo: {
        "attribute": None,
        "business_director_id": None,
        "business_director_name": None,
        "level": None,
        "ticket_id": None,
        "user_id": 0,
    },
    TicketFormField: {
        "created_time": 0,
        "display_name": "",
        "display_order": 0,
        "display_remarks": "",
        "form_id": 0,
        "id": 0,
        "is_deleted": False,
        "is_required": False,
        "options": "",
        "type": FormFieldType(0),
        "updated_time": 0,
    },
    Tag: {"created_time": 0, "id": 0, "is_deleted": False, "is_enabled": False, "name": "", "updated_time": 0},
}
NEEDS_ID = (TicketSummary, Ticket, TicketDetail)
MOMENTS = [
    (schema, name) for schema, fields in SCHEMAS.items() for name in fields if name.endswith("_time")
]  # each has a property of the same name that ends in _at

of_each_schema = each("schema", SCHEMAS)
of_each_moment = each(("schema", "name"), MOMENTS)


def make(schema: type, **fields: object) -> Any:
    """Make an instance that has only the fields given, and an id where there must be one."""
    return schema(**({"id": 7} if schema in NEEDS_ID else {}) | fields)


@of_each_schema
def test_fields(schema: type) -> None:
    """A class has every field of its schema in the API document, and no other."""
    assert {field.name for field in attrs.fields(schema)} == set(SCHEMAS[schema])


@of_each_schema
def test_defaults(schema: type) -> None:
    """What an answer lacks has the documented default, of the field's own kind; only a ticket's id must be there."""
    bare = make(schema)
    for name, default in SCHEMAS[schema].items():
        value = getattr(bare, name)
        if default is attrs.NOTHING:
            assert value == 7
        else:
            assert value == default
            assert type(value) is type(default)


@each("schema", NEEDS_ID)
def test_id_must_be_there(schema: type) -> None:
    """A ticket without an id is no ticket."""
    with pytest.raises(TypeError, match="'id'"):
        schema()


@of_each_schema
def test_defaults_are_not_shared(schema: type) -> None:
    """Changing a list or map of one answer changes no other."""
    for name, default in SCHEMAS[schema].items():
        if isinstance(default, list | dict | Pagination):
            assert getattr(make(schema), name) is not getattr(make(schema), name)


@of_each_moment
def test_moment(schema: type, name: str) -> None:
    """Whole seconds in `_time` are read through `_at` as an aware datetime in China Standard Time."""
    at = getattr(make(schema, **{name: 1632742075}), name.replace("_time", "_at"))
    assert isinstance(at, datetime)
    assert at.isoformat() == "2021-09-27T19:27:55+08:00"
    assert at.tzname() == "CST"


@of_each_moment
def test_moment_that_has_not_happened(schema: type, name: str) -> None:
    """Zero seconds are no time, not the year 1970."""
    assert getattr(make(schema, **{name: 0}), name.replace("_time", "_at")) is None


@of_each_moment
@each("seconds", [1632742075000, -(10**12), 10**30, -(10**30)])
def test_moment_out_of_range(schema: type, name: str, seconds: int) -> None:
    """Seconds beyond what a datetime holds, milliseconds above all, are an error that names the field and the value."""
    ticket = make(schema, **{name: seconds})
    with pytest.raises(DecodeError, match=f"{name} is {seconds}, which is no time in seconds") as caught:
        getattr(ticket, name.replace("_time", "_at"))
    assert caught.value.path == f"$.{name}"
    assert caught.value.expected == "seconds"


@each(
    ("text", "value"),
    [
        ("", None),
        (" \n", None),
        ("null", None),
        ('{"区域": "北京", "数量": [1, 2.5, true]}', {"区域": "北京", "数量": [1, 2.5, True]}),
        (' "文本" ', "文本"),
    ],
)
def test_form_values_json(text: str, value: object) -> None:
    """A list row's form values are parsed when asked for; none at all are None."""
    row = TicketSummary(id=1, form_values=text)
    assert row.form_values_json == value
    assert row.form_values == text


@each("text", ["区域=北京", "{", "{'a': 1}", "[1,]", "NaN", "[" * 100_000, "[" * 65 + "]" * 65, '{"a": 1e999}'])
def test_form_values_that_are_not_json(text: str) -> None:
    """Form values that are not JSON are an error that names the ticket, and stay readable as text."""
    row = TicketSummary(id=1473, form_values=text)
    with pytest.raises(DecodeError, match="form_values of ticket 1473 is not JSON") as caught:
        _ = row.form_values_json
    assert caught.value.path == "$.form_values"
    assert caught.value.expected == "JSON"
    assert row.form_values == text


@each(
    ("value", "name"),
    [(value, field.name) for value in (Attachment(), CustomerInfo()) for field in attrs.fields(type(value))],
)
def test_what_is_sent_again_is_frozen(value: Attachment | CustomerInfo, name: str) -> None:
    """An attachment or customer, which also goes into mutations and journals, cannot be changed and can be a key."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, name, "other")
    assert {value: 1}[attrs.evolve(value)] == 1


UNKNOWN: Any = "搁置"


def detail() -> TicketDetail:
    """Make a ticket's detail with something in each of its lists."""
    return TicketDetail(
        id=1473,
        status=TicketStatus(UNKNOWN),
        assigns=[TicketAssign(id=1, status=AssignStatus(9), history=[TicketFlowHistory(id=2, detail="已联系客户")])],
        attachment=[Attachment(file_name="trace.png", file_size=195204)],
        customer_info=[CustomerInfo(user_id=5, level=2)],
        tags=[Tag(id=3, name="网络")],
        form_define=[TicketFormField(id=4, type=FormFieldType.RADIO)],
        form_values={"区域": ["北京", None]},
    )


@each(
    "change",
    [
        lambda ticket: setattr(ticket, "title", "其他"),
        lambda ticket: setattr(ticket, "status", TicketStatus.PENDING),
        lambda ticket: setattr(ticket.assigns[0].history[0], "detail", "其他"),
        lambda ticket: ticket.tags.append(Tag(id=6)),
        lambda ticket: ticket.form_values.clear(),
    ],
)
def test_equal_field_by_field(change: Callable[[TicketDetail], object]) -> None:
    """Two tickets are equal while every field is, however deep; pickling makes an equal one."""
    ticket = pickle.loads(pickle.dumps(detail()))
    assert ticket == detail()
    change(ticket)
    assert ticket != detail()


@of_each_schema
def test_no_stray_attributes(schema: type) -> None:
    """A misspelled field is an error, not a new attribute."""
    with pytest.raises(AttributeError):
        make(schema).titel = "x"

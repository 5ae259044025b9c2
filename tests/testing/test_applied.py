"""What `assert_applied` says of mutations that are not as they should be."""

from collections.abc import Sequence
from datetime import datetime
from unittest.mock import ANY

import pytest
from attrs import evolve

from tests.support.rows import each
from workorder_async import Attachment, CloseTicket, CommentTicket, ConfigError, CreateTicket, RejectTicket
from workorder_async.document import CHINA_STANDARD_TIME
from workorder_async.document.codec import encode
from workorder_async.mutations.kinds import kind_of
from workorder_async.sandbox import Applied, Sandbox
from workorder_async.testing import Expected, assert_applied


class Carried(Sandbox):
    """A sandbox that says it carried these out."""

    def __init__(self, *mutations: CloseTicket | CommentTicket | CreateTicket | RejectTicket) -> None:
        super().__init__(0)
        self._carried = [
            Applied(kind_of(one).endpoint.operation, getattr(one, "id", 1042), 0.0, encode(one))  # type: ignore[arg-type]
            for one in mutations
        ]

    @property
    def applied(self) -> list[Applied]:
        """Return them."""
        return self._carried


def comment(id: int, detail: str = "收到") -> CommentTicket:
    """Return a comment."""
    return CommentTicket(id=id, detail=detail)


def close(id: int, **options: object) -> CloseTicket:
    """Return a close."""
    given = {"closer_id": 40084, "closer_name": "田金秀", "solved_time": 1735660800, **options}
    return CloseTicket(id=id, **given)  # type: ignore[arg-type]


CREATE = CreateTicket(
    title="无法登录",
    detail="控制台报错",
    reported_time=1735660800,
    type=1,
    priority=2,
    customer_organization_id=5001,
    customer_organization_name="晨曦",
    repository_product_id=36,
    creator_id=210001,
    creator_name="田金秀",
)


def test_fields_as_a_mutation_takes_them() -> None:
    """Tuples, attachments and moments are as in the mutation; a moment without a zone is refused, as there."""
    file = Attachment(author=7, file_name="a.png", file_path="workorder/7/a", file_size=3, file_type="image/png")
    sandbox = Carried(evolve(CREATE, tags=(1, 2)), close(1001, handle_attachment=[file]))
    at = datetime.fromtimestamp(1735660800.5, CHINA_STANDARD_TIME)
    fields = {"handle_attachment": [file], "solved_time": at, "closer_id": ANY}
    assert_applied(sandbox, [("create_ticket", {"tags": (1, 2), "type": "问题排查"}), ("close_ticket", fields)])
    with pytest.raises(ConfigError, match=r"expected solved_time is datetime.*; it must be whole seconds since"):
        assert_applied(sandbox, [("close_ticket", {"solved_time": at.replace(tzinfo=None)})])


@pytest.mark.parametrize(
    ("carried", "expected"),
    [
        ([], []),
        ([comment(1), close(2), CREATE], [CREATE, comment(1), close(2)]),
        ([comment(1), comment(1)], [comment(1), comment(1)]),
        ([close(1)], [("close_ticket", {"id": 1, "closer_name": "田金秀"})]),
        ([close(1)], [("close_ticket", {})]),
        ([close(1)], [("close_ticket", {"id": 1, "solved_time": datetime(2025, 1, 1, tzinfo=CHINA_STANDARD_TIME)})]),
        ([close(1)], [("close_ticket", {"id": 1, "solved_time": ANY, "handle_attachment": ANY})]),
        # A null is as good as an absent field.
        ([comment(1)], [("comment_ticket", {"id": 1, "productGroupId": None})]),
        # Whichever of them is looked at first, both are found.
        ([comment(1, "a"), comment(1, "b")], [("comment_ticket", {"id": 1}), comment(1, "a")]),
        (
            [comment(1, "a"), comment(1, "b"), comment(2, "b")],
            [("comment_ticket", {"detail": "b"}), ("comment_ticket", {"id": 1}), comment(1, "b")],
        ),
        # More than Python's recursion goes deep.
        ([comment(1)] * 1100, [comment(1)] * 1100),
        ([comment(number) for number in range(1, 201)], [comment(number) for number in range(200, 0, -1)]),
    ],
)
def test_as_expected(carried: Sequence[CommentTicket], expected: Sequence[Expected]) -> None:
    """Mutations in any order, whole or by some of their fields, each once."""
    assert_applied(Carried(*carried), expected)
    assert_applied(Carried(*carried), iter(expected))


@each(
    ("carried", "expected", "said"),
    [
        (
            [],
            [comment(1)],
            ["carried out 0 mutations, and 1 should have been:", '  missing: comment_ticket {"id":1,"detail":"收到"}'],
        ),
        ([comment(1)], [], ['  not expected: comment_ticket {"id":1,"detail":"收到"}, ticket 1']),
        (
            [comment(1), comment(1)],
            [comment(1)],
            ["carried out 2 mutations", "  came 2 times, and should have come 1: comment_ticket"],
        ),
        ([comment(1)] * 4, [comment(1)] * 2, ["  came 4 times, and should have come 2: comment_ticket"]),
        ([close(1), close(1)], [("close_ticket", {"id": 1})], ["  came 2 times, and should have come 1: close_ticket"]),
        (
            [close(1, closer_name="姜程")],
            [close(1)],
            ["  differs: close_ticket, ticket 1", '    closer_name is "姜程", and should be "田金秀"'],
        ),
        ([close(1)], [("close_ticket", {"detail": "x"})], ["  differs: ", '    detail is null, and should be "x"']),
        (
            [CREATE],
            [("create_ticket", {"title": "别的"})],
            ["  differs: ", '    title is "无法登录", and should be "别的"'],
        ),
        (
            [close(1)],
            [("close_ticket", {"closer_id": ANY, "id": 2})],
            ["  missing: close_ticket {", "  not expected: "],
        ),
        (
            [comment(1, "一样" * 200 + "甲")],
            [comment(1, "一样" * 200 + "乙")],
            ["  differs: ", '    detail is "一样一样', '一样甲"', '一样乙"'],
        ),
        (
            [comment(1, "a"), comment(1, "a"), comment(2), close(3, solved_time=7)],
            [comment(1, "a"), comment(2, "x"), close(3), close(4)],
            [
                "  differs: comment_ticket, ticket 2\n",
                '    detail is "收到", and should be "x"\n',
                "  differs: close_ticket, ticket 3\n    solved_time is 7, and should be 1735660800\n",
                '  missing: close_ticket {"id":4,',
                "  came 2 times, and should have come 1: comment_ticket",
            ],
        ),
        (
            [comment(2), comment(1), comment(1)],
            [("comment_ticket", {"id": 1}), ("comment_ticket", {})],
            ["carried out 3 mutations, and 2 should have been:", "  not expected: comment_ticket {"],
        ),
        ([comment(1)] * 700, [comment(1)] * 1500, ["carried out 700 mutations, and 1500", "  missing: comment_ticket"]),
    ],
)
def test_what_is_wrong_is_said(carried: Sequence[CommentTicket], expected: Sequence[Expected], said: list[str]) -> None:
    """Which one is missing, came again, was not expected, or differs in which field; nothing else is said."""
    with pytest.raises(AssertionError) as caught:
        assert_applied(Carried(*carried), expected)
    message = str(caught.value)
    for part in said:
        assert part in message
    for word in ("missing:", "not expected:", "differs:", "came "):
        assert (f"\n  {word}" in message) == any(f"  {word}" in part for part in said), message
    assert len(max(message.splitlines(), key=len)) < 400


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        (comment(1), r"expected is CommentTicket\(.*; it must be a list, in brackets"),
        (("close_ticket", {}), r"expected is \('close_ticket', \{\}\); it must be a list, in brackets"),
        ("close_ticket", "expected is 'close_ticket'; it must be a list"),
        ([("close", {})], "operation is 'close'; it must be 'create_ticket' or 'comment_ticket'"),
        ([("close_ticket",)], r"expected has \('close_ticket',\); it must be as"),
        ([("close_ticket", None)], r"expected has \('close_ticket', None\); it must be as"),
        (
            [("close_ticket", {"detial": None})],
            "expected: close_ticket has no field 'detial'; did you mean detail",
        ),
        ([7], "a int is no mutation; use one of CreateTicket, CommentTicket"),
    ],
)
def test_wrong_use_is_told(expected: list[Expected], said: str) -> None:
    """What cannot be expected is a `ConfigError`, not a difference."""
    with pytest.raises(ConfigError, match=said):
        assert_applied(Carried(), expected)
    with pytest.raises(ConfigError, match=r"sandbox is \[\]; it must be a sandbox, such as workorder_sandbox"):
        assert_applied([], expected)  # type: ignore[arg-type]

"""The five tables of codes in the API document, as enumerations that stay open.

A code or name that is not in the document becomes a member that carries it: `TicketStatus(9).value == 9`. Such a member
equals another with the same value, can be pickled, and is encoded as it came. A code is also read from text ("9",
"9.0"), and a known name also in English, in any case.

A member equals its code, and is found by it in dicts and sets: `TicketStatus.CLOSED == 3`; one with an unknown name
equals that text. It does not equal its name, `"closed"`, nor the text of a code, `"3"`, nor a member of another
enumeration. So equality does not pass through a code: `TicketStatus(1) == 1 == TicketType(1)`, and `TicketStatus(1) !=
TicketType(1)`. Do not put codes and members of two enumerations into one set or dict.
"""

import re
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Self

from workorder_async.arguments import shown
from workorder_async.errors import ConfigError

__all__ = ["AssignStatus", "FormFieldType", "Priority", "TicketStatus", "TicketType"]

#: A code that came as text. A longer one may have more than 64 bits, and stays text.
_WHOLE = re.compile(r"([+-]?\d{1,18})(?:\.0*)?")


class OpenEnum(Enum):
    """An enumeration of integer codes with a Chinese label, open to codes and names that are not known yet.

    A member equals its code: `TicketStatus.CLOSED == 3`. It does not equal its name: compare with the member itself.
    """

    _value_: int | str
    label: str
    """The name in the API document, or the unknown value as text."""
    _labels: tuple[str, ...]

    def __new__(cls, value: int | str, *labels: str) -> Self:
        """Make a member of the table from its code and its label; further labels are read, never written."""
        member: Self = object.__new__(cls)
        member._value_ = value
        member.label = labels[0]
        member._labels = labels
        return member

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        """Return the known member of this value, or a new member that carries it; None refuses the value."""
        if isinstance(value, bool) or not isinstance(value, int | str):
            return None
        if isinstance(value, str):
            known = cls._named(value)
            if known is not None:
                return known
            if (whole := _WHOLE.fullmatch(value.strip())) is not None:
                return cls(int(whole[1]))
        member: Self = object.__new__(cls)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        member.label = str(value)
        return member

    def __eq__(self, other: object) -> bool:
        if isinstance(other, OpenEnum):
            return self.__class__ is other.__class__ and self._value_ == other._value_
        return self._value_ == other

    def __hash__(self) -> int:
        return hash(self._value_)

    @property
    def is_known(self) -> bool:
        """Whether the API document lists this code."""
        return self._value_ in self.__class__._value2member_map_

    @classmethod
    @cache
    def readings(cls) -> Mapping[int | str, Self]:
        """Map everything the platform may write for a known member to it: the code, the code as text, the labels."""
        table: dict[int | str, Self] = {}
        for member in cls:
            table |= dict.fromkeys((member._value_, str(member._value_), *member._labels), member)
        return table

    @classmethod
    def _named(cls, text: str) -> Self | None:
        """Return the known member with this code, label or English name; None if there is none."""
        name = text.strip()
        return cls.readings().get(name) or cls.__members__.get(name.upper().replace(" ", "_"))

    @classmethod
    def parse(cls, value: "int | str | OpenEnum") -> Self:
        """Read the words of a person: a member, its code, its Chinese label or its English name.

        Raises `ConfigError` for anything else; write `TicketStatus(9)` to mean a code that the document does not list.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, str) and (named := cls._named(value)) is not None:
            return named
        if isinstance(value, int) and not isinstance(value, bool) and value in cls._value2member_map_:
            return cls(value)
        known = ", ".join(f"{member.value} {member.name.lower()} {member.label}" for member in cls)
        raise ConfigError(f"{shown(value)} is not a {cls.__name__}", mend=f"use one of: {known}")


class TicketStatus(OpenEnum):
    """Status of a ticket (工单状态)."""

    PENDING = 1, "待处理"
    """Nobody has begun (待处理)."""
    PROCESSING = 2, "处理中"
    """Somebody works on it (处理中)."""
    CLOSED = 3, "已关闭"
    """Closed by its creator (已关闭)."""
    CANCELLED = 4, "已取消"
    """Withdrawn (已取消)."""


class TicketType(OpenEnum):
    """Type of a ticket (工单类型)."""

    TROUBLESHOOTING = 1, "问题排查"
    """Something does not work (问题排查)."""
    FEATURE_REQUEST = 2, "需求反馈"
    """Something is wished for (需求反馈)."""
    CONSULTATION = 3, "咨询"
    """A question (咨询)."""


class Priority(OpenEnum):
    """Priority of a ticket (优先级); `create` words the same codes 高, 中, 低 (受影响程度)."""

    URGENT = 1, "紧急", "高"
    """Urgent (紧急)."""
    HIGH = 2, "高级", "中"
    """High (高级)."""
    NORMAL = 3, "普通", "低"
    """Normal (普通)."""


class AssignStatus(OpenEnum):
    """Status of one product line's share of a ticket (产品线处理状态)."""

    PENDING = 1, "待处理"
    """Not begun (待处理)."""
    PROCESSING = 2, "处理中"
    """Being worked on (处理中)."""
    FINISHED = 3, "处理完毕"
    """Done (处理完毕)."""
    REJECTED = 4, "已拒绝"
    """Sent back by the product line (已拒绝)."""
    WITHDRAWN = 5, "已撤销"
    """Taken back (已撤销)."""


class FormFieldType(OpenEnum):
    """Kind of a field in a ticket's additional form (数据格式)."""

    TEXT = 1, "文本框"
    """One line of text (文本框)."""
    MULTILINE_TEXT = 2, "多行文本框"
    """Several lines of text (多行文本框)."""
    DROP_DOWN = 3, "下拉列表框"
    """One of a drop-down list (下拉列表框)."""
    RADIO = 4, "单选框"
    """One of several buttons (单选框)."""
    CHECKBOX = 5, "复选框"
    """Any of several boxes (复选框)."""
    TIME = 6, "单个时间控件"
    """A point in time (单个时间控件)."""
    TIME_RANGE = 7, "起止双时间控件"
    """A beginning and an end (起止双时间控件)."""
    LIST_BOX = 8, "列表框"
    """A list (列表框)."""

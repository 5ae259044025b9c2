"""How a Java service may spell an envelope: the same meaning, in other kinds of JSON than the API document says.

Jackson writes a `Long` as a string, to spare JavaScript. Others write an absent number as an empty string, a number as
a float, a boolean as a number or as text, a map as text or the reverse, and a time in milliseconds.
"""

import random
from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

from workorder_async.document import JSON
from workorder_async.document.json_text import dumps, loads
from workorder_async.sandbox.arguments import check_choice

Spelling: TypeAlias = Literal["document", "java"]
"""How answers are spelled: as the API document says, or each value as Java might write it."""

_BOOLEANS = ("need_process", "use_relate_status", "is_required")
_CODES = ("status", "priority")
# Whole numbers beyond it are not floats without a loss.
_FLOAT_MAX = 2**53


class Speller:
    """Spells envelopes; what each value becomes is chosen by the `seed`, so that rows of one page differ."""

    def __init__(self, spelling: Spelling, seed: int) -> None:
        check_choice("spelling", spelling, get_args(Spelling))
        self._choose: Callable[[list[JSON]], JSON] | None = None
        if spelling == "java":
            self._choose = random.Random(f"spelling {seed}").choice  # noqa: S311 - to be repeated, not a secret

    def spell(self, envelope: dict[str, JSON]) -> dict[str, JSON]:
        """Return an envelope as it is written on the wire."""
        if self._choose is None:
            return envelope
        spelled = dict(envelope)
        errno, request_id = str(envelope["errno"]), str(envelope["request_id"])
        spelled["errno"] = self._choose([envelope["errno"], errno])
        spelled["request_id"] = self._choose([request_id, int(request_id[:13], 16)])
        if "data" in envelope:
            spelled["data"] = _spell("data", envelope["data"], self._choose)
        return spelled


def _spell(name: str, value: JSON, choose: Callable[[list[JSON]], JSON]) -> JSON:
    spelled: list[JSON] = [value]
    match value:
        case str() | dict() if name == "form_values":
            spelled.append(_other_way_round(value))
        case dict():
            spelled = [{key: _spell(key, one, choose) for key, one in value.items()}]
        case list():
            spelled = [[_spell(name, one, choose) for one in value]]
        case bool() | 0 | 1 if isinstance(value, bool) or name in _BOOLEANS:
            spelled = [bool(value), str(bool(value)).lower(), int(bool(value))]
        case int():
            spelled = _numbers(name, value)
        case str() if name == "tags":
            spelled.append([one for one in value.split(",") if one])
        case str() if name in _CODES:
            spelled.append(int(value))
    return choose(spelled)


def _numbers(name: str, value: int) -> list[JSON]:
    """Return how a whole number may be written; 0 is how the API document writes what is absent."""
    spelled: list[JSON] = [value, str(value)]
    if not value:
        return [*spelled, ""]
    if abs(value) < _FLOAT_MAX:
        spelled.append(float(value))
    if name.endswith("_time"):
        spelled += [value * 1000, str(value * 1000)]
    return spelled


def _other_way_round(form_values: JSON) -> JSON:
    """Return a map as text, and text as the map that it is."""
    if isinstance(form_values, str):
        value: JSON = loads(form_values or "{}")
        return value
    return dumps(form_values).decode()

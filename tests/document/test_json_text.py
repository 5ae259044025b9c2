"""json_text.py: a large body becomes the same values as another parser gives."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, strategies as st

from workorder_async.document.json_text import parse_large

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_any_value(value: Any, indent: int | None, ascii_only: bool) -> None:
    """Whatever JSON holds, and however it is laid out, is read as it was written."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert parse_large(text.encode("utf-8", "surrogatepass") if ascii_only else text.encode()) == json.loads(text)


@pytest.mark.parametrize("body", [b'{"a": "\\ud800"}', b' { "a" : [ 1 , { } , [ ] ] } \n', b'"x"', b"[]", b"{}", b"1"])
def test_odd_ones(body: bytes) -> None:
    """A lone surrogate, white space, and values that are no object are read as by the standard library."""
    assert parse_large(body) == json.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b'{"a"', b'{"a":', b'{"a":1', b'{"a" 1}', b"[1", b"[1,]", b'{"a":1,}', b"[1 2]", b"[1}", b"{1:2}"),
        *(b'{"a":1}x', b'{"a":NaN}', b"[Infinity]", b"\xff", b'["\xe5\xb7"]', b"nul"),
    ],
)
def test_what_is_no_json(body: bytes) -> None:
    """What another parser refuses is refused."""
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(body)
    with pytest.raises(ValueError):  # noqa: PT011 - of whatever kind: the caller says what it was
        parse_large(body)


def test_characters_across_pieces() -> None:
    """A character whose bytes lie in two pieces of the decoding is whole."""
    text = "a" + "工" * 1_000_000
    assert parse_large(orjson.dumps([text])) == [text]


def test_depth() -> None:
    """What is nested without end is refused, and does not end the process."""
    with pytest.raises((ValueError, RecursionError)):
        parse_large(b"[" * 1_000_000)

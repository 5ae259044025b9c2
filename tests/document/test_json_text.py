"""json_text.py: a large body becomes the same values as another parser gives."""

import json
from contextlib import suppress
from time import process_time
from typing import Any, cast

import orjson
import pytest
from hypothesis import given, strategies as st

from tests.support.rows import each
from workorder_async.document.json_text import Unread, is_sound, loads, parse_slowly

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
    assert parse_slowly(text.encode("utf-8", "surrogatepass") if ascii_only else text.encode()) == json.loads(text)


@each("body", [b'{"a": "\\ud800"}', b' { "a" : [ 1 , { } , [ ] ] } \n', b'"x"', b"[]", b"{}", b"1"])
def test_odd_ones(body: bytes) -> None:
    """A lone surrogate, white space, and values that are no object are read as by the standard library."""
    assert parse_slowly(body) == json.loads(body)


@each(
    "body",
    [
        *(b"", b"{", b'{"a"', b'{"a":', b'{"a":1', b'{"a" 1}', b"[1", b"[1,]", b'{"a":1,}', b"[1 2]", b"[1}", b"{1:2}"),
        *(b'{"a":1}x', b'["a', b'["\\q', b"\xff", b"[\xe5\xb7]", b"nul", b"[" * 99, b"[" * 99 + b"]" * 98),
    ],
)
def test_what_is_no_json(body: bytes) -> None:
    """What another parser refuses is refused."""
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(body)
    with pytest.raises(ValueError):  # noqa: PT011 - of whatever kind: the caller says what it was
        parse_slowly(body)


def test_characters_across_pieces() -> None:
    """A character whose bytes lie in two pieces of the decoding is whole."""
    text = "a" + "工" * 1_000_000
    assert parse_slowly(orjson.dumps([text])) == [text]


def test_depth() -> None:
    """What is nested without end is refused, and does not end the process."""
    with pytest.raises((ValueError, RecursionError)):
        parse_slowly(b"[" * 300_000)


LONG = {
    "a text without end": b"[" * 75 + b'"' + rb"\"" * 30_000,
    "escapes that are none": b"[" + rb'"\x",' * 30_000 + b"1]",
}


@each("body", LONG.values())
def test_broken_ones_take_no_longer(body: bytes) -> None:
    """However a body is broken, it takes a time that grows with its size, and not with the square of that."""
    began = process_time()
    with suppress(ValueError):
        parse_slowly(body)
    assert process_time() - began < 2


UNREAD = {
    "a control character": (b'"a\x01"', "a\x01"),
    "a line feed": (b'"a\nb"', "a\nb"),
    "a zero": (b'"\0"', "\0"),
    "the last control character": (b'"\x1f"', "\x1f"),
    "a cut character": (b'"\xe5\xb7"', "\udce5\udcb7"),
    "a byte of another code": (b'"\xb9\xa4"', "\udcb9\udca4"),
    "a surrogate in UTF-8": (b'"\xed\xa0\x80"', "\udced\udca0\udc80"),
    "an escape that is none": (rb'"a\q\""', r"a\q\""),
    "half an escape": (rb'"\u12"', r"\u12"),
    "NaN": (b"NaN", "NaN"),
    "infinity": (b"-Infinity", "-Infinity"),
    "an infinite number": (b"1e999", "1e999"),
    "a number without end": (b"9" * 5000, "9" * 5000),
}


@each(("body", "left"), UNREAD.values())
def test_what_is_left_unread(body: bytes, left: str) -> None:
    """What is no JSON is one value that is not read, and what stands beside it is."""
    before, found, after = cast("list[Any]", parse_slowly(b'["a",' + body + b',{"b":1}]'))
    assert (before, after) == ("a", {"b": 1})
    assert not is_sound(found)
    assert isinstance(found, Unread)
    assert found == left


@each("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_other_encodings(encoding: str) -> None:
    """A mark of the order of bytes, and the encodings that JSON may have."""
    assert parse_slowly('{"a":"工"}'.encode(encoding)) == {"a": "工"}


def test_what_is_a_blank() -> None:
    """A blank, DEL and what lies beyond are no control characters to JSON."""
    assert parse_slowly('["a b\x7f\x80\u2028"]'.encode()) == ["a b\x7f\x80\u2028"]


def test_long_numbers() -> None:
    """A number is a number however many digits it has behind the point, or before it while it has an end."""
    body = b"[0." + b"1" * 5000 + b",1" + b"0" * 300 + b",1e-999]"
    assert parse_slowly(body) == [1 / 9, 10**300, 0.0]


def test_duplicate_keys() -> None:
    """Of a key that comes twice both parsers take the last."""
    body = b'{"id":1,"id":2,"a":{"b":1},"a":{}}'
    assert parse_slowly(body) == loads(body) == {"id": 2, "a": {}}

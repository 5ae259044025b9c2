"""How a JSON object becomes a model: the meaning of each value, a generated function for each model, and its errors.

A field that is null or missing gets its default, or is refused if it is required. The same holds for "", blanks and
"null" in a field that is no text, and for {} in place of a list. A null inside a list is left out, except in the
tickets of a page, where it is refused. Unknown fields are ignored. Any other value is read by its plain meaning:

    a field of the kind    reads                                               and holds
    whole number, 64 bits  7  7.0  "7"  " 7 "  "7.0"  "7e0"                    7
    time (`*_time`)        1636600271  1636600271000  "1636600271.9"           1636600271
                           "2021-11-11 11:11:11", with / or 年, T, fraction,   1636600271 (without a zone
                           zone; the date alone; [2021, 11, 11, 11, 11, 11]    it is China Standard Time)
    boolean                true  1  1.0  "1"  yes  y  是, in any case          True, and so for False
    code                   2  2.0  "2"  "2.0"  "处理中"  "processing"          PROCESSING
    text                   7  7.0  true  [1]  {"a": 1}                         "7"  "7"  "true"  '[1]'  '{"a":1}'
    list of objects        "[...]"  one object                                 a list, of one
    `tags` of a detail     ["网络"]                                            [Tag(name="网络")]
    object                 "{...}"  []                                         a dict, {}

Anything else is refused with its JSON path: JSON of more than 64 levels, a text with broken bytes, a fraction as a time
before 2001 (Jackson writes later ones with nanoseconds), a time before the year 1, a ticket's id below 1.

Each model has one generated function, which makes a list of models: `decoder_of(Tag).source` shows the one of `Tag`. A
loop over the fields of an object would take several times as long. The function picks all values at once (null for a
missing field) and compares the classes of all values of a kind in one chain. If all are as expected, it looks codes up
and sets the slots without a call of `__init__`; if not, each wrong value goes to the reader of its field. To check a
range, it compares `v4 | v5` once: no bitwise "or" of whole numbers from 0 on is smaller than one of them.
"""

import re
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import datetime, timedelta
from functools import cache
from operator import itemgetter
from typing import Final, TypeAlias, cast

from attrs import define

from workorder_async.document.enums import OpenEnum
from workorder_async.document.fields import WireField, fields_of
from workorder_async.document.json_text import JSON, MAX_DEPTH, Unread, as_orjson_keeps, is_sound, parse, write
from workorder_async.errors import DecodeError

Read: TypeAlias = Callable[[object], object]
"""A function from a JSON value to its meaning; it raises `MisfitError` for a value without a plain meaning."""


class MisfitError(TypeError):
    """A value without a plain meaning; its arguments are the expected kind of value, and the kind that came."""

    path: str = ""
    """Where it stands in the value that was read: ".tickets[57].created_time"; "" for that value itself."""
    index: int = 0
    """The place of its object among the objects that `hooks` was given."""


_KINDS: Final[Mapping[type, str]] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    float: "a fraction",
    int: "a number",
    type(None): "null",
    Unread: "no JSON",
}

_INT64_END: Final = 2**63
#: A float from here on may differ from the whole number that was written.
_INEXACT: Final = 2**53
_WHOLE: Final = re.compile(r"([+-]?\d{1,19})(?:\.0*)?")
_DECIMAL: Final = re.compile(r"[+-]?\d{1,19}(?:\.\d*)?(?:[eE][+-]?\d{1,3})?")
#: The first second that has a date in China.
SECONDS_BEGIN: Final = -62_135_625_600
#: The first second after the year 9999, in every zone. A larger number of seconds has no date; milliseconds have.
SECONDS_END: Final = 253_402_387_200
#: Jackson writes an `Instant` as seconds with a fraction. A number with a fraction is a time only from here on (2001).
_FIRST_INSTANT: Final = 10**9
#: Numbers whose digits are a date and a time: 20211111111111. As milliseconds they would be years about 2600.
_DIGITS_OF_A_DATE: Final = range(1900_0101_000000, 2100_0101_000000)
_EPOCH: Final = datetime(1970, 1, 1)
_SECOND: Final = timedelta(seconds=1)
#: Minutes that China Standard Time is ahead.
_CHINA: Final = 8 * 60
_DATE_TIME: Final = re.compile(
    r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?"
    r"(?:(?:T|\s+)(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:[.,]\d+)?)?)?"
    r"\s*(Z|UTC|GMT|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?(?:\[[\w/+-]+\])?",
    re.IGNORECASE,
)
_BOOLEANS: Final[Mapping[object, bool]] = {
    **dict.fromkeys((1, "true", "yes", "y", "1", "1.0", "是"), True),
    **dict.fromkeys((0, "false", "no", "n", "0", "0.0", "否"), False),
}


def misfit(expected: str, value: object) -> MisfitError:
    """Return the error for a value of another kind."""
    kind = _KINDS.get(type(value), f"a {type(value).__name__}")
    if isinstance(value, int | float) and not abs(value) < (_INEXACT if isinstance(value, float) else _INT64_END):
        kind = "NaN" if value != value else "a number that is too large"  # noqa: PLR0124 - NaN alone
    return MisfitError(expected, kind)


def is_absent(value: object) -> bool:
    """Tell whether a value means "none" in a field that is no text: null, a blank text, or the text "null" of Java."""
    return value is None or (isinstance(value, str) and value.strip().lower() in ("", "null"))


def whole_number(value: object) -> int:
    """Read a whole number of 64 bits: a number, a float without fraction below 2**53, or either of them as text."""
    number = _number(value) if isinstance(value, str) else value
    if isinstance(number, float) and abs(number) < _INEXACT and number.is_integer():
        number = int(number)
    return _exact("a whole number", number)


def _exact(expected: str, number: object) -> int:
    """Return an int of 64 bits; a number of a subclass, such as PyMongo's, becomes one.

    The bounds are compared: for a number of a subclass, `in range(...)` would look at each number of the range.
    """
    if not isinstance(number, int) or isinstance(number, bool) or not -_INT64_END <= number < _INT64_END:
        raise misfit(expected, number)
    return int(number)


def _number(text: str) -> int | float | str:
    """Read a decimal number; any other text is returned as it is."""
    stripped = text.strip()
    if (whole := _WHOLE.fullmatch(stripped)) is not None:
        return int(whole[1])
    return float(stripped) if _DECIMAL.fullmatch(stripped) else text


def seconds(value: object) -> int:
    """Read a point in time as whole seconds since the epoch, rounded down; without a zone it is China Standard Time.

    The value is a number of seconds or of milliseconds, a date-time, or the list of year, month, day, hour, minute and
    second that Jackson makes of a `LocalDateTime`. A number that as seconds would be after the year 9999 is
    taken for milliseconds, or for the digits of a date (20211111111111).
    """
    number: object = value
    if isinstance(value, str):
        if (match := _DATE_TIME.fullmatch(value.strip())) is not None:
            return _of_date(match)
        number = _number(value)
    elif isinstance(value, list):
        if not 3 <= len(value) <= 7 or any(part.__class__ is not int for part in value):
            raise misfit("seconds, or a date-time", value)
        return _moment(cast("list[int]", value[:6]))
    if isinstance(number, float) and number < _INEXACT and (number >= _FIRST_INSTANT or number.is_integer()):
        number = int(number // 1)
    number = _exact("seconds, or a date-time such as 2021-11-11 11:11:11", number)
    if number < SECONDS_END:
        return number
    if number in _DIGITS_OF_A_DATE:
        digits = str(number)
        return _moment([int(digits[:4]), *(int(digits[at : at + 2]) for at in range(4, 14, 2))])
    if number >= SECONDS_END * 1000:
        raise MisfitError("seconds or milliseconds until the year 9999", "a number that is too large")
    return number // 1000


def _of_date(match: re.Match[str]) -> int:
    """Return the second of a date-time that was written out; 0 for MySQL's date of zeros."""
    *parts, zone = match.groups("0")
    numbers = [*map(int, parts)]
    if not any(numbers[:3]):
        return 0
    if zone == "0":
        return _moment(numbers)
    digits = zone[1:].replace(":", "").ljust(4, "0") if zone[0] in "+-" else "0000"
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return _moment(numbers, -minutes if zone[0] == "-" else minutes)


def _moment(parts: list[int], minutes_east: int = _CHINA) -> int:
    """Return the second of a local date-time (year, month, day and so on) in a zone so many minutes ahead of UTC."""
    try:
        local = datetime(*parts)  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        raise MisfitError("a date-time such as 2021-11-11 11:11:11", "no date of the calendar") from None
    return (local - _EPOCH) // _SECOND - minutes_east * 60


def text(value: object) -> str:
    """Read a text; a number or boolean is written out, a list or an object becomes its JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        if abs(value) >= _INEXACT:
            raise misfit("a string", value)
        value = int(value)
    try:
        return write(cast("JSON", value))
    except (ValueError, TypeError):
        raise misfit(f"a string, or JSON of at most {MAX_DEPTH} levels", value) from None


def boolean(value: object) -> bool:
    """Read true or false, 1 or 0, or a text that says one of these, yes or no."""
    written = value.strip().lower() if isinstance(value, str) else value
    known = None if isinstance(written, dict | list) else _BOOLEANS.get(written)
    if known is None:
        raise misfit("true, false, 0 or 1", value)
    return known


def code(kind: type[OpenEnum]) -> Callable[[object], OpenEnum]:
    """Return the reader of this enumeration: a code in any spelling of a whole number, or a name."""
    make, known = cast("Callable[[object], OpenEnum]", kind), kind.readings()

    def read(value: object) -> OpenEnum:
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = whole_number(value)
        if isinstance(value, bool) or not isinstance(value, int | str) or is_absent(value):
            raise misfit("a code or a name", value)
        return known.get(value) or make(value)

    return read


def mapping(value: object) -> dict[str, JSON]:
    """Read an object, which may be inside a text; an empty list is an empty object."""
    found = _unwrapped(value)
    if found == []:
        return {}
    if not isinstance(found, dict):
        raise misfit("an object", value)
    if not is_sound(found):
        raise misfit(f"an object of at most {MAX_DEPTH} levels", value)
    return found


def items(value: object, names: Set[str]) -> list[JSON]:
    """Read a list of objects, which may be inside a text. A single object with one of these fields is a list of one."""
    found = _unwrapped(value)
    if isinstance(found, dict) and not names.isdisjoint(found):
        return [found]
    if not isinstance(found, list):
        raise misfit("a list", value)
    return found


def _unwrapped(value: object) -> object:
    """Return the JSON value in a text; any other value as it is."""
    if isinstance(value, str):
        try:
            return _unwrapped(parse(value))
        except ValueError:
            return value
    return value


def decode_error(path: str, error: Exception, message: str = "", *, name: str = "") -> DecodeError:
    """Return the error for a value at this path that does not fit, or has a part that does not.

    `message` is said in place of path and values.
    """
    path += getattr(error, "path", "")
    expected, got = error.args if isinstance(error, MisfitError) else ("a value", f"{type(error).__name__}: {error}")
    said = message or f"{name}{path} is {got}, expected {expected}"
    return DecodeError(said, path=path, expected=expected, got=got)


@define
class Decoder:
    """How one model is read from a JSON value."""

    readers: Mapping[str, Read]
    """The function that reads each field, in every spelling."""
    source: str
    """The generated text of `hooks`."""
    hooks: Callable[[Sequence[object]], list[object]]
    """The function that makes the model of each object. It raises for a value that does not fit."""

    def hook(self, value: object) -> object:
        """Make the model of one object. Raises as `hooks` does."""
        return self.hooks((value,))[0]

    def read(self, value: object, path: str = "$", name: str = "") -> object:
        """Make the model of one object. Raises `DecodeError`, whose message begins with `name`."""
        try:
            return self.hook(value)
        except Exception as error:  # noqa: BLE001 - of any kind: it is told
            raise decode_error(path, error, name=name) from None


def _make_decoder(model: type) -> Decoder:
    fields = fields_of(model).values()
    readers = {field.name: _reader(field) for field in fields}
    names: dict[str, object] = {
        "misfit": misfit,
        "MisfitError": MisfitError,
        "new": object.__new__,
        "model": model,
        "pick": itemgetter(*as_orjson_keeps(readers)),
        "blank": dict.fromkeys(readers),
        **{f"read{index}": read for index, read in enumerate(readers.values())},
        **{
            f"table{index}": cast("type[OpenEnum]", field.kind).readings()
            for index, field in enumerate(fields)
            if field.is_code
        },
    }
    head = ["def structure(values):", "made = [*values]", "try:", " for at, value in enumerate(made):"]
    alone = (f"if isinstance(value, str): value = {{{field.name!r}: value}}" for field in fields if field.is_alone)
    body = [f"  {line}" for line in [*alone, *_hook_lines(model, [*fields])]]
    source = "\n ".join([*head, *body, "except MisfitError as error:", " error.index = at", " raise", "return made"])
    exec(source, names)  # noqa: S102 - the text is made of the names above
    return Decoder(readers, source, cast("Callable[[Sequence[object]], list[object]]", names["structure"]))


#: Returns the decoder of a model, which is made when it is first asked for.
decoder_of: Final[Callable[[type], Decoder]] = cache(_make_decoder)


def _hook_lines(model: type, fields: list[WireField]) -> list[str]:
    """Return the lines of a hook, which the head of this file explains."""
    chains: dict[type, list[str]] = {int: [], str: [], bool: []}
    quick, careful = list[str](), list[str]()
    numbers, times, bounds, codes = list[str](), list[str](), list[str](), list[tuple[str, str, str]]()
    for index, field in enumerate(fields):
        v, read = f"v{index}", f"read{index}(v{index})"
        if field.wire is not None:
            chains[field.wire].append(f"{v}.__class__")
        if field.wire is field.kind:
            beyond = ""
            if field.kind is int:
                (times if field.is_time else numbers).append(v)
                least = SECONDS_BEGIN if field.is_time else "-2**63" if field.least is None else field.least
                bounds += [f"{v} >= {least}"] if field.least else []
                beyond = f" or not {least} <= {v} < {SECONDS_END if field.is_time else '2**63'}"
            careful.append(f"if {v}.__class__ is not {field.kind.__name__}{beyond}: {v} = {read}")
            continue
        careful.append(f"{v} = {read}")
        if field.is_code and field.wire:
            codes.append((v, f"table{index}[{v}]", read))
        else:
            quick.append(f"{v} = {f'{v} == 1 or {v} != 0 and ' if field.wire else ''}{read}")
    conditions = [f"{' is '.join(members)} is {kind.__name__}" for kind, members in chains.items() if members]
    if numbers:
        bounds.append(f"0 <= {' | '.join(numbers)} < 2**63")
    if times:
        bounds.append(f"0 <= {' | '.join(times)} < {SECONDS_END}")
    if codes:
        read_into, looked_up, read = (", ".join(parts) for parts in zip(*codes, strict=True))
        quick += [f"try: {read_into} = {looked_up}", f"except KeyError: {read_into} = {read}"]
    joined = "\n      and ".join([*conditions, *bounds]) or "True"
    picked = ", ".join(f"v{index}" for index in range(len(fields)))
    made = [f"one.{field.name} = v{index}" for index, field in enumerate(fields)]
    return [
        "if value.__class__ is not dict: raise misfit('an object', value)",
        f"try: {picked} = pick(value)",
        f"except KeyError: {picked} = pick(blank | value)",
        f"if ({joined}):",
        *(f" {line}" for line in quick or ["pass"]),
        "else:",
        *(f" {line}" for line in careful or ["pass"]),
        # A frozen class refuses assignment to its slots: it is made by a call, which is slower, and rarely needed.
        *([f"made[at] = model({picked})"] if "__setattr__" in vars(model) else ["made[at] = one = new(model)", *made]),
    ]


def _reader(field: WireField) -> Read:
    """Return the function that reads a field; a value that means "none" becomes the field's default, if any."""
    read, default, least, is_required = _reader_of_kind(field), field.default, field.least, field.is_required
    factory = cast("Callable[[], object]", getattr(default, "factory", lambda: default))

    def read_field(value: object) -> object:
        if value is None and not is_required:
            return factory()
        try:
            if value is None or value.__class__ is Unread:
                raise MisfitError("a value", "missing or null" if value is None else _KINDS[Unread])
            found = read(value)
            if field.is_time and cast("int", found) < SECONDS_BEGIN:
                raise MisfitError("a time from the year 1", str(found))
            if least is not None and cast("int", found) < least:
                raise MisfitError(f"a whole number from {least}", str(found))
        except MisfitError as error:
            means_none = is_absent(value) or (field.is_list and _unwrapped(value) == {})
            if means_none and not is_required and value.__class__ is not Unread:
                return factory()
            error.path = f".{field.name}{error.path}"
            raise
        return found

    return read_field


def _reader_of_kind(field: WireField) -> Read:
    """Return the function that reads a value of this kind, other than null."""
    if field.is_list:
        hooks, names, keeps_nulls = decoder_of(field.kind).hooks, fields_of(field.kind).keys(), field.is_required

        def read_list(value: object) -> list[object]:
            rows = cast("list[JSON]", value) if value.__class__ is list else items(value, names)
            try:
                return hooks([row for row in rows if row is not None or keeps_nulls])
            except MisfitError as error:
                places = [place for place, row in enumerate(rows) if row is not None or keeps_nulls]
                error.path = f"[{places[error.index]}]{error.path}"
                raise

        return read_list
    if field.is_model:
        return decoder_of(field.kind).hook
    if field.is_code:
        return code(cast("type[OpenEnum]", field.kind))
    if field.is_time:
        return seconds
    readers: dict[type, Read] = {int: whole_number, str: text, bool: boolean, dict: mapping}
    return readers[field.kind]

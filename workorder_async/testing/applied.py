"""`assert_applied`: the mutations that a sandbox carried out, compared with those that a test expects."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TypeAlias, cast

from attrs import Attribute, evolve, fields_dict, frozen

from workorder_async.arguments import must_be, one_of, shown, unknown_name
from workorder_async.document import JSON, Mutation
from workorder_async.document.codec import encode
from workorder_async.document.json_text import dumps
from workorder_async.errors import ConfigError
from workorder_async.mutations.kinds import KINDS, prepare
from workorder_async.sandbox import Applied, Sandbox

Expected: TypeAlias = Mutation | tuple[str, Mapping[str, object]]
"""A mutation, of which every field is compared; or an operation with the fields of its request that are compared."""

_KINDS = {kind.endpoint.operation: kind for kind in KINDS.values()}
_LONGEST = 160


def assert_applied(sandbox: Sandbox, expected: Iterable[Expected]) -> None:
    """Assert that a sandbox carried out these mutations, each once, in any order, and no other one.

        assert_applied(workorder_sandbox, [
            CommentTicket(id=1001, detail="收到"),
            ("close_ticket", {"id": 1001, "closer_name": "姜程"}),
        ])

    Of a mutation every field is compared; of an operation with some fields of its request only these. Raises
    `AssertionError` that says which mutation is missing, came again, was not expected, or differs, and in which field.
    """
    __tracebackhide__ = True
    must_be("a sandbox, such as workorder_sandbox", lambda given: hasattr(given, "applied"))("sandbox", sandbox)
    if isinstance(expected, str | tuple) or not isinstance(expected, Iterable):
        raise ConfigError(f"is {shown(expected)}", argument="expected", mend="it must be a list, in brackets")
    wanted = [_Wanted.of(one) for one in expected]
    # To the platform an absent field and a null are the same.
    found = [evolve(one, request=_without_nulls(one.request)) for one in sandbox.applied]
    if wrong := list(_differences(wanted, found)):
        carried = f"{len(found)} mutation{'' if len(found) == 1 else 's'}"
        head = f"the sandbox carried out {carried}, and {len(wanted)} should have been:"
        raise AssertionError("\n".join([head, *wrong]))


@frozen
class _Wanted:
    """One expected mutation; with `is_whole` its `fields` are all fields of the request, else some of them."""

    operation: str
    fields: Mapping[str, object]
    is_whole: bool

    @classmethod
    def of(cls, one: Expected) -> "_Wanted":
        if isinstance(one, tuple):
            if len(one) != 2 or not isinstance(one[1], Mapping):
                mend = 'it must be as ("close_ticket", {"id": 1001})'
                raise ConfigError(f"has {shown(one)}", argument="expected", mend=mend)
            operation, fields = one
            known = fields_dict(_KINDS[one_of("operation", operation, [*_KINDS])].model)
            if wrong := unknown_name(f"{operation} has no field", fields, known):
                raise ConfigError(wrong, argument="expected:")
            return cls(operation, {name: _as_sent(known[name], value) for name, value in fields.items()}, False)
        prepared = prepare(one)
        value = cast("Mapping[str, JSON]", prepared.value)
        return cls(prepared.kind.endpoint.operation, _without_nulls(value), True)

    def fits(self, one: Applied) -> bool:
        return self.operation == one.operation and not self.differing(one)

    def differing(self, one: Applied) -> list[str]:
        """Return the names of the fields in which a mutation differs from the expected one."""
        names = {**self.fields, **(one.request if self.is_whole else {})}
        return [name for name in names if self.fields.get(name) != one.request.get(name)]


def _as_sent(field: "Attribute[object]", value: object) -> object:
    """Return the value of a field as the mutation itself would take and send it."""
    made = field.converter(value) if callable(field.converter) else value
    if isinstance(made, datetime):
        mend = "it must be whole seconds since the epoch, or an aware datetime such as datetime.now(UTC)"
        raise ConfigError(f"is {shown(value)}", argument=f"expected {field.name}", mend=mend)
    return [*map(encode, made)] if isinstance(made, list | tuple) else encode(made)


def _without_nulls(request: Mapping[str, JSON]) -> dict[str, JSON]:
    return {name: value for name, value in request.items() if value is not None}


def _differences(wanted: list[_Wanted], found: list[Applied]) -> Iterator[str]:
    """Yield lines about each wanted mutation without a match, and each found one without a match."""
    taken = _matches(wanted, found)
    extra = [one for index, one in enumerate(found) if index not in taken]
    for index in sorted({*range(len(wanted))} - {*taken.values()}):
        one = wanted[index]
        alike = [
            other
            for other in extra
            if other.operation == one.operation
            and one.fields.get("id", other.request.get("id")) == other.request.get("id")
            and not any(another.fits(other) for another in wanted)
        ]
        if not alike:
            yield f"  missing: {one.operation} {_shown(one.fields)}"
            continue
        nearest = min(alike, key=lambda other: len(one.differing(other)))
        extra.remove(nearest)
        yield f"  differs: {one.operation}, ticket {nearest.ticket_id}"
        for name in one.differing(nearest):
            was, should = nearest.request.get(name), one.fields.get(name)
            yield f"    {name} is {_shown(was)}, and should be {_shown(should)}"
    yield from dict.fromkeys(_unexpected(one, wanted, found) for one in extra)


def _unexpected(one: Applied, wanted: list[_Wanted], found: list[Applied]) -> str:
    """Return the line about a found mutation without a match: it came too often, or was not expected."""
    said = f"{one.operation} {_shown(one.request)}, ticket {one.ticket_id}"
    fitting = [other for other in wanted if other.fits(one)]
    came = sum(fitting[0].fits(other) for other in found) if fitting else 0
    # The expected mutations that fit this one may have been matched with other found ones.
    if came <= len(fitting):
        return f"  not expected: {said}"
    return f"  came {came} times, and should have come {len(fitting)}: {said}"


def _matches(wanted: list[_Wanted], found: list[Applied]) -> dict[int, int]:
    """Match as many found mutations with wanted ones as possible (augmenting paths): index of found, index of wanted.

    An expected mutation with few fields fits several found ones. So one that is matched already may have to give its
    match to another, and take a different one.
    """
    taken: dict[int, int] = {}

    def take(index: int, tried: set[int]) -> bool:
        one = wanted[index]
        free = next((at for at in range(len(found)) if at not in taken and one.fits(found[at])), None)
        fitting = [at for at in taken if at not in tried and one.fits(found[at])] if free is None else [free]
        tried.update(fitting)
        for at in fitting:
            if at == free or take(taken[at], tried):
                taken[at] = index
                return True
        return False

    failed: list[_Wanted] = []
    for index, one in enumerate(wanted):
        # If there is no match for a wanted mutation, there is none for an equal one either.
        if one not in failed and not take(index, set()):
            failed.append(one)
    return taken


def _shown(value: object) -> str:
    """Return a value as text; of a long text only the beginning and the end."""
    try:
        text = dumps(value).decode()
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 :]}"

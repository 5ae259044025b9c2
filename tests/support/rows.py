"""Many rows of a quick check as one test: a test of its own for each of them takes ten times as long as the check."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from inspect import iscoroutinefunction, signature
from typing import Any

from _pytest.mark import ParameterSet


def each(names: str | Sequence[str], rows: Iterable[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Run a test for each row in turn, as `parametrize` does with a test for each; a failure names its row.

    Not for tests with fixtures of their own, which the rows would share, nor for rows with marks.
    """
    known = (names,) if isinstance(names, str) else tuple(names)
    kept = [dict(zip(known, _values(row, alone=isinstance(names, str)), strict=True)) for row in rows]
    assert kept

    def decorate(test: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(test)
        def run(**others: Any) -> None:
            for row in kept:
                with _naming(row):
                    test(**row, **others)

        @wraps(test)
        async def run_later(**others: Any) -> None:
            for row in kept:
                with _naming(row):
                    await test(**row, **others)

        ran: Any = run_later if iscoroutinefunction(test) else run
        parameters = [one for one in signature(test).parameters.values() if one.name not in known]
        ran.__signature__ = signature(test).replace(parameters=parameters)
        return ran  # type: ignore[no-any-return]

    return decorate


def _values(row: Any, *, alone: bool) -> tuple[Any, ...]:
    if isinstance(row, ParameterSet):
        assert not row.marks
        return tuple(row.values)
    return (row,) if alone else tuple(row)


@contextmanager
def _naming(row: dict[str, Any]) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        error.add_note(f"in the row {row!r}")
        raise

"""Many rows of a quick check as one test: a test of its own for each of them takes ten times as long as the check."""

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from inspect import signature
from typing import Any

from _pytest.mark import ParameterSet


def each(names: str | Sequence[str], rows: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test for each row in turn, as `parametrize` does with a test for each; a failure names its row.

    Not for tests with fixtures of their own, which the rows would share.
    """
    known = (names,) if isinstance(names, str) else tuple(names)
    kept = [
        row.values if isinstance(row, ParameterSet) else (row,) if isinstance(names, str) else tuple(row)
        for row in rows
    ]
    assert kept

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @wraps(test)
        def run(**others: Any) -> None:
            for row in kept:
                try:
                    test(**dict(zip(known, row, strict=True)), **others)
                except BaseException as error:
                    error.add_note(f"in the row {dict(zip(known, row, strict=True))!r}")
                    raise

        parameters = [one for one in signature(test).parameters.values() if one.name not in known]
        run.__signature__ = signature(test).replace(parameters=parameters)  # type: ignore[attr-defined]
        return run

    return decorate

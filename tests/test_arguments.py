"""arguments.py: what is taken, what is refused, and in which words."""

from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import field, frozen

from tests.support.rows import each
from workorder_async import arguments
from workorder_async.errors import ConfigError

WHOLE = "a whole number of at least 1"
SECONDS = "a number of seconds, 0 or more"


def _from_3_to_5(name: str, value: object) -> object:
    return arguments.whole_within(name, value, 3, 5)


def _half(name: str, value: object) -> object:
    return arguments.number_within(name, value, -0.5, 0.5)


def _texts(name: str, value: object) -> object:
    return arguments.items(name, value, str)


def _raise_or_skip(name: str, value: object) -> object:
    return arguments.one_of(name, value, ("raise", "skip"))


class Awaited:
    """A callable whose calls nobody would await."""

    async def __call__(self) -> None:
        """Do nothing."""

    def __repr__(self) -> str:
        """Return what it is."""
        return "an awaited one"


@each(
    ("check", "value"),
    [
        (arguments.whole, 1),
        (lambda name, value: arguments.whole(name, value, 0), 0),
        (_from_3_to_5, 3),
        (_from_3_to_5, 5),
        (arguments.seconds, 0),
        (arguments.seconds, 2.5),
        (arguments.seconds, float("inf")),
        (arguments.above_zero, 1e-9),
        (arguments.above_zero, 7),
        (_half, 0.5),
        (_half, 0),
        (_texts, ("a", "b")),
        (_texts, ()),
        (_raise_or_skip, "skip"),
        (arguments.path, "a/b"),
        (arguments.path, "a\udcff"),
    ],
)
def test_taken(check: Callable[[str, object], object], value: object) -> None:
    """A value that can work is returned as it is."""
    assert check("x", value) is value


@each(
    ("check", "value", "said"),
    [
        (arguments.whole, 0, f"is 0; it must be {WHOLE}"),
        (arguments.whole, 1.0, f"is 1.0; it must be {WHOLE}"),
        (arguments.whole, True, f"is True; it must be {WHOLE}"),
        (arguments.whole, "1", f"is '1'; it must be {WHOLE}"),
        (arguments.whole, 10**400, f"is 1{'0' * 59}; it must be {WHOLE}"),
        (arguments.whole, None, f"is None; it must be {WHOLE}"),
        (lambda name, value: arguments.whole(name, value, 2), 1, "is 1; it must be a whole number of at least 2"),
        (_from_3_to_5, 2, "is 2; it must be from 3 to 5"),
        (_from_3_to_5, 6, "is 6; it must be from 3 to 5"),
        (
            _from_3_to_5,
            False,
            "is bool False; it must be a whole number",
        ),
        (_from_3_to_5, None, "is None; it must be a whole number"),
        (arguments.seconds, -0.1, f"is -0.1; it must be {SECONDS}"),
        (arguments.seconds, float("nan"), f"is nan; it must be {SECONDS}"),
        (arguments.seconds, False, f"is False; it must be {SECONDS}"),
        (arguments.seconds, "5", f"is '5'; it must be {SECONDS}"),
        (arguments.above_zero, 0, "is 0; it must be a number above 0"),
        (arguments.above_zero, float("nan"), "is nan; it must be a number above 0"),
        (arguments.above_zero, True, "is True; it must be a number above 0"),
        (arguments.above_zero, None, "is None; it must be a number above 0"),
        (arguments.above_zero, 10**400, f"is 1{'0' * 59}; it must be a number above 0"),
        (arguments.above_zero, -(10**400), f"is -1{'0' * 58}; it must be a number above 0"),
        pytest.param(
            arguments.seconds,
            10**5000,
            f"is a value of class int that cannot be shown; it must be {SECONDS}",
            id="long",
        ),
        pytest.param(
            _from_3_to_5,
            10**5000,
            "is a value of class int that cannot be shown; it must be from 3 to 5",
            id="too long",
        ),
        (_half, 0.6, "is 0.6; it must be a number from -0.5 to 0.5"),
        (_half, float("nan"), "is nan; it must be a number from -0.5 to 0.5"),
        (_half, "0", "is '0'; it must be a number from -0.5 to 0.5"),
        (_texts, "ab", "is 'ab'; it must be a list of str, in brackets"),
        (_texts, None, "is None; it must be a list of str, in brackets"),
        (_texts, ["a", 5], "[1] is 5; it must be a str"),
        (_raise_or_skip, "ignore", "is 'ignore'; it must be 'raise' or 'skip'"),
        (
            _raise_or_skip,
            [],
            "is []; it must be 'raise' or 'skip'",
        ),
        (arguments.function, 5, "is 5; it must be a function, no `async def`"),
        (arguments.function, Awaited(), "is an awaited one; it must be a function, no `async def`"),
        (arguments.path, 5, "is int 5; it must be a path"),
        (arguments.path, None, "is None; it must be a path"),
        (arguments.path, b"a", "is bytes b'a'; it must be a path"),
        (arguments.path, "a\0b", r"'a\x00b' is no name of a file"),
        (arguments.path, "a\ud800", r"'a\ud800' is no name of a file"),
        (arguments.whole, "1" * 500, f"is '{'1' * 59}; it must be {WHOLE}"),
    ],
)
def test_refused(check: Callable[[str, object], object], value: object, said: str) -> None:
    """A value that cannot work is refused with the name, the value as far as it is short, and what would do."""
    with pytest.raises(ConfigError) as caught:
        check("x", value)
    assert str(caught.value) == (f"x{said}" if said.startswith("[") else f"x {said}")


def test_a_path_object_is_a_path() -> None:
    """A path may be text, or anything that stands for a path."""
    assert arguments.path("journal", Path("a/b")) == "a/b"


@frozen
class _Options:
    plain: int = field(default=1, validator=arguments.as_validator(arguments.whole))
    owned: float = field(default=1, validator=arguments.as_validator(arguments.seconds, names_class=True))


def test_a_working_folder_that_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path leads nowhere there, whatever it is for; a whole one, and stdout, do."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(
        ConfigError, match="journal 'a/b' is nowhere: the working folder was removed; give a whole path"
    ):
        arguments.path("journal", "a/b")
    assert [arguments.path("journal", path) for path in ("/a", "-")] == ["/a", "-"]


def test_a_validator_names_the_field() -> None:
    """A validator of attrs checks as the function does, and names the field, with its class where that is wanted."""
    assert _Options(plain=2, owned=0).plain == 2
    with pytest.raises(ConfigError, match=r"^plain is 0; it must be a whole number of at least 1$"):
        _Options(plain=0)
    with pytest.raises(ConfigError, match=r"^_Options\.owned is -1; it must be a number of seconds, 0 or more$"):
        _Options(owned=-1)

"""Texts that nobody may see: a secret, and the user and password in a URL."""

import re
from typing import NoReturn, TypeVar

from workorder_async.arguments import has_bytes
from workorder_async.errors import ConfigError

# The rest of a word after //, also without an @: a pattern that needed an @ would search the rest again from each // of
# a long word.
_AFTER_SLASHES = re.compile(r"(?<=//)\S+")


class Secret:
    """A text that no `repr`, error, log or traceback with locals shows; `reveal()` gives it.

    It is not pickled: make it anew where it is needed.
    """

    __slots__ = ("_text",)

    def __init__(self, text: "str | Secret") -> None:
        self._text: str = text._text if isinstance(text, Secret) else text

    def reveal(self) -> str:
        """Return the text."""
        return self._text

    def encoded(self) -> bytes:
        """Return the text as UTF-8 bytes. Raises `ConfigError` for a text with a lone surrogate, which has none."""
        try:
            return self._text.encode()
        except UnicodeEncodeError:
            wrong = self.wrong_with("the secret")
        # Not inside the `except`: the `UnicodeEncodeError` holds the whole text, and would be the context of this one.
        raise wrong or ConfigError("cannot be encoded", argument="the secret")

    def wrong_with(self, argument: str) -> ConfigError | None:
        """Return the error about a text that cannot be a secret to sign with; None for one that can."""
        if not isinstance(self._text, str):
            return ConfigError(f"is a {type(self._text).__name__}", argument=argument, mend="it must be text")
        if not self._text:
            return ConfigError("is empty", argument=argument, mend="use the secret that was given with the AppId")
        if not has_bytes(self._text):
            return ConfigError("holds a lone surrogate, which has no UTF-8 bytes to sign", argument=argument)
        return None

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def __reduce__(self) -> NoReturn:
        raise ConfigError("a secret is not pickled", mend="make it anew on the other side")


E = TypeVar("E", bound=BaseException)


def without_frames(error: E, *, causes: bool) -> E:
    """Remove an error's traceback, and those of its causes, or, without `causes`, the causes themselves; return it.

    The frames of a traceback hold local variables, which may be a password.
    """
    if not causes:
        error.__cause__ = error.__context__ = None
    chain: list[BaseException | None] = [error]
    for one in chain:
        if one is not None:
            one.with_traceback(None)
            chain += [other for other in (one.__cause__, one.__context__) if other not in chain]
    return error


def without_credentials(text: str) -> str:
    """Cut user and password out of every URL in a text."""
    # Cut up to the last @ of a word: in a password there may be /, #, quotes and a further @.
    return _AFTER_SLASHES.sub(lambda rest: rest[0].rpartition("@")[2], text)

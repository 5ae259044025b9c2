"""What must not be said: a secret, and the user and password in a URL."""

import re
from typing import NoReturn

from workorder_async.errors import ConfigError

_CREDENTIALS = re.compile(r"(?<=//)[^/?#\s'\"]*@")


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
        """Return its UTF-8 bytes."""
        return self._text.encode()

    def complaint(self) -> str:
        """Say why this cannot be a secret to sign with; "" where it can."""
        if not isinstance(self._text, str):
            return f"is a {type(self._text).__name__}; it must be text"
        if not self._text:
            return "is empty; use the secret that was given with the AppId"
        if any("\ud800" <= character <= "\udfff" for character in self._text):
            return "holds a lone surrogate, which has no UTF-8 bytes to sign"
        return ""

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def __reduce__(self) -> NoReturn:
        raise ConfigError("a secret is not pickled; make it anew on the other side")


def without_credentials(text: str) -> str:
    """Cut user and password out of every URL in a text."""
    return _CREDENTIALS.sub("", text)

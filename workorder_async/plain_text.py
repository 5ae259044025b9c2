"""Text as it may be shown: a terminal must not obey it, and it must not turn the text around it."""

import re
from typing import Final

# Controls (ESC among them), the characters that turn the direction of writing, and lone surrogates.
UNSAFE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def safe(text: str) -> str:
    """Escape the characters that a terminal would obey or cannot show; line feeds and tabs stay."""
    return UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """Do the same, with every run of white space as one blank."""
    return safe(" ".join(text.split()))

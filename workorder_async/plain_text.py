"""Text that is safe to show: its characters neither control a terminal nor reverse the text around them."""

import re
from typing import Final

# Control characters (ESC among them), characters that change the direction of writing, and lone surrogates.
UNSAFE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def safe(text: str) -> str:
    """Escape the characters that a terminal would obey or cannot show; line feeds and tabs stay."""
    return UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """Return a text as one line: as `safe` does, with each run of white space as one blank."""
    return safe(" ".join(text.split()))

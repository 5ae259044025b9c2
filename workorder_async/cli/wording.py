"""The library's words as the command line says them: arguments are options, calls are commands."""

import re
from typing import Final

_FIELD: Final = re.compile(r"\b(?:TicketQuery|CreateTicket|CommentTicket|RejectTicket|CloseTicket|PageRequest)\.(\w+)")
_OPTIONS: Final = {"id": "ID", "tags": "--tag", "attachment": "--attach", "handle_attachment": "--attach"}

# In this order: the later ones see what the earlier ones have written.
_WORDS: Final = (
    (r"^raw writes\b", "--raw writes"),
    (r"\b(raw|detail|overwrite|strict)=True\b", r"--\1"),
    (r"\bresume=False\b", "--no-resume"),
    (r"\bstrict=False\b", "the same without --strict"),
    (r"\bformat='", "--format '"),
    (r"\band attachments need\b", "and --attachments need"),
    (r"^target ", ""),
    (r"\(\[Errno \d+\] ([^:]*): '[^']*'\)", r"(\1)"),
    (r"(says no format by its suffix); use", r"\1; add --format, or use"),
    (r"\bcall again\b", "run it again"),
    (r"\bthe same call\b", "the same command"),
    (r"\bsay the same again\b", "run the same command"),
    (r"\bthis library\b", "this program"),
    (r", or leave it by `contextlib\.aclosing` where it was yours and left by `break`", ""),
    (r"; pass another with file_name=", "; rename the file"),
    (r"^base_url\b", "the base URL"),
    (r"^app_id\b", "the AppId"),
    (r"^app_secret\b", "the secret"),
    (r"; for SOCKS bring a session= with such a connector", "; SOCKS is not spoken here"),
    (r"^get_ticket(_detail)?: id is", "ID is"),
    (r": [A-Z]\w+Error: ", ": "),
    (r"\bwhat upload_file returned\b", "what `workorder upload --json` prints"),
    (r"\ban Attachment from upload_file\b", "what `workorder upload --json` prints"),
    (r"\bmust be True or False, not (?:\w+) ", "must be true or false, not "),
    (r"\b(must be [\w ]+, not) (?:str|int|float|bool|list|dict) ", r"\1 "),
)
# What a sentence about an argument begins with.
_ARGUMENT: Final = re.compile(
    r"^(format|attachments|concurrency|page_size|tickets|seed|port|host|db|latency|page_size_cap)\b"
)


def in_options(text: str) -> str:
    """Write a sentence of the library in words of the command line."""
    text = _FIELD.sub(lambda match: option_of(match[1]), text)
    text = _ARGUMENT.sub(lambda match: option_of(match[1]), text)
    for pattern, words in _WORDS:
        text = re.sub(pattern, words, text)
    return text


def option_of(field: str) -> str:
    """Return the option that a field came from."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", field).replace("_", "-").lower()
    return _OPTIONS.get(field, f"--{words}")

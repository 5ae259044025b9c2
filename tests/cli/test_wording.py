"""cli/wording.py: the library's sentences in words of the command line."""

import pytest

from tests.support.cli_words import LIBRARY_WORDS
from workorder_async.cli.wording import in_options


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("CloseTicket.closer_id is 0", "--closer-id is 0"),
        ("RejectTicket.productGroupId is 0", "--product-group-id is 0"),
        ("TicketQuery.status is 0", "--status is 0"),
        ("target 't.csv' exists; overwrite=True replaces it", "'t.csv' exists; --overwrite replaces it"),
        ("page_size_cap is 0", "--page-size-cap is 0"),
        ("base_url 'x' must be http://", "the base URL 'x' must be http://"),
        ("call again with overwrite=True to replace it", "run it again with --overwrite to replace it"),
        ("begin anew with resume=False", "begin anew with --no-resume"),
        ("strict=False takes them as they are", "the same without --strict takes them as they are"),
        ("'x' is not valid text; pass another with file_name=", "'x' is not valid text; rename the file"),
        (
            "wait for its end, or leave it by `contextlib.aclosing` where it was yours and left by `break`",
            "wait for its end",
        ),
        ("app_secret is empty", "the secret is empty"),
        (
            "an http:// URL; for SOCKS bring a session= with such a connector",
            "an http:// URL; SOCKS is not spoken here",
        ),
        ("could not send: ClientConnectorError: Cannot connect", "could not send: Cannot connect"),
        ("CreateTicket.sub_type must be text, not int 5", "--sub-type must be text, not 5"),
    ],
)
def test_no_word_of_the_library_is_left(said: str, told: str) -> None:
    """Arguments are options, and what only a program could do is left out."""
    assert in_options(said) == told
    assert LIBRARY_WORDS.search(said)
    assert not LIBRARY_WORDS.search(told)

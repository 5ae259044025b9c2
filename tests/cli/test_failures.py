"""cli/failures.py: the library's errors in words of the command line."""

import pytest

from tests.support.cli_words import LIBRARY_WORDS
from tests.support.rows import each
from workorder_async.cli.failures import as_json, sentence
from workorder_async.errors import ApiError, AuthenticationError, ConfigError, ExportError, WorkorderError
from workorder_async.exports import InexactExportError


def _error(problem: str, argument: str = "", mend: str = "") -> ConfigError:
    return ConfigError(problem, argument=argument, mend=mend)


@each(
    ("error", "told"),
    [
        (_error("is 0", "CloseTicket.closer_id"), "--closer-id is 0"),
        (_error("is 0", "RejectTicket.productGroupId"), "--as-product-group is 0"),
        (_error("is 0", "TicketQuery.product_group_id"), "--product-group is 0"),
        (_error("is 0", "page_size_cap", "it must be at least 1"), "--page-size-cap is 0; it must be at least 1"),
        (_error("is empty", "TicketQuery.customer_organization_name"), "--customer is empty"),
        (_error("is empty", "CreateTicket.customer_organization_name"), "--customer-organization-name is empty"),
        (_error("is 0", "id"), "ID is 0"),
        (_error("is 0", "CreateTicket.tags"), "--tag is 0"),
        (_error("'x' must be http://", "base_url"), "the base URL 'x' must be http://"),
        (_error("is empty", "app_secret"), "the secret is empty"),
        (_error("'t.csv' exists", "target", "overwrite=True replaces it"), "'t.csv' exists; --overwrite replaces it"),
        (
            _error("'x' is not valid text", "file_name", "pass another"),
            "the file's name 'x' is not valid text; rename the file",
        ),
        (_error("is no time", "--since 'x'", "write now"), "--since 'x' is no time; write now"),
        (_error("there is no profile 'x'", "/home/x.toml:"), "/home/x.toml: there is no profile 'x'"),
        (
            ExportError("'t.part' is there", mend="begin anew with resume=False"),
            "'t.part' is there; begin anew with --no-resume",
        ),
        (
            InexactExportError("not exact", mend="the same without strict=True takes it"),
            "not exact; the same without --strict takes it",
        ),
    ],
)
def test_no_word_of_the_library_is_left(error: WorkorderError, told: str) -> None:
    """Arguments are options, and a mend says what can be typed."""
    assert sentence(error) == told
    assert not LIBRARY_WORDS.search(told)


@pytest.mark.parametrize("kind", [ConfigError, ExportError])
def test_names_stay_as_they_are(kind: type[ConfigError | ExportError]) -> None:
    """A file of the user's is told by its name, even by one that looks like an argument."""
    named = kind("'overwrite=True.csv' exists, as resume=False does", mend="overwrite=True replaces it")
    assert sentence(named) == "'overwrite=True.csv' exists, as resume=False does; --overwrite replaces it"


def test_an_errno_as_json() -> None:
    """An errno is shown, 0 too, but not of a page, which has none."""
    facts = as_json(ApiError("errno 0 no", errno=0, errmsg="no"))
    assert (facts["errno"], facts["errmsg"]) == (0, "no")
    assert "errno" not in as_json(AuthenticationError("HTTP 403 with text", status=403))

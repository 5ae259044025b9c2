"""cli/values.py: customers' accounts."""

import pytest

from workorder_async.cli.values import customer_account
from workorder_async.document import CustomerInfo
from workorder_async.errors import ConfigError


@pytest.mark.parametrize("text", ["7", '{"user_id": 7}', '{"user_id": "7"}', "[7]", "x", "null"])
def test_a_customer_is_a_number_or_an_object(text: str) -> None:
    """An account is its user_id or a JSON object, and anything else is refused with an example."""
    if "7" in text and text != "[7]":
        assert customer_account(text) == CustomerInfo(user_id=7)
    else:
        with pytest.raises(ConfigError, match="level"):
            customer_account(text)

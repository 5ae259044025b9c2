"""A client of a host that does not exist, whose clock stands still."""

from typing import Any

from workorder_async import RetryPolicy, SchemeSigner, WorkorderClient

BASE_URL = "https://workorder.test"
API = f"{BASE_URL}/workorder/api/ticket"
# A fixed moment: 2023-11-14 22:13:20 UTC.
NOW = 1_700_000_000.0


def make_client(base_url: str = BASE_URL, **options: Any) -> WorkorderClient:
    """Make a client with a plain scheme, quick retries and a clock that stands still."""
    signer = SchemeSigner("demo-app", "demo-secret", "md5:{app_id}{timestamp}{secret}")
    options = {"signer": signer, "retry": RetryPolicy(first=0.001), "now": lambda: NOW, **options}
    return WorkorderClient(base_url, **options)
